//! What a run collected: plain numbers, mergeable, known to verdict and report. No code here decides anything.

mod hooks;
mod latency;
mod servers;
mod storms;

pub use hooks::{HookEnd, HookRecord};
pub use latency::{Distribution, LATENCY_MAX_US, Metric};
pub use servers::{
    Evidence, LocalAddress, Part, Pod, ServedBy, Server, ServerLog, Stickiness, UnstableTenant, WsConnections,
};
pub use storms::{APART, BIN, Bin, Series, Storm, together};

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::session::Cause;

/// Everything a run has counted so far.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    /// Who took part.
    pub clients: Clients,
    /// What was published.
    pub publishes: Publishes,
    /// Sync requests of `traffic.sync_rate`.
    pub sync_load: SyncLoad,
    /// What became of every event owed to every client.
    pub deliveries: Deliveries,
    /// What was seen, where nothing was published.
    pub observed: Option<Observing>,
    /// Fleet-wide latencies; every metric is present.
    pub latency: BTreeMap<Metric, Distribution>,
    /// One entry a tenant.
    pub tenants: Vec<Tenant>,
    /// Ends of connections.
    pub disconnects: Disconnects,
    /// Attempts after the first.
    pub reconnects: Reconnects,
    /// Many that lost their stream at about the same time, and how they came back.
    pub storms: Vec<Storm>,
    /// Refreshes and refusals.
    pub tokens: Tokens,
    /// What the servers say.
    pub server: Server,
    /// Which pods the streams were on.
    pub served_by: ServedBy,
    /// What was planted.
    pub faults: Vec<FaultRecord>,
    /// Commands that were run, in order.
    pub hooks: Vec<HookRecord>,
    /// The harness itself.
    pub harness: Harness,
    /// Who was live at the end of each phase that held its number of clients; in the order of the phases.
    pub holds: Vec<Hold>,
    /// Lives of connections, upgrade to end, that ended without a close frame (FIN, reset, silence) and outside
    /// what the harness planted itself.
    pub lifetimes: Distribution,
    /// Upgrades, and those lost to a missing session.
    pub stickiness: Stickiness,
    /// Things seen that are no delivery: frames skipped, sync troubles, hello without or with a wrong tenant.
    pub oddities: BTreeMap<&'static str, u64>,
}

/// `clients` of the summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clients {
    /// In the plan.
    pub planned: u64,
    /// Most that were live at once.
    pub live_peak: u64,
    /// Live when the drain was over.
    pub live_at_end: u64,
    /// Hello seen and the bridge closed, when the drain was over.
    pub ready_at_end: u64,
    /// Ordered to start and never ready, but for those in `unjudged`.
    pub never_ready: u64,
    /// Not judged: never ready for a reason that is the harness's own. None of them is in `never_ready`.
    pub unjudged: u64,
    /// Stopped after refused tokens.
    pub auth_failed: u64,
    /// Stopped because the same token signed in elsewhere.
    pub evicted: u64,
}

/// Clients at the end of one hold: a phase that ends with as many clients as it began with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Name of the phase.
    pub phase: String,
    /// Clients that the plan wants live at its end.
    pub planned: u64,
    /// Clients that were.
    pub live: u64,
    /// Of those that were not: down for the harness's own reasons (descriptors, ports, its own read lag).
    pub down_by_harness: u64,
}

/// `publishes` of the summary. `intended = sent + unsent`; `sent = acknowledged + rejected + unknown`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publishes {
    /// Due by the timetable.
    pub intended: u64,
    /// No attempt wrote a byte.
    pub unsent: u64,
    /// Some attempt did.
    pub sent: u64,
    /// Some attempt got 2xx.
    pub acknowledged: u64,
    /// Every attempt got a 4xx with an `SW_*` body.
    pub rejected: u64,
    /// Anything else.
    pub unknown: u64,
    /// One (room, n) seen under two ids or positions.
    pub double_stored: u64,
}

