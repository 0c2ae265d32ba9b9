//! Each verb of the target alone: what it does, to whom, and what the truth says of it.

use std::time::Duration;

use crate::profile::{Delivery, Strange, Sync};
use crate::wire::Position;

use super::super::super::caller::Caller;
use super::super::super::config::{Cohort, Config, Which};
use super::super::super::page::{SyncQuery, SyncReply, WaiterId};
use super::super::super::truth::Truth;
use super::super::tests_support::*;
use super::*;

const ANNA: &str = "ws-000001";
const BEN: &str = "ws-000002";

/// Two members of room 0, with one connection each, and this fault begun at 0 s.
fn planted(kind: PlantedKind) -> (Backend, String) {
    let mut backend = Backend::new(&Config::with_fault(kind, Some(Duration::from_secs(100))));
    let room = room_of(&mut backend, &[ANNA, BEN]);
    open(&mut backend, ANNA, 1, 1);
    open(&mut backend, BEN, 2, 2);
    backend.begin_fault(at(0), 0).expect("the pods'");
    (backend, room)
}

fn delivery(verb: Delivery) -> PlantedKind {
    PlantedKind::Delivery { which: Which::Coordinates { client: 1, room: 0, first: 1, count: 2 }, verb }
}

fn publish_kind(verb: Publish) -> PlantedKind {
    PlantedKind::Publish { which: Which::Coordinates { client: 1, room: 0, first: 1, count: 1 }, verb }
}

fn stream(verb: Stream) -> PlantedKind {
    PlantedKind::Stream { who: Cohort::Clients(vec![1]), verb }
}

fn sync(verb: Sync) -> PlantedKind {
    PlantedKind::Sync { who: Cohort::Clients(vec![1]), verb }
}

/// Publishes these numbers, at `second`.
fn send_at(backend: &mut Backend, second: u64, room: &str, numbers: impl IntoIterator<Item = u32>) {
    for n in numbers {
        let sent = backend.send(at(second), 0, &caller(BEN, 2), room, content(0, n), None);
        assert!(sent.is_ok() || matches!(sent, Err(ApiError::NO_ANSWER | ApiError::RATE_LIMITED)));
    }
}

fn numbers(backend: &mut Backend, conn: u64) -> Vec<u32> {
    messages(backend, conn).iter().filter_map(|event| event.content.mark()?.stamp.n).collect()
}

fn count(backend: &Backend, deed: Deed) -> u64 {
    backend.truth().count(deed)
}

#[test]
fn twice_is_twice_on_one_connection_alone() {
    let (mut backend, room) = planted(delivery(Delivery::Twice));
    send_at(&mut backend, 1, &room, 0..4);
    assert_eq!(numbers(&mut backend, 1), [0, 1, 1, 2, 2, 3]);
    assert_eq!(numbers(&mut backend, 2), [0, 1, 2, 3]);
    assert_eq!(count(&backend, Deed::FrameTwice), 2);
}

#[test]
fn what_was_never_written_is_taken_back_and_what_nobody_answered_for_is_unproved() {
    let (mut backend, room) = planted(delivery(Delivery::Twice));
    send_at(&mut backend, 1, &room, 0..4);
    // Hello is gone; 0, 1 and the first copy's twin are written, the twin of 2 is not.
    for _ in 0..4 {
        backend.next_frame(ConnId(1)).expect("it is queued");
    }
    backend.gone(at(2), ConnId(1));
    let truth = backend.truth();
    assert_eq!((truth.count(Deed::FrameTwice), truth.unproved()), (1, 1));
}

#[test]
fn a_pong_after_it_proves_what_was_done() {
    let (mut backend, room) = planted(delivery(Delivery::Lose { store: false }));
    send_at(&mut backend, 1, &room, 0..4);
    assert_eq!(numbers(&mut backend, 1), [0, 3]);
    backend.tick(at(30));
    backend.pong(ConnId(1));
    backend.gone(at(31), ConnId(1));
    let truth = backend.truth();
    assert_eq!((truth.count(Deed::FrameOmitted), truth.unproved()), (2, 0));
}

