//! Faults on the timeline: when each begins and ends, whom it hits, and what it really did.

use std::time::Duration;

use rand::Rng as _;

use super::{Command, Conductor, LineFault};
use crate::collector::collected::FaultRecord;
use crate::profile::{Fault, FaultKind, How, Line, Profile, Stream, Who};
use crate::time::Timestamp;

/// The faults of a run.
#[derive(Debug)]
pub(super) struct Faults {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    begins: Duration,
    ends: Option<Duration>,
    /// Target-side, and the target is not ours.
    not_ours: bool,
    state: State,
    began_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    affected: Option<u64>,
    /// Clients that were hit, to end it for them again.
    hit: Vec<u32>,
}

/// How long after a fault's end streams are still lost by it (ours).
const AFTERMATH: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ahead,
    InForce,
    Over,
}

impl Faults {
    pub(super) fn new(profile: &Profile, embedded: bool) -> Self {
        let entry = |fault: &Fault| Entry {
            begins: fault.at,
            ends: fault.duration.map(|duration| fault.at + duration),
            not_ours: fault.kind.is_target_side() && !embedded,
            state: State::Ahead,
            began_at: None,
            ended_at: None,
            affected: None,
            hit: Vec::new(),
        };
        Self { entries: profile.faults.iter().map(entry).collect() }
    }

    /// Plan time of the next beginning or end.
    pub(super) fn next_wake(&self) -> Option<Duration> {
        self.entries.iter().filter(|entry| !entry.not_ours).filter_map(Entry::next).min()
    }

    /// This many were hit.
    pub(super) fn planted(&mut self, fault: u32, affected: u64) {
        if let Some(entry) = self.entries.get_mut(fault as usize) {
            *entry.affected.get_or_insert(0) += affected;
        }
    }

    /// Whether a fault is under way; an instant counts for as long as its wave takes (ours: 30 s).
    pub(super) fn any_in_force(&self, at: Duration) -> bool {
        let wave = Duration::from_secs(30);
        self.entries.iter().any(|entry| {
            let end = entry.ends.unwrap_or(entry.begins);
            !entry.not_ours && (entry.state == State::InForce || (entry.begins <= at && at < end + wave))
        })
    }

