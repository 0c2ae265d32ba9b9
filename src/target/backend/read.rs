//! Reading what is stored: sync, with its long poll, and room history.

use std::collections::vec_deque::Iter;
use std::iter::Peekable;
use std::sync::Arc;

use crate::time::Timestamp;
use crate::wire::Position;

use super::super::caller::Caller;
use super::super::error::ApiError;
use super::super::event::Event;
use super::super::page::{
    Direction, HistoryPage, HistoryQuery, Page, SyncQuery, SyncReply, Waiter, WaiterId,
};
use super::super::registry::{Membership, Participant, ParticipantIx};
use super::super::truth::Deed;
use super::later::{LateAnswer, Task};
use super::{Backend, Effect};

impl Backend {
    /// `GET /v1/sync`. A request that finds nothing and may wait is answered later, under its `waiter`.
    ///
    /// A `since` older than what is retained is answered from the oldest event (ours: no error is documented).
    ///
    /// # Errors
    /// A refused token.
    pub fn sync(
        &mut self,
        now: Timestamp,
        pod: u32,
        waiter: WaiterId,
        caller: &Caller,
        query: SyncQuery,
    ) -> Result<SyncReply, ApiError> {
        let participant = self.admit(now, pod, caller)?;
        self.make_session(participant, pod);
        let limit = query.limit.clamp(1, SyncQuery::LIMIT_MAX);
        let late = self.refuse_sync(participant, query.since)?;
        self.reopen_seam(participant, query.since);
        let page = self.answer(participant, query.since, limit);
        if let Some((fault, by)) = late {
            self.faults.truth_mut(fault).add(Deed::AnswerLate, 1);
            self.later.at(now + by, Task::Answer(waiter));
            self.pods[pod as usize].waiters.insert(waiter);
            self.late_answers.insert(waiter, LateAnswer { pod, page });
            return Ok(SyncReply::Waiting);
        }
        if !page.events.is_empty() || query.timeout.is_zero() {
            return Ok(SyncReply::Page(page));
        }
        let deadline = now + query.timeout.min(SyncQuery::TIMEOUT_MAX);
        let waiting = Waiter { pod, participant, since: query.since, limit, deadline };
        self.waiters.insert(waiter, waiting);
        self.deadlines.insert((deadline, waiter));
        self.pods[pod as usize].waiters.insert(waiter);
        self.registry.participant_mut(participant).waiters.push(waiter);
        Ok(SyncReply::Waiting)
    }

    /// Who asked for this blocked request is gone.
    pub fn abandon(&mut self, waiter: WaiterId) {
        self.end_wait(waiter);
    }

    /// `GET /v1/rooms/{room_id}/messages`
    ///
    /// # Errors
    /// A refused token, no such room in the caller's tenant, or the caller was never in it.
    pub fn history(
        &mut self,
        now: Timestamp,
        pod: u32,
        caller: &Caller,
        room_id: &str,
        query: HistoryQuery,
    ) -> Result<HistoryPage, ApiError> {
        let who = self.admit(now, pod, caller)?;
        let room = self.find_room(who, room_id)?;
        let participant = self.registry.participant(who);
        let membership = participant.membership(room).ok_or(ApiError::NOT_MEMBER)?;
        let positions = &self.registry.room(room).positions;
        let visible = |&position: &Position| participant.sees(membership, position);
        let limit = query.limit.clamp(1, HistoryQuery::LIMIT_MAX) as usize;
        let mut page: Vec<Position> = match query.direction {
            Direction::Forward => {
                let from = query.from.unwrap_or(0);
                let first = positions.partition_point(|&position| position <= from);
                positions.range(first..).copied().filter(visible).take(limit + 1).collect()
            }
            Direction::Back => {
                let from = query.from.unwrap_or(Position::MAX);
                let end = positions.partition_point(|&position| position < from);
                positions.range(..end).rev().copied().filter(visible).take(limit + 1).collect()
            }
        };
        let has_more = page.len() > limit;
        page.truncate(limit);
        let next_cursor = page.last().copied().filter(|_| has_more);
        Ok(HistoryPage { events: self.events_at(participant, &page), next_cursor, has_more })
    }

