//! Books of a run that only listens (`traffic.mode = "observe"`): nothing is known of an event but that somebody saw it.
//!
//! # What is owed
//!
//! What a room owes is the *union* of the ids that any of its clients saw, on the stream or by sync, or that the survey of
//! its history showed. An id gets the next number of its room when it is first seen, by whomever. A client is owed it when
//! its span was open at that moment, and had been for at least the lateness bound: what was published just before a hello
//! may be first seen just after it. At the other end, what was first seen less than the lateness bound before a span ends is
//! not owed: it may be on its way. What only the survey showed was seen by nobody; it is owed to whoever's span began below
//! its position, once what lies above it is older than the lateness bound.
//!
//! `expected = live + bridged + missed_after_bridging + undecided` is counted from both sides, as in the ledger of a run that
//! publishes: expected when an id is numbered, the others when it arrives or a span settles.
//!
//! # What cannot be known
//!
//! When an event was published, so that there is no latency; by whom, so that nothing is `unexpected`; what nobody saw and
//! history does not have; and whether the stream or sync should have brought what was missed: every miss is
//! `missed_unplaced`. A miss is final when the client is live and ready, its *stored* position has passed the event's and the
//! event is older than the lateness bound, or when the span ends. Then the audit asks for it with the client's own token.
//!
//! # How it is kept
//!
//! - [`room`]: the ids of a room with a mark for each member, until everybody has it, the survey has passed it and the time
//!   for repeats is over; at most a window of them (`audit.window`), beyond which the oldest settle and are counted;
//! - [`survey`]: pages through each room's history, slowly while the run goes on and once more at its end.

mod room;
mod survey;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use room::{Event, Mark, Room};

pub use survey::Survey;

use super::collected::{Deliveries, Observing};
use super::ledger::{First, Missed, Place, Word};
use crate::plan::Population;
use crate::session::{Arrival, Cause, Channel, ConnectionInfo, Observation, StopReason};
use crate::time::Timestamp;
use crate::wire::{Position, SyncPage, id_hash};

/// The books of one stripe.
#[derive(Debug)]
pub struct Observed {
    people: Population,
    bound: Duration,
    /// Repeats are told apart for this long.
    remember: Duration,
    window: usize,
    /// Rooms of the plan by the hashes of their ids.
    by_id: HashMap<u64, u32>,
    rooms: Vec<Room>,
    clients: Vec<Client>,
    tenants: Vec<Tenant>,
    words: VecDeque<Word>,
    refused: BTreeMap<&'static str, u64>,
    counts: Observing,
    /// Owed and not there yet.
    open: u64,
    closed: bool,
    /// Of `undecided`: of clients that were down for the harness's own reasons.
    pub undecided_by_harness: u64,
}

#[derive(Debug, Default)]
struct Tenant {
    deliveries: Deliveries,
    /// The highest position that anybody has seen.
    high: Position,
    /// The same at the last sweeps.
    highs: VecDeque<(Timestamp, Position)>,
    /// The same a lateness bound ago.
    settled: Position,
}

#[derive(Debug, Default)]
struct Client {
    span: Option<Span>,
    live: bool,
    /// Hello seen and the bridge closed.
    ready: bool,
    /// The last frame of its stream.
    heard: Timestamp,
    position: Position,
    stored: Position,
    /// What came before a restart, up to here, may come again.
    replay_until: Position,
    /// From the end of one connection to that of the next; never 0.
    cycle: u16,
    /// The last bridge or poll; never 0.
    bridge: u16,
    polling: bool,
    /// The highest position on this connection, of all rooms and of each.
    high: Position,
    room_highs: Vec<Position>,
    info: Option<Box<ConnectionInfo>>,
    connected_at: Option<Timestamp>,
    disconnected_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    /// What is first seen from now on is owed.
    owes_from: Timestamp,
    /// The highest position of the tenant at that moment, once it has come.
    above: Option<Position>,
}

