//! Pages of `GET /v1/sync` (protocol.md, section 7).

use std::borrow::Cow;

use super::stamp::RawStamp;

/// One page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SyncPage<'a> {
    /// `data.events`, as the server ordered them.
    pub events: Vec<SyncEvent<'a>>,
    /// `data.next_cursor`; absent or null leaves the position unchanged.
    pub next_cursor: Option<u64>,
    /// `data.has_more`
    pub has_more: bool,
}

/// One event of a page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SyncEvent<'a> {
    /// `id`
    pub id: Option<Cow<'a, str>>,
    /// `room_id`
    pub room_id: Option<Cow<'a, str>>,
    /// `stream_position`
    pub position: Option<u64>,
    /// `event_type` is `swp.room.message`.
    pub is_message: bool,
    /// `content.wavesoak`, if it is there and well formed.
    pub stamp: Option<RawStamp<'a>>,
}
