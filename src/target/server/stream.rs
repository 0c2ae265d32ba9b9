//! The task of one stream: frames out of the backend's queue, pongs into it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{Sink as _, SinkExt as _, Stream as _, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Sleep, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::profile::Strange;

use super::super::caller::{Caller, TokenTrouble};
use super::super::connection::ConnId;
use super::super::frame::{OVERSIZED, Outgoing, ServerFrame};
use super::capacity::Turnstile;
use super::shared::Shared;
use super::signal::{End, Signal};
use super::socket::Socket;

/// Carries an upgraded connection to its end. `early` is what the client sent before it saw the upgrade.
pub(super) async fn run(
    shared: &Shared,
    pod: u32,
    socket: Socket,
    early: Vec<u8>,
    caller: Result<Caller, TokenTrouble>,
) {
    let mut socket = WebSocketStream::from_partially_read(socket, early, Role::Server, Some(limits())).await;
    let (conn, signal) = shared.add_stream();
    shared.with(|backend, now| backend.open(now, pod, conn, caller));
    let mut queue =
        Queue { shared, conn, deliveries: shared.capacity(pod).deliveries.as_ref(), waiting: None };
    let how = poll_fn(|cx| step(cx, &mut socket, &mut queue, &signal)).await;
    shared.remove_stream(conn);
    match how {
        Over::Ended(End::Reset) => socket.get_ref().reset_on_drop(),
        Over::Ended(End::Fin) => Box::pin(fin(&mut socket)).await,
        Over::Ended(End::Close { code, reason }) => {
            let frame = CloseFrame { code: code.into(), reason: reason.into_owned().into() };
            // Boxed: it would make every quiet stream's task larger.
            Box::pin(part(&mut socket, Some(Message::Close(Some(frame))))).await;
        }
        Over::ByClient => Box::pin(part(&mut socket, None)).await,
        Over::Broken => {}
    }
}

/// Client frames are pongs of a few bytes: a small read buffer is enough, and nothing large is taken.
fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(BATCH_BYTES)
        .max_write_buffer_size(MAX_UNWRITTEN)
        .max_message_size(Some(CLIENT_FRAME_MAX))
        .max_frame_size(Some(CLIENT_FRAME_MAX))
}

/// What is to be written to one stream, at the pace of its pod.
struct Queue<'a> {
    shared: &'a Shared,
    conn: ConnId,
    /// The pod's, if it has one planted.
    deliveries: Option<&'a Turnstile>,
    /// A message that waits for the pod to get round to it; those behind it stay in the backend's bounded queue.
    waiting: Option<Box<Waiting>>,
}

/// A message, and when it is through the pod's turnstile.
struct Waiting {
    through: Pin<Box<Sleep>>,
    frame: Arc<Outgoing>,
}

impl Queue<'_> {
    /// The next frame to write; `None`: there is none.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arc<Outgoing>>> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                ready!(waiting.through.as_mut().poll(cx));
                return Poll::Ready(self.waiting.take().map(|waiting| waiting.frame));
            }
            let next = self.shared.with(|backend, _| backend.next_frame(self.conn));
            let (Some(frame), Some(turnstile)) = (&next, self.deliveries) else { return Poll::Ready(next) };
            if !matches!(frame.frame(), ServerFrame::Message(_)) {
                return Poll::Ready(next);
            }
            let through = self.shared.clock.instant_of(turnstile.pass(self.shared.clock.now()));
            let through = Box::pin(sleep_until(through));
            self.waiting = next.map(|frame| Box::new(Waiting { through, frame }));
        }
    }
}

/// How a stream came to its end.
enum Over {
    /// The backend has ended it.
    Ended(End),
    /// The client sent a close frame.
    ByClient,
    /// Reset, cut, or not WebSocket any more.
    Broken,
}

