//! What the collector itself counts, beside ledger, connections and audit.

use super::*;
use crate::plan::Shard;
use crate::profile;
use crate::session::{Arrival, ConnectionInfo, SyncTrouble};
use crate::wire::Stamp;

/// Two tenants of two clients each, all of a tenant in its one room; n of a room is owed from 0 on.
struct Bench {
    collector: Collector,
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

impl Bench {
    fn new() -> Self {
        let text = "[population]\ntenants = 2\nclients = 4\nrooms_per_tenant = 1\nrooms_per_client = 1\n\
                    [client]\nlateness_bound = '1s'\n[report]\nfindings_per_kind = 2\n\
                    [[phase]]\nduration = '5s'\nclients = '100%'";
        let profile = profile::parse(text, "test", &[]).unwrap_or_else(|error| panic!("{error}")).profile;
        let plan = Plan::new(&profile, Shard::WHOLE);
        let names = Names {
            usernames: Vec::new(),
            tenant_names: Vec::new(),
            tenants: vec!["t0".into(), "t1".into()],
            rooms: vec!["r0".into(), "r1".into()],
            participants: (0..4).map(|client| format!("p{client}").into()).collect(),
        };
        Self { collector: Collector::new(&profile, &plan, "run", names, Servers::new(1, false)) }
    }

    fn fact(&mut self, now: u64, client: u32, fact: &Observation) {
        self.collector.observe(at(now), client, fact, |_| 0, || None);
    }

    fn hello(&mut self, now: u64, client: u32, tenant: Option<&str>, slow: bool) {
        let info = ConnectionInfo { tenant_id: tenant.map(Into::into), slow, ..ConnectionInfo::default() };
        let hello = Observation::Hello { took: Duration::ZERO, position: 10, info: Box::new(info) };
        self.fact(now, client, &hello);
    }

    fn ends(&mut self, sent: Option<u64>, now: u64, n: u32, outcome: Outcome) {
        let (due, sent) = (at(100), sent.map(at));
        let ended =
            Ended { room: 0, n: Some(n), publisher: 2, due, sent, outcome, own_fault: n.is_multiple_of(2) };
        self.collector.ended(at(now), &ended);
    }

    fn arrives(&mut self, now: u64, client: u32, n: u32, channel: Channel) {
        let stamp = Stamp { room: 0, n: Some(n), due: at(100), sent: at(110) };
        let position = Some(11 + u64::from(n));
        let arrival = Arrival { channel, stamp: Some(stamp), position, id: 0, room: 0, client_position: 10 };
        self.fact(now, client, &Observation::Arrived(arrival));
    }

    fn oddities(&self) -> BTreeMap<&'static str, u64> {
        self.collector.collected(at(0)).oddities
    }

    fn samples(&self, metric: Metric) -> u64 {
        self.collector.latency.interval(metric).map_or(0, Distribution::count)
    }

    fn kinds(&mut self) -> Vec<&'static str> {
        self.collector.take_findings().iter().map(|finding| finding.kind).collect()
    }
}

fn acknowledged() -> Outcome {
    Outcome::Acknowledged { id: Some("e".into()), position: None }
}

const LIVE: Channel = Channel::Stream { late: false };

#[test]
fn publishes_are_counted_by_outcome_and_fences_are_not() {
    let mut bench = Bench::new();
    let outcomes = [acknowledged(), Outcome::Rejected, Outcome::Unknown, Outcome::Unsent, Outcome::Unsent];
    for (n, outcome) in (0..).zip(outcomes) {
        bench.collector.issued(0, n);
        let sent = (outcome != Outcome::Unsent).then_some(130);
        bench.ends(sent, 150, n, outcome);
    }
    let fence = Ended {
        room: 0,
        n: None,
        publisher: 2,
        due: at(100),
        sent: Some(at(100)),
        outcome: acknowledged(),
        own_fault: false,
    };
    bench.collector.ended(at(150), &fence);
    let collected = bench.collector.collected(at(200));
    let should = Publishes {
        intended: 5,
        unsent: 2,
        sent: 3,
        acknowledged: 1,
        rejected: 1,
        unknown: 1,
        double_stored: 0,
    };
    assert_eq!((collected.publishes, collected.tenants[0].publishes), (should, should));
    assert_eq!(collected.tenants[1].publishes, Publishes::default());
    assert_eq!(collected.harness.unsent_by_harness, 1, "one of the two that were not sent");
    assert_eq!((bench.samples(Metric::SendLateness), bench.samples(Metric::PublishAck)), (3, 1));
    let ack = collected.latency[&Metric::PublishAck].at(0.5).expect("a sample");
    assert!((19_900..=20_100).contains(&ack), "from the first byte: {ack}");
}

