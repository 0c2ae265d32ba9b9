//! Reconnect storms in virtual time, counted to the unit.

use std::collections::BTreeMap;
use std::time::Duration;

use wavesoak::collector::collected::{Collected, Storm};

use crate::play::{play, small};

/// Everybody loses the stream at once, and cannot have it for five seconds.
const OUTAGE: &str =
    "[[fault]]\nname = \"away\"\nkind = \"outage\"\nat = \"10s\"\nduration = \"5s\"\nshare = \"100%\"";
/// Half of them do, and can have it at once.
const RESET: &str = "[[fault]]\nname = \"half\"\nkind = \"reset\"\nat = \"10s\"\nshare = \"50%\"";

fn only(collected: &Collected) -> &Storm {
    let [storm] = collected.storms.as_slice() else { panic!("{:#?}", collected.storms) };
    storm
}

#[test]
fn half_the_clients_are_one_storm_named_by_its_fault_and_everybody_is_back_at_the_first_attempt() {
    let run = play(&small(1, RESET));
    let (collected, storm) = (&run.collected, only(&run.collected));
    let (name, at) = storm.fault.clone().expect("planted");
    assert_eq!((name.as_str(), Some(at.as_secs_f64())), ("half", collected.faults[0].at_s));
    assert_eq!((storm.clients, Some(storm.clients)), (20, collected.faults[0].affected));
    assert_eq!((storm.clients, storm.attempts), (collected.disconnects.total, collected.reconnects.total));
    assert_eq!((storm.failed, storm.syncs, storm.attempts_per_s_max()), (0, 20, 20));
    assert_eq!(storm.by_attempt, BTreeMap::from([(1, 20)]));
    assert!(storm.recovered_within(1.0).is_some_and(|all| all < Duration::from_millis(100)), "{storm:#?}");
}

#[test]
fn a_herd_that_cannot_come_back_for_five_seconds_is_back_after_seven_as_documented() {
    let storm = only(&play(&small(2, OUTAGE)).collected).clone();
    // At 0, 1 and 3 s they fail; at 7 s they do not.
    assert_eq!((storm.clients, storm.attempts, storm.failed), (40, 160, 120));
    assert_eq!(storm.by_attempt, BTreeMap::from([(4, 40)]));
    for share in [0.5, 0.9, 0.99, 1.0] {
        let within = storm.recovered_within(share).expect("everybody is back");
        assert!((7_000..7_200).contains(&within.as_millis()), "{share}: {within:?}");
    }
    assert_eq!(storm.attempts_per_s_max(), 40);
}

#[test]
fn a_herd_that_is_cut_off_to_the_end_is_not_back_and_no_time_is_made_up() {
    let mut profile = small(3, &OUTAGE.replace("duration = \"5s\"\n", "").replace("100%", "50%"));
    profile.drain.deadline = Duration::from_secs(20);
    let storm = only(&play(&profile).collected).clone();
    assert_eq!((storm.clients, storm.recovered.len(), storm.recovered_within(0.5)), (20, 0, None));
    assert!(storm.by_attempt.is_empty() && storm.failed >= 5 * 20, "{storm:#?}");
}

#[test]
fn a_spread_takes_the_herd_apart_and_takes_as_long_as_it_says() {
    let mut profile = small(4, RESET);
    profile.client.first_retry_spread = Duration::from_secs(4);
    let storm = only(&play(&profile).collected).clone();
    assert_eq!((storm.clients, storm.attempts, storm.failed), (20, 20, 0));
    assert!((5..=12).contains(&storm.attempts_per_s_max()), "{}", storm.attempts_per_s_max());
    let within = storm.recovered_within(1.0).expect("everybody is back");
    assert!((2_500..4_100).contains(&within.as_millis()), "{within:?}");
}

#[test]
fn over_two_hundred_seeds_storms_hold_no_more_than_what_was_lost_and_tried() {
    let faults = format!(
        "{RESET}\n{}\n{}",
        "[[fault]]\nkind = \"pod-kill\"\nat = \"12s\"\nduration = \"3s\"",
        "[[fault]]\nname = \"third\"\nkind = \"outage\"\nat = \"14s\"\nduration = \"2s\"\nshare = \"30%\""
    );
    let (mut storms, mut failed) = (0, 0);
    for seed in 0..200 {
        let run = play(&small(seed, &faults));
        let c = &run.collected;
        let sum = |count: fn(&Storm) -> u64| c.storms.iter().map(count).sum::<u64>();
        let offline = c.oddities.get("offline_attempts").copied().unwrap_or(0);
        assert!(sum(|storm| storm.clients) <= c.disconnects.total, "seed {seed}: {:#?}", c.storms);
        assert!(sum(|storm| storm.attempts) <= c.reconnects.total + offline, "seed {seed}: {:#?}", c.storms);
        for storm in &c.storms {
            let back = storm.recovered.len() as u64;
            assert_eq!(storm.by_attempt.values().sum::<u64>(), back, "seed {seed}: {storm:#?}");
            assert_eq!(storm.attempts, storm.failed + back, "seed {seed}, nobody polls: {storm:#?}");
            assert!(back + storm.stopped <= storm.clients, "seed {seed}: {storm:#?}");
            assert!(storm.recovered.is_sorted() && storm.began <= storm.last_loss, "seed {seed}: {storm:#?}");
            let lost: u64 = storm.series.bins().iter().map(|bin| bin.lost).sum();
            assert_eq!(lost, storm.clients, "seed {seed}: {storm:#?}");
            assert!(storm.fault.is_some(), "seed {seed}: nothing but faults loses streams: {storm:#?}");
        }
        storms += c.storms.len();
        failed += sum(|storm| storm.failed);
    }
    assert!(storms >= 400 && failed > 1_000, "{storms} storms, {failed} failures");
    println!("{storms} storms, {failed} failed attempts");
}
