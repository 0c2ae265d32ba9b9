//! How the harness itself fares: a harness that was the bottleneck and does not say so is worse than none.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::collected::{Distribution, Harness};
use crate::time::Timestamp;
use crate::worker::conductor::Strain;

/// The harness's own lateness, memory and CPU.
#[derive(Debug)]
pub(super) struct StrainLog {
    lag: Distribution,
    lag_interval_max: Duration,
    /// When the harness was last so late that what it saw may be of its own making.
    late_at: Option<Timestamp>,
    first: Option<(Timestamp, Duration)>,
    last: Option<(Timestamp, Strain)>,
    row: Option<(Timestamp, Duration)>,
    rss_max: u64,
    rss_quiet: Histogram<u64>,
    /// Time between looks of which it is known how busy the loop was, and that of it in which it was saturated.
    watched: Duration,
    saturated: Duration,
}

/// A loop that ran, or was kept waiting for a processor, for so much of the time from one look to the next never waited for
/// anybody else: what it read in that time may have lain there (ours; the rest is for the clocks of the system).
const SATURATED: f64 = 0.95;

/// A lag from which on the harness's own reading is suspect (ours), and for how long after it.
const LATE: Duration = Duration::from_millis(500);
const LATE_FOR: Duration = Duration::from_secs(10);

impl Default for StrainLog {
    fn default() -> Self {
        Self {
            lag: Distribution::new(3),
            lag_interval_max: Duration::ZERO,
            late_at: None,
            first: None,
            last: None,
            row: None,
            rss_max: 0,
            rss_quiet: Histogram::new_with_bounds(1, 1 << 44, 3)
                .expect("1 to 16 TiB with 3 digits are good bounds"),
            watched: Duration::ZERO,
            saturated: Duration::ZERO,
        }
    }
}

impl StrainLog {
    pub(super) fn note(&mut self, now: Timestamp, strain: Strain, quiet: bool) {
        self.lag.record(strain.loop_lag);
        self.lag_interval_max = self.lag_interval_max.max(strain.loop_lag);
        if strain.loop_lag >= LATE {
            self.late_at = Some(now);
        }
        self.first.get_or_insert((now, strain.cpu));
        self.row.get_or_insert((now, strain.cpu));
        if let Some((before, last)) = self.last {
            self.watch(now.since(before), last.busy.zip(strain.busy));
        }
        self.last = Some((now, strain));
        self.rss_max = self.rss_max.max(strain.rss);
        if quiet && strain.rss > 0 {
            // Out of range means above 16 TiB; there is no such machine.
            let _ = self.rss_quiet.record(strain.rss);
        }
    }

    fn watch(&mut self, wall: Duration, busy: Option<(Duration, Duration)>) {
        let Some((before, after)) = busy else { return };
        self.watched += wall;
        if after.saturating_sub(before) >= wall.mul_f64(SATURATED) {
            self.saturated += wall;
        }
    }

    pub(super) fn was_late(&self, now: Timestamp) -> bool {
        self.late_at.is_some_and(|at| now.since(at) < LATE_FOR)
    }

    /// Greatest lag, CPU cores and resident memory of the interval that ends now.
    pub(super) fn turn(&mut self) -> (Option<u64>, Option<f64>, Option<u64>) {
        let Some((at, strain)) = self.last else { return (None, None, None) };
        let lag = std::mem::take(&mut self.lag_interval_max);
        let cores = self.row.replace((at, strain.cpu)).and_then(|from| cores(from, at, strain));
        (u64::try_from(lag.as_micros()).ok(), cores, Some(strain.rss))
    }

    pub(super) fn collected(&self, _now: Timestamp) -> Harness {
        let cores = match (self.first, self.last) {
            (Some(from), Some((at, strain))) => cores(from, at, strain).unwrap_or(0.0),
            _ => 0.0,
        };
        let lag = self.lag.at(0.99);
        let is_watched = self.watched > Duration::ZERO;
        Harness {
            workers: 1,
            cpu_cores_mean: cores,
            rss_bytes_max: self.rss_max,
            rss_bytes_quiet: (!self.rss_quiet.is_empty()).then(|| self.rss_quiet.value_at_quantile(0.5)),
            loop_lag_us_p99: lag,
            // A frame waits in its socket for as long as the loop is late; that is the harness's part.
            own_part_us_p99: lag,
            saturated_us: is_watched.then(|| u64::try_from(self.saturated.as_micros()).unwrap_or(u64::MAX)),
            saturated_share: is_watched.then(|| self.saturated.as_secs_f64() / self.watched.as_secs_f64()),
            ..Harness::default()
        }
    }
}