/// `sync_load` of the summary. `intended = answered + failed + unsent`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncLoad {
    /// Due by the timetable.
    pub intended: u64,
    /// A page came.
    pub answered: u64,
    /// None did.
    pub failed: u64,
    /// Never left: too late, or for the harness's own reasons.
    pub unsent: u64,
    /// Of `unsent`: for the harness's own reasons.
    pub unsent_by_harness: u64,
}

/// `deliveries` of the summary; see the ledger.
///
/// `expected = live + bridged + missed_after_bridging + undecided`; the five places and the four stores each
/// add up to `missed_after_bridging`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the contract's own words, explained in the ledger")]
pub struct Deliveries {
    pub expected: u64,
    pub live: u64,
    pub bridged: u64,
    pub missed_after_bridging: u64,
    pub undecided: u64,
    pub missed_on_stream: u64,
    pub missed_in_sync: u64,
    pub missed_in_seam: u64,
    pub missed_behind_cursor: u64,
    pub missed_unplaced: u64,
    pub recoverable: u64,
    pub lost_by_server: u64,
    pub signalled_loss: u64,
    pub unaudited: u64,
    pub stream_omitted: u64,
    pub sync_hole: u64,
    pub resurrected: u64,
    pub overlap: u64,
    pub duplicate: u64,
    pub redelivered: u64,
    pub replayed: u64,
    pub out_of_order: u64,
    pub interleaved: u64,
    pub below_cursor: u64,
    pub late_live: u64,
    pub late_bridged: u64,
    pub unexpected: u64,
    pub leaked: u64,
    pub leaked_room: u64,
    pub foreign: u64,
    pub unowed: u64,
}

/// What a run that only listens saw; `observed` of the summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observing {
    /// Rooms that were listened to.
    pub rooms: u64,
    /// Different events of these rooms that anybody saw, by stream, sync or history.
    pub events: u64,
    /// Of those: seen by no client, but in history.
    pub by_survey_alone: u64,
    /// Rooms whose history could not be read to its end when the run ended: there may have been more.
    pub rooms_unread: u64,
}

/// One tenant's part.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Index in the plan.
    pub tenant: u32,
    /// Its id on the server, once known.
    pub tenant_id: Option<String>,
    /// Its clients in the plan.
    pub clients: u64,
    /// Its publishes.
    pub publishes: Publishes,
    /// Its deliveries.
    pub deliveries: Deliveries,
    /// Its `arrival`.
    pub arrival: Distribution,
    /// Its `delivery_intended`.
    pub delivery_intended: Distribution,
    /// Disconnects of its clients.
    pub disconnects: u64,
}

/// `disconnects` of the summary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disconnects {
    /// All, but those that the plan ordered ([`Cause::Left`]).
    pub total: u64,
    /// By cause, `Left` included.
    pub by_cause: BTreeMap<Cause, u64>,
    /// By close code.
    pub by_close_code: BTreeMap<u16, u64>,
}

/// `reconnects` of the summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconnects {
    /// Attempts after the first.
    pub total: u64,
    /// Right after a disconnect.
    pub immediate: u64,
    /// After a delay of the schedule.
    pub backed_off: u64,
    /// Earlier than the schedule allows.
    pub schedule_violations: u64,
}

/// `tokens` of the summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Refreshed.
    pub refreshed: u64,
    /// Refused.
    pub rejected: u64,
}

/// One entry of `faults`.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultRecord {
    /// As in the profile.
    pub name: String,
    /// Its kind, as the profile writes it.
    pub kind: &'static str,
    /// When it began, seconds since the run began; `None`: it did not.
    pub at_s: Option<f64>,
    /// How long it lasted.
    pub duration_s: Option<f64>,
    /// Connections, publishes or deliveries that it really hit; `None`: not planted, or not told.
    pub affected: Option<u64>,
}

