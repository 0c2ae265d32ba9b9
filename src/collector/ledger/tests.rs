//! What the stories of `tests/scenarios/rules.rs` and the oracle do not see: words, bounds, borders.

use super::forget::FINALS;
use super::*;
use crate::profile;
use crate::session::{Arrival, Channel};
use crate::wire::Stamp;

const BOUND: Duration = Duration::from_secs(1);

/// Two clients of one tenant, both members of its one room. Times are in milliseconds.
struct Bench {
    ledger: Ledger,
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn position(n: u32) -> Position {
    11 + Position::from(n)
}

fn acknowledged(id: Option<&str>, position: Option<Position>) -> Outcome {
    Outcome::Acknowledged { id: id.map(Into::into), position }
}

impl Bench {
    fn new() -> Self {
        Self::with_window(1000)
    }

    fn with_window(window: usize) -> Self {
        let people = Population::new(&profile::Population {
            tenants: 1,
            clients: 2,
            members_per_room: 2,
            rooms_per_tenant: Some(1),
            rooms_per_client: 1,
            ..profile::Population::default()
        });
        let outcome_within = Duration::from_secs(3);
        let remember = Duration::from_secs(1000);
        let rules = Rules { lateness_bound: BOUND, outcome_within, window, remember, sync_first: true };
        Self { ledger: Ledger::new(people, rules) }
    }

    /// Client 0 is live from 50 on, at position 10, and owed everything.
    fn live() -> Self {
        let mut bench = Self::new();
        bench.hello(0, 50, 10);
        bench
    }

    /// Restarts have stories of their own: here every position is durable at once.
    fn sweep(&mut self, now: Timestamp) {
        for client in 0..self.ledger.clients.len() as u32 {
            let position = self.ledger.clients[client as usize].position;
            self.ledger.stored(client, position);
        }
        self.ledger.sweep(now);
    }

    fn fact(&mut self, client: u32, now: u64, fact: &Observation) {
        self.ledger.observe(at(now), client, fact, |_| 0, || None);
    }

    fn hello(&mut self, client: u32, now: u64, position: Position) {
        self.fact(client, now, &Observation::Hello { took: Duration::ZERO, position, info: Box::default() });
    }

    fn drops(&mut self, now: u64) {
        self.fact(0, now, &Observation::Disconnected { cause: Cause::Reset, code: None, was_live: true });
    }

    /// A bridge of one empty page.
    fn bridges(&mut self, now: u64, since: Position) {
        self.fact(0, now, &Observation::BridgeBegan { position: since, poll: false });
        self.fact(0, now, &Observation::SyncSent { since });
        self.fact(0, now, &Observation::BridgeEnded { complete: true, took: Duration::ZERO, poll: false });
    }

    fn sends(&mut self, n: u32) {
        self.ledger.issue(0, n);
        self.ledger.sending(0, n);
    }

    fn ends(&mut self, sent: u64, now: u64, n: u32, outcome: Outcome) {
        let (due, sent) = (at(sent), Some(at(sent)));
        let ended = Ended { room: 0, n: Some(n), publisher: 1, due, sent, outcome, own_fault: false };
        self.ledger.ended(at(now), &ended);
    }

    fn publishes(&mut self, now: u64, n: u32, outcome: Outcome) {
        self.sends(n);
        self.ends(now, now + 10, n, outcome);
    }

    /// Event n says of itself that it was sent at 100 (n + 1).
    fn streams(&mut self, client: u32, now: u64, n: u32, id: u64, position: Option<Position>) {
        let sent = at(100 * (u64::from(n) + 1));
        let stamp = Stamp { room: 0, n: Some(n), due: sent, sent };
        let channel = Channel::Stream { late: false };
        let client_position = position.unwrap_or(10);
        let arrival = Arrival { channel, stamp: Some(stamp), position, id, room: 0, client_position };
        self.ledger.arrived(at(now), client, &arrival);
    }

    fn words(&mut self) -> Vec<Word> {
        std::iter::from_fn(|| self.ledger.poll()).collect()
    }

