use proptest::prelude::*;

use super::*;
use crate::collector::ledger::First;
use crate::profile;
use crate::session::{Arrival, Channel};
use crate::wire::SyncEvent;

const BOUND: Duration = Duration::from_secs(5);

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn live() -> Channel {
    Channel::Stream { late: false }
}

/// Three clients of one tenant in one room, all of them live since 0 s, and a second room that holds nobody of them.
struct Bench(Observed);

impl Bench {
    fn new() -> Self {
        let mut bench = Self::nobody_there();
        for client in 0..3 {
            bench.hello(0, client, 100);
        }
        bench
    }

    fn nobody_there() -> Self {
        let people = Population::new(&profile::Population {
            tenants: 1,
            clients: 3,
            members_per_room: 3,
            rooms_per_client: 1,
            ..profile::Population::default()
        });
        Self(Observed::new(&people, &["room".into()], BOUND, 100))
    }

    fn hello(&mut self, secs: u64, client: u32, position: Position) {
        let info = Box::new(ConnectionInfo::default());
        let hello = Observation::Hello { took: Duration::ZERO, position, info };
        self.0.observe(at(secs), client, &hello);
        self.0.observe(at(secs), client, &Observation::Ready);
        self.sweep(secs + 5);
    }

    fn lost(&mut self, secs: u64, client: u32, cause: Cause) {
        let lost = Observation::Disconnected { cause, code: None, was_live: true };
        self.0.observe(at(secs), client, &lost);
    }

    fn bridge(&mut self, secs: u64, client: u32) {
        self.0.observe(at(secs), client, &Observation::BridgeBegan { position: 0, poll: false });
    }

    fn sees(&mut self, secs: u64, client: u32, channel: Channel, position: Position) -> Option<First> {
        self.sees_in("room", secs, client, channel, position)
    }

    fn sees_in(
        &mut self,
        room: &str,
        secs: u64,
        client: u32,
        channel: Channel,
        position: Position,
    ) -> Option<First> {
        let arrival = Arrival {
            channel,
            stamp: None,
            position: Some(position),
            id: id_hash(&format!("id {position}")),
            room: id_hash(room),
            client_position: position,
        };
        self.0.arrived(at(secs), client, &arrival)
    }

    fn history(&mut self, secs: u64, positions: &[Position]) {
        let event = |&position: &Position| SyncEvent {
            id: Some(format!("id {position}").into()),
            position: Some(position),
            is_message: true,
            ..SyncEvent::default()
        };
        let page = SyncPage { events: positions.iter().map(event).collect(), ..SyncPage::default() };
        self.0.shown(at(secs), 0, &page);
    }

    fn sweep(&mut self, secs: u64) {
        self.0.sweep(at(secs));
    }

    fn missed(&mut self) -> Vec<(u32, Position)> {
        let missed = |word| match word {
            Word::Missed(missed) => {
                assert_eq!((missed.low, missed.id), (missed.high, id_hash(&format!("id {}", missed.low))));
                Some((missed.client, missed.low))
            }
            _ => None,
        };
        std::iter::from_fn(|| self.0.poll()).filter_map(missed).collect()
    }

    /// The run ends; the books must balance.
    fn end(&mut self, secs: u64) -> Deliveries {
        self.0.end_spans(at(secs), |_| false);
        let deliveries = self.0.deliveries(0);
        let Deliveries { expected, live, bridged, missed_after_bridging, undecided, .. } = deliveries;
        assert_eq!(expected, live + bridged + missed_after_bridging + undecided, "{deliveries:?}");
        assert_eq!((deliveries.missed_unplaced, self.0.open_gaps()), (missed_after_bridging, 0));
        deliveries
    }
}

#[test]
fn what_one_saw_is_owed_to_all_who_were_there() {
    let mut bench = Bench::new();
    assert_eq!(bench.sees(10, 0, live(), 101), Some(First::Live));
    bench.bridge(11, 1);
    assert_eq!(bench.sees(11, 1, Channel::Sync { since: 100 }, 101), Some(First::Bridged));
    assert_eq!(bench.0.open_gaps(), 1);
    let Deliveries { expected, live, bridged, missed_after_bridging, .. } = bench.end(20);
    assert_eq!((expected, live, bridged, missed_after_bridging), (3, 1, 1, 1));
    assert_eq!(bench.missed(), [(2, 101)]);
    assert_eq!(bench.0.counts(), Observing { rooms: 1, events: 1, ..Observing::default() });
}

