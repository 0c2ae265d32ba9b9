//! Clients that are started again: what the flush interval costs, and that it costs nothing else.

use std::collections::{BTreeMap, BTreeSet};

use wavesoak::collector::collected::Deliveries;
use wavesoak::profile::{BridgeOrder, Profile};
use wavesoak::selftest::Row;
use wavesoak::simulator::simulate_traced;
use wavesoak::simulator::trace::{Trace, What};

use crate::play::{balance, parse, play, small};

/// Everybody live, 4 events a second in each room, 2 rooms a client; clients 0 and 3 are started again.
fn steady(fault: &str, flush_interval: &str, bridge: BridgeOrder) -> Profile {
    let fault = format!("[[fault]]\nkind = \"restart\"\nclients = [0, 3]\n{fault}\n");
    let mut profile = parse(&format!("name = \"steady\"\n{}{fault}", Row::BASE));
    profile.client.flush_interval = wavesoak::profile::parse(
        &format!("name = \"x\"\n[[phase]]\nduration = \"1s\"\nclients = \"100%\"\n[client]\nflush_interval = \"{flush_interval}\"\n"),
        "interval.toml",
        &[],
    )
    .expect("a good interval")
    .profile
    .client
    .flush_interval;
    profile.client.bridge = bridge;
    profile
}

/// What must be 0 whatever is killed and whenever.
fn defects(d: &Deliveries) -> u64 {
    d.missed_after_bridging
        + d.undecided
        + d.stream_omitted
        + d.resurrected
        + d.duplicate
        + d.redelivered
        + d.out_of_order
        + d.below_cursor
        + d.unexpected
        + d.leaked
        + d.leaked_room
        + d.late_live
}

/// What should be replayed, from the trace with plain sets: everything that had come to a client with a position above
/// the one that it begins at again, and that comes once more.
fn replays(trace: &Trace) -> u64 {
    let mut came: BTreeMap<u32, BTreeMap<u64, (u32, u32)>> = BTreeMap::new();
    let mut again: BTreeMap<u32, BTreeSet<(u32, u32)>> = BTreeMap::new();
    let mut replayed = 0;
    for step in &trace.steps {
        let (client, messages) = match &step.what {
            What::Restarted { client, position } => {
                let came = came.entry(*client).or_default();
                again.insert(*client, came.range(position + 1..).map(|(_, &key)| key).collect());
                continue;
            }
            What::Streamed { client, message, .. } => (*client, std::slice::from_ref(message)),
            What::Page { client, messages, .. } => (*client, messages.as_slice()),
            _ => continue,
        };
        for message in messages {
            let stamp = message.stamp.and_then(|stamp| Some((stamp.room, stamp.n?)));
            let (Some(key), Some(position)) = (stamp, message.position) else { continue };
            replayed += u64::from(again.entry(client).or_default().remove(&key));
            came.entry(client).or_default().insert(position, key);
        }
    }
    replayed
}

#[test]
fn without_a_flush_everything_since_the_beginning_comes_again_and_nothing_is_lost() {
    for bridge in [BridgeOrder::SyncFirst, BridgeOrder::StreamFirst] {
        let run = play(&steady("at = \"3100ms\"", "1m", bridge));
        let d = run.collected.deliveries;
        // Nine events in each of two rooms, of each of two clients.
        assert_eq!((d.replayed, defects(&d), d.expected), (36, 0, d.live + d.bridged), "{d:#?}");
        assert_eq!(run.collected.faults[0].affected, Some(2));
        assert_eq!(run.collected.disconnects.total, 2);
        assert_eq!(run.collected.reconnects.total, 0, "a new process knows of no failure");
        assert_eq!(run.collected.harness.flushes.count, 0);
    }
}

#[test]
fn what_comes_while_a_client_is_down_is_owed_and_bridged() {
    let run = play(&steady("at = \"3100ms\"\nduration = \"2s\"", "1m", BridgeOrder::SyncFirst));
    let d = run.collected.deliveries;
    // Eight events in each room are published meanwhile.
    assert_eq!((d.replayed, d.bridged, defects(&d)), (36, 32, 0), "{d:#?}");
    assert_eq!(d.expected, d.live + d.bridged);
}