#[test]
fn nothing_is_omitted_where_nobody_listens() {
    let (mut backend, room) = planted(delivery(Delivery::Lose { store: false }));
    backend.gone(at(1), ConnId(1));
    send_at(&mut backend, 2, &room, 0..4);
    let truth = backend.truth();
    assert_eq!((truth.count(Deed::FrameOmitted), truth.faults[0].affected()), (0, 0));
    assert_eq!(truth.faults[0].hits.len(), 2, "it was meant to be");
}

#[test]
fn held_frames_go_behind_the_next_of_their_room() {
    let (mut backend, room) = planted(delivery(Delivery::BehindRoom));
    send_at(&mut backend, 1, &room, 0..5);
    assert_eq!(numbers(&mut backend, 1), [0, 3, 1, 2, 4]);
    assert_eq!(count(&backend, Deed::FrameBehindRoom), 2);
}

#[test]
fn held_frames_go_behind_the_next_of_another_room_and_their_own_room_stays_in_order() {
    let (mut backend, room) = planted(delivery(Delivery::BehindOthers));
    let other = room_of(&mut backend, &[BEN, ANNA]);
    let beside = |backend: &mut Backend| {
        backend.send(at(1), 0, &caller(BEN, 2), &other, content(7, 0), None).expect("a member");
    };
    send_at(&mut backend, 1, &room, 0..4);
    beside(&mut backend);
    send_at(&mut backend, 1, &room, 4..5);
    let positions = message_positions(&mut backend, 1);
    let mut sorted = positions.clone();
    sorted.sort_unstable();
    assert_eq!(positions, [sorted[0], sorted[4], sorted[1], sorted[2], sorted[3], sorted[5]]);
    assert_eq!(count(&backend, Deed::FrameBehindOthers), 3, "1, 2 and 3, which waited behind them");
}

#[test]
fn a_stream_that_stands_still_keeps_its_order() {
    let (mut backend, room) = planted(delivery(Delivery::Late(Duration::from_secs(3))));
    send_at(&mut backend, 1, &room, 0..2);
    send_at(&mut backend, 2, &room, 2..3);
    send_at(&mut backend, 3, &room, 3..4);
    assert_eq!(numbers(&mut backend, 1), [0]);
    assert_eq!(backend.next_wake(), Some(at(4)));
    backend.tick(at(4));
    assert_eq!(numbers(&mut backend, 1), [1]);
    backend.tick(at(5));
    assert_eq!(numbers(&mut backend, 1), [2, 3]);
    let delays: Vec<u64> = backend.truth().faults[0].delays.iter().map(Duration::as_secs).collect();
    assert_eq!(delays, [3, 3, 2]);
}

#[test]
fn a_leak_reaches_who_is_named_and_is_not_in_the_room() {
    let (mut backend, room) = planted(delivery(Delivery::Leak { to: 5 }));
    backend.open(at(0), 0, ConnId(5), Ok(Caller { tenant: "other".into(), ..caller("ws-000005", 5) }));
    pull(&mut backend, 5);
    send_at(&mut backend, 1, &room, 0..4);
    assert_eq!(numbers(&mut backend, 5), [1, 2]);
    assert_eq!(numbers(&mut backend, 1), [0, 1, 2, 3]);
    assert_eq!(count(&backend, Deed::FrameLeaked), 2);
}

#[test]
fn rejected_forgotten_unanswered_and_stored_twice() {
    let cases = [
        (Publish::DeliverRejected { store: false }, vec![0, 1, 2], vec![0, 2], Deed::FrameUnexpected, 2),
        (Publish::DeliverRejected { store: true }, vec![0, 1, 2], vec![0, 1, 2], Deed::FrameUnexpected, 2),
        (Publish::Forget, vec![0, 2], vec![0, 2], Deed::FrameOmitted, 2),
        (Publish::NoAnswer, vec![0, 1, 2], vec![0, 1, 2], Deed::PublishUnanswered, 1),
        (Publish::Twice, vec![0, 1, 1, 2], vec![0, 1, 1, 2], Deed::PublishTwice, 1),
    ];
    for (verb, streamed, stored, deed, times) in cases {
        let (mut backend, room) = planted(publish_kind(verb));
        send_at(&mut backend, 1, &room, 0..3);
        assert_eq!(numbers(&mut backend, 1), streamed, "{verb:?}");
        let page = page(&mut backend, ANNA, 0, 100);
        let n = |event: &Arc<super::super::super::event::Event>| {
            event.content.mark().and_then(|mark| mark.stamp.n)
        };
        assert_eq!(page.events.iter().filter_map(n).collect::<Vec<_>>(), stored, "{verb:?}");
        assert_eq!(count(&backend, deed), times, "{verb:?}");
    }
}

