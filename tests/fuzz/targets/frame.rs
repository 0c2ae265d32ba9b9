//! A text frame of the stream.

use serde_json::{Value, json};
use wavesoak::wire::{EventFrame, Frame, HelloFrame};

use super::oracle::{Event, text};
use super::within;

/// Everything that is no message and yet documented (protocol.md, section 4).
const OTHERS: [&str; 9] = [
    "presence",
    "swp.room.member",
    "swp.room.message.chunk",
    "swp.room.name",
    "swp.room.reaction",
    "swp.room.read_marker",
    "swp.room.redaction",
    "swp.room.topic",
    "typing",
];

/// The input is the frame; what is no UTF-8 never gets so far.
pub fn frame(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else { return };
    // Texts with escapes are unescaped into a buffer that doubles, and copied out of it.
    let read = within(6, input.len(), || Frame::parse(input));
    if let Ok(value) = serde_json::from_str::<Value>(input) {
        agrees(&read, &value, input.contains('\\'));
    }
    assert_eq!(Frame::parse(&written(&read)), read, "written and read again");
    if read != Frame::Malformed {
        assert_eq!(Frame::parse(&with_a_stranger(input)), read, "an unknown field changes nothing");
    }
}

fn agrees(read: &Frame<'_>, value: &Value, escapes: bool) {
    let kind = value.get("type").and_then(Value::as_str);
    match (read, kind) {
        (Frame::Message(event), Some("swp.room.message")) => {
            let should = Event::of(value);
            let event = Event::from(event);
            assert!(should.agrees(&event, escapes), "{event:?} is read, {should:?} is there");
        }
        (Frame::Hello(hello), Some("hello")) => {
            let owned = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map(str::to_owned);
            for (read, key) in [
                (&hello.session_id, "session_id"),
                (&hello.server_name, "server_name"),
                (&hello.tenant_id, "tenant_id"),
            ] {
                assert_eq!(owned(read), text(value, key), "{key}");
            }
        }
        (Frame::Ping, Some("ping")) | (Frame::Malformed, None) => {}
        (Frame::Known, Some(other)) => assert!(OTHERS.contains(&other), "{other}"),
        (Frame::Unknown, Some(other)) => {
            assert!(!OTHERS.contains(&other) && !["hello", "ping", "swp.room.message"].contains(&other));
        }
        _ => panic!("{read:?} is read, and the type is {kind:?}"),
    }
}

impl From<&EventFrame<'_>> for Event {
    fn from(event: &EventFrame<'_>) -> Self {
        Self {
            id: event.id.as_deref().map(str::to_owned),
            room_id: event.room_id.as_deref().map(str::to_owned),
            position: event.position,
            stamp: event.stamp.map(Into::into),
        }
    }
}

fn written(frame: &Frame<'_>) -> String {
    let value = match frame {
        Frame::Message(EventFrame { id, room_id, position, stamp }) => json!({
            "content": { "wavesoak": stamp, "body": "\u{e9}\"" },
            "stream_position": position, "room_id": room_id, "id": id, "type": "swp.room.message",
        }),
        Frame::Hello(HelloFrame { session_id, server_name, tenant_id }) => json!({
            "session_id": session_id, "server_name": server_name, "tenant_id": tenant_id, "type": "hello",
        }),
        Frame::Ping => json!({ "type": "ping" }),
        Frame::Known => json!({ "type": "presence" }),
        Frame::Unknown => json!({ "type": "" }),
        Frame::Malformed => Value::Null,
    };
    value.to_string()
}

fn with_a_stranger(text: &str) -> String {
    let stranger = r#"{"a stranger":[{"wavesoak":{"n":1},"type":"ping"},-1e300,"\ud800",null],"#;
    text.replacen('{', stranger, 1)
}
