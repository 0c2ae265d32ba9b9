//! What a run collected: plain numbers, mergeable, known to verdict and report. No code here decides anything.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::session::Cause;

/// Everything a run has counted so far.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    /// Who took part.
    pub clients: Clients,
    /// What was published.
    pub publishes: Publishes,
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

/// `stickiness` of the summary: upgrades, and what became of them for want of a session on their pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stickiness {
    /// Streams that said hello.
    pub upgrades: u64,
    /// Of these: lost to a missing session; `None`: it cannot be told.
    pub upgrades_lost: Option<u64>,
    /// The same, as a share of the upgrades.
    pub share: Option<f64>,
    /// What that is inferred from; `None`: there were no upgrades.
    pub inferred_from: Option<Evidence>,
    /// Upgrades that reached another pod than the sync before them; `None`: the deployment does not tell.
    pub moved: Option<u64>,
    /// Connections that the other side ended within seconds of hello, for no reason that has a name.
    pub short_lived: u64,
    /// Not judged: ended while a fault was under way, or still young at the end.
    pub unjudged: u64,
    /// Upgrades with a token that was refreshed since the last one that stayed.
    pub after_refresh: Part,
    /// All others.
    pub otherwise: Part,
}

/// A part of the upgrades.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// How many.
    pub upgrades: u64,
    /// Of these: lost; `None`: it cannot be told.
    pub lost: Option<u64>,
}

/// What a missing session is inferred from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The pods that answered, as the deployment tells them.
    Pods,
    /// Lives of connections that are nearly equal.
    Lifetimes,
    /// Some upgrades by pods, the others by lives.
    PodsAndLifetimes,
}

/// `server.log` of the summary: what the server's own log says, held against what clients saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerLog {
    /// Lines that were read.
    pub lines: u64,
    /// Of these: no JSON object, without a name of an event, or too long.
    pub not_understood: u64,
    /// Of these: about other events.
    pub other: u64,
    /// `ws.connect`
    pub connects: u64,
    /// `ws.disconnect`: reasons, and for each what the client saw of that end; "open": nothing, "unknown": no client of
    /// ours.
    pub disconnects: BTreeMap<String, BTreeMap<String, u64>>,
    /// Of these: `ping_timeout` and `duplicate_connection` of which the client saw something else.
    pub unseen_reasons: u64,
    /// `ws.fanout_failed`, by pod.
    pub fanout_failed: BTreeMap<String, u64>,
}

impl ServerLog {
    /// `ws.fanout_failed` of all pods.
    pub fn fanout_failed_total(&self) -> u64 {
        self.fanout_failed.values().sum()
    }
}

/// One of `hooks` of the summary: a command of a fault of kind `exec`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HookRecord {
    /// Name of the fault.
    pub fault: String,
    /// It takes back what another one did.
    pub undo: bool,
    /// How it ended.
    pub end: HookEnd,
    /// Its exit status; `None`: it has none.
    pub exit: Option<i32>,
    /// How long it took.
    pub took_s: f64,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookEnd {
    /// With exit status 0.
    Done,
    /// With another one, or by a signal.
    Failed,
    /// It took too long and was killed.
    TimedOut,
    /// It did not start.
    NotStarted,
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

/// A latency series of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Publish: first attempt to 2xx.
    PublishAck,
    /// Intended send to first arrival by any channel; misses count as infinite.
    Arrival,
    /// Intended send to first arrival, live.
    DeliveryIntended,
    /// Actual send to first arrival, live.
    DeliverySent,
    /// Intended send to first arrival by a bridge.
    BridgeDelivery,
    /// Intended send to first arrival by an offline poll.
    PollDelivery,
    /// Connect to upgrade.
    Connect,
    /// Upgrade to hello.
    Hello,
    /// One sync request, bridging.
    SyncPage,
    /// A whole bridge.
    Bridge,
    /// Disconnect to live again.
    Recovery,
    /// Intended to actual send.
    SendLateness,
    /// Scheduled to actual attempt.
    ReconnectLateness,
}

impl Metric {
    /// All, in the order of the contract.
    pub const ALL: [Self; 13] = [
        Self::PublishAck,
        Self::Arrival,
        Self::DeliveryIntended,
        Self::DeliverySent,
        Self::BridgeDelivery,
        Self::PollDelivery,
        Self::Connect,
        Self::Hello,
        Self::SyncPage,
        Self::Bridge,
        Self::Recovery,
        Self::SendLateness,
        Self::ReconnectLateness,
    ];

    /// The name in the summary.
    pub fn name(self) -> &'static str {
        match self {
            Self::PublishAck => "publish_ack",
            Self::Arrival => "arrival",
            Self::DeliveryIntended => "delivery_intended",
            Self::DeliverySent => "delivery_sent",
            Self::BridgeDelivery => "bridge_delivery",
            Self::PollDelivery => "poll_delivery",
            Self::Connect => "connect",
            Self::Hello => "hello",
            Self::SyncPage => "sync_page",
            Self::Bridge => "bridge",
            Self::Recovery => "recovery",
            Self::SendLateness => "send_lateness",
            Self::ReconnectLateness => "reconnect_lateness",
        }
    }
}

