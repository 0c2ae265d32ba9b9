//! Everything a session waits for.

use crate::time::Timestamp;

/// What a session can wait for; each is set to one time, or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// When to begin the next attempt, or the next offline poll.
    Retry,
    /// When to give up waiting for the upgrade.
    ConnectDeadline,
    /// When to give up waiting for hello.
    HelloDeadline,
    /// When to look whether the connection has gone silent. It is not moved by every frame: when it fires, it is
    /// set anew from the time of the last frame, so that a frame costs one store.
    Watchdog,
    /// When to refresh the token of a live client.
    RefreshDue,
    /// When to give up waiting for the answer to a refresh.
    RefreshDeadline,
    /// When to give up waiting for the answer to a sync request.
    SyncDeadline,
}

impl Timer {
    const ALL: [Self; 7] = [
        Self::Retry,
        Self::ConnectDeadline,
        Self::HelloDeadline,
        Self::Watchdog,
        Self::RefreshDue,
        Self::RefreshDeadline,
        Self::SyncDeadline,
    ];

    /// How many there are.
    pub(super) const COUNT: usize = Self::ALL.len();
}

/// When each timer is due.
///
/// Three more spans of time need no timer, because nothing happens when they end: how long a connection must
/// stay live for the failures to be forgotten, how long attempts must fail for the client to go offline, and how
/// far apart the stream is tried while offline. They are looked at when something does happen (`schedule`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Timers([Timestamp; Timer::COUNT]);

impl Timers {
    /// None is set.
    pub(super) const NONE: Self = Self([Timestamp::MAX; Timer::COUNT]);

    /// Sets one; [`Timestamp::MAX`] is never.
    pub(super) fn set(&mut self, timer: Timer, at: Timestamp) {
        self.0[timer as usize] = at;
    }

    /// Unsets one.
    pub(super) fn clear(&mut self, timer: Timer) {
        self.set(timer, Timestamp::MAX);
    }

    /// Whether one is set.
    #[cfg(test)]
    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.0[timer as usize] != Timestamp::MAX
    }

    /// When the first of them is due.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.0.iter().copied().min().filter(|&at| at != Timestamp::MAX)
    }

    /// Unsets and returns the one that has been due longest, with the time it was set to.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<(Timer, Timestamp)> {
        let timer = Timer::ALL.into_iter().min_by_key(|&timer| self.0[timer as usize])?;
        let at = self.0[timer as usize];
        (at <= now && at != Timestamp::MAX).then(|| {
            self.clear(timer);
            (timer, at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_in_the_order_of_their_times_and_once() {
        let mut timers = Timers::NONE;
        assert_eq!(timers.next(), None);
        timers.set(Timer::SyncDeadline, Timestamp::from_secs(2));
        timers.set(Timer::Watchdog, Timestamp::from_secs(1));
        timers.set(Timer::Retry, Timestamp::from_secs(3));
        timers.clear(Timer::Retry);
        assert_eq!(timers.next(), Some(Timestamp::from_secs(1)));
        assert_eq!(timers.pop_due(Timestamp::from_millis(999)), None);
        let now = Timestamp::from_secs(9);
        assert_eq!(timers.pop_due(now), Some((Timer::Watchdog, Timestamp::from_secs(1))));
        assert_eq!(timers.pop_due(now), Some((Timer::SyncDeadline, Timestamp::from_secs(2))));
        assert_eq!(timers.pop_due(now), None);
        assert_eq!(timers.pop_due(Timestamp::MAX), None, "unset is never, even at the end of time");
    }

    #[test]
    fn every_timer_has_its_own_place() {
        for (place, timer) in Timer::ALL.into_iter().enumerate() {
            assert_eq!(timer as usize, place);
        }
    }
}
