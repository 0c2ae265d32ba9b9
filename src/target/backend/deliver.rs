//! Fan-out: what goes into whose queue, and what planted faults make of it on the way.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::profile::Delivery;
use crate::time::Timestamp;
use crate::wire::Position;

use super::super::affliction::{Held, HeldFrame, Until};
use super::super::connection::{ConnId, Pushed};
use super::super::event::Mark;
use super::super::faults::FaultIx;
use super::super::frame::{Outgoing, ServerFrame};
use super::super::line::{self, LogEvent};
use super::super::registry::{ParticipantIx, RoomIx};
use super::super::truth::{Deed, Hit};
use super::later::Task;
use super::publish::Stored;
use super::{Backend, Effect};

/// What is said about an event on its way to one client.
type Said = Option<(FaultIx, Delivery)>;

impl Backend {
    /// Brings an event to the streams of its room's members, and to their blocked sync requests.
    pub(super) fn deliver(&mut self, now: Timestamp, stored: &Stored) {
        self.deliver_as(now, stored, |_, _, _| Vec::new());
    }

    /// The same; what is written to a connection is also what `deeds` says, which is asked before it is written.
    pub(super) fn deliver_as(
        &mut self,
        now: Timestamp,
        stored: &Stored,
        deeds: impl Fn(&Self, ParticipantIx, ConnId) -> Vec<(FaultIx, Deed)>,
    ) {
        let frame = Outgoing::new(ServerFrame::Message(Arc::clone(&stored.event)));
        let hits = self.faults.on_event(stored.coordinates());
        for member in 0..self.registry.room(stored.room).members.len() {
            let member = self.registry.room(stored.room).members[member];
            let said = if hits.is_empty() { None } else { self.said(stored, member, &hits) };
            for conn in 0..self.registry.participant(member).connections.len() {
                let conn = self.registry.participant(member).connections[conn];
                let deeds = deeds(self, member, conn);
                self.push_message(now, conn, stored.room, &frame, said, &deeds);
            }
        }
        for fault in hits {
            self.leak(now, stored, &frame, fault);
        }
        self.wake_members(stored.room);
    }

    /// Answers the blocked sync requests of a room's members for whom there is something now.
    pub(super) fn wake_members(&mut self, room: RoomIx) {
        for member in 0..self.registry.room(room).members.len() {
            let member = self.registry.room(room).members[member];
            if !self.registry.participant(member).waiters.is_empty() {
                self.wake_waiters(member);
            }
        }
    }

    /// Puts one frame in the queues of all members' connections, on whatever pod they are.
    pub(super) fn fan_out(&mut self, now: Timestamp, room: RoomIx, frame: &Arc<Outgoing>) {
        for member in 0..self.registry.room(room).members.len() {
            let member = self.registry.room(room).members[member];
            for conn in 0..self.registry.participant(member).connections.len() {
                let conn = self.registry.participant(member).connections[conn];
                if !self.keeps_out(now, conn, frame) {
                    self.push(now, conn, frame);
                }
            }
        }
    }

    /// Whether something that is no message does not go into the queue now: nobody counts it.
    fn keeps_out(&mut self, now: Timestamp, conn: ConnId, frame: &Arc<Outgoing>) -> bool {
        let Some(connection) = self.connections.get_mut(&conn) else { return true };
        let Some(affliction) = &mut connection.affliction else { return false };
        let stands_still = affliction.held.as_mut().filter(|held| held.until == Until::Due);
        if let (None, Some(held)) = (affliction.deaf, stands_still) {
            held.frames.push_back(HeldFrame { frame: Arc::clone(frame), since: now, due: Timestamp::ZERO });
            return true;
        }
        affliction.deaf.is_some()
    }

    /// Puts a frame in a connection's queue, or drops and counts it; says whether it is in.
    pub(super) fn push(&mut self, now: Timestamp, conn: ConnId, frame: &Arc<Outgoing>) -> bool {
        let Some(connection) = self.connections.get_mut(&conn) else { return false };
        let stalled = connection.affliction.as_ref().and_then(|affliction| affliction.stalled);
        match connection.push(frame, self.config.send_queue) {
            Pushed::First if stalled.is_none() => self.effects.push_back(Effect::FramesReady(conn)),
            Pushed::First | Pushed::Behind => {}
            Pushed::Dropped { first } => {
                self.messages_dropped += 1;
                self.pods[connection.pod as usize].metrics.dropped();
                if first {
                    self.log_fanout_failed(now, conn, line::QUEUE_FULL);
                }
                if let Some(fault) = stalled {
                    self.did(conn, fault, Deed::FrameOmitted);
                }
                return false;
            }
        }
        true
    }

