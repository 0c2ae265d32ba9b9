//! The balancer's connection to a pod.

use std::io;
use std::net::SocketAddr;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, spawn_local};

/// A connection to one pod, for the requests of one client connection; it closes with this value.
pub(super) struct Upstream {
    /// The pod, from 0.
    pub(super) pod: u32,
    sender: SendRequest<Incoming>,
    carrier: AbortHandle,
}

impl Upstream {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there, or this process is out of descriptors.
    pub(super) async fn connect(pod: u32, address: SocketAddr) -> io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        // Small frames must not wait for each other; without it latencies are only worse, so no error.
        let _ = tcp.set_nodelay(true);
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HTTP_BUFFER)
            .handshake(TokioIo::new(tcp))
            .await
            .map_err(io::Error::other)?;
        // Its errors come out of `send` as well.
        let carrier = spawn_local(async move { drop(connection.with_upgrades().await) }).abort_handle();
        Ok(Self { pod, sender, carrier })
    }

    /// Whether another request can go over it.
    pub(super) fn is_usable(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(&mut self, request: Request<Incoming>) -> hyper::Result<Response<Incoming>> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

const HTTP_BUFFER: usize = 16 * 1024;
