//! `"300B"`, `"2KiB"`, `"64KB"`, and the sizes of payloads.

use super::super::Payload;
use super::number::{decimal, scaled, split_unit};
use super::{QuantityError, Written, unreadable};

/// Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u32);

impl Written for Size {
    const WANTED: &'static str = "a size with its unit, as in \"300B\", \"2KiB\" or \"64KB\"";

    fn parse(text: &str) -> Result<Self, QuantityError> {
        let (number, unit) = split_unit(text);
        let unit = match unit {
            "B" => 1,
            "KB" => 1_000,
            "KiB" => 1_024,
            "MB" => 1_000_000,
            "MiB" => 1_024 * 1_024,
            _ => return Err(unreadable::<Self>(text)),
        };
        let bytes = scaled(number, unit).ok_or(QuantityError::Unreadable { wanted: Self::WANTED })?;
        u32::try_from(bytes)
            .map(Self)
            .map_err(|_| QuantityError::TooLarge { what: "size", largest: format!("{}B", u32::MAX) })
    }

    fn show(&self) -> String {
        match self.0 {
            bytes if bytes >= 1_024 && bytes.is_multiple_of(1_024) => format!("{}KiB", bytes / 1_024),
            bytes => format!("{bytes}B"),
        }
    }

    fn with_unit(number: &str) -> Option<String> {
        Some(format!("{number}B"))
    }
}

impl Written for Payload {
    const WANTED: &'static str = "a payload size, as in \"300B\", \"300B..2KiB\" or \"lognormal(600B, 0.8)\"";

    fn parse(text: &str) -> Result<Self, QuantityError> {
        let wrong = || unreadable::<Self>(text);
        let size = |text: &str| Size::parse(text.trim()).map(|size| size.0);
        if let Some(inside) = text.strip_prefix("lognormal(").and_then(|rest| rest.strip_suffix(')')) {
            let (median, sigma) = inside.split_once(',').ok_or_else(wrong)?;
            return Ok(Self::LogNormal(size(median)?, decimal(sigma.trim()).ok_or_else(wrong)?));
        }
        if let Some((least, most)) = text.split_once("..") {
            return Ok(Self::Range(size(least)?, size(most)?));
        }
        size(text).map(Self::Fixed).map_err(|error| match error {
            QuantityError::Unreadable { .. } => wrong(),
            other => other,
        })
    }

    fn show(&self) -> String {
        match self {
            Self::Fixed(bytes) => Size(*bytes).show(),
            Self::Range(least, most) => format!("{}..{}", Size(*least).show(), Size(*most).show()),
            Self::LogNormal(median, sigma) => format!("lognormal({}, {sigma})", Size(*median).show()),
        }
    }

    fn with_unit(number: &str) -> Option<String> {
        Size::with_unit(number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use toml::Value;

    use super::super::Quantity;
    use super::*;

    #[test]
    fn sizes_are_read_in_decimal_and_binary_units() {
        for (text, bytes) in [
            ("300B", 300),
            ("2KiB", 2_048),
            ("64KB", 64_000),
            ("1.5KiB", 1_536),
            ("1 MiB", 1 << 20),
            ("1MB", 1_000_000),
        ] {
            assert_eq!(Size::parse(text), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn payloads_are_fixed_a_range_or_log_normal() {
        assert_eq!(Payload::parse("300B"), Ok(Payload::Fixed(300)));
        assert_eq!(Payload::parse("300B..2KiB"), Ok(Payload::Range(300, 2_048)));
        assert_eq!(Payload::parse("lognormal(600B, 0.8)"), Ok(Payload::LogNormal(600, 0.8)));
    }

    #[test]
    fn what_is_no_payload_is_refused_with_what_to_write() {
        for (value, message) in [
            (Value::Integer(300), "a bare number has no unit: write \"300B\""),
            (
                Value::String("300b".into()),
                "is not a payload size, as in \"300B\", \"300B..2KiB\" or \"lognormal(600B, 0.8)\"",
            ),
            (Value::String("300..2KiB".into()), "a bare number has no unit: write \"300B\""),
            (
                Value::String("lognormal(600B)".into()),
                "is not a payload size, as in \"300B\", \"300B..2KiB\" or \"lognormal(600B, 0.8)\"",
            ),
            (Value::String("5000MiB".into()), "is above the largest size, 4294967295B"),
        ] {
            assert_eq!(Payload::from_value(&value).unwrap_err().to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_as_the_same(one: u32, two: u32, sigma in 0.0..9.0_f64) {
            for payload in [Payload::Fixed(one), Payload::Range(one, two), Payload::LogNormal(one, sigma)] {
                prop_assert_eq!(Payload::parse(&payload.show()), Ok(payload));
            }
        }
    }
}
