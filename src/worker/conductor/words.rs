//! What a conductor says and hears: commands out, events in.

use std::time::Duration;

use uuid::Uuid;

use crate::collector::LogPiece;
use crate::session::{Order, SyncTrouble};
use crate::time::Timestamp;
use crate::wire::{Position, SyncPage};

/// Something for the driver (or the simulator) to carry out.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Hand this order to the client's session.
    Order {
        /// Number of the client in the plan.
        client: u32,
        /// The order.
        order: Order,
    },
    /// Do this to the connections of these clients; answered with [`Event::Planted`].
    Plant {
        /// Index of the fault in the profile.
        fault: u32,
        /// Who is hit.
        clients: Vec<u32>,
        /// What is done.
        line: LineFault,
    },
    /// Tell the embedded target to begin or end this fault; answered with [`Event::Planted`] when it can tell
    /// how much was hit.
    Target {
        /// Index of the fault in the profile.
        fault: u32,
        /// Begin, or end.
        begin: bool,
    },
    /// Run the command of this fault, or take back what it did; answered with [`Event::Planted`].
    Hook {
        /// Index of the fault in the profile.
        fault: u32,
        /// Run it, or take it back.
        begin: bool,
    },
    /// Send this publish now; answered with [`Event::Published`].
    Publish(Publication),
    /// Fetch this page, for the audit or as part of the load; answered with [`Event::Fetched`].
    Fetch {
        /// Comes back with the answer.
        id: u64,
        /// Whose token is used.
        client: u32,
        /// What is fetched.
        what: Fetch,
    },
    /// The run is over: nothing more will be asked. Clients still live are to be left alone or closed, paced.
    Finished,
}

/// What the network (or the client's own process) does to a client, by plan. No session is told, but of its own end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault {
    /// Reset the stream's connection.
    Reset,
    /// End it in order, without a close frame.
    Close,
    /// From now on nothing passes on the connection that is open now, either way; the socket stays open.
    Silence,
    /// Let the black holes of [`LineFault::Silence`] that are still open go on passing (nothing is replayed to
    /// the session that arrived meanwhile in socket buffers, but bytes in them do come out).
    Unsilence,
    /// Replace the client's access token by an expired one, then reset the connection.
    ExpireToken,
    /// From now on read the connection that is open now only once in this time; what is read then is `late`.
    Slow(Duration),
    /// Read the connections of [`LineFault::Slow`] that are still open as they come again.
    Unslow,
    /// From now on no pong leaves on the connection that is open now.
    Mute,
    /// Let pongs leave again on the connections of [`LineFault::Mute`] that are still open.
    Unmute,
    /// Open a second stream with the client's token, wait for its hello and leave in good order.
    SameToken,
    /// Reset the connection; until [`LineFault::Restore`] no stream opens, and with `sync` false every request
    /// of the client (not those in its name by publishers and audit) fails as on a dead network.
    Outage {
        /// Requests go through.
        sync: bool,
    },
    /// Ends [`LineFault::Outage`].
    Restore,
    /// The client's process dies: its connection ends without a close frame, its request is never read, and all that
    /// its session knew is gone. Only a client that the plan wants, and that has not stopped, can be hit.
    Kill,
    /// Start the processes of [`LineFault::Kill`] again, with what the store has.
    Revive,
}

/// One attempt at one publish. Every attempt of a publish carries the same body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Comes back with the answer.
    pub ticket: u64,
    /// Index of the room in the plan.
    pub room: u32,
    /// The client (in the plan) whose identity publishes.
    pub publisher: u32,
    /// Sequence number in the room; `None` for a fence.
    pub n: Option<u32>,
    /// Intended send time.
    pub due: Timestamp,
    /// When the first attempt's first byte left, if there was one; `None`: stamp it now.
    pub first_sent: Option<Timestamp>,
    /// `event_uuid`
    pub event_uuid: Uuid,
    /// Bytes of serialised content.
    pub payload: u32,
    /// The answer is given up after this.
    pub timeout: Duration,
}

