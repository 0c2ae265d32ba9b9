//! ScaiWave's REST endpoints as this harness calls them (protocol.md, section 1): paths, bodies, replies.
//!
//! Replies are untrusted: what lacks a field reads as `None`, never as a panic. A success is `{"data": …}`; token
//! replies are taken bare as well, since the documentation's pages disagree.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::secret::Secret;
use crate::wire::Position;

/// `GET /v1/me`
pub const ME: &str = "/v1/me";
/// `GET /health`
pub const HEALTH: &str = "/health";
/// `GET /metrics`
pub const METRICS: &str = "/metrics";
/// `POST /v1/auth/register`
pub const REGISTER: &str = "/v1/auth/register";
/// `POST /v1/auth/refresh`
pub const REFRESH: &str = "/v1/auth/refresh";
/// `POST /v1/rooms`
pub const ROOMS: &str = "/v1/rooms";

/// Most events that `GET /v1/sync` returns at once (documented).
pub const SYNC_LIMIT_MAX: u32 = 500;

/// `GET /v1/sync?since=&limit=&timeout=`
pub fn sync(since: Position, limit: u32, timeout: Duration) -> String {
    format!("/v1/sync?since={since}&limit={limit}&timeout={}", timeout.as_millis())
}

/// `GET /v1/rooms/{room}/messages`, forward from a position (exclusive).
pub fn history(room: &str, from: Position, limit: u32) -> String {
    format!("/v1/rooms/{}/messages?direction=forward&from={from}&limit={limit}", segment(room))
}

/// `GET /v1/rooms/{room}/messages`: the newest one.
pub fn newest(room: &str) -> String {
    format!("/v1/rooms/{}/messages?direction=back&limit=1", segment(room))
}

/// `POST /v1/rooms/{room}/send`
pub fn send(room: &str) -> String {
    format!("/v1/rooms/{}/send", segment(room))
}

/// `POST /v1/rooms/{room}/join`
pub fn join(room: &str) -> String {
    format!("/v1/rooms/{}/join", segment(room))
}

/// The body of [`ROOMS`]. `public`, so that members can join without being invited.
pub fn room_body(name: &str, topic: &str) -> String {
    serde_json::json!({ "room_type": "public", "name": name, "topic": topic }).to_string()
}

/// The body of [`REFRESH`] (JSON is ours: the page names no form).
pub fn refresh_body(token: &Secret) -> String {
    serde_json::json!({ "refresh_token": token.expose() }).to_string()
}

/// The answer to a sync or history request may be this large: every event has at most 64 KB of content.
pub fn page_bytes(limit: u32) -> usize {
    (limit.clamp(1, SYNC_LIMIT_MAX) as usize) * 66 * 1024
}

/// Any other answer may be this large.
pub const ANSWER_BYTES: usize = 256 * 1024;

/// A `/metrics` page may be this large.
pub const METRICS_BYTES: usize = 8 * 1024 * 1024;

/// `error.code`, when it is one of ScaiWave's.
pub fn error_code(body: &[u8]) -> Option<Box<str>> {
    let failure: Failure<'_> = serde_json::from_slice(body).ok()?;
    let code = failure.error?.code?;
    (code.starts_with("SW_") && code.len() <= 64).then(|| code.into())
}

/// What `register` answers.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Registered {
    /// Its id on the server.
    pub participant_id: Option<Box<str>>,
    /// The id of its tenant: not the claim of the token.
    pub tenant_id: Option<Box<str>>,
}

impl Registered {
    /// Reads the reply.
    pub fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Envelope<Self>>(body).ok().map(|envelope| envelope.data)
    }
}

/// What a refresh answers.
pub struct Refreshed {
    /// The new access token.
    pub access: Secret,
    /// The new refresh token; `None`: the old one stays good.
    pub refresh: Option<Secret>,
    /// How long the access token is good for (documented default: 1 h).
    pub life: Duration,
}

impl Refreshed {
    /// Reads the reply, wrapped in `data` or bare.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let wrapped = serde_json::from_slice::<Envelope<TokenReply<'_>>>(body).map(|envelope| envelope.data);
        let reply = wrapped.or_else(|_| serde_json::from_slice::<TokenReply<'_>>(body)).ok()?;
        Some(Self {
            access: Secret::new(&*reply.access_token),
            refresh: reply.refresh_token.map(|token| Secret::new(&*token)),
            life: Duration::from_secs(reply.expires_in.unwrap_or(3600)),
        })
    }
}

/// `data.id` and `data.stream_position` of whatever was made; neither is relied on.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Created {
    /// The id.
    #[serde(default)]
    pub id: Option<Box<str>>,
    /// The position of an event.
    #[serde(default)]
    pub stream_position: Option<Position>,
}

impl Created {
    /// Reads the reply; what cannot be read has neither.
    pub fn parse(body: &[u8]) -> Self {
        serde_json::from_slice::<Envelope<Self>>(body).map(|envelope| envelope.data).unwrap_or_default()
    }
}

/// Whether a body is a JSON object with `data` or a ScaiWave error: what every documented answer is.
pub fn is_envelope(body: &[u8]) -> bool {
    serde_json::from_slice::<Envelope<IgnoredAny>>(body).is_ok() || error_code(body).is_some()
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Deserialize)]
struct TokenReply<'a> {
    #[serde(borrow)]
    access_token: Cow<'a, str>,
    #[serde(borrow, default)]
    refresh_token: Option<Cow<'a, str>>,
    #[serde(default)]
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct Failure<'a> {
    #[serde(borrow)]
    error: Option<FailureBody<'a>>,
}

#[derive(Deserialize)]
struct FailureBody<'a> {
    #[serde(borrow)]
    code: Option<Cow<'a, str>>,
}

/// An id from a server, fit to stand between two slashes.
fn segment(id: &str) -> String {
    url::form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_replies_are_taken_wrapped_and_bare() {
        for body in [
            r#"{"data":{"access_token":"a","refresh_token":"r","expires_in":60},"meta":{}}"#,
            r#"{"access_token":"a","refresh_token":"r","token_type":"bearer","expires_in":60}"#,
        ] {
            let reply = Refreshed::parse(body.as_bytes()).expect("a token reply");
            assert_eq!(reply.access.expose(), "a");
            assert_eq!(reply.refresh.expect("rotated").expose(), "r");
            assert_eq!(reply.life, Duration::from_secs(60));
        }
        assert!(Refreshed::parse(br#"{"data":{}}"#).is_none());
    }

    #[test]
    fn only_scaiwaves_own_codes_are_codes() {
        assert_eq!(error_code(br#"{"error":{"code":"SW_NOT_MEMBER"}}"#).as_deref(), Some("SW_NOT_MEMBER"));
        assert_eq!(error_code(br#"{"error":{"code":"teapot"}}"#), None);
        assert_eq!(error_code(br#"{"error":"no"}"#), None);
        assert_eq!(error_code(b"<html>"), None);
    }

    #[test]
    fn a_created_thing_may_lack_everything() {
        let full = Created::parse(br#"{"data":{"id":"e1","stream_position":7,"more":[]}}"#);
        assert_eq!((full.id.as_deref(), full.stream_position), (Some("e1"), Some(7)));
        assert_eq!(Created::parse(b"{}"), Created::default());
        assert_eq!(Created::parse(b"oops"), Created::default());
    }

    #[test]
    fn an_id_cannot_leave_its_place_in_the_path() {
        assert_eq!(join("a/../b c?x"), "/v1/rooms/a%2F..%2Fb%20c%3Fx/join");
        assert_eq!(send("0199-ab"), "/v1/rooms/0199-ab/send");
    }
}
