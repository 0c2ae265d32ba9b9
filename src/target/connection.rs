//! One open stream, as its pod keeps it.

use std::collections::VecDeque;
use std::sync::Arc;

use uuid::Uuid;

use crate::wire::Position;

use super::affliction::{Affliction, Deaf};
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
    /// The tenant's newest position when it was subscribed.
    pub(super) since: Position,
    /// What planted faults do to it.
    pub(super) affliction: Option<Box<Affliction>>,
    queue: VecDeque<Arc<Outgoing>>,
    /// The queue has been full since it was last empty.
    overflowing: bool,
}

impl Connection {
    pub(super) fn new(pod: u32, participant: ParticipantIx, token_id: u64, session: Uuid) -> Self {
        Self {
            pod,
            participant,
            token_id,
            session,
            unanswered: 0,
            since: 0,
            affliction: None,
            queue: VecDeque::new(),
            overflowing: false,
        }
    }

    /// What it suffers; nothing yet, perhaps.
    pub(super) fn afflict(&mut self) -> &mut Affliction {
        let (queued, unanswered) = (self.queue.len(), self.unanswered);
        self.affliction.get_or_insert_with(|| Box::new(Affliction::new(queued, unanswered)))
    }

    /// Nothing is written to it.
    pub(super) fn is_stalled(&self) -> bool {
        self.affliction.as_ref().is_some_and(|affliction| affliction.stalled.is_some())
    }

    /// No event reaches it.
    pub(super) fn deaf(&self) -> Option<Deaf> {
        self.affliction.as_ref().and_then(|affliction| affliction.deaf)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Puts a frame in the queue, unless it holds `limit` already.
    pub(super) fn push(&mut self, frame: &Arc<Outgoing>, limit: u32) -> Pushed {
        if self.queue.len() >= limit as usize {
            let first = !std::mem::replace(&mut self.overflowing, true);
            return Pushed::Dropped { first };
        }
        self.queue.push_back(Arc::clone(frame));
        if let Some(affliction) = &mut self.affliction {
            affliction.queued();
        }
        if self.queue.len() == 1 { Pushed::First } else { Pushed::Behind }
    }

    /// Takes the oldest frame.
    pub(super) fn pull(&mut self) -> Option<Arc<Outgoing>> {
        if self.is_stalled() {
            return None;
        }
        let frame = self.queue.pop_front();
        if let (Some(affliction), Some(_)) = (&mut self.affliction, &frame) {
            affliction.written();
        }
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
