//! The end of a run: every publish reaches an outcome, everyone gets a last chance, and the books are closed.
//!
//! The generator stops; faults end; clients that are down go on with their pattern and live ones are left alone (an
//! extra sync would turn misses into bridged). The lateness bound passes; one fence message per room gives every
//! connection its later frame; the lateness bound passes again; a connection with open gaps that no fence reached is
//! waited for until its next frame or its watchdog. Then the spans end, and the audit looks up what was missed. All
//! of it within `drain.deadline`.

use std::time::Duration;

use super::{Command, Conductor, publisher};
use crate::generator::Ended;
use crate::profile::TrafficMode;
use crate::time::Timestamp;

/// How far the drain has come.
#[derive(Debug, Default)]
pub(super) struct Drain {
    step: Step,
    began: Option<Timestamp>,
    deadline: Option<Timestamp>,
    /// The latest end of a publish, fences included.
    last_end: Timestamp,
    /// The latest end of a publish before the fences.
    events_ended: Timestamp,
    /// A person or a stop wants it short.
    hurried: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    /// The phases go on.
    #[default]
    Before,
    /// Publishes reach their outcomes, and the lateness bound passes.
    Settling,
    /// Fences are on their way, and the lateness bound passes.
    Fencing,
    /// Clients that are down, and connections that prove nothing yet, are waited for.
    Waiting,
    /// A run that only listens reads the rooms' histories once more; any other has nothing to do here.
    Surveying,
    /// The spans have ended; the audit goes on.
    Auditing,
    /// Over.
    Finished,
}

/// A drain that is cut short takes no longer than this (ours).
const SHORT: Duration = Duration::from_secs(10);

impl Drain {
    pub(super) fn began(&self) -> Option<Timestamp> {
        self.began
    }

    pub(super) fn is_finished(&self) -> bool {
        self.step == Step::Finished
    }

    pub(super) fn books_are_closed(&self) -> bool {
        matches!(self.step, Step::Auditing | Step::Finished)
    }

    pub(super) fn name(&self) -> Option<&'static str> {
        match self.step {
            Step::Before => None,
            Step::Auditing | Step::Finished => Some("audit"),
            _ => Some("drain"),
        }
    }

    pub(super) fn publish_ended(&mut self, now: Timestamp, _ended: &Ended) {
        self.last_end = now;
    }

    /// The rest of the run is to be short.
    pub(super) fn hurry(&mut self, now: Timestamp) {
        self.hurried = true;
        let short = now + SHORT;
        self.deadline = Some(self.deadline.map_or(short, |deadline| deadline.min(short)));
    }
}

impl Conductor {
    pub(super) fn play_drain(&mut self, now: Timestamp, at: Duration) {
        loop {
            let before = self.drain.step;
            self.drain_step(now, at);
            if self.drain.step == before {
                return;
            }
        }
    }

    fn drain_step(&mut self, now: Timestamp, at: Duration) {
        let overdue = self.drain.deadline.is_some_and(|deadline| now >= deadline);
        let idle = self.publishing.is_idle() && self.sync_load.is_idle();
        let settled = idle && self.drain.last_end + self.profile.client.lateness_bound < now;
        match self.drain.step {
            Step::Before => {
                if at >= self.plan.timeline.end() || self.drain.hurried {
                    self.begin_drain(now);
                }
            }
            Step::Settling => {
                if overdue {
                    self.close_books(now);
                } else if settled && self.queue.is_over(&self.plan) {
                    self.send_fences(now);
                }
            }
            Step::Fencing => {
                if overdue {
                    self.close_books(now);
                } else if settled {
                    self.drain.step = Step::Waiting;
                }
            }
            Step::Waiting => {
                let events_ended = self.drain.events_ended;
                let ended = || {
                    self.collector.ledger.all_ended()
                        && self.collector.everyone_is_accounted_for(events_ended)
                };
                if overdue || ended() {
                    self.drain.step = Step::Surveying;
                }
            }
            Step::Surveying => {
                if overdue {
                    self.collector.abandon_survey();
                }
                if self.collector.survey_is_over(now) {
                    self.close_books(now);
                }
            }
            Step::Auditing => {
                if overdue {
                    self.collector.auditor.abandon();
                }
                if self.collector.auditor.is_idle() || overdue {
                    self.collector.take_found(now);
                    self.drain.step = Step::Finished;
                    self.outbox.push_back(Command::Finished);
                }
            }
            Step::Finished => {}
        }
    }

    fn begin_drain(&mut self, now: Timestamp) {
        self.drain.step = Step::Settling;
        self.drain.began = Some(now);
        let deadline = now + self.profile.drain.deadline;
        self.drain.deadline = Some(self.drain.deadline.map_or(deadline, |hurried| hurried.min(deadline)));
        self.drain.last_end = self.drain.last_end.max(now);
        self.end_faults(now);
    }

    fn send_fences(&mut self, now: Timestamp) {
        self.drain.step = Step::Fencing;
        self.drain.events_ended = self.drain.last_end;
        if self.profile.traffic.mode == TrafficMode::Observe {
            // A connection shows that it works by whatever comes, be it a ping.
            self.drain.step = Step::Waiting;
            return;
        }
        for room in 0..self.plan.population.rooms() {
            if self.plan.shard.has_room(room) {
                let publisher = publisher(&self.plan, room, u64::MAX);
                self.publishing.due(room, None, publisher, now);
            }
        }
        self.drain.last_end = now;
        self.publish(now, self.plan.timeline.end());
    }

    fn close_books(&mut self, now: Timestamp) {
        if !self.publishing.is_idle() {
            self.publishing.abandon();
            self.take_ended(now);
        }
        self.sync_load.abandon();
        while let Some(answered) = self.sync_load.ended() {
            self.collector.sync_ended(answered);
        }
        let plan = &self.plan;
        self.collector.end_spans(now, self.interrupted, |room, n| publisher(plan, room, u64::from(n)));
        self.drain.step = Step::Auditing;
    }
}
