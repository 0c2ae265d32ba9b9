//! The answer of `size storm`: one struct, as JSON, as Markdown with plots, on a terminal.

use std::fmt::Write as _;

use serde::Serialize;

use super::chart::{self, Chart, ChartError};
use super::sheet::{Cell, Mood, Section, grouped};
use super::storms::{Storm, spoken};
use super::{markdown, terminal};
use crate::sizing::storm::play::Comparison;
use crate::sizing::storm::{Played, Variant};
use crate::verdict::Outcome;

/// `storm.json`; keys are only ever added.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `wavesoak.size-storm/1`
    pub schema: &'static str,
    /// Name of the profile.
    pub profile: String,
    /// Of wavesoak.
    pub version: &'static str,
    /// "embedded", or the deployment's URL.
    pub target: String,
    /// What made the storm.
    pub storm: String,
    /// Clients in all.
    pub clients: u32,
    /// `client.first_retry_spread` where it is spread.
    pub spread_s: f64,
    /// `client.jitter` where it is jittered.
    pub jitter: f64,
    /// Runs of each variant.
    pub repeat: u32,
    /// Every run had a storm, and none of them is the harness's own doing.
    pub conclusive: bool,
    /// Side by side.
    pub variants: Vec<VariantReport>,
    /// What the others save or cost, against the documented one.
    pub against_documented: Vec<String>,
    /// What helps to read the numbers.
    pub remarks: Vec<String>,
}

/// One way of coming back.
#[derive(Clone, Debug, Serialize)]
pub struct VariantReport {
    /// Which.
    pub variant: Variant,
    /// With its settings.
    pub told: String,
    /// Over its repeats.
    pub figures: Vec<Figure>,
    /// Each repeat.
    pub runs: Vec<Played>,
}

/// One number over the repeats. In `null` there is none: as many clients never were live again, or no run had a storm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// As in `storms` of `summary.json`.
    pub name: &'static str,
    /// In words.
    #[serde(skip)]
    pub label: &'static str,
    /// Seconds, or a count.
    #[serde(skip)]
    pub seconds: bool,
    /// The middle one, or the mean of the two in the middle.
    pub median: Option<f64>,
    /// The least.
    pub min: Option<f64>,
    /// The most; what never was is more than anything.
    pub max: Option<f64>,
}

type Read = fn(&Played) -> Option<f64>;

/// Name, label, whether it is a time, and where it is read.
const FIGURES: [(&str, &str, bool, Read); 11] = [
    ("clients", "clients that lost their stream", false, |run| Some(run.storm.as_ref()?.clients as f64)),
    ("attempts_per_s_max", "peak reconnects/s", false, |run| {
        Some(run.storm.as_ref()?.attempts_per_s_max as f64)
    }),
    ("syncs_per_s_max", "peak syncs/s", false, |run| Some(run.storm.as_ref()?.syncs_per_s_max as f64)),
    ("recovered_s.p50", "50% live again", true, |run| run.storm.as_ref()?.recovered_s.p50),
    ("recovered_s.p90", "90% live again", true, |run| run.storm.as_ref()?.recovered_s.p90),
    ("recovered_s.p99", "99% live again", true, |run| run.storm.as_ref()?.recovered_s.p99),
    ("recovered_s.p100", "all live again", true, |run| run.storm.as_ref()?.recovered_s.p100),
    ("attempts_failed", "failed attempts", false, |run| Some(run.storm.as_ref()?.attempts_failed as f64)),
    ("lost_again", "lost again within 10 s", false, |run| Some(run.storm.as_ref()?.lost_again as f64)),
    ("missed_in_seam", "missed in the seam", false, |run| Some(run.missed_in_seam as f64)),
    ("missed_after_bridging", "missed in all", false, |run| Some(run.missed_after_bridging as f64)),
];

/// Those that are held against the documented variant's.
const COMPARED: [&str; 6] = [
    "attempts_per_s_max",
    "syncs_per_s_max",
    "recovered_s.p50",
    "recovered_s.p99",
    "attempts_failed",
    "missed_in_seam",
];

