//! `summary.json`: one versioned struct that every other rendering is made from.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::storms::Storm;
use super::{RunInfo, remarks};
use crate::collector::collected::{
    self, Clients, Collected, Deliveries, Distribution, FaultRecord, Hold, HookRecord, Metric, Observing,
    Publishes, Reconnects, ServedBy, ServerLog, Stickiness, SyncLoad, Tokens, UnstableTenant, WsConnections,
};
use crate::profile::Profile;
use crate::verdict::{Judged, Outcome, Verdict};

/// What `schema` says; the number grows only when a key changes its meaning, not when one is added.
pub const SCHEMA: &str = "wavesoak.summary/1";

/// `summary.json`; `reports/summary.schema.json` describes it. Unknown is null, never 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// [`SCHEMA`]
    pub schema: String,
    /// Fresh for every run.
    pub run_id: String,
    /// Name of the profile.
    pub profile: String,
    /// Its seed.
    pub seed: u64,
    /// Which stripe of how many.
    pub shard: String,
    /// UTC, RFC 3339, milliseconds.
    pub started_at: String,
    /// From then to the end of the drain.
    pub duration_s: f64,
    /// The run was not over when this was written: everything is as far as it had come.
    pub partial: bool,
    /// "embedded", or the host of the deployment.
    pub target: String,
    /// Of wavesoak.
    pub version: String,
    /// What the run comes to.
    pub verdict: Outcome,
    /// Each with its own outcome.
    pub objectives: Vec<Judged>,
    /// Who took part.
    pub clients: Clients,
    /// What was published.
    pub publishes: Publishes,
    /// Sync requests of `traffic.sync_rate`.
    #[serde(default)]
    pub sync_load: SyncLoad,
    /// What became of every event owed to every client.
    pub deliveries: Deliveries,
    /// What was seen in a run that only listens; null in one that publishes.
    #[serde(default)]
    pub observed: Option<Observing>,
    /// Fleet-wide; every metric of the contract, also where it has no samples.
    pub latency_us: BTreeMap<Metric, Latency>,
    /// Ends of connections.
    pub disconnects: Disconnects,
    /// Attempts after the first.
    pub reconnects: Reconnects,
    /// Many that lost their stream at about the same time, and how they came back.
    #[serde(default)]
    pub storms: Vec<Storm>,
    /// Refreshes and refusals.
    pub tokens: Tokens,
    /// What the servers say.
    pub server: Server,
    /// Which pods the streams were on.
    #[serde(default)]
    pub served_by: ServedBy,
    /// What was planted.
    pub faults: Vec<Fault>,
    /// Commands that were run, in order.
    pub hooks: Vec<HookRecord>,
    /// The harness itself.
    pub harness: Harness,
    /// Who was live at the end of each hold.
    pub holds: Vec<Hold>,
    /// Lives of the connections that ended without a close frame.
    pub lifetimes_us: Latency,
    /// Upgrades, and those lost to a missing session.
    pub stickiness: Stickiness,
    /// Frames skipped, sync troubles, hello with a wrong tenant.
    pub oddities: BTreeMap<String, u64>,
    /// Sentences that help to read the numbers, with the setting or the remedy that belongs to them.
    pub remarks: Vec<String>,
    /// Equations that do not hold at the end; anything here is a bug of wavesoak. Empty while `partial`.
    pub imbalances: Vec<Imbalance>,
}

/// A distribution, in microseconds. A percentile that falls on what never arrived, or was out of range, is null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the contract's own words")]
pub struct Latency {
    pub count: u64,
    pub min: Option<u64>,
    pub p50: Option<u64>,
    pub p90: Option<u64>,
    pub p99: Option<u64>,
    pub p999: Option<u64>,
    pub max: Option<u64>,
    pub out_of_range: u64,
    pub not_delivered: u64,
}

/// `disconnects`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disconnects {
    /// All but those that the plan ordered (`by_cause.left`).
    pub total: u64,
    /// By the cause that the client infers.
    pub by_cause: BTreeMap<String, u64>,
    /// By close code.
    pub by_close_code: BTreeMap<u16, u64>,
}

