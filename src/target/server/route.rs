//! Paths and methods of the API.

use http::Method;

use super::super::error::ApiError;

/// One endpoint (protocol.md, section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Stream,
    Sync,
    CreateRoom,
    Send,
    Messages,
    Join,
    Leave,
    Archive,
    Typing,
    Token,
    Refresh,
    Register,
    Me,
    Health,
    Metrics,
}

/// An endpoint, its method and the room in its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route<'a> {
    pub(super) endpoint: Endpoint,
    /// The path as `scaiwave_http_requests_total` labels it.
    pub(super) label: &'static str,
    /// `{room_id}`, or empty.
    pub(super) room: &'a str,
}

impl<'a> Route<'a> {
    /// Finds the endpoint.
    ///
    /// # Errors
    /// No such path, or not with this method.
    pub(super) fn find(method: &Method, path: &'a str) -> Result<Self, ApiError> {
        let (room, pattern) = match path.strip_prefix("/v1/rooms/").and_then(|rest| rest.split_once('/')) {
            Some((room, action)) => (room, Pattern::InRoom(action)),
            None => ("", Pattern::Whole(path)),
        };
        let mut known = TABLE.iter().filter(|row| row.1 == pattern).peekable();
        known.peek().ok_or(ApiError::NOT_FOUND)?;
        let row = known.find(|row| row.0 == method).ok_or(ApiError::METHOD_NOT_ALLOWED)?;
        Ok(Self { endpoint: row.3, label: row.2, room })
    }
}

/// A method as the metrics label it: a fixed set, whatever clients invent.
pub(super) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        _ => "other",
    }
}

#[derive(PartialEq)]
enum Pattern<'a> {
    Whole(&'a str),
    InRoom(&'a str),
}

const TABLE: &[(Method, Pattern<'static>, &str, Endpoint)] = {
    use Pattern::{InRoom, Whole};
    &[
        (Method::GET, Whole("/v1/stream"), "/v1/stream", Endpoint::Stream),
        (Method::GET, Whole("/v1/sync"), "/v1/sync", Endpoint::Sync),
        (Method::POST, Whole("/v1/rooms"), "/v1/rooms", Endpoint::CreateRoom),
        (Method::POST, InRoom("send"), "/v1/rooms/{room_id}/send", Endpoint::Send),
        (Method::GET, InRoom("messages"), "/v1/rooms/{room_id}/messages", Endpoint::Messages),
        (Method::POST, InRoom("join"), "/v1/rooms/{room_id}/join", Endpoint::Join),
        (Method::POST, InRoom("leave"), "/v1/rooms/{room_id}/leave", Endpoint::Leave),
        (Method::POST, InRoom("archive"), "/v1/rooms/{room_id}/archive", Endpoint::Archive),
        (Method::PUT, Whole("/v1/typing"), "/v1/typing", Endpoint::Typing),
        (Method::POST, Whole("/v1/auth/token"), "/v1/auth/token", Endpoint::Token),
        (Method::POST, Whole("/v1/auth/refresh"), "/v1/auth/refresh", Endpoint::Refresh),
        (Method::POST, Whole("/v1/auth/register"), "/v1/auth/register", Endpoint::Register),
        (Method::GET, Whole("/v1/me"), "/v1/me", Endpoint::Me),
        (Method::GET, Whole("/health"), "/health", Endpoint::Health),
        (Method::GET, Whole("/metrics"), "/metrics", Endpoint::Metrics),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_their_endpoints() {
        let found = Route::find(&Method::POST, "/v1/rooms/abc/send").expect("documented");
        assert_eq!((found.endpoint, found.room), (Endpoint::Send, "abc"));
        let found = Route::find(&Method::POST, "/v1/rooms").expect("documented");
        assert_eq!(found.endpoint, Endpoint::CreateRoom);
        assert_eq!(Route::find(&Method::GET, "/v1/rooms"), Err(ApiError::METHOD_NOT_ALLOWED));
        assert_eq!(Route::find(&Method::GET, "/v1/room"), Err(ApiError::NOT_FOUND));
        assert_eq!(Route::find(&Method::POST, "/v1/rooms/a/b/send"), Err(ApiError::NOT_FOUND));
    }
}
