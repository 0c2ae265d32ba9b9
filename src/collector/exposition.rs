//! Prometheus text, as far as it is looked at: what a page says of one metric, all its label sets together.
//!
//! It is read here and by no crate: `prometheus-parse` (and `prometheus-scrape`, from which it comes) counts what it cannot
//! read, `NaN` and braces in labels among it, as zero and takes megabytes for a page of bytes, `openmetrics-parser` is
//! LGPL and refuses a whole page for one odd line of somebody else's metric, and the others (`openmetrics`,
//! `nom-openmetrics`, `prom_text_format_parser`) are first versions that check nothing or are kept no more. Two sums of a
//! page need none of what they build.
//!
//! A page comes from a server and may be anything. It is read line by line and nothing of it is kept. What cannot be
//! right is not known: a sample of the metric that cannot be read, or that is negative, not finite or too large, makes the
//! whole sum unknown, and never zero.

/// The sum over all label sets, fractions cut off; `None` when the page has no such metric, or one that cannot be right.
/// One that is declared and has no label set yet (a gauge by tenant, before the first tenant) is zero.
pub(crate) fn sum(page: &str, name: &str) -> Option<u64> {
    let (mut declared, mut sum) = (false, 0.0);
    for line in page.lines() {
        match Line::of(line, name) {
            Line::Other => {}
            Line::Declared => declared = true,
            Line::Sample(value) => {
                declared = true;
                sum += value?;
            }
        }
    }
    (declared && sum <= LARGEST).then_some(sum as u64)
}

/// Above it not every whole number is a float of its own: nothing can be counted so (2^53).
const LARGEST: f64 = 9_007_199_254_740_992.0;

enum Line {
    /// Not about the metric.
    Other,
    /// Its `# TYPE`.
    Declared,
    /// A sample of it; `None`: one that cannot be right.
    Sample(Option<f64>),
}

impl Line {
    fn of(line: &str, name: &str) -> Self {
        let line = line.trim();
        if line.starts_with('#') {
            let mut words = line.split_whitespace();
            let declares =
                words.next() == Some("#") && words.next() == Some("TYPE") && words.next() == Some(name);
            return if declares { Self::Declared } else { Self::Other };
        }
        match line.strip_prefix(name) {
            Some(rest) if rest.starts_with(|next: char| next == '{' || next.is_whitespace()) => {
                Self::Sample(value(rest.trim_start()))
            }
            _ => Self::Other,
        }
    }
}

/// The value behind the labels.
fn value(text: &str) -> Option<f64> {
    let behind = match text.strip_prefix('{') {
        Some(labels) => behind_labels(labels)?,
        None => text,
    };
    let value: f64 = behind.split_whitespace().next()?.parse().ok()?;
    (0.0..=LARGEST).contains(&value).then_some(value)
}

/// What follows the `}` that is in no quotes.
fn behind_labels(labels: &str) -> Option<&str> {
    let (mut quoted, mut escaped) = (false, false);
    let end = labels.find(|letter| {
        let closes = letter == '}' && !quoted;
        quoted ^= letter == '"' && !escaped;
        escaped = letter == '\\' && quoted && !escaped;
        closes
    })?;
    Some(&labels[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(page: &str) -> Option<u64> {
        sum(page, "ws")
    }

    #[test]
    fn label_sets_are_added_up() {
        assert_eq!(said("ws 3"), Some(3));
        assert_eq!(
            said("# HELP ws of sockets\n# TYPE ws gauge\nws{tenant=\"a\"} 1\nws{tenant=\"b\"} 2e3\n"),
            Some(2001)
        );
        assert_eq!(said("  ws\t{} 4 1700000000000\r\nws{a=\"b\"}5 # {trace=\"x\"} 1\r\n"), Some(9));
        assert_eq!(said("ws 0.75\nws{a=\"b\"} 0.5"), Some(1), "cut off only in the end");
    }

    #[test]
    fn labels_may_hold_anything_in_quotes() {
        assert_eq!(said(r#"ws{a="}",b="\"} 9",c="\\"} 4"#), Some(4));
        assert_eq!(said(r#"ws{a="{\\\"}"} 5"#), Some(5));
    }

    #[test]
    fn other_metrics_are_not_looked_at() {
        for page in
            ["", "wss 3", "ws_total 3", "aws 3", "# ws 3", "#ws 3", "# TYPE wss gauge", "# HELP ws TYPE ws"]
        {
            assert_eq!(said(page), None, "{page}");
            assert_eq!(said(&format!("{page}\nws 7")), Some(7), "{page}");
        }
    }

    #[test]
    fn what_is_declared_and_has_no_label_set_is_zero() {
        assert_eq!(said("# TYPE ws gauge\n"), Some(0));
        assert_eq!(said("#\tTYPE   ws gauge"), Some(0));
        assert_eq!(said("# TYPE ws"), Some(0));
    }

    #[test]
    fn what_cannot_be_right_is_not_known_and_not_zero() {
        for value in ["NaN", "-1", "+Inf", "1e300", "x", "", "0x10", "9007199254740994"] {
            for page in [format!("ws {value}"), format!("# TYPE ws gauge\nws 1\nws{{a=\"b\"}} {value}\n")] {
                assert_eq!(said(&page), None, "{page}");
            }
        }
        assert_eq!(said("# TYPE ws gauge\nws{a=\"b} 1"), None, "labels without an end");
        assert_eq!(said("ws 9007199254740992"), Some(1 << 53));
        assert_eq!(said("ws 9007199254740992\nws{a=\"b\"} 2"), None, "the sum is too large");
    }
}
