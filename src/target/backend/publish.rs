//! Publishing: checks, storing, fan-out.

use std::sync::Arc;

use uuid::Uuid;

use crate::profile::Publish;
use crate::time::Timestamp;
use crate::wire::Position;

use super::super::caller::Caller;
use super::super::error::ApiError;
use super::super::event::{Content, Event, Mark};
use super::super::registry::{ParticipantIx, RoomIx};
use super::Backend;

/// What a publish made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    /// `data.id`
    pub id: Uuid,
    /// `data.stream_position`
    pub position: Position,
}

/// What somebody may publish.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) who: ParticipantIx,
    pub(super) room: RoomIx,
    pub(super) content: Content,
    pub(super) event_uuid: Option<Uuid>,
}

/// An event and its place.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) event: Arc<Event>,
    pub(super) room: RoomIx,
    /// Where it is; what it says of itself may be something else.
    pub(super) position: Position,
}

impl Stored {
    pub(super) fn created(&self) -> Created {
        Created { id: self.event.id, position: self.event.position }
    }

    pub(super) fn coordinates(&self) -> Option<(u32, u32)> {
        self.event.content.mark().and_then(Mark::coordinates)
    }
}

impl Backend {
    /// `POST /v1/rooms/{room_id}/send`. The same `event_uuid` in the same room again answers with the event it
    /// made first, for as long as that is retained.
    ///
    /// # Errors
    /// A refused token; no such room in the caller's tenant; not a member; archived; content over 64 KB; the
    /// tenant's send limit. A refused publish takes no position and is never seen.
    pub fn send(
        &mut self,
        now: Timestamp,
        pod: u32,
        caller: &Caller,
        room_id: &str,
        content: Content,
        event_uuid: Option<Uuid>,
    ) -> Result<Created, ApiError> {
        let who = self.admit(now, pod, caller)?;
        let room = self.may_publish(who, room_id, &content)?;
        let planted = self.faults.on_publish(content.mark().and_then(Mark::coordinates));
        if let Some(created) = event_uuid.and_then(|uuid| self.published(room, uuid)) {
            return match planted {
                Some((_, Publish::NoAnswer)) => Err(ApiError::NO_ANSWER),
                _ => Ok(created),
            };
        }
        let draft = Draft { who, room, content, event_uuid };
        if let Some((fault, verb)) = planted {
            return self.send_oddly(now, draft, fault, verb);
        }
        let stored = self.store(now, draft);
        let created = stored.created();
        self.deliver(now, &stored);
        Ok(created)
    }

    fn may_publish(
        &mut self,
        who: ParticipantIx,
        room_id: &str,
        content: &Content,
    ) -> Result<RoomIx, ApiError> {
        self.faults.on_send()?;
        let room = self.find_room_of_member(who, room_id)?;
        if self.registry.room(room).archived {
            return Err(ApiError::ROOM_FROZEN);
        }
        if content.bytes() > CONTENT_MAX {
            return Err(ApiError::CONTENT_TOO_LARGE);
        }
        let tenant = self.registry.participant(who).tenant;
        if self.limiters.get(tenant.0).is_some_and(|limiter| limiter.check().is_err()) {
            return Err(ApiError::RATE_LIMITED);
        }
        Ok(room)
    }

    fn published(&self, room: RoomIx, event_uuid: Uuid) -> Option<Created> {
        let room = self.registry.room(room);
        let position = *room.published.get(&event_uuid)?;
        let event = self.registry.tenant(room.tenant).log.get(position)?;
        Some(Created { id: event.id, position })
    }

    /// Stores it at the next position.
    pub(super) fn store(&mut self, now: Timestamp, draft: Draft) -> Stored {
        self.store_as(now, draft, |position| position)
    }

    /// The same; the event says that it is at what `shown` makes of that position.
    pub(super) fn store_as(
        &mut self,
        now: Timestamp,
        draft: Draft,
        shown: impl FnOnce(Position) -> Position,
    ) -> Stored {
        let position = self.registry.tenant(self.registry.room(draft.room).tenant).log.next();
        let stored = self.event(now, draft, position, shown(position));
        let shape = self.registry.room_mut(stored.room);
        let tenant = shape.tenant;
        shape.positions.push_back(position);
        shape.high = shape.high.max(stored.event.position);
        if let Some(uuid) = stored.event.event_uuid {
            shape.published.insert(uuid, position);
        }
        let forgotten = self.registry.tenant_mut(tenant).log.store(Arc::clone(&stored.event));
        self.forget(forgotten);
        stored
    }

