//! Rooms: made, entered, left, put away.

use uuid::Uuid;

use crate::time::Timestamp;

use super::super::caller::Caller;
use super::super::error::ApiError;
use super::super::frame::{Outgoing, ServerFrame};
use super::super::registry::{Membership, ParticipantIx, RoomIx};
use super::Backend;

impl Backend {
    /// `POST /v1/rooms`: makes a room with the caller as its first member, and answers with its id. All room
    /// types are alike here: what tells them apart (indexing, invitations) the target does not have.
    ///
    /// # Errors
    /// A refused token.
    pub fn create_room(&mut self, now: Timestamp, pod: u32, caller: &Caller) -> Result<Uuid, ApiError> {
        let who = self.admit(now, pod, caller)?;
        let id = self.ids.uuid();
        let room = self.registry.add_room(self.registry.participant(who).tenant, id);
        self.enter(now, who, room);
        Ok(id)
    }

    /// `POST /v1/rooms/{room_id}/join`; harmless for a member.
    ///
    /// # Errors
    /// A refused token, no such room in the caller's tenant, or an archived one.
    pub fn join(&mut self, now: Timestamp, pod: u32, caller: &Caller, room_id: &str) -> Result<(), ApiError> {
        let who = self.admit(now, pod, caller)?;
        let room = self.find_room(who, room_id)?;
        if self.registry.room(room).archived {
            return Err(ApiError::ROOM_FROZEN);
        }
        if !self.is_member(who, room) {
            self.enter(now, who, room);
        }
        Ok(())
    }

    /// `POST /v1/rooms/{room_id}/leave`
    ///
    /// # Errors
    /// A refused token, no such room in the caller's tenant, or the caller is not in it.
    pub fn leave(
        &mut self,
        now: Timestamp,
        pod: u32,
        caller: &Caller,
        room_id: &str,
    ) -> Result<(), ApiError> {
        let who = self.admit(now, pod, caller)?;
        let room = self.find_room_of_member(who, room_id)?;
        self.registry.room_mut(room).members.retain(|&member| member != who);
        let left_at = self.take_position(who);
        let memberships = &mut self.registry.participant_mut(who).memberships;
        if let Some(membership) = memberships.iter_mut().find(|membership| membership.room == room) {
            membership.left_at = Some(left_at);
        }
        self.tell_members(now, who, room, false);
        Ok(())
    }

    /// `POST /v1/rooms/{room_id}/archive`: nobody can publish in it or enter it any more.
    ///
    /// # Errors
    /// A refused token, no such room in the caller's tenant, or the caller is not in it.
    pub fn archive(
        &mut self,
        now: Timestamp,
        pod: u32,
        caller: &Caller,
        room_id: &str,
    ) -> Result<(), ApiError> {
        let who = self.admit(now, pod, caller)?;
        let room = self.find_room_of_member(who, room_id)?;
        self.registry.room_mut(room).archived = true;
        Ok(())
    }

    /// `PUT /v1/typing`: an ephemeral frame to the streams of the room's members.
    ///
    /// # Errors
    /// A refused token, no such room in the caller's tenant, or the caller is not in it.
    pub fn typing(
        &mut self,
        now: Timestamp,
        pod: u32,
        caller: &Caller,
        room_id: &str,
        typing: bool,
    ) -> Result<(), ApiError> {
        let who = self.admit(now, pod, caller)?;
        let room = self.find_room_of_member(who, room_id)?;
        let (room_id, participant) = (self.registry.room(room).id, self.registry.participant(who).id);
        let frame = Outgoing::new(ServerFrame::Typing { room: room_id, participant, typing });
        self.fan_out(now, room, &frame);
        Ok(())
    }

    pub(super) fn find_room(&self, who: ParticipantIx, room_id: &str) -> Result<RoomIx, ApiError> {
        let tenant = self.registry.participant(who).tenant;
        self.registry.find_room(tenant, room_id).ok_or(ApiError::ROOM_NOT_FOUND)
    }

    pub(super) fn find_room_of_member(&self, who: ParticipantIx, room_id: &str) -> Result<RoomIx, ApiError> {
        let room = self.find_room(who, room_id)?;
        if self.is_member(who, room) { Ok(room) } else { Err(ApiError::NOT_MEMBER) }
    }

    fn is_member(&self, who: ParticipantIx, room: RoomIx) -> bool {
        self.registry.participant(who).membership(room).is_some_and(|own| own.left_at.is_none())
    }

