//! Where a missing event was missed: the proofs of design.md, in their order.

use super::client::{Bridge, Connection, Item, Past};
use super::intervals::Marks;
use crate::time::Timestamp;
use crate::wire::Position;

/// The connection worked and the event did not come: the server's.
pub(super) const ON_STREAM: Marks = 1;
/// A complete bridge asked for it and did not get it: the server's.
pub(super) const IN_SYNC: Marks = 2;
/// It fell between sync and stream: the documented order's.
pub(super) const IN_SEAM: Marks = 4;
/// The client's position had passed it: the documented "highest processed" rule's.
pub(super) const BEHIND_CURSOR: Marks = 8;
/// It has been counted in `stream_omitted`.
pub(super) const OMITTED: Marks = 16;

/// What the proofs need to know of an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) sent: Timestamp,
    pub(super) acked: Timestamp,
    /// Its position lies in `low..=high`; both are the position itself when it is known.
    pub(super) low: Position,
    pub(super) high: Position,
}

impl Facts {
    /// This connection should have brought it.
    pub(super) fn omitted_by(&self, hello: Timestamp, proved: Timestamp) -> bool {
        self.sent > hello && self.acked < proved
    }

    pub(super) fn omitted_by_live(&self, live: Option<Connection>) -> bool {
        live.is_some_and(|live| self.omitted_by(live.hello, live.proved))
    }

    /// A connection that has ended should have brought it.
    pub(super) fn omitted_before(&self, past: &Past) -> bool {
        past.items.iter().any(|(_, item)| match item {
            Item::Connection { hello, proved } => self.omitted_by(*hello, *proved),
            _ => false,
        })
    }

    fn missed_by(&self, bridge: &Bridge) -> bool {
        bridge.requests.iter().any(|&(at, since)| self.acked < at && since < self.low)
    }

    fn in_seam(&self, request: Timestamp, hello: Timestamp, position: Position) -> bool {
        let unknown = self.low != self.high;
        self.sent <= hello && self.acked >= request && (unknown || self.low > position)
    }

    /// The marks that everything that has ended gives; what is still open proves nothing for good.
    pub(super) fn marks(&self, past: &Past) -> Marks {
        let mut marks = if self.high <= past.floor { BEHIND_CURSOR } else { 0 };
        for (_, item) in &past.items {
            marks |= match item {
                Item::Connection { hello, proved } if self.omitted_by(*hello, *proved) => ON_STREAM,
                Item::Bridge(bridge) if self.missed_by(bridge) => IN_SYNC,
                Item::Seam { request, hello, position } if self.in_seam(*request, *hello, *position) => {
                    IN_SEAM
                }
                _ => 0,
            };
        }
        marks
    }

    /// Whether these marks say all that there will ever be to say: the client's stored position has passed the event's,
    /// so that it will never ask for it again, not even when it is started anew; there is a proof; and a better one is not to be had, neither from the
    /// connection that should have brought it (it is still open, and may yet be proved) nor from a bridge that has
    /// asked for it (and has not run to its end).
    pub(super) fn is_final(
        &self,
        marks: Marks,
        past: &Past,
        live: Option<Connection>,
        open: Option<&Bridge>,
    ) -> bool {
        let better = match Place::of(marks) {
            Place::Unplaced => return false,
            Place::OnStream => false,
            Place::InSync => self.should_come_by(live),
            Place::InSeam | Place::BehindCursor => {
                self.should_come_by(live) || open.is_some_and(|bridge| self.missed_by(bridge))
            }
        };
        past.stored >= self.high && !better
    }

    fn should_come_by(&self, live: Option<Connection>) -> bool {
        live.is_some_and(|live| self.sent > live.hello)
    }
}

/// The first proof that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// `missed_on_stream`
    OnStream,
    /// `missed_in_sync`
    InSync,
    /// `missed_in_seam`
    InSeam,
    /// `missed_behind_cursor`
    BehindCursor,
    /// `missed_unplaced`
    Unplaced,
}

impl Place {
    /// The first one in these marks; that an event was counted as omitted is no proof of its own.
    pub(super) fn of(marks: Marks) -> Self {
        [
            (ON_STREAM, Self::OnStream),
            (IN_SYNC, Self::InSync),
            (IN_SEAM, Self::InSeam),
            (BEHIND_CURSOR, Self::BehindCursor),
        ]
        .into_iter()
        .find(|(mark, _)| marks & mark != 0)
        .map_or(Self::Unplaced, |(_, place)| place)
    }

    /// The key of the summary.
    pub fn name(self) -> &'static str {
        match self {
            Self::OnStream => "missed_on_stream",
            Self::InSync => "missed_in_sync",
            Self::InSeam => "missed_in_seam",
            Self::BehindCursor => "missed_behind_cursor",
            Self::Unplaced => "missed_unplaced",
        }
    }
}