#[test]
fn a_first_arrival_is_timed_by_its_channel_and_a_repeat_is_not() {
    let mut bench = Bench::new();
    bench.hello(50, 0, Some("t0"), false);
    (0..3).for_each(|n| bench.collector.issued(0, n));
    bench.arrives(160, 0, 0, LIVE);
    bench.arrives(170, 0, 0, LIVE);
    for (n, poll) in [(1, false), (2, true)] {
        bench.fact(180, 0, &Observation::BridgeBegan { position: 10, poll });
        bench.arrives(190, 0, n, Channel::Sync { since: 10 });
        bench.fact(200, 0, &Observation::BridgeEnded { complete: true, took: Duration::ZERO, poll });
    }
    let metrics = [
        (Metric::Arrival, 3),
        (Metric::DeliveryIntended, 1),
        (Metric::DeliverySent, 1),
        (Metric::BridgeDelivery, 1),
        (Metric::PollDelivery, 1),
    ];
    for (metric, samples) in metrics {
        assert_eq!(bench.samples(metric), samples, "{metric:?}");
    }
    let latency = bench.collector.latency.totals();
    let micros = |metric| latency[&metric].at(1.0).map(|micros| (micros + 500) / 1000);
    assert_eq!((micros(Metric::DeliveryIntended), micros(Metric::DeliverySent)), (Some(60), Some(50)));
    assert_eq!((micros(Metric::BridgeDelivery), micros(Metric::PollDelivery)), (Some(90), Some(90)));
}

#[test]
fn odd_things_have_their_names() {
    use Oddity::{BeforeHello, Binary, Malformed, OtherKnown, Oversized, SecondHello, UnknownType};
    use SyncTrouble::{BeyondRetention, Local, Network, Refused, ServerError, Timeout, Unauthorized};
    let mut bench = Bench::new();
    let odd = [OtherKnown, UnknownType, Malformed, Oversized, Binary, BeforeHello, SecondHello]
        .map(Observation::Odd);
    let troubles = [
        Unauthorized,
        Refused(429),
        BeyondRetention,
        ServerError(500),
        Network,
        Timeout,
        SyncTrouble::Malformed,
        Local,
    ]
    .map(Observation::SyncFailed);
    let rest = [
        Observation::RefreshFailed { refused: true },
        Observation::RefreshFailed { refused: false },
        Observation::Ping { json: true, late: false },
        Observation::Ping { json: false, late: false },
    ];
    for fact in odd.iter().chain(&troubles).chain(&rest) {
        bench.fact(100, 0, fact);
    }
    let names = [
        "frame_before_hello",
        "frame_binary",
        "frame_malformed",
        "frame_other_known",
        "frame_oversized",
        "frame_second_hello",
        "frame_unknown_type",
        "ping_frame",
        "ping_json",
        "refresh_failed",
        "refresh_refused",
        "sync_beyond_retention",
        "sync_local",
        "sync_malformed",
        "sync_network",
        "sync_refused",
        "sync_server_error",
        "sync_timeout",
        "sync_unauthorized",
    ];
    assert_eq!(bench.oddities(), names.map(|name| (name, 1)).into());
}

#[test]
fn a_hello_is_held_to_the_tenant_that_the_identity_belongs_to() {
    let mut bench = Bench::new();
    bench.hello(50, 0, Some("t0"), false);
    bench.hello(60, 1, Some("t0"), true);
    bench.hello(70, 2, None, false);
    let should = [("hello_slow", 1), ("hello_without_tenant", 1), ("hello_wrong_tenant", 1)];
    assert_eq!(bench.oddities(), should.into());
    let findings = bench.collector.take_findings();
    let told: Vec<_> = findings.iter().map(|line| (line.kind, line.client, line.at_ns)).collect();
    assert_eq!(told, [("hello_wrong_tenant", Some(1), 60_000_000)]);
    let line = &findings[0];
    assert_eq!((line.tenant_id.as_deref(), line.participant_id.as_deref()), (Some("t1"), Some("p1")));
    assert_eq!(line.username.as_deref(), Some("ws-000001"));
}