impl Figure {
    fn over(
        &(name, label, seconds, read): &(&'static str, &'static str, bool, Read),
        runs: &[Played],
    ) -> Self {
        let mut all: Vec<f64> = runs.iter().map(|run| read(run).unwrap_or(f64::INFINITY)).collect();
        all.sort_unstable_by(f64::total_cmp);
        let known = |value: f64| value.is_finite().then_some(value);
        let median = match all.len() {
            0 => None,
            odd if odd % 2 == 1 => known(all[odd / 2]),
            even => known(f64::midpoint(all[even / 2 - 1], all[even / 2])),
        };
        let (min, max) = (all.first().copied().and_then(known), all.last().copied().and_then(known));
        Self { name, label, seconds, median, min, max }
    }

    fn write(&self, value: Option<f64>) -> String {
        match value {
            Some(value) if self.seconds => spoken(value),
            // A median between two counts may be half of one.
            Some(value) => grouped(value.round() as u64),
            None if self.seconds => "not yet".to_owned(),
            None => "unknown".to_owned(),
        }
    }

    /// The median, and the range where there is one.
    fn cell(&self) -> Cell {
        let median = self.write(self.median);
        let text = if self.min == self.max {
            median
        } else {
            format!("{median} ({} to {})", self.write(self.min), self.write(self.max))
        };
        let mood = if self.max.is_none() { Mood::Open } else { Mood::Plain };
        Cell::number(text).mood(mood)
    }

    /// The repeats of the one are all above, or all below, those of the other.
    fn differs_from(&self, other: &Self) -> bool {
        let above =
            |high: &Self, low: &Self| low.max.is_some_and(|most| high.min.is_none_or(|least| least > most));
        above(self, other) || above(other, self)
    }
}

impl Report {
    /// Everything that is said.
    pub fn new(comparison: &Comparison, runs: &[Played]) -> Self {
        let (profile, ways) = (&comparison.maker.profile, &comparison.ways);
        let variants: Vec<VariantReport> = comparison
            .variants
            .iter()
            .map(|&variant| {
                let runs: Vec<Played> = runs.iter().filter(|run| run.variant == variant).cloned().collect();
                let figures = FIGURES.iter().map(|figure| Figure::over(figure, &runs)).collect();
                VariantReport { variant, told: variant.told(ways), figures, runs }
            })
            .collect();
        Self {
            schema: "wavesoak.size-storm/1",
            profile: profile.name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            target: profile.target.url.clone().unwrap_or_else(|| "embedded".to_owned()),
            storm: comparison.maker.told.clone(),
            clients: profile.population.clients,
            spread_s: ways.spread.as_secs_f64(),
            jitter: ways.jitter,
            repeat: ways.repeat,
            conclusive: !runs.is_empty() && runs.iter().all(|run| run.doubt.is_none()),
            against_documented: against(&variants),
            remarks: remarks(&variants, runs),
            variants,
        }
    }

