//! A profile and a run in which everything went well, for tests to spoil.

use std::time::Duration;

use crate::collector::collected::{
    Clients, Collected, Deliveries, Distribution, FaultRecord, Flushes, Harness, Hold, IntervalRow, Metric,
    Publishes, Reconnects, Server, Storm, Tenant, Tokens, WsConnections,
};
use crate::profile::quantity::{Rate, Share};
use crate::profile::{
    Arrivals, Audit, Auth, AuthMode, Balancer, BalancerMode, BridgeOrder, Capacity, Client, ClientStart,
    Comparison, Drain, Embedded, Family, Fault, FaultKind, Limit, LimitUnit, Limits, Objective, Payload,
    Phase, Population, Profile, Reporting, Sticky, Target, TenantShares, Traffic, TrafficMode, TrafficStart,
};
use crate::report::RunInfo;
use crate::session::Cause;
use crate::time::Timestamp;

/// 100 clients, a ramp of 5 s and a hold of 20 s at 50 publishes a second, a pod killed.
pub(crate) fn profile() -> Profile {
    Profile {
        name: "sample".to_owned(),
        about: String::new(),
        seed: 7,
        shortens: Vec::new(),
        deployed_watchdog: Duration::from_secs(75),
        target: target(),
        auth: Auth { mode: AuthMode::DevJwt, key_file: None, credentials: None, login_rate: Rate(200.0) },
        population: Population {
            tenants: 2,
            clients: 100,
            members_per_room: 25,
            rooms_per_tenant: None,
            rooms_per_client: 2,
            ..Population::default()
        },
        phases: vec![
            Phase {
                name: "ramp".to_owned(),
                duration: Duration::from_secs(5),
                clients: 100,
                rate: Share(0.5),
            },
            Phase {
                name: "hold".to_owned(),
                duration: Duration::from_secs(20),
                clients: 100,
                rate: Share::ALL,
            },
        ],
        traffic: Traffic {
            mode: TrafficMode::Publish,
            rate: Rate(50.0),
            start: TrafficStart::Phase,
            arrivals: Arrivals::Poisson,
            tenant_shares: TenantShares::Even,
            payload: Payload::Fixed(300),
            max_send_lateness: Duration::from_secs(10),
            send_timeout: Duration::from_secs(10),
            send_attempts: 3,
            max_in_flight: 500,
            sync_rate: Rate(0.0),
        },
        client: client(),
        faults: vec![Fault {
            name: "pod-kill".to_owned(),
            at: Duration::from_secs(12),
            duration: Some(Duration::from_secs(3)),
            kind: FaultKind::PodKill(None),
        }],
        sizing: crate::profile::Sizing::default(),
        drain: Drain { deadline: Duration::from_secs(140) },
        audit: Audit { rate: Rate(20.0), queue: 10_000, window: 4_096 },
        report: Reporting { interval: Duration::from_secs(1), findings_per_kind: 1_000 },
        limits: Limits {
            clients: 500,
            connects: Rate(50.0),
            logins: Rate(5.0),
            publishes: Rate(50.0),
            deliveries: Rate(5_000.0),
            sync_requests: Rate(50.0),
        },
        stops: Vec::new(),
        objectives: vec![
            objective("delivery_intended.p99", at_most_ms(500.0)),
            objective("lost_by_server", exactly(0.0)),
            objective("messages_dropped_total", Limit { if_exposed: true, ..exactly(0.0) }),
        ],
    }
}

fn target() -> Target {
    Target {
        url: None,
        allow: Vec::new(),
        metrics: Vec::new(),
        ca_file: None,
        insecure: false,
        family: Family::Any,
        resolve: Vec::new(),
        local_addresses: Vec::new(),
        proxy: None,
        pod_header: None,
        pod_cookie: None,
        log_file: None,
        headers: Vec::new(),
        scrape_interval: Duration::from_secs(5),
        embedded: Embedded {
            pods: 3,
            ping_interval: Duration::from_secs(30),
            ping_misses: 2,
            client_watchdog: None,
            token_lifetime: Duration::from_secs(3600),
            password_grant: false,
            send_queue: 1_000,
            send_limit: None,
            sessions: crate::profile::Sessions::None,
            session_drop_after: Duration::from_secs(2),
            retention: 100_000,
            capacity: Capacity::default(),
            balancer: Balancer {
                mode: BalancerMode::Proxy,
                sticky: Sticky::Cookie,
                idle_timeout: Duration::from_secs(90),
                health_interval: Duration::from_secs(1),
            },
        },
    }
}

fn client() -> Client {
    Client {
        start: ClientStart::Marker,
        bridge: BridgeOrder::SyncFirst,
        bridge_timeout: Duration::ZERO,
        poll_timeout: Duration::from_secs(30),
        sync_limit: 100,
        sync_deadline: Duration::from_secs(10),
        first_retry_spread: Duration::ZERO,
        jitter: 0.0,
        backoff_reset_after: Duration::from_secs(10),
        watchdog: Duration::from_secs(75),
        hello_deadline: Duration::from_secs(5),
        connect_deadline: Duration::from_secs(10),
        offline_after: Duration::from_secs(60),
        lateness_bound: Duration::from_secs(5),
        flush_interval: Duration::from_secs(1),
    }
}

pub(crate) fn objective(name: &str, limit: Limit) -> Objective {
    Objective { name: name.to_owned(), limit }
}

pub(crate) fn exactly(bound: f64) -> Limit {
    Limit { comparison: Comparison::Equal, bound, unit: LimitUnit::Count, if_exposed: false }
}

pub(crate) fn at_most(bound: f64) -> Limit {
    Limit { comparison: Comparison::AtMost, ..exactly(bound) }
}

