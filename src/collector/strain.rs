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
}

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
        self.last = Some((now, strain));
        self.rss_max = self.rss_max.max(strain.rss);
        if quiet && strain.rss > 0 {
            // Out of range means above 16 TiB; there is no such machine.
            let _ = self.rss_quiet.record(strain.rss);
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
        Harness {
            workers: 1,
            cpu_cores_mean: cores,
            rss_bytes_max: self.rss_max,
            rss_bytes_quiet: (!self.rss_quiet.is_empty()).then(|| self.rss_quiet.value_at_quantile(0.5)),
            loop_lag_us_p99: lag,
            // A frame waits in its socket for as long as the loop is late; that is the harness's part.
            own_part_us_p99: lag,
            ..Harness::default()
        }
    }
}

fn cores((from, cpu): (Timestamp, Duration), at: Timestamp, strain: Strain) -> Option<f64> {
    let wall = at.since(from).as_secs_f64();
    (wall > 0.0).then(|| strain.cpu.saturating_sub(cpu).as_secs_f64() / wall)
}
