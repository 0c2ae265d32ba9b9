//! The event stream as a client: the upgrade, frames in, pongs out, and the ways it ends.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, COOKIE, HOST, HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION};
use http::header::{UPGRADE, USER_AGENT};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame, Utf8Bytes};

use super::endpoint::Endpoint;
use super::frames::{Decoder, Item};
use super::transport::Transport;
use super::upgrade::{io_failure, upgrade};
use crate::secret::Secret;
use crate::session::{ConnectFailure, Ending};

/// What one read from a socket can take. All connections of a thread read into one buffer.
pub const READ_BUFFER: usize = 64 * 1024;

/// Pongs and a close frame are all that a client writes; what a server that does not read would have us keep beyond this
/// is not sent.
const UNSENT_MAX: usize = 4096;

/// How long a client that leaves in good order waits for the server's own close frame.
const LINGER: Duration = Duration::from_secs(2);

/// An upgraded connection.
#[derive(Debug)]
pub struct Stream {
    socket: Transport,
    decoder: Decoder,
    /// What came in one piece with the answer to the upgrade has not been looked at yet.
    unread: bool,
    /// Frames that wait for the socket; mostly empty.
    unsent: Vec<u8>,
    /// What was written may still wait inside of TLS.
    sealed: bool,
    /// Planted: no pong leaves.
    muted: bool,
}