    /// `storm.json`
    ///
    /// # Errors
    ///
    /// A number that JSON has no word for.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        let mut json = serde_json::to_string_pretty(self)?;
        json.push('\n');
        Ok(json)
    }

    /// The plots that [`Self::markdown`] shows.
    ///
    /// # Errors
    ///
    /// What cannot be drawn.
    pub fn charts(&self) -> Result<Vec<Chart>, ChartError> {
        let runs = |variant: &VariantReport| -> Vec<Storm> {
            variant.runs.iter().filter_map(|run| run.storm.clone()).collect()
        };
        let storms: Vec<Vec<Storm>> = self.variants.iter().map(runs).collect();
        let all = self.variants.iter().zip(&storms).map(|(variant, storms)| chart::storm::Runs {
            variant: variant.variant,
            label: &variant.told,
            storms: storms.iter().collect(),
        });
        chart::storm::charts(&all.collect::<Vec<_>>())
    }

    /// `storm.md`, with these plots beside it.
    pub fn markdown(&self, charts: &[Chart]) -> String {
        let mut text = format!("# {}\n", self.headline());
        for (index, section) in self.sections().iter().enumerate() {
            markdown::render_section(section, &mut text);
            if index == 0 {
                text.extend(charts.iter().map(Chart::markdown));
            }
        }
        text
    }

    /// For a terminal of this many columns.
    pub fn text(&self, columns: u16) -> String {
        let mut text = String::new();
        for section in self.sections() {
            terminal::render_section(&section, columns, &mut text);
        }
        let _ = writeln!(text, "\x1b[1m{}\x1b[0m", self.headline());
        text
    }

    /// One line.
    pub fn headline(&self) -> String {
        let of = |variant: &VariantReport| {
            let figure = |name| variant.figures.iter().find(|figure| figure.name == name);
            let told = |name| figure(name).map_or_else(String::new, |figure| figure.write(figure.median));
            format!("{} {}/s, {}", variant.variant, told("attempts_per_s_max"), told("recovered_s.p99"))
        };
        let all: Vec<String> = self.variants.iter().map(of).collect();
        let open = if self.conclusive { "" } else { "INCONCLUSIVE · " };
        format!(
            "{open}reconnect storm of profile {}, peak reconnects/s and 99% back: {}",
            self.profile,
            all.join(" · ")
        )
    }

    fn sections(&self) -> [Section; 2] {
        [self.side_by_side(), self.runs()]
    }

    fn side_by_side(&self) -> Section {
        let rows = FIGURES.iter().enumerate().map(|(index, (_, label, ..))| {
            let cells = self.variants.iter().map(|variant| variant.figures[index].cell());
            std::iter::once(Cell::text(*label)).chain(cells).collect()
        });
        let settings: Vec<&str> = self.variants.iter().map(|variant| variant.told.as_str()).collect();
        let mut lines = vec![format!(
            "{} clients, {} runs each: median (least to most). Storm: {}. Variants: {}.",
            grouped(u64::from(self.clients)),
            self.repeat,
            self.storm,
            settings.join("; ")
        )];
        lines.extend(self.against_documented.iter().cloned());
        lines.extend(self.remarks.iter().cloned());
        Section {
            title: "Coming back, side by side",
            head: std::iter::once("figure")
                .chain(self.variants.iter().map(|variant| variant.variant.name()))
                .collect(),
            rows: rows.collect(),
            lines,
        }
    }

    fn runs(&self) -> Section {
        let rows = self.variants.iter().flat_map(|variant| variant.runs.iter().map(run_row));
        let doubts = self.variants.iter().flat_map(|variant| &variant.runs).filter_map(|run| {
            let doubt = run.doubt.as_ref()?;
            Some(format!("{}, repeat {}: {doubt}", run.variant, run.repeat))
        });
        Section {
            title: "Runs",
            head: vec!["variant", "repeat", "outcome", "reconnects/s", "99% back", "run", "because"],
            rows: rows.collect(),
            lines: doubts.collect(),
        }
    }
}

fn run_row(run: &Played) -> Vec<Cell> {
    let mood = match run.outcome {
        _ if run.doubt.is_some() => Mood::Open,
        Outcome::Passed => Mood::Good,
        Outcome::Failed => Mood::Bad,
        Outcome::Inconclusive => Mood::Open,
    };
    let peak =
        run.storm.as_ref().map_or_else(|| "no storm".to_owned(), |storm| grouped(storm.attempts_per_s_max));
    let within = run.storm.as_ref().and_then(|storm| storm.recovered_s.p99);
    vec![
        Cell::text(run.variant.name()),
        Cell::number(run.repeat.to_string()),
        Cell::text(run.outcome.to_string()).mood(mood),
        Cell::number(peak),
        super::storms::back(within),
        Cell::text(&run.run),
        Cell::text(run.because.first().map_or("", String::as_str)),
    ]
}

/// With fewer repeats, those of one variant lie above all of another's too often by chance (ours).
const ENOUGH: usize = 3;

