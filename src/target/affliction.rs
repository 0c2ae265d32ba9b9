//! What planted faults do to one connection, and the proof of what its client could read of it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::time::Timestamp;

use super::faults::FaultIx;
use super::frame::Outgoing;
use super::registry::RoomIx;
use super::truth::Deed;

/// What a connection suffers; boxed, because nearly none does.
#[derive(Debug)]
pub(super) struct Affliction {
    /// No event reaches it.
    pub(super) deaf: Option<Deaf>,
    /// Nothing is written to it.
    pub(super) stalled: Option<FaultIx>,
    /// It is not pinged.
    pub(super) unpinged: Option<FaultIx>,
    /// Frames are held back.
    pub(super) held: Option<Held>,
    proof: Proof,
}

/// No event reaches the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deaf {
    pub(super) fault: FaultIx,
    /// It lasts as long as its fault; else it ends with a hello or a time of its own.
    pub(super) lasts: bool,
    /// What it misses counts: it has been said hello to, or will be.
    pub(super) counts: bool,
    /// The pod logs it, once.
    pub(super) logs: bool,
}

/// Frames that are held back, in order.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) fault: FaultIx,
    pub(super) until: Until,
    pub(super) frames: VecDeque<HeldFrame>,
}

/// What lets them go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// The next event of this room, which goes before them.
    NextOf(RoomIx),
    /// The next event of another room, which goes before them; those of this room wait behind them.
    NextBeside(RoomIx),
    /// Time; everything waits behind them.
    Due,
}

/// One of them.
#[derive(Debug)]
pub(super) struct HeldFrame {
    pub(super) frame: Arc<Outgoing>,
    pub(super) since: Timestamp,
    /// It may not go before this.
    pub(super) due: Timestamp,
}

impl Affliction {
    /// Of a connection with so many frames in its queue, that has left so many pings unanswered.
    pub(super) fn new(queued: usize, unanswered: u32) -> Self {
        Self {
            deaf: None,
            stalled: None,
            unpinged: None,
            held: None,
            proof: Proof {
                queued: queued as u64,
                written: 0,
                // The pongs that these bring prove nothing that is asked about later.
                pings: (0..unanswered).map(|_| 0).collect(),
                traces: VecDeque::new(),
            },
        }
    }

    /// A frame has gone into the queue.
    pub(super) fn queued(&mut self) {
        self.proof.queued += 1;
    }

    /// The oldest frame has been taken out to be written.
    pub(super) fn written(&mut self) {
        self.proof.written += 1;
    }

    /// A ping goes out behind all that was written.
    pub(super) fn pinged(&mut self) {
        self.proof.pings.push_back(self.proof.written);
    }

    /// A pong has come: its client has read all that was written before the oldest ping that is unanswered.
    pub(super) fn ponged(&mut self) {
        let Some(read) = self.proof.pings.pop_front() else { return };
        while self.proof.traces.front().is_some_and(|trace| trace.at <= read) {
            self.proof.traces.pop_front();
        }
    }

    /// This was done to what stands last in the queue now (or behind it, where something is missing there). When
    /// there are too many to remember, the oldest is answered: nobody will know whether it was read.
    pub(super) fn done(&mut self, fault: FaultIx, deed: Deed) -> Option<FaultIx> {
        let full = self.proof.traces.len() >= TRACES;
        let forgotten = if full { self.proof.traces.pop_front() } else { None };
        self.proof.traces.push_back(Trace { at: self.proof.queued, fault, deed });
        forgotten.map(|trace| trace.fault)
    }

    /// The connection has ended: what becomes of all that is not proved.
    pub(super) fn settle(self) -> Vec<(FaultIx, Fate)> {
        let written = self.proof.written;
        let fate = |trace: Trace| {
            let never = trace.at > written;
            (trace.fault, if never { Fate::NeverWritten(trace.deed) } else { Fate::Unproved })
        };
        let held = self.held.into_iter().flat_map(|held| held.frames.into_iter().map(move |_| held.fault));
        self.proof.traces.into_iter().map(fate).chain(held.map(|fault| (fault, Fate::Unproved))).collect()
    }
}

/// What becomes of a deed whose connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody could have noticed.
    NeverWritten(Deed),
    /// Nobody knows whether it was read.
    Unproved,
}

/// How far the client has been seen to read. Frames are numbered from 1, from when the affliction began.
#[derive(Debug)]
struct Proof {
    queued: u64,
    written: u64,
    /// For each unanswered ping: frames written before it.
    pings: VecDeque<u64>,
    traces: VecDeque<Trace>,
}

#[derive(Debug)]
struct Trace {
    at: u64,
    fault: FaultIx,
    deed: Deed,
}

/// Deeds remembered for one connection until they are proved.
const TRACES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use super::super::faults::Faults;
    use super::super::planted::PlantedKind;
    use super::*;

    fn fault() -> FaultIx {
        Faults::new(&Config::with_fault(PlantedKind::RefusePublishes, None)).find(0).expect("the only one")
    }

    #[test]
    fn a_pong_proves_what_was_written_before_its_ping_and_no_more() {
        let mut affliction = Affliction::new(0, 0);
        for _ in 0..3 {
            affliction.queued();
            affliction.done(fault(), Deed::FrameTwice);
        }
        affliction.written();
        affliction.pinged();
        affliction.written();
        affliction.ponged();
        assert_eq!(
            affliction.settle(),
            [(fault(), Fate::Unproved), (fault(), Fate::NeverWritten(Deed::FrameTwice))]
        );
    }

    #[test]
    fn a_pong_to_an_older_ping_proves_nothing() {
        let mut affliction = Affliction::new(0, 1);
        affliction.queued();
        affliction.done(fault(), Deed::FrameOmitted);
        affliction.written();
        affliction.pinged();
        affliction.ponged();
        assert_eq!(affliction.settle(), [(fault(), Fate::Unproved)]);
    }
}
