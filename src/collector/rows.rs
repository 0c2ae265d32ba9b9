//! Rows of the timeline: increments since the row before, and gauges.

use super::Collector;
use super::collected::{Deliveries, IntervalRow, Metric, Publishes};

/// What the conductor knows of the interval.
#[derive(Clone, Debug, Default)]
pub struct RowContext {
    /// Seconds since the run began, at the interval's end.
    pub at_s: f64,
    /// The phase.
    pub phase: String,
    /// Faults in force, separated by spaces.
    pub faults: String,
    /// Clients that the plan wants.
    pub wanted: u64,
}

/// Totals at the last row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    publishes: Publishes,
    deliveries: Deliveries,
    disconnects: u64,
    reconnects: u64,
    connect_failures: u64,
    sync_pages: u64,
    dropped: Option<u64>,
}

impl Collector {
    pub(super) fn row(&mut self, context: RowContext) -> IntervalRow {
        let mut publishes = Publishes::default();
        for tenant in &self.publishes {
            publishes.add(tenant);
        }
        let now = Before {
            publishes,
            deliveries: self.deliveries(),
            disconnects: self.connections.disconnects.total,
            reconnects: self.connections.reconnects.total,
            connect_failures: self.connections.connect_failures,
            sync_pages: self.connections.sync_pages,
            dropped: self.servers.dropped(),
        };
        let was = std::mem::replace(&mut self.before, now);
        let intended = self.latency.interval(Metric::DeliveryIntended);
        let (loop_lag_us_max, cpu_cores, rss_bytes) = self.strain.turn();
        IntervalRow {
            at_s: context.at_s,
            phase: context.phase,
            faults: context.faults,
            clients_wanted: context.wanted,
            clients_live: self.connections.live(),
            clients_ready: self.connections.ready(),
            publishes_intended: publishes.intended - was.publishes.intended,
            publishes_acknowledged: publishes.acknowledged - was.publishes.acknowledged,
            publishes_rejected: publishes.rejected - was.publishes.rejected,
            publishes_unknown: publishes.unknown - was.publishes.unknown,
            publishes_unsent: publishes.unsent - was.publishes.unsent,
            // A publish that turns out to be rejected takes its arrivals back, so these can shrink.
            arrivals_live: now.deliveries.live.saturating_sub(was.deliveries.live),
            arrivals_bridged: now.deliveries.bridged.saturating_sub(was.deliveries.bridged),
            missed_after_bridging: now.deliveries.missed_after_bridging
                - was.deliveries.missed_after_bridging,
            open_gaps: self.open_gaps(),
            disconnects: now.disconnects - was.disconnects,
            reconnects: now.reconnects - was.reconnects,
            connect_failures: now.connect_failures - was.connect_failures,
            sync_pages: now.sync_pages - was.sync_pages,
            delivery_intended_us_p50: intended.and_then(|series| series.at(0.5)),
            delivery_intended_us_p99: intended.and_then(|series| series.at(0.99)),
            loop_lag_us_max,
            cpu_cores,
            rss_bytes,
            ws_connections: self.servers.connections(),
            messages_dropped: match (now.dropped, was.dropped) {
                (Some(now), was) => Some(now.saturating_sub(was.unwrap_or(0))),
                (None, _) => None,
            },
        }
    }
}
