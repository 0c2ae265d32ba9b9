use super::*;

/// Live at 0, cut at 60 s, and everything fails until an attempt comes due after `offline_after`.
fn goes_offline(client: profile::Client) -> Bench {
    let mut bench = Bench::live(client);
    bench.secs(60);
    bench.reset();
    while !polling(&bench) {
        if bench.witness.sync.is_some() {
            bench.sync_fails(SyncTrouble::Network);
            continue;
        }
        let wake = bench.session.next_wake().expect("it goes on");
        bench.until(wake);
    }
    bench
}

fn polling(bench: &Bench) -> bool {
    bench.attempts().last().is_some_and(|attempt| attempt.1 == ReconnectKind::Offline)
}

#[test]
fn after_60_s_of_failures_the_next_attempt_is_a_long_poll() {
    let bench = goes_offline(documented());
    let attempts = bench.attempts();
    let times: Vec<f64> = attempts.iter().map(|attempt| attempt.0 - 60.0).collect();
    assert_eq!(times, [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 61.0]);
    assert!(attempts[..6].iter().all(|attempt| attempt.1 != ReconnectKind::Offline));
    assert!(bench.observations().contains(&Observation::BridgeBegan { position: 100, poll: true }));
    let poll = Action::Sync { id: 7, since: 100, limit: 100, timeout: Duration::from_secs(30) };
    assert_eq!(bench.actions().last(), Some(&poll));
}

#[test]
fn a_poll_is_overdue_only_when_its_own_timeout_has_passed_as_well() {
    let mut bench = goes_offline(documented());
    bench.take();
    bench.pass(Duration::from_millis(39_999));
    assert_eq!(bench.take(), []);
    bench.pass(Duration::from_millis(1));
    assert!(bench.observations().contains(&Observation::SyncFailed(SyncTrouble::Timeout)));
}

#[test]
fn a_failing_poll_goes_on_with_the_delays_where_they_were() {
    let mut bench = goes_offline(offline_after(2));
    bench.take();
    let start = bench.now;
    for delay in [4, 8, 16, 30, 30] {
        let before = bench.now;
        bench.sync_fails(SyncTrouble::Network);
        while bench.witness.sync.is_none() {
            let wake = bench.session.next_wake().expect("it goes on");
            bench.until(wake);
        }
        assert_eq!(bench.now.since(before), Duration::from_secs(delay));
    }
    assert_eq!(bench.now.since(start), Duration::from_secs(88));
}

#[test]
fn after_a_poll_that_was_answered_the_delays_of_sync_start_anew() {
    let mut bench = goes_offline(offline_after(2));
    bench.page(&[101], Some(101), false);
    assert_eq!(bench.attempts().last().map(|attempt| attempt.1), Some(ReconnectKind::Offline));
    bench.page(&[], Some(101), false);
    bench.refused();
    bench.secs(1);
    bench.take();
    bench.page(&[102], Some(102), false);
    bench.sync_fails(SyncTrouble::Network);
    bench.secs(1);
    bench.sync_fails(SyncTrouble::Network);
    bench.secs(1);
    let times: Vec<f64> = bench.attempts().iter().map(|attempt| attempt.0).collect();
    let at = bench.now.as_secs_f64();
    assert_eq!(times, [at - 2.0, at - 1.0, at]);
}

#[test]
fn the_stream_is_tried_after_a_reply_but_at_most_every_30_s() {
    let mut bench = goes_offline(offline_after(2));
    bench.take();
    // The first reply: no try at the stream has got beyond its sync yet.
    bench.secs(1);
    bench.page(&[101], Some(101), false);
    let tried = bench.now;
    assert!(bench.observations().contains(&Observation::BridgeBegan { position: 101, poll: false }));
    bench.page(&[], None, false);
    bench.refused();
    // Replies every 5 s with something new in each: none of them tries the stream.
    let mut position = 101;
    while bench.now.since(tried) < Duration::from_secs(25) {
        bench.take();
        bench.secs(5);
        position += 1;
        bench.page(&[position], Some(position), false);
        assert!(!bench.actions().contains(&Action::Connect));
        assert!(bench.attempts().iter().all(|attempt| attempt.1 == ReconnectKind::Offline));
    }
    bench.secs(5);
    bench.page(&[position + 1], Some(position + 1), false);
    bench.page(&[], None, false);
    assert!(bench.witness.connecting());
    bench.opens();
    assert!(bench.session.is_live());
}

