//! When the next attempt may begin (protocol.md, section 7): at once, then after 1, 2, 4, 8, 16, 30, 30 … s.

use std::time::Duration;

use rand::RngExt as _;

use super::attempt::{Goal, Step};
use super::settings::PROBE_SPACING;
use super::{Observation, ReconnectKind, SyncTrouble};
use crate::profile;
use crate::seed::Stream;
use crate::time::Timestamp;

/// The failures so far, and what they mean for the next attempt.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Schedule {
    /// Failed attempts and lost connections in a row; forgotten after a connection that stayed live.
    failures: u32,
    /// The same for sync alone, while offline; forgotten after a poll that was answered.
    polls_failed: u32,
    /// While offline: when sync may be asked again.
    poll_due: Timestamp,
    /// The first failure since the client was live.
    down_since: Option<Timestamp>,
    /// While offline: when the stream may be tried again.
    probe_due: Timestamp,
    /// The client has fallen back to polling sync.
    offline: bool,
}

impl Schedule {
    /// What the attempt that begins now is; goes offline when attempts have failed for long enough.
    ///
    /// This is looked at when an attempt is due and not by a timer: a poll put between two attempts would come
    /// earlier than the delay that runs from the last failure allows.
    pub(super) fn next(&mut self, now: Timestamp, client: &profile::Client) -> (ReconnectKind, Goal) {
        if !self.offline && self.down_since.is_some_and(|since| now >= since + client.offline_after) {
            self.offline = true;
            // Sync has mostly failed together with the stream: its delays go on from where they are, so that a
            // long outage does not see all clients start again from 0 at its 60th second.
            self.polls_failed = self.failures;
        }
        match self.offline {
            true => (ReconnectKind::Offline, Goal::Poll),
            false if self.failures <= 1 => (ReconnectKind::Immediate, Goal::Stream),
            false => (ReconnectKind::BackedOff, Goal::Stream),
        }
    }

    /// A step of an attempt failed, or a live connection was lost. Returns when the next attempt is due.
    ///
    /// While offline the delays are those of sync: a stream that cannot be had, while sync works, holds nothing
    /// up.
    pub(super) fn failed(
        &mut self,
        now: Timestamp,
        goal: Goal,
        step: Step,
        client: &profile::Client,
        random: &mut Stream,
    ) -> Timestamp {
        // Drawn even when it is not needed, so that later draws do not depend on the options.
        let u = random.random::<f64>();
        self.down_since.get_or_insert(now);
        if goal == Goal::Stream {
            self.failures = self.failures.saturating_add(1);
        }
        if !self.offline {
            return now + delay(client, self.failures, u);
        }
        if step != Step::Stream {
            self.polls_failed = self.polls_failed.saturating_add(1);
            self.poll_due = now + delay(client, self.polls_failed, u);
        }
        self.poll_due.max(now)
    }

    /// An offline poll was answered. Returns when the next one is due.
    pub(super) fn poll_answered(&mut self, now: Timestamp) -> Timestamp {
        self.polls_failed = 0;
        self.poll_due = now;
        now
    }

    /// Whether the stream may be tried after a poll.
    pub(super) fn may_probe(&self, now: Timestamp) -> bool {
        now >= self.probe_due
    }

    /// The stream is tried.
    pub(super) fn tries_stream(&mut self, now: Timestamp) {
        self.probe_due = now + PROBE_SPACING;
    }

    /// Whether the client polls.
    pub(super) fn is_offline(&self) -> bool {
        self.offline
    }

    /// Hello came.
    pub(super) fn live(&mut self) {
        self.down_since = None;
        self.offline = false;
    }

    /// A connection was lost that had been live for this long.
    pub(super) fn was_live(&mut self, lived: Duration, client: &profile::Client) {
        if lived >= client.backoff_reset_after {
            self.failures = 0;
        }
    }
}

/// The delay after so many failures in a row; `u` is uniform over [0, 1).
fn delay(client: &profile::Client, failures: u32, u: f64) -> Duration {
    match failures {
        0 | 1 => client.first_retry_spread.mul_f64(u),
        _ => {
            let base = Duration::from_secs(1 << (failures - 2).min(5)).min(Duration::from_secs(30));
            base.mul_f64((1.0 - client.jitter * u).clamp(0.0, 1.0))
        }
    }
}

