//! ScaiWave's JSON read once more, the plain way: a whole `Value` first, then by the rules of protocol.md.

use serde_json::Value;
use wavesoak::wire::{PageError, RawStamp};

/// `content.wavesoak` of an event, if it is a stamp.
#[derive(Debug, PartialEq)]
pub(super) struct Stamp {
    pub(super) run: String,
    pub(super) room: u32,
    pub(super) n: Option<u32>,
    pub(super) due_ns: u64,
    pub(super) sent_ns: u64,
}

/// What is read of an event on the stream or in a page.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Event {
    pub(super) id: Option<String>,
    pub(super) room_id: Option<String>,
    pub(super) position: Option<u64>,
    pub(super) stamp: Option<Stamp>,
}

impl Event {
    /// Of any object.
    pub(super) fn of(object: &Value) -> Self {
        Self {
            id: text(object, "id"),
            room_id: text(object, "room_id"),
            position: object.get("stream_position").and_then(Value::as_u64),
            stamp: object.get("content").and_then(|content| Stamp::of(content.get("wavesoak")?)),
        }
    }

    /// The same as what was read; a run id with escapes in it is nobody's, and a `Value` no longer knows of escapes.
    pub(super) fn agrees(&self, other: &Self, escapes: bool) -> bool {
        let stamps = self.stamp == other.stamp || (escapes && other.stamp.is_none());
        stamps && (&self.id, &self.room_id, self.position) == (&other.id, &other.room_id, other.position)
    }
}

impl Stamp {
    fn of(value: &Value) -> Option<Self> {
        let object = value.as_object()?;
        let small = |value: &Value| u32::try_from(value.as_u64()?).ok();
        Some(Self {
            run: object.get("run")?.as_str()?.to_owned(),
            room: small(object.get("room")?)?,
            n: match object.get("n") {
                None | Some(Value::Null) => None,
                Some(n) => Some(small(n)?),
            },
            due_ns: object.get("due_ns")?.as_u64()?,
            sent_ns: object.get("sent_ns")?.as_u64()?,
        })
    }
}

impl From<RawStamp<'_>> for Stamp {
    fn from(stamp: RawStamp<'_>) -> Self {
        let RawStamp { run, room, n, due_ns, sent_ns } = stamp;
        Self { run: run.to_owned(), room, n, due_ns, sent_ns }
    }
}

/// A page of sync or history.
#[derive(Debug, PartialEq)]
pub(super) struct Page {
    pub(super) events: Vec<(bool, Event)>,
    pub(super) malformed: usize,
    pub(super) next_cursor: Option<u64>,
    pub(super) has_more: bool,
}

impl Page {
    /// Of a whole answer.
    pub(super) fn of(answer: &Value, history: bool) -> Result<Self, PageError> {
        let data = answer.get("data");
        let (rows, paging) = if history {
            (data, answer.get("meta"))
        } else {
            (data.filter(|data| data.is_object()).and_then(|data| data.get("events")), data)
        };
        let rows = rows.and_then(Value::as_array).ok_or(PageError::NoEvents)?;
        let paging = paging.filter(|paging| paging.is_object());
        let next_cursor = match paging.and_then(|paging| paging.get("next_cursor")) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.parse().map_err(|_| PageError::BadCursor)?),
            Some(other) => Some(other.as_u64().ok_or(PageError::BadCursor)?),
        };
        let has_more = paging.and_then(|paging| paging.get("has_more")?.as_bool());
        let mut events = Vec::new();
        for row in rows {
            if let Some(kind) = text(row, "event_type") {
                events.push((kind == "swp.room.message", Event::of(row)));
            }
        }
        let has_more = has_more.ok_or(PageError::NoHasMore)?;
        Ok(Self { malformed: rows.len() - events.len(), events, next_cursor, has_more })
    }
}

/// A text field of an object.
pub(super) fn text(object: &Value, key: &str) -> Option<String> {
    object.get(key).and_then(Value::as_str).map(str::to_owned)
}
