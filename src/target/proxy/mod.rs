//! The balancer on sockets: an HTTP and WebSocket reverse proxy of one thread.
//!
//! A proxied stream costs two descriptors, one task and no buffers while it is quiet. Streams are cut when they
//! have been idle too long, and reset when their pod is.
#![expect(clippy::disallowed_methods, reason = "the balancer owns sockets")]

mod forward;
mod health;
mod tunnel;
mod upstream;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::spawn_local;

use super::balancer::Balancer;
use super::clock::Clock;
use super::config::{Config, PlantedFault, PlantedKind};
use super::truth::{Deed, FaultTruth, Truth};
use tunnel::{Meter, Side};

/// A balancer, listening on the loopback. Lives inside a [`tokio::task::LocalSet`].
pub(super) struct Proxy {
    shared: Rc<Shared>,
    address: SocketAddr,
}

impl Proxy {
    /// Binds (`port`, if given) and starts to balance over these pods.
    ///
    /// # Errors
    /// The port cannot be bound.
    pub(super) fn start(config: &Config, upstreams: Vec<SocketAddr>, port: Option<u16>) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], port.unwrap_or(0))))?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let shared = Rc::new(Shared::new(config, upstreams));
        for pod in 0..shared.upstreams.len() {
            spawn_local(watch_health(Rc::clone(&shared), pod, config.balancer.health_interval));
        }
        spawn_local(sweep(Rc::clone(&shared)));
        spawn_local(accept(listener, Rc::clone(&shared)));
        Ok(Self { shared, address })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins a fault; `None` if it is not one of the balancer's. The number is what it has hit since last asked.
    pub(super) fn begin_fault(&self, index: u32) -> Option<u64> {
        self.shared.plant(index, true)
    }

    /// Ends a fault.
    pub(super) fn end_fault(&self, index: u32) -> Option<u64> {
        self.shared.plant(index, false)
    }

    /// What the faults have done.
    pub(super) fn truth(&self) -> Truth {
        let faults = self.shared.faults.borrow().iter().map(|own| own.truth.clone()).collect();
        Truth { faults, streams_cut: self.shared.streams_cut.get(), ..Truth::default() }
    }
}

/// What all tasks of the balancer share; it lives on one thread.
struct Shared {
    clock: Clock,
    upstreams: Vec<SocketAddr>,
    balancer: RefCell<Balancer>,
    tunnels: RefCell<BTreeMap<u64, Rc<Meter>>>,
    next_tunnel: Cell<u64>,
    faults: RefCell<Vec<OwnFault>>,
    streams_cut: Cell<u64>,
}

struct OwnFault {
    fault: PlantedFault,
    truth: FaultTruth,
    active: bool,
    told: u64,
}

impl Shared {
    fn new(config: &Config, upstreams: Vec<SocketAddr>) -> Self {
        let own = config.faults.iter().filter(|fault| fault.kind.is_balancers()).map(|fault| OwnFault {
            fault: fault.clone(),
            truth: FaultTruth { index: fault.index, name: fault.name.clone(), ..FaultTruth::default() },
            active: false,
            told: 0,
        });
        Self {
            clock: Clock::start(),
            balancer: RefCell::new(Balancer::new(&config.balancer, upstreams.len() as u32)),
            upstreams,
            tunnels: RefCell::default(),
            next_tunnel: Cell::new(0),
            faults: RefCell::new(own.collect()),
            streams_cut: Cell::new(0),
        }
    }

    /// Carries a stream to its end.
    async fn tunnel(&self, client: Side, upstream: Side) {
        let meter = Rc::new(Meter::new(self.clock.now()));
        let id = self.next_tunnel.replace(self.next_tunnel.get() + 1);
        self.tunnels.borrow_mut().insert(id, Rc::clone(&meter));
        tunnel::run(client, upstream, &self.clock, &meter).await;
        self.tunnels.borrow_mut().remove(&id);
    }

    fn plant(&self, index: u32, begin: bool) -> Option<u64> {
        let mut faults = self.faults.borrow_mut();
        let own = faults.iter_mut().find(|own| own.fault.index == index)?;
        let mut balancer = self.balancer.borrow_mut();
        match own.fault.kind {
            PlantedKind::IdleTimeout { timeout } => balancer.plant_idle_timeout(begin.then_some(timeout)),
            PlantedKind::MaxAge { timeout } => balancer.plant_max_age(begin.then_some(timeout)),
            _ => return None,
        }
        let now = self.clock.now();
        if begin {
            own.truth.began = Some(now);
            own.truth.ended = None;
        } else if own.active {
            own.truth.ended = Some(now);
        }
        own.active = begin;
        let affected = own.truth.affected();
        Some(affected - std::mem::replace(&mut own.told, affected))
    }

    /// Cuts the streams that have been idle too long, or are too old.
    fn cut(&self) {
        let (timeout, age) = {
            let balancer = self.balancer.borrow();
            (balancer.idle_timeout(), balancer.max_age())
        };
        let now = self.clock.now();
        let old = self.cut_those(|meter| age.is_some_and(|age| now.since(meter.begun()) >= age));
        let idle = self.cut_those(|meter| now.since(meter.last()) >= timeout);
        self.streams_cut.set(self.streams_cut.get() + old + idle);
        let mut faults = self.faults.borrow_mut();
        for (by_age, cut) in [(true, old), (false, idle)] {
            let is = |own: &&mut OwnFault| {
                own.active && matches!(own.fault.kind, PlantedKind::MaxAge { .. }) == by_age
            };
            if let Some(own) = faults.iter_mut().find(is) {
                own.truth.add(Deed::StreamCut, cut);
            }
        }
    }

    fn cut_those(&self, is_due: impl Fn(&Meter) -> bool) -> u64 {
        self.tunnels.borrow().values().filter(|meter| is_due(meter)).filter(|meter| meter.cut()).count()
            as u64
    }
}

async fn accept(listener: TcpListener, shared: Rc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => drop(spawn_local(forward::serve(Rc::clone(&shared), client))),
            // Out of descriptors, most likely: others have to close first.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn watch_health(shared: Rc<Shared>, pod: usize, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        let healthy = health::check(shared.upstreams[pod], interval.max(HEALTH_PATIENCE)).await;
        shared.balancer.borrow_mut().mark(pod as u32, healthy);
    }
}

/// Looks for idle and old streams often enough that none is cut more than an eighth of its timeout late.
async fn sweep(shared: Rc<Shared>) {
    loop {
        let timeout = {
            let balancer = shared.balancer.borrow();
            balancer.max_age().map_or(balancer.idle_timeout(), |age| age.min(balancer.idle_timeout()))
        };
        tokio::time::sleep((timeout / 8).clamp(SWEEP_MIN, SWEEP_MAX)).await;
        shared.cut();
    }
}

const BACKLOG: u32 = 4096;
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
const HEALTH_PATIENCE: Duration = Duration::from_secs(1);
const SWEEP_MIN: Duration = Duration::from_millis(10);
const SWEEP_MAX: Duration = Duration::from_millis(250);