#[test]
fn what_is_seen_around_the_ends_of_a_span_is_not_judged() {
    let mut bench = Bench::nobody_there();
    bench.hello(0, 0, 100);
    bench.hello(10, 1, 100);
    // Client 1 has been there for four seconds, then for five.
    assert_eq!(bench.sees(14, 0, live(), 101), Some(First::Live));
    assert_eq!(bench.sees(14, 1, live(), 101), None);
    assert_eq!(bench.sees(15, 0, live(), 102), Some(First::Live));
    // Client 1 leaves four seconds after 103 was seen, five after 102; client 2 never came.
    assert_eq!(bench.sees(16, 0, live(), 103), Some(First::Live));
    bench.lost(20, 1, Cause::Left);
    let Deliveries { expected, live, missed_after_bridging, unowed, .. } = bench.end(30);
    assert_eq!((expected, live, missed_after_bridging, unowed), (4, 3, 1, 1));
    assert_eq!(bench.missed(), [(1, 102)]);
}

#[test]
fn who_is_down_at_the_end_has_not_missed_it_yet() {
    let mut bench = Bench::new();
    bench.lost(9, 2, Cause::Reset);
    for client in 0..2 {
        bench.sees(10, client, live(), 101);
    }
    assert!(!bench.0.is_accounted_for(2, at(12)) && bench.0.is_accounted_for(0, at(12)));
    let Deliveries { undecided, missed_after_bridging, .. } = bench.end(20);
    assert_eq!((undecided, missed_after_bridging), (1, 0));
}

#[test]
fn what_only_history_has_was_missed_by_everybody() {
    let mut bench = Bench::new();
    for client in 0..3 {
        bench.sees(10, client, live(), 105);
    }
    bench.sweep(11);
    // Nothing above it has settled: it may still be on its way.
    bench.history(12, &[103, 104, 105]);
    assert_eq!(bench.0.counts().by_survey_alone, 0);
    bench.sweep(17);
    // 99 was there before anybody.
    bench.history(17, &[99, 103, 104, 105]);
    let Deliveries { expected, live, missed_after_bridging, .. } = bench.end(18);
    assert_eq!((expected, live, missed_after_bridging), (9, 3, 6));
    assert_eq!(bench.0.counts().by_survey_alone, 3, "99 was seen, and is owed to nobody");
    let mut missed = bench.missed();
    missed.sort_unstable();
    assert_eq!(missed, [(0, 103), (0, 104), (1, 103), (1, 104), (2, 103), (2, 104)]);
}

#[test]
fn what_a_stored_position_has_passed_is_missed_before_the_end_and_may_rise_again() {
    let mut bench = Bench::new();
    bench.sees(10, 0, live(), 101);
    bench.sees(10, 1, live(), 102);
    bench.0.stored(1, 102);
    bench.sweep(15);
    assert_eq!(bench.missed(), [], "it is not late yet");
    bench.sweep(16);
    assert_eq!(bench.missed(), [(1, 101)], "nobody else's position has passed it");
    assert_eq!(bench.sees(17, 1, live(), 101), None);
    let Deliveries { resurrected, missed_after_bridging, .. } = bench.end(18);
    assert_eq!((resurrected, missed_after_bridging), (1, 4));
}

#[test]
fn repeats_are_told_apart_by_connection_and_bridge() {
    let mut bench = Bench::new();
    bench.sees(10, 0, live(), 101);
    bench.sees(11, 0, live(), 101);
    bench.lost(12, 0, Cause::Reset);
    bench.bridge(12, 0);
    bench.sees(12, 0, Channel::Sync { since: 100 }, 101);
    bench.sees(12, 0, Channel::Sync { since: 100 }, 101);
    bench.sees(12, 0, Channel::Sync { since: 100 }, 102);
    bench.hello(13, 0, 102);
    bench.sees(14, 0, live(), 102);
    bench.bridge(15, 0);
    bench.sees(15, 0, Channel::Sync { since: 102 }, 102);
    let found = bench.0.deliveries(0);
    let Deliveries { duplicate, overlap, redelivered, replayed, .. } = found;
    assert_eq!((duplicate, overlap, redelivered, replayed), (2, 2, 1, 0), "{found:?}");
    bench.lost(16, 0, Cause::Killed);
    bench.0.observe(at(17), 0, &Observation::Restarted { position: 100 });
    bench.bridge(17, 0);
    bench.sees(17, 0, Channel::Sync { since: 100 }, 101);
    assert_eq!(bench.0.deliveries(0).replayed, 1);
}

