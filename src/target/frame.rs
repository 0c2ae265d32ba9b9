//! What goes out on a stream, encoded once however many connections it goes to.

use serde::Serialize;
use uuid::Uuid;

use std::sync::Arc;
#[cfg(feature = "live")]
use std::sync::OnceLock;

#[cfg(feature = "live")]
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::profile::Strange;

use super::event::{Content, Event};

/// A text frame on its way to one or many connections.
#[derive(Debug)]
pub struct Outgoing {
    frame: ServerFrame,
    #[cfg(feature = "live")]
    encoded: OnceLock<Utf8Bytes>,
}

impl Outgoing {
    pub(super) fn new(frame: ServerFrame) -> Arc<Self> {
        Arc::new(Self {
            frame,
            #[cfg(feature = "live")]
            encoded: OnceLock::new(),
        })
    }

    /// What it says.
    pub fn frame(&self) -> &ServerFrame {
        &self.frame
    }

    /// Its JSON.
    pub fn text(&self) -> String {
        self.frame.text()
    }

    /// Its JSON, made for the first connection and shared by the others.
    #[cfg(feature = "live")]
    pub(super) fn encoded(&self) -> Utf8Bytes {
        self.encoded.get_or_init(|| self.text().into()).clone()
    }
}

/// A frame by its `type`.
#[derive(Debug)]
pub enum ServerFrame {
    /// `hello`
    Hello(Hello),
    /// `swp.room.message`
    Message(Arc<Event>),
    /// `swp.room.member`: somebody came or went. No position: whether it is persisted is not documented.
    Member {
        /// `room_id`
        room: Uuid,
        /// `participant_id`
        participant: Uuid,
        /// Came, or went.
        joined: bool,
    },
    /// `typing`
    Typing {
        /// `room_id`
        room: Uuid,
        /// `participant_id`
        participant: Uuid,
        /// `typing`
        typing: bool,
    },
    /// A planted frame that does not belong there.
    Strange(Strange),
}

impl ServerFrame {
    fn text(&self) -> String {
        let json = match self {
            Self::Hello(hello) => hello.json(),
            Self::Message(event) => serde_json::to_string(&MessageJson {
                r#type: MESSAGE,
                id: event.id,
                room_id: event.room,
                sender_id: event.sender,
                content: &event.content,
                stream_position: event.position,
                origin_ts: event.origin_ts,
            }),
            Self::Member { room, participant, joined } => serde_json::to_string(&MemberJson {
                r#type: "swp.room.member",
                room_id: *room,
                participant_id: *participant,
                membership: if *joined { "join" } else { "leave" },
            }),
            Self::Typing { room, participant, typing } => serde_json::to_string(&TypingJson {
                r#type: "typing",
                room_id: *room,
                participant_id: *participant,
                typing: *typing,
            }),
            Self::Strange(Strange::Malformed | Strange::Binary) => Ok("{\"type\":".to_owned()),
            Self::Strange(Strange::Unknown) => Ok("{\"type\":\"swp.room.sticker\"}".to_owned()),
            Self::Strange(Strange::Oversized) => Ok(format!(
                "{{\"type\":\"{MESSAGE}\",\"content\":{{\"body\":\"{}\"}}}}",
                "x".repeat(OVERSIZED)
            )),
        };
        json.expect("ids, numbers and JSON that was parsed before always serialise")
    }
}

/// The opening frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// `session_id`
    pub session: Uuid,
    /// Number of the pod as in `pod-1`.
    pub pod_number: u32,
    /// `tenant_id`: what `register` answers, not the claim.
    pub tenant: Uuid,
    /// `ts`, Unix seconds.
    pub unix_s: u64,
}

impl Hello {
    /// `server_name`
    pub fn server_name(&self) -> String {
        format!("pod-{}", self.pod_number)
    }

    fn json(&self) -> serde_json::Result<String> {
        // Beyond the year 9999 there is no ISO-8601 text; the documentation makes `ts` optional.
        let ts = i64::try_from(self.unix_s).ok().and_then(|unix| jiff::Timestamp::from_second(unix).ok());
        serde_json::to_string(&HelloJson {
            r#type: "hello",
            session_id: self.session,
            server_name: &self.server_name(),
            tenant_id: self.tenant,
            ts: ts.map(|ts| ts.to_string()),
        })
    }
}

/// Bytes of a planted frame that nobody should take: content has at most 64 KB (documented).
pub(super) const OVERSIZED: usize = 300 * 1024;

/// `type` of a message on the stream, `event_type` of the same message in sync.
pub(super) const MESSAGE: &str = "swp.room.message";

#[derive(Serialize)]
struct HelloJson<'a> {
    r#type: &'static str,
    session_id: Uuid,
    server_name: &'a str,
    tenant_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<String>,
}

#[derive(Serialize)]
struct MessageJson<'a> {
    r#type: &'static str,
    id: Uuid,
    room_id: Uuid,
    sender_id: Uuid,
    content: &'a Content,
    stream_position: u64,
    origin_ts: u64,
}

#[derive(Serialize)]
struct MemberJson {
    r#type: &'static str,
    room_id: Uuid,
    participant_id: Uuid,
    membership: &'static str,
}

#[derive(Serialize)]
struct TypingJson {
    r#type: &'static str,
    room_id: Uuid,
    participant_id: Uuid,
    typing: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hello_reads_as_documented() {
        let hello = Hello { session: Uuid::nil(), pod_number: 2, tenant: Uuid::max(), unix_s: 1_767_225_600 };
        assert_eq!(
            Outgoing::new(ServerFrame::Hello(hello)).text(),
            r#"{"type":"hello","session_id":"00000000-0000-0000-0000-000000000000","server_name":"pod-2","tenant_id":"ffffffff-ffff-ffff-ffff-ffffffffffff","ts":"2026-01-01T00:00:00Z"}"#
        );
    }

    #[cfg(feature = "live")]
    #[test]
    fn a_frame_is_encoded_once() {
        let frame = ServerFrame::Typing { room: Uuid::nil(), participant: Uuid::nil(), typing: true };
        let outgoing = Outgoing::new(frame);
        assert!(std::ptr::eq(outgoing.encoded().as_str(), outgoing.encoded().as_str()));
    }
}