/// `server`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Growth over all pods; null: not exposed.
    pub messages_dropped_total: Option<u64>,
    /// There may have been more.
    pub dropped_is_lower_bound: bool,
    /// `scaiwave_ws_connections`
    pub ws_connections: WsConnections,
    /// Looks at which the gauge was off by more than 1 %, twice running or more, in quiet; null: never compared.
    pub connections_unstable: Option<u64>,
    /// The same of some tenant's, by more than one connection as well; null: no label was ever a tenant's of ours.
    pub tenant_connections_unstable: Option<u64>,
    /// Tenants of which it was, the most often first.
    pub unstable_tenants: Vec<UnstableTenant>,
    /// Connections that it still showed when all clients had gone; null: not known.
    pub connections_leaked: Option<u64>,
    /// Log lines; null: no log seen.
    pub fanout_failed: Option<u64>,
    /// What the server's own log says; null: none is read.
    pub log: Option<ServerLog>,
    /// Documented metrics that a scrape lacked.
    pub not_exposed: Vec<String>,
    /// Scrapes that failed.
    pub scrape_failures: u64,
    /// Endpoints that were scraped.
    pub endpoints: u64,
    /// The one endpoint is behind a balancer.
    pub partial: bool,
}

/// One of `faults`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// As in the profile.
    pub name: String,
    /// As in the profile.
    pub kind: String,
    /// When it began; null: it did not.
    pub at_s: Option<f64>,
    /// How long it lasted.
    pub duration_s: Option<f64>,
    /// What it really hit; null: not planted, or not told.
    pub affected: Option<u64>,
}

/// `harness`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Harness {
    /// Worker processes.
    pub workers: u32,
    /// CPU time over wall time.
    pub cpu_cores_mean: f64,
    /// Most resident memory.
    pub rss_bytes_max: u64,
    /// Median outside ramps and fault windows.
    pub rss_bytes_quiet: Option<u64>,
    /// How late its own timers ran.
    pub loop_lag_us_p99: Option<u64>,
    /// Its own part in a measured latency.
    pub own_part_us_p99: Option<u64>,
    /// Time in which its loop had no pause: it ran, or was kept waiting for a processor. Null: the system does not tell.
    pub saturated_us: Option<u64>,
    /// Its share of the run; likewise.
    pub saturated_share: Option<f64>,
    /// It changed the outcome of an objective.
    pub bottleneck: bool,
    /// What it could not do or could not see, where that decided something.
    pub reasons: Vec<String>,
    /// Its own ceilings that were hit, with how often.
    pub refused: BTreeMap<String, u64>,
    /// What it cost to keep the clients' positions durable, off the event loop.
    pub flushes: Flushes,
    /// Disconnects that coincide with its own read lag.
    pub self_inflicted_drops: u64,
    /// Attempts that failed for want of descriptors or ports.
    pub local_failures: u64,
    /// Of `deliveries.undecided`.
    pub undecided_by_harness: u64,
    /// Of `publishes.unsent`.
    pub unsent_by_harness: u64,
    /// A person cut the run short.
    pub interrupted: bool,
    /// A stop condition cut it short.
    pub stopped_by: Option<String>,
}

/// `harness.flushes`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flushes {
    /// How many became durable.
    pub count: u64,
    /// Bytes written, all together.
    pub bytes: u64,
    /// Mean time until one was durable; null: none, or in virtual time.
    pub us_mean: Option<u64>,
    /// The longest.
    pub us_max: Option<u64>,
}

/// An equation of the contract that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imbalance {
    /// The equation.
    pub equation: String,
    /// Its left side.
    pub left: u64,
    /// The sum of its right side.
    pub right: u64,
}

impl Summary {
    /// Of a run so far.
    pub fn new(profile: &Profile, collected: &Collected, verdict: &Verdict, info: &RunInfo) -> Self {
        let latency = |metric| collected.latency.get(&metric).map(Latency::of).unwrap_or_default();
        Self {
            schema: SCHEMA.to_owned(),
            run_id: info.run_id.to_string(),
            profile: info.profile.clone(),
            seed: info.seed,
            shard: info.shard.clone(),
            started_at: info.utc(crate::time::Timestamp::ZERO),
            duration_s: seconds(info.duration),
            partial: !info.finished,
            target: info.target.clone(),
            version: info.version.clone(),
            verdict: verdict.outcome,
            objectives: verdict.objectives.clone(),
            clients: collected.clients,
            publishes: collected.publishes,
            sync_load: collected.sync_load,
            deliveries: collected.deliveries,
            observed: collected.observed,
            latency_us: Metric::ALL.into_iter().map(|metric| (metric, latency(metric))).collect(),
            disconnects: Disconnects::of(collected),
            reconnects: collected.reconnects,
            storms: collected.storms.iter().map(Storm::of).collect(),
            tokens: collected.tokens,
            server: Server::of(collected),
            served_by: collected.served_by.clone(),
            faults: collected.faults.iter().map(Fault::of).collect(),
            hooks: collected.hooks.clone(),
            harness: Harness::of(collected, verdict),
            holds: collected.holds.clone(),
            lifetimes_us: Latency::of(&collected.lifetimes),
            stickiness: collected.stickiness.clone(),
            oddities: collected.oddities.iter().map(|(name, &count)| ((*name).to_owned(), count)).collect(),
            remarks: remarks::of(profile, collected),
            imbalances: if info.finished {
                imbalances(&collected.publishes, &collected.deliveries)
            } else {
                Vec::new()
            },
        }
    }