/// Reads all there is to read, then writes all there is to write, as far as the socket allows.
fn step(
    cx: &mut Context<'_>,
    socket: &mut WebSocketStream<Socket>,
    queue: &mut Queue<'_>,
    signal: &Signal,
) -> Poll<Over> {
    let Queue { shared, conn, .. } = *queue;
    signal.register(cx);
    if let Some(end) = signal.take_end() {
        return Poll::Ready(Over::Ended(end));
    }
    while let Poll::Ready(read) = Pin::new(&mut *socket).poll_next(cx) {
        match read {
            Some(Ok(Message::Pong(_))) => shared.with(|backend, _| backend.pong(conn)),
            Some(Ok(Message::Text(text))) if is_json_pong(&text) => {
                shared.with(|backend, _| backend.pong(conn));
            }
            Some(Ok(Message::Close(_))) => return Poll::Ready(Over::ByClient),
            // No client-to-server frames are documented: others are skipped.
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Poll::Ready(Over::Broken),
        }
    }
    write(cx, socket, queue, signal)
}

/// Takes frames from the queue in batches of about [`BATCH_BYTES`], each written at once: a slow reader's
/// frames stay in the backend's bounded queue.
fn write(
    cx: &mut Context<'_>,
    socket: &mut WebSocketStream<Socket>,
    queue: &mut Queue<'_>,
    signal: &Signal,
) -> Poll<Over> {
    let mut socket = Pin::new(socket);
    if signal.take_ping() && socket.as_mut().start_send(Message::Ping(Bytes::new())).is_err() {
        return Poll::Ready(Over::Broken);
    }
    loop {
        if ready!(socket.as_mut().poll_flush(cx)).is_err() {
            return Poll::Ready(Over::Broken);
        }
        let mut batch = 0;
        while batch < BATCH_BYTES {
            let Poll::Ready(Some(frame)) = queue.poll_next(cx) else { break };
            let text = frame.encoded();
            batch += text.len();
            let message = match frame.frame() {
                ServerFrame::Strange(Strange::Binary) => Message::Binary(text.into()),
                _ => Message::Text(text),
            };
            if socket.as_mut().start_send(message).is_err() {
                return Poll::Ready(Over::Broken);
            }
        }
        if batch == 0 {
            return Poll::Pending;
        }
    }
}

/// Sends a close frame if there is one to send, and waits a little for the other side's.
async fn part(socket: &mut WebSocketStream<Socket>, close: Option<Message>) {
    let life = std::sync::Arc::clone(socket.get_ref().life());
    let goodbye = async {
        let sent = match close {
            Some(close) => socket.send(close).await,
            None => socket.flush().await,
        };
        if sent.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    tokio::select! {
        () = goodbye => {}
        () = tokio::time::sleep(CLOSE_PATIENCE) => {}
        () = life.ended() => {}
    }
}

/// Ends the connection with FIN and waits a little for the other side's: what it has sent meanwhile must not turn
/// the end into a reset.
async fn fin(socket: &mut WebSocketStream<Socket>) {
    let life = std::sync::Arc::clone(socket.get_ref().life());
    let goodbye = async {
        if socket.get_mut().shutdown().await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    tokio::select! {
        () = goodbye => {}
        () = tokio::time::sleep(CLOSE_PATIENCE) => {}
        () = life.ended() => {}
    }
}

/// `{"type":"pong"}`, the answer to a JSON ping; whatever else is in it.
fn is_json_pong(text: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Typed<'a> {
        r#type: &'a str,
    }
    serde_json::from_str::<Typed<'_>>(text).is_ok_and(|frame| frame.r#type == "pong")
}

const READ_BUFFER: usize = 512;
const BATCH_BYTES: usize = 4 * 1024;
/// A batch, its last frame (at most 64 KB of content, or a planted one that is too large), and what control frames
/// need. It is a bound, not a buffer.
const MAX_UNWRITTEN: usize = 128 * 1024 + OVERSIZED;
const CLIENT_FRAME_MAX: usize = 4 * 1024;
/// How long the other side may take to answer a close frame.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