#[test]
fn a_cursor_that_goes_back_and_a_duplicate_sign_in_are_findings() {
    let mut bench = Bench::new();
    for regressed in [false, true] {
        let page = Observation::SyncPage { took: Duration::ZERO, next_cursor: Some(1), regressed };
        bench.fact(100, 0, &page);
    }
    for cause in [Cause::Reset, Cause::DuplicateConnection] {
        bench.fact(110, 0, &Observation::Disconnected { cause, code: None, was_live: true });
    }
    assert_eq!(bench.kinds(), ["sync_cursor_regressed", "evicted"]);
    assert_eq!(bench.oddities(), [("sync_cursor_regressed", 1)].into());
}

#[test]
fn what_the_audit_finds_of_a_missed_event_is_counted_and_told() {
    let position = Some(14);
    let stores = [
        (Store::InSync { position, id: Some("e".into()) }, "recoverable"),
        (Store::InHistory { position, id: None }, "recoverable"),
        (Store::Nowhere, "lost_by_server"),
        (Store::Signalled, "signalled_loss"),
        (Store::Unaudited, "unaudited"),
    ];
    for (store, name) in stores {
        let mut bench = Bench::new();
        let item = Item { client: 0, room: 0, n: 3, low: 12, high: 12, doubtful: false, id: 0 };
        bench.collector.found_missed(at(900), item, store.clone());
        let deliveries = bench.collector.deliveries();
        let counts = [
            ("recoverable", deliveries.recoverable),
            ("lost_by_server", deliveries.lost_by_server),
            ("signalled_loss", deliveries.signalled_loss),
            ("unaudited", deliveries.unaudited),
        ];
        for (own, count) in counts {
            assert_eq!(count, u64::from(own == name), "{own} of {store:?}");
        }
        assert_eq!(deliveries.sync_hole, u64::from(matches!(store, Store::InHistory { .. })));
        let finding = bench.collector.take_findings().remove(0);
        assert_eq!((finding.kind, finding.store, finding.n), ("missed", Some(name), Some(3)));
        let found = matches!(store, Store::InSync { .. } | Store::InHistory { .. });
        assert_eq!(finding.position, Some(if found { 14 } else { 12 }), "{store:?}");
        assert_eq!(finding.event_id.is_some(), matches!(store, Store::InSync { .. }));
        assert_eq!(finding.room_id.as_deref(), Some("r0"));
    }
}

#[test]
fn a_doubtful_publish_that_is_found_is_owed_and_one_that_cannot_be_looked_up_is_told() {
    let found = Store::InSync { position: Some(11), id: None };
    for (store, expected, unaudited) in [(found, 1, 0), (Store::Nowhere, 0, 0), (Store::Unaudited, 0, 1)] {
        let mut bench = Bench::new();
        bench.hello(50, 0, Some("t0"), false);
        bench.collector.issued(0, 0);
        bench.collector.ledger.sending(0, 0);
        bench.ends(Some(110), 150, 0, Outcome::Unknown);
        bench.collector.sweep(at(2_000), |_, _| 2);
        let item = bench.collector.auditor.abandoned();
        assert_eq!((item.client, item.room, item.n, item.low, item.doubtful), (2, 0, 0, 11, true));
        if expected > 0 {
            // As the page does that it was found on.
            let sighting = Sighting { room: 0, n: 0, sent: at(110), position: Some(11), id: 0 };
            bench.collector.ledger.shown(at(2_100), 2, sighting);
        }
        bench.collector.found_doubtful(item, &store);
        bench.collector.end_spans(at(9_000), false, |_, _| 2);
        assert_eq!(bench.collector.deliveries().expected, expected, "{store:?}");
        assert_eq!(bench.oddities().get("unknown_publish_unaudited").copied().unwrap_or(0), unaudited);
    }
}

impl Auditor {
    /// The one item that is queued.
    fn abandoned(&mut self) -> Item {
        self.abandon();
        let (item, store) = self.found().expect("something was queued");
        assert_eq!((store, self.found()), (Store::Unaudited, None));
        item
    }
}

#[test]
fn findings_of_a_kind_are_told_up_to_a_number_and_counted_beyond() {
    let mut bench = Bench::new();
    for client in [0, 1, 2, 3, 0] {
        bench.fact(
            100,
            client,
            &Observation::Disconnected { cause: Cause::DuplicateConnection, code: None, was_live: true },
        );
    }
    assert_eq!(bench.kinds(), ["evicted", "evicted"]);
    assert_eq!(bench.kinds(), [""; 0]);
    assert_eq!(bench.collector.collected(at(200)).harness.refused, [("evicted", 3)].into());
}

