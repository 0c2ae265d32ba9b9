//! What spread and jitter would save: the storm of the proof, with its clients coming back in other ways.
//!
//! Of which numbers of pods each way would be enough is not said. What the steps know of is the handshakes and the sync pages
//! of a recovery, and those are the same whoever comes when; what clients lose by being turned away and backing off depends
//! on how many come at once, and was measured on these pods alone. A spread adds its own length as a bound, which is said.

use serde::Serialize;

use crate::profile::quantity::Written as _;
use crate::report::chart::{Chart, ChartError};
use crate::report::sheet::{Cell, Section, grouped};
use crate::report::side_by_side::{self, VariantReport};
use crate::report::storms::spoken;
use crate::sizing::prove::Weathered;
use crate::sizing::storm::{Played, Variant, Ways};

/// The ways of coming back from one storm, side by side.
#[derive(Clone, Debug, Serialize)]
pub struct SavingsReport {
    /// Pods before.
    pub pods: u32,
    /// Of these, so many died in mid-hold.
    pub lose: u32,
    /// `client.first_retry_spread` where it is spread.
    pub spread_s: f64,
    /// `client.jitter` where it is jittered.
    pub jitter: f64,
    /// Every way was played, had a storm, and is not the harness's own doing.
    pub conclusive: bool,
    /// Side by side; the documented one first.
    pub ways: Vec<WayReport>,
    /// What they save and cost, in words, and what it rests on.
    pub said: Vec<String>,
}

/// One way of coming back.
#[derive(Clone, Debug, Serialize)]
pub struct WayReport {
    /// As `storm.json` of `size storm` has it: its figures, and its run; none, where it could not be played.
    #[serde(flatten)]
    pub way: VariantReport,
    /// Why it was not played.
    pub not_played: Option<String>,
    /// Until the last client is back by the steps: the handshakes and sync pages of all of them, or the length of the spread,
    /// just short of which the last of them begins, whichever is longer. Nobody is taken to be turned away.
    pub recovery_s_computed: f64,
    /// Against the documented way, until the last client was live again; below 0 it costs so many. Null: it is the documented
    /// one, one of the two cannot be believed, or somebody was not back.
    pub recovery_s_saved: Option<f64>,
    /// Attempts to become live again, likewise.
    pub attempts_saved: Option<i64>,
    /// The most of them in any second, likewise.
    pub attempts_per_s_max_saved: Option<i64>,
}

pub(super) const TITLE: &str = "What spread and jitter would save";

impl SavingsReport {
    /// Everything that is said of them.
    pub fn new(weathered: &Weathered) -> Self {
        let documented = weathered.runs.iter().find(|(variant, _)| *variant == Variant::Documented);
        let documented = documented.and_then(|(_, run)| run.as_ref().ok());
        let ways: Vec<WayReport> = weathered
            .runs
            .iter()
            .map(|(variant, run)| WayReport::new(weathered, *variant, run, documented))
            .collect();
        Self {
            pods: weathered.proof.pods,
            lose: weathered.proof.lose,
            spread_s: weathered.ways.spread.as_secs_f64(),
            jitter: weathered.ways.jitter,
            conclusive: ways.iter().all(|way| way.open().is_none()),
            said: said(weathered, &ways),
            ways,
        }
    }

    /// How the clients came back over time.
    pub(super) fn charts(&self) -> Result<Vec<Chart>, ChartError> {
        side_by_side::charts(self.played())
    }

    /// A way that was not played has no column; the sentences say why.
    fn played(&self) -> impl Iterator<Item = &VariantReport> {
        self.ways.iter().map(|way| &way.way).filter(|way| !way.runs.is_empty())
    }

    pub(super) fn section(&self) -> Section {
        let columns: Vec<&VariantReport> = self.played().collect();
        let row = |label: &str, cells: &mut dyn Iterator<Item = Cell>| -> Vec<Cell> {
            std::iter::once(Cell::text(label)).chain(cells).collect()
        };
        let mut rows = side_by_side::rows(&columns);
        let ways = || self.ways.iter().filter(|way| !way.way.runs.is_empty());
        let computed = ways().map(|way| Cell::number(spoken(way.recovery_s_computed)));
        rows.push(row("all live again, computed", &mut computed.into_iter()));
        let recovery = ways().map(|way| way.saved(way.recovery_s_saved, |saved| signed(saved, spoken)));
        rows.push(row("recovery saved", &mut recovery.into_iter()));
        let attempts = ways().map(|way| {
            let count = |saved: i64| signed(saved as f64, |saved| grouped(saved as u64));
            way.saved(way.attempts_saved, count)
        });
        rows.push(row("attempts saved", &mut attempts.into_iter()));
        let outcomes = columns.iter().map(|way| super::sections::outcome(way.runs[0].outcome));
        rows.push(row("outcome", &mut outcomes.into_iter()));
        Section {
            title: TITLE,
            head: side_by_side::head(columns.iter().copied()),
            rows,
            lines: self.said.clone(),
        }
    }
}

