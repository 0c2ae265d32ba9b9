//! What planted faults really did: effects, not intentions, so that the harness's count can be held against it.
//!
//! What is done to the frames of a connection counts once a connection is there to suffer it, and is taken back when
//! that ends before the frame was written: nobody could have read it. What was written, and whose connection ended
//! before its client answered a later ping, may have been read or not: it is `unproved`. So the client's count of a
//! deed lies between `count - unproved` and `count`, and where `unproved` is 0 it must be exact.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::Timestamp;
use crate::wire::Position;

/// What the planted faults did, and what happened of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// One per target-side fault, in the order of the profile.
    pub faults: Vec<FaultTruth>,
    /// Frames that found a send queue full, over all lives of all pods.
    pub messages_dropped: u64,
    /// Log lines `ws.fanout_failed`.
    pub fanout_failed: u64,
    /// Events that became visible to a participant behind its last page of sync and before the hello of its next
    /// stream, and that it did not ask for again: what the documented order of a reconnect (sync, then stream) does
    /// not bring. Of a client that bridges in the other order it says nothing.
    pub in_seam: u64,
    /// Streams that the balancer cut for idleness, planted or by its own timeout.
    pub streams_cut: u64,
    /// Upgrades of each pod, in their order.
    pub pods: Vec<PodTruth>,
}

/// The upgrades of one pod, over all its lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodTruth {
    /// Streams that were said hello to.
    pub upgrades: u64,
    /// Of these: dropped because the pod did not have the identity's session.
    pub lost: u64,
}

impl Truth {
    /// How often all faults together did this.
    pub fn count(&self, deed: Deed) -> u64 {
        self.faults.iter().map(|fault| fault.count(deed)).sum()
    }

    /// Upgrades of all pods, and those of them that were lost to a missing session.
    pub fn upgrades(&self) -> (u64, u64) {
        self.pods.iter().fold((0, 0), |(upgrades, lost), pod| (upgrades + pod.upgrades, lost + pod.lost))
    }

    /// Of everything done to frames: what may not have been read.
    pub fn unproved(&self) -> u64 {
        self.faults.iter().map(|fault| fault.unproved).sum()
    }

    /// Adds what another part of the target (the balancer) knows about the same faults.
    pub fn merge(&mut self, other: &Self) {
        for theirs in &other.faults {
            match self.faults.iter_mut().find(|own| own.index == theirs.index) {
                Some(own) => own.merge(theirs),
                None => self.faults.push(theirs.clone()),
            }
        }
        self.faults.sort_by_key(|fault| fault.index);
        self.messages_dropped += other.messages_dropped;
        self.fanout_failed += other.fanout_failed;
        self.in_seam += other.in_seam;
        self.streams_cut += other.streams_cut;
        if self.pods.len() < other.pods.len() {
            self.pods.resize(other.pods.len(), PodTruth::default());
        }
        for (own, theirs) in self.pods.iter_mut().zip(&other.pods) {
            own.upgrades += theirs.upgrades;
            own.lost += theirs.lost;
        }
    }
}

/// The effects of one fault.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FaultTruth {
    /// Index of the fault in the profile.
    pub index: u32,
    /// Its name there.
    pub name: String,
    /// When it last began, on the target's clock.
    pub began: Option<Timestamp>,
    /// When it last ended; `None`: it lasts.
    pub ended: Option<Timestamp>,
    /// How often it did what; what it never did is left out.
    pub deeds: BTreeMap<Deed, u64>,
    /// Of what it did to frames: the connection ended before its client was seen to have read that far.
    pub unproved: u64,
    /// The first [`Hit::KEPT`] events it hit, by coordinates; for those that lost, one for each participant.
    pub hits: Vec<Hit>,
    /// How long each frame of [`Deed::FrameDelayed`] was held back; the first [`Hit::KEPT`].
    pub delays: Vec<Duration>,
}

impl FaultTruth {
    /// How often it did this.
    pub fn count(&self, deed: Deed) -> u64 {
        self.deeds.get(&deed).copied().unwrap_or(0)
    }

    /// How much was hit, in the unit of its kind: connections, frames, publishes, requests or refusals.
    pub fn affected(&self) -> u64 {
        let deeds: u64 =
            self.deeds.iter().filter(|(deed, _)| deed.is_primary()).map(|(_, count)| count).sum();
        deeds.max(self.count(Deed::EventHidden))
    }

    pub(super) fn add(&mut self, deed: Deed, count: u64) {
        if count > 0 {
            *self.deeds.entry(deed).or_default() += count;
        }
    }

    /// It did not come to that.
    pub(super) fn take_back(&mut self, deed: Deed) {
        if let Some(count) = self.deeds.get_mut(&deed) {
            *count = count.saturating_sub(1);
        }
    }

    pub(super) fn hit(&mut self, hit: Hit) {
        if self.hits.len() < Hit::KEPT {
            self.hits.push(hit);
        }
    }

