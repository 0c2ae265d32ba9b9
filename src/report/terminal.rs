//! The summary on a terminal. It is always styled; the stream that it is printed to strips what it cannot show
//! (`NO_COLOR`, pipes).

use std::fmt::Write as _;
use std::path::Path;

use comfy_table::{
    Attribute, CellAlignment, Color, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle,
};

use super::Summary;
use super::sheet::{self, Cell, Mood, Section};
use crate::verdict::Outcome;

const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";
/// One rule below the head, nothing else.
const RULED: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A summary for a terminal of this many columns.
pub fn render(summary: &Summary, directory: &Path, columns: u16) -> String {
    let mut text = String::new();
    for section in sheet::sections(summary) {
        render_section(&section, columns, &mut text);
    }
    let colour = match summary.verdict {
        Outcome::Passed => "\x1b[32m",
        Outcome::Failed => "\x1b[31m",
        Outcome::Inconclusive => "\x1b[33m",
    };
    let _ = writeln!(text, "{BOLD}{colour}{}{PLAIN}", sheet::headline(summary));
    let _ = writeln!(text, "{}", directory.display());
    text
}

/// Sections, and what they come to.
pub(super) fn render_answer(sections: &[Section], headline: &str, columns: u16) -> String {
    let mut text = String::new();
    for section in sections {
        render_section(section, columns, &mut text);
    }
    let _ = writeln!(text, "{BOLD}{headline}{PLAIN}");
    text
}

/// One section, and a blank line.
pub(super) fn render_section(section: &Section, columns: u16, text: &mut String) {
    let _ = writeln!(text, "{BOLD}{}{PLAIN}", section.title);
    if !section.head.is_empty() {
        let _ = writeln!(text, "{}", table(section, columns));
    }
    for line in &section.lines {
        let _ = writeln!(text, "{}", wrapped(line, columns));
    }
    text.push('\n');
}

fn table(section: &Section, columns: u16) -> Table {
    let mut table = Table::new();
    table
        .load_style(RULED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(columns)
        .force_no_tty()
        .enforce_styling();
    table.set_header(
        section.head.iter().map(|head| comfy_table::Cell::new(head).add_attribute(Attribute::Bold)),
    );
    for row in &section.rows {
        table.add_row(row.iter().map(cell));
    }
    if let Some(names) = table.column_mut(0) {
        // A name in two pieces cannot be searched for.
        names.set_constraint(ColumnConstraint::ContentWidth);
    }
    table
}

fn cell(cell: &Cell) -> comfy_table::Cell {
    let mut styled = comfy_table::Cell::new(&cell.text);
    if cell.number {
        styled = styled.set_alignment(CellAlignment::Right);
    }
    match cell.mood {
        Mood::Plain => styled,
        Mood::Good => styled.fg(Color::Green),
        Mood::Bad => styled.fg(Color::Red),
        Mood::Open => styled.fg(Color::Yellow),
    }
}

/// A sentence on lines that fit, as an item of a list.
fn wrapped(line: &str, columns: u16) -> String {
    let width = usize::from(columns).max(40) - 2;
    let mut text = String::from("- ");
    let mut used = 0;
    for word in line.split_whitespace() {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            text.push_str("\n  ");
            used = 0;
        } else if used > 0 {
            text.push(' ');
            used += 1;
        }
        text.push_str(word);
        used += length;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::verdict::judge;

    fn text(spoil: fn(&mut crate::collector::collected::Collected)) -> String {
        let (profile, mut collected) = (sample::profile(), sample::collected());
        spoil(&mut collected);
        let summary = Summary::new(&profile, &collected, &judge(&profile, &collected), &sample::info());
        render(&summary, Path::new("reports/sample-20260517T131003Z-7"), 110)
    }

    #[test]
    fn the_verdict_and_the_path_come_last() {
        let text = text(|_| ());
        let mut lines = text.lines().rev();
        assert_eq!(lines.next(), Some("reports/sample-20260517T131003Z-7"));
        assert!(lines.next().is_some_and(|line| line.contains("PASSED")), "{text}");
        assert!(text.contains("client.bridge = \"stream-first\""), "{text}");
    }

    #[test]
    fn an_objective_met_for_want_of_a_number_is_not_green() {
        let text = text(|collected| collected.server.messages_dropped_total = None);
        let row = text.lines().find(|line| line.contains("messages_dropped_total")).expect("a row");
        assert!(row.contains("not exposed") && !row.contains("\x1b[38;5;10m"), "{row:?}");
        let live = text.lines().find(|line| line.contains("live ")).expect("a row");
        assert!(live.contains("\x1b[38;5;10m"), "{live:?}");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_no_name_is_cut() {
        let text = text(|collected| {
            for distribution in collected.latency.values_mut() {
                distribution.not_delivered = 400;
            }
        });
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert!(plain.contains("reconnect_lateness"), "{plain}");
        let widest = plain.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(110), "{widest:?}");
    }
}
