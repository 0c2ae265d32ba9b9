//! What is sent to ScaiWave: the body of a publish, the JSON pong.

use uuid::Uuid;

use super::stamp::RawStamp;

/// The answer to a JSON `{"type":"ping"}`.
pub const PONG: &str = r#"{"type":"pong"}"#;

/// The least `payload_bytes` that holds any stamp of a hyphenated run id: numbers of 20 and 10 digits, empty body.
pub const CONTENT_MIN: usize = HEAD.len()
    + MIDDLE.len()
    + r#"{"run":"","room":,"n":,"due_ns":,"sent_ns":}"#.len()
    + RUN_DIGITS
    + 2 * U32_DIGITS
    + 2 * U64_DIGITS
    + TAIL.len();

/// Appends the body of `POST /v1/rooms/{room_id}/send`,
/// `{"content":{"msgtype":"text","body":…,"wavesoak":…},"event_uuid":…}`, whose serialised content is exactly
/// `payload_bytes` long when that is at least [`CONTENT_MIN`]. A smaller content than its own stamp cannot be: it
/// is then as short as it can be. Returns the length of the content.
pub fn send_body(stamp: &RawStamp<'_>, event_uuid: Uuid, payload_bytes: usize, out: &mut String) -> usize {
    let stamp = serde_json::to_string(stamp).expect("a stamp has only texts and numbers");
    let fixed = HEAD.len() + MIDDLE.len() + stamp.len() + TAIL.len();
    let padding = payload_bytes.saturating_sub(fixed);
    out.reserve(fixed + padding + 80);
    out.push_str(r#"{"content":"#);
    let start = out.len();
    out.push_str(HEAD);
    pad(padding, out);
    out.push_str(MIDDLE);
    out.push_str(&stamp);
    out.push_str(TAIL);
    let content = out.len() - start;
    out.push_str(r#","event_uuid":""#);
    out.push_str(event_uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
    out.push_str("\"}");
    content
}

const HEAD: &str = r#"{"msgtype":"text","body":""#;
const MIDDLE: &str = r#"","wavesoak":"#;
const TAIL: &str = "}";
const RUN_DIGITS: usize = 36;
const U32_DIGITS: usize = 10;
const U64_DIGITS: usize = 20;

/// Words, because a search index follows every message in a normal room: one huge token, or one letter repeated,
/// would load it in a way that no chat does.
const WORDS: &str =
    "the quick brown fox jumps over the lazy dog and then takes a rest under the old oak tree ";

fn pad(mut bytes: usize, out: &mut String) {
    while bytes > WORDS.len() {
        out.push_str(WORDS);
        bytes -= WORDS.len();
    }
    out.push_str(&WORDS[..bytes]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::{PAYLOAD_MAX, PAYLOAD_MIN};
    use crate::wire::Frame;

    const RUN: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    #[test]
    fn the_largest_stamp_needs_exactly_the_least_content() {
        let stamp =
            RawStamp { run: RUN, room: u32::MAX, n: Some(u32::MAX), due_ns: u64::MAX, sent_ns: u64::MAX };
        assert_eq!(send_body(&stamp, Uuid::nil(), 0, &mut String::new()), CONTENT_MIN);
        assert!(CONTENT_MIN <= PAYLOAD_MIN as usize, "{CONTENT_MIN}");
    }

    #[test]
    fn a_marker_has_no_n() {
        let stamp = RawStamp { run: RUN, room: 1, n: None, due_ns: 2, sent_ns: 3 };
        let mut body = String::new();
        send_body(&stamp, Uuid::nil(), 200, &mut body);
        assert!(!body.contains("\"n\""), "{body}");
    }

    proptest! {
        #[test]
        fn what_is_sent_comes_back_from_the_stream(
            room: u32, n: Option<u32>, due_ns: u64, sent_ns: u64, id: u128,
            payload in PAYLOAD_MIN..PAYLOAD_MAX,
        ) {
            let stamp = RawStamp { run: RUN, room, n, due_ns, sent_ns };
            let (uuid, mut body) = (Uuid::from_u128(id), "kept".to_owned());
            prop_assert_eq!(send_body(&stamp, uuid, payload as usize, &mut body), payload as usize);
            let body = body.strip_prefix("kept").expect("appended");
            let value: serde_json::Value = serde_json::from_str(body).expect("JSON");
            prop_assert_eq!(&value["event_uuid"], &uuid.to_string());
            let content = body.strip_prefix(r#"{"content":"#).and_then(|rest| rest.get(..payload as usize));
            let frame = format!(r#"{{"type":"swp.room.message","content":{}}}"#, content.expect("the content"));
            let Frame::Message(event) = Frame::parse(&frame) else { panic!("a message") };
            prop_assert_eq!(event.stamp, Some(stamp));
        }
    }
}