impl Observed {
    /// Nothing seen yet, in rooms with these ids.
    pub fn new(people: &Population, room_ids: &[Box<str>], bound: Duration, window: usize) -> Self {
        let slots = people.rooms_per_client() as usize;
        let client = || Client { cycle: 1, room_highs: vec![0; slots], ..Client::default() };
        let ids = room_ids.iter().map(|id| id_hash(id)).zip(0..);
        Self {
            bound,
            remember: bound * 2 + Duration::from_secs(30),
            window,
            by_id: ids.collect(),
            rooms: (0..people.rooms()).map(|_| Room::default()).collect(),
            clients: (0..people.clients()).map(|_| client()).collect(),
            tenants: (0..people.tenants()).map(|_| Tenant::default()).collect(),
            words: VecDeque::new(),
            refused: BTreeMap::new(),
            counts: Observing { rooms: u64::from(people.rooms()), ..Observing::default() },
            open: 0,
            closed: false,
            undecided_by_harness: 0,
            people: people.clone(),
        }
    }

    /// A message came; says whether it is the first arrival of one that is owed.
    pub fn arrived(&mut self, now: Timestamp, client: u32, arrival: &Arrival) -> Option<First> {
        let tenant = self.people.tenant_of(client) as usize;
        if matches!(arrival.channel, Channel::Stream { .. }) {
            self.clients[client as usize].heard = now;
        }
        let first = self.take(now, client, tenant, arrival);
        let state = &mut self.clients[client as usize];
        state.position = state.position.max(arrival.client_position);
        first
    }

    fn take(&mut self, now: Timestamp, client: u32, tenant: usize, arrival: &Arrival) -> Option<First> {
        let position = arrival.position.unwrap_or(0);
        let Some(&room) = self.by_id.get(&arrival.room) else {
            self.tenants[tenant].deliveries.foreign += 1;
            return None;
        };
        let deliveries = &mut self.tenants[tenant].deliveries;
        let stray = |kind, n| Word::Stray { kind, client, room, n, position: arrival.position };
        if self.people.tenant_of_room(room) as usize != tenant {
            deliveries.leaked += 1;
            self.words.push_back(stray("leaked", None));
            return None;
        }
        let Some(slot) = self.people.slot_of(client, room) else {
            deliveries.leaked_room += 1;
            self.words.push_back(stray("leaked_room", None));
            return None;
        };
        if arrival.id == 0 {
            *self.refused.entry("observed_without_id").or_default() += 1;
            return None;
        }
        self.tenants[tenant].high = self.tenants[tenant].high.max(position);
        let n = self.numbered(now, room, arrival.id, position, false)?;
        let member = self.people.member_index(client, room)?;
        let state = &mut self.clients[client as usize];
        let event = self.rooms[room as usize].get_mut(n)?;
        event.position = event.position.max(position);
        let deliveries = &mut self.tenants[tenant].deliveries;
        let Some(mark) = event.marks.get_mut(member) else {
            // Everybody has had it for a while, and on which connection is no longer known.
            deliveries.redelivered += 1;
            return None;
        };
        let live = matches!(arrival.channel, Channel::Stream { .. });
        let before = *mark;
        mark.note(live, state.cycle, state.bridge);
        if before.has(Mark::ARRIVED) {
            let kind = state.repeat(before, arrival);
            match kind {
                "duplicate" => {
                    deliveries.duplicate += 1;
                    self.words.push_back(stray(kind, Some(n)));
                }
                "overlap" => deliveries.overlap += 1,
                "replayed" => deliveries.replayed += 1,
                _ => deliveries.redelivered += 1,
            }
            return None;
        }
        if before.has(Mark::MISSED) {
            deliveries.resurrected += 1;
            return None;
        }
        if live && state.is_out_of_order(slot, position, deliveries) {
            self.words.push_back(stray("out_of_order", Some(n)));
        }
        if !before.has(Mark::OWED) {
            deliveries.unowed += 1;
            return None;
        }
        event.owing -= 1;
        self.open -= 1;
        *(if live { &mut deliveries.live } else { &mut deliveries.bridged }) += 1;
        Some(match (live, state.polling) {
            (true, _) => First::Live,
            (false, false) => First::Bridged,
            (false, true) => First::Polled,
        })
    }