/// `harness` of the summary.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Harness {
    /// Workers.
    pub workers: u32,
    /// CPU time over wall time.
    pub cpu_cores_mean: f64,
    /// Most resident memory.
    pub rss_bytes_max: u64,
    /// Median resident memory outside ramps and fault windows; `None`: there was no such time.
    pub rss_bytes_quiet: Option<u64>,
    /// How late the worker's own timer loop ran, p99.
    pub loop_lag_us_p99: Option<u64>,
    /// The harness's own part in a measured latency, p99.
    pub own_part_us_p99: Option<u64>,
    /// Time in which the worker's loop had no pause; `None`: the system does not tell.
    pub saturated_us: Option<u64>,
    /// Its share of the run; likewise.
    pub saturated_share: Option<f64>,
    /// Ceilings and bounds of the harness that were hit, with how often.
    pub refused: BTreeMap<&'static str, u64>,
    /// What it cost to keep the clients' positions durable.
    pub flushes: Flushes,
    /// Disconnects (watchdog, ping timeout) that coincide with the harness's own read lag.
    pub self_inflicted_drops: u64,
    /// Clients that could not start or reconnect because of the harness (descriptors, ports).
    pub local_failures: u64,
    /// Of `deliveries.undecided`: owed to clients that were down at the end for the harness's own reasons
    /// (descriptors, ports, a drain that a person cut short).
    pub undecided_by_harness: u64,
    /// Of `publishes.unsent`: held back by the harness (late by its own lag, its own bounds), not by a target
    /// that refused connections or did not answer those in flight.
    pub unsent_by_harness: u64,
    /// The run was cut short by a person.
    pub interrupted: bool,
    /// A `[[stop]]` that ended the run.
    pub stopped_by: Option<String>,
}

/// Flushes of the clients' positions to their store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flushes {
    /// How many became durable.
    pub count: u64,
    /// Bytes that they wrote, all together.
    pub bytes: u64,
    /// Time that they took on the store's own thread, all together.
    pub took: Duration,
    /// The longest; `None`: there was none, or the time was virtual.
    pub took_max: Option<Duration>,
    /// What went wrong, with how often; also in [`Harness::refused`].
    pub troubles: BTreeMap<&'static str, u64>,
}

/// One interval of the timeline: increments, but for the gauges.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are the columns of timeline.csv, explained in the README")]
pub struct IntervalRow {
    pub at_s: f64,
    pub phase: String,
    pub faults: String,
    pub clients_wanted: u64,
    pub clients_live: u64,
    pub clients_ready: u64,
    pub publishes_intended: u64,
    pub publishes_acknowledged: u64,
    pub publishes_rejected: u64,
    pub publishes_unknown: u64,
    pub publishes_unsent: u64,
    pub arrivals_live: u64,
    pub arrivals_bridged: u64,
    pub missed_after_bridging: u64,
    pub open_gaps: u64,
    pub disconnects: u64,
    pub reconnects: u64,
    pub connect_failures: u64,
    pub sync_pages: u64,
    pub delivery_intended_us_p50: Option<u64>,
    pub delivery_intended_us_p99: Option<u64>,
    pub loop_lag_us_max: Option<u64>,
    pub cpu_cores: Option<f64>,
    pub rss_bytes: Option<u64>,
    pub ws_connections: Option<u64>,
    pub messages_dropped: Option<u64>,
}

/// One line of findings.jsonl, before ids are looked up.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are the keys of the contract")]
pub struct Finding {
    /// UTC, RFC 3339 with milliseconds; filled in by the report from the run's start and `at_ns`.
    pub at: String,
    #[serde(skip)]
    pub at_ns: u64,
    #[serde(skip)]
    pub connected_ns: Option<u64>,
    #[serde(skip)]
    pub disconnected_ns: Option<u64>,
    pub kind: &'static str,
    pub client: Option<u32>,
    pub username: Option<String>,
    pub participant_id: Option<String>,
    pub tenant_id: Option<String>,
    pub room_id: Option<String>,
    pub n: Option<u32>,
    pub event_id: Option<String>,
    pub position: Option<u64>,
    pub session_id: Option<String>,
    pub server_name: Option<String>,
    pub connected_at: Option<String>,
    pub disconnected_at: Option<String>,
    pub place: Option<&'static str>,
    pub store: Option<&'static str>,
}

