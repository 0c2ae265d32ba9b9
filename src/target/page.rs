//! What sync and history answer.

use std::sync::Arc;
use std::time::Duration;

use crate::time::Timestamp;
use crate::wire::Position;

use super::event::Event;
use super::registry::ParticipantIx;

/// Names a blocked sync request; made up by whoever asks, and never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(pub u64);

/// What `GET /v1/sync` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncQuery {
    /// `since`, exclusive (ours).
    pub since: Position,
    /// `limit`; what is above [`SyncQuery::LIMIT_MAX`] counts as that, 0 as 1 (ours).
    pub limit: u32,
    /// `timeout`: how long to wait when there is nothing new.
    pub timeout: Duration,
}

impl SyncQuery {
    /// Documented default of `limit`.
    pub const LIMIT: u32 = 100;
    /// Documented maximum of `limit`.
    pub const LIMIT_MAX: u32 = 500;
    /// Documented default of `timeout`.
    pub const TIMEOUT: Duration = Duration::from_secs(30);
    /// No request waits longer (ours: no maximum is documented).
    pub const TIMEOUT_MAX: Duration = Duration::from_secs(120);
}

impl Default for SyncQuery {
    fn default() -> Self {
        Self { since: 0, limit: Self::LIMIT, timeout: Self::TIMEOUT }
    }
}

/// The answer to a sync request.
#[derive(Debug)]
pub enum SyncReply {
    /// At once.
    Page(Page),
    /// Later, as [`super::Effect::SyncReady`].
    Waiting,
}

/// A page of sync.
#[derive(Debug)]
pub struct Page {
    /// Ascending by position.
    pub events: Vec<Arc<Event>>,
    /// Position of the last event, or `since` when there is none (ours).
    pub next_cursor: Position,
    /// There are more events behind these.
    pub has_more: bool,
}

/// What `GET /v1/rooms/{room_id}/messages` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// `from`, exclusive (ours); `None`: from the newest (back) or the oldest (forward).
    pub from: Option<Position>,
    /// `limit`; what is above [`HistoryQuery::LIMIT_MAX`] counts as that, 0 as 1 (ours).
    pub limit: u32,
    /// `direction`
    pub direction: Direction,
}

impl HistoryQuery {
    /// Documented default of `limit`.
    pub const LIMIT: u32 = 50;
    /// Documented maximum of `limit`.
    pub const LIMIT_MAX: u32 = 200;
}

impl Default for HistoryQuery {
    fn default() -> Self {
        Self { from: None, limit: Self::LIMIT, direction: Direction::Back }
    }
}

/// `direction` of a history request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Newest first (documented default).
    Back,
    /// Oldest first.
    Forward,
}

/// A page of room history.
#[derive(Debug)]
pub struct HistoryPage {
    /// In the direction asked for.
    pub events: Vec<Arc<Event>>,
    /// `meta.next_cursor` (a string on the wire): position of the last event; `None`: that was all.
    pub next_cursor: Option<Position>,
    /// `meta.has_more`
    pub has_more: bool,
}

/// A blocked sync request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    pub(super) pod: u32,
    pub(super) participant: ParticipantIx,
    pub(super) since: Position,
    pub(super) limit: u32,
    pub(super) deadline: Timestamp,
}
