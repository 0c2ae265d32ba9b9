//! The event stream as a client: the upgrade, frames in, pongs out, and the ways it ends.
//!
//! Buffers are small and explicit: the library's default is 128 KiB for each socket, filled with zeroes before every
//! read (`performance.md`).

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{Sink as _, SinkExt as _, Stream as _, StreamExt as _};
use http::header::{CONNECTION, COOKIE, HOST, HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION};
use http::header::{SET_COOKIE, UPGRADE, USER_AGENT};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Utf8Bytes, error::ProtocolError};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::endpoint::{Endpoint, is_local};
use crate::secret::Secret;
use crate::session::{ConnectFailure, Ending, Oddity};

/// What one read from the socket can take: the size of the buffer that every live client owns.
pub const READ_BUFFER: usize = 1024;

/// A frame above this ends the connection: content has at most 64 KB (documented), the envelope is small.
pub const FRAME_MAX: usize = 256 * 1024;

/// Pongs and a close frame are all that a client writes.
const WRITE_BUFFER_MAX: usize = 4096;

/// How long a client that leaves in good order waits for the server's own close frame.
const LINGER: Duration = Duration::from_secs(2);

/// An upgraded connection.
pub struct Stream {
    socket: WebSocketStream<TcpStream>,
    /// Something that we wrote waits for the socket.
    unflushed: bool,
    /// The connection is of no more use, and this is what its end will be told as.
    broken: Option<Ending>,
}

/// What comes out of a stream.
#[derive(Debug)]
pub enum Received {
    /// A text frame. Drop it before the next read: it keeps the read buffer.
    Text(Utf8Bytes),
    /// A protocol ping; its pong has left, or waits for the socket alone.
    Ping,
    /// A frame that no session reads.
    Odd(Oddity),
    /// The end; nothing comes after it.
    Closed(Ending),
}

/// An upgrade that was answered with 101.
pub struct Opened {
    /// The stream.
    pub stream: Stream,
    /// The `Set-Cookie` headers of the answer.
    pub cookies: Vec<Box<str>>,
}

impl Stream {
    /// Connects and upgrades, until `deadline`. The future is large and short-lived: box it.
    ///
    /// # Errors
    ///
    /// As [`ConnectFailure`] says.
    pub async fn open(
        endpoint: &Endpoint,
        token: &Secret,
        cookie: Option<&str>,
        agent: &HeaderValue,
        deadline: Instant,
    ) -> Result<Opened, ConnectFailure> {
        let request = upgrade(endpoint, token, cookie, agent).map_err(|_| ConnectFailure::Local)?;
        let opened = timeout_at(deadline, async {
            let socket = endpoint.connect().await.map_err(|error| io_failure(&error))?;
            client_async_with_config(request, socket, Some(config())).await.map_err(|error| failure(&error))
        });
        let (socket, response) = opened.await.map_err(|_| ConnectFailure::Timeout)??;
        let cookies = response.headers().get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
        let cookies = cookies.take(16).map(Box::from).collect();
        Ok(Opened { stream: Self { socket, unflushed: false, broken: None }, cookies })
    }

    /// The next thing that the server sent.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        loop {
            if let Some(ending) = self.broken.take() {
                return Poll::Ready(Received::Closed(ending));
            }
            if self.unflushed {
                self.flush(cx);
            }
            let received = match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Text(text))) => Received::Text(text),
                Some(Ok(Message::Ping(_))) => {
                    self.flush(cx);
                    Received::Ping
                }
                Some(Ok(Message::Binary(_))) => Received::Odd(Oddity::Binary),
                Some(Ok(Message::Close(frame))) => {
                    self.flush(cx);
                    Received::Closed(closed_by(frame))
                }
                Some(Ok(Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Err(Error::Capacity(_))) => {
                    self.broken = Some(Ending::Protocol);
                    Received::Odd(Oddity::Oversized)
                }
                Some(Err(error)) => Received::Closed(ending_by(&error)),
                None => Received::Closed(Ending::Eof),
            };
            return Poll::Ready(received);
        }
    }

    /// Sends a text frame; what does not leave at once leaves with the next reads.
    pub fn send_text(&mut self, text: &'static str, cx: &mut Context<'_>) {
        let mut socket = Pin::new(&mut self.socket);
        // A refusal means that the connection is about to end, and reading will tell.
        if matches!(socket.as_mut().poll_ready(cx), Poll::Ready(Ok(())))
            && socket.start_send(Message::Text(Utf8Bytes::from_static(text))).is_ok()
        {
            self.flush(cx);
        }
    }

    /// Leaves in good order: close frame 1000, then waits for the server's, but not for long.
    pub async fn leave(mut self) {
        let goodbye = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::from_static("") };
        let parting = async {
            if self.socket.send(Message::Close(Some(goodbye))).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        // Out of patience is as good an end as any: the socket closes either way.
        let _ = timeout(LINGER, parting).await;
    }

    /// Drops the connection with a reset, as a network would.
    pub fn reset(self) {
        // Without it the connection ends by FIN, which is less than was asked for but an end all the same.
        let _ = self.socket.get_ref().set_zero_linger();
    }

    fn flush(&mut self, cx: &mut Context<'_>) {
        self.unflushed = Pin::new(&mut self.socket).poll_flush(cx).is_pending();
    }
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_MAX)
        .max_message_size(Some(FRAME_MAX))
        .max_frame_size(Some(FRAME_MAX))
}

fn upgrade(
    endpoint: &Endpoint,
    token: &Secret,
    cookie: Option<&str>,
    agent: &HeaderValue,
) -> Result<http::Request<()>, http::Error> {
    let token: String = url::form_urlencoded::byte_serialize(token.expose().as_bytes()).collect();
    let path = endpoint.path("/v1/stream");
    let mut request = http::Request::builder()
        .uri(format!("ws://{}{path}?token={token}", endpoint.authority()))
        .header(HOST, endpoint.authority())
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, generate_key())
        .header(USER_AGENT, agent);
    if let Some(cookie) = cookie {
        request = request.header(COOKIE, cookie);
    }
    request.body(())
}

fn io_failure(error: &std::io::Error) -> ConnectFailure {
    if is_local(error) { ConnectFailure::Local } else { ConnectFailure::Network }
}

fn failure(error: &Error) -> ConnectFailure {
    match error {
        Error::Http(response) => ConnectFailure::Status(response.status().as_u16()),
        Error::Io(error) => io_failure(error),
        _ => ConnectFailure::Network,
    }
}

fn closed_by(frame: Option<CloseFrame>) -> Ending {
    match frame {
        Some(frame) => Ending::Close { code: frame.code.into(), reason: frame.reason.as_str().into() },
        None => Ending::Close { code: 1005, reason: Box::default() },
    }
}

fn ending_by(error: &Error) -> Ending {
    match error {
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
        | Error::ConnectionClosed
        | Error::AlreadyClosed => Ending::Eof,
        Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ending::Eof,
        Error::Io(_) => Ending::Reset,
        _ => Ending::Protocol,
    }
}
