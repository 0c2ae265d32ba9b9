//! One simulated client, as a pure state machine (protocol.md, sections 2 to 7).
//!
//! # Contract
//!
//! Feed it with [`Session::handle`], then call [`Session::poll`] until it returns `None`, then ask
//! [`Session::next_wake`] when to call `handle(now, Input::Timer)` at the latest (earlier and more often is
//! harmless). `now` never goes back. The session reads no clock, opens no socket and draws its randomness from
//! the stream it was made with.

mod observation;

pub use observation::{
    Arrival, Cause, Channel, ConnectionInfo, Observation, Oddity, ReconnectKind, StopReason, SyncTrouble,
};

use std::time::Duration;

use crate::time::Timestamp;
use crate::wire::{Frame, Position, SyncPage};

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
    /// Refresh the token; after a 4001 even when it is not due.
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
