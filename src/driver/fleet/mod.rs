//! Thousands of sessions on one thread: one small task a client, woken by its socket, its timer or its mailbox.

mod client;
mod keeper;
mod mailbox;

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::sleep_until;

use self::client::Client;
use self::mailbox::{Mail, Mailbox, Tally};
use super::line::Line;
use super::store::Store;
use super::stream::Stream;
use crate::positions::Positions;
use crate::session::{Observation, Order, Session, TokenLife};
use crate::time::Timestamp;
use crate::wire::Position;
use crate::worker::conductor::{FlushCost, FlushTrouble, LineFault};

/// Who is told what happens to clients. It must not call back into the fleet.
pub trait Watcher {
    /// A session observed something.
    fn observe(&self, now: Timestamp, client: u32, observation: &Observation);

    /// A line fault has hit this many connections.
    fn planted(&self, fault: u32, affected: u64);

    /// These positions are durable now.
    fn flushed(&self, positions: &[(u32, Position)], cost: FlushCost);

    /// Something went wrong with the store, so often; `told`, for people.
    fn unflushed(&self, trouble: FlushTrouble, times: u64, told: String);
}

/// Makes the session of a client that starts for the first time.
pub type Birth = Box<dyn Fn(u32, TokenLife) -> Session>;

/// All clients of one worker. It lives on one thread, on a [`tokio::runtime::LocalRuntime`].
pub struct Fleet {
    line: Rc<Line>,
    watcher: Rc<dyn Watcher>,
    birth: Birth,
    store: Store,
    positions: RefCell<Positions>,
    /// One place a client; `None`: not started yet.
    clients: RefCell<Vec<Option<Rc<Mailbox>>>>,
    /// Tasks of clients, and of connections that are being left in good order.
    alive: Cell<usize>,
    /// The last of them has ended.
    deserted: Notify,
    /// No position will change any more; and: all of them are stored.
    over: Notify,
    kept: Notify,
}

impl Fleet {
    /// A fleet of `clients`, none of them started. Their positions go to `store` every `flush_interval`, until
    /// [`Fleet::leave`].
    pub fn new(
        clients: u32,
        line: Rc<Line>,
        watcher: Rc<dyn Watcher>,
        birth: Birth,
        store: Store,
        flush_interval: Duration,
    ) -> Rc<Self> {
        let positions = Positions::new(clients, flush_interval, line.clock.now());
        let fleet = Rc::new(Self {
            line,
            watcher,
            birth,
            store,
            positions: RefCell::new(positions),
            clients: RefCell::new(vec![None; clients as usize]),
            alive: Cell::new(0),
            deserted: Notify::new(),
            over: Notify::new(),
            kept: Notify::new(),
        });
        drop(spawn_local(keeper::keep(Rc::clone(&fleet))));
        fleet
    }

    /// What its clients have in common.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Hands an order to a client; its first one brings it into being.
    pub fn order(self: &Rc<Self>, client: u32, order: Order) {
        let known = self.clients.borrow()[client as usize].clone();
        let mailbox = known.unwrap_or_else(|| self.bring_up(client));
        mailbox.post(Mail::Order(order));
    }

    /// Does this to the connections of these clients; the watcher is told how many were hit.
    pub fn plant(self: &Rc<Self>, fault: u32, clients: Vec<u32>, line: LineFault) {
        match line {
            // From now on nothing more of them is stored, also of those that come to read this only later.
            LineFault::Kill => clients.iter().for_each(|&client| self.positions.borrow_mut().died(client)),
            LineFault::Revive => return drop(spawn_local(keeper::revive(Rc::clone(self), clients))),
            _ => {}
        }
        let tally = Rc::new(Tally::new(fault, Rc::clone(&self.watcher)));
        for client in clients {
            if let Some(mailbox) = &self.clients.borrow()[client as usize] {
                mailbox.post(Mail::Fault(line, Rc::clone(&tally)));
            }
        }
    }

    /// Tells a client that someone else has refreshed its token.
    pub fn refreshed(&self, client: u32, life: TokenLife) {
        if let Some(mailbox) = &self.clients.borrow()[client as usize] {
            mailbox.post(Mail::Refreshed(life));
        }
    }

    /// Ends every client and closes its connection in good order, `rate` of them a second, so that leaving is no
    /// storm, and stores the last positions. Nothing is observed any more.
    pub async fn leave(&self, rate: f64) {
        let started: Vec<Rc<Mailbox>> =
            self.clients.borrow_mut().iter_mut().filter_map(Option::take).collect();
        let begin = self.line.clock.now();
        for (number, mailbox) in started.into_iter().enumerate() {
            let due = begin + Duration::from_secs_f64(number as f64 / rate.max(1.0));
            if due > self.line.clock.now() {
                sleep_until(self.line.clock.instant(due)).await;
            }
            mailbox.post(Mail::End);
        }
        while self.alive.get() > 0 {
            self.deserted.notified().await;
        }
        self.over.notify_one();
        self.kept.notified().await;
    }

    fn bring_up(self: &Rc<Self>, client: u32) -> Rc<Mailbox> {
        let session = (self.birth)(client, self.line.tokens.life(client));
        let mailbox = Rc::new(Mailbox::default());
        let task = Client::new(Alive::one_of(self), Rc::clone(&mailbox), client, session);
        drop(spawn_local(task));
        self.clients.borrow_mut()[client as usize] = Some(Rc::clone(&mailbox));
        mailbox
    }

    /// Closes a connection in good order, beside everything else.
    fn part(self: &Rc<Self>, stream: Stream) {
        let alive = Alive::one_of(self);
        drop(spawn_local(async move {
            stream.leave().await;
            drop(alive);
        }));
    }
}

/// One task of a fleet; the fleet knows how many there are.
struct Alive(Rc<Fleet>);

impl Alive {
    fn one_of(fleet: &Rc<Fleet>) -> Self {
        fleet.alive.set(fleet.alive.get() + 1);
        Self(Rc::clone(fleet))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.set(self.0.alive.get() - 1);
        if self.0.alive.get() == 0 {
            self.0.deserted.notify_one();
        }
    }
}

impl Deref for Alive {
    type Target = Rc<Fleet>;
    fn deref(&self) -> &Rc<Fleet> {
        &self.0
    }
}