    /// The five equations of the contract; of a run that is over.
    ///
    /// # Errors
    ///
    /// The ones that do not hold.
    pub fn books(&self) -> Result<(), Vec<Imbalance>> {
        let imbalances = imbalances(&self.publishes, &self.deliveries);
        if imbalances.is_empty() { Ok(()) } else { Err(imbalances) }
    }
}

impl Latency {
    /// The points of a distribution that the contract names.
    pub fn of(distribution: &Distribution) -> Self {
        let histogram = &distribution.histogram;
        let all_in_range = distribution.out_of_range + distribution.not_delivered == 0;
        Self {
            count: distribution.count(),
            min: (!histogram.is_empty()).then(|| histogram.min()),
            p50: distribution.at(0.5),
            p90: distribution.at(0.9),
            p99: distribution.at(0.99),
            p999: distribution.at(0.999),
            max: (all_in_range && !histogram.is_empty()).then(|| histogram.max()),
            out_of_range: distribution.out_of_range,
            not_delivered: distribution.not_delivered,
        }
    }
}

impl Disconnects {
    fn of(collected: &Collected) -> Self {
        let disconnects = &collected.disconnects;
        Self {
            total: disconnects.total,
            by_cause: disconnects
                .by_cause
                .iter()
                .map(|(&cause, &count)| (cause.name().to_owned(), count))
                .collect(),
            by_close_code: disconnects.by_close_code.clone(),
        }
    }
}

impl Server {
    fn of(collected: &Collected) -> Self {
        let server = &collected.server;
        Self {
            messages_dropped_total: server.messages_dropped_total,
            dropped_is_lower_bound: server.dropped_is_lower_bound,
            ws_connections: server.ws_connections,
            connections_unstable: server.connections_unstable,
            tenant_connections_unstable: server.tenant_connections_unstable,
            unstable_tenants: server.unstable_tenants.clone(),
            connections_leaked: server.connections_leaked,
            fanout_failed: server.fanout_failed,
            log: server.log.clone(),
            not_exposed: server.not_exposed.clone(),
            scrape_failures: server.scrape_failures,
            endpoints: server.endpoints,
            partial: server.partial,
        }
    }
}

impl Fault {
    fn of(record: &FaultRecord) -> Self {
        Self {
            name: record.name.clone(),
            kind: record.kind.to_owned(),
            at_s: record.at_s,
            duration_s: record.duration_s,
            affected: record.affected,
        }
    }
}

impl Harness {
    fn of(collected: &Collected, verdict: &Verdict) -> Self {
        let harness = &collected.harness;
        Self {
            workers: harness.workers,
            cpu_cores_mean: harness.cpu_cores_mean,
            rss_bytes_max: harness.rss_bytes_max,
            rss_bytes_quiet: harness.rss_bytes_quiet,
            loop_lag_us_p99: harness.loop_lag_us_p99,
            own_part_us_p99: harness.own_part_us_p99,
            saturated_us: harness.saturated_us,
            saturated_share: harness.saturated_share,
            bottleneck: verdict.bottleneck,
            reasons: verdict.reasons.clone(),
            refused: harness.refused.iter().map(|(name, &count)| ((*name).to_owned(), count)).collect(),
            flushes: Flushes::of(&harness.flushes),
            self_inflicted_drops: harness.self_inflicted_drops,
            local_failures: harness.local_failures,
            undecided_by_harness: harness.undecided_by_harness,
            unsent_by_harness: harness.unsent_by_harness,
            interrupted: harness.interrupted,
            stopped_by: harness.stopped_by.clone(),
        }
    }
}

impl Flushes {
    fn of(flushes: &collected::Flushes) -> Self {
        let us = |took: Duration| u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        Self {
            count: flushes.count,
            bytes: flushes.bytes,
            us_mean: flushes.took_max.map(|_| us(flushes.took) / flushes.count.max(1)),
            us_max: flushes.took_max.map(us),
        }
    }
}