    fn deliveries(&self) -> Deliveries {
        self.ledger.deliveries()[0]
    }
}

fn stray(kind: &'static str, client: u32, n: u32, position: Option<Position>) -> Word {
    Word::Stray { kind, client, room: 0, n: Some(n), position }
}

#[test]
fn whoever_had_an_event_before_it_was_rejected_is_named_with_its_position() {
    for (position, said) in [(Some(11), Some(11)), (None, None)] {
        let mut bench = Bench::live();
        bench.sends(0);
        bench.streams(0, 110, 0, 0, position);
        bench.ends(100, 120, 0, Outcome::Rejected);
        assert_eq!(bench.words(), [stray("unexpected", 0, 0, said)]);
        assert_eq!((bench.deliveries().live, bench.deliveries().unexpected), (0, 1));
    }
}

#[test]
fn another_id_or_another_position_than_the_acknowledged_one_is_a_second_copy() {
    let (id, other) = (id_hash("e"), id_hash("f"));
    for (acknowledged, copies, doubles) in [
        (acknowledged(Some("e"), None), [(id, None), (id, Some(12))], 0),
        (acknowledged(Some("e"), None), [(other, None), (id, None)], 1),
        (acknowledged(Some("e"), None), [(other, None), (other, None)], 1),
        (acknowledged(None, Some(11)), [(0, Some(11)), (other, Some(11))], 0),
        (acknowledged(None, Some(11)), [(0, Some(12)), (0, Some(11))], 1),
        (acknowledged(None, None), [(id, Some(11)), (other, Some(11))], 1),
        (acknowledged(None, None), [(id, Some(11)), (id, Some(12))], 1),
    ] {
        let mut bench = Bench::live();
        let shown = format!("{acknowledged:?} {copies:?}");
        bench.publishes(100, 0, acknowledged);
        for (id, position) in copies {
            bench.streams(0, 120, 0, id, position);
        }
        assert_eq!(bench.ledger.double_stored(), [doubles], "{shown}");
        let told = bench
            .words()
            .iter()
            .filter(|word| matches!(word, Word::Stray { kind: "double_stored", .. }))
            .count();
        assert_eq!(told as u64, doubles, "{shown}");
    }
}

#[test]
fn the_acknowledgement_itself_can_be_the_second_copy() {
    let mut bench = Bench::live();
    bench.sends(0);
    bench.streams(0, 105, 0, id_hash("f"), Some(12));
    bench.ends(100, 110, 0, acknowledged(Some("e"), Some(11)));
    assert_eq!(
        bench.words(),
        [Word::Stray { kind: "double_stored", client: 1, room: 0, n: Some(0), position: Some(11) }]
    );
    assert_eq!(bench.ledger.double_stored(), [1]);
}

#[test]
fn an_acknowledgement_without_an_id_leaves_the_one_that_was_seen() {
    let mut bench = Bench::live();
    bench.sends(0);
    bench.streams(0, 105, 0, id_hash("e"), None);
    bench.ends(100, 110, 0, acknowledged(None, None));
    bench.streams(0, 120, 0, id_hash("f"), None);
    assert_eq!(bench.ledger.double_stored(), [1]);
}

#[test]
fn a_connection_that_was_not_proved_past_its_own_hello_is_no_evidence() {
    for (ping, pieces) in [(1_050, 0), (1_051, 1)] {
        let mut bench = Bench::live();
        bench.fact(0, ping, &Observation::Ping { json: false, late: false });
        bench.drops(2_000);
        assert_eq!(bench.ledger.clients[0].past.items.len(), pieces, "{ping}");
    }
}

#[test]
fn a_position_that_nobody_knows_lies_above_what_anyone_of_the_tenant_held_when_it_was_sent() {
    // The other client's position counts as well: by hello, by sync, by stream.
    for held in 0..4 {
        let mut bench = Bench::live();
        match held {
            0 => {}
            1 => bench.hello(1, 60, 20),
            2 => bench.fact(1, 60, &Observation::BridgeBegan { position: 20, poll: false }),
            _ => {
                bench.hello(1, 60, 10);
                bench.streams(1, 70, 7, 1, Some(20));
            }
        }
        bench.words();
        bench.publishes(100, 0, acknowledged(None, None));
        bench.drops(2_000);
        bench.sweep(at(3_000));
        bench.ledger.end_spans(at(3_000), |_| false);
        bench.sweep(at(3_000));
        assert_eq!(bench.deliveries().undecided, 1, "{held}");
        let mut unknown = Bench::live();
        unknown.hello(1, 60, 20);
        unknown.publishes(100, 0, Outcome::Unknown);
        unknown.ledger.sweep(at(5_000));
        assert_eq!(unknown.words(), [Word::LookUp { room: 0, n: 0, above: 20 }]);
    }
}

#[test]
fn a_position_that_nobody_knows_lies_below_those_of_what_was_sent_after_its_acknowledgement() {
    /// Sent, outcome known, outcome, position on the stream.
    type Other = (u64, u64, Outcome, Option<Position>);
    let acked = |position| acknowledged(None, Some(position));
    let cases: [(Other, Position); 5] = [
        ((201, 210, acked(20), None), 19),
        ((201, 210, acknowledged(None, None), None), 29),
        // Sent with the acknowledgement or before it: it may have been stored before.
        ((200, 210, acked(20), None), 29),
        ((150, 210, acked(20), None), 29),
        // Said never to have been sent.
        ((201, 210, Outcome::Unsent, Some(20)), 29),
    ];
    for ((sent, known, outcome, seen), high) in cases {
        let mut bench = Bench::live();
        let shown = format!("{sent} {outcome:?}");
        (0..3).for_each(|n| bench.sends(n));
        bench.ends(100, 200, 0, acknowledged(None, None));
        if let Some(position) = seen {
            bench.streams(1, known - 1, 1, 1, Some(position));
        }
        if outcome == Outcome::Unsent {
            let (due, outcome) = (at(sent), outcome);
            let ended =
                Ended { room: 0, n: Some(1), publisher: 1, due, sent: None, outcome, own_fault: false };
            bench.ledger.ended(at(known), &ended);
        } else {
            bench.ends(sent, known, 1, outcome);
        }
        bench.ends(300, 310, 2, acked(30));
        bench.streams(0, 320, 2, 2, Some(30));
        bench.fact(0, 5_000, &Observation::Ping { json: false, late: false });
        bench.drops(5_001);
        bench.sweep(at(5_002));
        let missed = bench.words().into_iter().find_map(|word| match word {
            Word::Missed(missed) if missed.n == 0 => Some((missed.place, missed.low, missed.high)),
            _ => None,
        });
        assert_eq!(missed, Some((Place::OnStream, 11, high)), "{shown}");
    }
}

#[test]
fn what_the_ledger_had_to_let_go_of_is_counted() {
    let mut bench = Bench::live();
    for round in 1..40 {
        let now = round * 100;
        bench.drops(now);
        bench.bridges(now + 10, 10);
        bench.hello(0, now + 20, 10);
    }
    // A bridge and a seam each round; a connection that nothing proved is no evidence. Sixty-four pieces are kept.
    let refused: Vec<_> = bench.ledger.refused().iter().map(|(name, count)| (*name, *count)).collect();
    assert_eq!(refused, [("ledger_evidence", 39 * 2 - 64)]);

    let mut bench = Bench::live();
    for round in 1..90 {
        let now = round * 10_000;
        bench.fact(0, now, &Observation::Ping { json: false, late: false });
        bench.drops(now);
        bench.hello(0, now + 20, 10);
    }
    assert_eq!(bench.ledger.refused().get("ledger_evidence"), Some(&(89 - 64)));
}

#[test]
fn what_settles_only_when_the_books_are_closed_is_judged_whatever_the_window() {
    for window in [1, 100] {
        let mut bench = Bench::with_window(window);
        bench.hello(0, 1_000, 1);
        bench.drops(2_000);
        // The first one has no end that is known, so that nothing behind it settles.
        for n in 0..9 {
            let outcome = if n == 0 { Outcome::Unknown } else { Outcome::Rejected };
            bench.publishes(3_000, n, outcome);
            bench.sweep(at(3_100));
        }
        bench.ledger.end_spans(at(9_000), |_| false);
        let deliveries = bench.deliveries();
        assert_eq!((deliveries.expected, deliveries.undecided), (0, 0), "window {window}: {deliveries:#?}");
    }
}

#[test]
fn no_position_of_a_server_is_too_high() {
    let mut bench = Bench::new();
    bench.hello(0, 1_000, u64::MAX);
    bench.publishes(2_000, 0, acknowledged(None, None));
    bench.sweep(at(8_000));
    bench.ledger.end_spans(at(9_000), |_| false);
    assert_eq!((bench.deliveries().expected, bench.deliveries().missed_after_bridging), (1, 1));
}

#[test]
fn what_is_of_no_room_of_the_plan_is_unexpected() {
    let mut bench = Bench::live();
    let stamp = Stamp { room: 9, n: Some(0), due: at(100), sent: at(100) };
    let channel = Channel::Stream { late: false };
    let arrival =
        Arrival { channel, stamp: Some(stamp), position: Some(11), id: 1, room: 0, client_position: 11 };
    assert_eq!(bench.ledger.arrived(at(120), 0, &arrival), None);
    assert_eq!(bench.deliveries().unexpected, 1);
    let word = Word::Stray { kind: "unexpected", client: 0, room: 9, n: Some(0), position: Some(11) };
    assert_eq!(bench.words(), [word]);
}

#[test]
fn what_comes_within_the_bound_is_not_late() {
    for (now, late) in [(1_100, 0), (1_101, 1)] {
        let mut bench = Bench::live();
        bench.publishes(100, 0, acknowledged(None, None));
        bench.streams(0, now, 0, 1, Some(11));
        assert_eq!((bench.deliveries().live, bench.deliveries().late_live), (1, late), "{now}");
    }
}

#[test]
fn two_events_at_one_position_are_in_order() {
    let mut bench = Bench::live();
    for (n, position) in [(0, 20), (1, 20), (2, 19), (3, 19), (4, 20), (5, 21)] {
        bench.publishes(100, n, acknowledged(None, None));
        bench.streams(0, 110, n, u64::from(n) + 1, Some(position));
    }
    assert_eq!((bench.deliveries().out_of_order, bench.deliveries().interleaved), (2, 0));
}

#[test]
fn a_client_that_has_everything_takes_no_memory_for_gaps() {
    let mut bench = Bench::live();
    for n in 0..3 {
        bench.publishes(100, n, acknowledged(None, None));
    }
    bench.streams(0, 110, 2, 3, Some(13));
    assert!(bench.ledger.has_gaps(0) && bench.ledger.open_gaps() == 2);
    bench.streams(0, 120, 0, 1, Some(11));
    bench.streams(0, 130, 1, 2, Some(12));
    assert!(!bench.ledger.has_gaps(0) && bench.ledger.open_gaps() == 0);
    bench.drops(140);
    assert!(bench.ledger.tracks[0].extra.is_none());
}

#[test]
fn a_client_that_gets_everything_in_order_takes_no_memory_of_its_own() {
    let mut bench = Bench::live();
    for n in 0..5 {
        bench.publishes(100, n, acknowledged(None, None));
        bench.streams(0, 110, n, u64::from(n) + 1, Some(position(n)));
        assert!(bench.ledger.tracks[0].extra.is_none(), "{n}");
    }
    bench.sweep(at(9_000));
    assert!(bench.ledger.tracks[0].extra.is_none());
}

#[test]
fn what_is_undecided_because_the_harness_kept_the_client_away_is_counted_apart() {
    for (by_harness, apart) in
        [([true, true], 3), ([true, false], 2), ([false, true], 1), ([false, false], 0)]
    {
        let mut bench = Bench::live();
        bench.hello(1, 50, 10);
        bench.drops(60);
        for n in 0..2 {
            bench.publishes(100, n, acknowledged(None, None));
        }
        bench.streams(1, 110, 0, 1, Some(position(0)));
        bench.fact(1, 120, &Observation::Disconnected { cause: Cause::Reset, code: None, was_live: true });
        bench.ledger.end_spans(at(9_000), |client| by_harness[client as usize]);
        let deliveries = bench.deliveries();
        assert_eq!((deliveries.expected, deliveries.live, deliveries.undecided), (4, 1, 3));
        assert_eq!(bench.ledger.undecided_by_harness, apart, "{by_harness:?}");
    }
}

#[test]
fn a_missed_event_is_told_with_what_is_known_of_it_and_of_the_clients_last_connection() {
    let mut bench = Bench::live();
    bench.publishes(100, 0, acknowledged(Some("e"), Some(11)));
    bench.publishes(120, 1, acknowledged(None, Some(12)));
    bench.streams(0, 130, 1, 2, Some(12));
    bench.fact(0, 5_000, &Observation::Ping { json: false, late: false });
    bench.sweep(at(5_001));
    let missed = Missed {
        client: 0,
        room: 0,
        n: 0,
        place: Place::OnStream,
        low: 11,
        high: 11,
        id: 0,
        event_id: Some("e".into()),
        info: Some(Box::default()),
        connected_at: Some(at(50)),
        disconnected_at: None,
    };
    assert_eq!(bench.words(), [Word::Missed(missed)]);
    assert!(bench.ledger.in_span(0) && !bench.ledger.in_span(1) && !bench.ledger.has_gaps(0));
}

#[test]
fn how_far_a_connection_is_proved_and_whether_everything_has_an_end_can_be_asked() {
    let mut bench = Bench::live();
    assert!(bench.ledger.all_ended());
    bench.sends(0);
    assert!(!bench.ledger.all_ended(), "on its way");
    bench.ends(100, 110, 0, Outcome::Unknown);
    bench.sweep(at(200));
    assert!(!bench.ledger.all_ended(), "doubtful");
    bench.sweep(at(1_110));
    assert_eq!(bench.words(), [], "not before the bound has passed");
    bench.sweep(at(1_111));
    assert_eq!(bench.words(), [Word::LookUp { room: 0, n: 0, above: 10 }]);
    bench.ledger.looked_up_in_vain(0, 0);
    bench.sweep(at(1_300));
    assert!(bench.ledger.all_ended());
    bench.fact(0, 3_000, &Observation::Ping { json: true, late: true });
    assert!(!bench.ledger.proved_past(0, at(60)), "read late");
    bench.fact(0, 3_000, &Observation::Ping { json: true, late: false });
    assert!(bench.ledger.proved_past(0, at(1_999)) && !bench.ledger.proved_past(0, at(2_000)));
    assert!(!bench.ledger.proved_past(1, at(60)), "never connected");
}

#[test]
fn a_span_that_begins_before_what_its_room_remembers_is_counted_as_such() {
    let mut bench = Bench::with_window(1);
    for n in 0..5 {
        bench.publishes(100, n, acknowledged(None, None));
    }
    bench.sweep(at(2_000));
    bench.sweep(at(2_001));
    bench.hello(0, 3_000, 20);
    bench.hello(1, 3_000, 20);
    bench.ledger.end_spans(at(9_000), |_| false);
    assert_eq!(bench.ledger.refused().get("ledger_span_without_base"), Some(&2));
    assert_eq!(bench.deliveries().expected, 0);
}

#[test]
fn what_is_missed_is_final_only_when_the_bound_has_passed() {
    for (ends, in_sync, undecided) in [(1_110, 0, 1), (1_111, 1, 0)] {
        let mut bench = Bench::live();
        bench.publishes(100, 0, acknowledged(None, Some(11)));
        bench.drops(120);
        bench.fact(0, 200, &Observation::BridgeBegan { position: 10, poll: true });
        bench.fact(0, 200, &Observation::SyncSent { since: 10 });
        let page = Observation::SyncPage { took: Duration::ZERO, next_cursor: Some(12), regressed: false };
        bench.fact(0, 210, &page);
        bench.fact(0, 210, &Observation::BridgeEnded { complete: true, took: Duration::ZERO, poll: true });
        bench.ledger.stored(0, 12);
        bench.ledger.end_spans(at(ends), |_| false);
        let deliveries = bench.deliveries();
        assert_eq!((deliveries.missed_in_sync, deliveries.undecided), (in_sync, undecided), "{ends}");
    }
}

impl Bench {
    /// A poll of one empty page, which brings the client to `cursor`.
    fn polls(&mut self, now: u64, since: Position, cursor: Position) {
        self.fact(0, now, &Observation::BridgeBegan { position: since, poll: true });
        self.fact(0, now, &Observation::SyncSent { since });
        let page =
            Observation::SyncPage { took: Duration::ZERO, next_cursor: Some(cursor), regressed: false };
        self.fact(0, now, &page);
        self.fact(0, now, &Observation::BridgeEnded { complete: true, took: Duration::ZERO, poll: true });
    }

