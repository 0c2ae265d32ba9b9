//! The books balance in every run.

use wavesoak::collector::collected::Deliveries;
use wavesoak::profile::BridgeOrder;

use crate::play::{play, small};

/// Every fault of the first cut, and processes that die, in windows that overlap.
const STORMY: &str = r#"
[[phase]]
name = "fewer"
duration = "4s"
clients = "50%"
[[phase]]
name = "more"
duration = "4s"
clients = "100%"
[[phase]]
name = "last"
duration = "5s"
[[fault]]
at = "5s"
kind = "reset"
share = "30%"
[[fault]]
at = "7s"
kind = "pod-kill"
duration = "3s"
[[fault]]
at = "9s"
kind = "silent"
share = "10%"
duration = "9s"
[[fault]]
at = "12s"
kind = "expire-token"
share = "25%"
[[fault]]
at = "14s"
kind = "reset"
share = "50%"
[[fault]]
at = "15s"
kind = "restart"
share = "30%"
duration = "2s"
"#;

/// What no fault of [`STORMY`] may cause: the target is innocent in every one of them. (`undecided` may be: a client
/// that backs off when the plan takes it away.)
fn guilt(deliveries: &Deliveries) -> u64 {
    let d = deliveries;
    d.missed_on_stream
        + d.missed_in_sync
        + d.missed_unplaced
        + d.lost_by_server
        + d.stream_omitted
        + d.duplicate
        + d.unexpected
        + d.leaked
        + d.leaked_room
        + d.out_of_order
        + d.below_cursor
        + d.unaudited
        + d.foreign
        + d.sync_hole
}

fn over_seeds(seeds: std::ops::Range<u64>, bridge: BridgeOrder) -> Vec<Deliveries> {
    seeds
        .map(|seed| {
            let mut profile = small(seed, STORMY);
            profile.client.bridge = bridge;
            let run = play(&profile);
            let collected = &run.collected;
            assert_eq!(collected.reconnects.schedule_violations, 0, "seed {seed}");
            assert_eq!(guilt(&collected.deliveries), 0, "seed {seed}: {:#?}", collected.deliveries);
            assert_eq!(collected.clients.ready_at_end, 40, "seed {seed}: {:#?}", collected.clients);
            collected.deliveries
        })
        .collect()
}

#[test]
fn books_balance_and_the_target_is_innocent_over_a_thousand_seeds_of_faults() {
    let runs = over_seeds(0..1000, BridgeOrder::SyncFirst);
    let bridged: u64 = runs.iter().map(|deliveries| deliveries.bridged).sum();
    let seam: u64 = runs.iter().map(|deliveries| deliveries.missed_in_seam).sum();
    assert!(bridged > 1000, "{bridged}");
    // The documented order has a hole, and a thousand storms fall into it.
    assert!(seam > 0);
    println!("bridged {bridged}, missed in the seam {seam}");
}

#[test]
fn stream_first_misses_nothing() {
    for deliveries in over_seeds(2000..2200, BridgeOrder::StreamFirst) {
        assert_eq!(deliveries.missed_after_bridging, 0, "{deliveries:#?}");
    }
}

#[test]
fn a_seed_reproduces_a_run_to_the_bit() {
    let tell = |seed| {
        let run = play(&small(seed, STORMY));
        format!("{} {:?} {:?} {:?}", run.steps, run.ended, run.collected.deliveries, run.findings)
    };
    assert_eq!(tell(7), tell(7));
    assert_ne!(tell(7), tell(8));
}

#[test]
fn the_pods_gauge_agrees_with_the_clients() {
    let run = play(&small(5, ""));
    let connections = run.collected.server.ws_connections;
    assert_eq!((connections.before, connections.peak), (Some(0), Some(40)));
}