/// An upgrade that was answered with 101.
#[derive(Debug)]
pub struct Opened {
    /// The stream.
    pub stream: Stream,
    /// The `Set-Cookie` headers of the answer.
    pub cookies: Vec<Box<str>>,
    /// The pod that answered, if a header names it.
    pub pod: Option<Box<str>>,
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
        let request = request(endpoint, token, cookie, agent).map_err(|_| ConnectFailure::Local)?;
        let opened = timeout_at(deadline, async {
            let socket = endpoint.connect().await.map_err(|error| io_failure(&error))?;
            upgrade(socket, request, endpoint.route()).await
        });
        let upgraded = opened.await.map_err(|_| ConnectFailure::Timeout)??;
        let stream = Self {
            socket: upgraded.socket,
            unread: !upgraded.rest.is_empty(),
            decoder: Decoder::beginning_with(upgraded.rest),
            unsent: Vec::new(),
            sealed: false,
            muted: false,
        };
        Ok(Opened { stream, cookies: upgraded.cookies, pod: upgraded.pod })
    }

    /// The address of this machine that it comes from.
    pub fn local_address(&self) -> Option<IpAddr> {
        self.socket.tcp().local_addr().ok().map(|address| address.ip())
    }

    /// Reads once into `buffer`, behind what is left of the read before, and returns how much of it is filled: a piece
    /// for [`Stream::next`]. The buffer grows as needed; between a piece and its [`Stream::keep`] it must not be
    /// touched.
    ///
    /// # Errors
    ///
    /// When the connection has ended without a close frame.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<Result<usize, Ending>> {
        self.flush(cx);
        let rest = self.decoder.rest();
        let kept = rest.len();
        if buffer.len() < kept + READ_BUFFER {
            buffer.resize(kept + READ_BUFFER, 0);
        }
        let mut read = 0;
        if !std::mem::take(&mut self.unread) {
            let mut into = ReadBuf::new(&mut buffer[kept..]);
            if let Err(error) = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut into)) {
                return Poll::Ready(Err(ending(&error)));
            }
            read = into.filled().len();
            if read == 0 {
                return Poll::Ready(Err(Ending::Eof));
            }
        }
        buffer[..kept].copy_from_slice(rest);
        Poll::Ready(Ok(kept + read))
    }

    /// The next item of a piece, see [`Decoder::next`].
    pub fn next<'a>(&mut self, piece: &'a [u8], at: &mut usize) -> Option<Item<'a>> {
        self.decoder.next(piece, at)
    }

    /// Keeps what is left of a piece.
    pub fn keep(&mut self, rest: &[u8]) {
        self.decoder.keep(rest);
    }

    /// Answers a ping; what does not leave at once leaves with the next reads.
    pub fn pong(&mut self, payload: &[u8], cx: &mut Context<'_>) {
        if self.muted {
            return;
        }
        self.send(Frame::pong(Bytes::copy_from_slice(payload)), cx);
    }

    /// Sends a ping of our own, which no documented client does: the probe asks with it whether the path still carries
    /// anything. Muting does not hold it back.
    pub fn ping(&mut self, payload: &[u8], cx: &mut Context<'_>) {
        self.send(Frame::ping(Bytes::copy_from_slice(payload)), cx);
    }

    /// Sends a text frame, likewise.
    pub fn send_text(&mut self, text: &'static str, cx: &mut Context<'_>) {
        if self.muted {
            return;
        }
        self.send(Frame::message(text, OpCode::Data(Data::Text), true), cx);
    }

    /// Keeps pongs (of JSON as well) from leaving, or lets them leave again.
    pub fn mute(&mut self, mute: bool) {
        self.muted = mute;
    }

    /// Reads until a text frame has come: hello, on a stream that was just opened. `false`: the connection has ended
    /// before.
    pub async fn hears(&mut self) -> bool {
        let mut buffer = Vec::new();
        poll_fn(|cx| {
            loop {
                let Ok(filled) = ready!(self.poll_fill(cx, &mut buffer)) else { return Poll::Ready(false) };
                let mut at = 0;
                while let Some(item) = self.decoder.next(&buffer[..filled], &mut at) {
                    match item {
                        Item::Text(_) => return Poll::Ready(true),
                        Item::Close(..) | Item::Broken => return Poll::Ready(false),
                        Item::Ping(_) | Item::Pong(_) | Item::Odd(_) => {}
                    }
                }
                self.decoder.keep(&buffer[at..filled]);
            }
        })
        .await
    }

    /// Answers a close frame, as far as the socket takes it: the connection is dropped either way.
    pub fn answer_close(mut self, code: u16, cx: &mut Context<'_>) {
        let code = CloseCode::from(code);
        let frame = code.is_allowed().then_some(CloseFrame { code, reason: Utf8Bytes::from_static("") });
        self.send(Frame::close(frame), cx);
    }

    /// Says close 1000 and goes on reading: the probe asks with it how the server answers.
    pub fn goodbye(&mut self, cx: &mut Context<'_>) {
        let goodbye = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::from_static("") };
        self.send(Frame::close(Some(goodbye)), cx);
    }

    /// Leaves in good order: close frame 1000, then waits for the server's, but not for long.
    pub async fn leave(mut self) {
        let goodbye = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::from_static("") };
        write_masked(&mut self.unsent, Frame::close(Some(goodbye)));
        let parting = async {
            if self.socket.write_all(&self.unsent).await.is_ok() {
                let mut ignored = [0; 1024];
                while self.socket.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
            }
        };
        // Out of patience is as good an end as any: the socket closes either way.
        let _ = timeout(LINGER, parting).await;
    }

    /// Drops the connection with a reset, as a network would.
    pub fn reset(self) {
        self.socket.reset();
    }

    fn send(&mut self, frame: Frame, cx: &mut Context<'_>) {
        if self.unsent.len() <= UNSENT_MAX {
            write_masked(&mut self.unsent, frame);
            self.flush(cx);
        }
    }

    /// Writes what waits, as far as the socket takes it. An error shows when reading.
    fn flush(&mut self, cx: &mut Context<'_>) {
        if self.unsent.is_empty() && !self.sealed {
            return;
        }
        while !self.unsent.is_empty() {
            match Pin::new(&mut self.socket).poll_write(cx, &self.unsent) {
                Poll::Ready(Ok(written)) => {
                    drop(self.unsent.drain(..written));
                    self.sealed = true;
                }
                Poll::Ready(Err(_)) => self.unsent.clear(),
                Poll::Pending => return,
            }
        }
        self.unsent = Vec::new();
        // TLS may have taken it, and not got rid of it yet.
        self.sealed = Pin::new(&mut self.socket).poll_flush(cx).is_pending();
    }
}

fn request(
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
    if let Some(headers) = request.headers_mut() {
        headers.extend(endpoint.headers().clone());
    }
    if let Some(cookie) = cookie {
        request = request.header(COOKIE, cookie);
    }
    request.body(())
}

