//! The harness's own mark in `content.wavesoak`: latency and loss are computed from it alone.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A stamp as it stands in JSON, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawStamp<'a> {
    /// Run id, a UUID in its hyphenated text form.
    #[serde(borrow)]
    pub run: &'a str,
    /// Index of the room in the plan.
    pub room: u32,
    /// Sequence number in the room, dense from 0; markers and fences have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
    /// Intended send time, ns on the harness's clock.
    pub due_ns: u64,
    /// Time of the first attempt to send, ns on the harness's clock.
    pub sent_ns: u64,
}

/// A stamp of this very run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Index of the room in the plan.
    pub room: u32,
    /// Sequence number in the room; `None`: a marker or a fence.
    pub n: Option<u32>,
    /// Intended send time.
    pub due: Timestamp,
    /// Time of the first attempt to send.
    pub sent: Timestamp,
}

impl RawStamp<'_> {
    /// The stamp, if it is of the run with this id.
    pub fn of_run(&self, run: &str) -> Option<Stamp> {
        (self.run == run).then(|| Stamp {
            room: self.room,
            n: self.n,
            due: Timestamp::from_nanos(self.due_ns),
            sent: Timestamp::from_nanos(self.sent_ns),
        })
    }
}