fn cores((from, cpu): (Timestamp, Duration), at: Timestamp, strain: Strain) -> Option<f64> {
    let wall = at.since(from).as_secs_f64();
    (wall > 0.0).then(|| strain.cpu.saturating_sub(cpu).as_secs_f64() / wall)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strain(lag_ms: u64, cpu_ms: u64, rss: u64) -> Strain {
        Strain {
            loop_lag: Duration::from_millis(lag_ms),
            cpu: Duration::from_millis(cpu_ms),
            busy: None,
            rss,
        }
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn a_harness_that_was_late_is_suspect_for_ten_seconds() {
        let mut log = StrainLog::default();
        log.note(at(1), strain(499, 0, 1), true);
        assert!(!log.was_late(at(1)));
        log.note(at(2), strain(500, 0, 1), true);
        assert!(log.was_late(at(2)) && log.was_late(at(12).back(Duration::from_nanos(1))));
        assert!(!log.was_late(at(12)));
        log.note(at(12), strain(0, 0, 1), true);
        assert!(log.was_late(at(11)), "a good moment does not make up for it");
    }

    #[test]
    fn a_loop_without_a_pause_is_saturated_for_as_long_as_it_had_none() {
        let mut log = StrainLog::default();
        let mut note = |at_s: u64, busy_ms: u64| {
            log.note(
                at(at_s),
                Strain { busy: Some(Duration::from_millis(busy_ms)), ..strain(0, 0, 1) },
                true,
            );
            let harness = log.collected(at(at_s));
            harness.saturated_share.zip(harness.saturated_us)
        };
        assert_eq!(note(10, 5_000), None, "of one look nothing is known");
        assert_eq!(note(11, 5_949), Some((0.0, 0)));
        assert_eq!(note(12, 6_899), Some((0.5, 1_000_000)), "950 ms of a second");
        assert_eq!(note(14, 8_000), Some((0.25, 1_000_000)));
        log.note(at(20), strain(0, 0, 1), true);
        assert_eq!(log.collected(at(20)).saturated_share, Some(0.25), "unknown is not idle");
    }

    #[test]
    fn an_interval_has_its_own_greatest_lag_and_its_own_cpu_time() {
        let mut log = StrainLog::default();
        assert_eq!(log.turn(), (None, None, None));
        log.note(at(10), strain(3, 1_000, 5), true);
        assert_eq!(log.turn(), (Some(3_000), None, Some(5)), "no time has passed");
        log.note(at(11), strain(9, 1_500, 7), true);
        log.note(at(14), strain(2, 3_000, 6), true);
        assert_eq!(log.turn(), (Some(9_000), Some(0.5), Some(6)));
        log.note(at(16), strain(1, 4_000, 8), true);
        assert_eq!(log.turn(), (Some(1_000), Some(0.5), Some(8)));
    }

    #[test]
    fn the_run_has_its_mean_cpu_and_its_memory_apart_from_ramps_and_faults() {
        let mut log = StrainLog::default();
        let none = log.collected(at(0));
        assert_eq!((none.workers, none.cpu_cores_mean, none.rss_bytes_quiet), (1, 0.0, None));
        for (secs, cpu, rss, quiet) in [
            (10, 2_000, 900, false),
            (10, 2_000, 800, false),
            (10, 2_000, 700, false),
            (11, 2_500, 0, true),
            (12, 4_000, 300, true),
        ] {
            log.note(at(secs), strain(4, cpu, rss), quiet);
        }
        let harness = log.collected(at(12));
        assert_eq!((harness.cpu_cores_mean, harness.rss_bytes_max), (1.0, 900));
        assert_eq!(harness.rss_bytes_quiet, Some(300));
        let lag = harness.loop_lag_us_p99.expect("samples");
        assert!((3_990..=4_010).contains(&lag), "{lag}");
        assert_eq!(harness.own_part_us_p99, Some(lag));
    }
}
