//! `summary.md`.

use std::fmt::Write as _;

use super::Summary;
use super::sheet::{self, Section};

/// A summary in GitHub's Markdown.
pub fn render(summary: &Summary) -> String {
    let mut text = format!("# {}\n\n", escape(&sheet::headline(summary)));
    let _ = writeln!(
        text,
        "Run `{}`, started {}, wavesoak {}, shard {}.",
        summary.run_id, summary.started_at, summary.version, summary.shard
    );
    for section in sheet::sections(summary) {
        render_section(&section, &mut text);
    }
    text
}

/// One section, below a blank line.
pub(super) fn render_section(section: &Section, text: &mut String) {
    let _ = writeln!(text, "\n## {}\n", section.title);
    if !section.head.is_empty() {
        let _ = writeln!(text, "| {} |", section.head.join(" | "));
        let number = |column: usize| section.rows.first().is_some_and(|row| row[column].number);
        let rules: Vec<&str> =
            (0..section.head.len()).map(|column| if number(column) { "---:" } else { "---" }).collect();
        let _ = writeln!(text, "| {} |", rules.join(" | "));
        for row in &section.rows {
            let fields: Vec<String> = row.iter().map(|cell| escape(&cell.text)).collect();
            let _ = writeln!(text, "| {} |", fields.join(" | "));
        }
    }
    if !section.head.is_empty() && !section.lines.is_empty() {
        text.push('\n');
    }
    for line in &section.lines {
        let _ = writeln!(text, "- {}", escape(line));
    }
}

/// Names come from profiles and servers: no markup, no end of a field, no new line.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '<' | '*' | '`' | '[' | '\\' => {
                escaped.push('\\');
                escaped.push(character);
            }
            control if control.is_control() => escaped.push(' '),
            plain => escaped.push(plain),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::verdict::judge;

    #[test]
    fn a_summary_is_a_page_with_its_tables() {
        let (profile, collected) = (sample::profile(), sample::collected());
        let summary = Summary::new(&profile, &collected, &judge(&profile, &collected), &sample::info());
        let text = render(&summary);
        assert!(text.starts_with("# PASSED · profile sample · seed 7 · target embedded · 28.5s\n"), "{text}");
        assert!(text.contains("| delivery_intended.p99 | \\<= 500ms | 1.989ms | passed |  |"), "{text}");
        assert!(text.contains("| missed_in_seam | 3 | between"), "{text}");
        assert!(text.contains("| pod-kill | pod-kill | 12s | 3s | 33 |"), "{text}");
        assert!(!text.contains("BALANCE"), "{text}");
    }

    #[test]
    fn books_that_do_not_balance_come_first() {
        let (profile, mut collected) = (sample::profile(), sample::collected());
        collected.deliveries.expected += 1;
        let summary = Summary::new(&profile, &collected, &judge(&profile, &collected), &sample::info());
        let text = render(&summary);
        let (books, objectives) = (text.find("## THE BOOKS DO NOT BALANCE"), text.find("## Objectives"));
        assert!(books.is_some() && books < objectives, "{text}");
    }

    #[test]
    fn a_field_cannot_break_out_of_its_table() {
        assert_eq!(escape("a|b\n<c>"), "a\\|b \\<c>");
    }
}
