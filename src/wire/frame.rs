//! Frames of the stream (protocol.md, sections 3 and 4).

use std::borrow::Cow;

use serde::de::MapAccess;

use super::lenient::{Key, Take, Taken, Text, Whole, skip, value};
use super::stamp::{Content, RawStamp};

/// One text frame, told apart by `type`; only `type` is sure to be there.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame<'a> {
    /// `hello`
    Hello(HelloFrame<'a>),
    /// `swp.room.message`
    Message(EventFrame<'a>),
    /// A JSON `{"type":"ping"}`
    Ping,
    /// Any other documented type: reactions, members, typing, presence, chunks …
    Known,
    /// A type that the documentation does not have.
    Unknown,
    /// Not a JSON object with a text `type`.
    Malformed,
}

/// The opening frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HelloFrame<'a> {
    /// `session_id`
    pub session_id: Option<Cow<'a, str>>,
    /// `server_name`
    pub server_name: Option<Cow<'a, str>>,
    /// `tenant_id`
    pub tenant_id: Option<Cow<'a, str>>,
}

/// A message on the stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventFrame<'a> {
    /// `id`
    pub id: Option<Cow<'a, str>>,
    /// `room_id`
    pub room_id: Option<Cow<'a, str>>,
    /// `stream_position`; a frame without it moves no position.
    pub position: Option<u64>,
    /// `content.wavesoak`, if it is there and well formed.
    pub stamp: Option<RawStamp<'a>>,
}

impl<'a> Frame<'a> {
    /// Reads one frame in one pass, borrowing its texts; never fails: what cannot be read is
    /// [`Frame::Malformed`]. Unknown fields are skipped, of equal keys the last one counts, and a known field of
    /// an unexpected shape counts as absent.
    pub fn parse(text: &'a str) -> Self {
        match serde_json::from_str::<Taken<Fields<'a>>>(text) {
            Ok(Taken(fields)) => fields.into_frame(),
            Err(_) => Self::Malformed,
        }
    }
}

/// The documented types that carry no message (protocol.md, section 4).
const KNOWN: [&str; 9] = [
    "swp.room.message.chunk",
    "swp.room.reaction",
    "swp.room.redaction",
    "swp.room.member",
    "swp.room.name",
    "swp.room.topic",
    "swp.room.read_marker",
    "typing",
    "presence",
];

/// `type` or `event_type` of a message.
pub(super) const MESSAGE: &str = "swp.room.message";

/// The union of the fields of all frames that are read: `type` may come last.
#[derive(Default)]
struct Fields<'a> {
    kind: Option<Kind>,
    event: EventFrame<'a>,
    hello: HelloFrame<'a>,
}

impl<'a> Fields<'a> {
    fn into_frame(self) -> Frame<'a> {
        match self.kind {
            Some(Kind::Hello) => Frame::Hello(self.hello),
            Some(Kind::Message) => Frame::Message(self.event),
            Some(Kind::Ping) => Frame::Ping,
            Some(Kind::Known) => Frame::Known,
            Some(Kind::Unknown) => Frame::Unknown,
            None => Frame::Malformed,
        }
    }
}

impl<'a> Take<'a> for Fields<'a> {
    fn map<A: MapAccess<'a>>(mut map: A) -> Result<Self, A::Error> {
        let mut fields = Self::default();
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                b"type" => fields.kind = value::<OptionalKind, _>(&mut map)?.0,
                b"id" => fields.event.id = value::<Text<'a>, _>(&mut map)?.0,
                b"room_id" => fields.event.room_id = value::<Text<'a>, _>(&mut map)?.0,
                b"stream_position" => fields.event.position = value::<Whole, _>(&mut map)?.0,
                b"content" => fields.event.stamp = value::<Content<'a>, _>(&mut map)?.stamp,
                b"session_id" => fields.hello.session_id = value::<Text<'a>, _>(&mut map)?.0,
                b"server_name" => fields.hello.server_name = value::<Text<'a>, _>(&mut map)?.0,
                b"tenant_id" => fields.hello.tenant_id = value::<Text<'a>, _>(&mut map)?.0,
                _ => skip(&mut map)?,
            }
        }
        Ok(fields)
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Hello,
    Message,
    Ping,
    Known,
    Unknown,
}

/// `None`: the type is no text.
#[derive(Default)]
struct OptionalKind(Option<Kind>);

