//! Ways of coming back from a storm, side by side: those of `size storm`, each in several runs, and those of the storm that
//! proves an answer of `size pods`, each in one.

use serde::Serialize;

use super::chart::{self, Chart, ChartError};
use super::sheet::{Cell, Mood, grouped};
use super::storms::spoken;
use crate::sizing::storm::{Played, Variant, Ways};

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
    /// In no run was there a storm that it could be read of.
    #[serde(skip)]
    pub unseen: bool,
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
        let unseen = runs.iter().all(|run| run.storm.is_none());
        Self { name, label, seconds, unseen, median, min, max }
    }

    pub(super) fn write(&self, value: Option<f64>) -> String {
        match value {
            Some(value) if self.seconds => spoken(value),
            // A median between two counts may be half of one.
            Some(value) => grouped(value.round() as u64),
            None if self.seconds && !self.unseen => "not yet".to_owned(),
            None => "unknown".to_owned(),
        }
    }

    /// The median, and the range where there is one.
    pub(super) fn cell(&self) -> Cell {
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
    pub(super) fn differs_from(&self, other: &Self) -> bool {
        let above =
            |high: &Self, low: &Self| low.max.is_some_and(|most| high.min.is_none_or(|least| least > most));
        above(self, other) || above(other, self)
    }

    /// From the median of the one to that of the other.
    pub(super) fn against(&self, before: &Self) -> String {
        let change = match (self.median, before.median) {
            (Some(now), Some(then)) if self.seconds => {
                let (by, word) = if now > then { (now - then, "later") } else { (then - now, "earlier") };
                format!(" ({} {word})", spoken(by))
            }
            (Some(now), Some(then)) if then > 0.0 => format!(" ({:+.0}%)", (now / then - 1.0) * 100.0),
            _ => String::new(),
        };
        format!("{} {} → {}{change}", self.label, before.write(before.median), self.write(self.median))
    }
}

impl VariantReport {
    /// Of these runs of it.
    pub(super) fn new(variant: Variant, ways: &Ways, runs: Vec<Played>) -> Self {
        let figures = FIGURES.iter().map(|figure| Figure::over(figure, &runs)).collect();
        Self { variant, told: variant.told(ways), figures, runs }
    }

    /// By its name, which is one of [`FIGURES`].
    pub(super) fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }
}

/// The heading of a table with a column for each of them.
pub(super) fn head<'a>(variants: impl Iterator<Item = &'a VariantReport>) -> Vec<&'static str> {
    std::iter::once("figure").chain(variants.map(|variant| variant.variant.name())).collect()
}

/// Its rows: a figure each.
pub(super) fn rows(variants: &[&VariantReport]) -> Vec<Vec<Cell>> {
    let rows = FIGURES.iter().enumerate().map(|(index, (_, label, ..))| {
        let cells = variants.iter().map(|variant| variant.figures[index].cell());
        std::iter::once(Cell::text(*label)).chain(cells).collect()
    });
    rows.collect()
}

/// How the clients came back over time: the share that is live again, and the reconnects a second.
///
/// # Errors
///
/// What cannot be drawn.
pub(super) fn charts<'a>(
    variants: impl Iterator<Item = &'a VariantReport>,
) -> Result<Vec<Chart>, ChartError> {
    let all = variants.map(|variant| chart::storm::Runs {
        variant: variant.variant,
        label: &variant.told,
        storms: variant.runs.iter().filter_map(|run| run.storm.as_ref()).collect(),
    });
    chart::storm::charts(&all.collect::<Vec<_>>())
}

/// Why nothing but the peak can be gained, where nothing else can.
pub(super) fn nobody_backed_off<'a>(
    mut variants: impl Iterator<Item = &'a VariantReport> + Clone,
) -> Option<String> {
    let documented = variants.clone().find(|variant| variant.variant == Variant::Documented)?;
    let failed = documented.runs.iter().filter_map(|run| Some(run.storm.as_ref()?.attempts_failed));
    let failed: Vec<u64> = failed.collect();
    if failed.is_empty() || failed.iter().any(|failed| *failed > 0) {
        return None;
    }
    let jitter = if variants.any(|variant| matches!(variant.variant, Variant::Jitter | Variant::Both)) {
        " and jitter, which leaves the first retry immediate, had no delay to shorten"
    } else {
        ""
    };
    Some(format!(
        "As documented, no attempt failed: what was left carried the whole herd at once. Nobody backed off,{jitter}: the \
         spread can only cost time here, and what it saves is the peak. Where what is left binds it is another matter: plant \
         what a pod carries (target.embedded.capacity.handshakes), or compare on the deployment."
    ))
}
