//! The right-hand side of an objective: does a number keep it, and how does a person write it?

use std::fmt::Write as _;

use super::Unit;
use crate::profile::{Comparison, Limit, LimitUnit};

/// A limit that no profile wrote.
pub(super) fn at_least(bound: f64, unit: LimitUnit) -> Limit {
    Limit { comparison: Comparison::AtLeast, bound, unit, if_exposed: false }
}

/// `= 0`
pub(super) fn zero() -> Limit {
    Limit { comparison: Comparison::Equal, bound: 0.0, unit: LimitUnit::Count, if_exposed: false }
}

/// Every number from `low` to `high` keeps the limit.
pub(super) fn kept_by_all(limit: &Limit, low: f64, high: f64) -> bool {
    match limit.comparison {
        Comparison::Equal => low == limit.bound && high == limit.bound,
        Comparison::AtMost => high <= limit.bound,
        Comparison::AtLeast => low >= limit.bound,
    }
}

/// Some number from `low` to `high` keeps the limit.
pub(super) fn kept_by_some(limit: &Limit, low: f64, high: f64) -> bool {
    match limit.comparison {
        Comparison::Equal => low <= limit.bound && limit.bound <= high,
        Comparison::AtMost => low <= limit.bound,
        Comparison::AtLeast => high >= limit.bound,
    }
}

/// As a profile writes it: `<= 500ms`, `>= 99%`, `= 0 if exposed`.
pub(super) fn text(limit: &Limit) -> String {
    let sign = match limit.comparison {
        Comparison::Equal => "=",
        Comparison::AtMost => "<=",
        Comparison::AtLeast => ">=",
    };
    let mut text = format!("{sign} {}", unit(limit.unit).write(limit.bound));
    if limit.if_exposed {
        text.push_str(" if exposed");
    }
    text
}

/// The unit that an observed number has under this limit.
pub(super) fn unit(unit: LimitUnit) -> Unit {
    match unit {
        LimitUnit::Micros => Unit::Us,
        LimitUnit::Share => Unit::Share,
        LimitUnit::Count => Unit::Count,
    }
}

impl Unit {
    /// A number of this unit as a person reads it: `12.3ms`, `99.5%`, `1234`.
    pub fn write(self, number: f64) -> String {
        if number.is_infinite() {
            return "never".to_owned();
        }
        match self {
            Self::Us if number < 1e3 => short(number, "us"),
            Self::Us if number < 1e6 => short(number / 1e3, "ms"),
            Self::Us => short(number / 1e6, "s"),
            Self::Share => share(number),
            Self::Count => short(number, ""),
        }
    }
}

/// At most three decimals, none where there are none.
fn short(number: f64, unit: &str) -> String {
    let mut text = format!("{number:.3}");
    while text.ends_with('0') {
        text.pop();
    }
    if text.ends_with('.') {
        text.pop();
    }
    let _ = write!(text, "{unit}");
    text
}

/// In percent. What is short of all is not rounded up to it, what is more than nothing not down: 0.99999 is
/// `99.99%`, 0.00001 is `<0.01%`.
fn share(number: f64) -> String {
    if number > 0.0 && number < 1e-4 {
        return "<0.01%".to_owned();
    }
    let percent = (number * 100.0 * 100.0 + 1e-6).floor() / 100.0;
    short(percent, "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_as_a_profile_writes_them() {
        let limit = |comparison, bound, unit, if_exposed| Limit { comparison, bound, unit, if_exposed };
        for (limit, expected) in [
            (limit(Comparison::AtMost, 500_000.0, LimitUnit::Micros, false), "<= 500ms"),
            (limit(Comparison::AtMost, 1_500_000.0, LimitUnit::Micros, false), "<= 1.5s"),
            (limit(Comparison::AtMost, 250.0, LimitUnit::Micros, false), "<= 250us"),
            (limit(Comparison::AtLeast, 0.99, LimitUnit::Share, false), ">= 99%"),
            (limit(Comparison::AtLeast, 0.995, LimitUnit::Share, false), ">= 99.5%"),
            (limit(Comparison::Equal, 0.0, LimitUnit::Count, true), "= 0 if exposed"),
        ] {
            assert_eq!(text(&limit), expected);
        }
    }

    #[test]
    fn a_share_short_of_all_does_not_read_as_all() {
        assert_eq!(Unit::Share.write(1.0), "100%");
        assert_eq!(Unit::Share.write(0.999_999), "99.99%");
        assert_eq!(Unit::Share.write(0.29), "29%");
        assert_eq!(Unit::Share.write(0.000_06), "<0.01%");
        assert_eq!(Unit::Share.write(0.0), "0%");
    }
}
