//! What one pod carries, planted exactly: a turnstile for each kind of work, and a bound on open streams.
//!
//! A turnstile lets work through one piece at a time, each 1 / rate after the one before; who comes while it is free goes
//! through at once. Load above the rate therefore waits longer and longer, as it does for a server that has no more to
//! give, and load below it waits no longer than its own bursts are long. On sockets only: virtual time knows no capacity.

use std::cell::Cell;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::profile;
use crate::time::Timestamp;

/// Of each pod; `None`: nothing but the machine is in the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// Open streams; further upgrades are answered 503.
    pub connections: Option<u32>,
    /// Messages written to streams, per second.
    pub deliveries: Option<f64>,
    /// Upgrades answered, per second.
    pub handshakes: Option<f64>,
    /// Sync requests answered, per second.
    pub sync_pages: Option<f64>,
}

impl Capacity {
    pub(super) fn from_profile(shape: &profile::Capacity) -> Self {
        Self {
            connections: shape.connections,
            deliveries: shape.deliveries.map(|rate| rate.0),
            handshakes: shape.handshakes.map(|rate| rate.0),
            sync_pages: shape.sync_pages.map(|rate| rate.0),
        }
    }
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
