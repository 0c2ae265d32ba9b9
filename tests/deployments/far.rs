//! A long way to the target: what either side says comes so much later, in order and whole.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// It lives as long as the test's process: its threads wait on sockets.
pub(crate) struct Far {
    port: u16,
    lost: Arc<AtomicBool>,
}

impl Far {
    /// In front of this port of this machine; `way` is half of what there and back takes.
    pub(crate) fn start(port: u16, way: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let own = Self { port: listener.local_addr().expect("bound").port(), lost: Arc::default() };
        let lost = Arc::clone(&own.lost);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
                    carry(client, server, way, &lost);
                }
            }
        });
        own
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From now on nothing arrives, and nobody is told.
    pub(crate) fn lose_everything(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }
}

fn carry(client: TcpStream, server: TcpStream, way: Duration, lost: &Arc<AtomicBool>) {
    for socket in [&client, &server] {
        socket.set_nodelay(true).expect("a socket");
    }
    let (from, to) = (client.try_clone().expect("a descriptor"), server.try_clone().expect("a descriptor"));
    // The handshake of a connection is there and back once more, before its first byte.
    one_way(from, to, way, way * 2, lost);
    one_way(server, client, way, Duration::ZERO, lost);
}

fn one_way(mut from: TcpStream, to: TcpStream, way: Duration, handshake: Duration, lost: &Arc<AtomicBool>) {
    let (under_way, arriving) = channel();
    let (lost, open) = (Arc::clone(lost), Instant::now() + handshake);
    thread::spawn(move || depart(&mut from, &under_way, way, open, &lost));
    thread::spawn(move || arrive(to, &arriving));
}

type Piece = (Instant, Vec<u8>);

fn depart(from: &mut TcpStream, under_way: &Sender<Piece>, way: Duration, open: Instant, lost: &AtomicBool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let due = Instant::now().max(open) + way;
        if !lost.load(Ordering::Relaxed) && under_way.send((due, buffer[..read].to_vec())).is_err() {
            return;
        }
    }
    // The end is under way as well: an empty piece.
    let _ = under_way.send((Instant::now().max(open) + way, Vec::new()));
}

fn arrive(mut to: TcpStream, arriving: &Receiver<Piece>) {
    while let Ok((due, piece)) = arriving.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if piece.is_empty() || to.write_all(&piece).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