    /// The number of an id, given to it now if it is new; `None`: it may have been forgotten.
    fn numbered(
        &mut self,
        now: Timestamp,
        room: u32,
        id: u64,
        position: Position,
        by_survey: bool,
    ) -> Option<u32> {
        let own = &mut self.rooms[room as usize];
        if let Some(n) = own.find(id) {
            return Some(n);
        }
        if own.has_forgotten(position) {
            *self.refused.entry("observed_old_news").or_default() += 1;
            return None;
        }
        let owes = |client: &Client| match client.span {
            Some(Span { above: Some(above), .. }) if by_survey => position > above,
            Some(Span { owes_from, .. }) if !by_survey => now >= owes_from,
            _ => false,
        };
        let mark = |member: u32| Mark::new(!self.closed && owes(&self.clients[member as usize]));
        let marks: Box<[Mark]> = self.people.members(room).map(mark).collect();
        let owing = marks.iter().filter(|mark| mark.has(Mark::OWED)).count() as u32;
        self.open += u64::from(owing);
        let tenant = self.people.tenant_of_room(room) as usize;
        self.tenants[tenant].deliveries.expected += u64::from(owing);
        self.counts.events += 1;
        self.counts.by_survey_alone += u64::from(by_survey);
        // What only the survey showed has been there for long: no end of a span excuses it.
        let seen = if by_survey { Timestamp::ZERO } else { now };
        Some(own.add(Event { id, position, seen, marks, owing }))
    }

    /// A page of a room's history.
    pub fn shown(&mut self, now: Timestamp, room: u32, page: &SyncPage<'_>) {
        let settled = self.settled(room);
        for event in page.events.iter().filter(|event| event.is_message) {
            let (Some(id), Some(position)) = (event.id.as_deref().map(id_hash), event.position) else {
                continue;
            };
            let known = self.rooms[room as usize].find(id);
            if let Some(known) = known.and_then(|n| self.rooms[room as usize].get_mut(n)) {
                known.position = known.position.max(position);
            } else if position <= settled && !self.rooms[room as usize].has_forgotten(position) {
                self.numbered(now, room, id, position, true);
            }
        }
    }

    /// The survey has read the whole history of this room up to here.
    pub fn surveyed(&mut self, room: u32, up_to: Position) {
        let own = &mut self.rooms[room as usize];
        own.surveyed = own.surveyed.max(up_to);
    }

    /// A position of the room's tenant that is older than the lateness bound.
    pub fn settled(&self, room: u32) -> Position {
        self.tenants[self.people.tenant_of_room(room) as usize].settled
    }

    /// A fact about a client that is no arrival.
    pub fn observe(&mut self, now: Timestamp, client: u32, observation: &Observation) {
        let (bound, closed) = (self.bound, self.closed);
        let state = &mut self.clients[client as usize];
        match observation {
            Observation::BridgeBegan { poll, .. } => {
                state.bridge = state.bridge.wrapping_add(1).max(1);
                state.polling = *poll;
            }
            Observation::BridgeEnded { .. } => state.polling = false,
            Observation::Hello { position, info, .. } => {
                state.live = true;
                state.heard = now;
                state.position = state.position.max(*position);
                state.high = 0;
                state.room_highs.fill(0);
                state.info = Some(info.clone());
                (state.connected_at, state.disconnected_at) = (Some(now), None);
                let tenant = &mut self.tenants[self.people.tenant_of(client) as usize];
                tenant.high = tenant.high.max(*position);
                if state.span.is_none() && !closed {
                    state.span = Some(Span { owes_from: now + bound, above: None });
                }
            }
            Observation::Ready => state.ready = true,
            Observation::Ping { .. } => state.heard = now,
            Observation::Disconnected { cause, .. } => {
                let was_live = std::mem::take(&mut state.live);
                state.ready = false;
                state.cycle = state.cycle.wrapping_add(1).max(1);
                state.disconnected_at = Some(now);
                if *cause == Cause::Left {
                    self.end_span(now, client, was_live);
                }
            }
            Observation::Restarted { position } => {
                state.replay_until = state.position;
                state.position = *position;
                state.stored = *position;
            }
            Observation::Stopped(StopReason::Left) => self.end_span(now, client, false),
            _ => {}
        }
    }