/// A page for the audit, or of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// `GET /v1/sync?since&limit&timeout=0`
    Sync {
        /// `since`
        since: Position,
        /// `limit`
        limit: u32,
    },
    /// The same as part of the load, beside the audit's.
    Load {
        /// `since`
        since: Position,
        /// `limit`
        limit: u32,
    },
    /// `GET /v1/rooms/{room}/messages?direction=forward&from&limit`
    History {
        /// Index of the room in the plan.
        room: u32,
        /// `from`, exclusive.
        from: Position,
        /// `limit`
        limit: u32,
    },
}

/// An answer, or something else that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// To [`Command::Publish`].
    Published {
        /// Its ticket.
        ticket: u64,
        /// What was stamped as first sent; `None`: no byte of any attempt left.
        sent: Option<Timestamp>,
        /// How it went.
        reply: SendReply,
    },
    /// To [`Command::Fetch`]; a page of history comes as a sync page too.
    Fetched {
        /// Its id.
        id: u64,
        /// The page.
        result: Result<&'a SyncPage<'a>, SyncTrouble>,
    },
    /// To [`Command::Plant`], [`Command::Target`] and [`Command::Hook`].
    Planted {
        /// Index of the fault in the profile.
        fault: u32,
        /// Connections (or requests, or deliveries) hit since the last such event for this fault.
        affected: u64,
    },
    /// What a pod's `/metrics` said; `None`: it did not answer.
    Scraped {
        /// Index of the endpoint.
        endpoint: u32,
        /// The Prometheus text.
        text: Option<&'a str>,
    },
    /// The name of a scraped endpoint has this address, or has it no more.
    Pod {
        /// Index of the endpoint; the next one that there is none of yet, for a new address.
        endpoint: usize,
        /// It has it.
        there: bool,
    },
    /// All clients have left: what the pods said before is over.
    Emptied,
    /// And the pods had time to notice.
    Deserted,
    /// A piece of the server's own log.
    Logged(&'a LogPiece),
    /// A `/health` look: `true` is 2xx.
    Health(bool),
    /// These clients' positions are durable now.
    Flushed {
        /// Clients with their positions.
        positions: &'a [(u32, Position)],
        /// What it took.
        cost: FlushCost,
    },
    /// The store of positions did not do what it should.
    Unflushed {
        /// What went wrong.
        trouble: FlushTrouble,
        /// How often.
        times: u64,
    },
    /// How the harness itself fares; about ten times a second.
    Strain(Strain),
    /// A person wants it to end: short drain.
    Interrupted,
    /// Time has passed.
    Timer,
}

/// How one attempt at a publish went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendReply {
    /// 2xx.
    Acknowledged {
        /// `data.id`, if the answer had it.
        id: Option<Box<str>>,
        /// `data.stream_position`, if the answer had it.
        position: Option<Position>,
    },
    /// 401: the driver has refreshed the identity's token if it could.
    Unauthorized,
    /// Another 4xx.
    Refused {
        /// The status.
        status: u16,
        /// `error.code`, when the body had an `SW_*` code.
        code: Option<Box<str>>,
    },
    /// No byte was written: refused connection, DNS.
    NotWritten,
    /// Anything else: 5xx, timeout, reset, an answer that cannot be read.
    Unanswered,
}

/// What a flush of positions took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlushCost {
    /// Bytes written.
    pub bytes: u64,
    /// From the first byte until it was durable; `None`: in virtual time.
    pub took: Option<Duration>,
}

/// What can go wrong with the store of positions. None of it is the target's doing, and the positions only lag behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushTrouble {
    /// A flush was due while the last one was still under way.
    Skipped,
    /// The file could not be written.
    Unwritten,
    /// A restart could not read the file: its clients started as new ones do.
    Unread,
    /// A restart found a part of the file torn, and took the state before it.
    Torn,
}

/// The harness's own state at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Strain {
    /// How late the worker's own timer was served.
    pub loop_lag: Duration,
    /// CPU time used by the process since it began.
    pub cpu: Duration,
    /// Time in which the loop's thread ran, or was kept waiting for a processor, since it began; `None`: the system does not
    /// tell.
    pub busy: Option<Duration>,
    /// Resident memory of the process, bytes.
    pub rss: u64,
}
