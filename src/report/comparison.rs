//! The answer of `size storm`: one struct, as JSON, as Markdown with plots, on a terminal.

use serde::Serialize;

use super::chart::{Chart, ChartError};
use super::sheet::{Cell, Mood, Section, grouped};
use super::side_by_side::{self, VariantReport};
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

impl Report {
    /// Everything that is said.
    pub fn new(comparison: &Comparison, runs: &[Played]) -> Self {
        let (profile, ways) = (&comparison.maker.profile, &comparison.ways);
        let variants: Vec<VariantReport> = comparison
            .variants
            .iter()
            .map(|&variant| {
                let runs = runs.iter().filter(|run| run.variant == variant).cloned().collect();
                VariantReport::new(variant, ways, runs)
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

    /// The plots that [`Self::markdown`] shows.
    ///
    /// # Errors
    ///
    /// What cannot be drawn.
    pub fn charts(&self) -> Result<Vec<Chart>, ChartError> {
        side_by_side::charts(self.variants.iter())
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
        terminal::render_answer(&self.sections(), &self.headline(), columns)
    }

    /// One line.
    pub fn headline(&self) -> String {
        let of = |variant: &VariantReport| {
            let told =
                |name| variant.figure(name).map_or_else(String::new, |figure| figure.write(figure.median));
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
            head: side_by_side::head(self.variants.iter()),
            rows: side_by_side::rows(&self.variants.iter().collect::<Vec<_>>()),
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

/// Those that are held against the documented variant's.
const COMPARED: [&str; 6] = [
    "attempts_per_s_max",
    "syncs_per_s_max",
    "recovered_s.p50",
    "recovered_s.p99",
    "attempts_failed",
    "missed_in_seam",
];

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
    let mut told: Vec<String> = differ.iter().map(|(figure, before)| figure.against(before)).collect();
    if !same.is_empty() {
        let same: Vec<&str> = same.iter().map(|(figure, _)| figure.label).collect();
        told.push(format!("no difference beyond that of the repeats: {}", same.join(", ")));
    }
    told.join("; ")
}

fn remarks(variants: &[VariantReport], runs: &[Played]) -> Vec<String> {
    let mut remarks = vec![
        "Rates are the most of any second; times run from the first loss; what never was live again is no number. The variants \
         of a repeat have the same seed, and take turns. A difference is said where all repeats of the one lie above all of the \
         other: by chance alone, 3 repeats do so in 1 of 10, and 5 in 1 of 126."
            .to_owned(),
    ];
    remarks.extend(side_by_side::nobody_backed_off(variants.iter()));
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
    use crate::report::storms::Storm;
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
        let json = serde_json::to_string(&Report::new(&comparison(), &runs())).expect("JSON");
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(value["schema"], "wavesoak.size-storm/1");
        assert_eq!(value["variants"][1]["figures"][1]["median"], 5.0);
        assert_eq!(value["variants"][1]["runs"][0]["storm"]["clients"], 33);
    }
}