#[test]
fn the_longer_the_flush_interval_the_more_comes_again() {
    let mut before = 0;
    for interval in ["100ms", "700ms", "1500ms", "1m"] {
        let profile = steady("at = \"3100ms\"\nduration = \"1s\"", interval, BridgeOrder::SyncFirst);
        let (run, trace) = simulate_traced(&profile).expect("it ends");
        balance(&profile, &run);
        let d = run.collected.deliveries;
        assert_eq!((d.replayed, defects(&d)), (replays(&trace), 0), "{interval}: {d:#?}");
        assert!(d.replayed >= before, "{interval}: {} after {before}", d.replayed);
        before = d.replayed;
        println!("{interval}: {} replayed", d.replayed);
    }
    assert_eq!(before, 36);
}

#[test]
fn a_store_that_is_flushed_all_the_time_costs_nothing() {
    // All is quiet for more than an interval before the end of the second phase: everything that came is stored.
    let run = play(&steady("at = \"7400ms\"", "100ms", BridgeOrder::SyncFirst));
    let d = run.collected.deliveries;
    assert_eq!((d.replayed, d.live, defects(&d)), (0, d.expected, 0), "{d:#?}");
    assert!(run.collected.harness.flushes.count > 20);
}

#[test]
fn who_dies_in_the_middle_of_a_replay_replays_it_again() {
    let again = "at = \"3100ms\"\n[[fault]]\nkind = \"restart\"\nclients = [0, 3]\nat = \"3101ms\"\n";
    let profile = steady(again, "1m", BridgeOrder::SyncFirst);
    let (run, trace) = simulate_traced(&profile).expect("it ends");
    balance(&profile, &run);
    let d = run.collected.deliveries;
    assert_eq!((d.replayed, defects(&d)), (replays(&trace), 0), "{d:#?}");
    assert!(d.replayed >= 36, "{d:#?}");
    assert_eq!(run.collected.faults[1].affected, Some(2));
}

#[test]
fn what_the_stream_lost_is_brought_by_the_restart_as_long_as_no_store_has_passed_it() {
    let lost = "[[fault]]\nkind = \"lose\"\nclient = 0\nfirst = 3\ncount = 2\n";
    for (interval, bridged, missed) in [("1m", 2, 0), ("100ms", 0, 2)] {
        let profile = steady(&format!("at = \"4100ms\"\n{lost}"), interval, BridgeOrder::SyncFirst);
        let d = play(&profile).collected.deliveries;
        assert_eq!((d.bridged, d.missed_on_stream, d.recoverable), (bridged, missed, missed), "{interval}");
        assert_eq!((d.stream_omitted, d.resurrected, d.below_cursor), (2, 0, 0), "{interval}: {d:#?}");
    }
}

#[test]
fn the_plan_may_take_away_and_bring_back_a_client_that_is_down() {
    let more = "[[phase]]\nname = \"fewer\"\nduration = \"2s\"\nclients = \"50%\"\n\
                [[phase]]\nname = \"more\"\nduration = \"2s\"\nclients = \"100%\"\n\
                [[phase]]\nname = \"last\"\nduration = \"4s\"\n\
                [[fault]]\nkind = \"restart\"\nat = \"19s\"\nduration = \"4s\"\nshare = \"100%\"\n";
    for seed in 0..20 {
        let run = play(&small(seed, more));
        let (d, clients) = (run.collected.deliveries, run.collected.clients);
        assert_eq!((clients.ready_at_end, run.collected.faults[0].affected), (40, Some(40)), "seed {seed}");
        let guilt = d.missed_on_stream + d.missed_in_sync + d.missed_unplaced + d.duplicate + d.redelivered;
        assert_eq!((guilt, d.lost_by_server, d.below_cursor), (0, 0, 0), "seed {seed}: {d:#?}");
    }
}
