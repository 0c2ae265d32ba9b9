//! The detection matrix: every defect, what was planted of it, and what was reported.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::{Cell, Evidence, Row, reported};
use crate::verdict::Outcome;

/// All rows that were played, in the order of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Matrix {
    /// `wavesoak.matrix/1`
    pub schema: &'static str,
    /// Of wavesoak.
    pub version: &'static str,
    /// Every row is exact.
    pub exact: bool,
    /// The rows.
    pub rows: Vec<Line>,
}

/// One row, played.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The row's name.
    pub name: &'static str,
    /// What was planted, in words.
    pub defect: &'static str,
    /// Everything in it is planted by coordinates: sockets and virtual time must agree to the unit.
    pub deterministic: bool,
    /// The verdict of the run; none: it came to no report.
    pub verdict: Option<Outcome>,
    /// Every cell is exact, and the run came to its end.
    pub exact: bool,
    /// The harness said of itself that it was the bottleneck of this run.
    pub bottleneck: bool,
    /// What was expected to be reported, then what should not be there.
    pub cells: Vec<Cell>,
    /// Lines of `findings.jsonl` by kind.
    pub findings: BTreeMap<String, u64>,
    /// Why it came to no report.
    pub error: Option<String>,
}

/// What a key of the summary stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// An event that came, but not as it should have.
    Class,
    /// Where a missed event got lost.
    Place,
    /// Whether the server still has a missed event.
    Store,
    /// How a publish ended.
    Publish,
    /// Why a connection ended.
    Cause,
    /// What else clients or the server's own counters said.
    Signal,
}

impl Matrix {
    /// Of these rows.
    pub fn new(rows: Vec<Line>) -> Self {
        let exact = rows.iter().all(|row| row.exact);
        Self { schema: "wavesoak.matrix/1", version: env!("CARGO_PKG_VERSION"), exact, rows }
    }

    /// Rows that are not exact.
    pub fn wrong(&self) -> impl Iterator<Item = &Line> {
        self.rows.iter().filter(|row| !row.exact)
    }

    /// Whether each row that is not exact was one in which the harness was the bottleneck, and there is such a row:
    /// then nobody can tell.
    pub fn is_inconclusive(&self) -> bool {
        !self.exact && self.wrong().all(|row| row.bottleneck)
    }

    /// In one sentence.
    pub fn headline(&self) -> String {
        let wrong = self.wrong().count();
        let deterministic = self.rows.iter().filter(|row| row.deterministic).count();
        let rows = self.rows.len();
        let all = format!("{rows} rows, {deterministic} of them held against virtual time to the unit");
        match wrong {
            0 => format!("EXACT · {all}"),
            wrong => format!("NOT EXACT · {wrong} of {all}"),
        }
    }

    /// As a table in GitHub's Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::from("# Detection matrix\n\n");
        let _ = writeln!(text, "{}\n", self.headline());
        text.push_str(INTRODUCTION);
        text.push_str("| row | defect | reported as | planted | reported | virtual time | verdict | |\n");
        text.push_str("|---|---|---|---:|---:|---:|---|---|\n");
        for row in &self.rows {
            for fields in row.fields() {
                let _ = writeln!(text, "| {} |", fields.join(" | ").replace('\n', " "));
            }
        }
        text
    }
}

const INTRODUCTION: &str = "\
`wavesoak selftest` plants each defect in a small run over real sockets, and holds what the run reports against what the \
target knows that it did. A row is exact when everything that it should report is reported, to the unit, when nothing \
else is, and when `findings.jsonl` has a line for each. *planted* is the target's (of faults on the client's side, the \
network's) own count of effects. *virtual time* is the same plan in the simulator, where faults are planted by coordinates \
and the two are comparable. *reported as* is the class, place, store or signal, and its key in `summary.json`.\n\n";