    /// Answers those of a participant's blocked requests for which there is something now.
    pub(super) fn wake_waiters(&mut self, who: ParticipantIx) {
        for waiter in self.registry.participant(who).waiters.clone() {
            let Some(Waiter { participant, since, limit, .. }) = self.waiters.get(&waiter).copied() else {
                continue;
            };
            if !self.page(participant, since, limit).events.is_empty() {
                let page = self.answer(participant, since, limit);
                self.end_wait(waiter);
                self.effects.push_back(Effect::SyncReady { waiter, page });
            }
        }
    }

    /// Answers the blocked requests that waited long enough, with nothing.
    pub(super) fn expire_waiters(&mut self, now: Timestamp) {
        while let Some(&(deadline, waiter)) = self.deadlines.first() {
            if deadline > now {
                break;
            }
            self.deadlines.pop_first();
            if let Some(Waiter { participant, since, limit, .. }) = self.end_wait(waiter) {
                let page = self.answer(participant, since, limit);
                self.effects.push_back(Effect::SyncReady { waiter, page });
            }
        }
    }

    pub(super) fn end_wait(&mut self, id: WaiterId) -> Option<Waiter> {
        if let Some(late) = self.late_answers.remove(&id) {
            self.pods[late.pod as usize].waiters.remove(&id);
        }
        let waiter = self.waiters.remove(&id)?;
        self.deadlines.remove(&(waiter.deadline, id));
        self.pods[waiter.pod as usize].waiters.remove(&id);
        self.registry.participant_mut(waiter.participant).waiters.retain(|&own| own != id);
        Some(waiter)
    }

    pub(super) fn page(&self, who: ParticipantIx, since: Position, limit: u32) -> Page {
        let participant = self.registry.participant(who);
        let limit = limit as usize;
        let mut positions: Vec<Position> = self.visible_after(participant, since).take(limit + 1).collect();
        let has_more = positions.len() > limit;
        positions.truncate(limit);
        let next_cursor = positions.last().copied().unwrap_or(since);
        Page { events: self.events_at(participant, &positions), next_cursor, has_more }
    }

    /// The positions above `since` that a participant may see, ascending: its rooms, merged. The cost is that
    /// of its own rooms, however much happens in others.
    pub(super) fn visible_after<'a>(&'a self, participant: &'a Participant, since: Position) -> Merged<'a> {
        let rooms = participant.memberships.iter().map(|membership| {
            let positions = &self.registry.room(membership.room).positions;
            let first = positions.partition_point(|&position| position <= since);
            (membership, positions.range(first..).peekable())
        });
        Merged { participant, rooms: rooms.collect() }
    }

    pub(super) fn events_at(&self, participant: &Participant, positions: &[Position]) -> Vec<Arc<Event>> {
        let log = &self.registry.tenant(participant.tenant).log;
        positions.iter().filter_map(|&position| log.get(position).cloned()).collect()
    }
}

/// The positions of several rooms as one ascending sequence.
pub(super) struct Merged<'a> {
    participant: &'a Participant,
    rooms: Vec<(&'a Membership, Peekable<Iter<'a, Position>>)>,
}

