use super::*;

fn renewed(bench: &Bench) -> Input<'static> {
    Input::Refreshed(TokenLife { issued: bench.now, life: HOUR })
}

fn refreshes(bench: &Bench) -> usize {
    bench.actions().iter().filter(|action| **action == Action::Refresh).count()
}

#[test]
fn a_live_client_refreshes_at_80_percent_and_keeps_its_stream() {
    let mut bench = Bench::live(documented());
    let keep_alive = |bench: &mut Bench, until| {
        while bench.now < Timestamp::from_secs(until) {
            bench.say(Input::Ping { late: false });
            bench.until((bench.now + Duration::from_secs(30)).min(Timestamp::from_secs(until)));
        }
    };
    keep_alive(&mut bench, 2879);
    assert_eq!(refreshes(&bench), 0);
    keep_alive(&mut bench, 2880);
    assert_eq!(refreshes(&bench), 1);
    let input = renewed(&bench);
    bench.say(input);
    assert!(bench.observations().contains(&Observation::Refreshed));
    bench.take();
    keep_alive(&mut bench, 2880 + 2879);
    assert_eq!((refreshes(&bench), bench.disconnects()), (0, vec![]));
    keep_alive(&mut bench, 2880 + 2880);
    assert_eq!(refreshes(&bench), 1);
}

#[test]
fn a_refresh_that_fails_while_live_is_tried_again_and_cuts_nothing() {
    let mut bench =
        Bench::with_token(documented(), TokenLife { issued: Timestamp::ZERO, life: Duration::from_secs(60) });
    bench.order(Order::Start);
    bench.goes_live();
    bench.secs(48);
    assert_eq!(refreshes(&bench), 1);
    bench.say(Input::RefreshFailed { refused: false });
    bench.secs(3);
    assert_eq!(refreshes(&bench), 2);
    // No answer at all.
    bench.secs(10);
    bench.secs(3);
    assert_eq!(refreshes(&bench), 3);
    assert!(bench.session.is_live());
}

#[test]
fn a_live_client_waits_5_percent_of_the_tokens_life_before_it_asks_again() {
    let moment = Duration::from_millis(1);
    for (life, pause) in [(10, 1), (60, 3), (3600, 30)] {
        let life = Duration::from_secs(life);
        let mut bench = Bench::with_token(documented(), TokenLife { issued: Timestamp::ZERO, life });
        bench.order(Order::Start);
        bench.goes_live();
        while refreshes(&bench) == 0 {
            bench.say(Input::Ping { late: false });
            bench.secs(1);
        }
        bench.say(Input::RefreshFailed { refused: false });
        bench.pass(Duration::from_secs(pause) - moment);
        assert_eq!(refreshes(&bench), 1, "{life:?}");
        bench.pass(moment);
        assert_eq!(refreshes(&bench), 2, "{life:?}");
    }
}

#[test]
fn an_attempt_refreshes_first_when_it_is_due() {
    let mut bench = Bench::live(documented());
    for _ in 0..100 {
        bench.say(Input::Ping { late: false });
        bench.secs(28);
    }
    bench.take();
    bench.reset();
    assert_eq!(refreshes(&bench), 0, "2800 s");
    bench.goes_live();
    bench.secs(40);
    bench.say(Input::Ping { late: false });
    bench.secs(40);
    assert_eq!(refreshes(&bench), 1);
    bench.take();
    bench.reset();
    assert_eq!((refreshes(&bench), bench.witness.sync), (0, None), "the refresh under way is waited for");
    let input = renewed(&bench);
    bench.say(input);
    assert!(bench.witness.sync.is_some());
}

#[test]
fn a_4001_costs_one_refresh_and_one_attempt() {
    let mut bench = Bench::live(documented());
    bench.secs(20);
    bench.closed(4001, "");
    assert_eq!(bench.actions(), [Action::Refresh]);
    let facts = bench.observations();
    let lost = Observation::Disconnected { cause: Cause::InvalidToken, code: Some(4001), was_live: true };
    assert_eq!(facts[..2], [lost, Observation::TokenRejected]);
    assert!(matches!(facts[2], Observation::Attempt { kind: ReconnectKind::Immediate, .. }));
    let input = renewed(&bench);
    bench.say(input);
    bench.goes_live();
    bench.take();
    bench.secs(20);
    bench.reset();
    assert_eq!(refreshes(&bench), 0, "the new token has not been refused");
}

#[test]
fn three_refused_tokens_in_a_row_stop_the_client() {
    let mut bench = Bench::live(documented());
    bench.secs(20);
    bench.closed(4001, "");
    let input = renewed(&bench);
    bench.say(input);
    bench.page(&[], None, false);
    bench.say(Input::Opened);
    bench.closed(4001, "");
    bench.secs(1);
    let input = renewed(&bench);
    bench.say(input);
    assert_eq!(bench.stopped(), None);
    bench.sync_fails(SyncTrouble::Unauthorized);
    assert_eq!(bench.stopped(), Some(StopReason::AuthFailed));
    assert_eq!(refreshes(&bench), 2, "one for each failed attempt");
    assert_eq!(bench.observations().iter().filter(|fact| **fact == Observation::TokenRejected).count(), 3);
    assert_eq!(bench.session.next_wake(), None);
}

