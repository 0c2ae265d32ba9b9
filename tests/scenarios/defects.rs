//! Planted defects, counted.

use wavesoak::target::Deed;

use crate::play::{play, small};

fn lose(store: bool) -> String {
    format!(
        "[[fault]]\nat = \"0s\"\nkind = \"lose\"\nclient = 5\nroom = 1\nfirst = 20\ncount = 7\nstore = {store}\n"
    )
}

#[test]
fn what_is_lost_on_the_stream_and_in_the_store_is_lost_by_the_server() {
    let run = play(&small(3, &lose(true)));
    let deliveries = run.collected.deliveries;
    assert_eq!(deliveries.missed_after_bridging, 7);
    assert_eq!(deliveries.missed_on_stream, 7);
    assert_eq!(deliveries.lost_by_server, 7);
    assert_eq!(deliveries.stream_omitted, 7);
    assert_eq!(run.truth.count(Deed::EventHidden), 7);
    let missed: Vec<_> = run.findings.iter().filter(|finding| finding.kind == "missed").collect();
    assert_eq!(missed.len(), 7);
    assert!(
        missed.iter().all(|finding| finding.client == Some(5) && finding.store == Some("lost_by_server"))
    );
    assert_eq!(
        missed.iter().map(|finding| finding.n).collect::<Vec<_>>(),
        (20..27).map(Some).collect::<Vec<_>>()
    );
}

#[test]
fn what_is_lost_on_the_stream_only_is_recoverable() {
    let run = play(&small(3, &lose(false)));
    let deliveries = run.collected.deliveries;
    assert_eq!((deliveries.missed_on_stream, deliveries.recoverable), (7, 7));
    assert_eq!(deliveries.lost_by_server, 0);
    assert_eq!(run.findings.len(), 7);
}

#[test]
fn refused_publishes_are_rejected_and_nobody_is_owed_them() {
    let run = play(&small(3, "[[fault]]\nat = \"0s\"\nkind = \"refuse-publishes\"\n"));
    assert_eq!(run.collected.publishes.rejected, run.collected.publishes.intended);
    assert!(run.collected.publishes.intended > 300);
    assert_eq!(run.collected.deliveries.expected, 0);
}

#[test]
fn refused_tokens_stop_their_clients() {
    let run = play(&small(3, "[[fault]]\nat = \"0s\"\nkind = \"reject-tokens\"\nshare = \"40%\"\n"));
    assert_eq!(run.collected.clients.auth_failed, 16);
    assert_eq!(run.collected.clients.never_ready, 16);
}

#[test]
fn a_target_that_never_comes_back_leaves_its_clients_undecided() {
    let mut profile = small(3, "[[fault]]\nat = \"10s\"\nkind = \"pod-kill\"\n");
    profile.target.embedded.pods = 1;
    let run = play(&profile);
    assert_eq!(run.collected.clients.live_at_end, 0);
    let deliveries = run.collected.deliveries;
    println!("{deliveries:#?} {:#?}", run.collected.publishes);
    assert!(run.collected.publishes.acknowledged < run.collected.publishes.intended * 3 / 4);
}

#[test]
fn a_balancer_that_is_too_impatient_is_seen_in_the_causes() {
    let mut profile = small(3, "");
    profile.target.embedded.ping_interval = std::time::Duration::from_secs(30);
    profile.client.watchdog = std::time::Duration::from_secs(75);
    profile.target.embedded.balancer.idle_timeout = std::time::Duration::from_secs(3);
    profile.traffic.rate.0 = 0.5;
    let run = play(&profile);
    assert!(run.collected.disconnects.by_cause[&wavesoak::session::Cause::Eof] > 40);
    assert!(run.collected.lifetimes.count() > 40);
}

#[test]
fn when_traffic_waits_for_everyone_everyone_is_owed_everything() {
    let mut profile = small(3, "");
    profile.traffic.start = wavesoak::profile::TrafficStart::AllLive;
    let run = play(&profile);
    let (publishes, deliveries) = (run.collected.publishes, run.collected.deliveries);
    // 40 clients in 2 rooms each, 10 members a room.
    assert_eq!(deliveries.expected, publishes.intended * 10);
    assert_eq!((deliveries.live, deliveries.unowed), (deliveries.expected, 0));
}

#[test]
fn a_target_that_stays_sick_outside_a_fault_ends_the_run_early() {
    let mut profile = small(3, "[[stop]]\ncondition = \"connect-failures > 50%\"\nlasting = \"4s\"\n");
    // Nobody planted it: every token is refused from the beginning, by a life of nothing.
    profile.target.embedded.token_lifetime = std::time::Duration::from_nanos(1);
    let run = play(&profile);
    assert!(run.collected.harness.stopped_by.is_some(), "{:?}", run.collected.harness);
}
