//! Requests into calls of the backend, results into replies.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Request;
use http::header::HeaderMap;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use url::form_urlencoded;
use uuid::Uuid;

use super::super::backend::Grant;
use super::super::caller::Caller;
use super::super::error::ApiError;
use super::super::event::Content;
use super::super::page::{Direction, HistoryQuery, SyncQuery, SyncReply};
use super::auth;
use super::reply::{self, Reply};
use super::route::{Endpoint, Route};
use super::shared::Shared;
use crate::time::Timestamp;
use crate::wire::TokenType;

/// Answers everything but the stream.
///
/// # Errors
/// What the endpoint refuses.
pub(super) async fn answer(
    shared: &Rc<Shared>,
    pod: u32,
    route: Route<'_>,
    request: Request<Incoming>,
) -> Result<Reply, ApiError> {
    let (head, body) = request.into_parts();
    let query = head.uri.query().unwrap_or("");
    let caller = || caller(shared, &head.headers);
    let room = route.room;
    match route.endpoint {
        Endpoint::Sync => {
            shared.capacity(pod).sync_page(shared).await;
            sync(shared, pod, &caller()?, query).await
        }
        Endpoint::Messages => {
            let query = history_query(query)?;
            let caller = caller()?;
            let page = shared.with(|backend, now| backend.history(now, pod, &caller, room, query))?;
            Ok(reply::history(&page))
        }
        Endpoint::Send => {
            let caller = caller()?;
            let body: SendBody = json(&read(body).await?)?;
            let content = Content::json(object(body.content)?);
            let sent = |backend: &mut super::super::Backend, now| {
                backend.send(now, pod, &caller, room, content, body.event_uuid)
            };
            Ok(reply::created(&shared.with(sent)?))
        }
        Endpoint::CreateRoom => {
            let caller = caller()?;
            let body = read(body).await?;
            let shape: RoomBody<'_> = json(&body)?;
            let id = shared.with(|backend, now| backend.create_room(now, pod, &caller))?;
            Ok(reply::data(RoomJson { id, shape }))
        }
        Endpoint::Join => {
            let caller = caller()?;
            shared
                .with(|backend, now| backend.join(now, pod, &caller, room))
                .map(|()| reply::data(room_id(room)))
        }
        Endpoint::Leave => {
            let caller = caller()?;
            shared
                .with(|backend, now| backend.leave(now, pod, &caller, room))
                .map(|()| reply::data(room_id(room)))
        }
        Endpoint::Archive => {
            let caller = caller()?;
            shared
                .with(|backend, now| backend.archive(now, pod, &caller, room))
                .map(|()| reply::data(room_id(room)))
        }
        Endpoint::Typing => {
            let caller = caller()?;
            let body = read(body).await?;
            let body: TypingBody<'_> = json(&body)?;
            let (room, typing) = (&body.room_id, body.typing);
            shared
                .with(|backend, now| backend.typing(now, pod, &caller, room, typing))
                .map(|()| reply::data(room_id(room)))
        }
        Endpoint::Register | Endpoint::Me => {
            let caller = caller()?;
            let registered = shared.with(|backend, now| backend.register(now, pod, &caller))?;
            Ok(reply::registered(&registered))
        }
        Endpoint::Refresh => refresh(shared, pod, &read(body).await?),
        Endpoint::Token => login(shared, pod, &read(body).await?),
        Endpoint::Health => Ok(reply::data(HealthJson { status: "ok" })),
        Endpoint::Metrics => {
            let text = shared.with(|backend, _| backend.metrics_text(pod)).ok_or(ApiError::POD_DOWN)?;
            Ok(reply::text(text, "application/openmetrics-text; version=1.0.0; charset=utf-8"))
        }
        // Taken before it comes here; without an upgrade it is no stream.
        Endpoint::Stream => Err(ApiError::BAD_REQUEST),
    }
}

async fn sync(shared: &Rc<Shared>, pod: u32, caller: &Caller, query: &str) -> Result<Reply, ApiError> {
    let query = sync_query(query)?;
    let (poll, answered) = shared.add_poll();
    let page = match shared.with(|backend, now| backend.sync(now, pod, poll.id, caller, query))? {
        SyncReply::Page(page) => page,
        SyncReply::Waiting => match answered.await {
            Ok(page) => page,
            // The pod is dead: its life ends this task before anything could be answered.
            Err(_) => std::future::pending().await,
        },
    };
    Ok(reply::page(&page))
}

fn refresh(shared: &Shared, pod: u32, body: &[u8]) -> Result<Reply, ApiError> {
    let body: RefreshBody<'_> = json(body)?;
    let caller = shared.signer.check(&body.refresh_token, TokenType::Refresh).map_err(auth::refusal)?;
    let (grant, now) = shared.with(|backend, now| (backend.refresh(now, pod, &caller), now));
    grant.map(|grant| pair(shared, &caller, grant, now))
}

