//! A stored message.

use serde::Deserialize;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::time::Timestamp;
use crate::wire::{Position, RawStamp, Stamp};

use super::registry::RoomIx;

/// One `swp.room.message` of a tenant's log.
#[derive(Debug)]
pub struct Event {
    /// `id`
    pub id: Uuid,
    /// `stream_position`
    pub position: Position,
    /// `room_id`
    pub room: Uuid,
    /// `sender_id`
    pub sender: Uuid,
    /// `content`
    pub content: Content,
    /// `origin_ts`, whole seconds of Unix time.
    pub origin_ts: u64,
    pub(super) room_ix: RoomIx,
    pub(super) event_uuid: Option<Uuid>,
}

/// The `content` of a message, with the harness's mark beside it: faults by coordinates match on it, and a
/// simulation that sends only marks never makes JSON.
#[derive(Debug)]
pub struct Content {
    mark: Option<Mark>,
    body: Body,
}

impl Content {
    /// JSON as it was sent; its mark is read once, here. Without a well-formed one it is a foreign message.
    pub fn json(text: Box<RawValue>) -> Self {
        let mark = serde_json::from_str::<Marked<'_>>(text.get()).ok().and_then(|marked| {
            let raw = marked.wavesoak?;
            Some(Mark { run: Uuid::try_parse(raw.run).ok()?, stamp: raw.of_run(raw.run)? })
        });
        Self { mark, body: Body::Json(text) }
    }

    /// A mark alone, for `bytes` of content that nobody looks at.
    pub fn marked(mark: Mark, bytes: u32) -> Self {
        Self { mark: Some(mark), body: Body::Size(bytes) }
    }

    /// The same once more.
    pub(super) fn twin(&self) -> Self {
        let body = match &self.body {
            Body::Json(text) => Body::Json(text.clone()),
            Body::Size(bytes) => Body::Size(*bytes),
        };
        Self { mark: self.mark, body }
    }

    /// The harness's mark, if it carries one.
    pub fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    /// Bytes of serialised content.
    pub fn bytes(&self) -> usize {
        match &self.body {
            Body::Json(text) => text.get().len(),
            Body::Size(bytes) => *bytes as usize,
        }
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Body::Json(text) = &self.body {
            return text.serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        if let Some(Mark { run, stamp }) = &self.mark {
            let run = run.to_string();
            let (due_ns, sent_ns) = (stamp.due.as_nanos(), stamp.sent.as_nanos());
            map.serialize_entry(
                "wavesoak",
                &RawStamp { run: &run, room: stamp.room, n: stamp.n, due_ns, sent_ns },
            )?;
        }
        map.end()
    }
}

/// `content.wavesoak`, with the run it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The run.
    pub run: Uuid,
    /// Room, sequence number and times.
    pub stamp: Stamp,
}

impl Mark {
    /// Room index and sequence number; markers and fences have none.
    pub fn coordinates(&self) -> Option<(u32, u32)> {
        Some((self.stamp.room, self.stamp.n?))
    }

    /// A mark of tests.
    pub fn at(room: u32, n: u32) -> Self {
        let stamp = Stamp { room, n: Some(n), due: Timestamp::ZERO, sent: Timestamp::ZERO };
        Self { run: Uuid::nil(), stamp }
    }
}

#[derive(Debug)]
enum Body {
    Json(Box<RawValue>),
    Size(u32),
}

#[derive(Deserialize)]
struct Marked<'a> {
    #[serde(borrow, default)]
    wavesoak: Option<RawStamp<'a>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &str) -> Content {
        Content::json(serde_json::from_str(text).expect("JSON"))
    }

    #[test]
    fn the_mark_is_read_from_json_and_the_json_is_left_as_it_was() {
        let text = r#"{"msgtype":"m.text","body":"é \n","wavesoak":{"run":"6f1f64a2-5fd3-4e2e-9f46-0242ac120002","room":3,"n":9,"due_ns":5,"sent_ns":6}}"#;
        let content = content(text);
        assert_eq!(content.mark().and_then(Mark::coordinates), Some((3, 9)));
        assert_eq!(content.bytes(), text.len());
        assert_eq!(serde_json::to_string(&content).expect("JSON"), text);
    }

    #[test]
    fn what_carries_no_mark_of_ours_is_foreign() {
        for text in [r#"{"body":"hi"}"#, r#"{"wavesoak":7}"#, r#"{"wavesoak":{"run":"x","room":1}}"#, "[]"] {
            assert_eq!(content(text).mark(), None, "{text}");
        }
    }

    #[test]
    fn a_mark_alone_still_makes_content_that_can_be_read_back() {
        let sent = Content::marked(Mark::at(2, 7), 300);
        let text = serde_json::to_string(&sent).expect("JSON");
        assert_eq!(content(&text).mark(), sent.mark());
    }
}