    pub(super) fn delayed(&mut self, by: Duration) {
        if self.delays.len() < Hit::KEPT {
            self.delays.push(by);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.began = self.began.max(other.began);
        self.ended = self.ended.max(other.ended);
        for (&deed, &count) in &other.deeds {
            self.add(deed, count);
        }
        self.unproved += other.unproved;
        self.hits.extend(other.hits.iter().cloned());
        self.hits.truncate(Hit::KEPT);
        self.delays.extend(&other.delays);
        self.delays.truncate(Hit::KEPT);
    }
}

/// One effect of a fault. A frame counts once for each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// A stream was reset with its pod.
    ConnectionReset,
    /// A long poll died with its pod.
    PollReset,
    /// The balancer cut a stream for idleness.
    StreamCut,
    /// A publish was refused.
    PublishRefused,
    /// A stream or a request was refused for its token.
    TokenRefused,
    /// An identity whose tokens are refused.
    IdentityRefused,
    /// A frame was not written to a connection that should have got it.
    FrameOmitted,
    /// Sync and history hide an event from a participant.
    EventHidden,
    /// A frame was written a second time.
    FrameTwice,
    /// A frame was written behind a later one of its room.
    FrameBehindRoom,
    /// A frame was written behind a later one of another room, and behind none of its own.
    FrameBehindOthers,
    /// A frame was held back; see [`FaultTruth::delays`].
    FrameDelayed,
    /// A frame was written to somebody who is not in its room.
    FrameLeaked,
    /// A frame of a rejected publish was written.
    FrameUnexpected,
    /// A frame that does not belong there was written.
    FrameStrange,
    /// A frame was written whose position lies at or below a cursor that its reader had in sync.
    FrameBelowCursor,
    /// A publish was answered with 2xx and forgotten.
    PublishForgotten,
    /// An event was stored and its publisher not answered, however often it asked.
    PublishUnanswered,
    /// An event was stored twice.
    PublishTwice,
    /// An event became visible later than its position was given out.
    PublishLate,
    /// An event got a position that is too low.
    PublishRenumbered,
    /// A rejected publish was delivered.
    PublishUnexpected,
    /// A connection was never said hello to.
    HelloWithheld,
    /// A connection was said hello to late.
    HelloLate,
    /// A connection was said hello to before it was subscribed.
    HelloEarly,
    /// A hello named another tenant.
    HelloWrong,
    /// A ping was not sent.
    PingWithheld,
    /// A connection was closed with a close frame.
    ConnectionClosed,
    /// A connection was ended without one.
    ConnectionDropped,
    /// An event lies just behind a page border, and the cursor jumped over it.
    RowSkipped,
    /// An event at or below `since` was returned.
    RowRepeated,
    /// Of these: the page before it, of the same walk, had returned it already.
    RowTwiceInWalk,
    /// A page passed over an event that it should have held; counts once for an event and participant.
    RowOmitted,
    /// A cursor below `since` was given.
    CursorBackwards,
    /// A request was answered late.
    AnswerLate,
    /// A request was answered with a failure.
    AnswerFailed,
    /// A request was answered with 410.
    AnswerGone,
    /// An event that such an answer kept from a client that was not connected; counts once.
    RowGone,
    /// An event became visible while its reader was away, and lies at or below the position it came back with.
    EventBehindCursor,
    /// A connection that ended stayed in the gauge.
    ConnectionLeaked,
    /// A scrape was answered with something else than the truth.
    ScrapeAltered,
}

impl Deed {
    /// Counted in [`FaultTruth::affected`]; the others say more about the same.
    fn is_primary(self) -> bool {
        !matches!(
            self,
            Self::PollReset
                | Self::IdentityRefused
                | Self::EventHidden
                | Self::FrameUnexpected
                | Self::FrameBelowCursor
                | Self::RowTwiceInWalk
                | Self::RowGone
                | Self::EventBehindCursor
        )
    }
}

/// One event that was hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// Who did not get it (or got it in another way); of a publish: who published it.
    pub username: String,
    /// Index of the room in the plan.
    pub room: u32,
    /// Sequence number in the room.
    pub n: u32,
    /// `room_id`
    pub room_id: Uuid,
    /// The event's id.
    pub event_id: Uuid,
    /// Its position.
    pub position: Position,
    /// Hidden from sync and history as well.
    pub hidden: bool,
    /// Connections of this participant that were open.
    pub connections: u32,
}

impl Hit {
    /// Hits kept one by one, per fault.
    pub const KEPT: usize = 10_000;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truth_survives_the_way_from_a_child_process_and_merges() {
        let mut pods = FaultTruth { index: 1, name: "x".into(), unproved: 2, ..FaultTruth::default() };
        pods.add(Deed::FrameTwice, 3);
        pods.add(Deed::PollReset, 1);
        pods.take_back(Deed::FrameTwice);
        pods.delayed(Duration::from_millis(3));
        let mut truth = Truth { faults: vec![pods], fanout_failed: 1, ..Truth::default() };
        let text = serde_json::to_string(&truth).expect("plain data");
        let read: Truth = serde_json::from_str(&text).expect("its own text");
        assert_eq!(read, truth);
        truth.merge(&read);
        assert_eq!((truth.count(Deed::FrameTwice), truth.unproved(), truth.faults.len()), (4, 4, 1));
        assert_eq!(truth.faults[0].affected(), 4);
    }
}