/// What a variant saves or costs is said only where its repeats bear it out.
fn against(variants: &[VariantReport]) -> Vec<String> {
    let Some(documented) = variants.iter().find(|variant| variant.variant == Variant::Documented) else {
        return Vec::new();
    };
    if variants.iter().any(|variant| variant.runs.len() < ENOUGH) {
        return vec![format!(
            "What a variant saves or costs is not said of fewer than {ENOUGH} repeats: --repeat {ENOUGH} or more (--resume adds \
             them)."
        )];
    }
    let others = variants.iter().filter(|variant| variant.variant != Variant::Documented);
    others
        .map(|variant| format!("{} against documented: {}.", variant.told, differences(variant, documented)))
        .collect()
}

fn differences(variant: &VariantReport, documented: &VariantReport) -> String {
    let pairs = variant.figures.iter().zip(&documented.figures);
    let (differ, same): (Vec<_>, Vec<_>) = pairs
        .filter(|(figure, _)| COMPARED.contains(&figure.name))
        .partition(|(figure, before)| figure.differs_from(before));
    let mut told: Vec<String> = differ.iter().map(|(figure, before)| difference(figure, before)).collect();
    if !same.is_empty() {
        let same: Vec<&str> = same.iter().map(|(figure, _)| figure.label).collect();
        told.push(format!("no difference beyond that of the repeats: {}", same.join(", ")));
    }
    told.join("; ")
}

fn difference(figure: &Figure, before: &Figure) -> String {
    let change = match (figure.median, before.median) {
        (Some(now), Some(then)) if figure.seconds => {
            let (by, word) = if now > then { (now - then, "later") } else { (then - now, "earlier") };
            format!(" ({} {word})", spoken(by))
        }
        (Some(now), Some(then)) if then > 0.0 => format!(" ({:+.0}%)", (now / then - 1.0) * 100.0),
        _ => String::new(),
    };
    format!("{} {} → {}{change}", figure.label, before.write(before.median), figure.write(figure.median))
}