    /// A fault did this to what stands last in the connection's queue.
    pub(super) fn did(&mut self, conn: ConnId, fault: FaultIx, deed: Deed) {
        self.faults.truth_mut(fault).add(deed, 1);
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if let Some(forgotten) = connection.afflict().done(fault, deed) {
            self.faults.truth_mut(forgotten).unproved += 1;
        }
    }

    /// A connection should get an event, and does not.
    pub(super) fn omit(&mut self, now: Timestamp, conn: ConnId, fault: FaultIx) {
        let deaf = self.connections.get_mut(&conn).and_then(|connection| connection.affliction.as_mut());
        let deaf = deaf.and_then(|affliction| affliction.deaf.as_mut()).filter(|deaf| deaf.fault == fault);
        let (counts, logs) = deaf.map_or((true, false), |deaf| (deaf.counts, std::mem::take(&mut deaf.logs)));
        if counts {
            self.did(conn, fault, Deed::FrameOmitted);
        }
        if logs {
            self.log_fanout_failed(now, conn, line::NOT_FANNED_OUT);
        }
    }

    /// Time is up for frames that are held back.
    pub(super) fn release_due(&mut self, now: Timestamp, conn: ConnId) {
        let Some((fault, mut frames)) = self.take_held(conn, |until| until == Until::Due) else { return };
        while frames.front().is_some_and(|held| held.due <= now) {
            let Some(held) = frames.pop_front() else { return };
            if self.push(now, conn, &held.frame) {
                self.did(conn, fault, Deed::FrameDelayed);
                self.faults.truth_mut(fault).delayed(now.since(held.since));
            }
        }
        if let (Some(next), Some(connection)) = (frames.front(), self.connections.get_mut(&conn)) {
            self.later.at(next.due, Task::Release(conn));
            connection.afflict().held = Some(Held { fault, until: Until::Due, frames });
        }
    }

    /// What is said about an event on its way to this member; what it says about the store is carried out.
    fn said(&mut self, stored: &Stored, member: ParticipantIx, hits: &[FaultIx]) -> Said {
        let at = stored.coordinates()?;
        let retained = self.config.retention;
        let mut said = None;
        for &fault in hits {
            let participant = self.registry.participant_mut(member);
            let Some(verb) = self.faults.on_deliver(fault, at, participant.number) else { continue };
            let hidden = verb == Delivery::Lose { store: true };
            if hidden {
                participant.hide(stored.position, retained);
                self.faults.truth_mut(fault).add(Deed::EventHidden, 1);
            }
            if verb == Delivery::HideFromSync {
                participant.hide_from_sync(stored.position, fault, retained);
            } else {
                said = said.or(Some((fault, verb)));
            }
            let hit = Hit {
                username: participant.username.to_string(),
                room: at.0,
                n: at.1,
                room_id: stored.event.room,
                event_id: stored.event.id,
                position: stored.event.position,
                hidden,
                connections: participant.connections.len() as u32,
            };
            self.faults.truth_mut(fault).hit(hit);
        }
        said
    }

    /// Brings an event to somebody who should not get it.
    fn leak(&mut self, now: Timestamp, stored: &Stored, frame: &Arc<Outgoing>, fault: FaultIx) {
        let Some(at) = stored.coordinates() else { return };
        let to = self.faults.on_delivered(fault, at).and_then(|to| self.registry.client(to));
        let Some(to) = to.filter(|to| !self.registry.room(stored.room).members.contains(to)) else { return };
        for conn in self.registry.participant(to).connections.clone() {
            if !self.keeps_out(now, conn, frame) && self.push(now, conn, frame) {
                self.did(conn, fault, Deed::FrameLeaked);
            }
        }
    }

    fn push_message(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        room: RoomIx,
        frame: &Arc<Outgoing>,
        said: Said,
        deeds: &[(FaultIx, Deed)],
    ) {
        let Some(connection) = self.connections.get(&conn) else { return };
        if connection.affliction.is_none() && said.is_none() && deeds.is_empty() {
            // Nearly always.
            self.push(now, conn, frame);
            return;
        }
        match (connection.deaf(), said) {
            (Some(deaf), _) => return self.omit(now, conn, deaf.fault),
            (None, Some((fault, Delivery::Lose { .. }))) => return self.omit(now, conn, fault),
            _ => {}
        }
        if self.hold(now, conn, room, frame, said) {
            return;
        }
        if self.push(now, conn, frame) {
            for &(fault, deed) in deeds {
                self.did(conn, fault, deed);
            }
        }
        if let Some((fault, Delivery::Twice)) = said
            && self.push(now, conn, frame)
        {
            self.did(conn, fault, Deed::FrameTwice);
        }
        self.release_passed(now, conn, room, frame);
    }

