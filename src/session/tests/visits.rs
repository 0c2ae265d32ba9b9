use super::*;

#[test]
fn a_live_client_leaves_in_good_order_and_comes_back_with_its_position() {
    let mut bench = Bench::live(documented());
    bench.message(140);
    bench.secs(3);
    bench.take();
    bench.order(Order::Leave);
    assert_eq!(bench.actions(), [Action::Disconnect { polite: true }]);
    let gone = Observation::Disconnected { cause: Cause::Left, code: None, was_live: true };
    assert_eq!(bench.observations(), [gone, Observation::Stopped(StopReason::Left)]);
    assert_eq!(bench.session.next_wake(), None);
    bench.secs(60);
    bench.take();
    bench.order(Order::Start);
    let first = Observation::Attempt { scheduled: bench.now, kind: ReconnectKind::First, violation: false };
    assert_eq!(bench.observations()[..2], [first, Observation::BridgeBegan { position: 140, poll: false }]);
    bench.goes_live();
}

#[test]
fn leaving_closes_whatever_is_open() {
    let left = Observation::Stopped(StopReason::Left);
    // While syncing.
    let mut bench = Bench::new(documented());
    bench.order(Order::Start);
    bench.take();
    bench.order(Order::Leave);
    assert_eq!(bench.actions(), [Action::AbandonSync]);
    assert_eq!(bench.observations().last(), Some(&left));
    // While connecting.
    let mut bench = Bench::new(documented());
    bench.order(Order::Start);
    bench.page(&[], None, false);
    bench.take();
    bench.order(Order::Leave);
    assert_eq!(bench.actions(), [Action::Disconnect { polite: false }]);
    assert_eq!(bench.observations(), std::slice::from_ref(&left));
    // While hello is waited for.
    let mut bench = Bench::new(stream_first());
    bench.order(Order::Start);
    bench.say(Input::Opened);
    bench.take();
    bench.order(Order::Leave);
    assert_eq!(bench.actions(), [Action::Disconnect { polite: true }]);
    assert_eq!(bench.disconnects(), [(Cause::Left, None, false)]);
    // While bridging beside the stream.
    let mut bench = Bench::new(stream_first());
    bench.order(Order::Start);
    bench.opens();
    bench.take();
    bench.order(Order::Leave);
    assert_eq!(bench.actions(), [Action::AbandonSync, Action::Disconnect { polite: true }]);
    // Between two attempts.
    let mut bench = Bench::live(documented());
    bench.reset();
    bench.sync_fails(SyncTrouble::Network);
    bench.take();
    bench.order(Order::Leave);
    assert_eq!((bench.actions(), bench.observations()), (vec![], vec![left]));
    bench.secs(100);
    assert_eq!(bench.attempts(), []);
}

#[test]
fn a_return_starts_with_a_clean_slate() {
    let mut bench = Bench::live(documented());
    bench.reset();
    bench.sync_fails(SyncTrouble::Network);
    bench.order(Order::Leave);
    bench.order(Order::Start);
    bench.goes_live();
    bench.take();
    bench.reset();
    assert_eq!(bench.attempts().len(), 1, "the first loss of this visit");
}

#[test]
fn orders_that_change_nothing_are_ignored() {
    let mut bench = Bench::new(documented());
    bench.order(Order::Leave);
    assert_eq!(bench.take(), []);
    let mut bench = Bench::live(documented());
    bench.order(Order::Start);
    assert_eq!(bench.take(), []);
}

#[test]
fn a_client_that_stopped_stays_stopped_until_it_is_taken_away() {
    let mut bench = Bench::live(documented());
    bench.closed(4003, "duplicate_connection");
    bench.take();
    bench.order(Order::Start);
    assert_eq!(bench.take(), []);
    bench.order(Order::Leave);
    assert_eq!(bench.take(), [Output::Observation(Observation::Stopped(StopReason::Left))]);
    bench.order(Order::Start);
    bench.goes_live();
}
