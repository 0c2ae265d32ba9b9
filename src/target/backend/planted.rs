//! What planted faults make of publishes, of streams and of `/metrics`; and, in its own file, of sync requests.

mod sync;

use std::borrow::Cow;
use std::sync::Arc;

use uuid::Uuid;

use crate::profile::{How, Metrics, Publish, Stream};
use crate::time::Timestamp;

use super::super::affliction::Deaf;
use super::super::connection::ConnId;
use super::super::error::ApiError;
use super::super::faults::FaultIx;
use super::super::frame::{Outgoing, ServerFrame};
use super::super::line;
use super::super::planted::PlantedKind;
use super::super::truth::{Deed, Hit};
use super::later::Task;
use super::publish::{Created, Draft, Stored};
use super::{Backend, Effect};

/// How a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    /// Hello comes now.
    pub(super) greeted: bool,
    /// With this tenant instead of its own.
    pub(super) tenant: Option<Uuid>,
}

impl Backend {
    /// A publish that a fault has something to say about; it may be published in every other respect.
    pub(super) fn send_oddly(
        &mut self,
        now: Timestamp,
        draft: Draft,
        fault: FaultIx,
        verb: Publish,
    ) -> Result<Created, ApiError> {
        let username = self.registry.participant(draft.who).username.to_string();
        let (deed, stored) = match verb {
            Publish::DeliverRejected { store } => {
                // Without its event_uuid: a repeat would be answered with what this one was refused.
                let draft = Draft { event_uuid: None, ..draft };
                let stored = if store { self.store(now, draft) } else { self.set_aside(now, draft) };
                self.deliver_as(now, &stored, |_, _, _| vec![(fault, Deed::FrameUnexpected)]);
                (Deed::PublishUnexpected, stored)
            }
            Publish::Forget => {
                let stored = self.set_aside(now, draft);
                for member in self.registry.room(stored.room).members.clone() {
                    for conn in self.registry.participant(member).connections.clone() {
                        self.omit(now, conn, fault);
                    }
                }
                (Deed::PublishForgotten, stored)
            }
            Publish::NoAnswer => {
                let stored = self.store(now, draft);
                self.deliver(now, &stored);
                (Deed::PublishUnanswered, stored)
            }
            Publish::Twice => {
                let again = Draft { content: draft.content.twin(), event_uuid: None, ..draft };
                let stored = self.store(now, draft);
                self.deliver(now, &stored);
                let copy = self.store(now, again);
                self.deliver(now, &copy);
                (Deed::PublishTwice, stored)
            }
            Publish::CommitLate(by) => {
                let stored = self.set_aside(now, draft);
                self.later.at(now + by, Task::Commit(stored.clone(), fault));
                (Deed::PublishLate, stored)
            }
            Publish::Renumber { back } => {
                let room_high = self.registry.room(draft.room).high;
                let stored =
                    self.store_as(now, draft, |position| position.saturating_sub(u64::from(back)).max(1));
                let shown = stored.event.position;
                self.deliver_as(now, &stored, |backend, member, conn| {
                    backend.out_of_place((member, conn), shown, room_high, fault)
                });
                (Deed::PublishRenumbered, stored)
            }
        };
        let truth = self.faults.truth_mut(fault);
        truth.add(deed, 1);
        if let Some((room, n)) = stored.coordinates() {
            truth.hit(Hit {
                username,
                room,
                n,
                room_id: stored.event.room,
                event_id: stored.event.id,
                position: stored.event.position,
                hidden: verb == Publish::Forget,
                connections: 0,
            });
        }
        match verb {
            Publish::DeliverRejected { .. } => Err(ApiError::RATE_LIMITED),
            Publish::NoAnswer => Err(ApiError::NO_ANSWER),
            Publish::Forget | Publish::Twice | Publish::CommitLate(_) | Publish::Renumber { .. } => {
                Ok(stored.created())
            }
        }
    }

