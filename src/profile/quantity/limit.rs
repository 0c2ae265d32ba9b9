//! `"<= 500ms"`, `"= 0"`, `">= 99%"`, `"= 0 if exposed"`.

use std::time::Duration;

use super::super::{Comparison, Limit, LimitUnit};
use super::number::decimal;
use super::{QuantityError, Share, Written};

impl Written for Limit {
    const WANTED: &'static str = "a limit: `<=`, `>=` or `=`, then a duration, a share or a count, as in \"<= 500ms\", \">= 99%\", \"= 0\" or \"= 0 if exposed\"";

    fn parse(text: &str) -> Result<Self, QuantityError> {
        let wrong = || QuantityError::Unreadable { wanted: Self::WANTED };
        let (text, if_exposed) = match text.strip_suffix("if exposed") {
            Some(before) if before.ends_with(' ') => (before.trim_end(), true),
            _ => (text, false),
        };
        let (comparison, bound) = [Comparison::AtMost, Comparison::AtLeast, Comparison::Equal]
            .into_iter()
            .find_map(|comparison| Some((comparison, text.strip_prefix(comparison.sign())?)))
            .ok_or_else(wrong)?;
        let (bound, unit) = bound_and_unit(bound.trim_start()).ok_or_else(wrong)??;
        Ok(Self { comparison, bound, unit, if_exposed })
    }

    fn show(&self) -> String {
        let bound = match self.unit {
            // Whole nanoseconds, as they were read.
            LimitUnit::Micros => Duration::from_nanos((self.bound * 1e3).round() as u64).show(),
            LimitUnit::Share => Share(self.bound).show(),
            LimitUnit::Count => self.bound.to_string(),
        };
        format!("{} {bound}{}", self.comparison.sign(), if self.if_exposed { " if exposed" } else { "" })
    }

    fn with_unit(number: &str) -> Option<String> {
        Some(format!("<= {number}"))
    }
}

impl Comparison {
    /// As it is written.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::AtMost => "<=",
            Self::AtLeast => ">=",
        }
    }
}

/// The largest count that an objective can name: whole numbers beyond it are not all distinct in the summary.
const COUNT_MAX: f64 = 9_007_199_254_740_992.0;

/// `None`: not a bound at all.
fn bound_and_unit(text: &str) -> Option<Result<(f64, LimitUnit), QuantityError>> {
    if text.ends_with('%') {
        return Some(Share::parse(text).map(|share| (share.0, LimitUnit::Share)));
    }
    if let Some(count) = decimal(text) {
        let whole = count.fract() == 0.0 && count <= COUNT_MAX;
        return whole.then_some(Ok((count, LimitUnit::Count)));
    }
    match Duration::parse(text) {
        Ok(duration) => Some(Ok((duration.as_nanos() as f64 / 1e3, LimitUnit::Micros))),
        Err(QuantityError::TooLarge { what, largest }) => {
            Some(Err(QuantityError::TooLarge { what, largest }))
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit(comparison: Comparison, bound: f64, unit: LimitUnit, if_exposed: bool) -> Limit {
        Limit { comparison, bound, unit, if_exposed }
    }

    #[test]
    fn limits_are_read_in_all_their_forms() {
        for (text, found) in [
            ("<= 500ms", limit(Comparison::AtMost, 500_000.0, LimitUnit::Micros, false)),
            ("<=1s", limit(Comparison::AtMost, 1_000_000.0, LimitUnit::Micros, false)),
            (">= 99%", limit(Comparison::AtLeast, 0.99, LimitUnit::Share, false)),
            ("= 0", limit(Comparison::Equal, 0.0, LimitUnit::Count, false)),
            ("= 0 if exposed", limit(Comparison::Equal, 0.0, LimitUnit::Count, true)),
            ("<= 120", limit(Comparison::AtMost, 120.0, LimitUnit::Count, false)),
        ] {
            assert_eq!(Limit::parse(text), Ok(found), "{text}");
        }
    }

    #[test]
    fn what_is_no_limit_is_refused_with_the_forms_there_are() {
        for text in ["500ms", "< 5", "== 0", "<= ", "<= 1.5", "<= many", "= 0if exposed", "!= 0", ""] {
            let error = Limit::parse(text).unwrap_err();
            assert!(error.to_string().contains("as in \"<= 500ms\", \">= 99%\", \"= 0\""), "{text}: {error}");
        }
        assert_eq!(Limit::parse(">= 101%").unwrap_err().to_string(), "is above the largest share, 100%");
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_as_the_same(
            comparison in prop::sample::select(vec![Comparison::Equal, Comparison::AtMost, Comparison::AtLeast]),
            unit in prop::sample::select(vec![LimitUnit::Micros, LimitUnit::Share, LimitUnit::Count]),
            nanos in 0..=2_592_000_000_000_000_u64, share in 0.0..=1.0_f64, if_exposed: bool,
        ) {
            let bound = match unit {
                LimitUnit::Micros => nanos as f64 / 1e3,
                LimitUnit::Share => share,
                LimitUnit::Count => nanos as f64,
            };
            let written = limit(comparison, bound, unit, if_exposed);
            prop_assert_eq!(Limit::parse(&written.show()), Ok(written));
        }
    }
}