    fn enter(&mut self, now: Timestamp, who: ParticipantIx, room: RoomIx) {
        let memberships = &mut self.registry.participant_mut(who).memberships;
        match memberships.iter_mut().find(|membership| membership.room == room) {
            Some(membership) => membership.left_at = None,
            None => memberships.push(Membership { room, left_at: None }),
        }
        self.registry.room_mut(room).members.push(who);
        self.take_position(who);
        self.tell_members(now, who, room, true);
        // What the room held already may be new to a poll that waits.
        self.wake_waiters(who);
    }

    /// Somebody coming or going takes a position of the tenant, though no client is shown it in sync.
    fn take_position(&mut self, who: ParticipantIx) -> u64 {
        let tenant = self.registry.participant(who).tenant;
        let log = &mut self.registry.tenant_mut(tenant).log;
        let forgotten = log.skip();
        let position = log.newest();
        self.forget(forgotten);
        position
    }

    fn tell_members(&mut self, now: Timestamp, who: ParticipantIx, room: RoomIx, joined: bool) {
        let (room_id, participant) = (self.registry.room(room).id, self.registry.participant(who).id);
        let frame = Outgoing::new(ServerFrame::Member { room: room_id, participant, joined });
        self.fan_out(now, room, &frame);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests_support::*;
    use super::*;

    #[test]
    fn a_room_of_another_tenant_does_not_exist() {
        let mut backend = small();
        let room = room_of(&mut backend, &["anna"]);
        let stranger = Caller { tenant: "other".into(), ..caller("anna", 9) };
        assert_eq!(backend.join(at(0), 0, &stranger, &room), Err(ApiError::ROOM_NOT_FOUND));
        assert_eq!(backend.join(at(0), 0, &caller("ben", 1), "no-uuid"), Err(ApiError::ROOM_NOT_FOUND));
    }

    #[test]
    fn who_is_not_in_a_room_can_neither_leave_it_nor_type_in_it() {
        let mut backend = small();
        let room = room_of(&mut backend, &["anna"]);
        assert_eq!(backend.leave(at(0), 0, &caller("ben", 1), &room), Err(ApiError::NOT_MEMBER));
        assert_eq!(backend.typing(at(0), 0, &caller("ben", 1), &room, true), Err(ApiError::NOT_MEMBER));
    }

    #[test]
    fn who_has_left_hears_nothing_more() {
        let mut backend = small();
        let room = room_of(&mut backend, &["anna", "ben"]);
        open(&mut backend, "ben", 1, 1);
        backend.leave(at(1), 0, &caller("ben", 1), &room).expect("a member");
        publish(&mut backend, "anna", &room, 0).expect("a member");
        assert!(pull(&mut backend, 1).is_empty());
    }

    #[test]
    fn an_archived_room_takes_neither_messages_nor_members() {
        let mut backend = small();
        let room = room_of(&mut backend, &["anna"]);
        backend.archive(at(0), 0, &caller("anna", 1), &room).expect("a member may");
        assert_eq!(backend.join(at(1), 0, &caller("ben", 1), &room), Err(ApiError::ROOM_FROZEN));
        assert_eq!(publish(&mut backend, "anna", &room, 0), Err(ApiError::ROOM_FROZEN));
    }

    #[test]
    fn typing_reaches_the_members_streams_and_takes_no_position() {
        let mut backend = small();
        let room = room_of(&mut backend, &["anna", "ben"]);
        let before = publish(&mut backend, "anna", &room, 0).expect("a member").position;
        open(&mut backend, "ben", 1, 1);
        backend.typing(at(1), 0, &caller("anna", 1), &room, true).expect("a member");
        assert!(matches!(pull(&mut backend, 1)[..], [ServerFrame::Typing { typing: true, .. }]));
        assert_eq!(publish(&mut backend, "anna", &room, 1).expect("a member").position, before + 1);
    }

    #[test]
    fn coming_and_going_takes_positions_that_no_page_shows() {
        let mut backend = small();
        let room = room_of(&mut backend, &["anna"]);
        let first = publish(&mut backend, "anna", &room, 0).expect("a member").position;
        backend.join(at(1), 0, &caller("ben", 1), &room).expect("open to the tenant");
        let second = publish(&mut backend, "anna", &room, 1).expect("a member").position;
        assert_eq!(second, first + 2);
        assert_eq!(positions(&page(&mut backend, "ben", 0, 10)), [first, second]);
    }
}