#[test]
fn an_unanswered_publish_stays_unanswered_and_is_stored_once() {
    let (mut backend, room) = planted(publish_kind(Publish::NoAnswer));
    let uuid = Some(Uuid::from_u128(7));
    for _ in 0..3 {
        let sent = backend.send(at(1), 0, &caller(BEN, 2), &room, content(0, 1), uuid);
        assert_eq!(sent, Err(ApiError::NO_ANSWER));
    }
    assert_eq!(numbers(&mut backend, 1), [1]);
    assert_eq!(count(&backend, Deed::PublishUnanswered), 1);
}

#[test]
fn a_late_commit_is_nowhere_first_and_then_below_the_cursor() {
    let (mut backend, room) = planted(publish_kind(Publish::CommitLate(Duration::from_secs(5))));
    send_at(&mut backend, 1, &room, 0..3);
    assert_eq!(numbers(&mut backend, 1), [0, 2]);
    let before = positions(&page(&mut backend, ANNA, 0, 100));
    assert_eq!((before.len(), before[1] - before[0]), (2, 2), "its position is taken");
    backend.tick(at(6));
    assert_eq!(numbers(&mut backend, 1), [1]);
    assert_eq!(positions(&page(&mut backend, ANNA, 0, 100)), [before[0], before[0] + 1, before[1]]);
    // Anna had synced beyond it, and both had its successor on their connections.
    assert_eq!(count(&backend, Deed::FrameBelowCursor), 1);
    assert_eq!(count(&backend, Deed::FrameBehindRoom), 2);
}

#[test]
fn who_is_away_at_a_late_commit_comes_back_behind_it_or_not() {
    for (since, behind) in [(0, 0), (1000, 1)] {
        let (mut backend, room) = planted(publish_kind(Publish::CommitLate(Duration::from_secs(5))));
        send_at(&mut backend, 1, &room, 0..3);
        backend.gone(at(2), ConnId(1));
        backend.tick(at(6));
        page(&mut backend, ANNA, since, 100);
        assert_eq!(count(&backend, Deed::EventBehindCursor), behind);
    }
}

#[test]
fn a_renumbered_event_says_that_it_is_lower() {
    let (mut backend, room) = planted(publish_kind(Publish::Renumber { back: 2 }));
    send_at(&mut backend, 1, &room, 0..3);
    let shown = message_positions(&mut backend, 1);
    assert_eq!((shown[1], shown[2]), (shown[0] - 1, shown[0] + 2));
    assert_eq!(count(&backend, Deed::FrameBehindRoom), 2);
}

#[test]
fn a_deaf_stream_is_pinged_and_logged_once_and_hears_again() {
    let (mut backend, room) = planted(stream(Stream::Deaf));
    send_at(&mut backend, 1, &room, 0..3);
    assert!(numbers(&mut backend, 1).is_empty());
    backend.tick(at(30));
    assert_eq!(pings(&mut backend), [1, 2]);
    assert_eq!(backend.truth().fanout_failed, 1);
    backend.end_fault(at(31), 0);
    send_at(&mut backend, 32, &room, 3..4);
    assert_eq!(numbers(&mut backend, 1), [3]);
    assert_eq!(count(&backend, Deed::FrameOmitted), 3);
}

#[test]
fn hello_and_subscription_come_when_they_are_told_to() {
    let second = Duration::from_secs(1);
    for (verb, at_once, later, omitted) in [
        (Stream::NoHello, vec![], vec![], 0),
        (Stream::LateHello(second), vec![], vec!["hello", "message"], 1),
        (Stream::EarlyHello(second), vec!["hello"], vec!["message"], 1),
    ] {
        let (mut backend, room) = planted(stream(verb.clone()));
        backend.gone(at(1), ConnId(1));
        backend.open(at(1), 0, ConnId(3), Ok(caller(ANNA, 3)));
        send_at(&mut backend, 1, &room, 0..1);
        let words = |backend: &mut Backend| -> Vec<&str> {
            let word = |frame| match frame {
                ServerFrame::Hello(_) => "hello",
                ServerFrame::Message(_) => "message",
                _ => "other",
            };
            pull(backend, 3).into_iter().map(word).collect()
        };
        assert_eq!(words(&mut backend), at_once, "{verb:?}");
        backend.tick(at(2));
        send_at(&mut backend, 3, &room, 1..2);
        assert_eq!(words(&mut backend), later, "{verb:?}");
        assert_eq!(count(&backend, Deed::FrameOmitted), omitted, "{verb:?}");
    }
}

