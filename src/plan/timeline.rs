//! Who is there when: phases as arithmetic.
//!
//! In a phase that goes from `a` to `b` clients, client `a + k` starts (or client `a − 1 − k` leaves) at the
//! phase's beginning plus `k / |b − a|` of its length.

use std::time::Duration;

use crate::profile;

/// The course of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    phases: Vec<Phase>,
}

/// One phase with its place in plan time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// Plan time of its beginning.
    pub begin: Duration,
    /// Plan time of its end.
    pub end: Duration,
    /// Clients wanted at its beginning.
    pub from: u32,
    /// Clients wanted at its end.
    pub to: u32,
}

/// A client comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Plan time.
    pub at: Duration,
    /// Number of the client.
    pub client: u32,
    /// It starts (or leaves).
    pub starts: bool,
}

impl Phase {
    /// A phase that keeps the number of clients.
    pub fn is_hold(&self) -> bool {
        self.from == self.to
    }

    fn changes(&self) -> u32 {
        self.from.abs_diff(self.to)
    }

    fn change(&self, k: u32) -> Change {
        let at = self.begin + (self.end - self.begin).mul_f64(f64::from(k) / f64::from(self.changes()));
        let starts = self.to > self.from;
        let client = if starts { self.from + k } else { self.from - 1 - k };
        Change { at, client, starts }
    }
}

impl Timeline {
    /// From the phases of a profile.
    pub fn new(phases: &[profile::Phase]) -> Self {
        let (mut begin, mut from) = (Duration::ZERO, 0);
        let phases = phases
            .iter()
            .map(|phase| {
                let end = begin + phase.duration;
                let placed = Phase { name: phase.name.clone(), begin, end, from, to: phase.clients };
                (begin, from) = (end, phase.clients);
                placed
            })
            .collect();
        Self { phases }
    }

    /// The phases in order.
    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// Plan time of the end of the last phase.
    pub fn end(&self) -> Duration {
        self.phases.last().map_or(Duration::ZERO, |phase| phase.end)
    }

    /// Plan time of the end of the first phase, where `traffic.start = "all-live"` waits.
    pub fn gate(&self) -> Duration {
        self.phases.first().map_or(Duration::ZERO, |phase| phase.end)
    }

    /// The phase at a plan time; the last one after the end.
    pub fn phase_at(&self, at: Duration) -> Option<&Phase> {
        self.phases.iter().find(|phase| at < phase.end).or(self.phases.last())
    }

    /// Clients wanted at a plan time.
    pub fn wanted_at(&self, at: Duration) -> u32 {
        let Some(phase) = self.phase_at(at) else { return 0 };
        if at >= phase.end {
            return phase.to;
        }
        let length = (phase.end - phase.begin).as_secs_f64();
        let done = if length > 0.0 { at.saturating_sub(phase.begin).as_secs_f64() / length } else { 1.0 };
        let step = f64::from(phase.to) - f64::from(phase.from);
        (f64::from(phase.from) + step * done).round() as u32
    }

    /// Every coming and going, in order of time.
    pub fn changes(&self) -> Changes {
        Changes { phase: 0, k: 0 }
    }

    /// When the plan takes this client away next, at or after a plan time.
    pub fn next_leave(&self, client: u32, after: Duration) -> Option<Duration> {
        self.phases
            .iter()
            .filter(|phase| phase.to <= client && client < phase.from)
            .map(|phase| phase.change(phase.from - 1 - client).at)
            .find(|&at| at >= after)
    }
}

/// A place in the sequence of changes.
#[derive(Clone, Copy, Debug)]
pub struct Changes {
    phase: usize,
    k: u32,
}

impl Changes {
    /// The next change, without going past it.
    pub fn peek(&mut self, timeline: &Timeline) -> Option<Change> {
        while let Some(phase) = timeline.phases.get(self.phase) {
            if self.k < phase.changes() {
                return Some(phase.change(self.k));
            }
            (self.phase, self.k) = (self.phase + 1, 0);
        }
        None
    }

    /// Goes past the change that [`Self::peek`] showed.
    pub fn pass(&mut self) {
        self.k += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::quantity::Share;

    fn timeline(phases: &[(u64, u32)]) -> Timeline {
        let phases: Vec<profile::Phase> = phases
            .iter()
            .map(|&(secs, clients)| profile::Phase {
                name: "p".to_owned(),
                duration: Duration::from_secs(secs),
                clients,
                rate: Share::ALL,
            })
            .collect();
        Timeline::new(&phases)
    }

    #[test]
    fn clients_come_and_go_linearly() {
        let line = timeline(&[(10, 5), (10, 5), (4, 3), (2, 4)]);
        let (mut place, mut seen) = (line.changes(), Vec::new());
        while let Some(change) = place.peek(&line) {
            seen.push((change.at.as_millis(), change.client, change.starts));
            place.pass();
        }
        let starts = [(0, 0, true), (2000, 1, true), (4000, 2, true), (6000, 3, true), (8000, 4, true)];
        let rest = [(20000, 4, false), (22000, 3, false), (24000, 3, true)];
        assert_eq!(seen, [&starts[..], &rest[..]].concat());
        assert_eq!(line.next_leave(4, Duration::ZERO), Some(Duration::from_secs(20)));
        assert_eq!(line.next_leave(4, Duration::from_secs(21)), None);
        assert_eq!(line.next_leave(0, Duration::ZERO), None);
    }

    #[test]
    fn the_wanted_number_follows_the_phases() {
        let line = timeline(&[(10, 100), (10, 100), (10, 0)]);
        let wanted = |secs| line.wanted_at(Duration::from_secs(secs));
        assert_eq!([wanted(0), wanted(5), wanted(15), wanted(25), wanted(40)], [0, 50, 100, 50, 0]);
    }
}