    /// An event that has its position, and is nowhere.
    fn set_aside(&mut self, now: Timestamp, draft: Draft) -> Stored {
        let tenant = self.registry.room(draft.room).tenant;
        let position = self.registry.tenant(tenant).log.next();
        let forgotten = self.registry.tenant_mut(tenant).log.skip();
        self.forget(forgotten);
        self.event(now, draft, position, position)
    }

    /// An event that was set aside becomes visible.
    pub(super) fn commit(&mut self, now: Timestamp, stored: Stored, fault: FaultIx) {
        let Stored { event, room, position } = &stored;
        let shape = self.registry.room_mut(*room);
        let (tenant, room_high) = (shape.tenant, shape.high);
        if !self.registry.tenant_mut(tenant).log.fill(*position, Arc::clone(event)) {
            return;
        }
        let shape = self.registry.room_mut(*room);
        let at = shape.positions.partition_point(|other| other < position);
        shape.positions.insert(at, *position);
        shape.high = shape.high.max(*position);
        if let Some(uuid) = event.event_uuid {
            shape.published.insert(uuid, *position);
        }
        let (shown, position) = (event.position, *position);
        let retained = self.config.retention as usize;
        for member in self.registry.room(*room).members.clone() {
            let person = self.registry.participant_mut(member);
            if person.connections.is_empty() && person.late_commits.len() < retained {
                person.late_commits.push((position, fault));
            }
        }
        self.deliver_as(now, &stored, |backend, member, conn| {
            backend.out_of_place((member, conn), shown, room_high, fault)
        });
    }

    /// What is said about a stream that has just been opened.
    pub(super) fn afflict_new(&mut self, now: Timestamp, conn: ConnId, client: Option<u32>) -> Opening {
        let mut opening = Opening { greeted: true, tenant: None };
        for (fault, verb) in self.faults.on_open(client) {
            let truth = self.faults.truth_mut(fault);
            match verb {
                Stream::WrongTenant => {
                    truth.add(Deed::HelloWrong, 1);
                    opening.tenant = Some(self.ids.of_tenant("somebody else's"));
                }
                Stream::NoHello => {
                    truth.add(Deed::HelloWithheld, 1);
                    opening.greeted = false;
                    self.deafen(conn, Deaf { fault, lasts: false, counts: false, logs: false });
                }
                Stream::LateHello(by) => {
                    truth.add(Deed::HelloLate, 1);
                    opening.greeted = false;
                    self.deafen(conn, Deaf { fault, lasts: false, counts: true, logs: false });
                    self.later.at(now + by, Task::Greet(conn, fault));
                }
                Stream::EarlyHello(by) => {
                    truth.add(Deed::HelloEarly, 1);
                    self.deafen(conn, Deaf { fault, lasts: false, counts: true, logs: false });
                    self.later.at(now + by, Task::Hear(conn, fault));
                }
                Stream::Deaf | Stream::Stall | Stream::NoPings => self.afflict(conn, fault, &verb),
                // These are over as soon as they have begun.
                Stream::Close { .. } | Stream::Drop(_) | Stream::Strange(_) => {}
            }
        }
        opening
    }

