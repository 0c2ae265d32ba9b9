use super::*;

/// Cut at 20 s; the first request of the bridge is under way.
fn cut(client: profile::Client) -> Bench {
    let mut bench = Bench::live(client);
    bench.secs(20);
    bench.take();
    bench.reset();
    bench
}

/// The `since` of every request since `take`.
fn requests(bench: &Bench) -> Vec<Position> {
    let since = |action| match action {
        Action::Sync { since, .. } => Some(since),
        _ => None,
    };
    bench.actions().into_iter().filter_map(since).collect()
}

#[test]
fn sync_comes_first_and_every_fact_in_its_order() {
    let mut bench = Bench::new(documented());
    bench.order(Order::Start);
    bench.pass(Duration::from_millis(30));
    bench.page(&[101, 102], Some(102), true);
    bench.pass(Duration::from_millis(20));
    bench.page(&[103], Some(103), false);
    bench.opens();
    let ms = Duration::from_millis;
    let arrived = |position, since| {
        let stamp = stamp(RUN).of_run(RUN);
        let channel = Channel::Sync { since };
        Observation::Arrived(Arrival {
            channel,
            stamp,
            position: Some(position),
            id: 0,
            room: 0,
            client_position: since,
        })
    };
    let page =
        |took, cursor| Observation::SyncPage { took: ms(took), next_cursor: Some(cursor), regressed: false };
    let first =
        Observation::Attempt { scheduled: Timestamp::ZERO, kind: ReconnectKind::First, violation: false };
    let hello = Observation::Hello { took: ms(0), position: 103, info: Box::default() };
    let facts = [
        first,
        Observation::BridgeBegan { position: 100, poll: false },
        Observation::SyncSent { since: 100 },
        page(30, 102),
        arrived(101, 100),
        arrived(102, 100),
        Observation::SyncSent { since: 102 },
        page(20, 103),
        arrived(103, 102),
        Observation::BridgeEnded { complete: true, took: ms(50), poll: false },
        Observation::Opened { took: ms(0) },
        hello,
        Observation::Ready,
    ];
    assert_eq!(bench.observations(), facts);
    let request = |id, since| Action::Sync { id, since, limit: 100, timeout: Duration::ZERO };
    assert_eq!(bench.actions(), [request(0, 100), request(1, 102), Action::Connect]);
}

#[test]
fn every_attempt_syncs_anew() {
    let mut bench = cut(documented());
    bench.page(&[], Some(110), false);
    bench.refused();
    bench.secs(1);
    bench.page(&[], Some(120), false);
    bench.refused();
    bench.secs(2);
    assert_eq!(requests(&bench), [100, 110, 120]);
}

#[test]
fn a_cursor_that_does_not_move_on_leaves_the_position_as_it_was() {
    for (cursor, regressed) in [(None, false), (Some(100), false), (Some(7), true)] {
        let mut bench = cut(documented());
        bench.page(&[101, 102], cursor, false);
        assert_eq!(bench.session.position(), 100, "{cursor:?}");
        let page = Observation::SyncPage { took: Duration::ZERO, next_cursor: cursor, regressed };
        assert!(bench.observations().contains(&page));
        assert_eq!(bench.arrivals().len(), 2);
        assert!(bench.witness.connecting(), "the bridge has run to its end all the same");
    }
}

#[test]
fn a_bridge_that_never_moves_on_fails_the_attempt_and_time_passes_before_it_is_asked_again() {
    for cursor in [None, Some(100), Some(7)] {
        let mut bench = cut(documented());
        bench.page(&[101], cursor, true);
        let ended = Observation::BridgeEnded { complete: false, took: Duration::ZERO, poll: false };
        assert!(bench.observations().contains(&ended));
        for _ in 0..40 {
            bench.secs(1);
            if bench.witness.sync.is_some() {
                bench.page(&[101], cursor, true);
            }
        }
        let attempts: Vec<f64> = bench.attempts().iter().map(|attempt| attempt.0).collect();
        assert_eq!(attempts, [20.0, 21.0, 23.0, 27.0, 35.0, 51.0], "{cursor:?}");
    }
}

#[test]
fn even_the_immediate_retry_of_a_stalled_bridge_waits() {
    let mut bench = Bench::new(documented());
    bench.order(Order::Start);
    bench.page(&[], None, true);
    bench.until(Timestamp::from_millis(999));
    assert_eq!(bench.attempts().len(), 1);
    bench.until(Timestamp::from_secs(1));
    assert_eq!(bench.attempts()[1], (1.0, ReconnectKind::Immediate));
}

#[test]
fn stream_first_connects_and_then_syncs() {
    let mut bench = Bench::new(stream_first());
    bench.order(Order::Start);
    assert_eq!(bench.actions(), [Action::Connect]);
    bench.opens();
    assert_eq!(requests(&bench), [100]);
    assert!(!bench.observations().contains(&Observation::Ready));
    bench.page(&[101], Some(101), false);
    assert_eq!(bench.observations().last(), Some(&Observation::Ready));
}