impl Line {
    /// A row that was played.
    pub fn judged(row: &Row, over_sockets: &Evidence, in_virtual_time: Option<&Evidence>) -> Self {
        let mut cells = row.judge(over_sockets);
        if let Some(virtually) = in_virtual_time {
            agree(&mut cells, over_sockets, virtually);
        }
        Self {
            name: row.name,
            defect: row.defect,
            deterministic: in_virtual_time.is_some(),
            verdict: Some(over_sockets.summary.verdict),
            exact: cells.iter().all(|cell| cell.exact),
            bottleneck: over_sockets.summary.harness.bottleneck,
            cells,
            findings: over_sockets.findings.clone(),
            error: None,
        }
    }

    /// A row that could not be played.
    pub fn broken(row: &Row, error: String) -> Self {
        Self {
            name: row.name,
            defect: row.defect,
            deterministic: row.is_deterministic(),
            verdict: None,
            exact: false,
            bottleneck: false,
            cells: Vec::new(),
            findings: BTreeMap::new(),
            error: Some(error),
        }
    }

    /// Its lines of a table: name, defect, key, planted, reported, virtual time, verdict, and whether it is exact. Name,
    /// defect and verdict are said once.
    pub fn fields(&self) -> Vec<[String; 8]> {
        let verdict = self.verdict.map_or_else(String::new, |verdict| verdict.to_string());
        let mut lines: Vec<[String; 8]> = self.cells.iter().map(Cell::fields).collect();
        if let Some(error) = &self.error {
            lines.push(["", "", error, "", "", "", "", "not played"].map(str::to_owned));
        }
        if lines.is_empty() {
            lines.push(["", "", "nothing", "0", "0", "", "", "exact"].map(str::to_owned));
        }
        if let Some(first) = lines.first_mut() {
            first[0] = self.name.to_owned();
            first[1] = self.defect.to_owned();
            first[6] = verdict;
        }
        lines
    }
}

impl Cell {
    fn fields(&self) -> [String; 8] {
        let meaning = Meaning::of(&self.key).word();
        let virtually = self.in_virtual_time.map_or_else(String::new, |count| count.to_string());
        [
            String::new(),
            String::new(),
            format!("{meaning} `{}`", self.key),
            format!("{}{}", if self.at_least { "≥ " } else { "" }, self.planted),
            self.reported.to_string(),
            virtually,
            String::new(),
            if self.exact { "exact" } else { "WRONG" }.to_owned(),
        ]
    }
}

impl Meaning {
    /// Of a key as [`reported()`] has it.
    pub fn of(key: &str) -> Self {
        match key {
            "recoverable" | "lost_by_server" | "signalled_loss" | "unaudited" => Self::Store,
            "rejected" | "unknown" | "unsent" | "double_stored" => Self::Publish,
            _ if key.starts_with("missed_") => Self::Place,
            _ if key.starts_with("disconnects.") || key.starts_with("close_code.") => Self::Cause,
            "expected" | "duplicate" | "out_of_order" | "interleaved" | "redelivered" | "replayed"
            | "overlap" | "late_live" | "late_bridged" | "leaked" | "leaked_room" | "foreign"
            | "unexpected" | "below_cursor" | "stream_omitted" | "sync_hole" | "resurrected" | "unowed"
            | "undecided" => Self::Class,
            _ => Self::Signal,
        }
    }

    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Class => "class",
            Self::Place => "place",
            Self::Store => "store",
            Self::Publish => "publish",
            Self::Cause => "cause",
            Self::Signal => "signal",
        }
    }
}

/// What two engines must agree on when everything is planted by coordinates and traffic waits for everyone.
const AGREED: [&str; 8] = [
    "expected",
    "lost_by_server",
    "missed_on_stream",
    "duplicate",
    "unexpected",
    "leaked",
    "leaked_room",
    "out_of_order",
];