pub(crate) fn at_most_ms(bound: f64) -> Limit {
    Limit { comparison: Comparison::AtMost, bound: bound * 1e3, unit: LimitUnit::Micros, if_exposed: false }
}

pub(crate) fn at_least_share(bound: f64) -> Limit {
    Limit { comparison: Comparison::AtLeast, bound, unit: LimitUnit::Share, if_exposed: false }
}

/// Microseconds, each recorded once.
pub(crate) fn distribution(samples: impl IntoIterator<Item = u64>) -> Distribution {
    let mut distribution = Distribution::new(3);
    for micros in samples {
        distribution.record(Duration::from_micros(micros));
    }
    distribution
}

/// What the profile above collects on a good day. Its books balance.
pub(crate) fn collected() -> Collected {
    let deliveries = Deliveries {
        expected: 50_000,
        live: 49_000,
        bridged: 997,
        missed_after_bridging: 3,
        missed_in_seam: 3,
        recoverable: 3,
        overlap: 12,
        ..Deliveries::default()
    };
    let publishes = Publishes { intended: 1_000, sent: 1_000, acknowledged: 1_000, ..Publishes::default() };
    Collected {
        clients: Clients {
            planned: 100,
            live_peak: 100,
            live_at_end: 100,
            ready_at_end: 100,
            ..Clients::default()
        },
        publishes,
        deliveries,
        latency: Metric::ALL.into_iter().map(|metric| (metric, distribution(1_000..2_000))).collect(),
        tenants: (0..2).map(|tenant| tenant_of_two(tenant, deliveries, publishes)).collect(),
        reconnects: Reconnects { total: 33, immediate: 33, ..Reconnects::default() },
        storms: vec![storm()],
        tokens: Tokens { refreshed: 4, rejected: 0 },
        server: Server {
            messages_dropped_total: Some(0),
            ws_connections: WsConnections { before: Some(0), peak: Some(100), after: Some(0) },
            not_exposed: vec!["scaiwave_build_info".to_owned()],
            endpoints: 3,
            ..Server::default()
        },
        faults: vec![FaultRecord {
            name: "pod-kill".to_owned(),
            kind: "pod-kill",
            at_s: Some(12.0),
            duration_s: Some(3.0),
            affected: Some(33),
        }],
        harness: Harness {
            workers: 1,
            cpu_cores_mean: 0.4,
            rss_bytes_max: 30 << 20,
            rss_bytes_quiet: Some(28 << 20),
            loop_lag_us_p99: Some(900),
            own_part_us_p99: Some(200),
            saturated_us: Some(0),
            saturated_share: Some(0.0),
            flushes: Flushes {
                count: 60,
                bytes: 60 * 840,
                took: Duration::from_millis(240),
                took_max: Some(Duration::from_millis(12)),
                ..Flushes::default()
            },
            ..Harness::default()
        },
        holds: vec![Hold { phase: "hold".to_owned(), planned: 100, live: 100, down_by_harness: 0 }],
        ..reset_by_the_pod(33)
    }
}

/// The 33 of the killed pod, 10 ms after one another, all back at their first attempt.
pub(crate) fn storm() -> Storm {
    let began = Timestamp::from_millis(12_004);
    let mut storm = Storm {
        fault: Some(("pod-kill".to_owned(), Timestamp::from_secs(12))),
        clients: 33,
        attempts: 33,
        syncs: 33,
        by_attempt: [(1, 33)].into(),
        recovered: (1..=33).map(|n| began + Duration::from_millis(n * 10)).collect(),
        ..Storm::begin(began)
    };
    let first = storm.series.bin(began).expect("it begins there");
    (first.lost, first.attempts, first.syncs) = (33, 33, 33);
    for at in storm.recovered.clone() {
        storm.series.bin(at).expect("within five minutes").recovered += 1;
    }
    storm
}

fn reset_by_the_pod(count: u64) -> Collected {
    let mut collected = Collected::default();
    collected.disconnects.total = count;
    collected.disconnects.by_cause.insert(Cause::Reset, count);
    collected
}

fn tenant_of_two(tenant: u32, deliveries: Deliveries, publishes: Publishes) -> Tenant {
    Tenant {
        tenant,
        tenant_id: Some(format!("tenant-{tenant:04}")),
        clients: 50,
        publishes: Publishes { intended: 500, sent: 500, acknowledged: 500, ..publishes },
        deliveries: if tenant == 0 {
            Deliveries { expected: 25_000, live: 24_003, bridged: 997, overlap: 12, ..Deliveries::default() }
        } else {
            Deliveries { expected: 25_000, live: 24_997, bridged: 0, overlap: 0, ..deliveries }
        },
        arrival: distribution(1_000..1_500),
        delivery_intended: distribution(1_000..1_500),
        disconnects: 16,
    }
}

/// One interval of the timeline.
pub(crate) fn row(at_s: f64) -> IntervalRow {
    IntervalRow {
        at_s,
        phase: "hold".to_owned(),
        clients_wanted: 100,
        clients_live: 100,
        clients_ready: 100,
        publishes_intended: 50,
        publishes_acknowledged: 50,
        arrivals_live: 2_500,
        delivery_intended_us_p50: Some(1_500),
        delivery_intended_us_p99: Some(1_990),
        cpu_cores: Some(0.4),
        rss_bytes: Some(30 << 20),
        ..IntervalRow::default()
    }
}

/// Which run it was.
pub(crate) fn info() -> RunInfo {
    let started_at = "2026-05-17T13:10:03.25Z".parse().expect("a time");
    let mut info = RunInfo::new(&profile(), uuid::Uuid::nil(), started_at);
    info.duration = Duration::from_millis(28_500);
    info.finished = true;
    info
}