    /// Holds a frame back where a fault says so, or where it has to wait behind others that are; says whether.
    fn hold(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        room: RoomIx,
        frame: &Arc<Outgoing>,
        said: Said,
    ) -> bool {
        let Some(connection) = self.connections.get_mut(&conn) else { return false };
        let due = match said {
            Some((_, Delivery::Late(by))) => now + by,
            _ => Timestamp::ZERO,
        };
        let mut held_frame = HeldFrame { frame: Arc::clone(frame), since: now, due };
        if let Some(held) = connection.affliction.as_mut().and_then(|affliction| affliction.held.as_mut()) {
            let own = said.is_some_and(|(fault, _)| fault == held.fault);
            let stays = match held.until {
                Until::NextOf(of) => own && room == of,
                Until::NextBeside(of) => room == of,
                Until::Due => true,
            };
            if stays {
                held_frame.due = if own { due } else { Timestamp::ZERO };
                held.frames.push_back(held_frame);
            }
            return stays;
        }
        let Some((fault, verb)) = said else { return false };
        let until = match verb {
            Delivery::BehindRoom => Until::NextOf(room),
            Delivery::BehindOthers => Until::NextBeside(room),
            Delivery::Late(_) => Until::Due,
            Delivery::Lose { .. } | Delivery::Twice | Delivery::Leak { .. } | Delivery::HideFromSync => {
                return false;
            }
        };
        let frames = VecDeque::from([held_frame]);
        connection.afflict().held = Some(Held { fault, until, frames });
        if until == Until::Due {
            self.later.at(due, Task::Release(conn));
        }
        true
    }

    /// A frame of this room has gone: what waited for it goes behind it.
    fn release_passed(&mut self, now: Timestamp, conn: ConnId, room: RoomIx, passed: &Outgoing) {
        let goes = |until| match until {
            Until::NextOf(of) => room == of,
            Until::NextBeside(of) => room != of,
            Until::Due => false,
        };
        let Some(connection) = self.connections.get(&conn) else { return };
        let held = connection.affliction.as_ref().and_then(|affliction| affliction.held.as_ref());
        let Some(until) = held.map(|held| held.until).filter(|&until| goes(until)) else { return };
        let Some((fault, frames)) = self.take_held(conn, goes) else { return };
        // Markers and fences are no events of the plan: nothing is behind them.
        let of_plan = |frame: &Outgoing| {
            matches!(frame.frame(), ServerFrame::Message(event)
                if event.content.mark().and_then(Mark::coordinates).is_some())
        };
        let counts = of_plan(passed);
        let deed =
            if matches!(until, Until::NextOf(_)) { Deed::FrameBehindRoom } else { Deed::FrameBehindOthers };
        for held in frames {
            if self.push(now, conn, &held.frame) && counts && of_plan(&held.frame) {
                self.did(conn, fault, deed);
            }
        }
    }

    fn take_held(
        &mut self,
        conn: ConnId,
        goes: impl Fn(Until) -> bool,
    ) -> Option<(FaultIx, VecDeque<HeldFrame>)> {
        let affliction = self.connections.get_mut(&conn)?.affliction.as_mut()?;
        let held = affliction.held.take_if(|held| goes(held.until))?;
        Some((held.fault, held.frames))
    }

    /// One line for each time that a queue fills up, or that a connection is found to be left out, however many
    /// frames it then misses.
    fn log_fanout_failed(&mut self, now: Timestamp, conn: ConnId, reason: &'static str) {
        self.fanout_failed += 1;
        if let Some(connection) = self.connections.remove(&conn) {
            self.log(now, LogEvent::FanoutFailed, &connection, Some(reason));
            self.connections.insert(conn, connection);
        }
    }

    /// What is written below a cursor that its reader had, or behind a later one of its room.
    pub(super) fn out_of_place(
        &self,
        (member, conn): (ParticipantIx, ConnId),
        shown: Position,
        room_high: Position,
        fault: FaultIx,
    ) -> Vec<(FaultIx, Deed)> {
        let Some(connection) = self.connections.get(&conn) else { return Vec::new() };
        let below = self.registry.participant(member).cursor >= shown;
        let behind = room_high > shown && room_high > connection.since;
        let deeds = [(below, Deed::FrameBelowCursor), (behind, Deed::FrameBehindRoom)];
        deeds.into_iter().filter(|(came, _)| *came).map(|(_, deed)| (fault, deed)).collect()
    }
}