#[test]
fn a_stalled_stream_fills_its_queue_and_drops_the_rest() {
    let (mut backend, room) = planted(stream(Stream::Stall));
    send_at(&mut backend, 1, &room, 0..10);
    assert!(backend.next_frame(ConnId(1)).is_none());
    backend.end_fault(at(2), 0);
    assert_eq!(numbers(&mut backend, 1), (0..8).collect::<Vec<_>>(), "the queue of these tests");
    let truth = backend.truth();
    assert_eq!(
        (truth.count(Deed::FrameOmitted), truth.messages_dropped),
        (2, 4),
        "nobody reads Ben's either"
    );
}

#[test]
fn streams_end_in_the_way_they_are_told_to() {
    let close = Stream::Close { code: 4003, reason: "x".to_owned() };
    let (mut backend, _) = planted(stream(close));
    assert_eq!(closes(&mut backend), [(1, 4003, "x".into())]);
    let (mut backend, _) = planted(stream(Stream::Drop(How::Reset)));
    assert_eq!(resets(&mut backend).0, [1]);
    let (mut backend, _) = planted(stream(Stream::Drop(How::Fin)));
    assert!(std::iter::from_fn(|| backend.poll()).any(|effect| matches!(effect, Effect::Fin(ConnId(1)))));
    let (mut backend, room) = planted(stream(Stream::Drop(How::Silent)));
    assert_eq!((resets(&mut backend).0.len(), closes(&mut backend).len()), (0, 0));
    send_at(&mut backend, 1, &room, 0..1);
    backend.tick(at(30));
    assert_eq!((pings(&mut backend), numbers(&mut backend, 1)), (vec![2], vec![]));
    assert_eq!(count(&backend, Deed::ConnectionDropped), 1);
}

#[test]
fn a_strange_frame_goes_to_those_who_are_there() {
    let (mut backend, _) = planted(stream(Stream::Strange(Strange::Unknown)));
    assert!(matches!(pull(&mut backend, 1)[..], [ServerFrame::Strange(Strange::Unknown)]));
    assert!(pull(&mut backend, 2).is_empty());
    backend.open(at(1), 0, ConnId(3), Ok(caller(ANNA, 3)));
    assert!(matches!(pull(&mut backend, 3)[..], [ServerFrame::Hello(_)]), "it was over at once");
}

#[test]
fn pages_skip_repeat_and_go_backwards() {
    let ask = |verb, since: Position, limit| {
        let (mut backend, room) = planted(sync(verb));
        send_at(&mut backend, 1, &room, 0..6);
        let first = page(&mut backend, BEN, 0, 1).next_cursor;
        let page = page(&mut backend, ANNA, first + since, limit);
        let shown: Vec<Position> = positions(&page).iter().map(|position| position - first).collect();
        (shown, page.next_cursor.wrapping_sub(first) as i64, backend.truth())
    };
    let counted = |truth: Truth, deed| truth.count(deed);
    let (shown, cursor, truth) = ask(Sync::Skip, 0, 2);
    assert_eq!((shown, cursor, counted(truth, Deed::RowSkipped)), (vec![1, 2], 3, 1));
    let (shown, cursor, truth) = ask(Sync::Skip, 3, 9);
    assert_eq!((shown, cursor, counted(truth, Deed::RowSkipped)), (vec![4, 5], 5, 0), "a last page is right");
    let (shown, cursor, truth) = ask(Sync::Repeat { back: 2 }, 3, 9);
    assert_eq!((shown, cursor, counted(truth, Deed::RowRepeated)), (vec![2, 3, 4, 5], 5, 2));
    let (shown, cursor, truth) = ask(Sync::Repeat { back: 3 }, 4, 2);
    assert_eq!((shown, cursor, counted(truth, Deed::CursorBackwards)), (vec![2, 3], 3, 1));
    let (shown, cursor, truth) = ask(Sync::Backwards { back: 5 }, 3, 9);
    assert_eq!((shown, cursor, counted(truth, Deed::CursorBackwards)), (vec![4, 5], -2, 1));
}

