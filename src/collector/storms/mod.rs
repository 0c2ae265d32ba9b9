//! Reconnect storms: when many clients lose their stream at about the same time, and how they come back.
//!
//! A storm is made of the losses that lie in any second in which at least 1 % of the clients that were live, and at least
//! 10, lost their stream (the numbers are ours); seconds that overlap are one storm, for up to 30 s. It begins with its
//! first loss. A client belongs to it from its loss until its bridge is closed again, and its attempts and sync requests are
//! counted until then. What happens in the second before there are enough is kept, and counted once there are.
//!
//! Bounded: a record a client, at most [`STORMS`] storms with a time for each of their clients and five minutes of bins,
//! and the events of one second.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use super::collected::{APART, Storm};
use crate::session::{Cause, Observation, SyncTrouble};
use crate::time::Timestamp;

/// The storms of a stripe.
#[derive(Debug)]
pub(super) struct Storms {
    tracks: Vec<Track>,
    storms: Vec<Storm>,
    /// When streams were lost, within the last second.
    losses: VecDeque<Timestamp>,
    /// What happened to the clients of those losses that are in no storm yet.
    waiting: VecDeque<(Timestamp, u32, Happening)>,
    /// When a loss last came to the last storm.
    joined: Option<Timestamp>,
    /// Losses that no storm was made of, and what came of them, because there was no room.
    pub(super) refused: u64,
}

/// One client, as far as storms go.
#[derive(Clone, Copy, Debug, Default)]
struct Track {
    lost_at: Option<Timestamp>,
    member: Option<Member>,
    /// The storm that it was in last: it is in each only once.
    last: Option<usize>,
}

/// A client in a storm.
#[derive(Clone, Copy, Debug)]
struct Member {
    storm: usize,
    state: State,
    attempts: u32,
    /// The attempt under way has failed, unless it goes on with a new token and comes through.
    failing: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has lost its stream.
    Down,
    /// It is live again, and its bridge may be open.
    Live { since: Timestamp },
    /// And closed.
    Ready { since: Timestamp },
    /// It has stopped, or lost the new stream as well.
    Gone,
}

/// What of an observation matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happening {
    Lost,
    Attempt,
    Failing,
    Sync,
    Live,
    Ready,
    Stopped,
}

/// At about the same time.
const WINDOW: Duration = APART;
/// Many: this share of those that were live …
const SHARE: f64 = 0.01;
/// … and so many at the least.
const LEAST: usize = 10;
/// Longer ones are told as several.
const LONGEST: Duration = Duration::from_secs(30);
/// A stream that lives no longer did not end the storm for its client.
const AGAIN: Duration = Duration::from_secs(10);
/// Kept with every client's time; further ones are refused, and counted.
const STORMS: usize = 32;
/// Events that may wait, beyond eight for each client.
const WAITING: usize = 4_096;

impl Storms {
    pub(super) fn new(clients: u32) -> Self {
        Self {
            tracks: vec![Track::default(); clients as usize],
            storms: Vec::new(),
            losses: VecDeque::new(),
            waiting: VecDeque::new(),
            joined: None,
            refused: 0,
        }
    }

    /// A fact about a client; `live`: how many clients are live after it.
    pub(super) fn observe(&mut self, now: Timestamp, client: u32, fact: &Observation, live: u64) {
        let Some(happening) = Happening::of(fact) else { return };
        if happening == Happening::Lost {
            self.lost(now, client, live);
            return;
        }
        let track = &self.tracks[client as usize];
        if track.member.is_some() {
            self.apply(now, client, happening);
        } else if track.lost_at.is_some_and(|at| now.since(at) < WINDOW) {
            self.wait(now, client, happening);
        }
    }

    /// Everything so far. An attempt that has failed and was not followed by another one yet counts as failed.
    pub(super) fn collected(&self) -> Vec<Storm> {
        let mut storms = self.storms.clone();
        for member in self.tracks.iter().filter_map(|track| track.member) {
            if let (State::Down, Some(at)) = (member.state, member.failing) {
                failed(&mut storms[member.storm], at);
            }
        }
        for storm in &mut storms {
            storm.recovered.sort_unstable();
        }
        storms
    }

    fn lost(&mut self, now: Timestamp, client: u32, live: u64) {
        self.leave(now, client);
        self.forget(now);
        self.tracks[client as usize].lost_at = Some(now);
        self.losses.push_back(now);
        self.wait(now, client, Happening::Lost);
        let were_live = live + self.losses.len() as u64;
        let many = ((SHARE * were_live as f64).ceil() as usize).max(LEAST);
        if self.losses.len() >= many {
            self.gather(now);
        }
    }

    /// A member that loses its stream anew is the next storm's, or nobody's.
    fn leave(&mut self, now: Timestamp, client: u32) {
        let Some(member) = self.tracks[client as usize].member.take() else { return };
        if let State::Live { since } | State::Ready { since } = member.state
            && now.since(since) < AGAIN
        {
            self.storms[member.storm].lost_again += 1;
        }
    }