/// The key of `by_cause`.
fn imbalances(publishes: &Publishes, deliveries: &Deliveries) -> Vec<Imbalance> {
    let missed = deliveries.missed_after_bridging;
    let equations = [
        ("intended = sent + unsent", publishes.intended, publishes.sent + publishes.unsent),
        (
            "sent = acknowledged + rejected + unknown",
            publishes.sent,
            publishes.acknowledged + publishes.rejected + publishes.unknown,
        ),
        (
            "expected = live + bridged + missed_after_bridging + undecided",
            deliveries.expected,
            deliveries.live + deliveries.bridged + missed + deliveries.undecided,
        ),
        (
            "missed_after_bridging = missed_on_stream + missed_in_sync + missed_in_seam + missed_behind_cursor \
             + missed_unplaced",
            missed,
            deliveries.missed_on_stream
                + deliveries.missed_in_sync
                + deliveries.missed_in_seam
                + deliveries.missed_behind_cursor
                + deliveries.missed_unplaced,
        ),
        (
            "missed_after_bridging = recoverable + lost_by_server + signalled_loss + unaudited",
            missed,
            deliveries.recoverable
                + deliveries.lost_by_server
                + deliveries.signalled_loss
                + deliveries.unaudited,
        ),
    ];
    equations
        .into_iter()
        .filter(|(_, left, right)| left != right)
        .map(|(equation, left, right)| Imbalance { equation: equation.to_owned(), left, right })
        .collect()
}

/// To the millisecond.
fn seconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::verdict::judge;

    fn summary(collected: &Collected) -> Summary {
        let profile = sample::profile();
        Summary::new(&profile, collected, &judge(&profile, collected), &sample::info())
    }

    #[test]
    fn each_of_the_five_equations_is_watched() {
        let spoils: [fn(&mut Collected); 5] = [
            |c| c.publishes.unsent += 1,
            |c| c.publishes.rejected += 1,
            |c| c.deliveries.live -= 1,
            |c| c.deliveries.missed_unplaced += 1,
            |c| c.deliveries.unaudited += 1,
        ];
        assert_eq!(summary(&sample::collected()).books(), Ok(()));
        for (index, spoil) in spoils.into_iter().enumerate() {
            let mut collected = sample::collected();
            spoil(&mut collected);
            let found = summary(&collected).books().expect_err("one does not hold");
            assert_eq!(found.len(), 1, "equation {index}: {found:?}");
        }
    }

    #[test]
    fn the_books_of_a_run_that_goes_on_are_open() {
        let (profile, mut collected, mut info) = (sample::profile(), sample::collected(), sample::info());
        collected.publishes.intended += 3;
        info.finished = false;
        let summary = Summary::new(&profile, &collected, &judge(&profile, &collected), &info);
        assert!(summary.partial && summary.imbalances.is_empty());
    }

    #[test]
    fn a_percentile_on_what_never_arrived_is_null() {
        let mut distribution = sample::distribution(1_000..1_098);
        distribution.not_delivered = 2;
        let latency = Latency::of(&distribution);
        assert_eq!((latency.count, latency.p90.is_some(), latency.p99, latency.max), (100, true, None, None));
        assert_eq!(Latency::of(&Distribution::default()), Latency::default());
    }

    #[test]
    fn a_summary_reads_back_as_it_was_written() {
        let summary = summary(&sample::collected());
        let text = serde_json::to_string_pretty(&summary).expect("a summary is JSON");
        assert_eq!(serde_json::from_str::<Summary>(&text).expect("and reads back"), summary);
    }

    /// Real output against `reports/summary.schema.json`, which allows no key that it does not know.
    #[test]
    fn real_output_keeps_to_its_schema() {
        let schema = include_str!("../../reports/summary.schema.json");
        let schema = serde_json::from_str(schema).expect("the schema is JSON");
        let validator = jsonschema::validator_for(&schema).expect("the schema is one");
        let mut bad = sample::collected();
        bad.deliveries.expected += 1;
        bad.server = Default::default();
        bad.latency.clear();
        bad.faults[0].affected = None;
        bad.storms[0].clients += 1;
        bad.storms[0].fault = None;
        bad.harness.refused.insert("audit queue", 3);
        bad.disconnects.by_close_code.insert(4003, 2);
        bad.oddities.insert("unknown_type", 1);
        bad.harness.stopped_by = Some("health failing".to_owned());
        for collected in [Collected::default(), sample::collected(), bad] {
            let value = serde_json::to_value(summary(&collected)).expect("a summary is JSON");
            let errors: Vec<String> = validator
                .iter_errors(&value)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{errors:#?}");
        }
    }

    #[test]
    fn a_key_that_the_schema_does_not_know_is_refused_by_it() {
        let schema = serde_json::from_str(include_str!("../../reports/summary.schema.json")).expect("JSON");
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let mut value = serde_json::to_value(summary(&sample::collected())).expect("a summary is JSON");
        assert!(validator.is_valid(&value));
        value["deliveries"]["lost"] = 1.into();
        assert!(!validator.is_valid(&value));
    }
}
