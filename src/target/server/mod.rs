//! The pods on sockets: one thread, one task per connection, every pod with a listener of its own.

mod api;
mod auth;
mod capacity;
mod connection;
mod log_file;
mod reply;
mod route;
mod shared;
mod signal;
mod socket;
mod stream;
mod upgrade;

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_local};

use crate::secret::Secret;

use super::clock::Clock;
use super::config::Config;
use super::truth::Truth;

use log_file::LogFile;
use shared::Shared;
use socket::{Life, Socket};

/// All pods of a target, listening on the loopback. Lives inside a [`tokio::task::LocalSet`].
pub(super) struct Pods {
    shared: Rc<Shared>,
    pods: Vec<Pod>,
}

impl Pods {
    /// Binds a port for each pod (`first_port` for the first, if given) and starts to serve. `first_hello` is
    /// told once, when the first stream has been said hello to.
    ///
    /// # Errors
    /// A port that cannot be bound.
    pub(super) fn start(
        config: &Config,
        key: &Secret,
        log: Option<File>,
        first_port: Option<u16>,
        first_hello: mpsc::UnboundedSender<()>,
    ) -> io::Result<Self> {
        let shared = Shared::new(config, Clock::start(), key, LogFile::new(log), first_hello);
        let mut pods = Vec::new();
        for number in 0..config.pods {
            let port = first_port.filter(|_| number == 0).unwrap_or(0);
            let mut pod = Pod::bind(number, port)?;
            pod.live(&shared)?;
            pods.push(pod);
        }
        let timer = Rc::clone(&shared);
        spawn_local(async move { timer.keep_time().await });
        let log = Rc::clone(&shared);
        spawn_local(async move {
            loop {
                tokio::time::sleep(LOG_FLUSH).await;
                log.flush_log();
            }
        });
        Ok(Self { shared, pods })
    }

    /// Where the pods listen, in their order.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.pods.iter().map(|pod| pod.address).collect()
    }

    /// Begins a fault; `None` if it is not one of the pods'. The number is what it has hit since last asked.
    pub(super) async fn begin_fault(&mut self, index: u32) -> Option<u64> {
        let affected = self.shared.with(|backend, now| backend.begin_fault(now, index));
        self.follow_backend().await;
        affected
    }

    /// Ends a fault.
    pub(super) async fn end_fault(&mut self, index: u32) -> Option<u64> {
        let affected = self.shared.with(|backend, now| backend.end_fault(now, index));
        self.follow_backend().await;
        affected
    }

    /// What the faults have done.
    pub(super) fn truth(&self) -> Truth {
        self.shared.with(|backend, _| backend.truth())
    }

    /// Writes out the rest of the log.
    pub(super) fn finish(&self) {
        self.shared.flush_log();
    }

    /// Lets the listeners live and die with the backend's pods.
    async fn follow_backend(&mut self) {
        for pod in &mut self.pods {
            let up = self.shared.with(|backend, _| backend.pod_is_up(pod.number));
            if !up {
                pod.die().await;
            } else if pod.life.is_none()
                && let Err(error) = pod.live(&self.shared)
            {
                // Its port is kept for it, so this is the machine's failure (descriptors). Clients and health
                // checks will see a pod that stays away.
                eprintln!("target: failed to start pod-{} again: {error}", pod.number + 1);
            }
        }
    }
}

/// One pod's place on the network.
struct Pod {
    number: u32,
    address: SocketAddr,
    /// Bound and never listening: nobody else is given the port while the pod is dead, and who connects to it
    /// then is refused.
    _placeholder: TcpSocket,
    life: Option<(Arc<Life>, JoinHandle<()>)>,
}

impl Pod {
    fn bind(number: u32, port: u16) -> io::Result<Self> {
        let placeholder = bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
        let address = placeholder.local_addr()?;
        Ok(Self { number, address, _placeholder: placeholder, life: None })
    }

    fn live(&mut self, shared: &Rc<Shared>) -> io::Result<()> {
        let listener = bind(self.address)?.listen(BACKLOG)?;
        let life = Arc::new(Life::default());
        let accepting = spawn_local(accept(listener, Rc::clone(shared), self.number, Arc::clone(&life)));
        self.life = Some((life, accepting));
        Ok(())
    }

    /// When it returns, whoever connects is refused; the sockets are reset as soon as their tasks have run.
    async fn die(&mut self) {
        if let Some((life, accepting)) = self.life.take() {
            life.kill();
            accepting.abort();
            // The listener is gone only when its task is.
            let _ = accepting.await;
        }
    }
}

async fn accept(listener: TcpListener, shared: Rc<Shared>, pod: u32, life: Arc<Life>) {
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => {
                spawn_local(connection::serve(Rc::clone(&shared), pod, Socket::new(tcp, &life)));
            }
            // Out of descriptors, most likely: others have to close first.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// A storm of reconnects must find room; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: u32 = 4096;
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
const LOG_FLUSH: Duration = Duration::from_secs(1);