#[test]
fn a_hello_ends_the_row_of_refused_tokens() {
    let mut bench = Bench::live(documented());
    for _ in 0..10 {
        bench.secs(20);
        bench.closed(4001, "");
        let input = renewed(&bench);
        bench.say(input);
        bench.goes_live();
    }
    assert_eq!(bench.stopped(), None);
}

#[test]
fn a_401_to_sync_or_to_the_upgrade_is_a_refused_token_too() {
    let mut bench = Bench::live(documented());
    bench.secs(20);
    bench.reset();
    bench.sync_fails(SyncTrouble::Unauthorized);
    assert!(bench.observations().contains(&Observation::TokenRejected));
    bench.secs(1);
    assert_eq!(refreshes(&bench), 1);
    let input = renewed(&bench);
    bench.say(input);
    bench.page(&[], None, false);
    bench.take();
    bench.say(Input::ConnectFailed(ConnectFailure::Status(401)));
    assert_eq!(
        bench.observations(),
        [Observation::ConnectFailed { local: false }, Observation::TokenRejected]
    );
    bench.secs(2);
    assert_eq!(refreshes(&bench), 1);
}

#[test]
fn a_refused_refresh_token_stops_the_client() {
    let mut bench = Bench::live(documented());
    bench.secs(20);
    bench.closed(4001, "");
    bench.say(Input::RefreshFailed { refused: true });
    assert_eq!(bench.stopped(), Some(StopReason::AuthFailed));

    let mut bench =
        Bench::with_token(documented(), TokenLife { issued: Timestamp::ZERO, life: Duration::from_secs(20) });
    bench.order(Order::Start);
    bench.goes_live();
    bench.secs(16);
    bench.take();
    bench.say(Input::RefreshFailed { refused: true });
    assert_eq!(bench.actions(), [Action::Disconnect { polite: true }]);
    assert_eq!(bench.disconnects(), [(Cause::InvalidToken, None, true)]);
    assert_eq!(bench.stopped(), Some(StopReason::AuthFailed));
}

#[test]
fn a_refresh_that_fails_fails_the_attempt() {
    let mut bench = Bench::live(documented());
    bench.secs(20);
    bench.closed(4001, "");
    bench.say(Input::RefreshFailed { refused: false });
    bench.take();
    bench.secs(1);
    assert_eq!(
        (bench.attempts(), bench.actions()),
        (vec![(21.0, ReconnectKind::BackedOff)], vec![Action::Refresh])
    );
    // No answer.
    bench.secs(10);
    assert!(bench.observations().contains(&Observation::RefreshFailed { refused: false }));
    bench.secs(2);
    assert_eq!(bench.attempts().last(), Some(&(33.0, ReconnectKind::BackedOff)));
}

#[test]
fn a_refresh_by_somebody_else_counts() {
    let mut bench = Bench::live(documented());
    bench.secs(20);
    bench.take();
    let input = renewed(&bench);
    bench.say(input);
    assert_eq!(bench.take(), [Output::Observation(Observation::Refreshed)]);
    bench.closed(4001, "");
    assert!(bench.witness.refreshing());
    let input = renewed(&bench);
    bench.say(input);
    assert!(bench.witness.sync.is_some());
    bench.say(Input::RefreshFailed { refused: true });
    assert_eq!(bench.stopped(), None, "nothing is asked for: a stale answer");
}

#[test]
fn a_refresh_that_is_told_twice_is_one() {
    let mut bench = Bench::live(documented());
    bench.secs(20);
    bench.take();
    let (once, twice) = (renewed(&bench), renewed(&bench));
    bench.say(once);
    assert_eq!(bench.take(), [Output::Observation(Observation::Refreshed)]);
    bench.say(twice);
    assert_eq!(bench.take(), []);
}

#[test]
fn a_token_without_a_life_does_not_refresh_without_a_pause() {
    let life = TokenLife { issued: Timestamp::ZERO, life: Duration::ZERO };
    let mut bench = Bench::with_token(documented(), life);
    let renewed = |bench: &Bench| Input::Refreshed(TokenLife { issued: bench.now, ..life });
    bench.order(Order::Start);
    bench.say(renewed(&bench));
    bench.goes_live();
    for _ in 0..100 {
        bench.pass(Duration::from_millis(100));
        if bench.witness.refreshing() {
            bench.say(renewed(&bench));
        }
    }
    let count = refreshes(&bench);
    assert!((2..=13).contains(&count), "{count}");
}