/// A latency distribution in microseconds, with what does not fit in it counted beside it.
#[derive(Clone, Debug)]
pub struct Distribution {
    /// 1 µs to 1 h; the fleet's have 3 significant digits, a tenant's 2.
    pub histogram: Histogram<u64>,
    /// Samples above the histogram's range.
    pub out_of_range: u64,
    /// Samples that are +∞: never arrived.
    pub not_delivered: u64,
}

impl Default for Distribution {
    fn default() -> Self {
        Self::new(3)
    }
}

/// The longest latency that a distribution holds: 1 h, in microseconds.
pub const LATENCY_MAX_US: u64 = 3_600_000_000;

impl Distribution {
    /// An empty one.
    pub fn new(significant_digits: u8) -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_MAX_US, significant_digits)
            .expect("1 to LATENCY_MAX_US with 2 or 3 digits are good bounds");
        Self { histogram, out_of_range: 0, not_delivered: 0 }
    }

    /// Records one latency; 0 µs is recorded as 1 µs, the histogram's floor.
    pub fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1);
        if self.histogram.record(micros).is_err() {
            self.out_of_range += 1;
        }
    }

    /// All samples: in range, out of range, never arrived.
    pub fn count(&self) -> u64 {
        self.histogram.len() + self.out_of_range + self.not_delivered
    }

    /// The value at `quantile` in microseconds; `None` when there are no samples or when it falls on what was
    /// out of range or never arrived.
    pub fn at(&self, quantile: f64) -> Option<u64> {
        let total = self.count();
        let rank = ((quantile * total as f64).ceil() as u64).max(1);
        if total == 0 || rank > self.histogram.len() {
            return None;
        }
        // Half a rank down, so that rounding cannot push the histogram's own ceil() to the next sample.
        Some(self.histogram.value_at_quantile((rank as f64 - 0.5) / self.histogram.len() as f64))
    }

    /// Adds another one's samples.
    pub fn merge(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("all distributions have the same range");
        self.out_of_range += other.out_of_range;
        self.not_delivered += other.not_delivered;
    }
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

/// `served_by` of the summary: which pods the streams were on, as header, cookie or hello says, and from where they were
/// reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedBy {
    /// Those that were met.
    pub pods: Vec<Pod>,
    /// Pods that are known at all: by their names, or by their `/metrics`, whichever are more.
    pub known: u64,
    /// Addresses of this machine.
    pub local_addresses: Vec<LocalAddress>,
}

/// One pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// What the header or the cookie of the upgrade said, else `hello.server_name`; null: all of which nothing tells.
    pub server_name: Option<String>,
    /// Hellos that it said.
    pub connections: u64,
    /// Most clients that it had at once.
    pub live_peak: u64,
    /// Clients that it has now.
    pub live: u64,
}

/// One address of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalAddress {
    /// As this machine sees it.
    pub address: String,
    /// Hellos that came over it.
    pub connections: u64,
    /// Pods that said them.
    pub pods: u64,
    /// The only pod that it ever reached, where several are known and chance is out of the question.
    pub only: Option<String>,
}

/// `server` of the summary.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Server {
    /// Growth of `scaiwave_ws_messages_dropped_total` over all pods; `None`: not exposed, or never scraped.
    pub messages_dropped_total: Option<u64>,
    /// A counter was reset, or a pod could not be scraped at times: there may have been more.
    pub dropped_is_lower_bound: bool,
    /// `scaiwave_ws_connections`, by what it stands for.
    pub ws_connections: WsConnections,
    /// Looks at which `scaiwave_ws_connections` was off, by more than 1 % of the live clients, for the second time running
    /// or more, while nothing was planned to change; `None`: it was never compared.
    pub connections_unstable: Option<u64>,
    /// Connections that the gauge still showed when all clients had long gone, beyond those before; `None`: not known.
    pub connections_leaked: Option<u64>,
    /// Log lines `ws.fanout_failed`; `None`: no log seen.
    pub fanout_failed: Option<u64>,
    /// Documented metrics that a scrape lacked.
    pub not_exposed: Vec<String>,
    /// What the server's own log says; `None`: none is read.
    pub log: Option<ServerLog>,
    /// Scrapes that failed.
    pub scrape_failures: u64,
    /// Pods that are scraped; `partial` when it is one endpoint behind a balancer.
    pub endpoints: u64,
    /// The endpoint is behind a balancer: one pod at a time answers for all.
    pub partial: bool,
}

/// `server.ws_connections` of the summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WsConnections {
    /// Before the first client.
    pub before: Option<u64>,
    /// Highest sum seen.
    pub peak: Option<u64>,
    /// After the last client has gone.
    pub after: Option<u64>,
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