    /// An event that says that it is at `shown`, for the place of `position`.
    pub(super) fn event(
        &mut self,
        now: Timestamp,
        draft: Draft,
        position: Position,
        shown: Position,
    ) -> Stored {
        let Draft { who, room, content, event_uuid } = draft;
        let (id, origin_ts) = (self.ids.uuid(), self.unix_s(now));
        let sender = self.registry.participant(who).id;
        let room_id = self.registry.room(room).id;
        let event = Event {
            id,
            position: shown,
            room: room_id,
            sender,
            content,
            origin_ts,
            room_ix: room,
            event_uuid,
        };
        Stored { event: Arc::new(event), room, position }
    }

    /// Takes an event that fell out of its tenant's log out of its room as well.
    pub(super) fn forget(&mut self, forgotten: Option<Arc<Event>>) {
        let Some(event) = forgotten else { return };
        let room = self.registry.room_mut(event.room_ix);
        room.positions.pop_front();
        if let Some(uuid) = event.event_uuid {
            room.published.remove(&uuid);
        }
    }
}

/// Documented: `SW_CONTENT_TOO_LARGE` over 64 KB.
const CONTENT_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::config::{Config, PlantedKind};
    use super::super::super::line::LogEvent;
    use super::super::super::truth::Deed;
    use super::super::tests_support::*;
    use super::*;

    #[test]
    fn an_event_reaches_members_on_every_pod_in_position_order_and_nobody_else() {
        let mut backend = small();
        let room = room_of(&mut backend, &["anna", "ben"]);
        room_of(&mut backend, &["carl"]);
        open(&mut backend, "anna", 1, 1);
        open_on(&mut backend, 1, "ben", 2, 2);
        open(&mut backend, "carl", 3, 3);
        let sent: Vec<Position> =
            (0..3).map(|n| publish(&mut backend, "anna", &room, n).expect("a member").position).collect();
        assert_eq!(message_positions(&mut backend, 1), sent, "its own messages too");
        assert_eq!(message_positions(&mut backend, 2), sent);
        assert!(message_positions(&mut backend, 3).is_empty());
    }

    #[test]
    fn positions_are_tenant_wide_from_1_and_each_tenant_has_its_own() {
        let mut backend = small();
        let one = room_of(&mut backend, &["anna"]);
        let two = room_of(&mut backend, &["anna"]);
        // Each room took one position when it was made.
        let positions: Vec<Position> = [&one, &two, &one]
            .iter()
            .map(|room| publish(&mut backend, "anna", room, 0).expect("a member").position)
            .collect();
        assert_eq!(positions, [3, 4, 5]);
        let other = Caller { tenant: "other".into(), ..caller("anna", 9) };
        let room = backend.create_room(at(0), 0, &other).expect("a good token").to_string();
        let sent = backend.send(at(0), 0, &other, &room, content(0, 0), None).expect("a member");
        assert_eq!(sent.position, 2);
    }

    #[test]
    fn one_event_uuid_makes_one_event_per_room() {
        let mut backend = small();
        let one = room_of(&mut backend, &["anna"]);
        let two = room_of(&mut backend, &["anna"]);
        open(&mut backend, "anna", 1, 1);
        let uuid = Some(Uuid::from_u128(7));
        let mut send =
            |pod, room: &str| backend.send(at(0), pod, &caller("anna", 1), room, content(0, 0), uuid);
        let first = send(0, &one).expect("a member");
        assert_eq!(send(1, &one), Ok(first), "on another pod as well");
        assert_ne!(send(0, &two).expect("a member").id, first.id, "another room, another event");
        assert_eq!(message_positions(&mut backend, 1).len(), 2);
    }

    #[test]
    fn what_is_refused_is_never_seen() {
        let mut backend = small();
        let room = room_of(&mut backend, &["anna"]);
        let mut send = |who: &str, bytes| {
            let content = Content::marked(Mark::at(0, 0), bytes);
            backend.send(at(0), 0, &caller(who, 1), &room, content, None)
        };
        assert_eq!(send("ben", 300), Err(ApiError::NOT_MEMBER));
        assert_eq!(send("anna", 64 * 1024 + 1), Err(ApiError::CONTENT_TOO_LARGE));
        assert!(send("anna", 64 * 1024).is_ok());
        assert_eq!(page(&mut backend, "anna", 0, 10).events.len(), 1);
    }

    #[test]
    fn a_full_queue_drops_counts_and_logs_once() {
        let mut backend = small();
        let room = room_of(&mut backend, &["anna"]);
        open(&mut backend, "anna", 1, 1);
        for n in 0..10 {
            publish(&mut backend, "anna", &room, n).expect("a member");
        }
        let lines = log_lines(&mut backend);
        assert_eq!(lines.iter().filter(|line| line.event == LogEvent::FanoutFailed).count(), 1);
        assert_eq!(message_positions(&mut backend, 1).len(), 8, "the queue of these tests");
        assert_eq!(backend.truth().messages_dropped, 2);
        assert!(
            backend.metrics_text(0).expect("it is up").contains("scaiwave_ws_messages_dropped_total 2\n")
        );
        publish(&mut backend, "anna", &room, 10).expect("a member");
        assert_eq!(message_positions(&mut backend, 1).len(), 1, "an emptied queue takes frames again");
        for n in 11..30 {
            publish(&mut backend, "anna", &room, n).expect("a member");
        }
        assert_eq!(log_lines(&mut backend).len(), 1, "and the next time it is full is told again");
    }

    #[test]
    fn a_tenant_above_its_limit_gets_429_until_time_has_passed() {
        let mut backend = Backend::new(&Config { send_limit: Some(2.0), ..Config::small() });
        let room = room_of(&mut backend, &["anna"]);
        let mut send = |ms: u64| {
            let now = Timestamp::from_millis(ms);
            backend.send(now, 0, &caller("anna", 1), &room, content(0, 0), None).map(|_| ())
        };
        assert_eq!([send(0), send(0), send(0)], [Ok(()), Ok(()), Err(ApiError::RATE_LIMITED)]);
        assert_eq!(
            [send(499), send(500), send(501)],
            [Err(ApiError::RATE_LIMITED), Ok(()), Err(ApiError::RATE_LIMITED)]
        );
    }

    #[test]
    fn lost_on_the_stream_only_is_still_in_sync() {
        let mut backend = losing(false);
        let (room, _) = publish_ten(&mut backend);
        assert_eq!(numbers(&mut backend, 1), [0, 1, 2, 6, 7]);
        assert_eq!(numbers(&mut backend, 2), [0, 1, 2, 3, 4, 5, 6, 7], "only one client's are lost");
        assert_eq!(page(&mut backend, "ws-000001", 0, 100).events.len(), 8);
        assert_eq!(history_len(&mut backend, "ws-000001", &room), 8);
        let truth = backend.truth();
        assert_eq!((truth.count(Deed::FrameOmitted), truth.count(Deed::EventHidden)), (3, 0));
        assert_eq!(truth.faults[0].hits.iter().map(|lost| lost.n).collect::<Vec<_>>(), [3, 4, 5]);
    }

    #[test]
    fn lost_in_the_store_stays_lost_for_that_client_when_the_fault_has_ended() {
        let mut backend = losing(true);
        let (room, _) = publish_ten(&mut backend);
        assert_eq!(backend.end_fault(at(9), 0), Some(3));
        assert_eq!(page(&mut backend, "ws-000001", 0, 100).events.len(), 5);
        assert_eq!(history_len(&mut backend, "ws-000001", &room), 5);
        assert_eq!(page(&mut backend, "ws-000002", 0, 100).events.len(), 8);
        assert_eq!(backend.truth().count(Deed::EventHidden), 3);
    }

    #[test]
    fn refused_publishes_are_counted_and_nothing_else_is() {
        let mut backend =
            Backend::new(&Config::with_fault(PlantedKind::RefusePublishes, Some(Duration::ZERO)));
        let room = room_of(&mut backend, &["anna"]);
        assert!(publish(&mut backend, "anna", &room, 0).is_ok());
        assert_eq!(backend.begin_fault(at(1), 0), Some(0));
        assert_eq!(publish(&mut backend, "anna", &room, 1), Err(ApiError::NOT_MEMBER));
        assert_eq!(publish(&mut backend, "anna", &room, 2), Err(ApiError::NOT_MEMBER));
        assert_eq!(backend.end_fault(at(2), 0), Some(2));
        assert!(publish(&mut backend, "anna", &room, 3).is_ok());
        assert_eq!(backend.truth().count(Deed::PublishRefused), 2);
    }

    /// Loses numbers 3, 4, 5 of room 0 for client 1.
    fn losing(store: bool) -> Backend {
        let mut backend = Backend::new(&Config::with_fault(PlantedKind::lose(1, 0, 3, 3, store), None));
        assert_eq!(backend.begin_fault(at(0), 0), Some(0));
        backend
    }

    /// Eight messages, that is, into a room with two connected members.
    fn publish_ten(backend: &mut Backend) -> (String, Vec<Created>) {
        let room = room_of(backend, &["ws-000001", "ws-000002"]);
        open(backend, "ws-000001", 1, 1);
        open(backend, "ws-000002", 2, 2);
        let made = (0..8).map(|n| publish(backend, "ws-000002", &room, n).expect("a member")).collect();
        (room, made)
    }

    fn numbers(backend: &mut Backend, conn: u64) -> Vec<u32> {
        messages(backend, conn).iter().filter_map(|event| event.content.mark()?.stamp.n).collect()
    }

    fn history_len(backend: &mut Backend, who: &str, room: &str) -> usize {
        history(backend, who, room, Default::default()).expect("a member").events.len()
    }
}
