//! A pod's side of a TCP connection: it dies with a reset when its pod is killed.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// One life of a pod, shared by all its sockets.
#[derive(Debug, Default)]
pub(super) struct Life {
    killed: AtomicBool,
    ended: Notify,
}

impl Life {
    /// Ends it: whoever waits in [`Life::ended`] wakes up, and every socket dropped from now on is reset.
    pub(super) fn kill(&self) {
        self.killed.store(true, Ordering::Relaxed);
        self.ended.notify_waiters();
    }

    pub(super) fn is_over(&self) -> bool {
        self.killed.load(Ordering::Relaxed)
    }

    /// Returns when the pod is killed.
    pub(super) async fn ended(&self) {
        let ended = self.ended.notified();
        if !self.is_over() {
            ended.await;
        }
    }
}

/// A TCP connection of a pod.
#[derive(Debug)]
pub(super) struct Socket {
    tcp: TcpStream,
    life: Arc<Life>,
}

impl Socket {
    pub(super) fn new(tcp: TcpStream, life: &Arc<Life>) -> Self {
        // Small frames must not wait for each other; without it latencies are only worse, so no error.
        let _ = tcp.set_nodelay(true);
        Self { tcp, life: Arc::clone(life) }
    }

    pub(super) fn life(&self) -> &Arc<Life> {
        &self.life
    }

    /// Makes the coming drop a reset.
    pub(super) fn reset_on_drop(&self) {
        // An error means that the connection is gone already.
        let _ = self.tcp.set_zero_linger();
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.life.is_over() {
            self.reset_on_drop();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}
