//! The backend on its thread: every call goes through here, and its effects are carried to whom they concern.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use tokio::sync::{Notify, mpsc, oneshot};

use crate::secret::Secret;
use crate::time::Timestamp;

use super::super::backend::{Backend, Effect};
use super::super::clock::Clock;
use super::super::config::Config;
use super::super::connection::ConnId;
use super::super::line::LogEvent;
use super::super::page::{Page, WaiterId};
use super::super::token::Signer;
use super::auth::TokenCache;
use super::capacity::PodCapacity;
use super::log_file::LogFile;
use super::signal::{End, Signal};

/// What all tasks of all pods share; it lives on one thread.
pub(super) struct Shared {
    backend: RefCell<Backend>,
    pub(super) clock: Clock,
    pub(super) signer: Signer,
    pub(super) tokens: TokenCache,
    streams: RefCell<HashMap<ConnId, Rc<Signal>>>,
    polls: RefCell<HashMap<WaiterId, oneshot::Sender<Page>>>,
    next_id: Cell<u64>,
    log: RefCell<LogFile>,
    /// When the timer task sleeps until, and how to wake it for something earlier.
    armed: Cell<Timestamp>,
    earlier: Notify,
    first_hello: RefCell<Option<mpsc::UnboundedSender<()>>>,
    capacities: Vec<PodCapacity>,
}

impl Shared {
    /// `first_hello` is told once, when the first stream has been said hello to.
    pub(super) fn new(
        config: &Config,
        clock: Clock,
        key: &Secret,
        log: LogFile,
        first_hello: mpsc::UnboundedSender<()>,
    ) -> Rc<Self> {
        let config = Config { epoch_unix_s: clock.epoch_unix_s, ..config.clone() };
        Rc::new(Self {
            backend: RefCell::new(Backend::new(&config)),
            clock,
            signer: Signer::new(key, clock.epoch_unix_s),
            tokens: TokenCache::default(),
            streams: RefCell::default(),
            polls: RefCell::default(),
            next_id: Cell::new(1),
            log: RefCell::new(log),
            armed: Cell::new(Timestamp::MAX),
            earlier: Notify::new(),
            first_hello: RefCell::new(Some(first_hello)),
            capacities: (0..config.pods).map(|_| PodCapacity::new(config.capacity)).collect(),
        })
    }

    /// Calls the backend, then carries out what comes of it.
    pub(super) fn with<R>(&self, call: impl FnOnce(&mut Backend, Timestamp) -> R) -> R {
        let result = call(&mut self.backend.borrow_mut(), self.clock.now());
        self.carry_out();
        result
    }

    /// What a pod still has to give.
    pub(super) fn capacity(&self, pod: u32) -> &PodCapacity {
        &self.capacities[pod as usize]
    }

    /// Registers a stream under a fresh id.
    pub(super) fn add_stream(&self) -> (ConnId, Rc<Signal>) {
        let id = ConnId(self.fresh_id());
        let signal = Rc::new(Signal::default());
        self.streams.borrow_mut().insert(id, Rc::clone(&signal));
        (id, signal)
    }

    /// The stream is over; harmless if the backend ended it.
    pub(super) fn remove_stream(&self, id: ConnId) {
        self.streams.borrow_mut().remove(&id);
        self.with(|backend, now| backend.gone(now, id));
    }

    /// Registers a sync request that may have to wait; when the returned value is dropped, it is forgotten.
    pub(super) fn add_poll(self: &Rc<Self>) -> (Poll, oneshot::Receiver<Page>) {
        let id = WaiterId(self.fresh_id());
        let (answer, answered) = oneshot::channel();
        self.polls.borrow_mut().insert(id, answer);
        (Poll { id, shared: Rc::clone(self) }, answered)
    }

    /// Runs the backend's timers; never returns.
    pub(super) async fn keep_time(&self) {
        loop {
            let wake = self.with(|backend, now| {
                backend.tick(now);
                backend.next_wake()
            });
            self.armed.set(wake.unwrap_or(Timestamp::MAX));
            let earlier = self.earlier.notified();
            match wake {
                Some(at) => tokio::select! {
                    () = tokio::time::sleep_until(self.clock.instant_of(at)) => {}
                    () = earlier => {}
                },
                None => earlier.await,
            }
        }
    }

    /// Writes out what the log holds back.
    pub(super) fn flush_log(&self) {
        self.log.borrow_mut().flush();
    }

    fn fresh_id(&self) -> u64 {
        self.next_id.replace(self.next_id.get() + 1)
    }

    fn carry_out(&self) {
        loop {
            // Taken one by one, so that whoever is told may call the backend again.
            let Some(effect) = self.backend.borrow_mut().poll() else { break };
            match effect {
                Effect::FramesReady(conn) => self.to_stream(conn, Signal::wake),
                Effect::Ping(conn) => self.to_stream(conn, Signal::ping),
                Effect::Close { conn, code, reason } => {
                    self.to_stream(conn, |signal| signal.end(End::Close { code, reason }));
                }
                Effect::Fin(conn) => self.to_stream(conn, |signal| signal.end(End::Fin)),
                Effect::Reset(conn) => self.to_stream(conn, |signal| signal.end(End::Reset)),
                Effect::SyncReady { waiter, page } => {
                    if let Some(answer) = self.polls.borrow_mut().remove(&waiter) {
                        // Who asked may have gone in this very moment.
                        let _ = answer.send(page);
                    }
                }
                // The pod's life ends with it and takes the connection along.
                Effect::SyncGone(waiter) => drop(self.polls.borrow_mut().remove(&waiter)),
                Effect::Log(line) => {
                    if line.event == LogEvent::Connect
                        && let Some(first_hello) = self.first_hello.borrow_mut().take()
                    {
                        // Nobody listens any more when the process is about to end.
                        let _ = first_hello.send(());
                    }
                    self.log.borrow_mut().write(&line);
                }
            }
        }
        if self.backend.borrow().next_wake().is_some_and(|wake| wake < self.armed.get()) {
            self.earlier.notify_one();
        }
    }

    fn to_stream(&self, conn: ConnId, tell: impl FnOnce(&Signal)) {
        if let Some(signal) = self.streams.borrow().get(&conn) {
            tell(signal);
        }
    }
}

/// A sync request under way.
pub(super) struct Poll {
    pub(super) id: WaiterId,
    shared: Rc<Shared>,
}

impl Drop for Poll {
    fn drop(&mut self) {
        self.shared.polls.borrow_mut().remove(&self.id);
        self.shared.with(|backend, _| backend.abandon(self.id));
    }
}
