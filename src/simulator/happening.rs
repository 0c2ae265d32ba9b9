//! The event queue: by time, and in the order of asking where times are equal.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BinaryHeap;

use super::network::{Parcel, Upward};
use super::requests::Answer;
use crate::time::Timestamp;

/// Something that happens at a moment.
#[derive(Debug)]
pub(super) enum Happening {
    ConductorWake,
    BackendWake,
    ClientWake {
        client: u32,
    },
    Scrape,
    Health,
    Interval,
    /// Positions are made durable.
    Flush,
    /// A connection's first byte reaches the balancer (or the pod).
    Dialled {
        link: u64,
    },
    /// Something reaches the client.
    Arrived {
        link: u64,
        parcel: Parcel,
    },
    /// A slow client looks at what has reached it.
    ReadSlowly {
        link: u64,
    },
    /// Something reaches the pod.
    Sent {
        link: u64,
        parcel: Upward,
    },
    /// Has the connection been idle for too long?
    IdleCheck {
        link: u64,
    },
    /// A request reaches the balancer (or the pod).
    Asked {
        request: u64,
    },
    /// Its answer reaches the one who asked.
    Answered {
        request: u64,
        answer: Answer,
    },
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    order: BinaryHeap<Reverse<(Timestamp, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    next: u64,
}

impl Agenda {
    pub(super) fn at(&mut self, at: Timestamp, happening: Happening) {
        self.order.push(Reverse((at, self.next)));
        self.happenings.insert(self.next, happening);
        self.next += 1;
    }

    pub(super) fn next(&mut self) -> Option<(Timestamp, Happening)> {
        let Reverse((at, number)) = self.order.pop()?;
        Some((at, self.happenings.remove(&number)?))
    }
}
