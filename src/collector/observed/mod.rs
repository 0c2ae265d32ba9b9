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
//! - [`arrival`]: what comes is classed at once;
//! - [`settle`]: what does not come is missed when it is final, or when a span ends;
//! - [`room`]: the ids of a room with a mark for each member, until everybody has it, the survey has passed it and the time
//!   for repeats is over; at most a window of them (`audit.window`), beyond which the oldest settle and are counted;
//! - [`survey`]: pages through each room's history, slowly while the run goes on and once more at its end.

mod arrival;
mod room;
mod settle;
mod survey;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use room::{Event, Room};

pub use survey::Survey;

use super::collected::{Deliveries, Observing};
use super::ledger::Word;
use crate::plan::Population;
use crate::session::{Cause, ConnectionInfo, Observation, StopReason};
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

#[cfg(test)]
mod tests;
