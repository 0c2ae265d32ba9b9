//! The client's half of the WebSocket handshake.
//!
//! Key, request and head of the answer are tungstenite's; its own handshake would end in its own reader, with a read buffer
//! for every connection.

use std::io;

use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SET_COOKIE, UPGRADE};
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::handshake::client::{Response, generate_request};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse as _;

use super::endpoint::is_local;
use super::route::Route;
use super::transport::Transport;
use crate::session::ConnectFailure;

/// Heads of answers are not larger than this.
const HEAD_MAX: usize = 16 * 1024;

/// `Set-Cookie` headers of one answer that are looked at.
const COOKIES_MAX: usize = 16;

/// A connection that is a WebSocket's from now on.
pub(super) struct Upgraded {
    pub(super) socket: Transport,
    /// What came behind the answer already.
    pub(super) rest: Vec<u8>,
    /// The `Set-Cookie` headers of the answer.
    pub(super) cookies: Vec<Box<str>>,
    /// The pod that answered, if a header names it.
    pub(super) pod: Option<Box<str>>,
}

/// Sends the request and reads its answer.
///
/// # Errors
///
/// [`ConnectFailure::Status`] for any other answer, [`ConnectFailure::Network`] for none, or for a 101 that is not what
/// RFC 6455 asks for.
pub(super) async fn upgrade(
    mut socket: Transport,
    request: http::Request<()>,
    route: &Route,
) -> Result<Upgraded, ConnectFailure> {
    let (request, key) = generate_request(request).map_err(|_| ConnectFailure::Local)?;
    socket.write_all(&request).await.map_err(|error| io_failure(&error))?;
    socket.flush().await.map_err(|error| io_failure(&error))?;
    let (head, rest) = read_head(&mut socket).await?;
    if head.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(ConnectFailure::Status(head.status().as_u16()));
    }
    let headers = head.headers();
    let accepted =
        headers.get(SEC_WEBSOCKET_ACCEPT).is_some_and(|accept| *accept == derive_accept_key(key.as_bytes()));
    if !(accepted && has_token(headers, UPGRADE, "websocket") && has_token(headers, CONNECTION, "upgrade")) {
        return Err(ConnectFailure::Network);
    }
    let cookies = headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
    let cookies = cookies.take(COOKIES_MAX).map(Box::from).collect();
    let pod = route.pod(headers);
    Ok(Upgraded { socket, rest, cookies, pod })
}

/// What an error of the transport is to a client that connects.
pub(super) fn io_failure(error: &io::Error) -> ConnectFailure {
    if is_local(error) { ConnectFailure::Local } else { ConnectFailure::Network }
}

/// The head of the answer, and what came behind it.
async fn read_head(socket: &mut Transport) -> Result<(Response, Vec<u8>), ConnectFailure> {
    let mut received = Vec::with_capacity(1024);
    while received.len() < HEAD_MAX {
        match socket.read_buf(&mut received).await {
            Ok(0) => return Err(ConnectFailure::Network),
            Ok(_) => {}
            Err(error) => return Err(io_failure(&error)),
        }
        match Response::try_parse(&received) {
            Ok(Some((length, head))) => return Ok((head, received[length..].to_vec())),
            Ok(None) => {}
            Err(_) => return Err(ConnectFailure::Network),
        }
    }
    Err(ConnectFailure::Network)
}

/// Whether a comma-separated header has this token, in any case.
fn has_token(headers: &HeaderMap, name: http::header::HeaderName, token: &str) -> bool {
    let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
}