/// The session's judge of itself: whether an attempt begins earlier than the documented schedule allows.
///
/// It shares nothing with [`Schedule`]: it has the documented delays as a table, knows the time from what the
/// session reports, and counts attempts where the schedule counts failures.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Judge {
    /// The last failure that a delay runs from.
    trouble: Timestamp,
    /// Attempts at the stream since a connection stayed live, the very first one not counted.
    made: u32,
    /// Attempts at sync since one was answered, that one not counted; while offline.
    polled: u32,
    offline: bool,
    /// An attempt is under way.
    trying: bool,
    poll_answered: bool,
    /// The server has said that it cannot replay: a poll has failed, but an attempt at the stream goes on.
    signalled: bool,
    live_since: Timestamp,
    /// The earliest next try at the stream while offline.
    probe_at: Timestamp,
}

/// Seconds before the first, second … attempt after a stable connection was lost (seed: "1s, 2s, 4s, 8s, max
/// 30s"); the last one is for all further attempts.
const DOCUMENTED: [u64; 7] = [0, 1, 2, 4, 8, 16, 30];

impl Judge {
    /// An attempt begins; returns whether that is too early.
    pub(super) fn attempt(
        &mut self,
        now: Timestamp,
        kind: ReconnectKind,
        goal: Goal,
        client: &profile::Client,
    ) -> bool {
        let least = |made: u32| {
            let base = Duration::from_secs(DOCUMENTED[(made as usize).min(DOCUMENTED.len() - 1)]);
            base.mul_f64((1.0 - client.jitter).clamp(0.0, 1.0))
        };
        self.trying = true;
        match (kind, goal) {
            (ReconnectKind::First, _) => {
                *self = Self { trying: true, ..Self::default() };
                false
            }
            (ReconnectKind::Offline, Goal::Poll) => {
                if !self.offline {
                    (self.offline, self.polled, self.poll_answered) = (true, self.made, false);
                }
                let wait = least(if self.poll_answered { 0 } else { self.polled });
                self.polled = if self.poll_answered { 0 } else { self.polled.saturating_add(1) };
                self.poll_answered = false;
                now < self.trouble + wait
            }
            (ReconnectKind::Offline, Goal::Stream) => {
                self.made = self.made.saturating_add(1);
                now < self.probe_at
            }
            (ReconnectKind::Immediate | ReconnectKind::BackedOff, _) => {
                self.made = self.made.saturating_add(1);
                now < self.trouble + least(self.made - 1)
            }
        }
    }

    /// The stream is tried.
    pub(super) fn tries_stream(&mut self, now: Timestamp) {
        self.probe_at = now + PROBE_SPACING;
    }

    /// The session reports this.
    pub(super) fn saw(&mut self, now: Timestamp, observation: &Observation, client: &profile::Client) {
        match observation {
            Observation::Hello { .. } => (self.live_since, self.offline) = (now, false),
            Observation::BridgeEnded { complete: true, poll: true, .. } => self.poll_answered = true,
            Observation::Disconnected { was_live, .. } => {
                if *was_live && now.since(self.live_since) >= client.backoff_reset_after {
                    self.made = 0;
                }
                self.stream_trouble(now);
            }
            Observation::ConnectFailed { .. } => self.stream_trouble(now),
            Observation::SyncFailed(SyncTrouble::BeyondRetention) => {
                self.signalled = true;
                return;
            }
            Observation::BridgeEnded { complete: false, poll: false, .. }
                if std::mem::take(&mut self.signalled) =>
            {
                return;
            }
            Observation::SyncFailed(_) | Observation::BridgeEnded { complete: false, .. } => {
                (self.trouble, self.signalled) = (now, false);
            }
            // A live client's refresh may fail while it waits for its next attempt: no delay runs from that.
            Observation::RefreshFailed { .. } if self.trying => self.trouble = now,
            _ => return,
        }
        self.trying = false;
    }

    fn stream_trouble(&mut self, now: Timestamp) {
        if !self.offline {
            self.trouble = now;
        }
    }
}