impl WayReport {
    fn new(
        weathered: &Weathered,
        variant: Variant,
        run: &Result<Played, String>,
        documented: Option<&Played>,
    ) -> Self {
        let ways = &weathered.ways;
        let spread = variant.spread(ways);
        let against = documented.filter(|_| variant != Variant::Documented);
        let storms = against
            .zip(run.as_ref().ok())
            .filter(|(before, now)| before.doubt.is_none() && now.doubt.is_none());
        let storms = storms.and_then(|(before, now)| Some((before.storm.as_ref()?, now.storm.as_ref()?)));
        let fewer = |before: u64, now: u64| before as i64 - now as i64;
        Self {
            way: VariantReport::new(variant, ways, run.iter().cloned().collect()),
            not_played: run.as_ref().err().cloned(),
            recovery_s_computed: weathered.computed.recovery.max(spread).as_secs_f64(),
            recovery_s_saved: storms
                .and_then(|(before, now)| Some(before.recovered_s.p100? - now.recovered_s.p100?)),
            attempts_saved: storms.map(|(before, now)| fewer(before.attempts, now.attempts)),
            attempts_per_s_max_saved: storms
                .map(|(before, now)| fewer(before.attempts_per_s_max, now.attempts_per_s_max)),
        }
    }

    /// Why its figures are not to be believed.
    fn open(&self) -> Option<String> {
        let not_played = self.not_played.as_ref().map(|why| format!("not played: {why}"));
        not_played.or_else(|| self.way.runs.first()?.doubt.clone())
    }

    fn saved<T>(&self, saved: Option<T>, write: impl FnOnce(T) -> String) -> Cell {
        match saved {
            Some(saved) => Cell::number(write(saved)),
            None if self.way.variant == Variant::Documented => Cell::number(""),
            None => super::sections::open("not known"),
        }
    }

    /// What it saves, and what it costs.
    fn told(&self, documented: &VariantReport) -> String {
        let told = &self.way.told;
        let recovery = match self.recovery_s_saved {
            Some(saved) => format!("{} of recovery", verb(saved, spoken)),
            None => format!(
                "what it does to the recovery is not known (all live again: {}, as documented {})",
                self.figure("recovered_s.p100"),
                figure(documented, "recovered_s.p100")
            ),
        };
        let attempts = match self.attempts_saved {
            Some(0) => "as many attempts".to_owned(),
            Some(saved) => {
                let word = if saved.abs() == 1 { "attempt" } else { "attempts" };
                verb(saved as f64, |saved| format!("{} {word}", grouped(saved as u64)))
            }
            None => "what it does to the attempts is not known".to_owned(),
        };
        let pairs = COMPARED.iter().filter_map(|name| self.way.figure(name).zip(documented.figure(name)));
        let (differ, same): (Vec<_>, Vec<_>) = pairs.partition(|(now, before)| now.differs_from(before));
        let differ = differ.iter().map(|(now, before)| now.against(before));
        let same: Vec<&str> = same.iter().map(|(now, _)| now.label).collect();
        let same = (!same.is_empty()).then(|| format!("no difference: {}", same.join(", ")));
        let figures: Vec<String> = differ.chain(same).collect();
        format!("{told} against documented: {recovery}; {attempts}; {}.", figures.join("; "))
    }

    fn figure(&self, name: &str) -> String {
        figure(&self.way, name)
    }
}

fn figure(way: &VariantReport, name: &str) -> String {
    way.figure(name).map_or_else(String::new, |figure| figure.write(figure.median))
}

/// What is told beside the recovery and the attempts.
const COMPARED: [&str; 4] = ["attempts_per_s_max", "syncs_per_s_max", "attempts_failed", "missed_in_seam"];

/// "saves 3s", "costs 3s".
fn verb(saved: f64, write: impl Fn(f64) -> String) -> String {
    let word = if saved < 0.0 { "costs" } else { "saves" };
    format!("{word} {}", write(saved.abs()))
}