#[test]
fn what_never_came_is_in_the_latencies_of_its_tenant() {
    let mut bench = Bench::new();
    bench.hello(50, 0, Some("t0"), false);
    bench.hello(50, 1, Some("t1"), false);
    (0..2).for_each(|n| bench.collector.issued(0, n));
    (0..2).for_each(|n| bench.ends(Some(110), 150, n, acknowledged()));
    bench.fact(5_000, 0, &Observation::Ping { json: false, late: false });
    bench.fact(5_001, 0, &Observation::Disconnected { cause: Cause::Reset, code: None, was_live: true });
    bench.hello(5_002, 0, Some("t0"), false);
    bench.arrives(5_100, 0, 1, LIVE);
    bench.fact(5_200, 0, &Observation::Disconnected { cause: Cause::Reset, code: None, was_live: true });
    bench.collector.sweep(at(6_000), |_, _| 2);
    bench.collector.end_spans(at(9_000), false, |_, _| 2);
    let collected = bench.collector.collected(at(9_000));
    let never = collected.deliveries.missed_after_bridging + collected.deliveries.undecided;
    assert_eq!((collected.deliveries.expected, never), (2, 1));
    assert_eq!(collected.latency[&Metric::Arrival].not_delivered, 1);
    let per_tenant: Vec<u64> = collected.tenants.iter().map(|tenant| tenant.arrival.not_delivered).collect();
    assert_eq!(per_tenant, [1, 0]);
    let about: Vec<_> = collected
        .tenants
        .iter()
        .map(|tenant| (tenant.tenant, tenant.tenant_id.as_deref(), tenant.clients, tenant.disconnects))
        .collect();
    assert_eq!(about, [(0, Some("t0"), 2, 2), (1, Some("t1"), 2, 0)]);
}

#[test]
fn a_row_holds_what_came_since_the_one_before() {
    let mut bench = Bench::new();
    let mut rows = Vec::new();
    for round in 0..2_u32 {
        let (now, n) = (1_000 * u64::from(round), round * 4);
        for client in [0, 1] {
            bench.hello(now + 50, client, None, false);
            bench.fact(now + 50, client, &Observation::Ready);
        }
        (n..n + 4).for_each(|n| bench.collector.issued(0, n));
        bench.ends(Some(110), now + 150, n, acknowledged());
        bench.ends(Some(110), now + 150, n + 1, Outcome::Rejected);
        bench.ends(Some(110), now + 150, n + 2, Outcome::Unknown);
        bench.ends(None, now + 150, n + 3, Outcome::Unsent);
        bench.arrives(now + 160, 0, n, LIVE);
        bench.arrives(now + 170, 2, n, Channel::Sync { since: 1 });
        bench.fact(
            now + 200,
            1,
            &Observation::Disconnected { cause: Cause::Reset, code: None, was_live: true },
        );
        for kind in [crate::session::ReconnectKind::Immediate, crate::session::ReconnectKind::Offline] {
            let scheduled = at(now + 200);
            bench.fact(now + 200, 1, &Observation::Attempt { scheduled, kind, violation: false });
        }
        bench.fact(now + 210, 1, &Observation::ConnectFailed { local: false });
        let page = Observation::SyncPage { took: Duration::ZERO, next_cursor: None, regressed: false };
        bench.fact(now + 220, 1, &page);
        let dropped =
            format!("scaiwave_ws_messages_dropped_total {}\nscaiwave_ws_connections 5\n", 7 + 3 * round);
        bench.collector.servers.scraped(0, Some(&dropped));
        let context = RowContext { at_s: 1.0, phase: "hold".to_owned(), faults: "f".to_owned(), wanted: 4 };
        let (row, latency) = bench.collector.turn(context);
        assert_eq!(latency[&Metric::Arrival].count(), row.arrivals_live + row.arrivals_bridged);
        rows.push(row);
    }
    let should = IntervalRow {
        at_s: 1.0,
        phase: "hold".to_owned(),
        faults: "f".to_owned(),
        clients_wanted: 4,
        clients_live: 1,
        clients_ready: 1,
        publishes_intended: 4,
        publishes_acknowledged: 1,
        publishes_rejected: 1,
        publishes_unknown: 1,
        publishes_unsent: 1,
        arrivals_live: 1,
        disconnects: 1,
        reconnects: 1,
        connect_failures: 1,
        sync_pages: 1,
        ws_connections: Some(5),
        messages_dropped: Some(3),
        ..IntervalRow::default()
    };
    let row = IntervalRow {
        delivery_intended_us_p50: None,
        delivery_intended_us_p99: None,
        open_gaps: 0,
        arrivals_bridged: 0,
        ..rows[1].clone()
    };
    assert_eq!(row, should);
    assert_eq!((rows[0].messages_dropped, rows[1].delivery_intended_us_p50.is_some()), (Some(0), true));
}

