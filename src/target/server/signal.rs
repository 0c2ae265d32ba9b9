//! How the backend reaches the task of one stream.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};

/// How the backend ends a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With this close frame.
    Close { code: u16, reason: Cow<'static, str> },
    /// In order, but without a close frame.
    Fin,
    /// Without a word.
    Reset,
}

/// Flags for one task, and its waker. It lives on one thread.
#[derive(Debug, Default)]
pub(super) struct Signal {
    waker: RefCell<Option<Waker>>,
    ping: Cell<bool>,
    end: RefCell<Option<End>>,
}

impl Signal {
    /// Frames are waiting.
    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn ping(&self) {
        self.ping.set(true);
        self.wake();
    }

    pub(super) fn end(&self, end: End) {
        *self.end.borrow_mut() = Some(end);
        self.wake();
    }

    /// The task is polled: this is whom to wake from now on.
    pub(super) fn register(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    pub(super) fn take_ping(&self) -> bool {
        self.ping.replace(false)
    }

    pub(super) fn take_end(&self) -> Option<End> {
        self.end.take()
    }
}