    /// The client's position is durable up to here.
    pub fn stored(&mut self, client: u32, position: Position) {
        self.clients[client as usize].stored = position;
    }

    /// Settles what can be settled, and forgets what is settled for good.
    pub fn sweep(&mut self, now: Timestamp) {
        for tenant in &mut self.tenants {
            tenant.highs.push_back((now, tenant.high));
            while let Some((_, high)) = tenant.highs.pop_front_if(|&mut (at, _)| at + self.bound < now) {
                tenant.settled = tenant.settled.max(high);
            }
        }
        for (client, state) in (0..).zip(&mut self.clients) {
            if let Some(span) = &mut state.span
                && span.above.is_none()
                && now >= span.owes_from
            {
                span.above = Some(self.tenants[self.people.tenant_of(client) as usize].high);
            }
        }
        for room in 0..self.people.rooms() {
            self.settle_passed(now, room);
            let (remember, window) = (self.remember, self.window);
            while let Some(event) = self.rooms[room as usize].forget(now, remember, window) {
                self.give_up(room, event);
            }
        }
    }

    /// What a ready client's stored position has passed, it can never ask for again.
    fn settle_passed(&mut self, now: Timestamp, room: u32) {
        let mut missed = Vec::new();
        for (n, event) in self.rooms[room as usize].owing() {
            if event.position == 0 || event.seen + self.bound >= now {
                continue;
            }
            for (client, mark) in self.people.members(room).zip(&event.marks) {
                let state = &self.clients[client as usize];
                if mark.is_open() && state.live && state.ready && state.stored >= event.position {
                    missed.push((client, n));
                }
            }
        }
        for (client, n) in missed {
            self.miss(client, room, n);
        }
    }

    /// The window is full: what its oldest event owes is settled without waiting any longer.
    fn give_up(&mut self, room: u32, (n, event): (u32, Event)) {
        for (client, mark) in self.people.members(room).zip(&event.marks) {
            if mark.is_open() {
                *self.refused.entry("observed_window").or_default() += 1;
                self.open -= 1;
                self.tell_missed(client, room, n, &event);
            }
        }
    }

    /// The run has ended: every span that is open ends here.
    pub fn end_spans(&mut self, now: Timestamp, by_harness: impl Fn(u32) -> bool) {
        self.sweep(now);
        self.closed = true;
        for client in 0..self.people.clients() {
            let tenant = self.people.tenant_of(client) as usize;
            let before = self.tenants[tenant].deliveries.undecided;
            self.end_span(now, client, self.clients[client as usize].live);
            if by_harness(client) {
                self.undecided_by_harness += self.tenants[tenant].deliveries.undecided - before;
            }
        }
    }

    /// What was first seen within the bound before the end is not owed; the rest is missed, or undecided at a client that
    /// was down.
    fn end_span(&mut self, now: Timestamp, client: u32, connected: bool) {
        if self.clients[client as usize].span.take().is_none() {
            return;
        }
        let tenant = self.people.tenant_of(client) as usize;
        for room in self.people.rooms_of(client) {
            let Some(member) = self.people.member_index(client, room) else { continue };
            let open: Vec<(u32, bool)> = self.rooms[room as usize]
                .owing()
                .filter(|(_, event)| event.marks[member].is_open())
                .map(|(n, event)| (n, event.seen + self.bound > now))
                .collect();
            for (n, on_its_way) in open {
                if connected && !on_its_way {
                    self.miss(client, room, n);
                    continue;
                }
                let Some(event) = self.rooms[room as usize].get_mut(n) else { continue };
                event.marks[member].clear(Mark::OWED);
                event.owing -= 1;
                self.open -= 1;
                let deliveries = &mut self.tenants[tenant].deliveries;
                if on_its_way {
                    deliveries.expected -= 1;
                } else {
                    deliveries.undecided += 1;
                }
            }
        }
    }

