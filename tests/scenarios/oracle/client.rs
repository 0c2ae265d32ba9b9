//! What one client has been through: everything, and for ever.

use std::collections::{BTreeMap, BTreeSet};

use wavesoak::time::Timestamp;

use super::{Channel, Key};

/// One client.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// `last_stream_position`: the highest of the positions on the stream and of the cursors of sync; while a bridge
    /// is open beside the stream, of the cursors alone.
    pub(super) position: u64,
    /// What its store has of that; 0: nothing.
    pub(super) stored: u64,
    /// Where it begins when nothing is stored.
    start: u64,
    /// The highest position that it held when it was started again.
    pub(super) replay_until: u64,
    /// What has come since it was last started again.
    pub(super) since_restart: BTreeSet<Key>,
    /// What the stream will add when the bridge that is open has run to its end.
    waiting: u64,
    /// The highest `since` and `next_cursor` so far.
    pub(super) cursor: u64,
    /// Its positions when a bridge (or poll) began, and at its hellos.
    pub(super) held: Vec<u64>,
    /// The connection that is open and has said hello.
    pub(super) connection: Option<Connection>,
    /// Those that have ended.
    pub(super) connections: Vec<Connection>,
    /// The bridge (or poll) that is open.
    pub(super) bridge: Option<Bridge>,
    /// Those that ran to `has_more` false.
    pub(super) bridges: Vec<Bridge>,
    /// When the last request since the last hello left.
    pub(super) last_request: Option<Timestamp>,
    /// Last bridging request, hello, and the position at that hello.
    pub(super) seams: Vec<(Timestamp, Timestamp, u64)>,
    pub(super) span: Option<Span>,
    /// What the current connection, or the last one, has brought.
    pub(super) on_connection: BTreeSet<Key>,
    /// What first came by sync in this cycle.
    pub(super) by_sync: BTreeSet<Key>,
    /// What the bridge that is open has brought.
    pub(super) in_bridge: BTreeSet<Key>,
}

/// From a hello to the end that the plan wants.
#[derive(Clone, Debug, Default)]
pub(super) struct Span {
    pub(super) opened: Timestamp,
    /// First arrivals: whether on the stream.
    pub(super) arrived: BTreeMap<Key, bool>,
    /// It became final that they did not arrive.
    pub(super) missed: BTreeSet<Key>,
    /// And then they did.
    pub(super) resurrected: BTreeSet<Key>,
}

/// A connection that has said hello.
#[derive(Debug, Default)]
pub(super) struct Connection {
    pub(super) hello: Timestamp,
    pub(super) proofs: Vec<Proof>,
    /// Room and position of the first arrivals on it.
    pub(super) brought: Vec<(u32, u64)>,
}

/// A sign that a connection worked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Proof {
    /// A ping came then.
    Ping(Timestamp),
    /// An event came then that had first been sent at `sent`.
    Event { at: Timestamp, sent: Timestamp },
}

/// The requests of a bridge, with their `since`.
#[derive(Clone, Debug, Default)]
pub(super) struct Bridge {
    pub(super) requests: Vec<(Timestamp, u64)>,
}

impl Client {
    pub(super) fn at(position: u64) -> Self {
        Self { position, start: position, ..Self::default() }
    }

    /// Where it is to begin when its process is started again.
    pub(super) fn begins_at(&self) -> u64 {
        if self.stored > 0 { self.stored } else { self.start }
    }

    /// Its process, which had died, is there again.
    pub(super) fn restarted(&mut self) {
        self.replay_until = self.replay_until.max(self.position);
        self.position = self.begins_at();
        self.cursor = self.cursor.min(self.position);
        self.since_restart.clear();
    }

    /// A message with this position has come on the stream.
    pub(super) fn passed(&mut self, position: Option<u64>) {
        let position = position.unwrap_or(0);
        let mark = if self.bridge.is_some() { &mut self.waiting } else { &mut self.position };
        *mark = position.max(*mark);
    }

    /// The bridge is over; `passed`: what came on the stream meanwhile counts now.
    pub(super) fn bridge_over(&mut self, complete: bool, passed: bool) {
        let Some(bridge) = self.bridge.take() else { return };
        if complete {
            self.bridges.push(bridge);
        }
        let waiting = std::mem::take(&mut self.waiting);
        if passed && self.connection.is_some() {
            self.position = self.position.max(waiting);
        }
        self.in_bridge.clear();
    }

    /// The connection is over, if there was one.
    pub(super) fn disconnected(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.connections.push(connection);
            self.by_sync.clear();
        }
    }

    /// Notes by which way an event has come.
    pub(super) fn took(&mut self, key: Key, channel: Channel, first: bool) {
        self.since_restart.insert(key);
        match channel {
            Channel::Stream { .. } => {
                self.on_connection.insert(key);
            }
            Channel::Sync { .. } => {
                self.in_bridge.insert(key);
                if first {
                    self.by_sync.insert(key);
                }
            }
        }
    }

    /// To be called only where a span is open.
    pub(super) fn span_mut(&mut self) -> &mut Span {
        self.span.as_mut().expect("a span is open")
    }
}

impl Connection {
    /// Whether a first arrival (of this room, or of any) had a higher position.
    pub(super) fn brought_above(&self, room: Option<u32>, position: u64) -> bool {
        self.brought.iter().any(|&(of, other)| room.is_none_or(|room| room == of) && other > position)
    }
}
