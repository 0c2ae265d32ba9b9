//! Prometheus text, as far as it is looked at: what a page says of one metric, all its label sets together or one by one.
//!
//! It is read here and by no crate; those of crates.io were looked at twice, the last time in November 2026:
//! `prometheus-parse` 0.2.5 (and `prometheus-scrape`, from which it comes) counts what it cannot read, `NaN` and braces in
//! labels among it, as zero and takes megabytes for a page of bytes; `openmetrics-parser` 0.5.1 is LGPL and refuses a whole
//! page for one odd line of somebody else's metric; so does `nom-openmetrics` 0.3.0, for a timestamp, a comment, an empty
//! line, CRLF, or a family that is declared and has no sample yet; `openmetrics` 0.2.1 and `prom_text_format_parser` 0.1.0
//! are first versions that are kept no more. What is wanted of a page, sums and one label, needs none of what they build.
//!
//! A page comes from a server and may be anything. It is read line by line and nothing of it is kept. What cannot be
//! right is not known: a sample of the metric that cannot be read, or that is negative, not finite or too large, makes the
//! whole sum unknown, and never zero.

use std::borrow::Cow;

/// The sum over all label sets, fractions cut off; `None` when the page has no such metric, or one that cannot be right.
/// One that is declared and has no label set yet (a gauge by tenant, before the first tenant) is zero.
pub(crate) fn sum(page: &str, name: &str) -> Option<u64> {
    each(page, name, |_, _| ())
}

/// The same sum, and each sample of it on the way: its labels and its value.
pub(crate) fn each(page: &str, name: &str, mut tell: impl FnMut(Labels<'_>, f64)) -> Option<u64> {
    let (mut declared, mut sum) = (false, 0.0);
    for line in page.lines() {
        match Line::of(line, name) {
            Line::Other => {}
            Line::Declared => declared = true,
            Line::Sample(sample) => {
                declared = true;
                let (labels, value) = sample?;
                tell(labels, value);
                sum += value;
            }
        }
    }
    (declared && sum <= LARGEST).then_some(sum as u64)
}

/// The labels of one sample, as they stand between the braces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Labels<'p>(&'p str);

impl<'p> Labels<'p> {
    /// The value of the label of this name, its escapes undone; `None`: there is no such label, or what stands there is no
    /// list of labels up to it.
    pub(crate) fn value(self, name: &str) -> Option<Cow<'p, str>> {
        let mut rest = self.0;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            let (key, behind) = rest.split_once('=')?;
            let quoted = behind.trim_start().strip_prefix('"')?;
            let end = end_of_quoted(quoted)?;
            if key.trim() == name {
                return Some(unescaped(&quoted[..end]));
            }
            rest = &quoted[end + 1..];
        }
    }
}

/// Where the quote is that ends a quoted text.
fn end_of_quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.find(|letter| {
        let ends = letter == '"' && !escaped;
        escaped = letter == '\\' && !escaped;
        ends
    })
}

/// `\\`, `\"` and `\n` are all the escapes there are.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '\\' => match letters.next() {
                Some('n') => '\n',
                Some(escaped) => escaped,
                None => letter,
            },
            _ => letter,
        });
    }
    Cow::Owned(plain)
}

/// Above it not every whole number is a float of its own: nothing can be counted so (2^53).
const LARGEST: f64 = 9_007_199_254_740_992.0;

enum Line<'p> {
    /// Not about the metric.
    Other,
    /// Its `# TYPE`.
    Declared,
    /// A sample of it; `None`: one that cannot be right.
    Sample(Option<(Labels<'p>, f64)>),
}

impl<'p> Line<'p> {
    fn of(line: &'p str, name: &str) -> Self {
        let line = line.trim();
        if line.starts_with('#') {
            let mut words = line.split_whitespace();
            let declares =
                words.next() == Some("#") && words.next() == Some("TYPE") && words.next() == Some(name);
            return if declares { Self::Declared } else { Self::Other };
        }
        match line.strip_prefix(name) {
            Some(rest) if rest.starts_with(|next: char| next == '{' || next.is_whitespace()) => {
                Self::Sample(sample(rest.trim_start()))
            }
            _ => Self::Other,
        }
    }
}

/// The labels, and the value behind them.
fn sample(text: &str) -> Option<(Labels<'_>, f64)> {
    let (labels, behind) = match text.strip_prefix('{') {
        Some(labels) => split_labels(labels)?,
        None => ("", text),
    };
    let value: f64 = behind.split_whitespace().next()?.parse().ok()?;
    (0.0..=LARGEST).contains(&value).then_some((Labels(labels), value))
}

/// What stands before the `}` that is in no quotes, and what follows it.
fn split_labels(labels: &str) -> Option<(&str, &str)> {
    let (mut quoted, mut escaped) = (false, false);
    let end = labels.find(|letter| {
        let closes = letter == '}' && !quoted;
        quoted ^= letter == '"' && !escaped;
        escaped = letter == '\\' && quoted && !escaped;
        closes
    })?;
    Some((&labels[..end], &labels[end + 1..]))
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
    fn a_label_is_found_by_its_name_whatever_stands_before_it() {
        let of = |line: &str| {
            let mut found = Vec::new();
            each(line, "ws", |labels, value| {
                found.push((labels.value("tenant").map(Cow::into_owned), value));
            });
            found.pop().expect("one sample")
        };
        for line in [
            r#"ws{tenant="a"} 4"#,
            r#"ws{ tenant = "a" , } 4"#,
            r#"ws{pod="x,tenant=\"b\"",tenant="a"} 4"#,
            r#"ws{not_tenant="b",tenant="a",tenant="b"} 4"#,
        ] {
            assert_eq!(of(line), (Some("a".to_owned()), 4.0), "{line}");
        }
        assert_eq!(of(r#"ws{tenant="a\\b\"c\nd"} 1"#).0.as_deref(), Some("a\\b\"c\nd"));
        for line in ["ws 4", "ws{} 4", r#"ws{pod="tenant"} 4"#, "ws{tenant=a} 4", "ws{tenant} 4"] {
            assert_eq!(of(line), (None, 4.0), "{line}");
        }
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
