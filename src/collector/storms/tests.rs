use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::collector::collected::{Series, together};
use crate::session::{ReconnectKind, StopReason};

/// Clients that are live when nothing else is said.
const FLEET: u64 = 500;

struct Bench {
    storms: Storms,
    live: u64,
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn lost() -> Observation {
    Observation::Disconnected { cause: Cause::Reset, code: None, was_live: true }
}

fn attempt() -> Observation {
    Observation::Attempt { scheduled: Timestamp::ZERO, kind: ReconnectKind::Immediate, violation: false }
}

fn hello() -> Observation {
    Observation::Hello { took: Duration::ZERO, position: 1, info: Box::default() }
}

const SYNC: Observation = Observation::SyncSent { since: 1 };
const FAILED: Observation = Observation::ConnectFailed { local: false };

impl Bench {
    fn new() -> Self {
        Self { storms: Storms::new(FLEET as u32), live: FLEET }
    }

    fn tell(&mut self, millis: u64, client: u32, fact: &Observation) {
        match fact {
            Observation::Disconnected { was_live: true, .. } => self.live -= 1,
            Observation::Hello { .. } => self.live += 1,
            _ => {}
        }
        self.storms.observe(at(millis), client, fact, self.live);
    }

    /// As documented: at once an attempt, and its sync.
    fn loses(&mut self, millis: u64, client: u32) {
        for fact in [lost(), attempt(), SYNC] {
            self.tell(millis, client, &fact);
        }
    }

    fn retries(&mut self, millis: u64, client: u32) {
        self.tell(millis, client, &attempt());
        self.tell(millis, client, &SYNC);
    }

    fn is_back(&mut self, millis: u64, client: u32) {
        self.tell(millis, client, &hello());
        self.tell(millis, client, &Observation::Ready);
    }

