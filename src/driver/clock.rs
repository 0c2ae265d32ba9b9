//! The run's clock: CLOCK_MONOTONIC against an epoch, which several processes of one machine can share.

#![expect(clippy::disallowed_methods, reason = "the driver owns the clock that every pure room is told")]

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use crate::time::Timestamp;

/// A clock that shows the time since its epoch. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// CLOCK_MONOTONIC at the epoch, nanoseconds.
    epoch: u64,
    /// The same moment on tokio's clock, to arm timers with.
    base: Instant,
    /// The same moment on the wall.
    started: SystemTime,
}

impl Clock {
    /// A clock whose epoch is now.
    pub fn start() -> Self {
        Self { epoch: monotonic(), base: Instant::now(), started: SystemTime::now() }
    }

    /// The time since the epoch.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_nanos(monotonic().saturating_sub(self.epoch))
    }

    /// The moment at which tokio must wake us to be there at `at`; a month ahead at most, which is as good as never.
    pub fn instant(&self, at: Timestamp) -> Instant {
        const NEVER: Duration = Duration::from_secs(30 * 24 * 3600);
        let ahead = at.since(self.now());
        if ahead > NEVER { Instant::now() + NEVER } else { self.base + at.since(Timestamp::ZERO) }
    }

    /// The same in whole Unix seconds.
    pub fn epoch_unix_s(&self) -> u64 {
        self.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    /// When the epoch was, on the wall.
    pub fn started(&self) -> SystemTime {
        self.started
    }
}

fn monotonic() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_and_its_instant_are_the_same_distance_from_the_epoch() {
        let clock = Clock::start();
        let second = clock.instant(Timestamp::from_secs(2)) - clock.instant(Timestamp::from_secs(1));
        assert_eq!(second, Duration::from_secs(1));
        assert!(clock.instant(Timestamp::MAX) > clock.instant(Timestamp::from_secs(3600)));
    }

    #[test]
    fn time_does_not_go_back() {
        let clock = Clock::start();
        let earlier = clock.now();
        assert!(clock.now() >= earlier);
    }
}