    /// A fault begins: what it does to the streams that are open.
    pub(super) fn afflict_streams(&mut self, now: Timestamp, fault: FaultIx) {
        let PlantedKind::Stream { verb, .. } = self.faults.fault(fault).kind.clone() else { return };
        for conn in self.streams_hit(fault) {
            match &verb {
                Stream::Close { code, reason } => {
                    self.faults.truth_mut(fault).add(Deed::ConnectionClosed, 1);
                    self.remove(now, conn, Some(line::PLANTED));
                    let reason = Cow::Owned(reason.clone());
                    self.effects.push_back(Effect::Close { conn, code: *code, reason });
                }
                Stream::Drop(how) => {
                    self.faults.truth_mut(fault).add(Deed::ConnectionDropped, 1);
                    self.remove(now, conn, None);
                    match how {
                        // Its socket stays open, and nobody writes to it or listens to it any more.
                        How::Silent => {}
                        How::Reset => self.effects.push_back(Effect::Reset(conn)),
                        How::Fin => self.effects.push_back(Effect::Fin(conn)),
                    }
                }
                Stream::Strange(frame) => {
                    if self.push(now, conn, &Outgoing::new(ServerFrame::Strange(*frame))) {
                        self.did(conn, fault, Deed::FrameStrange);
                    }
                }
                Stream::Deaf | Stream::Stall | Stream::NoPings => self.afflict(conn, fault, &verb),
                // These are said to streams that are about to open.
                Stream::WrongTenant | Stream::NoHello | Stream::LateHello(_) | Stream::EarlyHello(_) => {}
            }
        }
        if matches!(verb, Stream::Close { .. } | Stream::Drop(_) | Stream::Strange(_)) {
            self.faults.end(now, fault);
        }
    }

    /// It ends: what lasts on open streams is over.
    pub(super) fn heal_streams(&mut self, fault: FaultIx) {
        if !matches!(self.faults.fault(fault).kind, PlantedKind::Stream { .. }) {
            return;
        }
        for conn in self.streams_hit(fault) {
            let Some(connection) = self.connections.get_mut(&conn) else { continue };
            let Some(affliction) = &mut connection.affliction else { continue };
            affliction.unpinged.take_if(|own| *own == fault);
            // A connection that was never said hello to, or not yet, is let to hear by its hello.
            affliction.deaf.take_if(|deaf| deaf.fault == fault && deaf.lasts);
            if affliction.stalled.take_if(|own| *own == fault).is_some() && !connection.is_empty() {
                self.effects.push_back(Effect::FramesReady(conn));
            }
        }
    }

    /// A fault of `/metrics` begins.
    pub(super) fn afflict_metrics(&mut self, fault: FaultIx) {
        let PlantedKind::Metrics { pod, verb: Metrics::Reset } = self.faults.fault(fault).kind else {
            return;
        };
        for (number, state) in (0..).zip(&mut self.pods) {
            if pod.is_none_or(|own| own == number) {
                state.metrics.forget_dropped();
            }
        }
    }

    /// `GET /metrics` of a pod; `None` while it is dead, or has none.
    pub fn metrics_text(&mut self, pod: u32) -> Option<String> {
        let metrics = &self.pods.get(pod as usize).filter(|_| self.pod_is_up(pod))?.metrics;
        let Some((fault, verb)) = self.faults.on_scrape(pod) else { return Some(metrics.text(0)) };
        let text = match verb {
            Metrics::Absent => None,
            Metrics::Missing => Some(metrics.text_without_dropped()),
            Metrics::Wrong { more } => Some(metrics.text(u64::from(more))),
            Metrics::Reset => Some(metrics.text(0)),
            // It says what is, as far as it knows.
            Metrics::Leak => return Some(metrics.text(0)),
        };
        self.faults.truth_mut(fault).add(Deed::ScrapeAltered, 1);
        text
    }

    fn afflict(&mut self, conn: ConnId, fault: FaultIx, verb: &Stream) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        match verb {
            Stream::Deaf => self.deafen(conn, Deaf { fault, lasts: true, counts: true, logs: true }),
            Stream::Stall => connection.afflict().stalled = Some(fault),
            Stream::NoPings => connection.afflict().unpinged = Some(fault),
            _ => {}
        }
    }

    fn deafen(&mut self, conn: ConnId, deaf: Deaf) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.afflict().deaf = Some(deaf);
        }
    }

    /// The open streams of those whom the fault hits, by their numbers.
    fn streams_hit(&self, fault: FaultIx) -> Vec<ConnId> {
        let people = self.registry.clients().map(|client| self.registry.participant(client));
        let hit = people.filter(|person| self.faults.hits(fault, person.number));
        hit.flat_map(|person| person.connections.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests;
