//! Health checks: is a pod there, and does its `/health` say 200?

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// One check, over a connection of its own.
pub(super) async fn check(address: SocketAddr, patience: Duration) -> bool {
    tokio::time::timeout(patience, ask(address)).await.ok().flatten() == Some(StatusCode::OK)
}

async fn ask(address: SocketAddr) -> Option<StatusCode> {
    let tcp = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await.ok()?;
    let request = Request::get("/health").header("Host", address.to_string()).body(Empty::<Bytes>::new());
    tokio::select! {
        reply = sender.send_request(request.ok()?) => reply.ok().map(|reply| reply.status()),
        _ = connection => None,
    }
}