#[test]
fn a_poll_follows_a_failed_try_at_the_stream_without_backing_off() {
    let mut bench = goes_offline(offline_after(2));
    bench.page(&[], None, false);
    bench.page(&[], None, false);
    bench.secs(3);
    bench.take();
    bench.refused();
    assert_eq!(bench.attempts().len(), 1, "at once: the same request was made 3 s ago");
    assert!(bench.observations().contains(&Observation::BridgeBegan { position: 100, poll: true }));
}

#[test]
fn polls_that_are_answered_at_once_with_nothing_new_are_a_second_apart() {
    let mut bench = goes_offline(offline_after(2));
    bench.page(&[], None, false);
    bench.page(&[], None, false);
    bench.refused();
    bench.take();
    let start = bench.now;
    while bench.now.since(start) < Duration::from_secs(20) {
        if bench.witness.sync.is_some() {
            bench.page(&[100], Some(100), false);
        }
        bench.pass(Duration::from_millis(100));
    }
    let attempts = bench.attempts().len();
    assert!((19..=20).contains(&attempts), "{attempts}");
}

#[test]
fn a_poll_pages_until_there_is_no_more() {
    let mut bench = goes_offline(offline_after(2));
    bench.take();
    bench.page(&[101], Some(101), true);
    let more = Action::Sync { id: 4, since: 101, limit: 100, timeout: Duration::from_secs(30) };
    assert_eq!(bench.actions(), [more]);
    assert_eq!(bench.attempts(), []);
}

#[test]
fn hello_ends_offline_mode_but_does_not_forget_the_failures() {
    let mut bench = goes_offline(offline_after(2));
    bench.page(&[], None, false);
    bench.goes_live();
    bench.take();
    bench.secs(1);
    let before = bench.now;
    bench.reset();
    let wake = bench.session.next_wake().expect("a delay");
    assert_eq!(wake.since(before), Duration::from_secs(4), "it is the fourth failure in a row");
}

#[test]
fn what_is_beyond_retention_does_not_keep_an_offline_client_from_trying_the_stream() {
    let mut bench = goes_offline(offline_after(2));
    bench.sync_fails(SyncTrouble::BeyondRetention);
    bench.sync_fails(SyncTrouble::BeyondRetention);
    bench.opens();
    assert!(bench.session.is_live());
}

#[test]
fn a_bridge_beyond_retention_in_a_try_at_the_stream_is_no_failure_that_a_delay_runs_from() {
    let mut bench = goes_offline(offline_after(2));
    bench.sync_fails(SyncTrouble::BeyondRetention);
    let polled = bench.now;
    bench.secs(1);
    bench.sync_fails(SyncTrouble::BeyondRetention);
    assert!(bench.witness.connecting());
    bench.refused();
    let wake = bench.session.next_wake().expect("the next poll");
    assert!(wake > polled, "the delay runs from the poll");
    // The witness holds the session to its schedule: an attempt that it calls too early fails the test.
    bench.secs(60);
    assert!(polling(&bench));
}

#[test]
fn a_stream_first_client_tries_the_stream_without_a_sync_before_it() {
    let client = profile::Client { bridge: BridgeOrder::StreamFirst, ..offline_after(2) };
    let mut bench = Bench::live(client);
    bench.secs(20);
    bench.reset();
    bench.refused();
    bench.secs(1);
    bench.refused();
    bench.secs(2);
    assert!(polling(&bench));
    bench.page(&[101], Some(101), false);
    assert!(!bench.witness.connecting(), "the last try was 2 s ago");
    bench.secs(30);
    bench.page(&[102], Some(102), false);
    assert!(bench.witness.connecting());
    bench.opens();
    bench.page(&[], None, false);
    assert_eq!(bench.observations().last(), Some(&Observation::Ready));
}
