//! One open stream, as its pod keeps it.

use std::collections::VecDeque;
use std::sync::Arc;

use uuid::Uuid;

use super::frame::Outgoing;
use super::registry::ParticipantIx;

/// Names a connection; made up by whoever opens it, and never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// One open stream.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) pod: u32,
    pub(super) participant: ParticipantIx,
    pub(super) token_id: u64,
    pub(super) session: Uuid,
    /// Pings sent since the last pong.
    pub(super) unanswered: u32,
    queue: VecDeque<Arc<Outgoing>>,
    /// The queue has been full since it was last empty.
    overflowing: bool,
}

impl Connection {
    pub(super) fn new(pod: u32, participant: ParticipantIx, token_id: u64, session: Uuid) -> Self {
        let queue = VecDeque::new();
        Self { pod, participant, token_id, session, unanswered: 0, queue, overflowing: false }
    }

    /// Puts a frame in the queue, unless it holds `limit` already.
    pub(super) fn push(&mut self, frame: &Arc<Outgoing>, limit: u32) -> Pushed {
        if self.queue.len() >= limit as usize {
            let first = !std::mem::replace(&mut self.overflowing, true);
            return Pushed::Dropped { first };
        }
        self.queue.push_back(Arc::clone(frame));
        if self.queue.len() == 1 { Pushed::First } else { Pushed::Behind }
    }

    /// Takes the oldest frame.
    pub(super) fn pull(&mut self) -> Option<Arc<Outgoing>> {
        let frame = self.queue.pop_front();
        if self.queue.is_empty() {
            self.overflowing = false;
            // A burst must not leave its buffer behind on each of very many quiet connections.
            if self.queue.capacity() > QUIET_CAPACITY {
                self.queue = VecDeque::new();
            }
        }
        frame
    }
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It is alone in the queue: whoever writes has to be told.
    First,
    /// Others are before it.
    Behind,
    /// There was no room for it.
    Dropped {
        /// The first one since the queue was last empty.
        first: bool,
    },
}

const QUIET_CAPACITY: usize = 16;
