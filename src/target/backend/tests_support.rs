//! Short words for the tests of the backend: one tenant called `acme`, people by their names.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::time::Timestamp;
use crate::wire::Position;

use super::super::caller::Caller;
use super::super::config::Config;
use super::super::connection::ConnId;
use super::super::error::ApiError;
use super::super::event::{Content, Event, Mark};
use super::super::frame::ServerFrame;
use super::super::line::LogLine;
use super::super::page::{HistoryPage, HistoryQuery, Page, SyncQuery, SyncReply, WaiterId};
use super::super::registry::ParticipantIx;
use super::{Backend, Created, Effect};

pub(super) fn small() -> Backend {
    Backend::new(&Config::small())
}

pub(super) fn at(second: u64) -> Timestamp {
    Timestamp::from_secs(second)
}

pub(super) fn caller(username: &str, token_id: u64) -> Caller {
    Caller { tenant: "acme".into(), username: username.into(), token_id, expires: Timestamp::MAX }
}

/// A room made by the first of these people and joined by the others.
pub(super) fn room_of(backend: &mut Backend, people: &[&str]) -> String {
    let room = backend.create_room(at(0), 0, &caller(people[0], 1)).expect("a good token").to_string();
    for name in &people[1..] {
        backend.join(at(0), 0, &caller(name, 1), &room).expect("open to the tenant");
    }
    room
}

pub(super) fn content(room: u32, n: u32) -> Content {
    Content::marked(Mark::at(room, n), 300)
}

pub(super) fn publish(backend: &mut Backend, who: &str, room: &str, n: u32) -> Result<Created, ApiError> {
    publish_on(backend, 0, who, room, n)
}

pub(super) fn publish_on(
    backend: &mut Backend,
    pod: u32,
    who: &str,
    room: &str,
    n: u32,
) -> Result<Created, ApiError> {
    backend.send(at(0), pod, &caller(who, 1), room, content(0, n), None)
}

/// Opens a stream on the first pod and takes its hello out of the way.
pub(super) fn open(backend: &mut Backend, who: &str, conn: u64, token_id: u64) {
    open_on(backend, 0, who, conn, token_id);
}

pub(super) fn open_on(backend: &mut Backend, pod: u32, who: &str, conn: u64, token_id: u64) {
    backend.open(at(0), pod, ConnId(conn), Ok(caller(who, token_id)));
    if let Some(first) = backend.next_frame(ConnId(conn)) {
        assert!(matches!(first.frame(), ServerFrame::Hello(_)));
    }
}

/// All frames that wait for a connection, cloned out of their sharing.
pub(super) fn pull(backend: &mut Backend, conn: u64) -> Vec<ServerFrame> {
    std::iter::from_fn(|| backend.next_frame(ConnId(conn)))
        .map(|outgoing| match outgoing.frame() {
            ServerFrame::Hello(hello) => ServerFrame::Hello(hello.clone()),
            ServerFrame::Message(event) => ServerFrame::Message(Arc::clone(event)),
            &ServerFrame::Member { room, participant, joined } => {
                ServerFrame::Member { room, participant, joined }
            }
            &ServerFrame::Typing { room, participant, typing } => {
                ServerFrame::Typing { room, participant, typing }
            }
            &ServerFrame::Strange(strange) => ServerFrame::Strange(strange),
        })
        .collect()
}

pub(super) fn messages(backend: &mut Backend, conn: u64) -> Vec<Arc<Event>> {
    let message = |frame| if let ServerFrame::Message(event) = frame { Some(event) } else { None };
    pull(backend, conn).into_iter().filter_map(message).collect()
}

pub(super) fn message_positions(backend: &mut Backend, conn: u64) -> Vec<Position> {
    messages(backend, conn).iter().map(|event| event.position).collect()
}

/// A sync request that does not wait.
pub(super) fn page(backend: &mut Backend, who: &str, since: Position, limit: u32) -> Page {
    let query = SyncQuery { since, limit, timeout: Duration::ZERO };
    match backend.sync(at(0), 1, WaiterId(0), &caller(who, 1), query) {
        Ok(SyncReply::Page(page)) => page,
        other => panic!("expected a page, not {other:?}"),
    }
}

pub(super) fn positions(page: &Page) -> Vec<Position> {
    page.events.iter().map(|event| event.position).collect()
}

/// A sync request on the first pod that must wait.
pub(super) fn wait(backend: &mut Backend, who: &str, waiter: u64, since: Position, timeout: Duration) {
    let query = SyncQuery { since, timeout, ..SyncQuery::default() };
    let reply = backend.sync(at(0), 0, WaiterId(waiter), &caller(who, 1), query);
    assert!(matches!(reply, Ok(SyncReply::Waiting)), "{reply:?}");
}

/// Nothing is left of any blocked request, this participant's among them.
pub(super) fn nobody_waits(backend: &Backend, who: &str) -> bool {
    let mut people = (0..backend.registry.participants_len()).map(ParticipantIx);
    let participant = people.find(|&index| &*backend.registry.participant(index).username == who);
    let of_participant = participant.map_or(0, |index| backend.registry.participant(index).waiters.len());
    let of_pods: usize = backend.pods.iter().map(|pod| pod.waiters.len()).sum();
    backend.waiters.is_empty() && backend.deadlines.is_empty() && of_pods + of_participant == 0
}

pub(super) fn history(
    backend: &mut Backend,
    who: &str,
    room: &str,
    query: HistoryQuery,
) -> Result<HistoryPage, ApiError> {
    backend.history(at(0), 1, &caller(who, 1), room, query)
}

fn effects(backend: &mut Backend) -> Vec<Effect> {
    std::iter::from_fn(|| backend.poll()).collect()
}

pub(super) fn ready(backend: &mut Backend) -> Vec<(WaiterId, Page)> {
    let answer =
        |effect| if let Effect::SyncReady { waiter, page } = effect { Some((waiter, page)) } else { None };
    effects(backend).into_iter().filter_map(answer).collect()
}

pub(super) fn closes(backend: &mut Backend) -> Vec<(u64, u16, Cow<'static, str>)> {
    let close = |effect| match effect {
        Effect::Close { conn, code, reason } => Some((conn.0, code, reason)),
        _ => None,
    };
    effects(backend).into_iter().filter_map(close).collect()
}

pub(super) fn pings(backend: &mut Backend) -> Vec<u64> {
    let ping = |effect| if let Effect::Ping(conn) = effect { Some(conn.0) } else { None };
    effects(backend).into_iter().filter_map(ping).collect()
}

pub(super) fn resets(backend: &mut Backend) -> (Vec<u64>, Vec<u64>) {
    let (mut conns, mut waiters) = (Vec::new(), Vec::new());
    for effect in effects(backend) {
        match effect {
            Effect::Reset(conn) => conns.push(conn.0),
            Effect::SyncGone(waiter) => waiters.push(waiter.0),
            _ => {}
        }
    }
    (conns, waiters)
}

pub(super) fn log_lines(backend: &mut Backend) -> Vec<LogLine> {
    let line = |effect| if let Effect::Log(line) = effect { Some(line) } else { None };
    effects(backend).into_iter().filter_map(line).collect()
}
