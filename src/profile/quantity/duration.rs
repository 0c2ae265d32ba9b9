//! `"250ms"`, `"30s"`, `"1h30m"`.

use std::time::Duration;

use super::number::{scaled, split_unit};
use super::{QuantityError, Written, unreadable};

/// No duration of a profile is longer, so that sums of them and their nanoseconds fit everywhere.
pub const DURATION_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);

impl Written for Duration {
    const WANTED: &'static str = "a duration with its unit, as in \"250ms\", \"30s\" or \"1h30m\"";

    fn parse(text: &str) -> Result<Self, QuantityError> {
        let nanos = nanos(text).ok_or_else(|| unreadable::<Self>(text))?;
        let duration = u64::try_from(nanos).ok().map(Self::from_nanos);
        duration
            .filter(|duration| *duration <= DURATION_MAX)
            .ok_or_else(|| QuantityError::TooLarge { what: "duration", largest: "720h (30 days)".to_owned() })
    }

    fn show(&self) -> String {
        let seconds = self.as_secs();
        if self.is_zero() {
            return "0s".to_owned();
        }
        if self.subsec_nanos() == 0 && seconds < 600 && !seconds.is_multiple_of(60) {
            return format!("{seconds}s");
        }
        let mut rest = self.as_nanos();
        let mut text = String::new();
        for (unit, worth) in UNITS.iter().filter(|(unit, _)| *unit != "d") {
            if rest >= *worth {
                text += &format!("{}{unit}", rest / worth);
                rest %= worth;
            }
        }
        text
    }

    fn with_unit(number: &str) -> Option<String> {
        Some(format!("{number}s"))
    }
}

/// Largest first: the order in which a duration of several units is written.
const UNITS: [(&str, u128); 7] = [
    ("d", 24 * 3_600_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

fn nanos(text: &str) -> Option<u128> {
    let mut rest = text;
    let mut total = 0_u128;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let (number, tail) = split_unit(rest);
        let end = tail.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        // The iterator goes on where it stopped: units come in descending order, each once.
        let (_, worth) = units.find(|(name, _)| *name == unit)?;
        total = total.checked_add(scaled(number, *worth)?)?;
        rest = tail.trim_start();
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use toml::Value;

    use super::super::Quantity;
    use super::*;

    #[test]
    fn durations_are_read_in_every_unit() {
        for (text, nanos) in [
            ("250ms", 250_000_000),
            ("30s", 30_000_000_000),
            ("2m", 120_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1h 30m", 5_400_000_000_000),
            ("12h", 43_200_000_000_000),
            ("1d", 86_400_000_000_000),
            ("1.5s", 1_500_000_000),
            ("0s", 0),
            ("7us", 7_000),
        ] {
            assert_eq!(Duration::parse(text).map(|found| found.as_nanos()), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn a_bare_number_is_answered_with_what_to_write() {
        for value in [Value::Integer(30), Value::String("30".into())] {
            let error = Duration::from_value(&value).unwrap_err();
            assert_eq!(error.to_string(), "a bare number has no unit: write \"30s\"");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "s", "30x", "30s30s", "30s1m", "-3s", "1e3s", "3 0s", "0.1ns", "∞"] {
            let error = Duration::parse(text).unwrap_err();
            assert!(matches!(error, QuantityError::Unreadable { .. }), "{text}: {error}");
        }
        assert_eq!(
            Duration::parse("721h").unwrap_err().to_string(),
            "is above the largest duration, 720h (30 days)"
        );
        assert!(Duration::parse("99999999999999999999999999999999999h").is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_as_the_same(nanos in 0..=DURATION_MAX.as_nanos() as u64, coarse in 0..4_usize) {
            let unit = [1, 1_000_000, 1_000_000_000, 60_000_000_000][coarse];
            let duration = Duration::from_nanos(nanos / unit * unit);
            prop_assert_eq!(Duration::parse(&duration.show()), Ok(duration));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,12}", digits in "[0-9.]{0,45}[a-z]{0,2}") {
            let _ = (Duration::parse(&text), Duration::parse(&digits));
        }
    }
}