#[test]
fn what_cannot_be_replayed_is_refused_and_counted_for_who_was_away() {
    let (mut backend, room) = planted(sync(Sync::Retain { keep: 3 }));
    send_at(&mut backend, 1, &room, 0..6);
    let ask = |backend: &mut Backend, since| {
        let query = SyncQuery { since, limit: 100, timeout: Duration::ZERO };
        backend.sync(at(1), 0, WaiterId(9), &caller(ANNA, 1), query).map(|_| ())
    };
    let newest = page(&mut backend, BEN, 0, 100).next_cursor;
    assert_eq!(ask(&mut backend, newest - 3), Ok(()));
    assert_eq!(ask(&mut backend, newest - 4), Err(ApiError::BEYOND_RETENTION));
    assert_eq!(count(&backend, Deed::RowGone), 0, "she is connected, and has them");
    backend.gone(at(2), ConnId(1));
    for _ in 0..2 {
        assert_eq!(ask(&mut backend, newest - 4), Err(ApiError::BEYOND_RETENTION));
    }
    assert_eq!((count(&backend, Deed::RowGone), count(&backend, Deed::AnswerGone)), (4, 3));
}

#[test]
fn a_slow_answer_comes_when_it_is_due_unless_nobody_waits_for_it() {
    let (mut backend, room) = planted(sync(Sync::Slow(Duration::from_secs(2))));
    send_at(&mut backend, 1, &room, 0..1);
    for waiter in [7, 8] {
        let query = SyncQuery { since: 0, limit: 100, timeout: Duration::ZERO };
        let reply = backend.sync(at(1), 0, WaiterId(waiter), &caller(ANNA, 1), query);
        assert!(matches!(reply, Ok(SyncReply::Waiting)));
    }
    backend.abandon(WaiterId(7));
    backend.tick(at(3));
    let answers = ready(&mut backend);
    assert_eq!((answers.len(), answers[0].0, answers[0].1.events.len()), (1, WaiterId(8), 1));
    let query = SyncQuery { since: 0, limit: 100, timeout: Duration::ZERO };
    assert!(backend.sync(at(4), 0, WaiterId(9), &caller(ANNA, 1), query).is_ok());
    backend.kill_pod(at(4), 0);
    assert_eq!(resets(&mut backend).1, [9]);
}

#[test]
fn sync_hides_what_history_shows() {
    let (mut backend, room) = planted(delivery(Delivery::HideFromSync));
    send_at(&mut backend, 1, &room, 0..4);
    assert_eq!(page(&mut backend, ANNA, 0, 100).events.len(), 2);
    assert_eq!(page(&mut backend, BEN, 0, 100).events.len(), 4);
    assert_eq!(history(&mut backend, ANNA, &room, Default::default()).expect("a member").events.len(), 4);
    page(&mut backend, ANNA, 0, 100);
    assert_eq!(count(&backend, Deed::RowOmitted), 2, "once each, however often it is asked for");
    assert_eq!(numbers(&mut backend, 1), [0, 1, 2, 3]);
}

#[test]
fn metrics_lie_as_they_are_told_to() {
    let shown = |verb| {
        let (mut backend, room) = planted(PlantedKind::Metrics { pod: Some(0), verb });
        send_at(&mut backend, 1, &room, 0..9);
        let text = backend.metrics_text(0)?;
        let line = |line: &&str| line.starts_with("scaiwave_ws_messages_dropped_total");
        let number =
            text.lines().find(line).map(|line| line.rsplit_once(' ').expect("a number").1.to_owned());
        assert!(text.contains("scaiwave_ws_connections{"));
        assert_eq!(count(&backend, Deed::ScrapeAltered), 1);
        Some(number)
    };
    assert_eq!(shown(Metrics::Wrong { more: 5 }), Some(Some("7".to_owned())), "two streams dropped one each");
    assert_eq!(shown(Metrics::Missing), Some(None));
    assert_eq!(shown(Metrics::Absent), None);
    assert_eq!(shown(Metrics::Reset), Some(Some("2".to_owned())), "there was nothing to forget");
}