/// The password grant (documented: off by default per tenant, then 403).
fn login(shared: &Shared, pod: u32, body: &[u8]) -> Result<Reply, ApiError> {
    let (mut grant_type, mut username, mut password) = (String::new(), String::new(), String::new());
    for (key, value) in form_urlencoded::parse(body) {
        match &*key {
            "grant_type" => grant_type = value.into_owned(),
            "username" => username = value.into_owned(),
            "password" => password = value.into_owned(),
            _ => {}
        }
    }
    if grant_type != "password" {
        return Err(ApiError::BAD_REQUEST);
    }
    if !shared.with(|backend, _| backend.gives_for_passwords()) {
        return Err(ApiError::GRANT_OFF);
    }
    let caller = shared.signer.login(&username, &password);
    let caller = caller.map_err(auth::refusal)?;
    let (grant, now) = shared.with(|backend, now| (backend.login(now, pod, &caller), now));
    grant.map(|grant| pair(shared, &caller, grant, now))
}

fn pair(shared: &Shared, caller: &Caller, grant: Grant, now: Timestamp) -> Reply {
    let issue = |typ, jti, life| shared.signer.issue(caller, typ, jti, now, life);
    let access = issue(TokenType::Access, grant.access, grant.access_life);
    let refresh = issue(TokenType::Refresh, grant.refresh, grant.refresh_life);
    reply::data(TokenJson {
        access_token: access.expose(),
        refresh_token: refresh.expose(),
        token_type: "Bearer",
        expires_in: grant.access_life.as_secs_f64().ceil() as u64,
    })
}

fn caller(shared: &Shared, headers: &HeaderMap) -> Result<Caller, ApiError> {
    shared.tokens.check(&shared.signer, auth::bearer(headers)).map_err(auth::refusal)
}

fn sync_query(query: &str) -> Result<SyncQuery, ApiError> {
    let mut asked = SyncQuery::default();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "since" => asked.since = number(&value)?,
            "limit" => asked.limit = number(&value)?,
            "timeout" => asked.timeout = Duration::from_millis(number(&value)?),
            _ => {}
        }
    }
    Ok(asked)
}

fn history_query(query: &str) -> Result<HistoryQuery, ApiError> {
    let mut asked = HistoryQuery::default();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "from" => asked.from = Some(number(&value)?),
            "limit" => asked.limit = number(&value)?,
            "direction" => {
                asked.direction = match &*value {
                    "back" => Direction::Back,
                    "forward" => Direction::Forward,
                    _ => return Err(ApiError::BAD_REQUEST),
                }
            }
            _ => {}
        }
    }
    Ok(asked)
}

fn number<T: std::str::FromStr>(value: &str) -> Result<T, ApiError> {
    value.parse().map_err(|_| ApiError::BAD_REQUEST)
}

/// The body, if it is no larger than content at its largest with something around it. Of a larger one the rest
/// is read and thrown away, within reason: whoever is still writing would not see the answer.
async fn read(mut body: Incoming) -> Result<Bytes, ApiError> {
    let (mut kept, mut seen) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| ApiError::BAD_REQUEST)?.into_data() else { continue };
        seen += data.len();
        if seen <= BODY_MAX {
            kept.extend_from_slice(&data);
        } else if seen > DISCARDED_MAX {
            break;
        }
    }
    if seen <= BODY_MAX { Ok(kept.freeze()) } else { Err(ApiError::CONTENT_TOO_LARGE) }
}

fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|_| ApiError::BAD_REQUEST)
}

fn object(content: Box<RawValue>) -> Result<Box<RawValue>, ApiError> {
    if content.get().starts_with('{') { Ok(content) } else { Err(ApiError::BAD_REQUEST) }
}

fn room_id(room_id: &str) -> RoomIdJson<'_> {
    RoomIdJson { room_id }
}

const BODY_MAX: usize = 64 * 1024 + 4 * 1024;
const DISCARDED_MAX: usize = 4 * 1024 * 1024;

#[derive(Deserialize)]
struct SendBody {
    content: Box<RawValue>,
    event_uuid: Option<Uuid>,
}

#[derive(Serialize, Deserialize)]
struct RoomBody<'a> {
    #[serde(default)]
    room_type: RoomType,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    topic: Cow<'a, str>,
}

/// `room_type`; the target treats all alike.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RoomType {
    #[default]
    Group,
    Public,
    Incognito,
}

#[derive(Serialize)]
struct RoomJson<'a> {
    id: Uuid,
    #[serde(flatten)]
    shape: RoomBody<'a>,
}

#[derive(Serialize)]
struct RoomIdJson<'a> {
    room_id: &'a str,
}

#[derive(Deserialize)]
struct TypingBody<'a> {
    #[serde(borrow)]
    room_id: Cow<'a, str>,
    typing: bool,
}

#[derive(Deserialize)]
struct RefreshBody<'a> {
    #[serde(borrow)]
    refresh_token: Cow<'a, str>,
}

#[derive(Serialize)]
struct TokenJson<'a> {
    access_token: &'a str,
    refresh_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
}

#[derive(Serialize)]
struct HealthJson {
    status: &'static str,
}