    /// What is older than a second waits no longer.
    fn forget(&mut self, now: Timestamp) {
        let old = |at: &Timestamp| now.since(*at) >= WINDOW;
        while self.losses.front().is_some_and(old) {
            self.losses.pop_front();
        }
        while self.waiting.front().is_some_and(|(at, ..)| old(at)) {
            self.waiting.pop_front();
        }
    }

    fn wait(&mut self, now: Timestamp, client: u32, happening: Happening) {
        if self.waiting.len() >= WAITING + 8 * self.tracks.len() {
            self.waiting.pop_front();
            self.refused += 1;
        }
        self.waiting.push_back((now, client, happening));
    }

    /// There are many: everything that waits belongs to the storm that goes on, or to a new one.
    fn gather(&mut self, now: Timestamp) {
        let goes_on = self.joined.is_some_and(|at| now.since(at) < WINDOW)
            && self.storms.last().is_some_and(|storm| now.since(storm.began) < LONGEST);
        if !goes_on {
            let began = self.waiting.iter().find(|(.., happening)| *happening == Happening::Lost);
            let Some(&(began, ..)) = began else { return };
            if self.storms.len() >= STORMS {
                self.refused +=
                    self.waiting.drain(..).filter(|(.., what)| *what == Happening::Lost).count() as u64;
                return;
            }
            self.storms.push(Storm::begin(began));
        }
        self.joined = Some(now);
        for (at, client, happening) in std::mem::take(&mut self.waiting) {
            match happening {
                Happening::Lost => self.join(at, client),
                other => self.apply(at, client, other),
            }
        }
    }

    fn join(&mut self, at: Timestamp, client: u32) {
        // It may have come back and have been lost anew before there were many.
        self.leave(at, client);
        let Some(index) = self.storms.len().checked_sub(1) else { return };
        if self.tracks[client as usize].last.replace(index) == Some(index) {
            return;
        }
        let storm = &mut self.storms[index];
        storm.clients += 1;
        storm.last_loss = storm.last_loss.max(at);
        if let Some(bin) = storm.series.bin(at) {
            bin.lost += 1;
        }
        let member = Member { storm: index, state: State::Down, attempts: 0, failing: None };
        self.tracks[client as usize].member = Some(member);
    }

    fn apply(&mut self, at: Timestamp, client: u32, happening: Happening) {
        let Some(member) = &mut self.tracks[client as usize].member else { return };
        let storm = &mut self.storms[member.storm];
        match (happening, member.state) {
            (Happening::Attempt, State::Down) => {
                if let Some(at) = member.failing.take() {
                    failed(storm, at);
                }
                member.attempts += 1;
                storm.attempts += 1;
                if let Some(bin) = storm.series.bin(at) {
                    bin.attempts += 1;
                }
            }
            (Happening::Failing, State::Down) => {
                member.failing.get_or_insert(at);
            }
            (Happening::Sync, State::Down | State::Live { .. }) => {
                storm.syncs += 1;
                if let Some(bin) = storm.series.bin(at) {
                    bin.syncs += 1;
                }
            }
            (Happening::Live, State::Down) => {
                (member.state, member.failing) = (State::Live { since: at }, None);
                storm.recovered.push(at);
                *storm.by_attempt.entry(member.attempts).or_default() += 1;
                if let Some(bin) = storm.series.bin(at) {
                    bin.recovered += 1;
                }
            }
            (Happening::Ready, State::Live { since }) => member.state = State::Ready { since },
            (Happening::Stopped, State::Down) => {
                if let Some(at) = member.failing.take() {
                    failed(storm, at);
                }
                (member.state, storm.stopped) = (State::Gone, storm.stopped + 1);
            }
            (Happening::Stopped, _) => member.state = State::Gone,
            _ => {}
        }
    }
}

impl Happening {
    fn of(fact: &Observation) -> Option<Self> {
        Some(match fact {
            Observation::Attempt { .. } => Self::Attempt,
            Observation::SyncSent { .. } => Self::Sync,
            // What cannot be replayed is no reason to fail: the client goes on without it.
            Observation::SyncFailed(SyncTrouble::BeyondRetention) => return None,
            Observation::ConnectFailed { .. }
            | Observation::SyncFailed(_)
            | Observation::RefreshFailed { .. } => Self::Failing,
            Observation::Hello { .. } => Self::Live,
            Observation::Ready => Self::Ready,
            // What the plan orders is no loss.
            Observation::Disconnected { cause: Cause::Left, .. } => return None,
            Observation::Disconnected { was_live: true, .. } => Self::Lost,
            Observation::Disconnected { was_live: false, .. } => Self::Failing,
            Observation::Stopped(_) => Self::Stopped,
            _ => return None,
        })
    }
}

fn failed(storm: &mut Storm, at: Timestamp) {
    storm.failed += 1;
    if let Some(bin) = storm.series.bin(at) {
        bin.failed += 1;
    }
}