impl<'a> Take<'a> for OptionalKind {
    fn text(text: Cow<'a, str>) -> Self {
        Self(Some(match &*text {
            MESSAGE => Kind::Message,
            "hello" => Kind::Hello,
            "ping" => Kind::Ping,
            known if KNOWN.contains(&known) => Kind::Known,
            _ => Kind::Unknown,
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_gives_id_room_position_and_stamp() {
        let text = r#"{"type":"swp.room.message","id":"e1","room_id":"r1","sender_id":"p","content":{"msgtype":
            "text","body":"a \" b","wavesoak":{"run":"u","room":3,"n":7,"due_ns":10,"sent_ns":11}},
            "stream_position":42,"origin_ts":1}"#;
        let stamp = RawStamp { run: "u", room: 3, n: Some(7), due_ns: 10, sent_ns: 11 };
        let event = EventFrame {
            id: Some("e1".into()),
            room_id: Some("r1".into()),
            position: Some(42),
            stamp: Some(stamp),
        };
        assert_eq!(Frame::parse(text), Frame::Message(event));
    }

    #[test]
    fn unescaped_texts_are_borrowed_and_escaped_ones_are_read() {
        let Frame::Message(event) =
            Frame::parse(r#"{"id":"a\u0062c","room_id":"r","type":"swp.room.mess\u0061ge"}"#)
        else {
            panic!("an escaped type is still a message")
        };
        assert_eq!(event.id.as_deref(), Some("abc"));
        assert!(matches!(event.room_id, Some(Cow::Borrowed("r"))));
    }

    #[test]
    fn hello_may_lack_everything_but_its_type() {
        assert_eq!(Frame::parse(r#"{"type":"hello"}"#), Frame::Hello(HelloFrame::default()));
        let full = r#"{"type":"hello","session_id":"s","server_name":"n","tenant_id":"t","ts":"2026-05-17T00:00:00Z"}"#;
        let hello = HelloFrame {
            session_id: Some("s".into()),
            server_name: Some("n".into()),
            tenant_id: Some("t".into()),
        };
        assert_eq!(Frame::parse(full), Frame::Hello(hello));
    }

    #[test]
    fn fields_of_a_strange_shape_count_as_absent() {
        let strange = ["null", "-1", "1.5", "\"9\"", "[1]", "{\"a\":1}", "true", "99999999999999999999"];
        for shape in strange {
            let text =
                format!(r#"{{"type":"swp.room.message","stream_position":{shape},"content":{shape}}}"#);
            let Frame::Message(event) = Frame::parse(&text) else { panic!("{text} is a message") };
            assert_eq!((event.position, event.stamp), (None, None), "{text}");
        }
        for shape in ["null", "1", "[]", "{}", "false"] {
            let text = format!(r#"{{"type":"swp.room.message","id":{shape},"room_id":{shape}}}"#);
            assert_eq!(Frame::parse(&text), Frame::Message(EventFrame::default()), "{text}");
        }
    }

    #[test]
    fn a_foreign_wavesoak_gives_no_stamp() {
        let foreign = [
            "null",
            "7",
            "[]",
            "{}",
            r#"{"run":"u","room":3,"due_ns":1}"#,
            r#"{"run":"u","room":-3,"due_ns":1,"sent_ns":1}"#,
            r#"{"run":"u","room":4294967296,"due_ns":1,"sent_ns":1}"#,
            r#"{"run":"u","room":3,"n":"0","due_ns":1,"sent_ns":1}"#,
            r#"{"run":"u","room":3,"n":-1,"due_ns":1,"sent_ns":1}"#,
            r#"{"run":"\u0075","room":3,"n":1,"due_ns":1,"sent_ns":1}"#,
        ];
        for shape in foreign {
            let text = format!(r#"{{"type":"swp.room.message","content":{{"wavesoak":{shape}}}}}"#);
            assert_eq!(Frame::parse(&text), Frame::Message(EventFrame::default()), "{text}");
        }
    }

    #[test]
    fn of_equal_keys_the_last_one_counts() {
        let text = r#"{"type":"ping","type":"swp.room.message","stream_position":1,"stream_position":2}"#;
        let event = EventFrame { position: Some(2), ..EventFrame::default() };
        assert_eq!(Frame::parse(text), Frame::Message(event));
    }

    #[test]
    fn types_are_told_apart() {
        for known in KNOWN {
            assert_eq!(Frame::parse(&format!(r#"{{"type":"{known}","event_id":"x"}}"#)), Frame::Known);
        }
        assert_eq!(Frame::parse(r#"{"type":"ping"}"#), Frame::Ping);
        assert_eq!(Frame::parse(r#"{"type":"swp.room.sticker"}"#), Frame::Unknown);
        for malformed in
            ["", "null", "[]", "7", "{}", r#"{"type":7}"#, r#"{"type":"ping""#, r#"{"type":"ping"}x"#]
        {
            assert_eq!(Frame::parse(malformed), Frame::Malformed, "{malformed}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_in_someone_elses_text_loses_nothing() {
        let text = r#"{"type":"swp.room.message","\ud800":1,"content":{"\ud800":2,"body":"\ud800"},"stream_position":3}"#;
        let event = EventFrame { position: Some(3), ..EventFrame::default() };
        assert_eq!(Frame::parse(text), Frame::Message(event));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}") {
            Frame::parse(&text);
        }

        #[test]
        fn no_json_panics(
            kind in "(swp\\.room\\.message|hello|ping)",
            keys in proptest::collection::vec(("(type|id|content|wavesoak|stream_position|tenant_id|x)", json()), 0..6),
        ) {
            let body: String = keys.iter().map(|(key, value)| format!(",\"{key}\":{value}")).collect();
            let frame = Frame::parse(Box::leak(format!("{{\"type\":\"{kind}\"{body}}}").into_boxed_str()));
            let retyped = keys.iter().any(|(key, _)| key == "type");
            prop_assert!(retyped || frame != Frame::Malformed);
        }
    }

    /// Any JSON value, a few levels deep.
    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|flag| flag.to_string()),
            any::<i64>().prop_map(|number| number.to_string()),
            any::<u64>().prop_map(|number| number.to_string()),
            "[a-z\\\\]{0,5}".prop_map(|text| serde_json::to_string(&text).expect("a text")),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4)
                    .prop_map(|list| format!("[{}]", list.join(","))),
                proptest::collection::vec(("(run|room|n|wavesoak|y)", inner), 0..4).prop_map(|entries| {
                    let entries: Vec<String> =
                        entries.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                    format!("{{{}}}", entries.join(","))
                }),
            ]
        })
    }
}
