//! Faults as small values: whom or what each hits, and one verb.
//!
//! The verbs are shared by the profile that names them, the target that carries out its own and the driver and
//! simulator that carry out the clients'. A new kind is a variant of a verb, a word in [`name`] and in [`NAMES`], an
//! arm in `shape` that takes its keys and one that writes them, and a paragraph in `annotated.toml`.

pub(super) mod shape;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::quantity::Share;

/// One `[[fault]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Shown in progress, timeline and report; unique.
    pub name: String,
    /// When it begins, from the beginning of the first phase.
    pub at: Duration,
    /// How long it lasts; `None`: to the end of the run (or an instant, where the kind is one).
    pub duration: Option<Duration>,
    /// What is done.
    pub kind: FaultKind,
}

/// What a fault does.
#[derive(Clone, Debug, PartialEq)]
pub enum FaultKind {
    /// Client side: what the network, or the client's own process, does to these clients.
    Line(Who, Line),
    /// Target side: this pod (`None`: drawn from the seed) dies and comes back after the duration.
    PodKill(Option<u32>),
    /// Target side: the balancer's idle timeout while the fault lasts.
    IdleTimeout(Duration),
    /// Target side: the balancer ends streams this long after their upgrade, busy or not, while the fault lasts.
    MaxAge(Duration),
    /// Target side: every publish is refused with `SW_NOT_MEMBER`.
    RefusePublishes,
    /// Target side: the tokens of these identities are refused with 4001 / 401.
    RejectTokens(Who),
    /// Target side: what becomes of events on their way to one client.
    Delivery(Events, Delivery),
    /// Target side: what becomes of publishes.
    Publish(Events, Publish),
    /// Target side: what becomes of these clients' streams.
    Stream(Who, Stream),
    /// Target side: what becomes of these clients' sync requests.
    Sync(Who, Sync),
    /// Target side: what this pod's `/metrics` says (`None`: every pod's).
    Metrics(Option<u32>, Metrics),
    /// A command of the user's own, on this machine.
    Exec(Exec),
}

/// A command, and what takes back what it did. Never empty but for `undo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// Program and arguments; with `shell`, one line.
    pub command: Vec<String>,
    /// Run at the fault's end, on abort, and on the next start after a crash; empty: there is nothing to take back.
    pub undo: Vec<String>,
    /// Both are lines for `/bin/sh -c`.
    pub shell: bool,
    /// What either may take; then it is killed, with what it has started.
    pub timeout: Duration,
}

impl Exec {
    /// Program and arguments of `command` or `undo`.
    pub fn argv(&self, words: &[String]) -> Vec<String> {
        let shell = ["/bin/sh", "-c"].map(str::to_owned);
        let before = if self.shell { shell.to_vec() } else { Vec::new() };
        before.into_iter().chain(words.iter().cloned()).collect()
    }
}

impl Fault {
    /// It happens at one moment: by its kind, or because it was given no duration.
    pub fn is_instant(&self) -> bool {
        let brief = matches!(self.kind, FaultKind::Line(_, Line::Restart));
        let once = matches!(&self.kind, FaultKind::Exec(exec) if exec.undo.is_empty());
        self.kind.is_instant() || ((brief || once) && self.duration.is_none())
    }
}

impl FaultKind {
    /// As `kind` writes it.
    pub fn name(&self) -> &'static str {
        name(self)
    }

    /// Every name that [`FaultKind::name`] can answer.
    pub const NAMES: &[&str] = &NAMES;

    /// Planted by our own target; never planted on a deployment.
    pub fn is_target_side(&self) -> bool {
        !matches!(self, Self::Line(..) | Self::Exec(_))
    }

    /// It ends connections, or may.
    pub fn ends_connections(&self) -> bool {
        match self {
            Self::Line(_, line) => !matches!(line, Line::SlowReader(_)),
            Self::PodKill(_)
            | Self::IdleTimeout(_)
            | Self::MaxAge(_)
            | Self::RejectTokens(_)
            | Self::Stream(..)
            | Self::Exec(_) => true,
            Self::RefusePublishes
            | Self::Delivery(..)
            | Self::Publish(..)
            | Self::Sync(..)
            | Self::Metrics(..) => false,
        }
    }

    /// It hits by coordinates, wherever in time they lie, and so hits the same on every engine.
    pub fn is_by_coordinates(&self) -> bool {
        let (Self::Delivery(events, _) | Self::Publish(events, _)) = self else { return false };
        matches!(events, Events::Coordinates(_))
    }

    /// It happens at one moment, and takes no duration.
    pub fn is_instant(&self) -> bool {
        match self {
            Self::Line(_, line) => {
                matches!(line, Line::Reset | Line::Cut | Line::ExpireToken | Line::SameToken)
            }
            Self::Stream(_, stream) => {
                matches!(stream, Stream::Close { .. } | Stream::Drop(_) | Stream::Strange(_))
            }
            _ => false,
        }
    }
}