/// "+3s", "-3s"; "0s" of nothing.
fn signed(saved: f64, write: impl Fn(f64) -> String) -> String {
    let sign = if saved > 0.0 {
        "+"
    } else if saved < 0.0 {
        "-"
    } else {
        ""
    };
    format!("{sign}{}", write(saved.abs()))
}

fn said(weathered: &Weathered, ways: &[WayReport]) -> Vec<String> {
    let Weathered { proof, ways: settings, .. } = weathered;
    let mut said = vec![format!(
        "The storm of the proof: {} of {} pods die under the whole load, all must be back in {}. Rates are the most of any \
         second; times run from the first loss. The steps compute the time in which all hands are shaken if nobody is turned \
         away; whoever is, backs off, and takes longer.",
        proof.lose,
        proof.pods,
        proof.within.show()
    )];
    let documented = ways.iter().find(|way| way.way.variant == Variant::Documented);
    if let Some(documented) = documented.filter(|documented| documented.open().is_none()) {
        let others = ways.iter().filter(|way| way.way.variant != Variant::Documented && way.open().is_none());
        said.extend(others.map(|way| way.told(&documented.way)));
    }
    said.extend(ways.iter().filter_map(|way| {
        let why = way.open()?;
        Some(format!("INCONCLUSIVE, {}: {why}. What it saves or costs is not said.", way.way.told))
    }));
    if settings.spread > proof.within {
        said.push(format!(
            "The spread is itself longer than the {} in which all must be back: with it, no number of pods can be counted on. \
             A shorter one: --spread.",
            proof.within.show()
        ));
    }
    said.extend(side_by_side::nobody_backed_off(ways.iter().map(|way| &way.way)));
    let runs = ways.iter().filter_map(|way| {
        let run = way.way.runs.first()?;
        let because = run.because.first().map_or_else(String::new, |because| format!(" ({because})"));
        Some(format!("{}: {}, {}{because}", way.way.told, run.run, run.outcome))
    });
    said.push(format!("Runs: {}.", runs.collect::<Vec<_>>().join("; ")));
    said.extend(again(settings, ways));
    said
}

