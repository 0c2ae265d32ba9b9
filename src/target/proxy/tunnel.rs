//! A stream after its upgrade: bytes both ways, uninterpreted, until an end or too long a silence.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::net::Shutdown;
use tokio::net::TcpStream;

use crate::time::Timestamp;

use super::super::clock::Clock;

/// One side of a tunnel, with what was read from it before the tunnel began.
pub(super) struct Side {
    pub(super) tcp: TcpStream,
    pub(super) early: Vec<u8>,
}

/// When bytes last passed a tunnel, and how to cut it.
#[derive(Debug)]
pub(super) struct Meter {
    begun: Timestamp,
    last: Cell<Timestamp>,
    cut: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Meter {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { begun: now, last: Cell::new(now), cut: Cell::new(false), waker: RefCell::new(None) }
    }

    /// When the tunnel began.
    pub(super) fn begun(&self) -> Timestamp {
        self.begun
    }

    /// When bytes last passed, either way.
    pub(super) fn last(&self) -> Timestamp {
        self.last.get()
    }

    /// Ends the tunnel; `false` if that was said before.
    pub(super) fn cut(&self) -> bool {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
        !self.cut.replace(true)
    }
}

/// Carries bytes until both sides have ended, one is reset (then so is the other), or the meter says cut: then
/// both see an end of file without a word of WebSocket, as a middlebox gives.
pub(super) async fn run(client: Side, upstream: Side, clock: &Clock, meter: &Meter) {
    let (mut up, mut down) = (Flow::new(client.early), Flow::new(upstream.early));
    let (client, upstream) = (client.tcp, upstream.tcp);
    let carried = poll_fn(|cx| {
        *meter.waker.borrow_mut() = Some(cx.waker().clone());
        if meter.cut.get() {
            return Poll::Ready(Ok(End::Cut));
        }
        let moved = up.pump(cx, &client, &upstream)? | down.pump(cx, &upstream, &client)?;
        if moved {
            meter.last.set(clock.now());
        }
        if up.is_over() && down.is_over() {
            Poll::Ready(Ok::<_, io::Error>(End::Closed))
        } else {
            Poll::Pending
        }
    });
    match carried.await {
        Ok(End::Closed) => {}
        Ok(End::Cut) => {
            let both = futures::future::join(say_goodbye(&client), say_goodbye(&upstream));
            // Who does not close in this time is closed upon, with a reset if it is still sending.
            let _ = tokio::time::timeout(LINGER, both).await;
        }
        Err(_) => {
            // Errors mean that the connection is gone already.
            let _ = client.set_zero_linger();
            let _ = upstream.set_zero_linger();
        }
    }
}

/// How a tunnel ended that was not reset.
enum End {
    Closed,
    Cut,
}

/// Ends one side, and reads on until it ends too: a socket closed over bytes that nobody has read (a pong that came in
/// the same moment) sends a reset, and a cut is to be an end of file, always.
async fn say_goodbye(side: &TcpStream) {
    // Errors here and below mean that it is gone already.
    if rustix::net::shutdown(side, Shutdown::Write).is_err() {
        return;
    }
    while side.readable().await.is_ok() {
        match BUFFER.with_borrow_mut(|buffer| side.try_read(buffer)) {
            Ok(read) if read > 0 => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            _ => return,
        }
    }
}

/// One direction.
struct Flow {
    /// Read and not yet written: at most one buffer full, and nothing while the other side keeps up.
    pending: Vec<u8>,
    ended: bool,
    shut: bool,
}

impl Flow {
    fn new(pending: Vec<u8>) -> Self {
        Self { pending, ended: false, shut: false }
    }

    fn is_over(&self) -> bool {
        self.shut
    }

    /// Moves what can be moved; says whether anything was.
    fn pump(&mut self, cx: &mut Context<'_>, from: &TcpStream, to: &TcpStream) -> io::Result<bool> {
        let mut moved = false;
        loop {
            if !self.drain(cx, to, &mut moved)? || self.shut {
                return Ok(moved);
            }
            if self.ended {
                rustix::net::shutdown(to, Shutdown::Write)?;
                self.shut = true;
                return Ok(moved);
            }
            if from.poll_read_ready(cx)?.is_pending() {
                return Ok(moved);
            }
            let read: io::Result<usize> = BUFFER.with_borrow_mut(|buffer| {
                let read = from.try_read(buffer)?;
                // Straight on in most cases; what does not fit becomes pending.
                let written = if read == 0 { 0 } else { try_write(to, &buffer[..read])? };
                self.pending.extend_from_slice(&buffer[written..read]);
                Ok(read)
            });
            match read {
                Ok(0) => self.ended = true,
                Ok(_) => moved = true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes what is pending; says whether all of it went.
    fn drain(&mut self, cx: &mut Context<'_>, to: &TcpStream, moved: &mut bool) -> io::Result<bool> {
        while !self.pending.is_empty() {
            if to.poll_write_ready(cx)?.is_pending() {
                return Ok(false);
            }
            let written = try_write(to, &self.pending)?;
            *moved |= written > 0;
            self.pending.drain(..written);
        }
        if self.pending.capacity() > 0 {
            self.pending = Vec::new();
        }
        Ok(true)
    }
}

/// Writes what the socket takes at once, perhaps nothing.
fn try_write(to: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match to.try_write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}

/// How long a side that was cut has time to close.
const LINGER: Duration = Duration::from_secs(2);

thread_local! {
    /// One buffer for all tunnels: bytes stay in it only while one of them is being pumped.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; 16 * 1024].into());
}
