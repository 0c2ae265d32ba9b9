//! What other tasks tell a client's task.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use super::Watcher;
use crate::session::{Order, TokenLife};
use crate::wire::Position;
use crate::worker::conductor::LineFault;

/// One message.
pub(super) enum Mail {
    /// Of the plan.
    Order(Order),
    /// Done to the connection; the session is not told.
    Fault(LineFault, Rc<Tally>),
    /// Someone else has refreshed the token.
    Refreshed(TokenLife),
    /// Its process, if it had died, is started again, with what the store has.
    Revive(Option<Position>),
    /// The run is over.
    End,
}

/// The mailbox of one client. It holds no more than the plan's orders and faults, which are few.
#[derive(Default)]
pub(super) struct Mailbox {
    mail: RefCell<Vec<Mail>>,
    waker: RefCell<Option<Waker>>,
}

impl Mailbox {
    /// Posts a message and wakes the client.
    pub(super) fn post(&self, mail: Mail) {
        self.mail.borrow_mut().push(mail);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// All messages, oldest first; the next ones wake `waker`.
    pub(super) fn collect(&self, waker: &Waker) -> Vec<Mail> {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
        self.mail.take()
    }
}

/// Counts the connections that one fault has really hit, and tells the watcher when everybody has been asked.
pub(super) struct Tally {
    fault: u32,
    hit: Cell<u64>,
    watcher: Rc<dyn Watcher>,
}

impl Tally {
    pub(super) fn new(fault: u32, watcher: Rc<dyn Watcher>) -> Self {
        Self { fault, hit: Cell::new(0), watcher }
    }

    /// One more.
    pub(super) fn hit(&self) {
        self.hit.set(self.hit.get() + 1);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if self.hit.get() > 0 {
            self.watcher.planted(self.fault, self.hit.get());
        }
    }
}
