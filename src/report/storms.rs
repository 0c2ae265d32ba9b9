//! Reconnect storms, as `summary.json` and people have them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::sheet::{Cell, Mood, Section, grouped};
use crate::collector::collected::{self, BIN, Bin};
use crate::verdict::Unit;

/// One of `storms`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Storm {
    /// The latest planted fault that may be behind it; null: none.
    pub fault: Option<String>,
    /// When that began.
    pub fault_at_s: Option<f64>,
    /// When the first stream was lost: the storm's beginning.
    pub at_s: f64,
    /// From then to the last loss.
    pub losses_s: f64,
    /// Clients that lost their stream.
    pub clients: u64,
    /// Those that were live again.
    pub recovered: u64,
    /// From the storm's beginning until so many of all clients were.
    pub recovered_s: Recovered,
    /// By the number of their attempt.
    pub recovered_by_attempt: BTreeMap<u32, u64>,
    /// Lost the new stream within 10 s.
    pub lost_again: u64,
    /// Gave up, or were taken away by the plan, before they were live again.
    pub stopped: u64,
    /// Attempts to become live.
    pub attempts: u64,
    /// Those that failed.
    pub attempts_failed: u64,
    /// The most that began in one second.
    pub attempts_per_s_max: u64,
    /// Sync requests.
    pub syncs: u64,
    /// The most that were sent in one second.
    pub syncs_per_s_max: u64,
    /// The same over time.
    pub series: Series,
}

/// Seconds from the storm's beginning until so many of its clients were live again; null: so many never were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are their own words")]
pub struct Recovered {
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p99: Option<f64>,
    pub p100: Option<f64>,
}

/// Counts by time, each list as long as the others: at most [`POINTS`], in the first five minutes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// When the first of them begins, seconds since the run began.
    pub from_s: f64,
    /// How much time each is of.
    pub step_s: f64,
    /// Streams lost.
    pub lost: Vec<u64>,
    /// Attempts begun.
    pub attempts: Vec<u64>,
    /// Attempts failed.
    pub failed: Vec<u64>,
    /// Sync requests sent.
    pub syncs: Vec<u64>,
    /// Clients live again.
    pub recovered: Vec<u64>,
}

/// Longer series are told in steps of twice the time, of four times …
const POINTS: usize = 300;

impl Storm {
    /// As it was counted.
    pub fn of(storm: &collected::Storm) -> Self {
        let within = |share| storm.recovered_within(share).map(|time| time.as_secs_f64());
        Self {
            fault: storm.fault.as_ref().map(|(name, _)| name.clone()),
            fault_at_s: storm.fault.as_ref().map(|(_, at)| at.as_secs_f64()),
            at_s: storm.began.as_secs_f64(),
            losses_s: storm.last_loss.since(storm.began).as_secs_f64(),
            clients: storm.clients,
            recovered: storm.recovered.len() as u64,
            recovered_s: Recovered {
                p50: within(0.5),
                p90: within(0.9),
                p99: within(0.99),
                p100: within(1.0),
            },
            recovered_by_attempt: storm.by_attempt.clone(),
            lost_again: storm.lost_again,
            stopped: storm.stopped,
            attempts: storm.attempts,
            attempts_failed: storm.failed,
            attempts_per_s_max: storm.attempts_per_s_max(),
            syncs: storm.syncs,
            syncs_per_s_max: storm.syncs_per_s_max(),
            series: Series::of(&storm.series),
        }
    }
}

impl Series {
    fn of(series: &collected::Series) -> Self {
        let bins = series.bins();
        let mut width = 1;
        while bins.len().div_ceil(width) > POINTS {
            width *= 2;
        }
        let list =
            |what: fn(&Bin) -> u64| bins.chunks(width).map(|bins| bins.iter().map(what).sum()).collect();
        Self {
            from_s: series.begins().as_secs_f64(),
            step_s: BIN.as_secs_f64() * width as f64,
            lost: list(|bin| bin.lost),
            attempts: list(|bin| bin.attempts),
            failed: list(|bin| bin.failed),
            syncs: list(|bin| bin.syncs),
            recovered: list(|bin| bin.recovered),
        }
    }
}

/// Nothing, where there was no storm.
pub(super) fn section(storms: &[Storm]) -> Section {
    Section {
        title: "Reconnect storms",
        head: vec![
            "storm",
            "clients",
            "reconnects/s",
            "syncs/s",
            "50% back",
            "90% back",
            "99% back",
            "all back",
            "failed attempts",
        ],
        rows: storms.iter().map(row).collect(),
        lines: storms.iter().map(line).collect(),
    }
}

