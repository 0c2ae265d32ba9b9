//! What planted faults really did: effects, not intentions, so that the harness's count can be held against it.

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
    /// Streams that the balancer cut for idleness, planted or by its own timeout.
    pub streams_cut: u64,
}

impl Truth {
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
        self.streams_cut += other.streams_cut;
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
    /// Streams reset with their pod.
    pub connections_reset: u64,
    /// Long polls that died with their pod.
    pub polls_reset: u64,
    /// Streams that the balancer cut for idleness.
    pub streams_cut: u64,
    /// Publishes refused.
    pub publishes_refused: u64,
    /// Streams and requests refused for their token.
    pub tokens_refused: u64,
    /// Identities whose tokens are refused.
    pub identities_refused: u64,
    /// Events kept from one participant's streams.
    pub events_omitted: u64,
    /// Of these, the ones that sync and history hide from it as well.
    pub events_hidden: u64,
    /// Frames not written because of it: an event omitted counts once for each open connection.
    pub frames_omitted: u64,
    /// The first [`Omission::KEPT`] omitted events; `events_omitted` tells whether there were more.
    pub omissions: Vec<Omission>,
}

impl FaultTruth {
    /// How much was hit, in the unit of its kind: connections, publishes, refusals or events.
    pub fn affected(&self) -> u64 {
        self.connections_reset
            + self.streams_cut
            + self.publishes_refused
            + self.tokens_refused
            + self.events_omitted
    }

    fn merge(&mut self, other: &Self) {
        self.began = self.began.max(other.began);
        self.ended = self.ended.max(other.ended);
        self.connections_reset += other.connections_reset;
        self.polls_reset += other.polls_reset;
        self.streams_cut += other.streams_cut;
        self.publishes_refused += other.publishes_refused;
        self.tokens_refused += other.tokens_refused;
        self.identities_refused = self.identities_refused.max(other.identities_refused);
        self.events_omitted += other.events_omitted;
        self.events_hidden += other.events_hidden;
        self.frames_omitted += other.frames_omitted;
        self.omissions.extend(other.omissions.iter().cloned());
        self.omissions.truncate(Omission::KEPT);
    }
}

/// One event kept from one participant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Omission {
    /// Who did not get it.
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
    /// Connections that were open and did not get it.
    pub connections: u32,
}

impl Omission {
    /// Omissions kept one by one, per fault.
    pub const KEPT: usize = 10_000;
}