/// RFC 6455: a client masks what it sends, with bytes that nobody can foresee.
#[expect(clippy::disallowed_methods, reason = "a mask has nothing to do with the plan")]
fn write_masked(out: &mut Vec<u8>, mut frame: Frame) {
    let random = uuid::Uuid::new_v4().into_bytes();
    frame.header_mut().mask = Some([random[0], random[1], random[2], random[3]]);
    frame.format(out).expect("a Vec takes everything");
}

fn ending(error: &io::Error) -> Ending {
    if error.kind() == io::ErrorKind::UnexpectedEof { Ending::Eof } else { Ending::Reset }
}

#[cfg(test)]
mod tests {
    use futures::{SinkExt as _, StreamExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::runtime::{Builder, LocalOptions};
    use tokio::task::spawn_local;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

    use super::*;

    /// Runs a server's side of one accepted TCP connection against the client's.
    fn with_server<S: Future<Output = ()> + 'static>(
        server: impl FnOnce(TcpStream) -> S + 'static,
        client: impl AsyncFnOnce(Result<Opened, ConnectFailure>),
    ) {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let play = async {
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
        };
        // What never comes is a failure, not a test that never ends.
        let limited = async { timeout(Duration::from_secs(30), play).await };
        runtime.expect("a runtime").block_on(limited).expect("an end in time");
    }

    async fn accepted(socket: TcpStream) -> WebSocketStream<TcpStream> {
        tokio_tungstenite::accept_async(socket).await.expect("an upgrade")
    }

    /// What a session would be told, as text.
    async fn receive(opened: &mut Opened) -> String {
        let (stream, mut buffer) = (&mut opened.stream, Vec::new());
        let mut said = None;
        poll_fn(|cx| {
            let filled = match ready!(stream.poll_fill(cx, &mut buffer)) {
                Ok(filled) => filled,
                Err(ending) => return Poll::Ready(format!("{ending:?}")),
            };
            let mut at = 0;
            let item = stream.next(&buffer[..filled], &mut at);
            if let Some(Item::Ping(payload)) = item {
                stream.pong(payload, cx);
            }
            said = item.map(|item| format!("{item:?}"));
            stream.keep(&buffer[at..filled]);
            said.take().map_or_else(
                || {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                },
                Poll::Ready,
            )
        })
        .await
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
            assert_eq!(receive(&mut opened).await, "Ping([7])");
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
            let said = receive(&mut opened.expect("an upgrade")).await;
            assert_eq!(said, "Close(4003, \"ping_timeout\")");
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
                let said = receive(&mut opened.expect("an upgrade")).await;
                assert_eq!(said, if reset { "Reset" } else { "Eof" });
            });
        }
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

    /// Answers the upgrade byte for byte: `behind` is what the server says right behind its head.
    async fn answer_by_hand(mut socket: TcpStream, accept: impl Fn(&str) -> String, behind: &[u8]) {
        let mut request = vec![0; 4096];
        let read = socket.read(&mut request).await.expect("a request");
        let request = String::from_utf8_lossy(&request[..read]).into_owned();
        let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
             Sec-WebSocket-Accept: {}\r\nSet-Cookie: pod=2; Path=/\r\n\r\n",
            accept(key)
        )
        .into_bytes();
        answer.extend_from_slice(behind);
        socket.write_all(&answer).await.expect("sent");
    }

    #[test]
    fn what_comes_in_one_piece_with_the_answer_is_not_lost() {
        let accept = |key: &str| derive_accept_key(key.as_bytes());
        let server = move |socket| async move { answer_by_hand(socket, accept, b"\x81\x02hi").await };
        with_server(server, async |opened| {
            let mut opened = opened.expect("an upgrade");
            assert_eq!(opened.cookies, ["pod=2; Path=/".into()]);
            assert_eq!(receive(&mut opened).await, "Text(\"hi\")");
        });
    }

    #[test]
    fn a_101_that_does_not_know_the_key_is_no_upgrade() {
        let accept = |_: &str| derive_accept_key(b"another key");
        let server = move |socket| async move { answer_by_hand(socket, accept, b"").await };
        with_server(server, async |opened| {
            assert_eq!(opened.err(), Some(ConnectFailure::Network));
        });
    }
}
