//! The target's own clock: nanoseconds since a whole second of Unix time shortly before it started.
#![expect(clippy::disallowed_methods, reason = "this is where the live target reads its clocks")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::time::Timestamp;

/// A monotonic clock with a known Unix time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: Instant,
    /// How far past the whole second it began.
    offset: Duration,
    /// Unix time of [`Timestamp::ZERO`], whole seconds.
    pub(super) epoch_unix_s: u64,
}

impl Clock {
    pub(super) fn start() -> Self {
        // A machine whose clock stands before 1970 gets tokens that look expired; there is nothing better to do.
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let offset = Duration::from_nanos(u64::from(unix.subsec_nanos()));
        Self { began: Instant::now(), offset, epoch_unix_s: unix.as_secs() }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.offset + self.began.elapsed()
    }

    /// The same moment for a tokio timer.
    pub(super) fn instant_of(&self, at: Timestamp) -> tokio::time::Instant {
        let since_began = at.since(Timestamp::ZERO).saturating_sub(self.offset);
        // What lies beyond the reach of the clock is as good as never; a day is later than any real wake-up.
        let instant = self.began.checked_add(since_began);
        instant.unwrap_or_else(|| self.began + Duration::from_secs(24 * 3600)).into()
    }
}