    fn one(&self) -> Storm {
        let storms = self.storms.collected();
        let [storm] = storms.as_slice() else { panic!("{storms:#?}") };
        storm.clone()
    }
}

fn secs(storm: &Storm, share: f64) -> Option<u64> {
    storm.recovered_within(share).map(|time| time.as_millis() as u64)
}

fn bins(series: &Series) -> BTreeMap<usize, (u64, u64, u64, u64, u64)> {
    let told = |bin: &crate::collector::collected::Bin| {
        (bin.lost, bin.attempts, bin.failed, bin.syncs, bin.recovered)
    };
    let all = series.bins().iter().map(told).enumerate();
    all.filter(|(_, bin)| *bin != (0, 0, 0, 0, 0)).collect()
}

#[test]
fn a_herd_is_counted_from_its_first_loss_on_although_it_was_not_many_yet() {
    let mut bench = Bench::new();
    // Ten clients, 20 ms after one another; the first two are back before the tenth is lost.
    for client in 0..10 {
        bench.loses(10_010 + u64::from(client) * 20, client);
        if client == 8 {
            bench.is_back(10_175, 0);
            bench.is_back(10_176, 1);
        }
    }
    // Five come back at once, two at their second attempt, and one is refused twice and not back.
    (2..7).for_each(|client| bench.is_back(10_300, client));
    for client in 7..10 {
        bench.tell(10_310, client, &FAILED);
        bench.retries(11_310, client);
    }
    bench.is_back(11_320, 7);
    bench.is_back(11_330, 8);
    bench.tell(11_340, 9, &FAILED);

    let storm = bench.one();
    assert_eq!((storm.began, storm.last_loss, storm.clients), (at(10_010), at(10_190), 10));
    assert_eq!((storm.attempts, storm.failed, storm.syncs), (13, 4, 13));
    assert_eq!((storm.lost_again, storm.stopped, storm.recovered.len()), (0, 0, 9));
    assert_eq!(storm.by_attempt, BTreeMap::from([(1, 7), (2, 2)]));
    let within = [0.1, 0.5, 0.9, 0.99, 1.0].map(|share| secs(&storm, share));
    assert_eq!(within, [Some(165), Some(290), Some(1_320), None, None]);
    assert_eq!((storm.attempts_per_s_max(), storm.syncs_per_s_max()), (10, 10));
    assert_eq!(storm.series.begins(), at(10_000));
    let should =
        [(0, (5, 5, 0, 5, 0)), (1, (5, 5, 0, 5, 2)), (3, (0, 0, 4 - 1, 0, 5)), (13, (0, 3, 1, 3, 2))];
    assert_eq!(bins(&storm.series), BTreeMap::from(should));
}

#[test]
fn nine_are_not_many_and_neither_are_ten_that_are_a_second_apart() {
    let mut bench = Bench::new();
    for client in 0..9 {
        bench.loses(5_000, client);
    }
    assert_eq!(bench.storms.collected(), []);
    bench.loses(6_000, 9);
    assert_eq!(bench.storms.collected(), [], "the first nine are a second ago");
    for client in 10..19 {
        bench.loses(6_999, client);
    }
    let storm = bench.one();
    assert_eq!((storm.began, storm.clients, storm.attempts), (at(6_000), 10, 10));
}

#[test]
fn of_a_large_fleet_one_in_a_hundred_is_many() {
    for (lost, storms) in [(49, 0), (50, 1)] {
        let mut storm = Storms::new(5_000);
        for client in 0..lost {
            storm.observe(at(1_000), client, &super::tests::lost(), 4_999 - u64::from(client));
        }
        assert_eq!(storm.collected().len(), storms, "{lost}");
    }
}

#[test]
fn seconds_that_overlap_are_one_storm_and_a_quiet_one_ends_it() {
    let mut bench = Bench::new();
    for (millis, from) in [(1_000, 0), (1_900, 10), (2_800, 20), (3_800, 30)] {
        (from..from + 10).for_each(|client| bench.loses(millis, client));
    }
    let told: Vec<_> = bench.storms.collected().iter().map(|s| (s.began, s.last_loss, s.clients)).collect();
    assert_eq!(told, [(at(1_000), at(2_800), 30), (at(3_800), at(3_800), 10)]);
}

#[test]
fn what_goes_on_for_more_than_half_a_minute_is_told_as_several() {
    let mut bench = Bench::new();
    for client in 0..350 {
        bench.loses(1_000 + u64::from(client) * 100, client);
    }
    let told: Vec<_> = bench.storms.collected().iter().map(|s| (s.began, s.clients)).collect();
    assert_eq!(told, [(at(1_000), 300), (at(31_000), 50)]);
}

#[test]
fn who_loses_the_new_stream_within_ten_seconds_is_counted_beside_and_not_twice() {
    let mut bench = Bench::new();
    (0..10).for_each(|client| bench.loses(1_000, client));
    (0..10).for_each(|client| bench.is_back(1_100, client));
    bench.loses(1_200, 0);
    bench.loses(11_099, 1);
    bench.loses(11_100, 2);
    let storm = bench.one();
    assert_eq!((storm.clients, storm.lost_again, storm.recovered.len(), storm.attempts), (10, 2, 10, 10));
}

#[test]
fn sync_behind_the_hello_is_the_storms_until_the_bridge_is_closed() {
    let mut bench = Bench::new();
    for client in 0..10 {
        bench.tell(1_000, client, &lost());
        bench.tell(1_000, client, &attempt());
        bench.tell(1_010, client, &hello());
        bench.tell(1_010, client, &SYNC);
        bench.tell(1_020, client, &SYNC);
        bench.tell(1_030, client, &Observation::Ready);
        bench.tell(9_000, client, &SYNC);
    }
    assert_eq!(bench.one().syncs, 20);
}

#[test]
fn an_attempt_that_goes_on_with_a_new_token_has_not_failed() {
    let mut bench = Bench::new();
    (0..10).for_each(|client| bench.loses(1_000, client));
    for client in 0..10 {
        bench.tell(1_010, client, &Observation::SyncFailed(SyncTrouble::Unauthorized));
    }
    bench.is_back(1_050, 0);
    bench.tell(1_060, 1, &Observation::Stopped(StopReason::AuthFailed));
    bench.retries(2_010, 2);
    let storm = bench.one();
    assert_eq!((storm.recovered.len(), storm.stopped, storm.failed), (1, 1, 9));
    assert_eq!(secs(&storm, 1.0), None, "one has stopped, and is not back");
}

#[test]
fn what_the_plan_takes_away_is_no_loss() {
    let mut bench = Bench::new();
    let left = Observation::Disconnected { cause: Cause::Left, code: None, was_live: true };
    (0..100).for_each(|client| bench.storms.observe(at(1_000), client, &left, 0));
    assert_eq!(bench.storms.collected(), []);
}

#[test]
fn further_storms_are_refused_and_counted() {
    let mut bench = Bench::new();
    for storm in 0..STORMS as u64 + 2 {
        let begins = 1_000 + storm * 20_000;
        (0..12).for_each(|client| bench.loses(begins, client));
        (0..12).for_each(|client| bench.is_back(begins + 10, client));
    }
    let storms = bench.storms.collected();
    assert_eq!((storms.len(), bench.storms.refused), (STORMS, 2 * 12));
    assert!(storms.iter().all(|storm| storm.clients == 12 && storm.attempts == 12));
}

/// What happens to one client of a storm: when it is lost, and after how many failures it is back.
type Fate = (u64, u32, bool);

fn play(fates: &[Fate], mine: impl Fn(u32) -> bool) -> Vec<Storm> {
    let mut facts: Vec<(u64, u32, Observation)> = Vec::new();
    for (client, &(begins, failures, back)) in (0..).zip(fates).filter(|(client, _)| mine(*client)) {
        let mut now = 60_000 + begins;
        facts.push((now, client, lost()));
        for _ in 0..failures {
            facts.extend([(now, client, attempt()), (now, client, SYNC), (now + 5, client, FAILED)]);
            now += 1_005;
        }
        facts.push((now, client, attempt()));
        if back {
            facts.extend([(now + 7, client, hello()), (now + 7, client, Observation::Ready)]);
        }
    }
    facts.sort_by_key(|(at, ..)| *at);
    let mut bench = Bench::new();
    for (now, client, fact) in &facts {
        bench.tell(*now, *client, fact);
    }
    bench.storms.collected()
}

proptest! {
    #[test]
    fn stripes_of_a_storm_add_up_to_the_whole_and_the_whole_to_what_happened(
        fates in proptest::collection::vec((0..400_u64, 0..4_u32, proptest::bool::weighted(0.9)), 60..200),
    ) {
        let whole = play(&fates, |_| true);
        let stripes: Vec<Vec<Storm>> = (0..3).map(|k| play(&fates, |client| client % 3 == k)).collect();
        prop_assert_eq!(&together(stripes), &whole);
        let [storm] = whole.as_slice() else { panic!("{whole:#?}") };
        let attempts: u64 = fates.iter().map(|fate| u64::from(fate.1) + 1).sum();
        let failures: u64 = fates.iter().map(|fate| u64::from(fate.1)).sum();
        let back = fates.iter().filter(|fate| fate.2).count();
        prop_assert_eq!((storm.clients, storm.attempts, storm.failed), (fates.len() as u64, attempts, failures));
        prop_assert_eq!((storm.recovered.len(), storm.by_attempt.values().sum::<u64>()), (back, back as u64));
        let sums = storm.series.bins().iter().fold([0; 5], |[a, b, c, d, e], bin| {
            [a + bin.lost, b + bin.attempts, c + bin.failed, d + bin.syncs, e + bin.recovered]
        });
        prop_assert_eq!(sums, [storm.clients, storm.attempts, storm.failed, storm.syncs, back as u64]);
        prop_assert_eq!(secs(storm, 1.0).is_some(), back == fates.len());
    }
}