fn row(storm: &Storm) -> Vec<Cell> {
    let within = storm.recovered_s;
    vec![
        Cell::text(name(storm)),
        Cell::count(storm.clients),
        Cell::count(storm.attempts_per_s_max),
        Cell::count(storm.syncs_per_s_max),
        back(within.p50),
        back(within.p90),
        back(within.p99),
        back(within.p100),
        Cell::count(storm.attempts_failed),
    ]
}

fn name(storm: &Storm) -> &str {
    storm.fault.as_deref().unwrap_or("no planted fault")
}

/// What is not known to have happened is never a time.
pub(super) fn back(seconds: Option<f64>) -> Cell {
    match seconds {
        Some(seconds) => Cell::number(spoken(seconds)),
        None => Cell::number("not yet").mood(Mood::Open),
    }
}

/// To the millisecond, as latencies are written.
pub(crate) fn spoken(seconds: f64) -> String {
    Unit::Us.write((seconds * 1e3).round() * 1e3)
}

fn line(storm: &Storm) -> String {
    let at_attempt = |(attempt, clients): (&u32, &u64)| format!("attempt {attempt}: {}", grouped(*clients));
    let shown: Vec<String> = storm.recovered_by_attempt.iter().take(12).map(at_attempt).collect();
    let more: u64 = storm.recovered_by_attempt.values().skip(12).sum();
    let more = if more > 0 { format!(", later: {}", grouped(more)) } else { String::new() };
    let shown = if shown.is_empty() { "nobody".to_owned() } else { shown.join(", ") };
    format!(
        "At {}, {}: streams lost over {}; live again {} of {}, by {shown}{more}; {} attempts, {} sync requests; {} lost the \
         new stream within 10 s, {} stopped before they were back. Rates are the most of any second, times are from the \
         first loss.",
        spoken(storm.at_s),
        name(storm),
        spoken(storm.losses_s),
        grouped(storm.recovered),
        grouped(storm.clients),
        grouped(storm.attempts),
        grouped(storm.syncs),
        grouped(storm.lost_again),
        grouped(storm.stopped),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::time::Timestamp;

    #[test]
    fn a_storm_is_told_with_its_rates_its_times_and_its_attempts() {
        let storm = Storm::of(&sample::storm());
        assert_eq!(
            (storm.fault.as_deref(), storm.fault_at_s, storm.at_s),
            (Some("pod-kill"), Some(12.0), 12.004)
        );
        let within = storm.recovered_s;
        assert_eq!((within.p50, within.p90, within.p99), (Some(0.17), Some(0.30), Some(0.33)));
        let section = section(&[storm]);
        let texts: Vec<&str> = section.rows[0].iter().map(|cell| cell.text.as_str()).collect();
        assert_eq!(texts, ["pod-kill", "33", "33", "33", "170ms", "300ms", "330ms", "330ms", "0"]);
        assert!(section.lines[0].contains("live again 33 of 33, by attempt 1: 33;"), "{}", section.lines[0]);
    }

    #[test]
    fn who_is_not_back_is_null_and_not_a_number() {
        let mut storm = sample::storm();
        storm.clients += 1;
        let storm = Storm::of(&storm);
        assert_eq!((storm.recovered_s.p99, storm.recovered_s.p100), (None, None));
        let section = section(&[storm, Storm { fault: None, ..Storm::default() }]);
        assert_eq!((section.rows[0][7].text.as_str(), section.rows[0][7].mood), ("not yet", Mood::Open));
        assert_eq!(section.rows[1][0].text, "no planted fault");
        assert!(section.lines[1].contains("by nobody"), "{}", section.lines[1]);
    }

    #[test]
    fn a_long_series_is_told_in_longer_steps_that_add_up() {
        let mut storm = collected::Storm::begin(Timestamp::from_secs(3));
        for bin in 0..700 {
            let at = Timestamp::from_millis(3_000 + bin * 100);
            storm.series.bin(at).expect("kept").attempts += 1;
        }
        let series = Series::of(&storm.series);
        assert_eq!((series.from_s, series.step_s, series.attempts.len()), (3.0, 0.4, 175));
        assert_eq!((series.attempts.iter().sum::<u64>(), series.lost.len()), (700, 175));
    }
}
