//! The stream's connection: upgrade, hello, frames, silence, ends (protocol.md, sections 3 to 6).

use std::borrow::Cow;

use super::attempt::Step;
use super::settings::{HELLO_SLOW, TEXT_MAX};
use super::timers::Timer;
use super::{
    Action, Arrival, Cause, Channel, ConnectFailure, ConnectionInfo, Ending, Observation, Oddity, Session,
    State, StopReason,
};
use crate::profile::BridgeOrder;
use crate::time::Timestamp;
use crate::wire::{CLOSE_ABORTED, CLOSE_INVALID_TOKEN, EventFrame, Frame, HelloFrame, id_hash};

/// What a session remembers of its connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    /// Beginning of the present step: asked for, upgraded, or live.
    since: Timestamp,
    /// The last sign of life.
    heard: Timestamp,
    /// The last ping was read late by our own doing, and so answered late.
    pong_late: bool,
}

impl Session {
    /// Opens the stream.
    pub(super) fn connect(&mut self, now: Timestamp) {
        self.state = State::Connecting;
        self.line = Line { since: now, ..Line::default() };
        self.schedule.tries_stream(now);
        self.judge.tries_stream(now);
        self.act(Action::Connect);
        self.timers.set(Timer::ConnectDeadline, now + self.settings.client.connect_deadline);
    }

    /// The upgrade was answered with 101.
    pub(super) fn opened(&mut self, now: Timestamp) {
        if self.state != State::Connecting {
            return;
        }
        self.timers.clear(Timer::ConnectDeadline);
        self.observe(now, Observation::Opened { took: now.since(self.line.since) });
        self.state = State::Opened;
        self.line = Line { since: now, heard: now, pong_late: false };
        self.timers.set(Timer::HelloDeadline, now + self.settings.client.hello_deadline);
    }

    /// There was no upgrade.
    pub(super) fn connect_failed(&mut self, now: Timestamp, failure: ConnectFailure) {
        if self.state != State::Connecting {
            return;
        }
        self.timers.clear(Timer::ConnectDeadline);
        self.state = State::Waiting;
        self.observe(now, Observation::ConnectFailed { local: failure == ConnectFailure::Local });
        // Documented is 4001 after the upgrade; a 401 instead of it says the same.
        if failure == ConnectFailure::Status(401) && self.token_refused(now) {
            return;
        }
        self.attempt_failed(now, Step::Stream);
    }

    /// The upgrade is overdue.
    pub(super) fn connect_overdue(&mut self, now: Timestamp) {
        if self.state == State::Connecting {
            self.act(Action::Disconnect { polite: false });
            self.connect_failed(now, ConnectFailure::Timeout);
        }
    }

    /// Hello is overdue. That is a connection that failed and one that is gone: both are told.
    pub(super) fn hello_overdue(&mut self, now: Timestamp) {
        if self.state == State::Opened {
            self.observe(now, Observation::ConnectFailed { local: false });
            self.drop_line(now, Cause::NoHello, false);
            self.attempt_failed(now, Step::Stream);
        }
    }

    /// A text frame.
    pub(super) fn frame(&mut self, now: Timestamp, frame: &Frame<'_>, late: bool) {
        if !self.hears(now) {
            return;
        }
        match (frame, self.state) {
            (Frame::Message(event), State::Live) => self.message(now, event, late),
            (Frame::Message(_), _) => self.odd(now, Oddity::BeforeHello),
            (Frame::Hello(_), State::Live) => self.odd(now, Oddity::SecondHello),
            (Frame::Hello(hello), _) => self.hello(now, hello),
            (Frame::Ping, _) => {
                self.act(Action::Pong);
                self.pinged(now, true, late);
            }
            (Frame::Known, _) => self.odd(now, Oddity::OtherKnown),
            (Frame::Unknown, _) => self.odd(now, Oddity::UnknownType),
            (Frame::Malformed, _) => self.odd(now, Oddity::Malformed),
        }
    }

    /// A protocol ping.
    pub(super) fn ping(&mut self, now: Timestamp, late: bool) {
        if self.hears(now) {
            self.pinged(now, false, late);
        }
    }

    /// A frame that could not be read as text.
    pub(super) fn odd_frame(&mut self, now: Timestamp, oddity: Oddity) {
        if self.hears(now) {
            self.odd(now, oddity);
        }
    }

    /// The connection is gone, by the other side's doing.
    pub(super) fn closed(&mut self, now: Timestamp, ending: &Ending) {
        if !matches!(self.state, State::Opened | State::Live) {
            return;
        }
        let (cause, code) = self.cause(ending);
        self.line_lost(now, cause, code);
        match cause {
            Cause::InvalidToken if self.token_refused(now) => {}
            // Whoever signed in with the same token would be closed in turn by a reconnect: that fight has no end.
            Cause::DuplicateConnection => self.stop(now, StopReason::Evicted),
            _ => self.attempt_failed(now, Step::Stream),
        }
    }