/// Adds what virtual time says; where it says something else, the cell is not exact.
fn agree(cells: &mut Vec<Cell>, over_sockets: &Evidence, in_virtual_time: &Evidence) {
    let (real, model) = (reported(&over_sockets.summary), reported(&in_virtual_time.summary));
    for key in AGREED {
        let (real, model) = (real.get(key), model.get(key));
        match cells.iter_mut().find(|cell| cell.key == key) {
            Some(cell) => {
                cell.in_virtual_time = Some(model);
                cell.exact &= real == model;
            }
            None if real != model || key == "expected" => {
                let exact = real == model;
                cells.push(Cell { in_virtual_time: Some(model), ..Cell::new(key, model, real, exact) });
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selftest::rows;

    fn row(name: &str) -> &'static Row {
        rows().iter().find(|row| row.name == name).expect("a row")
    }

    fn played(name: &str, spoil: fn(&mut Evidence)) -> Line {
        let (row, model) = (row(name), row(name).simulate().expect("it ends"));
        let mut evidence = model.clone();
        spoil(&mut evidence);
        Line::judged(row, &evidence, row.is_deterministic().then_some(&model))
    }

    fn wrong(line: &Line) -> Vec<&str> {
        line.cells.iter().filter(|cell| !cell.exact).map(|cell| cell.key.as_str()).collect()
    }

    #[test]
    fn a_row_that_reports_what_was_planted_is_exact() {
        let line = played("lose-in-store", |_| ());
        assert!(line.exact && line.deterministic, "{line:?}");
        let lost = line.cells.iter().find(|cell| cell.key == "lost_by_server").expect("a cell");
        assert_eq!((lost.planted, lost.reported, lost.in_virtual_time), (7, 7, Some(7)));
        assert!(!row("reset").is_deterministic());
    }

    #[test]
    fn one_too_few_one_too_many_and_a_line_too_few_are_not_exact() {
        let few = played("lose-in-store", |evidence| evidence.summary.deliveries.lost_by_server -= 1);
        assert_eq!(wrong(&few), ["lost_by_server"]);
        let stray = played("lose-in-store", |evidence| evidence.summary.deliveries.duplicate += 1);
        assert_eq!(wrong(&stray), ["duplicate", "findings.duplicate"]);
        let silent =
            played("lose-in-store", |evidence| *evidence.findings.get_mut("missed").expect("7") -= 1);
        assert_eq!(wrong(&silent), ["findings.missed"]);
        let clean = played("clean", |evidence| evidence.summary.deliveries.late_live = 1);
        assert_eq!(wrong(&clean), ["late_live"]);
    }

    #[test]
    fn engines_that_disagree_are_not_exact() {
        let line = played("clean", |evidence| {
            evidence.summary.deliveries.expected += 1;
            evidence.summary.deliveries.live += 1;
        });
        assert_eq!(wrong(&line), ["expected"]);
    }

    #[test]
    fn a_defect_that_was_never_planted_shows_nothing() {
        let line = played("lose-in-store", |evidence| evidence.truth.faults.clear());
        assert_eq!(wrong(&line), ["missed_on_stream", "lost_by_server", "stream_omitted"]);
    }

    #[test]
    fn what_the_documented_order_passes_over_by_accident_is_known_to_the_target() {
        let passed = |evidence: &mut Evidence| {
            evidence.truth.in_seam += 2;
            let deliveries = &mut evidence.summary.deliveries;
            deliveries.live -= 2;
            deliveries.missed_after_bridging += 2;
            deliveries.missed_in_seam += 2;
            deliveries.recoverable += 2;
            evidence.findings.insert("missed".to_owned(), 2);
        };
        assert!(played("reset", passed).exact);
        let untold = played("reset", |evidence| evidence.truth.in_seam += 1);
        assert_eq!(wrong(&untold), ["missed_in_seam"]);
    }

    #[test]
    fn only_a_harness_that_was_in_the_way_makes_it_inconclusive() {
        let mut few = played("lose-in-store", |evidence| evidence.summary.deliveries.lost_by_server -= 1);
        assert!(!Matrix::new(vec![few.clone()]).is_inconclusive());
        few.bottleneck = true;
        assert!(Matrix::new(vec![few.clone()]).is_inconclusive());
        let broken = Line::broken(row("clean"), "no target".to_owned());
        let matrix = Matrix::new(vec![few, broken]);
        assert!(!matrix.exact && !matrix.is_inconclusive());
        assert!(matrix.markdown().contains("| no target |"), "{}", matrix.markdown());
    }
}
