//! `"200/s"`, `"12/m"`, `"40%"`.

use super::number::decimal;
use super::{QuantityError, Written, unreadable};

/// Events a second; finite and not negative.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rate(pub f64);

/// A share between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(pub f64);

impl Share {
    /// All of it.
    pub const ALL: Self = Self(1.0);
}

/// No rate of a profile is higher: one event a nanosecond, the resolution of the run's clock.
pub const RATE_MAX: Rate = Rate(1e9);

impl Written for Rate {
    const WANTED: &'static str = "a rate with its unit, as in \"200/s\", \"12/m\" or \"5/h\"";

    fn parse(text: &str) -> Result<Self, QuantityError> {
        let (number, unit) = text.split_once('/').ok_or_else(|| unreadable::<Self>(text))?;
        let seconds = match unit.trim() {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return Err(QuantityError::Unreadable { wanted: Self::WANTED }),
        };
        let number = decimal(number.trim()).ok_or(QuantityError::Unreadable { wanted: Self::WANTED })?;
        let rate = Self(number / seconds);
        if rate > RATE_MAX {
            return Err(QuantityError::TooLarge { what: "rate", largest: RATE_MAX.show() });
        }
        Ok(rate)
    }

    fn show(&self) -> String {
        format!("{}/s", self.0)
    }

    fn with_unit(number: &str) -> Option<String> {
        Some(format!("{number}/s"))
    }
}

impl Written for Share {
    const WANTED: &'static str = "a share from 0% to 100%, as in \"40%\"";

    fn parse(text: &str) -> Result<Self, QuantityError> {
        let number = text.strip_suffix('%').ok_or_else(|| unreadable::<Self>(text))?.trim();
        decimal(number).ok_or(QuantityError::Unreadable { wanted: Self::WANTED })?;
        // Shifting the decimal point in the text, rather than dividing, keeps what `show` writes exact.
        let share = format!("{number}e-2").parse::<f64>().ok();
        let share = share.ok_or(QuantityError::Unreadable { wanted: Self::WANTED })?;
        if share > 1.0 {
            return Err(QuantityError::TooLarge { what: "share", largest: "100%".to_owned() });
        }
        Ok(Self(share))
    }

    fn show(&self) -> String {
        format!("{}%", hundredfold(self.0))
    }

    fn with_unit(number: &str) -> Option<String> {
        Some(format!("{number}%"))
    }
}

/// A hundred times this, in decimal digits: the shortest text of the number with its point moved by two.
fn hundredfold(number: f64) -> String {
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits = mantissa.replace('.', "");
    let point = exponent.parse::<isize>().unwrap_or(0) + 3;
    if digits.chars().all(|digit| digit == '0') {
        return "0".to_owned();
    }
    match usize::try_from(point) {
        Ok(point) if point >= digits.len() => format!("{digits:0<point$}"),
        Ok(point) if point > 0 => format!("{}.{}", &digits[..point], &digits[point..]),
        _ => format!("0.{}{digits}", "0".repeat(point.unsigned_abs())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use toml::Value;

    use super::super::Quantity;
    use super::*;

    #[test]
    fn rates_are_read_per_second_minute_and_hour() {
        for (text, per_second) in
            [("200/s", 200.0), ("12/m", 0.2), ("0.5/s", 0.5), ("36 / h", 0.01), ("0/s", 0.0)]
        {
            assert_eq!(Rate::parse(text), Ok(Rate(per_second)), "{text}");
        }
    }

    #[test]
    fn what_is_no_rate_is_refused_with_what_to_write() {
        for (value, message) in [
            (Value::Integer(60), "a bare number has no unit: write \"60/s\""),
            (Value::String("60".into()), "a bare number has no unit: write \"60/s\""),
            (
                Value::String("60/d".into()),
                "is not a rate with its unit, as in \"200/s\", \"12/m\" or \"5/h\"",
            ),
            (
                Value::String("-1/s".into()),
                "is not a rate with its unit, as in \"200/s\", \"12/m\" or \"5/h\"",
            ),
            (
                Value::String("inf/s".into()),
                "is not a rate with its unit, as in \"200/s\", \"12/m\" or \"5/h\"",
            ),
            (Value::String("2000000000/s".into()), "is above the largest rate, 1000000000/s"),
        ] {
            assert_eq!(Rate::from_value(&value).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn shares_lie_between_0_and_100_percent() {
        for (text, share) in [("40%", 0.4), ("0%", 0.0), ("100%", 1.0), ("0.5 %", 0.005), ("7%", 0.07)] {
            assert_eq!(Share::parse(text), Ok(Share(share)), "{text}");
        }
        for (text, message) in [
            ("101%", "is above the largest share, 100%"),
            ("40", "a bare number has no unit: write \"40%\""),
            ("-1%", "is not a share from 0% to 100%, as in \"40%\""),
            ("nan%", "is not a share from 0% to 100%, as in \"40%\""),
        ] {
            assert_eq!(Share::parse(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn shares_are_shown_as_a_person_would_write_them() {
        for (share, text) in [(0.07, "7%"), (1.0, "100%"), (0.0, "0%"), (0.125, "12.5%"), (0.0001, "0.01%")] {
            assert_eq!(Share(share).show(), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_as_the_same(rate in 0.0..1e9_f64, share in 0.0..=1.0_f64, small in 0.0..1e-9_f64) {
            prop_assert_eq!(Rate::parse(&Rate(rate).show()), Ok(Rate(rate)));
            prop_assert_eq!(Share::parse(&Share(share).show()), Ok(Share(share)));
            let written = Share(small).show();
            prop_assert!(written.len() > 40 || Share::parse(&written) == Ok(Share(small)), "{}", written);
        }
    }
}