fn remarks(variants: &[VariantReport], runs: &[Played]) -> Vec<String> {
    let mut remarks = vec![
        "Rates are the most of any second; times run from the first loss; what never was live again is no number. The variants \
         of a repeat have the same seed, and take turns. A difference is said where all repeats of the one lie above all of the \
         other: by chance alone, 3 repeats do so in 1 of 10, and 5 in 1 of 126."
            .to_owned(),
    ];
    let documented = runs.iter().filter(|run| run.variant == Variant::Documented);
    let failed: Vec<u64> = documented.filter_map(|run| Some(run.storm.as_ref()?.attempts_failed)).collect();
    let jitters = variants.iter().any(|variant| matches!(variant.variant, Variant::Jitter | Variant::Both));
    if !failed.is_empty() && failed.iter().all(|failed| *failed == 0) {
        let jitter = if jitters {
            " and jitter, which leaves the first retry immediate, had no delay to shorten"
        } else {
            ""
        };
        remarks.push(format!(
            "As documented, no attempt failed: what was left carried the whole herd at once. Nobody backed off,{jitter}: the \
             spread can only cost time here, and what it saves is the peak. Where what is left binds it is another matter: \
             plant what a pod carries (target.embedded.capacity.handshakes), or compare on the deployment."
        ));
    }
    let several = runs.iter().map(|run| run.storms).max().unwrap_or(0);
    if several > 1 {
        remarks.push(format!(
            "Some runs had up to {several} storms: the one with the most clients is compared; the others are in the runs' own \
             summary.json."
        ));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::profile::quantity::Share;
    use crate::report::run::HookOptions;
    use crate::report::sample;
    use crate::sizing::storm::{Maker, Ways};

    fn comparison() -> Comparison {
        Comparison {
            maker: Maker::of(&sample::profile(), Share(0.3)).expect("it kills a pod"),
            variants: Variant::ALL.to_vec(),
            ways: Ways { spread: Duration::from_secs(10), jitter: 0.5, repeat: 3 },
            out: PathBuf::new(),
            exe: PathBuf::new(),
            shared: false,
            hooks: HookOptions::default(),
        }
    }

    /// Documented: 33/s and half a second, give or take; spread: 5/s and 9 s.
    fn run(variant: Variant, repeat: u32) -> Played {
        let mut storm = Storm::of(&sample::storm());
        let more = f64::from(repeat) / 10.0;
        if variant == Variant::Spread {
            (storm.attempts_per_s_max, storm.recovered_s.p99) = (3 + u64::from(repeat), Some(9.0 + more));
        } else {
            storm.recovered_s.p99 = Some(0.3 + more);
        }
        Played {
            variant,
            repeat,
            seed: 7,
            outcome: Outcome::Passed,
            because: Vec::new(),
            doubt: None,
            storm: Some(storm),
            storms: 1,
            reconnect_lateness_us_p99: Some(900),
            missed_after_bridging: 3,
            missed_in_seam: 3,
            run: format!("{variant}-{repeat}"),
        }
    }

    fn runs() -> Vec<Played> {
        (1..=3).flat_map(|repeat| Variant::ALL.map(|variant| run(variant, repeat))).collect()
    }

    #[test]
    fn variants_are_told_side_by_side_with_what_they_save_and_cost() {
        let report = Report::new(&comparison(), &runs());
        let text = report.markdown(&report.charts().expect("drawn"));
        for words in [
            "| figure | documented | spread | jitter | both |",
            "| peak reconnects/s | 33 | 5 (4 to 6) | 33 | 33 |",
            "| 99% live again | 500ms (400ms to 600ms) | 9.2s (9.1s to 9.3s) |",
            "spread 10s against documented: peak reconnects/s 33 → 5 (-85%); 99% live again 500ms → 9.2s (8.7s later); no \
             difference beyond that of the repeats: peak syncs/s, 50% live again, failed attempts, missed in the seam.",
            "![Clients live again](storm-recovery.svg)",
            "As documented, no attempt failed",
        ] {
            assert!(text.contains(words), "{words}\n{text}");
        }
        assert!(report.conclusive && !report.headline().contains("INCONCLUSIVE"));
    }

    #[test]
    fn of_two_repeats_no_difference_is_said() {
        let two: Vec<Played> = runs().into_iter().filter(|run| run.repeat < 3).collect();
        let said = Report::new(&comparison(), &two).against_documented;
        assert!(matches!(said.as_slice(), [one] if one.contains("--repeat 3 or more")), "{said:?}");
    }

    #[test]
    fn a_client_that_is_not_back_makes_the_most_unknown_and_two_the_median() {
        let mut runs = runs();
        let of_both = |runs: &[Played]| {
            let report = Report::new(&comparison(), runs);
            let figure = report.variants[3].figures.iter().find(|figure| figure.name == "recovered_s.p99");
            figure.cloned().expect("a figure")
        };
        let forget = |run: &mut Played| run.storm.as_mut().expect("a storm").recovered_s.p99 = None;
        forget(&mut runs[3]);
        let one = of_both(&runs);
        assert_eq!((one.median, one.min, one.max), (Some(0.6), Some(0.5), None));
        forget(&mut runs[7]);
        let two = of_both(&runs);
        assert_eq!((two.median, two.min), (None, Some(0.6)));
        assert_eq!(two.cell().text, "not yet (600ms to not yet)");
    }

    #[test]
    fn a_doubt_in_one_run_leaves_all_of_it_open() {
        let mut runs = runs();
        runs[5].doubt = Some("too slow".to_owned());
        let report = Report::new(&comparison(), &runs);
        assert!(!report.conclusive && report.headline().starts_with("INCONCLUSIVE"));
        assert!(report.text(110).contains("spread, repeat 2: too slow"));
    }

    #[test]
    fn everything_that_is_said_is_json() {
        let json = Report::new(&comparison(), &runs()).json().expect("JSON");
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(value["schema"], "wavesoak.size-storm/1");
        assert_eq!(value["variants"][1]["figures"][1]["median"], 5.0);
        assert_eq!(value["variants"][1]["runs"][0]["storm"]["clients"], 33);
    }
}
