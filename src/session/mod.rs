//! One simulated client, as a pure state machine (protocol.md, sections 2 to 7).
//!
//! # Contract
//!
//! Feed it with [`Session::handle`], then call [`Session::poll`] until it returns `None`, then ask
//! [`Session::next_wake`] when to call `handle(now, Input::Timer)` at the latest (earlier and more often is
//! harmless). `now` never goes back. The session reads no clock, opens no socket and draws its randomness from
//! the stream it was made with.

mod attempt;
mod bridge;
mod connection;
mod observation;
mod outbox;
mod restart;
mod schedule;
mod settings;
mod timers;
mod tokens;

pub use observation::{
    Arrival, Cause, Channel, ConnectionInfo, Observation, Oddity, ReconnectKind, StopReason, SyncTrouble,
};
pub use settings::Settings;

use std::sync::Arc;
use std::time::Duration;

use attempt::Goal;
use bridge::{Asked, Bridge};
use connection::Line;
use outbox::Outbox;
use schedule::{Judge, Schedule};
use timers::{Timer, Timers};
use tokens::Tokens;

use crate::seed;
use crate::time::Timestamp;
use crate::wire::{Frame, Position, SyncPage};

/// One client.
///
/// It is small on purpose (the settings are shared, a drained outbox holds no heap): there are hundreds of
/// thousands of them.
#[derive(Debug)]
pub struct Session {
    settings: Arc<Settings>,
    random: seed::Stream,
    state: State,
    /// What the attempt under way is after; the last one's, when there is none.
    goal: Goal,
    timers: Timers,
    /// `last_stream_position`: what the next `since` will be.
    position: Position,
    tokens: Tokens,
    schedule: Schedule,
    judge: Judge,
    line: Line,
    bridge: Option<Bridge>,
    /// The last sync request.
    asked: Option<Asked>,
    /// The server does not want to be asked before this; [`Timestamp::ZERO`]: it has not said so.
    not_before: Timestamp,
    /// Id of the next sync request.
    sync_id: u32,
    outbox: Outbox,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The plan has not called it yet, or has taken it away.
    Away,
    /// It has stopped by itself, until the plan has taken it away and brings it back.
    Stopped,
    /// Between two attempts.
    Waiting,
    /// First step of an attempt: another token is asked for.
    Refreshing,
    /// An attempt syncs before it connects, or an offline poll is under way.
    Syncing,
    /// The upgrade is asked for.
    Connecting,
    /// Upgraded; hello is waited for.
    Opened,
    /// Hello seen; in stream-first order a bridge may be open beside it.
    Live,
    /// Its process has died. `wanted`: the plan wants it live.
    Dead { wanted: bool },
}

impl Session {
    /// A client that the plan has not called yet. `position` is its starting position (a marker's, or the stored
    /// one of an earlier life), `token` the life of the token that the driver holds for it, `random` a stream of
    /// its own.
    pub fn new(settings: Arc<Settings>, position: Position, token: TokenLife, random: seed::Stream) -> Self {
        Self {
            settings,
            random,
            state: State::Away,
            goal: Goal::Stream,
            timers: Timers::NONE,
            position,
            tokens: Tokens::new(token),
            schedule: Schedule::default(),
            judge: Judge::default(),
            line: Line::default(),
            bridge: None,
            asked: None,
            not_before: Timestamp::ZERO,
            sync_id: 0,
            outbox: Outbox::default(),
        }
    }

    /// Takes one input. It queues at most one output for each event of a page, and a dozen beside them.
    pub fn handle(&mut self, now: Timestamp, input: Input<'_>) {
        match input {
            Input::Order(Order::Start) => self.start(now),
            Input::Order(Order::Leave) => self.leave(now),
            Input::Opened => self.opened(now),
            Input::ConnectFailed(failure) => self.connect_failed(now, failure),
            Input::Frame { frame, late } => self.frame(now, frame, late),
            Input::Ping { late } => self.ping(now, late),
            Input::OddFrame(oddity) => self.odd_frame(now, oddity),
            Input::Closed(ending) => self.closed(now, &ending),
            Input::Synced { id, page } => self.synced(now, id, page),
            Input::RetryAfter { id, after } => self.retry_after(now, id, after),
            Input::SyncFailed { id, trouble } => self.sync_failed(now, id, trouble),
            Input::Refreshed(life) => self.refreshed(now, life),
            Input::RefreshFailed { refused } => self.refresh_failed(now, refused),
            Input::Killed => self.die(now),
            Input::Revived { position, token } => self.revive(now, position, token),
            Input::Timer => self.fire(now),
        }
    }

    /// The next output, oldest first; `None` when there is none left.
    pub fn poll(&mut self) -> Option<Output> {
        self.outbox.pop()
    }

    /// When to say [`Input::Timer`] at the latest; `None`: nothing is waited for.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// `last_stream_position`, to be stored durably.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Whether there is somebody to kill: the plan wants the client, it has not stopped, and its process is there.
    pub fn is_up(&self) -> bool {
        !matches!(self.state, State::Away | State::Stopped | State::Dead { .. })
    }

