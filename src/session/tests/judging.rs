//! The judge is no evidence unless it has been seen to convict: attempts that come early, by hand.

use super::super::attempt::Goal;
use super::super::schedule::Judge;
use super::*;

/// A judge that has seen the first attempt, at second 0.
fn judge() -> Judge {
    let mut judge = Judge::default();
    assert!(!judge.attempt(Timestamp::ZERO, ReconnectKind::First, Goal::Stream, &documented()));
    judge
}

/// The next attempt is too early a moment before, and not at, so many seconds.
fn due(judge: &mut Judge, kind: ReconnectKind, goal: Goal, secs: u64) {
    let at = Timestamp::from_secs(secs);
    let moment = Duration::from_nanos(1);
    let mut early = *judge;
    assert!(early.attempt(at.back(moment), kind, goal, &documented()), "{secs} s: too early");
    assert!(!judge.attempt(at, kind, goal, &documented()), "{secs} s: in time");
}

fn saw(judge: &mut Judge, secs: u64, observation: &Observation) {
    judge.saw(Timestamp::from_secs(secs), observation, &documented());
}

const REFUSED: Observation = Observation::ConnectFailed { local: false };

#[test]
fn whatever_failed_the_delay_runs_from_it() {
    let failures = [
        REFUSED,
        Observation::Disconnected { cause: Cause::Reset, code: None, was_live: false },
        Observation::SyncFailed(SyncTrouble::Network),
        Observation::BridgeEnded { complete: false, took: Duration::ZERO, poll: false },
        Observation::RefreshFailed { refused: false },
    ];
    for failure in failures {
        let mut judge = judge();
        let mut now = 100;
        saw(&mut judge, now, &failure);
        assert!(!judge.attempt(
            Timestamp::from_secs(now),
            ReconnectKind::Immediate,
            Goal::Stream,
            &documented()
        ));
        for delay in [1, 2, 4, 8, 16, 30, 30, 30] {
            now += 50;
            saw(&mut judge, now, &failure);
            due(&mut judge, ReconnectKind::BackedOff, Goal::Stream, now + delay);
            now += delay;
        }
    }
}

#[test]
fn only_a_connection_that_lasted_makes_the_next_attempt_immediate() {
    let lost = Observation::Disconnected { cause: Cause::Reset, code: None, was_live: true };
    let hello = Observation::Hello { took: Duration::ZERO, position: 1, info: Box::default() };
    for (lived, delay) in [(9, 2), (10, 0), (11, 0)] {
        let mut judge = judge();
        for now in [100, 200] {
            saw(&mut judge, now, &REFUSED);
            judge.attempt(
                Timestamp::from_secs(now + 50),
                ReconnectKind::BackedOff,
                Goal::Stream,
                &documented(),
            );
        }
        saw(&mut judge, 300, &hello);
        saw(&mut judge, 300 + lived, &lost);
        if delay > 0 {
            due(&mut judge, ReconnectKind::BackedOff, Goal::Stream, 300 + lived + delay);
        } else {
            saw(&mut judge, 320, &REFUSED);
            assert!(!judge.attempt(
                Timestamp::from_secs(320),
                ReconnectKind::Immediate,
                Goal::Stream,
                &documented()
            ));
            saw(&mut judge, 330, &REFUSED);
            due(&mut judge, ReconnectKind::BackedOff, Goal::Stream, 331);
        }
    }
}

#[test]
fn a_refresh_that_fails_between_two_attempts_delays_nothing() {
    let mut judge = judge();
    for now in [100, 200] {
        saw(&mut judge, now, &REFUSED);
        judge.attempt(Timestamp::from_secs(now + 50), ReconnectKind::BackedOff, Goal::Stream, &documented());
    }
    saw(&mut judge, 300, &REFUSED);
    saw(&mut judge, 301, &Observation::RefreshFailed { refused: false });
    due(&mut judge, ReconnectKind::BackedOff, Goal::Stream, 302);
}

#[test]
fn while_offline_polls_back_off_until_one_is_answered_and_the_stream_is_tried_every_30_s() {
    let (poll, stream) = (Goal::Poll, Goal::Stream);
    let mut judge = judge();
    saw(&mut judge, 100, &REFUSED);
    judge.attempt(Timestamp::from_secs(100), ReconnectKind::Immediate, stream, &documented());
    judge.tries_stream(Timestamp::from_secs(100));
    saw(&mut judge, 101, &REFUSED);
    // The first poll goes on with the schedule where the attempts left it; later ones double.
    due(&mut judge, ReconnectKind::Offline, poll, 102);
    saw(&mut judge, 103, &Observation::SyncFailed(SyncTrouble::Network));
    due(&mut judge, ReconnectKind::Offline, poll, 105);
    saw(&mut judge, 106, &Observation::BridgeEnded { complete: true, took: Duration::ZERO, poll: true });
    due(&mut judge, ReconnectKind::Offline, stream, 130);
    judge.tries_stream(Timestamp::from_secs(130));
    // The stream's failures are not the polls'.
    saw(&mut judge, 131, &REFUSED);
    assert!(!judge.attempt(Timestamp::from_secs(131), ReconnectKind::Offline, poll, &documented()));
    saw(&mut judge, 132, &Observation::SyncFailed(SyncTrouble::Network));
    assert!(!judge.attempt(Timestamp::from_secs(132), ReconnectKind::Offline, poll, &documented()));
    saw(&mut judge, 133, &Observation::SyncFailed(SyncTrouble::Network));
    due(&mut judge, ReconnectKind::Offline, poll, 134);
    due(&mut judge, ReconnectKind::Offline, stream, 160);
}

#[test]
fn jitter_shortens_what_is_allowed_by_no_more_than_itself() {
    let client = profile::Client { jitter: 0.25, ..documented() };
    let mut judge = judge();
    for now in [100, 200, 300] {
        judge.saw(Timestamp::from_secs(now), &REFUSED, &client);
        judge.attempt(Timestamp::from_secs(now + 50), ReconnectKind::BackedOff, Goal::Stream, &client);
    }
    judge.saw(Timestamp::from_secs(400), &REFUSED, &client);
    let mut early = judge;
    assert!(early.attempt(Timestamp::from_millis(402_999), ReconnectKind::BackedOff, Goal::Stream, &client));
    assert!(!judge.attempt(Timestamp::from_secs(403), ReconnectKind::BackedOff, Goal::Stream, &client));
}
