use super::*;

/// Started, synced, and upgraded; hello is waited for.
fn opened() -> Bench {
    let mut bench = Bench::new(documented());
    bench.order(Order::Start);
    bench.page(&[], None, false);
    bench.say(Input::Opened);
    bench.take();
    bench
}

#[test]
fn hello_tells_who_answered_and_how_fast() {
    let mut bench = opened();
    bench.pass(Duration::from_millis(1_500));
    let long = "é".repeat(100);
    bench.frame(&Frame::Hello(HelloFrame {
        session_id: Some(long.as_str().into()),
        server_name: None,
        tenant_id: Some("t".into()),
    }));
    let info = ConnectionInfo {
        session_id: Some("é".repeat(64).into()),
        server_name: None,
        tenant_id: Some("t".into()),
        slow: false,
    };
    let hello =
        Observation::Hello { took: Duration::from_millis(1_500), position: 100, info: Box::new(info) };
    assert_eq!(bench.observations(), [hello, Observation::Ready]);
}

#[test]
fn a_hello_after_2_s_is_slow_and_after_the_deadline_there_is_none() {
    for (millis, slow) in [(2_000, false), (2_001, true)] {
        let mut bench = opened();
        bench.pass(Duration::from_millis(millis));
        bench.hello();
        assert!(matches!(&bench.observations()[0], Observation::Hello { info, .. } if info.slow == slow));
    }

    let mut bench = opened();
    bench.secs(5);
    assert_eq!(bench.actions()[0], Action::Disconnect { polite: false });
    let gone = Observation::Disconnected { cause: Cause::NoHello, code: None, was_live: false };
    assert_eq!(bench.observations()[..2], [Observation::ConnectFailed { local: false }, gone]);
    assert_eq!(bench.attempts(), [(5.0, ReconnectKind::Immediate)]);
}

#[test]
fn an_upgrade_that_does_not_come_is_given_up() {
    let mut bench = Bench::new(documented());
    bench.order(Order::Start);
    bench.page(&[], None, false);
    bench.take();
    bench.secs(10);
    assert_eq!(bench.actions()[0], Action::Disconnect { polite: false });
    assert_eq!(bench.observations()[0], Observation::ConnectFailed { local: false });
    assert_eq!(bench.disconnects(), [], "it had never been opened");
}

#[test]
fn a_failure_of_the_harness_itself_says_so() {
    let mut bench = Bench::new(documented());
    bench.order(Order::Start);
    bench.page(&[], None, false);
    bench.say(Input::ConnectFailed(ConnectFailure::Local));
    assert!(bench.observations().contains(&Observation::ConnectFailed { local: true }));
}

#[test]
fn a_message_before_hello_is_odd_and_moves_nothing() {
    let mut bench = opened();
    bench.message(500);
    assert_eq!(bench.observations(), [Observation::Odd(Oddity::BeforeHello)]);
    assert_eq!(bench.session.position(), 100);
}

#[test]
fn frames_that_are_no_messages_are_told_apart() {
    let mut bench = Bench::live(documented());
    let frames = [
        (Frame::Hello(HelloFrame::default()), Oddity::SecondHello),
        (Frame::Known, Oddity::OtherKnown),
        (Frame::Unknown, Oddity::UnknownType),
        (Frame::Malformed, Oddity::Malformed),
    ];
    for (frame, oddity) in frames {
        bench.frame(&frame);
        assert_eq!(bench.take(), [Output::Observation(Observation::Odd(oddity))]);
    }
    bench.say(Input::OddFrame(Oddity::Oversized));
    assert_eq!(bench.take(), [Output::Observation(Observation::Odd(Oddity::Oversized))]);
}

#[test]
fn a_json_ping_is_answered_by_the_session_and_a_protocol_ping_is_not() {
    let mut bench = Bench::live(documented());
    bench.frame(&Frame::Ping);
    assert_eq!(bench.actions(), [Action::Pong]);
    assert_eq!(bench.observations(), [Observation::Ping { json: true, late: false }]);
    bench.take();
    bench.say(Input::Ping { late: true });
    assert_eq!(bench.actions(), []);
    assert_eq!(bench.observations(), [Observation::Ping { json: false, late: true }]);
}