impl Iterator for Merged<'_> {
    type Item = Position;

    fn next(&mut self) -> Option<Position> {
        loop {
            let heads = self.rooms.iter_mut().filter_map(|(membership, rest)| {
                let head = **rest.peek()?;
                Some((head, *membership, rest))
            });
            let (position, membership, rest) = heads.min_by_key(|&(head, ..)| head)?;
            rest.next();
            if self.participant.sees_in_sync(membership, position) {
                return Some(position);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::config::Config;
    use super::super::super::registry::RoomIx;
    use super::super::tests_support::*;
    use super::*;

    #[test]
    fn sync_pages_by_exclusive_cursors_until_there_is_no_more() {
        let mut backend = small();
        let one = room_of(&mut backend, &["anna", "ben"]);
        let two = room_of(&mut backend, &["anna", "ben"]);
        let foreign = room_of(&mut backend, &["carl"]);
        let sent: Vec<Position> = (0..7)
            .map(|n| {
                publish(&mut backend, "carl", &foreign, n).expect("a member");
                publish(&mut backend, "anna", [&one, &two][n as usize % 2], n).expect("a member").position
            })
            .collect();
        let first = page(&mut backend, "ben", 0, 3);
        assert_eq!(
            (positions(&first), first.next_cursor, first.has_more),
            (sent[..3].to_vec(), sent[2], true)
        );
        let second = page(&mut backend, "ben", first.next_cursor, 4);
        assert_eq!(
            (positions(&second), second.next_cursor, second.has_more),
            (sent[3..].to_vec(), sent[6], false)
        );
        let third = page(&mut backend, "ben", second.next_cursor, 4);
        assert!(third.events.is_empty());
        assert_eq!((third.next_cursor, third.has_more), (sent[6], false), "since itself when empty");
        let beyond = page(&mut backend, "ben", 1_000_000, 4);
        assert_eq!((beyond.events.len(), beyond.next_cursor), (0, 1_000_000));
    }

    #[test]
    fn a_limit_above_the_maximum_counts_as_the_maximum() {
        let mut backend = small();
        let room = room_of(&mut backend, &["anna"]);
        for n in 0..510 {
            publish(&mut backend, "anna", &room, n).expect("a member");
        }
        assert_eq!(page(&mut backend, "anna", 0, 9999).events.len(), 500);
        let query = HistoryQuery { limit: 9999, ..HistoryQuery::default() };
        assert_eq!(history(&mut backend, "anna", &room, query).expect("a member").events.len(), 200);
    }

    #[test]
    fn a_room_that_was_left_stays_visible_up_to_the_leave() {
        let mut backend = small();
        let room = room_of(&mut backend, &["anna", "ben"]);
        let seen = publish(&mut backend, "anna", &room, 0).expect("a member").position;
        backend.leave(at(1), 0, &caller("ben", 1), &room).expect("a member");
        let later = publish(&mut backend, "anna", &room, 1).expect("a member").position;
        assert_eq!(positions(&page(&mut backend, "ben", 0, 10)), [seen]);
        let of_room = history(&mut backend, "ben", &room, HistoryQuery::default()).expect("it was a member");
        assert_eq!(of_room.events.len(), 1);
        backend.join(at(2), 0, &caller("ben", 1), &room).expect("open to the tenant");
        assert_eq!(positions(&page(&mut backend, "ben", 0, 10)), [seen, later]);
    }

    #[test]
    fn a_long_poll_is_answered_by_the_next_event_of_its_rooms() {
        let mut backend = small();
        let room = room_of(&mut backend, &["anna", "ben"]);
        let other = room_of(&mut backend, &["anna"]);
        let since = publish(&mut backend, "anna", &room, 0).expect("a member").position;
        wait(&mut backend, "ben", 1, since, Duration::from_secs(30));
        publish(&mut backend, "anna", &other, 0).expect("a member");
        assert!(ready(&mut backend).is_empty(), "an event of another room wakes nobody");
        let sent = publish(&mut backend, "anna", &room, 1).expect("a member").position;
        let answers = ready(&mut backend);
        assert_eq!(answers.len(), 1);
        assert_eq!((answers[0].0, positions(&answers[0].1)), (WaiterId(1), vec![sent]));
        backend.tick(at(1000));
        assert!(ready(&mut backend).is_empty(), "answered once");
        assert!(nobody_waits(&backend, "ben"));
    }

    #[test]
    fn a_long_poll_that_nothing_answers_ends_at_its_timeout_with_since_as_its_cursor() {
        let mut backend = small();
        let room = room_of(&mut backend, &["ben"]);
        let since = publish(&mut backend, "ben", &room, 0).expect("a member").position;
        wait(&mut backend, "ben", 1, since, Duration::from_secs(30));
        assert_eq!(backend.next_wake(), Some(at(30)));
        backend.tick(Timestamp::from_millis(29_999));
        assert!(ready(&mut backend).is_empty());
        backend.tick(at(30));
        let answers = ready(&mut backend);
        assert_eq!((answers[0].1.events.len(), answers[0].1.next_cursor), (0, since));
        assert_eq!(backend.next_wake(), None);
        assert!(nobody_waits(&backend, "ben"));
    }

    #[test]
    fn an_abandoned_poll_is_never_answered() {
        let mut backend = small();
        let room = room_of(&mut backend, &["ben"]);
        wait(&mut backend, "ben", 1, 5, Duration::from_secs(30));
        backend.abandon(WaiterId(1));
        for n in 0..9 {
            publish(&mut backend, "ben", &room, n).expect("a member");
        }
        backend.tick(at(60));
        assert!(ready(&mut backend).is_empty());
        assert!(nobody_waits(&backend, "ben"));
    }

    #[test]
    fn history_goes_both_ways_with_exclusive_cursors() {
        let mut backend = small();
        let room = room_of(&mut backend, &["anna"]);
        let sent: Vec<Position> =
            (0..5).map(|n| publish(&mut backend, "anna", &room, n).expect("a member").position).collect();
        let mut ask = |from, direction| {
            let query = HistoryQuery { from, limit: 3, direction };
            let page = history(&mut backend, "anna", &room, query).expect("a member");
            let positions: Vec<Position> = page.events.iter().map(|event| event.position).collect();
            (positions, page.next_cursor, page.has_more)
        };
        assert_eq!(ask(None, Direction::Back), (vec![sent[4], sent[3], sent[2]], Some(sent[2]), true));
        assert_eq!(ask(Some(sent[2]), Direction::Back), (vec![sent[1], sent[0]], None, false));
        assert_eq!(ask(None, Direction::Forward), (sent[..3].to_vec(), Some(sent[2]), true));
        assert_eq!(ask(Some(sent[1]), Direction::Forward), (sent[2..].to_vec(), None, false));
    }

    #[test]
    fn history_is_for_those_who_were_in_the_room() {
        let mut backend = small();
        let room = room_of(&mut backend, &["anna"]);
        let refused = history(&mut backend, "ben", &room, HistoryQuery::default());
        assert_eq!(refused.expect_err("never in it"), ApiError::NOT_MEMBER);
    }

    #[test]
    fn what_is_beyond_retention_is_gone_from_sync_history_and_idempotency() {
        let mut backend = Backend::new(&Config { retention: 4, ..Config::small() });
        let room = room_of(&mut backend, &["anna"]);
        let send = |backend: &mut Backend, n: u32| {
            let uuid = Some(uuid::Uuid::from_u128(u128::from(n)));
            backend.send(at(0), 0, &caller("anna", 1), &room, content(0, n), uuid).expect("a member").position
        };
        let sent: Vec<Position> = (0..9).map(|n| send(&mut backend, n)).collect();
        assert_eq!(positions(&page(&mut backend, "anna", 0, 100)), sent[5..]);
        assert_eq!(positions(&page(&mut backend, "anna", 0, 2)), sent[5..7], "forgotten ones fill no page");
        let of_room = history(&mut backend, "anna", &room, HistoryQuery::default()).expect("a member");
        assert_eq!(of_room.events.len(), 4);
        assert_eq!(send(&mut backend, 8), sent[8], "still known");
        assert_eq!(send(&mut backend, 0), sent[8] + 1, "known no more");
        let of_room = backend.registry.room(RoomIx(0));
        assert_eq!(
            (of_room.positions.len(), of_room.published.len()),
            (4, 4),
            "nothing is kept of the others"
        );
    }
}
