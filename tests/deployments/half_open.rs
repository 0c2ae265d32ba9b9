//! A path that brings what the server says, and from some time on loses what clients say on their streams.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// It lives as long as the test's process: its threads wait on sockets.
pub(crate) struct HalfOpen {
    port: u16,
}

impl HalfOpen {
    /// In front of this pod; the time runs from each stream's first byte.
    pub(crate) fn start(pod: &str, after: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let pod = pod.to_owned();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = TcpStream::connect(&pod) {
                    carry(client, server, after);
                }
            }
        });
        Self { port }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

fn carry(client: TcpStream, server: TcpStream, after: Duration) {
    let (from, to) = (client.try_clone().expect("a descriptor"), server.try_clone().expect("a descriptor"));
    thread::spawn(move || pump(from, to, Some(after)));
    thread::spawn(move || pump(server, client, None));
}

/// Until an end; of a stream's first bytes on, what comes later than `after` is read and goes nowhere.
fn pump(mut from: TcpStream, mut to: TcpStream, after: Option<Duration>) {
    let (mut buffer, mut lost_from) = ([0; 16 * 1024], None);
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let piece = &buffer[..read];
        if let (Some(after), None) = (after, lost_from)
            && piece.starts_with(b"GET /v1/stream")
        {
            lost_from = Some(Instant::now() + after);
        }
        if lost_from.is_some_and(|lost_from| Instant::now() >= lost_from) {
            continue;
        }
        if to.write_all(piece).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
