//! What a session reports: facts, in the order they happened, each at the `now` of its `handle` call.

use std::net::IpAddr;
use std::time::Duration;

use crate::time::Timestamp;
use crate::wire::{Position, Stamp};

/// A fact about one client.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// An attempt to become live began (refresh if due, sync, connect, hello).
    Attempt {
        /// When the schedule wanted it; `now` minus this is the reconnect lateness.
        scheduled: Timestamp,
        /// Which kind of attempt.
        kind: ReconnectKind,
        /// It began earlier than the documented schedule allows.
        violation: bool,
    },
    /// A bridge (or an offline poll) began; its requests follow.
    BridgeBegan {
        /// The client's position.
        position: Position,
        /// An offline poll, not a bridge.
        poll: bool,
    },
    /// A sync request left.
    SyncSent {
        /// Its `since`.
        since: Position,
    },
    /// A sync request was answered. The arrivals of its page follow it, all with the position that the client had
    /// before the page; after the last one, the position is `next_cursor` if that is higher.
    SyncPage {
        /// Time to the whole page.
        took: Duration,
        /// `next_cursor` of the page.
        next_cursor: Option<Position>,
        /// `next_cursor` was below `since`.
        regressed: bool,
    },
    /// A sync request failed.
    SyncFailed(SyncTrouble),
    /// The bridge (or poll) is over.
    BridgeEnded {
        /// It ran to `has_more` false.
        complete: bool,
        /// From its beginning.
        took: Duration,
        /// An offline poll, not a bridge.
        poll: bool,
    },
    /// The connection that is being opened comes from this address of this machine. It comes from the driver, which alone
    /// has sockets.
    ConnectedFrom {
        /// As this machine sees it: what is on the way may change it.
        address: IpAddr,
    },
    /// The upgrade succeeded.
    Opened {
        /// From [`super::Action::Connect`].
        took: Duration,
    },
    /// There is no connection: it was refused, or hello did not come in time (in that case
    /// [`Observation::Disconnected`] follows, because it had been opened).
    ConnectFailed {
        /// The harness itself was the reason.
        local: bool,
    },
    /// Hello came: the connection is live, and a span opens if none is open.
    Hello {
        /// From the upgrade.
        took: Duration,
        /// The client's position at that moment.
        position: Position,
        /// `server_name`, `session_id`, `tenant_id`.
        info: Box<ConnectionInfo>,
    },
    /// Hello seen and the bridge closed.
    Ready,
    /// A message came, by stream or sync.
    Arrived(Arrival),
    /// A ping came on the stream (protocol or JSON).
    Ping {
        /// It was JSON.
        json: bool,
        /// Read late by our own doing: no proof.
        late: bool,
    },
    /// Something that is counted and skipped.
    Odd(Oddity),
    /// A connection that had been opened is gone.
    Disconnected {
        /// As the client sees it.
        cause: Cause,
        /// The close code, when there was a close frame.
        code: Option<u16>,
        /// It had said hello.
        was_live: bool,
    },
    /// This pod has answered the client's upgrade, or a page of sync, as a header or a cookie says. It comes from the
    /// driver, which alone sees those, and only where the profile names one.
    ServedBy {
        /// The upgrade; else a page.
        stream: bool,
        /// What the deployment calls the pod; `None`: this answer did not say.
        pod: Option<Box<str>>,
    },
    /// A token was refreshed.
    Refreshed,
    /// A token was refused (4001, 401).
    TokenRejected,
    /// A refresh failed.
    RefreshFailed {
        /// The server refused the refresh token.
        refused: bool,
    },
    /// The client has stopped for good, or for as long as the plan keeps it away.
    Stopped(StopReason),
    /// The client's process, which had died ([`Cause::Killed`], where it was connected), is there again.
    Restarted {
        /// What its store had: its position from now on.
        position: Position,
    },
}

