//! Attempts to become live: their steps, and what follows when one fails (protocol.md, section 7).

use super::settings::EQUAL_REQUEST_SPACING;
use super::timers::{Timer, Timers};
use super::{Action, Cause, Observation, ReconnectKind, Schedule, Session, State, StopReason};
use crate::profile::BridgeOrder;
use crate::time::Timestamp;

/// What an attempt is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// A live connection.
    Stream,
    /// An answer to an offline poll.
    Poll,
}

/// A step of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Refreshing the token.
    Token,
    /// Syncing.
    Sync,
    /// Syncing: more was said to be there, but the cursor did not move.
    Stall,
    /// Connecting, hello, and the connection for as long as it lasts.
    Stream,
}

impl Session {
    /// The plan wants the client live. A client that has stopped for good during this visit stays stopped.
    pub(super) fn start(&mut self, now: Timestamp) {
        if self.state == (State::Dead { wanted: false }) {
            self.state = State::Dead { wanted: true };
        }
        if self.state != State::Away {
            return;
        }
        self.schedule = Schedule::default();
        self.tokens.new_visit();
        self.begin(now, now, ReconnectKind::First, Goal::Stream);
    }

    /// The plan takes the client away. The position is kept for its return.
    pub(super) fn leave(&mut self, now: Timestamp) {
        match self.state {
            State::Away | State::Dead { wanted: false } => return,
            State::Dead { wanted: true } => self.state = State::Dead { wanted: false },
            _ => self.halt(now, Cause::Left, State::Away),
        }
        self.observe(now, Observation::Stopped(StopReason::Left));
    }

    /// The client stops by itself, until the plan has taken it away and brings it back.
    pub(super) fn stop(&mut self, now: Timestamp, reason: StopReason) {
        self.halt(now, Cause::InvalidToken, State::Stopped);
        self.observe(now, Observation::Stopped(reason));
    }

    /// The delay is over.
    pub(super) fn retry(&mut self, now: Timestamp, scheduled: Timestamp) {
        if self.state == State::Waiting {
            let (kind, goal) = self.schedule.next(now, &self.settings.client);
            self.begin(now, scheduled, kind, goal);
        }
    }

    /// The stream is tried while offline.
    pub(super) fn probe(&mut self, now: Timestamp) {
        self.begin(now, now, ReconnectKind::Offline, Goal::Stream);
    }

    /// First step: the token.
    fn begin(&mut self, now: Timestamp, scheduled: Timestamp, kind: ReconnectKind, goal: Goal) {
        let violation = self.judge.attempt(now, kind, goal, &self.settings.client);
        self.goal = goal;
        self.observe(now, Observation::Attempt { scheduled, kind, violation });
        if self.tokens.must_refresh(now) {
            self.state = State::Refreshing;
            self.ask_refresh(now);
        } else {
            self.proceed(now);
        }
    }

    /// Second step, with a good token: sync, or in stream-first order the stream.
    pub(super) fn proceed(&mut self, now: Timestamp) {
        match (self.goal, self.settings.client.bridge) {
            (Goal::Stream, BridgeOrder::StreamFirst) => self.connect(now),
            (Goal::Stream, BridgeOrder::SyncFirst) => self.begin_bridge(now, false),
            (Goal::Poll, _) => self.begin_bridge(now, true),
        }
    }

    /// A step failed, or the live connection was lost; bridge and connection are closed already.
    pub(super) fn attempt_failed(&mut self, now: Timestamp, step: Step) {
        let due = self.failed(now, step);
        let spaced = step == Step::Stall || self.schedule.is_offline();
        self.wait(now, if spaced { self.spaced(due) } else { due });
    }

    /// Counts a failure. Returns when the next attempt is due.
    pub(super) fn failed(&mut self, now: Timestamp, step: Step) -> Timestamp {
        self.schedule.failed(now, self.goal, step, &self.settings.client, &mut self.random)
    }

    /// Begins the next attempt (or poll) when it is due; at once, without the way through a timer, when that is
    /// now: a driver's timer is a millisecond late, and "immediately" is what is documented.
    pub(super) fn wait(&mut self, now: Timestamp, due: Timestamp) {
        self.state = State::Waiting;
        let due = due.max(std::mem::replace(&mut self.not_before, Timestamp::ZERO));
        if due <= now {
            self.retry(now, now);
        } else {
            self.timers.set(Timer::Retry, due);
        }
    }

    /// `due`, or later when a request for the very same page has just been made: a server that answers at once
    /// and never moves on must not be asked without a pause, neither by polls nor by an immediate retry.
    pub(super) fn spaced(&self, due: Timestamp) -> Timestamp {
        match self.asked {
            Some(asked) if asked.since == self.position => due.max(asked.at + EQUAL_REQUEST_SPACING),
            _ => due,
        }
    }

    /// Closes everything that is open and forgets everything that is waited for.
    pub(super) fn halt(&mut self, now: Timestamp, cause: Cause, then: State) {
        self.break_bridge(now);
        match self.state {
            State::Connecting => self.act(Action::Disconnect { polite: false }),
            State::Opened | State::Live => self.drop_line(now, cause, cause != Cause::Killed),
            _ => {}
        }
        self.timers = Timers::NONE;
        self.not_before = Timestamp::ZERO;
        self.tokens.new_visit();
        self.state = then;
    }
}