    /// Whether its process has died and has not been started again.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, State::Dead { .. })
    }

    /// Hello seen, and the connection not lost since.
    pub fn is_live(&self) -> bool {
        self.state == State::Live
    }

    /// Fires what is due, but no more than there are timers: what is due again at once waits for the next call, which
    /// [`Session::next_wake`] then asks for.
    fn fire(&mut self, now: Timestamp) {
        for _ in 0..Timer::COUNT {
            let Some((timer, at)) = self.timers.pop_due(now) else { return };
            match timer {
                Timer::Retry => self.retry(now, at),
                Timer::ConnectDeadline => self.connect_overdue(now),
                Timer::HelloDeadline => self.hello_overdue(now),
                Timer::Watchdog => self.watch(now),
                Timer::RefreshDue => self.ask_refresh(now),
                Timer::RefreshDeadline => self.refresh_failed(now, false),
                Timer::SyncDeadline => self.sync_overdue(now),
            }
        }
    }

    fn act(&mut self, action: Action) {
        self.outbox.push(Output::Action(action));
    }

    fn observe(&mut self, now: Timestamp, observation: Observation) {
        self.judge.saw(now, &observation, &self.settings.client);
        self.outbox.push(Output::Observation(observation));
    }
}

/// What comes to a session from the plan, the driver or the simulator.
#[derive(Debug)]
pub enum Input<'a> {
    /// The plan says so.
    Order(Order),
    /// The upgrade of the connection asked for by [`Action::Connect`] was answered with 101.
    Opened,
    /// There was no upgrade.
    ConnectFailed(ConnectFailure),
    /// A text frame. `late`: the harness (or a planted slow reader) read it late, so it proves nothing
    /// about what did not come before it.
    Frame {
        /// The parsed frame.
        frame: &'a Frame<'a>,
        /// Read late by our own doing.
        late: bool,
    },
    /// A protocol ping; the driver has answered and flushed already.
    Ping {
        /// Read late by our own doing.
        late: bool,
    },
    /// A frame larger than the driver takes, or a binary one: counted, skipped.
    OddFrame(Oddity),
    /// The connection is gone. Comes once for each `Opened` unless the session itself asked for
    /// [`Action::Disconnect`].
    Closed(Ending),
    /// A page for [`Action::Sync`].
    Synced {
        /// The `id` of the action.
        id: u32,
        /// The page.
        page: &'a SyncPage<'a>,
    },
    /// The refusal of [`Action::Sync`] that comes next says when to ask again.
    RetryAfter {
        /// The `id` of the action.
        id: u32,
        /// From now.
        after: Duration,
    },
    /// No page for [`Action::Sync`].
    SyncFailed {
        /// The `id` of the action.
        id: u32,
        /// Why.
        trouble: SyncTrouble,
    },
    /// [`Action::Refresh`] is done; also said when someone else refreshed this identity's token.
    Refreshed(TokenLife),
    /// [`Action::Refresh`] failed.
    RefreshFailed {
        /// The server refused the refresh token (and did not just fail to answer).
        refused: bool,
    },
    /// Its process has died: everything that it knew is gone. Ignored unless [`Session::is_up`].
    Killed,
    /// Its process is started again. Ignored unless it had died.
    Revived {
        /// What the store has; a new client's starting position when it has none.
        position: Position,
        /// The life of the token that the driver holds for it.
        token: TokenLife,
    },
    /// Time has passed.
    Timer,
}

/// What the plan can ask of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Become live: opens a span.
    Start,
    /// Close in good order and stay away: ends the span.
    Leave,
}

/// The life of the token in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLife {
    /// When it was issued, on the harness's clock.
    pub issued: Timestamp,
    /// How long it is good for (refresh is due at 80 % of it).
    pub life: Duration,
}

/// Why a connection did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFailure {
    /// Refused, unreachable, reset, TLS, DNS.
    Network,
    /// Answered with this HTTP status instead of 101.
    Status(u16),
    /// No answer in time.
    Timeout,
    /// The harness itself could not (descriptors, ports).
    Local,
}

/// How a connection ended, as the client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A close frame.
    Close {
        /// Its code; 1005 when it carried none.
        code: u16,
        /// Its reason text; may be empty.
        reason: Box<str>,
    },
    /// FIN without a close frame.
    Eof,
    /// Reset, or any other error of the transport.
    Reset,
    /// The server broke the WebSocket protocol.
    Protocol,
}

/// What a session asks its driver to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open the stream with the newest token.
    Connect,
    /// Drop the connection (or the attempt at one) without waiting: no `Closed` follows.
    Disconnect {
        /// Send a close frame 1000 first (leaving in good order).
        polite: bool,
    },
    /// Send a JSON `{"type":"pong"}`.
    Pong,
    /// `GET /v1/sync`
    Sync {
        /// Comes back with the answer; answers with another id are stale and ignored.
        id: u32,
        /// `since`
        since: Position,
        /// `limit`
        limit: u32,
        /// `timeout`
        timeout: Duration,
    },
    /// Forget the sync request under way, if any; no answer is expected any more.
    AbandonSync,
    /// Refresh the token; after a 4001 even when it is not due. Asked for again while one is under way only when the
    /// first was not answered in time, or when the plan has taken the client away and brought it back: one answer
    /// then does for both.
    Refresh,
}

/// What comes out of [`Session::poll`].
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Something to do.
    Action(Action),
    /// Something that happened, for the collector.
    Observation(Observation),
}

#[cfg(test)]
mod tests;
