//! The ledger's rules, each told as a short story of one client (or two) in one room.

use std::time::Duration;

use wavesoak::collector::collected::Deliveries;
use wavesoak::collector::ledger::{Ledger, Rules, Sighting};
use wavesoak::generator::{Ended, Outcome};
use wavesoak::plan::Population;
use wavesoak::profile;
use wavesoak::session::{Arrival, Cause, Channel, Observation, StopReason};
use wavesoak::time::Timestamp;
use wavesoak::wire::{Position, Stamp};

const BOUND: Duration = Duration::from_secs(1);

/// Times are in milliseconds; event n is due, and first sent, at 100 (n + 1), and its position is 11 + n.
struct Story {
    ledger: Ledger,
    leaves_at: Option<Timestamp>,
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn position(n: u32) -> Position {
    11 + Position::from(n)
}

impl Story {
    /// The client is live from 50 on, at position 10.
    fn begins(sync_first: bool) -> Self {
        let people = Population::new(&profile::Population {
            tenants: 1,
            clients: 2,
            members_per_room: 2,
            rooms_per_tenant: None,
            rooms_per_client: 1,
            ..profile::Population::default()
        });
        let rules = Rules {
            lateness_bound: BOUND,
            outcome_within: Duration::from_secs(3),
            window: 1000,
            remember: Duration::from_secs(20),
            sync_first,
        };
        let mut story = Self { ledger: Ledger::new(people, rules), leaves_at: None };
        story.hello(0, 50, 10);
        story
    }

    fn fact(&mut self, client: u32, now: u64, fact: &Observation) {
        let (first, leaves_at) = ((now / 100) as u32, self.leaves_at);
        self.ledger.observe(at(now), client, fact, |_| first, || leaves_at);
    }

    fn hello(&mut self, client: u32, now: u64, position: Position) {
        let info = Box::default();
        self.fact(client, now, &Observation::Hello { took: Duration::ZERO, position, info });
        self.fact(client, now, &Observation::Ready);
    }

    fn ping(&mut self, now: u64) {
        self.fact(0, now, &Observation::Ping { json: false, late: false });
    }

    fn drops(&mut self, now: u64) {
        self.fact(0, now, &Observation::Disconnected { cause: Cause::Reset, code: None, was_live: true });
    }

    /// The store has the client's position now.
    fn stores(&mut self, position: Position) {
        self.ledger.stored(0, position);
    }

    /// The live client's process dies, and is there again at once.
    fn restarts(&mut self, now: u64, position: Position) {
        self.fact(0, now, &Observation::Disconnected { cause: Cause::Killed, code: None, was_live: true });
        self.fact(0, now, &Observation::Restarted { position });
    }

    fn leaves(&mut self, now: u64) {
        self.fact(0, now, &Observation::Stopped(StopReason::Left));
    }

    /// A poll of one page.
    fn polls(&mut self, now: u64, since: Position, brings: &[u32], next_cursor: Position) {
        self.syncs(now, true, since, brings, next_cursor);
    }

    /// A poll, or a bridge, of one page.
    fn syncs(&mut self, now: u64, poll: bool, since: Position, brings: &[u32], next_cursor: Position) {
        self.fact(0, now, &Observation::BridgeBegan { position: since, poll });
        self.fact(0, now, &Observation::SyncSent { since });
        let (took, next_cursor) = (Duration::ZERO, Some(next_cursor));
        self.fact(0, now, &Observation::SyncPage { took, next_cursor, regressed: false });
        for &n in brings {
            self.arrives(0, now, n, Channel::Sync { since }, since);
        }
        self.fact(0, now, &Observation::BridgeEnded { complete: true, took, poll });
    }

    fn streams(&mut self, now: u64, n: u32) {
        self.arrives(0, now, n, Channel::Stream { late: false }, position(n));
    }

    fn arrives(&mut self, client: u32, now: u64, n: u32, channel: Channel, client_position: Position) {
        let due = at(100 * u64::from(n + 1));
        let stamp = Some(Stamp { room: 0, n: Some(n), due, sent: due });
        let id = u64::from(n) + 1;
        let arrival = Arrival { channel, stamp, position: Some(position(n)), id, room: 0, client_position };
        self.ledger.arrived(at(now), client, &arrival);
    }

    fn due(&mut self, n: u32) {
        self.ledger.issue(0, n);
        self.ledger.sending(0, n);
    }

    fn ends(&mut self, now: u64, n: u32, outcome: Outcome) {
        let due = at(100 * u64::from(n + 1));
        let ended =
            Ended { room: 0, n: Some(n), publisher: 0, due, sent: Some(due), outcome, own_fault: false };
        self.ledger.ended(at(now), &ended);
    }