/// A difference between two runs may be chance, and this is no place to repeat them.
fn again(settings: &Ways, ways: &[WayReport]) -> Option<String> {
    let own = ways.iter().find_map(|way| way.way.runs.first())?;
    Some(format!(
        "One run each, all with the same seed: how much of a difference is chance is not known. To repeat the \
         storm, in the directory of this answer: wavesoak size storm {}/profile.toml --spread {} --jitter {} --repeat 3",
        own.run,
        settings.spread.show(),
        settings.jitter
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::sample;
    use crate::report::storms::Storm;
    use crate::sizing::answer::Survival;
    use crate::sizing::goal::Resource;
    use crate::sizing::proof::Proof;
    use crate::verdict::Outcome;

    /// Documented: 33 attempts a second, of 66 half fail, all back after 2.6 s; spread: 6, none, 9.5 s; jitter as documented,
    /// half a second and two attempts less.
    fn run(variant: Variant) -> Played {
        let mut storm = Storm::of(&sample::storm());
        (storm.attempts, storm.attempts_failed, storm.recovered_s.p100) = match variant {
            Variant::Documented => (66, 33, Some(2.6)),
            Variant::Spread => (33, 0, Some(9.5)),
            _ => (64, 31, Some(2.1)),
        };
        if variant == Variant::Spread {
            storm.attempts_per_s_max = 6;
        }
        Played {
            variant,
            repeat: 1,
            seed: 7,
            outcome: Outcome::Passed,
            because: Vec::new(),
            doubt: None,
            storm: Some(storm),
            storms: 1,
            reconnect_lateness_us_p99: Some(900),
            missed_after_bridging: 3,
            missed_in_seam: 3,
            run: format!("run-{variant}"),
        }
    }

    pub(in crate::report::sizing) fn weathered(within_s: u64) -> Weathered {
        let recovery = Duration::from_millis(1_650);
        let tightest = (Resource::Connections, 0.2);
        let (storm, slowest) = (33.0, Resource::Handshakes);
        Weathered {
            proof: Proof { pods: 3, lose: 1, within: Duration::from_secs(within_s) },
            computed: Survival { pods: 3, left: 2, carries: true, tightest, storm, recovery, slowest },
            ways: Ways { spread: Duration::from_secs(10), jitter: 0.5, repeat: 1 },
            runs: [Variant::Documented, Variant::Spread, Variant::Jitter]
                .map(|variant| (variant, Ok(run(variant))))
                .into(),
        }
    }

    fn told(weathered: &Weathered) -> (SavingsReport, String) {
        let report = SavingsReport::new(weathered);
        let mut text = String::new();
        crate::report::markdown::render_section(&report.section(), &mut text);
        (report, text)
    }

    #[test]
    fn each_way_is_told_with_what_it_saves_and_costs_and_with_its_run() {
        let (report, text) = told(&weathered(30));
        for words in [
            "| figure | documented | spread | jitter |",
            "| peak reconnects/s | 33 | 6 | 33 |",
            "| all live again | 2.6s | 9.5s | 2.1s |",
            "| all live again, computed | 1.65s | 10s | 1.65s |",
            "| recovery saved |  | -6.9s | +500ms |",
            "| attempts saved |  | +33 | +2 |",
            "spread 10s against documented: costs 6.9s of recovery; saves 33 attempts; peak reconnects/s 33 → 6 (-82%); \
             failed attempts 33 → 0 (-100%); no difference: peak syncs/s, missed in the seam.",
            "jitter 0.5 against documented: saves 500ms of recovery; saves 2 attempts; failed attempts 33 → 31 (-6%);",
            "documented: run-documented, passed; spread 10s: run-spread, passed; jitter 0.5: run-jitter, passed.",
            "run-documented/profile.toml --spread 10s --jitter 0.5 --repeat 3",
        ] {
            assert!(text.contains(words), "{words}\n{text}");
        }
        assert!(
            report.conclusive && !text.contains("INCONCLUSIVE") && !text.contains("itself longer"),
            "{text}"
        );
        assert_eq!(report.ways[0].recovery_s_saved, None, "nothing is held against itself");
    }

    #[test]
    fn what_the_harness_had_a_part_in_is_said_and_saves_nothing() {
        let mut late = weathered(30);
        let run = late.runs[1].1.as_mut().expect("played");
        (run.outcome, run.doubt) = (Outcome::Inconclusive, Some("its own timers by 600 ms".to_owned()));
        let (report, text) = told(&late);
        let saved =
            |report: &SavingsReport| report.ways.iter().map(|way| way.attempts_saved).collect::<Vec<_>>();
        assert_eq!((report.conclusive, saved(&report)), (false, vec![None, None, Some(2)]));
        assert!(text.contains("INCONCLUSIVE, spread 10s: its own timers by 600 ms"), "{text}");
        assert!(text.contains("| attempts saved |  | not known | +2 |"), "{text}");
        assert!(!text.contains("spread 10s against documented"), "{text}");

        // Where the documented one is in doubt, nothing is held against it.
        let mut late = weathered(30);
        late.runs[0].1.as_mut().expect("played").doubt = Some("too slow".to_owned());
        let (report, text) = told(&late);
        assert_eq!(saved(&report), [None; 3]);
        assert!(!text.contains("against documented:"), "{text}");
    }

    #[test]
    fn a_way_that_was_not_played_or_had_no_storm_has_no_figures() {
        let mut less = weathered(30);
        less.runs[1].1 = Err("failed to find room".to_owned());
        let run = less.runs[2].1.as_mut().expect("played");
        (run.storm, run.doubt) = (None, Some("nothing that is a storm".to_owned()));
        let (report, text) = told(&less);
        assert!(!report.conclusive);
        assert!(text.contains("| figure | documented | jitter |"), "{text}");
        assert!(text.contains("| all live again | 2.6s | unknown |"), "never there is not late: {text}");
        assert!(text.contains("INCONCLUSIVE, spread 10s: not played: failed to find room"), "{text}");
        assert!(text.contains("INCONCLUSIVE, jitter 0.5: nothing that is a storm"), "{text}");
    }

    #[test]
    fn who_is_not_back_makes_the_recovery_unknown_and_not_the_attempts() {
        let mut lost = weathered(30);
        let run = lost.runs[0].1.as_mut().expect("played");
        run.storm.as_mut().expect("a storm").recovered_s.p100 = None;
        let (report, text) = told(&lost);
        assert_eq!((report.ways[1].recovery_s_saved, report.ways[1].attempts_saved), (None, Some(33)));
        let says = "what it does to the recovery is not known (all live again: 9.5s, as documented not yet)";
        assert!(text.contains(says), "{text}");
    }

    #[test]
    fn a_spread_that_is_longer_than_the_time_to_recover_is_called_so() {
        let (_, text) = told(&weathered(8));
        assert!(text.contains("The spread is itself longer than the 8s in which all must be back"), "{text}");
    }
}
