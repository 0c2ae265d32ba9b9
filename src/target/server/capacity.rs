//! The planted capacity of a pod: a turnstile for each kind of work, and a bound on open streams.
//!
//! A turnstile lets work through one piece at a time, each 1 / rate after the one before. Load above the rate therefore waits
//! longer and longer, as it does for a server that has no more to give, and load below it waits no longer than its own bursts
//! are long.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::super::capacity::Capacity;
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

/// Lets work through at a rate. It lives on one thread.
#[derive(Debug)]
pub(super) struct Turnstile {
    gap: Duration,
    free: Cell<Timestamp>,
}

impl Turnstile {
    pub(super) fn new(per_second: f64) -> Self {
        let gap = Duration::try_from_secs_f64(per_second.recip()).unwrap_or(Duration::MAX);
        Self { gap, free: Cell::new(Timestamp::ZERO) }
    }

    /// When work that has come now is through; whoever asks must then wait for it.
    pub(super) fn pass(&self, now: Timestamp) -> Timestamp {
        let begins = self.free.get().max(now);
        let ends = begins + self.gap;
        self.free.set(ends);
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn work_goes_through_one_at_a_time_and_an_idle_turnstile_saves_nothing_up() {
        let turnstile = Turnstile::new(100.0);
        assert_eq!([at(0), at(0), at(5)].map(|now| turnstile.pass(now)), [at(10), at(20), at(30)]);
        assert_eq!([at(1000), at(1000)].map(|now| turnstile.pass(now)), [at(1010), at(1020)]);
    }

    #[test]
    fn a_second_of_too_much_work_is_through_when_the_rate_allows() {
        let turnstile = Turnstile::new(250.0);
        let last = (0..1000).map(|n| turnstile.pass(at(n))).last().expect("some");
        assert_eq!(last, at(4000));
    }
}
