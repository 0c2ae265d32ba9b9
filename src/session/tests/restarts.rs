use super::*;

#[test]
fn a_process_that_died_says_nothing_to_anybody_and_does_nothing_more() {
    let mut bench = Bench::live(documented());
    bench.message(140);
    bench.take();
    bench.say(Input::Killed);
    assert_eq!(bench.actions(), [Action::Disconnect { polite: false }]);
    assert_eq!(bench.disconnects(), [(Cause::Killed, None, true)]);
    assert!(bench.session.is_dead() && !bench.session.is_up());
    bench.take();
    bench.secs(100);
    bench.message(150);
    bench.reset();
    bench.say(Input::Killed);
    assert_eq!((bench.take(), bench.session.next_wake()), (vec![], None));
}

#[test]
fn it_begins_again_at_its_stored_position_with_a_sync_and_without_a_delay() {
    let mut bench = Bench::live(documented());
    bench.message(140);
    // Three failures in a row: the next attempt is seconds away.
    bench.reset();
    for _ in 0..3 {
        bench.secs(5);
        if bench.witness.sync.is_some() {
            bench.sync_fails(SyncTrouble::Network);
        }
    }
    bench.say(Input::Killed);
    bench.take();
    bench.secs(1);
    bench.revived(120);
    let first = Observation::Attempt { scheduled: bench.now, kind: ReconnectKind::First, violation: false };
    let began = Observation::BridgeBegan { position: 120, poll: false };
    assert_eq!(bench.observations()[..3], [Observation::Restarted { position: 120 }, first, began]);
    bench.goes_live();
    bench.take();
    bench.reset();
    assert_eq!(bench.attempts().len(), 1, "its failures are forgotten: it comes back at once");
}

#[test]
fn whatever_is_open_dies_with_it() {
    // A sync request; its answer is for nobody.
    let mut bench = Bench::new(documented());
    bench.order(Order::Start);
    let old = bench.sync_id();
    bench.take();
    bench.say(Input::Killed);
    assert_eq!(bench.actions(), [Action::AbandonSync]);
    bench.revived(100);
    assert_ne!(bench.sync_id(), old);
    bench.take();
    let page = SyncPage { events: Vec::new(), next_cursor: Some(900), has_more: false, malformed: 0 };
    bench.say(Input::Synced { id: old, page: &page });
    assert_eq!((bench.take(), bench.session.position()), (vec![], 100));
    // A bridge beside the stream, with what the stream had brought meanwhile.
    let mut bench = Bench::new(stream_first());
    bench.order(Order::Start);
    bench.opens();
    bench.message(140);
    bench.take();
    bench.say(Input::Killed);
    assert_eq!(bench.actions(), [Action::AbandonSync, Action::Disconnect { polite: false }]);
    bench.revived(100);
    assert_eq!(bench.actions().last(), Some(&Action::Connect));
    // An upgrade, and a refresh.
    let mut bench = Bench::new(stream_first());
    bench.order(Order::Start);
    bench.say(Input::Killed);
    assert_eq!(bench.actions(), [Action::Connect, Action::Disconnect { polite: false }]);
    let mut bench =
        Bench::with_token(documented(), TokenLife { issued: Timestamp::ZERO, life: Duration::ZERO });
    bench.order(Order::Start);
    bench.say(Input::Killed);
    bench.take();
    bench.revived(100);
    assert!(
        matches!(bench.actions()[..], [Action::Sync { .. }]),
        "the token that its identity holds now is good"
    );
}

#[test]
fn the_plan_goes_on_while_it_is_dead() {
    let mut bench = Bench::live(documented());
    bench.say(Input::Killed);
    bench.take();
    bench.order(Order::Leave);
    assert_eq!(bench.take(), [Output::Observation(Observation::Stopped(StopReason::Left))]);
    bench.order(Order::Leave);
    assert_eq!(bench.take(), []);
    bench.revived(100);
    assert_eq!(bench.take(), [Output::Observation(Observation::Restarted { position: 100 })]);
    bench.order(Order::Start);
    bench.goes_live();
    // Taken away and brought back before the process is there again.
    bench.say(Input::Killed);
    bench.order(Order::Leave);
    bench.take();
    bench.order(Order::Start);
    assert_eq!(bench.take(), []);
    bench.revived(100);
    assert_eq!(bench.attempts().len(), 1);
    bench.goes_live();
}

#[test]
fn there_is_nobody_to_kill_or_to_revive_where_no_process_is_or_one_is_there() {
    let mut bench = Bench::new(documented());
    bench.say(Input::Killed);
    bench.revived(7);
    assert_eq!((bench.take(), bench.session.position()), (vec![], 100));
    let mut bench = Bench::live(documented());
    bench.revived(7);
    assert_eq!((bench.take(), bench.session.position()), (vec![], 100));
    bench.closed(4003, "duplicate_connection");
    bench.take();
    bench.say(Input::Killed);
    assert_eq!(bench.take(), [], "it has stopped by itself");
}
