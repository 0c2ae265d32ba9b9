//! The JSON of answers: `{"data": …, "meta": …}`, `{"error": {"code": …, "message": …}}`.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use uuid::Uuid;

use super::super::backend::{Created, Registered};
use super::super::error::ApiError;
use super::super::event::{Content, Event};
use super::super::frame::MESSAGE;
use super::super::page::{HistoryPage, Page};

/// What every handler answers with.
pub(super) type Reply = Response<Full<Bytes>>;

/// Success, with an empty `meta`.
pub(super) fn data(data: impl Serialize) -> Reply {
    with_meta(data, Empty {})
}

/// Failure.
pub(super) fn error(error: ApiError) -> Reply {
    let body = Failure { error: ErrorJson { code: error.code, message: error.message } };
    let mut reply = json(&body);
    *reply.status_mut() =
        StatusCode::from_u16(error.status).expect("the statuses of the error table are statuses");
    reply
}

/// A page of sync.
pub(super) fn page(page: &Page) -> Reply {
    let events = page.events.iter().map(EventJson::new).collect();
    data(PageJson { events, next_cursor: page.next_cursor, has_more: page.has_more })
}

/// A page of room history.
pub(super) fn history(page: &HistoryPage) -> Reply {
    let events: Vec<EventJson<'_>> = page.events.iter().map(EventJson::new).collect();
    let next_cursor = page.next_cursor.map(|position| position.to_string());
    with_meta(events, HistoryMeta { has_more: page.has_more, next_cursor })
}

/// The answer to a publish.
pub(super) fn created(created: &Created) -> Reply {
    data(CreatedJson { id: created.id, stream_position: created.position })
}

/// The answer to `register` and `me`.
pub(super) fn registered(registered: &Registered) -> Reply {
    data(RegisteredJson {
        participant_id: registered.participant,
        tenant_id: registered.tenant,
        display_name: &registered.display_name,
    })
}

/// Text that is not JSON.
pub(super) fn text(text: String, content_type: &'static str) -> Reply {
    let mut reply = Reply::new(Full::new(text.into()));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

fn with_meta(data: impl Serialize, meta: impl Serialize) -> Reply {
    json(&Success { data, meta })
}

fn json(body: &impl Serialize) -> Reply {
    let body = serde_json::to_vec(body).expect("replies are plain data and JSON that was parsed before");
    let mut reply = Reply::new(Full::new(body.into()));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct Success<D, M> {
    data: D,
    meta: M,
}

#[derive(Serialize)]
struct Failure {
    error: ErrorJson,
}

#[derive(Serialize)]
struct ErrorJson {
    code: &'static str,
    message: &'static str,
}

#[derive(Serialize)]
struct PageJson<'a> {
    events: Vec<EventJson<'a>>,
    next_cursor: u64,
    has_more: bool,
}

#[derive(Serialize)]
struct HistoryMeta {
    has_more: bool,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct EventJson<'a> {
    id: Uuid,
    stream_position: u64,
    room_id: Uuid,
    event_type: &'static str,
    content: &'a Content,
    sender_id: Uuid,
    origin_ts: u64,
}

impl<'a> EventJson<'a> {
    fn new(event: &'a Arc<Event>) -> Self {
        Self {
            id: event.id,
            stream_position: event.position,
            room_id: event.room,
            event_type: MESSAGE,
            content: &event.content,
            sender_id: event.sender,
            origin_ts: event.origin_ts,
        }
    }
}

#[derive(Serialize)]
struct CreatedJson {
    id: Uuid,
    stream_position: u64,
}

#[derive(Serialize)]
struct RegisteredJson<'a> {
    participant_id: Uuid,
    tenant_id: Uuid,
    display_name: &'a str,
}