#[test]
fn a_live_event_does_not_move_the_position_while_the_bridge_is_open() {
    let mut bench = Bench::new(stream_first());
    bench.order(Order::Start);
    bench.opens();
    bench.message(110);
    assert_eq!((bench.session.position(), bench.arrivals()[0].client_position), (100, 100));
    bench.page(&[101], Some(101), true);
    assert_eq!(requests(&bench), [100, 101], "the next page begins where the last one ended");
    bench.message(109);
    bench.page(&[102], Some(102), false);
    assert_eq!(bench.session.position(), 110, "the bridge is closed: what came live counts");
    bench.message(111);
    assert_eq!(bench.session.position(), 111);
}

#[test]
fn a_bridge_that_breaks_off_forgets_what_came_live() {
    let mut bench = Bench::new(stream_first());
    bench.order(Order::Start);
    bench.opens();
    bench.page(&[101], Some(101), true);
    bench.message(110);
    bench.take();
    bench.reset();
    assert_eq!(bench.session.position(), 101);
    assert_eq!(bench.actions()[0], Action::AbandonSync);
    let ended = Observation::BridgeEnded { complete: false, took: Duration::ZERO, poll: false };
    assert_eq!(bench.observations()[0], ended);
    bench.secs(1);
    bench.opens();
    assert_eq!(requests(&bench), [101]);
    bench.page(&[], None, false);
    assert_eq!(bench.session.position(), 101, "110 came on a connection whose bridge broke");
}

#[test]
fn a_bridge_that_fails_beside_the_live_stream_fails_the_attempt() {
    let mut bench = Bench::live(stream_first());
    bench.secs(20);
    bench.reset();
    bench.opens();
    bench.message(110);
    bench.take();
    bench.sync_fails(SyncTrouble::ServerError(503));
    assert_eq!(bench.actions(), [Action::Disconnect { polite: true }]);
    let ended = Observation::BridgeEnded { complete: false, took: Duration::ZERO, poll: false };
    let dropped = Observation::Disconnected { cause: Cause::BridgeFailed, code: None, was_live: true };
    let facts = [Observation::SyncFailed(SyncTrouble::ServerError(503)), ended, dropped];
    assert_eq!(bench.observations(), facts);
    assert_eq!(bench.session.position(), 100);
    bench.secs(1);
    assert_eq!(bench.attempts(), [(21.0, ReconnectKind::BackedOff)]);
}

#[test]
fn an_overdue_page_is_abandoned() {
    let mut bench = cut(documented());
    bench.secs(10);
    assert!(bench.actions().contains(&Action::AbandonSync));
    assert!(bench.observations().contains(&Observation::SyncFailed(SyncTrouble::Timeout)));
    bench.secs(1);
    assert_eq!(bench.attempts(), [(20.0, ReconnectKind::Immediate), (31.0, ReconnectKind::BackedOff)]);
}

#[test]
fn stale_answers_are_ignored() {
    let mut bench = cut(documented());
    let id = bench.sync_id();
    bench.secs(10);
    bench.take();
    let page = SyncPage { next_cursor: Some(900), ..SyncPage::default() };
    bench.say(Input::Synced { id, page: &page });
    bench.say(Input::SyncFailed { id, trouble: SyncTrouble::Network });
    assert_eq!((bench.take(), bench.session.position()), (vec![], 100));
    bench.secs(1);
    bench.take();
    bench.say(Input::Synced { id, page: &page });
    assert_eq!((bench.take(), bench.session.position()), (vec![], 100));
}

#[test]
fn what_is_beyond_retention_is_given_up_and_the_client_goes_on() {
    let mut bench = cut(documented());
    bench.sync_fails(SyncTrouble::BeyondRetention);
    let ended = Observation::BridgeEnded { complete: false, took: Duration::ZERO, poll: false };
    assert!(bench.observations().contains(&ended));
    bench.opens();
    bench.message(500);
    assert_eq!((bench.session.is_live(), bench.session.position()), (true, 500));
}

#[test]
fn only_messages_of_a_page_arrive_and_what_cannot_be_read_is_counted() {
    let mut bench = cut(documented());
    bench.take();
    let member = SyncEvent { position: Some(101), ..SyncEvent::default() };
    let foreign = SyncEvent { is_message: true, id: Some("x".into()), ..SyncEvent::default() };
    let page =
        SyncPage { events: vec![member, foreign], malformed: 2, next_cursor: Some(102), has_more: false };
    let id = bench.sync_id();
    bench.say(Input::Synced { id, page: &page });
    let [arrival] = bench.arrivals()[..] else { panic!("one message") };
    assert_eq!((arrival.stamp, arrival.position, arrival.id), (None, None, crate::wire::id_hash("x")));
    let odd = bench.observations().into_iter().filter(|fact| *fact == Observation::Odd(Oddity::Malformed));
    assert_eq!(odd.count(), 2);
}

#[test]
fn a_page_takes_room_for_its_own_events_and_little_more() {
    let mut bench = cut(documented());
    let id = bench.sync_id();
    let event = SyncEvent { position: Some(101), is_message: true, ..SyncEvent::default() };
    let page = SyncPage { events: vec![event; 300], ..SyncPage::default() };
    bench.session.handle(bench.now, Input::Synced { id, page: &page });
    let room = bench.session.outbox.capacity();
    assert!((300..600).contains(&room), "{room}");
}