#[test]
fn order_is_that_of_positions_on_one_connection_and_room() {
    let mut bench = Bench::new();
    for position in [101, 103, 102, 104] {
        bench.sees(10, 0, live(), position);
    }
    assert_eq!((bench.0.deliveries(0).out_of_order, bench.0.deliveries(0).interleaved), (1, 0));
    bench.lost(11, 0, Cause::Reset);
    bench.hello(12, 0, 104);
    bench.sees(13, 0, live(), 100);
    assert_eq!(bench.0.deliveries(0).out_of_order, 1, "another connection");
}

#[test]
fn other_rooms_are_other_peoples() {
    let mut bench = Bench::new();
    assert_eq!(bench.sees_in("elsewhere", 10, 0, live(), 101), None);
    let Deliveries { foreign, expected, .. } = bench.end(20);
    assert_eq!((foreign, expected), (1, 0));
}

#[test]
fn what_is_settled_is_forgotten_and_what_comes_of_it_is_old_news() {
    let mut bench = Bench::new();
    for client in 0..3 {
        bench.sees(10, client, live(), 101);
    }
    bench.0.surveyed(0, 101);
    bench.sweep(49);
    bench.sees(49, 0, live(), 101);
    assert_eq!(bench.0.deliveries(0).duplicate, 1);
    bench.sweep(51);
    bench.sees(51, 0, live(), 101);
    assert_eq!(bench.0.refused().get("observed_old_news"), Some(&1));
    let Deliveries { expected, live, .. } = bench.end(60);
    assert_eq!((expected, live), (3, 3));
}

/// Something that happens, to one of three clients.
#[derive(Clone, Debug)]
enum Step {
    Stream(u32, Position),
    Sync(u32, Position),
    Bridge(u32),
    Hello(u32),
    Lost(u32, bool),
    Restart(u32),
    Stored(u32, Position),
    History(Position, Position),
    Surveyed(Position),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (client, position) = (0..3_u32, 95..125_u64);
    prop_oneof![
        6 => (client.clone(), position.clone()).prop_map(|(client, at)| Step::Stream(client, at)),
        3 => (client.clone(), position.clone()).prop_map(|(client, at)| Step::Sync(client, at)),
        1 => client.clone().prop_map(Step::Bridge),
        2 => client.clone().prop_map(Step::Hello),
        1 => (client.clone(), any::<bool>()).prop_map(|(client, planned)| Step::Lost(client, planned)),
        1 => client.clone().prop_map(Step::Restart),
        1 => (client, position.clone()).prop_map(|(client, at)| Step::Stored(client, at)),
        1 => (position.clone(), 0..8_u64).prop_map(|(from, count)| Step::History(from, count)),
        1 => position.prop_map(Step::Surveyed),
        3 => (1..30_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_happens_the_books_balance(steps in prop::collection::vec(step(), 1..80), window in 1..12_usize) {
        let mut bench = Bench::nobody_there();
        bench.0.window = window;
        let (mut secs, mut firsts) = (10, 0);
        for step in steps {
            match step {
                Step::Stream(client, position) => {
                    firsts += u64::from(bench.sees(secs, client, live(), position).is_some());
                }
                Step::Sync(client, position) => {
                    let channel = Channel::Sync { since: position.saturating_sub(3) };
                    firsts += u64::from(bench.sees(secs, client, channel, position).is_some());
                }
                Step::Bridge(client) => bench.bridge(secs, client),
                Step::Hello(client) => bench.hello(secs, client, 100),
                Step::Lost(client, planned) => {
                    bench.lost(secs, client, if planned { Cause::Left } else { Cause::Reset });
                }
                Step::Restart(client) => {
                    bench.0.observe(at(secs), client, &Observation::Restarted { position: 100 });
                }
                Step::Stored(client, position) => bench.0.stored(client, position),
                Step::History(from, count) => {
                    bench.history(secs, &(from..from + count).collect::<Vec<_>>());
                }
                Step::Surveyed(position) => bench.0.surveyed(0, position),
                Step::Wait(more) => {
                    secs += more;
                    bench.sweep(secs);
                }
            }
        }
        let deliveries = bench.end(secs + 10);
        prop_assert_eq!(deliveries.live + deliveries.bridged, firsts);
        prop_assert_eq!(bench.missed().len() as u64, deliveries.missed_after_bridging);
    }
}