#[test]
fn a_late_harness_is_told_and_drops_near_its_lateness_are_its_own() {
    let mut bench = Bench::new();
    let strain = Strain { loop_lag: Duration::from_millis(600), cpu: Duration::ZERO, busy: None, rss: 7 };
    bench.collector.strained(at(100), strain, true);
    bench.fact(200, 0, &Observation::Disconnected { cause: Cause::Silent, code: None, was_live: true });
    bench.fact(20_000, 0, &Observation::Disconnected { cause: Cause::Silent, code: None, was_live: true });
    let harness = bench.collector.collected(at(300)).harness;
    assert_eq!((harness.rss_bytes_max, harness.self_inflicted_drops), (7, 1));
    assert_eq!(harness.rss_bytes_quiet, Some(7));
}

#[test]
fn undecided_events_are_the_harnesss_when_it_was_interrupted_or_could_not_connect() {
    for (interrupted, local, by_harness) in
        [(false, false, 0), (true, false, 1), (false, true, 1), (true, true, 1)]
    {
        let mut bench = Bench::new();
        bench.hello(50, 0, None, false);
        bench.fact(60, 0, &Observation::Disconnected { cause: Cause::Reset, code: None, was_live: true });
        bench.fact(70, 0, &Observation::ConnectFailed { local });
        bench.collector.issued(0, 0);
        bench.ends(Some(110), 150, 0, acknowledged());
        bench.collector.end_spans(at(9_000), interrupted, |_, _| 2);
        let collected = bench.collector.collected(at(9_000));
        assert_eq!((collected.deliveries.undecided, collected.harness.undecided_by_harness), (1, by_harness));
        assert_eq!(collected.harness.local_failures, u64::from(local));
    }
}

#[test]
fn what_the_audit_refused_and_how_often_clients_polled_is_told_when_there_is_something_to_tell() {
    let mut bench = Bench::new();
    let collected = bench.collector.collected(at(100));
    assert_eq!((collected.harness.refused.len(), collected.oddities.len()), (0, 0));
    bench.collector.auditor.refused = 3;
    let kind = crate::session::ReconnectKind::Offline;
    bench.fact(100, 0, &Observation::Attempt { scheduled: at(100), kind, violation: false });
    let collected = bench.collector.collected(at(100));
    assert_eq!(collected.harness.refused, [("audit_queue", 3)].into());
    assert_eq!(collected.oddities, [("offline_attempts", 1)].into());
}