#[test]
fn a_message_moves_the_position_up_and_never_down() {
    let mut bench = Bench::live(documented());
    let seen = [(105, 105), (104, 105), (0, 105), (106, 106)];
    for (position, client_position) in seen {
        bench.take();
        bench.message(position);
        let [arrival] = bench.arrivals()[..] else { panic!("one message") };
        assert_eq!((arrival.position, arrival.client_position), (Some(position), client_position));
        assert_eq!(arrival.channel, Channel::Stream { late: false });
        assert_eq!(arrival.stamp.map(|stamp| (stamp.room, stamp.n)), Some((1, Some(2))));
    }
    bench.take();
    bench.frame(&Frame::Message(EventFrame { stamp: Some(stamp("other")), ..EventFrame::default() }));
    let [arrival] = bench.arrivals()[..] else { panic!("one message") };
    assert_eq!((arrival.position, arrival.client_position), (None, 106));
    assert_eq!((arrival.stamp, arrival.id), (None, 0), "another run's");
}

#[test]
fn silence_is_declared_75_s_after_the_last_frame_of_any_kind() {
    let mut bench = Bench::live(documented());
    bench.secs(30);
    bench.say(Input::Ping { late: false });
    bench.secs(10);
    bench.frame(&Frame::Known);
    bench.until(Timestamp::from_millis(114_999));
    assert_eq!(bench.disconnects(), []);
    bench.until(Timestamp::from_secs(115));
    assert_eq!(bench.disconnects(), [(Cause::Silent, None, true)]);
    assert_eq!(bench.actions()[0], Action::Disconnect { polite: false });
}

#[test]
fn a_frame_does_not_move_the_watchdog_but_the_watchdog_itself_does() {
    let mut bench = Bench::live(documented());
    let wake = bench.session.next_wake();
    bench.secs(1);
    bench.message(101);
    assert_eq!(bench.session.next_wake(), wake);
    bench.until(Timestamp::from_secs(75));
    assert_eq!(bench.session.next_wake(), Some(Timestamp::from_secs(76)));
}

#[test]
fn ends_of_a_connection_have_their_causes() {
    let close = |code, reason: &str| Ending::Close { code, reason: reason.into() };
    let cases = [
        (close(4001, ""), Cause::InvalidToken, Some(4001)),
        (close(4003, "ping_timeout"), Cause::PingTimeout, Some(4003)),
        (close(4003, "going away"), Cause::Aborted, Some(4003)),
        (close(4003, ""), Cause::Aborted, Some(4003)),
        (close(1001, "ping_timeout"), Cause::OtherClose, Some(1001)),
        (close(1005, ""), Cause::OtherClose, Some(1005)),
        (Ending::Eof, Cause::Eof, None),
        (Ending::Reset, Cause::Reset, None),
        (Ending::Protocol, Cause::Protocol, None),
    ];
    for (ending, cause, code) in cases {
        let mut bench = Bench::live(documented());
        bench.secs(20);
        bench.say(Input::Closed(ending));
        assert_eq!(bench.disconnects(), [(cause, code, true)]);
        assert_eq!(bench.attempts(), [(20.0, ReconnectKind::Immediate)]);
    }
}

#[test]
fn a_duplicate_is_not_fought() {
    let mut bench = Bench::live(documented());
    bench.closed(4003, "duplicate_connection");
    assert_eq!(bench.disconnects(), [(Cause::DuplicateConnection, Some(4003), true)]);
    assert_eq!(bench.stopped(), Some(StopReason::Evicted));
    assert_eq!((bench.actions(), bench.session.next_wake()), (vec![], None));
}

#[test]
fn an_abort_without_a_reason_after_a_late_pong_is_a_ping_timeout() {
    let mut bench = Bench::live(documented());
    bench.say(Input::Ping { late: true });
    bench.closed(4003, "");
    assert_eq!(bench.disconnects(), [(Cause::PingTimeout, Some(4003), true)]);

    let mut bench = Bench::live(documented());
    bench.say(Input::Ping { late: true });
    bench.say(Input::Ping { late: false });
    bench.closed(4003, "");
    assert_eq!(bench.disconnects(), [(Cause::Aborted, Some(4003), true)]);
}