    /// Places of what the ledger has found missed by now.
    fn sweeps(&mut self, now: u64) -> Vec<Place> {
        self.sweep(at(now));
        let place = |word| match word {
            Word::Missed(missed) => Some(missed.place),
            _ => None,
        };
        self.words().into_iter().filter_map(place).collect()
    }
}

#[test]
fn the_last_event_of_a_room_is_missed_though_no_later_one_shows_the_gap() {
    let mut bench = Bench::live();
    bench.publishes(100, 0, acknowledged(None, Some(11)));
    assert_eq!((bench.sweeps(1_110), bench.ledger.open_gaps()), (vec![], 0), "not late yet");
    assert_eq!((bench.sweeps(1_111), bench.ledger.open_gaps()), (vec![], 1));
    bench.fact(0, 2_000, &Observation::Ping { json: false, late: false });
    assert_eq!(bench.sweeps(2_001), [], "the position has not passed it");
    // What is in no timetable moves the position all the same.
    bench.streams(0, 2_100, 9, 9, Some(12));
    assert_eq!(bench.sweeps(2_101), [Place::OnStream]);
    assert_eq!((bench.deliveries().stream_omitted, bench.ledger.open_gaps()), (1, 0));
}

#[test]
fn a_client_that_is_down_is_looked_at_again_until_nothing_more_can_be_learned() {
    let mut bench = Bench::live();
    bench.publishes(100, 0, acknowledged(None, Some(11)));
    bench.publishes(100, 1, acknowledged(None, Some(12)));
    bench.streams(0, 115, 1, 2, Some(12));
    bench.drops(120);
    bench.polls(200, 10, 12);
    assert_eq!(bench.sweeps(500), [], "not late yet");
    assert_eq!(bench.sweeps(2_000), [Place::InSync], "nothing has happened to it meanwhile");
}

#[test]
fn a_proof_stays_one_when_it_is_found_again() {
    for looks in 1..4 {
        let mut bench = Bench::live();
        bench.publishes(100, 0, acknowledged(None, Some(20)));
        bench.drops(120);
        bench.polls(200, 10, 12);
        for look in 0..looks {
            assert_eq!(bench.sweeps(2_000 + look * 100), [], "the position has not passed it");
            bench.polls(2_050 + look * 100, 12, 12);
        }
        bench.polls(3_000, 12, 25);
        assert_eq!(bench.sweeps(3_100), [Place::InSync], "after {looks} looks");
    }
}

#[test]
fn final_gaps_are_remembered_up_to_a_number_and_counted_beyond() {
    for (remembered, refused) in [(FINALS - 1, 0), (FINALS, 2)] {
        let mut bench = Bench::live();
        (0..remembered as u32).for_each(|n| assert!(bench.ledger.finals.insert(7, 0, 10 + n)));
        for n in 0..2 {
            bench.publishes(100, n, acknowledged(None, Some(position(n))));
        }
        bench.publishes(100, 2, acknowledged(None, Some(13)));
        bench.streams(0, 115, 2, 3, Some(13));
        bench.fact(0, 5_000, &Observation::Ping { json: false, late: false });
        if refused == 0 {
            assert!(bench.ledger.finals.remove(7, 0, 10));
        }
        assert_eq!(bench.sweeps(5_001), [Place::OnStream; 2]);
        assert_eq!(bench.ledger.refused().get("ledger_finals").copied().unwrap_or(0), refused);
        assert!(!bench.ledger.finals.insert(8, 0, 10), "full");
    }
}

#[test]
fn a_span_that_has_ended_waits_for_the_outcomes_of_its_events() {
    for (outcome, expected) in [(Outcome::Rejected, 1), (acknowledged(None, None), 1)] {
        let mut bench = Bench::live();
        bench.publishes(100, 0, acknowledged(None, Some(11)));
        bench.streams(0, 115, 0, 1, Some(11));
        bench.sends(1);
        bench.fact(0, 2_000, &Observation::Stopped(StopReason::Left));
        bench.ledger.sweep(at(2_100));
        assert_eq!(bench.deliveries().expected, 0, "one is on its way");
        bench.ends(1_500, 2_200, 1, outcome);
        bench.ledger.sweep(at(2_300));
        assert_eq!((bench.deliveries().expected, bench.deliveries().live), (expected, 1));
        assert_eq!(bench.ledger.refused().len(), 0);
    }
}