    /// Due, and acknowledged at once.
    fn published(&mut self, n: u32) {
        self.due(n);
        let acknowledged = Outcome::Acknowledged { id: None, position: Some(position(n)) };
        self.ends(100 * u64::from(n + 1) + 1, n, acknowledged);
    }

    fn sweep(&mut self, now: u64) {
        self.ledger.sweep(at(now));
    }

    fn over(&mut self, now: u64) -> Deliveries {
        self.ledger.end_spans(at(now), |_| false);
        self.told()
    }

    fn told(&self) -> Deliveries {
        let d = self.ledger.deliveries()[0];
        let places = d.missed_on_stream + d.missed_in_sync + d.missed_in_seam + d.missed_behind_cursor;
        assert_eq!(d.missed_after_bridging, places + d.missed_unplaced, "{d:#?}");
        d
    }
}

#[test]
fn a_poll_moves_the_position_so_that_what_it_left_out_is_final_while_the_client_is_down() {
    let mut story = Story::begins(true);
    story.drops(60);
    story.published(0);
    story.published(1);
    story.polls(300, 10, &[1], position(1));
    story.stores(position(1));
    let told = story.over(3_000);
    assert_eq!((told.expected, told.bridged, told.undecided), (2, 1, 0));
    assert_eq!((told.missed_after_bridging, told.missed_in_sync), (1, 1));
}

#[test]
fn what_comes_after_it_was_final_is_resurrected_though_nobody_looked_in_between() {
    for sweeps in [false, true] {
        let mut story = Story::begins(true);
        story.published(0);
        story.published(1);
        story.streams(210, 1);
        story.ping(1_300);
        story.stores(position(1));
        if sweeps {
            story.sweep(1_400);
        }
        story.streams(1_500, 0);
        story.streams(1_510, 0);
        let told = story.over(3_000);
        assert_eq!((told.expected, told.live, told.missed_on_stream, told.resurrected), (2, 1, 1, 1));
        assert_eq!((told.stream_omitted, told.late_live, told.duplicate), (1, 0, 1));
    }
}

#[test]
fn a_gap_is_not_final_while_the_connection_that_should_have_brought_it_may_yet_be_proved() {
    let mut story = Story::begins(false);
    story.published(0);
    story.published(1);
    // Beside the live connection a bridge does not bring it, and moves the position past it.
    story.fact(0, 300, &Observation::BridgeBegan { position: 10, poll: false });
    story.fact(0, 300, &Observation::SyncSent { since: 10 });
    let took = Duration::ZERO;
    story.fact(0, 310, &Observation::SyncPage { took, next_cursor: Some(position(1)), regressed: false });
    story.fact(0, 310, &Observation::BridgeEnded { complete: true, took, poll: false });
    story.fact(0, 310, &Observation::Ready);
    story.stores(position(1));
    story.sweep(2_000);
    assert_eq!(story.told().missed_after_bridging, 0, "a ping is still to come");
    story.ping(2_100);
    let told = story.over(3_000);
    assert_eq!((told.missed_on_stream, told.missed_in_sync, told.stream_omitted), (2, 0, 2));
}

#[test]
fn a_rejected_event_that_comes_late_is_unexpected_and_no_repeat() {
    let mut story = Story::begins(true);
    story.due(0);
    story.published(1);
    story.streams(150, 0);
    story.ends(160, 0, Outcome::Rejected);
    assert_eq!((story.told().live, story.told().unexpected), (0, 1));
    story.due(2);
    story.ends(320, 2, Outcome::Rejected);
    story.streams(330, 1);
    story.sweep(2_000);
    story.streams(2_010, 2);
    story.streams(2_020, 2);
    let told = story.over(3_000);
    assert_eq!((told.expected, told.live, told.unexpected), (1, 1, 3));
    assert_eq!(told.duplicate + told.redelivered, 0);
}

#[test]
fn a_span_is_settled_by_what_happened_before_its_end() {
    let mut story = Story::begins(true);
    story.published(0);
    story.due(1);
    story.drops(250);
    story.leaves(2_000);
    // The client comes back before the second publish has its answer: what it asks for then is of another span.
    story.polls(2_100, 10, &[], position(5));
    story.hello(0, 2_200, position(5));
    story.ends(2_300, 1, Outcome::Rejected);
    story.sweep(3_400);
    let told = story.told();
    assert_eq!((told.expected, told.undecided, told.missed_after_bridging), (1, 1, 0));
}

#[test]
fn what_was_final_when_the_plan_took_a_client_away_is_missed_though_it_was_down() {
    let mut story = Story::begins(true);
    story.drops(60);
    story.published(0);
    story.polls(300, 10, &[], position(0));
    story.stores(position(0));
    story.leaves(2_000);
    let told = story.over(2_100);
    assert_eq!((told.missed_in_sync, told.undecided), (1, 0));
}

#[test]
fn an_unknown_publish_that_was_looked_up_in_vain_and_then_seen_is_owed_after_all() {
    let mut story = Story::begins(true);
    story.hello(1, 60, 10);
    story.due(0);
    story.ends(200, 0, Outcome::Unknown);
    story.published(1);
    story.streams(210, 1);
    story.arrives(1, 210, 1, Channel::Stream { late: false }, position(1));
    story.sweep(1_500);
    story.ledger.looked_up_in_vain(0, 0);
    story.sweep(2_000);
    assert_eq!(story.ledger.open_gaps(), 0, "nobody waits for it");
    story.streams(2_500, 0);
    assert_eq!(story.ledger.open_gaps(), 1, "the other one waits for it now");
    let told = story.over(9_000);
    assert_eq!((told.expected, told.live, told.late_live), (4, 3, 1));
    assert_eq!(told.missed_after_bridging, 1);
}

#[test]
fn an_unknown_publish_seen_shortly_before_a_leave_is_not_owed() {
    let mut story = Story::begins(true);
    story.drops(60);
    story.leaves_at = Some(at(9_000));
    story.leaves(70);
    story.hello(0, 80, 10);
    story.due(0);
    story.ends(200, 0, Outcome::Unknown);
    story.streams(8_500, 0);
    story.leaves(9_000);
    let told = story.over(9_100);
    assert_eq!((told.expected, told.live, told.unowed), (0, 0, 1));
}

#[test]
fn when_the_books_are_closed_no_answer_and_no_hello_changes_them() {
    let mut story = Story::begins(true);
    story.due(0);
    story.streams(150, 0);
    story.drops(160);
    let closed = story.over(300);
    assert_eq!((closed.expected, closed.live), (1, 1));
    story.ends(400, 0, Outcome::Rejected);
    story.due(4);
    story.hello(0, 450, position(0));
    story.streams(520, 4);
    let told = story.told();
    assert_eq!(Deliveries { unowed: 0, ..told }, closed);
    assert_eq!(told.unowed, 1);
}

#[test]
fn polls_in_a_row_are_one_piece_of_evidence() {
    let mut story = Story::begins(true);
    story.drops(60);
    story.published(0);
    // The page that should have brought it is followed by more polls than there is room for pieces.
    story.polls(300, 10, &[], 10);
    for turn in 0..100 {
        story.polls(310 + turn, 20, &[], 20);
    }
    story.stores(20);
    let told = story.over(3_000);
    assert_eq!((told.missed_in_sync, told.missed_behind_cursor), (1, 0));
    assert!(story.ledger.refused().is_empty());
}

#[test]
fn what_no_store_has_passed_is_not_final_since_a_restart_may_ask_for_it() {
    let mut story = Story::begins(true);
    story.published(0);
    story.published(1);
    story.streams(210, 1);
    story.ping(1_300);
    story.sweep(1_400);
    assert_eq!((story.told().missed_after_bridging, story.ledger.open_gaps()), (0, 1));
    // Nothing is stored: the client begins where it once began.
    story.restarts(1_500, 10);
    story.syncs(1_510, false, 10, &[0, 1], position(1));
    story.hello(0, 1_520, position(1));
    let told = story.over(3_000);
    assert_eq!((told.expected, told.live, told.bridged, told.missed_after_bridging), (2, 1, 1, 0));
    assert_eq!((told.replayed, told.stream_omitted, told.late_bridged, told.below_cursor), (1, 1, 1, 0));
}

#[test]
fn what_comes_again_is_replayed_once_for_each_restart_and_only_up_to_where_the_client_was() {
    let mut story = Story::begins(true);
    for n in 0..4 {
        story.published(n);
        story.streams(100 * u64::from(n + 1) + 10, n);
    }
    story.stores(position(1));
    story.restarts(450, position(1));
    // The page is cut: its cursor does not pass the last event.
    story.syncs(460, false, position(1), &[2, 3], position(2));
    story.syncs(470, false, position(2), &[3], position(3));
    assert_eq!((story.told().replayed, story.told().overlap), (2, 1));
    story.published(4);
    story.hello(0, 510, position(3));
    story.streams(520, 4);
    story.restarts(550, position(1));
    story.syncs(560, false, position(1), &[2, 3, 4], position(4));
    story.hello(0, 570, position(4));
    let told = story.over(3_000);
    assert_eq!((told.expected, told.live, told.replayed), (5, 5, 5));
    assert_eq!((told.duplicate, told.redelivered, told.overlap), (0, 0, 1));
}

#[test]
fn a_restart_beside_an_open_bridge_replays_what_the_cursor_had_passed_and_no_live_event() {
    let mut story = Story::begins(false);
    for n in 0..3 {
        story.published(n);
    }
    story.streams(110, 0);
    story.drops(150);
    story.hello(0, 160, position(0));
    story.fact(0, 160, &Observation::BridgeBegan { position: position(0), poll: false });
    story.fact(0, 160, &Observation::SyncSent { since: position(0) });
    // They come on the stream while the bridge is open: the client's position is still that of event 0.
    for n in [1, 2] {
        let channel = Channel::Stream { late: false };
        story.arrives(0, 100 * u64::from(n + 1) + 10, n, channel, position(0));
    }
    story.fact(0, 350, &Observation::BridgeEnded { complete: false, took: Duration::ZERO, poll: false });
    story.restarts(350, 10);
    story.hello(0, 360, 10);
    story.syncs(370, false, 10, &[0, 1, 2], position(2));
    let told = story.over(3_000);
    assert_eq!((told.live, told.replayed, told.overlap, told.redelivered), (3, 1, 0, 2));
}

#[test]
fn a_publish_given_up_in_flight_was_sent_when_its_stamp_says() {
    let mut story = Story::begins(false);
    story.hello(1, 60, 10);
    story.drops(80);
    story.due(0);
    story.arrives(1, 110, 0, Channel::Stream { late: false }, position(0));
    // The client comes back after it was sent, and its connection works.
    story.hello(0, 500, 10);
    story.ping(2_000);
    let ended = Ended {
        room: 0,
        n: Some(0),
        publisher: 0,
        due: at(100),
        sent: None,
        outcome: Outcome::Unknown,
        own_fault: false,
    };
    story.ledger.ended(at(2_500), &ended);
    let told = story.over(2_500);
    assert_eq!((told.expected, told.live, told.missed_unplaced), (2, 1, 1));
    assert_eq!((told.missed_on_stream, told.stream_omitted), (0, 0));
}

#[test]
fn what_the_audit_is_shown_beside_what_it_looks_for_has_been_seen() {
    let mut story = Story::begins(true);
    story.due(0);
    story.ends(200, 0, Outcome::Unknown);
    story.sweep(250);
    let sighting = Sighting { room: 0, n: 0, sent: at(100), position: Some(position(0)), id: 1 };
    story.ledger.shown(at(300), 1, sighting);
    assert!(story.ledger.poll().is_none(), "it need not be looked up");
    story.ping(1_500);
    let told = story.over(3_000);
    assert_eq!((told.expected, told.missed_on_stream), (1, 1));
}

#[test]
fn what_everybody_has_an_account_of_is_forgotten_and_what_somebody_waits_for_is_not() {
    let mut story = Story::begins(true);
    (0..20).for_each(|n| story.published(n));
    (0..19).for_each(|n| story.streams(2_200, n));
    // Down, so that nothing says whether number 19 is missed.
    story.drops(2_210);
    (0..5).for_each(|turn| story.sweep(5_000 + 20_000 * turn));
    story.polls(100_000, position(18), &[19], position(19));
    assert_eq!((story.told().bridged, story.told().late_bridged), (1, 1));
    (0..5).for_each(|turn| story.sweep(105_000 + 20_000 * turn));
    story.hello(0, 200_100, position(19));
    // Another id for an event that was forgotten says nothing; it is a repeat.
    let arrival = Arrival {
        channel: Channel::Stream { late: false },
        stamp: Some(Stamp { room: 0, n: Some(3), due: at(400), sent: at(400) }),
        position: Some(position(3)),
        id: 99,
        room: 0,
        client_position: position(19),
    };
    story.ledger.arrived(at(200_200), 0, &arrival);
    assert_eq!(story.ledger.double_stored(), [0]);
    let told = story.over(200_300);
    assert_eq!((told.expected, told.live, told.bridged, told.redelivered), (20, 19, 1, 1));
}

#[test]
fn a_final_gap_is_resurrected_only_as_long_as_it_is_remembered() {
    for (comes, resurrected, redelivered) in [(10_000, 1, 0), (90_000, 0, 1)] {
        let mut story = Story::begins(true);
        story.published(0);
        story.published(1);
        story.streams(210, 1);
        story.stores(position(1));
        (1..=comes / 1_000).for_each(|second| {
            story.ping(second * 1_000);
            story.sweep(second * 1_000 + 1);
        });
        story.streams(comes + 10, 0);
        let told = story.over(comes + 3_000);
        assert_eq!(
            (told.missed_on_stream, told.resurrected, told.redelivered),
            (1, resurrected, redelivered)
        );
        assert_eq!(told.duplicate, 0);
    }
}