#[test]
fn a_missed_event_is_told_once_its_store_is_known_with_all_that_is_known_of_it() {
    let mut bench = Bench::new();
    let info = ConnectionInfo {
        session_id: Some("s".into()),
        server_name: Some("pod-1".into()),
        tenant_id: Some("t0".into()),
        slow: false,
    };
    let hello = Observation::Hello { took: Duration::ZERO, position: 10, info: Box::new(info) };
    bench.fact(50, 0, &hello);
    (0..4).for_each(|n| bench.collector.issued(0, n));
    (0..4).for_each(|n| bench.ends(Some(110), 150, n, acknowledged()));
    bench.arrives(160, 0, 3, LIVE);
    let moved = Observation::BridgeBegan { position: 20, poll: false };
    bench.fact(170, 0, &moved);
    bench.fact(170, 0, &Observation::BridgeEnded { complete: false, took: Duration::ZERO, poll: false });
    bench.fact(5_000, 0, &Observation::Ping { json: false, late: false });
    bench.fact(5_001, 0, &Observation::Disconnected { cause: Cause::Reset, code: None, was_live: true });
    bench.collector.end_spans(at(9_000), false, |_, _| 2);
    assert_eq!(
        (bench.kinds(), bench.collector.deliveries().undecided),
        (vec![""; 0], 3),
        "down, and no position known"
    );

    let mut bench = Bench::new();
    bench.fact(50, 0, &hello);
    let outcome = |n: u32| Outcome::Acknowledged { id: Some("e".into()), position: Some(11 + u64::from(n)) };
    (0..4).for_each(|n| bench.collector.issued(0, n));
    (0..4).for_each(|n| bench.ends(Some(110), 150, n, outcome(n)));
    bench.arrives(160, 0, 3, LIVE);
    bench.fact(170, 0, &moved);
    bench.fact(5_000, 0, &Observation::Ping { json: false, late: false });
    bench.fact(5_001, 0, &Observation::Disconnected { cause: Cause::Reset, code: None, was_live: true });
    bench.collector.ledger.stored(0, 20);
    bench.collector.sweep(at(6_000), |_, _| 2);
    assert_eq!(bench.kinds(), [""; 0], "the audit has not said yet where they are");
    for n in 0..3 {
        let item = Item { client: 0, room: 0, n, low: 11, high: 12, doubtful: false, id: 0 };
        bench.collector.found_missed(at(7_000), item, Store::Nowhere);
    }
    let findings = bench.collector.take_findings();
    assert_eq!(findings.len(), 2, "the cap of their kind");
    for (n, line) in (0..).zip(&findings) {
        assert_eq!(
            (line.kind, line.n, line.client, line.store),
            ("missed", Some(n), Some(0), Some("lost_by_server"))
        );
        assert_eq!((line.place, line.event_id.as_deref()), (Some("missed_on_stream"), Some("e")));
        assert_eq!((line.session_id.as_deref(), line.server_name.as_deref()), (Some("s"), Some("pod-1")));
        assert_eq!((line.connected_ns, line.disconnected_ns), (Some(50_000_000), Some(5_001_000_000)));
        assert_eq!((line.position, line.at_ns), (None, 7_000_000_000));
    }
    assert_eq!(bench.collector.findings.refused().collect::<Vec<_>>(), [("missed", 1)]);
}

#[test]
fn as_many_findings_as_the_cap_are_not_too_many() {
    let mut bench = Bench::new();
    for client in [0, 1] {
        let evicted =
            Observation::Disconnected { cause: Cause::DuplicateConnection, code: None, was_live: true };
        bench.fact(100, client, &evicted);
    }
    assert_eq!(bench.collector.findings.refused().count(), 0);
}

#[test]
fn no_more_missed_events_than_can_be_told_wait_for_the_audit() {
    let missed = |n| Missed {
        client: 0,
        room: 0,
        n,
        place: ledger::Place::InSync,
        low: 1,
        high: 2,
        id: 0,
        event_id: None,
        info: None,
        connected_at: None,
        disconnected_at: None,
    };
    let mut bench = Bench::new();
    let people = bench.collector.people.clone();
    let findings = &mut bench.collector.findings;
    (0..3).for_each(|n| findings.missed(at(1), missed(n)));
    let item = |n| Item { client: 0, room: 0, n, low: 1, high: 2, doubtful: false, id: 0 };
    // The third one had no room to wait in: only the audit's own words are told of it.
    for n in [2, 0] {
        findings.stored(at(2), item(n), "unaudited", (Some(9), None), &people);
    }
    let places: Vec<_> = findings.take().iter().map(|line| (line.n, line.place, line.position)).collect();
    assert_eq!(places, [(Some(2), None, Some(9)), (Some(0), Some("missed_in_sync"), Some(9))]);
}

#[test]
fn a_row_counts_what_was_missed_in_its_own_interval() {
    let mut bench = Bench::new();
    bench.hello(50, 0, None, false);
    (0..2).for_each(|n| bench.collector.issued(0, n));
    let position = |n: u32| Outcome::Acknowledged { id: None, position: Some(11 + u64::from(n)) };
    (0..2).for_each(|n| bench.ends(Some(110), 150, n, position(n)));
    bench.arrives(160, 0, 1, LIVE);
    bench.fact(170, 0, &Observation::BridgeBegan { position: 20, poll: false });
    bench.fact(170, 0, &Observation::BridgeEnded { complete: false, took: Duration::ZERO, poll: false });
    bench.fact(5_000, 0, &Observation::Ping { json: false, late: false });
    bench.collector.ledger.stored(0, 20);
    let mut missed = Vec::new();
    for now in [500, 6_000, 7_000] {
        bench.collector.sweep(at(now), |_, _| 2);
        missed.push(bench.collector.turn(RowContext::default()).0.missed_after_bridging);
    }
    assert_eq!(missed, [0, 1, 0]);
}
