use super::*;

/// Sync and stream are both down: when do the attempts come?
fn attempts_while_down(client: profile::Client, until: u64) -> Vec<(f64, ReconnectKind)> {
    let mut bench = Bench::live(client);
    bench.secs(70);
    bench.reset();
    down(&mut bench, until);
    bench.attempts()
}

/// Every sync request fails at once until then (seconds).
fn down(bench: &mut Bench, until: u64) {
    loop {
        if bench.witness.sync.is_some() {
            bench.sync_fails(SyncTrouble::Network);
            continue;
        }
        match bench.session.next_wake() {
            Some(wake) if wake <= Timestamp::from_secs(until) => bench.until(wake),
            _ => return,
        }
    }
}

#[test]
fn the_delays_are_0_1_2_4_8_16_30_30() {
    let client = profile::Client { offline_after: HOUR, ..documented() };
    let attempts = attempts_while_down(client, 230);
    let times: Vec<f64> = attempts.iter().map(|attempt| attempt.0 - 70.0).collect();
    assert_eq!(times, [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 61.0, 91.0, 121.0, 151.0]);
    assert_eq!(attempts[0].1, ReconnectKind::Immediate);
    assert!(attempts[1..].iter().all(|attempt| attempt.1 == ReconnectKind::BackedOff));
}

#[test]
fn a_delay_runs_from_the_failure() {
    let mut bench = Bench::live(documented());
    bench.secs(20);
    bench.reset();
    bench.page(&[], None, false);
    bench.secs(3);
    bench.refused();
    bench.until(Timestamp::from_millis(23_999));
    assert_eq!(bench.attempts().len(), 1);
    bench.until(Timestamp::from_secs(24));
    assert_eq!(bench.attempts(), [(20.0, ReconnectKind::Immediate), (24.0, ReconnectKind::BackedOff)]);
}

#[test]
fn a_server_that_says_when_to_ask_again_is_not_asked_before() {
    for (after, due) in [(0, 1.0), (1, 1.0), (7, 7.0), (u64::MAX, 300.0)] {
        let mut bench = Bench::live(profile::Client { offline_after: HOUR, ..documented() });
        bench.secs(20);
        bench.reset();
        bench.sync_fails(SyncTrouble::Network);
        assert_eq!(bench.attempts(), [(20.0, ReconnectKind::Immediate)], "the second one waits for a second");
        bench.secs(1);
        bench.take();
        // The next delay of the schedule is 2 s.
        let (id, now) = (bench.sync_id(), bench.now);
        bench.say(Input::RetryAfter { id, after: Duration::from_secs(after) });
        bench.sync_fails(SyncTrouble::Refused(429));
        bench.secs(400);
        let due = now.as_secs_f64() + f64::max(due, 2.0);
        assert_eq!(bench.attempts()[0], (due, ReconnectKind::BackedOff), "{after}");
        let violations = bench
            .observations()
            .iter()
            .any(|seen| matches!(seen, Observation::Attempt { violation: true, .. }));
        assert!(!violations && bench.observations().contains(&Observation::Odd(Oddity::RetryAfter)));
    }
}

#[test]
fn when_to_ask_again_is_forgotten_once_it_has_been_kept_and_stale_answers_say_nothing() {
    let mut bench = Bench::live(documented());
    bench.secs(20);
    bench.reset();
    let id = bench.sync_id();
    bench.say(Input::RetryAfter { id: id.wrapping_sub(1), after: HOUR });
    bench.say(Input::RetryAfter { id, after: Duration::from_secs(9) });
    bench.sync_fails(SyncTrouble::ServerError(503));
    bench.secs(10);
    bench.sync_fails(SyncTrouble::ServerError(503));
    bench.secs(2);
    let times: Vec<f64> = bench.attempts().iter().map(|attempt| attempt.0).collect();
    assert_eq!(times, [20.0, 29.0, 32.0]);
}

#[test]
fn a_first_attempt_that_fails_is_a_failure_like_any_other() {
    let mut bench = Bench::new(documented());
    bench.order(Order::Start);
    down(&mut bench, 3);
    let kinds =
        [ReconnectKind::First, ReconnectKind::Immediate, ReconnectKind::BackedOff, ReconnectKind::BackedOff];
    assert_eq!(bench.attempts(), [0.0, 0.0, 1.0, 3.0].into_iter().zip(kinds).collect::<Vec<_>>());
}

#[test]
fn failures_are_forgotten_after_10_s_live_and_not_before() {
    let mut bench = Bench::live(documented());
    bench.pass(Duration::from_millis(9_999));
    bench.reset();
    bench.goes_live();
    bench.pass(Duration::from_millis(9_999));
    bench.take();
    bench.reset();
    assert_eq!(bench.attempts(), [], "the second loss in a row waits for 1 s");
    bench.secs(1);
    bench.goes_live();
    bench.take();
    bench.secs(10);
    bench.reset();
    assert!(matches!(bench.attempts()[..], [(_, ReconnectKind::Immediate)]));
}

