//! The planted capacity of one life of the target's pods, on sockets.

use std::cell::Cell;
use std::rc::Rc;

use super::super::capacity::{Capacity, Turnstile};
use super::super::error::ApiError;
use super::shared::Shared;
use crate::time::Timestamp;

/// What one pod still has to give.
#[derive(Debug)]
pub(super) struct PodCapacity {
    most: Option<u32>,
    open: Rc<Cell<u32>>,
    pub(super) deliveries: Option<Turnstile>,
    handshakes: Option<Turnstile>,
    sync_pages: Option<Turnstile>,
}

impl PodCapacity {
    pub(super) fn new(capacity: Capacity) -> Self {
        let turnstile = |rate: Option<f64>| rate.map(Turnstile::new);
        Self {
            most: capacity.connections,
            open: Rc::default(),
            deliveries: turnstile(capacity.deliveries),
            handshakes: turnstile(capacity.handshakes),
            sync_pages: turnstile(capacity.sync_pages),
        }
    }

    /// Room for one more stream, for as long as the seat is held.
    ///
    /// # Errors
    /// [`ApiError::POD_FULL`].
    pub(super) fn seat(&self) -> Result<Seat, ApiError> {
        if self.most.is_some_and(|most| self.open.get() >= most) {
            return Err(ApiError::POD_FULL);
        }
        self.open.set(self.open.get() + 1);
        Ok(Seat(Rc::clone(&self.open)))
    }

    /// Waits until the pod has got round to an upgrade.
    pub(super) async fn handshake(&self, shared: &Shared) {
        wait(self.handshakes.as_ref(), shared).await;
    }

    /// Waits until the pod has got round to a sync request.
    pub(super) async fn sync_page(&self, shared: &Shared) {
        wait(self.sync_pages.as_ref(), shared).await;
    }
}

/// One open stream.
#[derive(Debug)]
pub(super) struct Seat(Rc<Cell<u32>>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

async fn wait(turnstile: Option<&Turnstile>, shared: &Shared) {
    let Some(turnstile) = turnstile else { return };
    let through: Timestamp = turnstile.pass(shared.clock.now());
    tokio::time::sleep_until(shared.clock.instant_of(through)).await;
}