/// A message that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// By which channel.
    pub channel: Channel,
    /// The stamp, if it is of this run; `None` is a foreign message.
    pub stamp: Option<Stamp>,
    /// Its position, if it carried one.
    pub position: Option<Position>,
    /// [`crate::wire::id_hash`] of its id; 0 when it had none.
    pub id: u64,
    /// [`crate::wire::id_hash`] of its room's id; 0 when it had none, and in a run that publishes, where the stamp tells.
    pub room: u64,
    /// The client's persisted position after this message.
    pub client_position: Position,
}

/// Where a message came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The stream.
    Stream {
        /// Read late by our own doing: no proof.
        late: bool,
    },
    /// A page of sync.
    Sync {
        /// `since` of the request.
        since: Position,
    },
}

/// What a connection says of itself; every text is cut at 128 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// `hello.session_id`
    pub session_id: Option<Box<str>>,
    /// `hello.server_name`
    pub server_name: Option<Box<str>>,
    /// `hello.tenant_id`
    pub tenant_id: Option<Box<str>>,
    /// Hello came later than the documented 2 s.
    pub slow: bool,
}

/// What kind of attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconnectKind {
    /// The first one after the plan's order, or of a process that was started again: it knows of no failure.
    First,
    /// The immediate one after a disconnect.
    Immediate,
    /// After a delay of the documented schedule.
    BackedOff,
    /// One sync poll while offline, or the stream tried after it.
    Offline,
}

/// Why a connection ended, as the client infers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Close 4001; without a code: the client closed, because its refresh token was refused.
    InvalidToken,
    /// Close 4003 for missed pongs.
    PingTimeout,
    /// Close 4003 because the same token signed in again.
    DuplicateConnection,
    /// Close 4003 with no reason that could be told.
    Aborted,
    /// Another close code.
    OtherClose,
    /// FIN without a close frame.
    Eof,
    /// Reset.
    Reset,
    /// Nothing came for the length of the watchdog.
    Silent,
    /// Upgraded, but hello did not come in time.
    NoHello,
    /// The server broke the WebSocket protocol.
    Protocol,
    /// The client dropped it itself: in stream-first order, its bridge failed.
    BridgeFailed,
    /// The client's own process died, as planted.
    Killed,
    /// The plan took the client away.
    Left,
}

impl Cause {
    /// As reports write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidToken => "invalid_token",
            Self::PingTimeout => "ping_timeout",
            Self::DuplicateConnection => "duplicate_connection",
            Self::Aborted => "aborted",
            Self::OtherClose => "other_close",
            Self::Eof => "eof",
            Self::Reset => "reset",
            Self::Silent => "silent",
            Self::NoHello => "no_hello",
            Self::Protocol => "protocol",
            Self::BridgeFailed => "bridge_failed",
            Self::Killed => "killed",
            Self::Left => "left",
        }
    }
}

/// Why a sync request gave no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncTrouble {
    /// 401: the token was refused.
    Unauthorized,
    /// Another 4xx; the status.
    Refused(u16),
    /// The server said that it cannot replay from there.
    BeyondRetention,
    /// 5xx; the status.
    ServerError(u16),
    /// Connection refused, reset, closed.
    Network,
    /// No answer in time.
    Timeout,
    /// An answer that is no page.
    Malformed,
    /// The harness itself could not (descriptors, ports).
    Local,
}

/// Frames that are counted and skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// A documented type that is not a message.
    OtherKnown,
    /// A type that the documentation does not have.
    UnknownType,
    /// Not a JSON object with a type.
    Malformed,
    /// Larger than the driver takes.
    Oversized,
    /// Not a text frame.
    Binary,
    /// A message before hello.
    BeforeHello,
    /// A second hello on one connection.
    SecondHello,
    /// No frame: a sync was refused with a `Retry-After`.
    RetryAfter,
}

/// Why a client stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The plan took it away.
    Left,
    /// Three refused tokens in a row, or a refused refresh token.
    AuthFailed,
    /// The same token signed in elsewhere.
    Evicted,
}