#[test]
fn a_server_that_drops_after_hello_is_not_hammered() {
    let mut bench = Bench::live(documented());
    for delay in [0, 1, 2, 4, 8, 16, 30, 30] {
        let before = bench.now;
        bench.reset();
        while bench.witness.sync.is_none() {
            let wake = bench.session.next_wake().expect("it goes on");
            bench.until(wake);
        }
        assert_eq!(bench.now.since(before), Duration::from_secs(delay));
        bench.goes_live();
    }
}

#[test]
fn jitter_shortens_a_delay_by_no_more_than_its_share() {
    let client = profile::Client { jitter: 0.5, offline_after: HOUR, ..documented() };
    let times: Vec<f64> = attempts_while_down(client, 2000).iter().map(|attempt| attempt.0).collect();
    let bases = [1.0, 2.0, 4.0, 8.0, 16.0];
    let delays: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (delay, base) in delays.iter().zip(bases.into_iter().chain(std::iter::repeat(30.0))) {
        assert!((base * 0.5..=base).contains(delay), "{delay} for {base}");
    }
    let late: Vec<u64> = delays[5..].iter().map(|delay| delay.to_bits()).collect();
    assert!(late.windows(2).any(|pair| pair[0] != pair[1]), "they are drawn one by one");
}

#[test]
fn the_first_retry_is_spread_when_asked_for() {
    let client = profile::Client { first_retry_spread: Duration::from_secs(4), ..documented() };
    let attempts = attempts_while_down(client, 100);
    let (first, kind) = attempts[0];
    assert!(first > 70.0 && first < 74.0, "{first}");
    assert_eq!(kind, ReconnectKind::Immediate);
    assert_eq!(attempts[1].0, first + 1.0);
}

#[test]
fn lateness_of_the_driver_is_no_violation_and_the_intended_time_is_kept() {
    let mut bench = Bench::live(documented());
    bench.secs(20);
    bench.reset();
    bench.sync_fails(SyncTrouble::Network);
    bench.take();
    bench.now = Timestamp::from_millis(21_250);
    bench.say(Input::Timer);
    let scheduled = Timestamp::from_secs(21);
    let attempt = Observation::Attempt { scheduled, kind: ReconnectKind::BackedOff, violation: false };
    assert_eq!(bench.observations()[0], attempt);
}

#[test]
fn the_judge_sees_an_attempt_that_comes_too_early() {
    let client = documented();
    let lost = Observation::Disconnected { cause: Cause::Reset, code: None, was_live: true };
    let refused = Observation::ConnectFailed { local: false };
    let hello = Observation::Hello { took: Duration::ZERO, position: 0, info: Box::default() };
    let ms = Timestamp::from_millis;
    let mut judge = Judge::default();
    let attempt =
        |judge: &mut Judge, at| judge.attempt(ms(at), ReconnectKind::BackedOff, Goal::Stream, &client);
    judge.attempt(ms(0), ReconnectKind::First, Goal::Stream, &client);
    judge.saw(ms(1), &hello, &client);
    judge.saw(ms(20_000), &lost, &client);
    assert!(!attempt(&mut judge, 20_000));
    judge.saw(ms(20_000), &refused, &client);
    assert!(attempt(&mut judge, 20_999), "1 s has not passed");
    judge.saw(ms(21_000), &refused, &client);
    assert!(!attempt(&mut judge, 23_000));
    judge.saw(ms(23_000), &hello, &client);
    judge.saw(ms(32_999), &lost, &client);
    assert!(attempt(&mut judge, 32_999), "not live for long enough");
    judge.saw(ms(33_000), &hello, &client);
    judge.saw(ms(43_000), &lost, &client);
    assert!(!attempt(&mut judge, 43_000));
}

#[test]
fn the_judge_sees_polls_and_probes_that_come_too_early() {
    let client = documented();
    let ms = Timestamp::from_millis;
    let took = Duration::ZERO;
    let failed = Observation::SyncFailed(SyncTrouble::Network);
    let answered = Observation::BridgeEnded { complete: true, took, poll: true };
    let mut judge = Judge::default();
    let poll = |judge: &mut Judge, at| judge.attempt(ms(at), ReconnectKind::Offline, Goal::Poll, &client);
    judge.attempt(ms(0), ReconnectKind::First, Goal::Stream, &client);
    judge.saw(ms(0), &failed, &client);
    judge.attempt(ms(0), ReconnectKind::Immediate, Goal::Stream, &client);
    judge.tries_stream(ms(0));
    judge.saw(ms(0), &failed, &client);
    assert!(poll(&mut judge, 999), "sync's delays go on");
    assert!(!poll(&mut judge, 3_000));
    judge.saw(ms(3_001), &answered, &client);
    assert!(judge.attempt(ms(29_999), ReconnectKind::Offline, Goal::Stream, &client));
    assert!(!judge.attempt(ms(30_000), ReconnectKind::Offline, Goal::Stream, &client));
    assert!(!poll(&mut judge, 30_000));
    judge.saw(ms(30_000), &failed, &client);
    assert!(!poll(&mut judge, 30_000));
    judge.saw(ms(30_000), &failed, &client);
    assert!(poll(&mut judge, 30_999));
}