/// Which clients.
#[derive(Clone, Debug, PartialEq)]
pub enum Who {
    /// This share, drawn by seed: of those that are live, where the fault is on the client's side (of those that are to be
    /// live, for an outage or a restart); of all clients of the plan, where it is on the target's.
    Share(Share),
    /// All of this tenant (its index in the plan).
    Tenant(u32),
    /// These, by their numbers in the plan.
    Clients(Vec<u32>),
}

/// Which events.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Events {
    /// These.
    Coordinates(Coordinates),
    /// This share of those of the time that the fault lasts, each drawn by seed and its own coordinates.
    Share(Share),
}

/// Some events in a row, of one room; and one of its members, for what happens on the way to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coordinates {
    /// Number of the client in the plan.
    pub client: u32,
    /// Index among the client's own rooms, from 0.
    pub room: u32,
    /// First sequence number hit.
    pub first: u32,
    /// How many in a row.
    pub count: u32,
}

/// What the network, or the client's own process, does to a client; its session is told nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The stream's connection is reset.
    Reset,
    /// It ends in order, but without a close frame.
    Cut,
    /// It stays open, and nothing passes any more, either way.
    Silent,
    /// The access token is replaced by an expired one, and the connection reset.
    ExpireToken,
    /// The client reads only once in this time; what it reads then is read late.
    SlowReader(Duration),
    /// Its pongs do not leave.
    NoPongs,
    /// Somebody else opens a stream with its token.
    SameToken,
    /// Its stream is cut and cannot be had; with `sync` its requests still go through, else they fail too.
    Outage {
        /// Sync and refresh still work.
        sync: bool,
    },
    /// Its process dies and is started again, with nothing but its stored position: at once, or after the duration.
    Restart,
}

/// What becomes of an event on its way to one client.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// It does not come on the stream.
    Lose {
        /// Sync and history hide it as well.
        store: bool,
    },
    /// It comes twice on the stream.
    Twice,
    /// It comes behind the next event of its room.
    BehindRoom,
    /// It (and what follows in its room) comes behind the next event of another room.
    BehindOthers,
    /// The stream holds it back for this long, and what is behind it in the queue with it.
    Late(Duration),
    /// It also comes to this client, who is not in the room.
    Leak {
        /// Number of the client in the plan.
        to: u32,
    },
    /// Sync does not return it, history does.
    HideFromSync,
}

/// What becomes of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Publish {
    /// It is refused with 429, and delivered all the same.
    DeliverRejected {
        /// It is stored as well.
        store: bool,
    },
    /// It is answered with 2xx, and neither stored nor delivered.
    Forget,
    /// It is stored and delivered, and never answered.
    NoAnswer,
    /// It is stored and delivered twice, under two ids and positions.
    Twice,
    /// It is answered at once and takes its position; it becomes visible only after this.
    CommitLate(Duration),
    /// It gets a position this much too low.
    Renumber {
        /// How much.
        back: u32,
    },
}

/// What becomes of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// No event reaches it; pings do. The pod logs `ws.fanout_failed`.
    Deaf,
    /// Its hello names another tenant.
    WrongTenant,
    /// It is never said hello to, and gets nothing.
    NoHello,
    /// Hello, and with it the subscription, comes this much later.
    LateHello(Duration),
    /// Hello comes at once, and the subscription this much later.
    EarlyHello(Duration),
    /// Its pod stops writing to it, but for pings: its queue fills.
    Stall,
    /// It is not pinged.
    NoPings,
    /// It is closed.
    Close {
        /// With this code.
        code: u16,
        /// And this reason text, which may be empty.
        reason: String,
    },
    /// It ends without a close frame.
    Drop(How),
    /// It gets one frame that does not belong there.
    Strange(Strange),
}

/// An end without a close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// The server forgets it; the socket stays open.
    Silent,
    /// Reset.
    Reset,
    /// FIN.
    Fin,
}

/// A frame that does not belong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strange {
    /// Text that is no JSON.
    Malformed,
    /// 300 KiB of it.
    Oversized,
    /// A type that the documentation does not have.
    Unknown,
    /// Not a text frame.
    Binary,
}