impl Publishes {
    /// Adds another one's counts.
    pub fn add(&mut self, other: &Self) {
        self.intended += other.intended;
        self.unsent += other.unsent;
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.rejected += other.rejected;
        self.unknown += other.unknown;
        self.double_stored += other.double_stored;
    }
}

/// Adds up the deliveries of several tenants (or stripes).
pub fn sum(parts: &[Deliveries]) -> Deliveries {
    macro_rules! add_up {
        ($($field:ident),* $(,)?) => { Deliveries { $($field: parts.iter().map(|part| part.$field).sum()),* } };
    }
    add_up!(
        expected,
        live,
        bridged,
        missed_after_bridging,
        undecided,
        missed_on_stream,
        missed_in_sync,
        missed_in_seam,
        missed_behind_cursor,
        missed_unplaced,
        recoverable,
        lost_by_server,
        signalled_loss,
        unaudited,
        stream_omitted,
        sync_hole,
        resurrected,
        overlap,
        duplicate,
        redelivered,
        replayed,
        out_of_order,
        interleaved,
        below_cursor,
        late_live,
        late_bridged,
        unexpected,
        leaked,
        leaked_room,
        foreign,
        unowed,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(millis: impl IntoIterator<Item = u64>) -> Distribution {
        let mut distribution = Distribution::default();
        millis.into_iter().for_each(|millis| distribution.record(Duration::from_millis(millis)));
        distribution
    }

    /// In whole milliseconds.
    fn at(distribution: &Distribution, quantile: f64) -> Option<u64> {
        distribution.at(quantile).map(|micros| micros / 1000)
    }

    #[test]
    fn a_quantile_is_the_least_sample_that_so_many_do_not_exceed() {
        let four = of([1, 2, 3, 4]);
        let said = [0.0, 0.25, 0.26, 0.5, 0.51, 0.75, 0.76, 1.0].map(|quantile| at(&four, quantile));
        assert_eq!(said, [1, 1, 2, 2, 3, 3, 4, 4].map(Some));
        assert_eq!((at(&of([]), 0.5), at(&of([7]), 0.999)), (None, Some(7)));
    }

    #[test]
    fn what_never_arrived_or_is_out_of_range_lies_behind_everything_else() {
        let mut distribution = of([1, 2]);
        distribution.not_delivered = 1;
        distribution.record(Duration::from_secs(2 * 3600));
        assert_eq!((distribution.out_of_range, distribution.count()), (1, 4));
        assert_eq!([0.5, 0.51, 1.0].map(|quantile| at(&distribution, quantile)), [Some(2), None, None]);
        distribution.record(Duration::ZERO);
        assert_eq!((distribution.out_of_range, distribution.at(0.1)), (1, Some(1)), "0 µs is 1 µs");
    }

    #[test]
    fn merging_adds_everything() {
        let mut one = of([1]);
        (one.out_of_range, one.not_delivered) = (2, 3);
        let mut both = of([5, 6]);
        (both.out_of_range, both.not_delivered) = (10, 20);
        both.merge(&one);
        assert_eq!((both.count(), both.out_of_range, both.not_delivered), (38, 12, 23));
        assert_eq!(at(&both, 0.01), Some(1));
    }

    #[test]
    fn publishes_and_deliveries_add_up_field_by_field() {
        let numbers = |from: u64| Publishes {
            intended: from,
            unsent: from + 1,
            sent: from + 2,
            acknowledged: from + 3,
            rejected: from + 4,
            unknown: from + 5,
            double_stored: from + 6,
        };
        let mut publishes = numbers(10);
        publishes.add(&numbers(100));
        let should = Publishes {
            intended: 110,
            unsent: 112,
            sent: 114,
            acknowledged: 116,
            rejected: 118,
            unknown: 120,
            double_stored: 122,
        };
        assert_eq!(publishes, should);
        let part = Deliveries { live: 1, unowed: 2, ..Deliveries::default() };
        assert_eq!(sum(&[part, part]), Deliveries { live: 2, unowed: 4, ..Deliveries::default() });
    }
}