    pub(super) fn names_in_force(&self, profile: &Profile) -> String {
        let in_force =
            self.entries.iter().zip(&profile.faults).filter(|(entry, _)| entry.state == State::InForce);
        in_force.map(|(_, fault)| fault.name.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// The fault that may be behind streams that were lost from this moment on, the latest if several may; and when it began.
    pub(super) fn behind(&self, profile: &Profile, lost: Timestamp) -> Option<(String, Timestamp)> {
        let planted = self.entries.iter().zip(&profile.faults).filter_map(|(entry, fault)| {
            let began = entry.began_at.filter(|&at| at <= lost && fault.kind.ends_connections())?;
            let seen = if is_silent(&fault.kind) { profile.client.watchdog } else { Duration::ZERO };
            let over = entry.ended_at.is_some_and(|ended| lost.since(ended) > AFTERMATH + seen);
            (!over).then(|| (began, fault.name.clone()))
        });
        planted.max_by_key(|(began, _)| *began).map(|(began, name)| (name, began))
    }

    pub(super) fn records(&self, profile: &Profile) -> Vec<FaultRecord> {
        let record = |(entry, fault): (&Entry, &Fault)| FaultRecord {
            name: fault.name.clone(),
            kind: fault.kind.name(),
            at_s: entry.began_at.map(Timestamp::as_secs_f64),
            duration_s: entry.began_at.zip(entry.ended_at).map(|(from, to)| to.since(from).as_secs_f64()),
            affected: entry.affected,
        };
        self.entries.iter().zip(&profile.faults).map(record).collect()
    }
}

impl Entry {
    fn next(&self) -> Option<Duration> {
        match self.state {
            State::Ahead => Some(self.begins),
            State::InForce => self.ends,
            State::Over => None,
        }
    }
}

impl Conductor {
    /// Begins and ends what is due.
    pub(super) fn play_faults(&mut self, now: Timestamp, at: Duration) {
        let mut disturbs = false;
        for index in 0..self.faults.entries.len() {
            let was = self.faults.entries[index].state;
            let entry = &self.faults.entries[index];
            if entry.not_ours {
                continue;
            }
            if entry.state == State::Ahead && entry.begins <= at {
                self.begin_fault(now, index);
            }
            let entry = &self.faults.entries[index];
            if entry.state == State::InForce && entry.ends.is_some_and(|ends| ends <= at) {
                self.end_fault(now, index);
            }
            let turned = self.faults.entries[index].state != was;
            disturbs |= turned && self.profile.faults[index].kind.ends_connections();
        }
        if disturbs {
            self.disturb(now);
        }
    }

    fn disturb(&mut self, now: Timestamp) {
        let mut faults = self.faults.entries.iter().zip(&self.profile.faults);
        let in_force =
            faults.any(|(entry, fault)| entry.state == State::InForce && fault.kind.ends_connections());
        self.collector.disturbed(now, in_force);
    }

    /// The phases are over: a fault with an end ends now; one without goes on to the end of the run.
    pub(super) fn end_faults(&mut self, now: Timestamp) {
        for index in 0..self.faults.entries.len() {
            let entry = &self.faults.entries[index];
            if entry.state == State::InForce && entry.ends.is_some() {
                self.end_fault(now, index);
                self.disturb(now);
            }
        }
    }

    fn begin_fault(&mut self, now: Timestamp, index: usize) {
        let fault = index as u32;
        let kind = self.profile.faults[index].kind.clone();
        let line = match &kind {
            FaultKind::Line(who, line) => Some((self.choose(index, who, *line), begins(*line))),
            _ => None,
        };
        let instant = self.profile.faults[index].is_instant();
        let entry = &mut self.faults.entries[index];
        entry.state = if instant { State::Over } else { State::InForce };
        entry.began_at = Some(now);
        entry.ended_at = instant.then_some(now);
        let command = match line {
            Some((clients, line)) => {
                entry.hit.clone_from(&clients);
                entry.affected = Some(0);
                Command::Plant { fault, clients, line }
            }
            None if matches!(kind, FaultKind::Exec(_)) => Command::Hook { fault, begin: true },
            None => Command::Target { fault, begin: true },
        };
        self.outbox.push_back(command);
        if instant {
            self.undo(index);
        }
    }

    fn end_fault(&mut self, now: Timestamp, index: usize) {
        let entry = &mut self.faults.entries[index];
        entry.state = State::Over;
        entry.ended_at = Some(now);
        match self.profile.faults[index].kind {
            FaultKind::Line(..) => self.undo(index),
            FaultKind::Exec(_) => self.outbox.push_back(Command::Hook { fault: index as u32, begin: false }),
            _ => self.outbox.push_back(Command::Target { fault: index as u32, begin: false }),
        }
    }

    /// Takes back what was done to clients, where that can be.
    fn undo(&mut self, index: usize) {
        let clients = std::mem::take(&mut self.faults.entries[index].hit);
        if let FaultKind::Line(_, line) = self.profile.faults[index].kind {
            let undo = ends(line).map(|line| Command::Plant { fault: index as u32, clients, line });
            self.outbox.extend(undo);
        }
    }

    /// Of the clients that are live (for an outage or a restart: of all that try to be), those who are meant, ascending.
    fn choose(&self, index: usize, who: &Who, line: Line) -> Vec<u32> {
        let (people, connections) = (&self.plan.population, &self.collector.connections);
        let there = |client: &u32| match line {
            Line::Outage { .. } | Line::Restart => connections.is_trying(*client),
            _ => connections.is_live(*client),
        };
        let all = (0..people.clients()).filter(there);
        match who {
            Who::Tenant(tenant) => all.filter(|&client| people.tenant_of(client) == *tenant).collect(),
            Who::Clients(named) => all.filter(|client| named.contains(client)).collect(),
            Who::Share(share) => {
                let seed = self.plan.seed;
                let draw =
                    |client: u32| seed.stream("fault", [index as u64, u64::from(client), 0]).next_u64();
                let mut drawn: Vec<(u64, u32)> = all.map(|client| (draw(client), client)).collect();
                drawn.sort_unstable();
                drawn.truncate((share.0 * drawn.len() as f64).round() as usize);
                let mut clients: Vec<u32> = drawn.into_iter().map(|(_, client)| client).collect();
                clients.sort_unstable();
                clients
            }
        }
    }
}

/// Clients notice it by their watchdog, and so later.
fn is_silent(kind: &FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::Line(_, Line::Silent | Line::NoPongs)
            | FaultKind::Stream(_, Stream::Drop(How::Silent) | Stream::NoPings | Stream::Stall)
    )
}

/// What is done when it begins.
fn begins(line: Line) -> LineFault {
    match line {
        Line::Reset => LineFault::Reset,
        Line::Cut => LineFault::Close,
        Line::Silent => LineFault::Silence,
        Line::ExpireToken => LineFault::ExpireToken,
        Line::SlowReader(by) => LineFault::Slow(by),
        Line::NoPongs => LineFault::Mute,
        Line::SameToken => LineFault::SameToken,
        Line::Outage { sync } => LineFault::Outage { sync },
        Line::Restart => LineFault::Kill,
    }
}

/// What is done when it ends; `None`: it was over at once.
fn ends(line: Line) -> Option<LineFault> {
    match line {
        Line::Silent => Some(LineFault::Unsilence),
        Line::SlowReader(_) => Some(LineFault::Unslow),
        Line::NoPongs => Some(LineFault::Unmute),
        Line::Outage { .. } => Some(LineFault::Restore),
        Line::Restart => Some(LineFault::Revive),
        Line::Reset | Line::Cut | Line::ExpireToken | Line::SameToken => None,
    }
}
