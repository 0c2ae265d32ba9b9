//! ScaiWave's REST endpoints as this harness calls them (protocol.md, section 1): paths, bodies, bounds.

use std::time::Duration;

use crate::profile::RoomType;
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
/// `POST /v1/auth/token`
pub const TOKEN: &str = "/v1/auth/token";
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

/// `POST /v1/rooms/{room}/leave`
pub fn leave(room: &str) -> String {
    format!("/v1/rooms/{}/leave", segment(room))
}

/// `POST /v1/rooms/{room}/archive`
pub fn archive(room: &str) -> String {
    format!("/v1/rooms/{}/archive", segment(room))
}

/// `room_type`, as the server has it. `group` is not among them: its members would have to be invited.
pub fn room_type(room_type: RoomType) -> &'static str {
    match room_type {
        RoomType::Public => "public",
        RoomType::Incognito => "incognito",
    }
}

/// The body of [`ROOMS`].
pub fn room_body(kind: RoomType, name: &str, topic: &str) -> String {
    serde_json::json!({ "room_type": room_type(kind), "name": name, "topic": topic }).to_string()
}

/// The body of [`TOKEN`], a form.
pub fn login_body(username: &str, password: &Secret) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "password")
        .append_pair("username", username)
        .append_pair("password", password.expose())
        .finish()
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

/// An id from a server, fit to stand between two slashes.
fn segment(id: &str) -> String {
    url::form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_its_place_in_the_path() {
        assert_eq!(join("a/../b c?x"), "/v1/rooms/a%2F..%2Fb%20c%3Fx/join");
        assert_eq!(send("0199-ab"), "/v1/rooms/0199-ab/send");
        assert_eq!(archive("a b"), "/v1/rooms/a%20b/archive");
        assert_eq!(leave("a/b"), "/v1/rooms/a%2Fb/leave");
    }

    #[test]
    fn a_room_is_asked_for_by_its_documented_type() {
        let body = room_body(RoomType::Incognito, "a \"name\"", "t");
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(body, serde_json::json!({"room_type": "incognito", "name": "a \"name\"", "topic": "t"}));
    }
}
