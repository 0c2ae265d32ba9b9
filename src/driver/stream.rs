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
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Utf8Bytes, error::ProtocolError};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::endpoint::{Endpoint, is_local};
use super::muffled::Muffled;
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
    socket: WebSocketStream<Muffled>,
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
            let socket = Muffled::new(endpoint.connect().await.map_err(|error| io_failure(&error))?);
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

    /// Keeps pongs (and whatever else it would write) from leaving, or lets them leave again.
    pub fn mute(&mut self, mute: bool) {
        self.socket.get_mut().muffled = mute;
    }

    /// Reads until something has come that is no ping: hello, on a stream that was just opened.
    pub async fn first(&mut self) -> Received {
        loop {
            match std::future::poll_fn(|cx| self.poll_receive(cx)).await {
                Received::Ping => {}
                other => return other,
            }
        }
    }

    /// Drops the connection with a reset, as a network would.
    pub fn reset(self) {
        // Without it the connection ends by FIN, which is less than was asked for but an end all the same.
        let _ = self.socket.get_ref().tcp.set_zero_linger();
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::runtime::{Builder, LocalOptions};
    use tokio::task::spawn_local;

    use super::*;

    /// Runs a server's side of one accepted TCP connection against the client's.
    fn with_server<S: Future<Output = ()> + 'static>(
        server: impl FnOnce(TcpStream) -> S + 'static,
        client: impl AsyncFnOnce(Result<Opened, ConnectFailure>),
    ) {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        runtime.expect("a runtime").block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("bound");
            let serving = spawn_local(async move {
                let (socket, _) = listener.accept().await.expect("a connection");
                server(socket).await;
            });
            let endpoint = Endpoint::parse(&format!("http://{address}")).expect("a good URL");
            endpoint.resolve().await.expect("an address");
            let agent = HeaderValue::from_static("wavesoak/0 (test)");
            #[expect(clippy::disallowed_methods, reason = "a deadline needs a clock")]
            let deadline = Instant::now() + Duration::from_secs(60);
            let token = Secret::new("t/+");
            client(Stream::open(&endpoint, &token, Some("pod=1"), &agent, deadline).await).await;
            serving.await.expect("no panic in the server");
        });
    }

    async fn accepted(socket: TcpStream) -> WebSocketStream<TcpStream> {
        tokio_tungstenite::accept_async(socket).await.expect("an upgrade")
    }

    async fn receive(opened: &mut Opened) -> Received {
        poll_fn(|cx| opened.stream.poll_receive(cx)).await
    }

    #[test]
    fn a_ping_is_answered_before_the_client_does_anything_else() {
        let server = |socket| async {
            let mut socket = accepted(socket).await;
            socket.send(Message::Ping(vec![7].into())).await.expect("sent");
            let pong = socket.next().await.expect("open").expect("a frame");
            assert_eq!(pong, Message::Pong(vec![7].into()));
        };
        with_server(server, async |opened| {
            let mut opened = opened.expect("an upgrade");
            assert!(matches!(receive(&mut opened).await, Received::Ping));
            // Gone without another read: what the server waits for has left already, or never will.
        });
    }

    #[test]
    fn the_close_code_and_its_reason_are_told() {
        let server = |socket| async {
            let frame = CloseFrame { code: CloseCode::from(4003), reason: "ping_timeout".into() };
            accepted(socket).await.close(Some(frame)).await.expect("sent");
        };
        with_server(server, async |opened| {
            let Received::Closed(ending) = receive(&mut opened.expect("an upgrade")).await else {
                panic!("open")
            };
            assert_eq!(ending, Ending::Close { code: 4003, reason: "ping_timeout".into() });
        });
    }

    #[test]
    fn an_end_without_a_close_frame_is_told_from_a_reset() {
        for reset in [false, true] {
            let server = move |socket| async move {
                let socket = accepted(socket).await;
                if reset {
                    socket.get_ref().set_zero_linger().expect("an open socket");
                }
            };
            with_server(server, async move |opened| {
                let Received::Closed(ending) = receive(&mut opened.expect("an upgrade")).await else {
                    panic!("open")
                };
                assert_eq!(ending, if reset { Ending::Reset } else { Ending::Eof });
            });
        }
    }

    #[test]
    fn what_is_too_large_is_counted_and_ends_the_connection() {
        let server = |socket| async {
            let mut socket = accepted(socket).await;
            let huge = Message::Text("x".repeat(FRAME_MAX + 1).into());
            // The client may be gone before all of it has left.
            let _ = socket.send(huge).await;
        };
        with_server(server, async |opened| {
            let mut opened = opened.expect("an upgrade");
            assert!(matches!(receive(&mut opened).await, Received::Odd(Oddity::Oversized)));
            assert!(matches!(receive(&mut opened).await, Received::Closed(Ending::Protocol)));
            opened.stream.reset();
        });
    }

    #[test]
    fn an_answer_other_than_101_is_told_with_its_status() {
        let server = |mut socket: TcpStream| async move {
            let mut request = vec![0; 4096];
            let read = socket.read(&mut request).await.expect("a request");
            let request = String::from_utf8_lossy(&request[..read]).to_lowercase();
            for part in
                ["get /v1/stream?token=t%2f%2b http/1.1", "user-agent: wavesoak/0 (test)", "cookie: pod=1"]
            {
                assert!(request.contains(part), "{part} in {request}");
            }
            socket.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").await.expect("sent");
        };
        with_server(server, async |opened| {
            assert_eq!(opened.err(), Some(ConnectFailure::Status(503)));
        });
    }
}