    fn miss(&mut self, client: u32, room: u32, n: u32) {
        let Some(member) = self.people.member_index(client, room) else { return };
        let Some(event) = self.rooms[room as usize].get_mut(n) else { return };
        event.marks[member].set(Mark::MISSED);
        event.owing -= 1;
        self.open -= 1;
        let event = event.clone();
        self.tell_missed(client, room, n, &event);
    }

    fn tell_missed(&mut self, client: u32, room: u32, n: u32, event: &Event) {
        let deliveries = &mut self.tenants[self.people.tenant_of(client) as usize].deliveries;
        deliveries.missed_after_bridging += 1;
        deliveries.missed_unplaced += 1;
        let state = &self.clients[client as usize];
        let (low, high) =
            if event.position == 0 { (1, Position::MAX) } else { (event.position, event.position) };
        self.words.push_back(Word::Missed(Missed {
            client,
            room,
            n,
            place: Place::Unplaced,
            low,
            high,
            id: event.id,
            event_id: None,
            info: state.info.clone(),
            connected_at: state.connected_at,
            disconnected_at: state.disconnected_at,
        }));
    }

    /// What there is to say.
    pub fn poll(&mut self) -> Option<Word> {
        self.words.pop_front()
    }

    /// The counts of a tenant.
    pub fn deliveries(&self, tenant: u32) -> Deliveries {
        self.tenants[tenant as usize].deliveries
    }

    /// The same, to add what the audit finds.
    pub fn deliveries_mut(&mut self, tenant: u32) -> &mut Deliveries {
        &mut self.tenants[tenant as usize].deliveries
    }

    /// Bounds that were hit, with how often.
    pub fn refused(&self) -> &BTreeMap<&'static str, u64> {
        &self.refused
    }

    /// What was seen at all.
    pub fn counts(&self) -> Observing {
        self.counts
    }

    /// Owed and not there yet.
    pub fn open_gaps(&self) -> u64 {
        self.open
    }

    /// Whether the client owes an account.
    pub fn in_span(&self, client: u32) -> bool {
        self.clients[client as usize].span.is_some()
    }

    /// Whether nothing is open at this client, or its connection has shown since then that it works.
    pub fn is_accounted_for(&self, client: u32, since: Timestamp) -> bool {
        let open = |room: u32| {
            let member = self.people.member_index(client, room);
            let mark = |event: &Event| member.is_some_and(|member| event.marks[member].is_open());
            self.rooms[room as usize].owing().any(|(_, event)| mark(event))
        };
        self.clients[client as usize].heard >= since || !self.people.rooms_of(client).any(open)
    }
}

impl Client {
    /// What kind of repeat an arrival is, given how the event came before.
    fn repeat(&self, before: Mark, arrival: &Arrival) -> &'static str {
        let last_cycle = self.cycle.wrapping_sub(1).max(1);
        match arrival.channel {
            Channel::Stream { .. } if before.stream == self.cycle => "duplicate",
            Channel::Stream { .. } if before.sync == self.cycle => "overlap",
            Channel::Stream { .. } => "redelivered",
            Channel::Sync { .. } if before.bridge == self.bridge => "duplicate",
            Channel::Sync { since } if arrival.position.is_some_and(|position| position <= since) => {
                "redelivered"
            }
            Channel::Sync { .. } if arrival.position.is_some_and(|at| at <= self.replay_until) => "replayed",
            Channel::Sync { .. } if [self.cycle, last_cycle].contains(&before.stream) => "overlap",
            Channel::Sync { .. } => "redelivered",
        }
    }

    /// Whether a position lies below one that this connection has brought from the room; below one of another room it is
    /// only interleaved.
    fn is_out_of_order(&mut self, slot: usize, position: Position, deliveries: &mut Deliveries) -> bool {
        if position == 0 {
            return false;
        }
        let wrong = position < self.room_highs[slot];
        deliveries.out_of_order += u64::from(wrong);
        deliveries.interleaved += u64::from(!wrong && position < self.high);
        self.room_highs[slot] = self.room_highs[slot].max(position);
        self.high = self.high.max(position);
        wrong
    }
}

#[cfg(test)]
mod tests;