    /// The watchdog fires: the last frame says whether it is time.
    pub(super) fn watch(&mut self, now: Timestamp) {
        if self.state != State::Live {
            return;
        }
        let due = self.line.heard + self.settings.client.watchdog;
        if now < due {
            self.timers.set(Timer::Watchdog, due);
        } else {
            self.drop_line(now, Cause::Silent, false);
            self.attempt_failed(now, Step::Stream);
        }
    }

    /// Drops the open connection; what follows is up to the caller.
    pub(super) fn drop_line(&mut self, now: Timestamp, cause: Cause, polite: bool) {
        self.act(Action::Disconnect { polite });
        self.line_lost(now, cause, None);
    }

    fn line_lost(&mut self, now: Timestamp, cause: Cause, code: Option<u16>) {
        let was_live = self.state == State::Live;
        if was_live {
            self.schedule.was_live(now.since(self.line.since), &self.settings.client);
        }
        self.state = State::Waiting;
        for timer in [Timer::HelloDeadline, Timer::Watchdog, Timer::RefreshDue] {
            self.timers.clear(timer);
        }
        self.break_bridge(now);
        self.observe(now, Observation::Disconnected { cause, code, was_live });
    }

    fn hello(&mut self, now: Timestamp, hello: &HelloFrame<'_>) {
        let took = now.since(self.line.since);
        self.timers.clear(Timer::HelloDeadline);
        self.state = State::Live;
        self.line.since = now;
        self.tokens.accepted();
        self.schedule.live();
        self.timers.set(Timer::Watchdog, now + self.settings.client.watchdog);
        self.timers.set(Timer::RefreshDue, self.tokens.due());
        let info = Box::new(ConnectionInfo {
            session_id: cut(&hello.session_id),
            server_name: cut(&hello.server_name),
            tenant_id: cut(&hello.tenant_id),
            slow: took > HELLO_SLOW,
        });
        self.observe(now, Observation::Hello { took, position: self.position, info });
        match self.settings.client.bridge {
            BridgeOrder::SyncFirst => self.observe(now, Observation::Ready),
            BridgeOrder::StreamFirst => self.begin_bridge(now, false),
        }
    }

    fn message(&mut self, now: Timestamp, event: &EventFrame<'_>, late: bool) {
        if let Some(position) = event.position {
            self.passed(position);
        }
        let arrival = Arrival {
            channel: Channel::Stream { late },
            stamp: event.stamp.and_then(|stamp| stamp.of_run(&self.settings.run)),
            position: event.position,
            id: event.id.as_deref().map_or(0, id_hash),
            room: self.settings.room_of(event.room_id.as_deref()),
            client_position: self.position,
        };
        self.observe(now, Observation::Arrived(arrival));
    }

    fn pinged(&mut self, now: Timestamp, json: bool, late: bool) {
        self.line.pong_late = late;
        self.observe(now, Observation::Ping { json, late });
    }

    fn odd(&mut self, now: Timestamp, oddity: Oddity) {
        self.observe(now, Observation::Odd(oddity));
    }

    /// Whether there is a connection that a frame can have come from; if so, it is alive.
    fn hears(&mut self, now: Timestamp) -> bool {
        self.line.heard = now;
        matches!(self.state, State::Opened | State::Live)
    }

    /// Why the connection ended. The reason text of a 4003 is the target's own custom (protocol.md, section 6): a
    /// server that leaves it out is judged by what the session knows, which is whether its last pong left late.
    /// A duplicate leaves no trace on this side and stays an abort.
    fn cause(&self, ending: &Ending) -> (Cause, Option<u16>) {
        match ending {
            Ending::Close { code: CLOSE_INVALID_TOKEN, .. } => {
                (Cause::InvalidToken, Some(CLOSE_INVALID_TOKEN))
            }
            Ending::Close { code: CLOSE_ABORTED, reason } => {
                let cause = match &**reason {
                    text if text.contains("duplicate_connection") => Cause::DuplicateConnection,
                    text if text.contains("ping_timeout") => Cause::PingTimeout,
                    "" if self.line.pong_late => Cause::PingTimeout,
                    _ => Cause::Aborted,
                };
                (cause, Some(CLOSE_ABORTED))
            }
            Ending::Close { code, .. } => (Cause::OtherClose, Some(*code)),
            Ending::Eof => (Cause::Eof, None),
            Ending::Reset => (Cause::Reset, None),
            Ending::Protocol => (Cause::Protocol, None),
        }
    }
}

fn cut(text: &Option<Cow<'_, str>>) -> Option<Box<str>> {
    text.as_deref().map(|text| text[..text.floor_char_boundary(TEXT_MAX)].into())
}