/// What becomes of a sync request.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sync {
    /// At a page border `next_cursor` is the last position + 1, which skips an event where there is one.
    Skip,
    /// The page begins this many positions below `since`.
    Repeat {
        /// How many.
        back: u32,
    },
    /// `next_cursor` of a last page is this much below `since`.
    Backwards {
        /// How much.
        back: u32,
    },
    /// It is answered this much later than it could be.
    Slow(Duration),
    /// It is answered with this status.
    Fail {
        /// HTTP status, 400 to 599.
        status: u16,
    },
    /// A `since` more than this many positions behind the newest is answered with 410: it cannot be replayed.
    Retain {
        /// Positions that can be.
        keep: u32,
    },
}

/// What `/metrics` says of `scaiwave_ws_messages_dropped_total`, and of `scaiwave_ws_connections`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metrics {
    /// Nothing.
    Missing,
    /// It begins again at zero.
    Reset,
    /// This much more than happened.
    Wrong {
        /// How much.
        more: u32,
    },
    /// There is no `/metrics`.
    Absent,
    /// Connections that end stay in `scaiwave_ws_connections` for good.
    Leak,
}

/// As `kind` writes it.
pub(super) fn name(kind: &FaultKind) -> &'static str {
    match kind {
        FaultKind::Line(_, line) => match line {
            Line::Reset => "reset",
            Line::Cut => "cut",
            Line::Silent => "silent",
            Line::ExpireToken => "expire-token",
            Line::SlowReader(_) => "slow-reader",
            Line::NoPongs => "no-pongs",
            Line::SameToken => "same-token",
            Line::Outage { .. } => "outage",
            Line::Restart => "restart",
        },
        FaultKind::PodKill(_) => "pod-kill",
        FaultKind::IdleTimeout(_) => "idle-timeout",
        FaultKind::MaxAge(_) => "max-age",
        FaultKind::RefusePublishes => "refuse-publishes",
        FaultKind::RejectTokens(_) => "reject-tokens",
        FaultKind::Delivery(_, delivery) => match delivery {
            Delivery::Lose { .. } => "lose",
            Delivery::Twice => "duplicate",
            Delivery::BehindRoom => "reorder",
            Delivery::BehindOthers => "reorder-rooms",
            Delivery::Late(_) => "delay",
            Delivery::Leak { .. } => "leak",
            Delivery::HideFromSync => "sync-omit",
        },
        FaultKind::Publish(_, publish) => match publish {
            Publish::DeliverRejected { .. } => "deliver-rejected",
            Publish::Forget => "accept-unstored",
            Publish::NoAnswer => "store-unanswered",
            Publish::Twice => "store-twice",
            Publish::CommitLate(_) => "commit-late",
            Publish::Renumber { .. } => "renumber",
        },
        FaultKind::Stream(_, stream) => match stream {
            Stream::Deaf => "deaf",
            Stream::WrongTenant => "wrong-tenant",
            Stream::NoHello => "no-hello",
            Stream::LateHello(_) => "late-hello",
            Stream::EarlyHello(_) => "early-hello",
            Stream::Stall => "stall",
            Stream::NoPings => "no-pings",
            Stream::Close { .. } => "close",
            Stream::Drop(_) => "drop",
            Stream::Strange(_) => "strange-frame",
        },
        FaultKind::Sync(_, sync) => match sync {
            Sync::Skip => "sync-skip",
            Sync::Repeat { .. } => "sync-repeat",
            Sync::Backwards { .. } => "sync-backwards",
            Sync::Slow(_) => "sync-slow",
            Sync::Fail { .. } => "sync-fail",
            Sync::Retain { .. } => "sync-retain",
        },
        FaultKind::Metrics(..) => "metrics",
        FaultKind::Exec(_) => "exec",
    }
}

/// Every kind, as `kind` writes it: those of the client's side, then those of the target's.
pub(super) const NAMES: [&str; 45] = [
    "reset",
    "cut",
    "silent",
    "expire-token",
    "slow-reader",
    "no-pongs",
    "same-token",
    "outage",
    "restart",
    "exec",
    "pod-kill",
    "idle-timeout",
    "max-age",
    "refuse-publishes",
    "reject-tokens",
    "lose",
    "duplicate",
    "reorder",
    "reorder-rooms",
    "delay",
    "leak",
    "sync-omit",
    "deliver-rejected",
    "accept-unstored",
    "store-unanswered",
    "store-twice",
    "commit-late",
    "renumber",
    "deaf",
    "wrong-tenant",
    "no-hello",
    "late-hello",
    "early-hello",
    "stall",
    "no-pings",
    "close",
    "drop",
    "strange-frame",
    "sync-skip",
    "sync-repeat",
    "sync-backwards",
    "sync-slow",
    "sync-fail",
    "sync-retain",
    "metrics",
];
