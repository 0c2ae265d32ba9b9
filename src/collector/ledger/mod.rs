//! The ledger: every event owed to every client, accounted for.
//!
//! # What is owed
//!
//! Every event has coordinates (room, n), n dense in its room. A client's *span* opens at its first hello and ends
//! when the plan takes it away or the run ends. It is owed (room, n) when it is a member of the room, the event was
//! due at or after the span's opening hello, and the publish was acknowledged, or is unknown and was seen by any
//! client or the audit. In a span that the plan ends, only what was acknowledged at least the lateness bound before.
//!
//! # How it is kept
//!
//! - [`rooms`]: what the publishers know of each event (outcome, times, position), for a window of events;
//! - [`client`]: per client its connection, position and evidence, and per (client, room) a [`client::Track`]: a
//!   watermark and, only when something is out of the ordinary, short interval lists;
//! - [`arrival`]: what comes is classed at once: live, bridged, or a repeat of some kind;
//! - [`restart`]: a client that was started again from an older position, and what that brings once more;
//! - [`sweep`]: once an interval, what did not come is opened as a gap, placed when it is final, and counted (a late
//!   arrival does not wait for that);
//! - [`forget`]: what has settled and is waited for by nobody is forgotten after a while, so that a run may be long;
//! - [`span`]: the end of a span settles what is left, and counts `expected` from the publishers' side alone, so
//!   that `expected = live + bridged + missed_after_bridging + undecided` is a check and not a definition.
//!
//! # Rules (ours, where design.md leaves room)
//!
//! The oracle of `tests/scenarios/oracle` has the same rules as definitions over a whole trace; random plans and random
//! histories hold the two against each other. No rule depends on when a sweep happens.
//!
//! - **Spans.** What is not owed in the span that is open is `unowed` on arrival, whatever an earlier span made of it:
//!   what was due before the span's opening hello, everything between two spans, everything after the run's end. A
//!   first arrival that turns out to have been acknowledged too shortly before a planned leave becomes `unowed` then.
//! - **Final.** A gap is final when the lateness bound has passed since the acknowledgement, the client's *stored*
//!   position has passed the event's (only then can no restart ask for it again), a proof holds, and no better proof is still to be had: none is as long as the connection that
//!   should have brought the event, or a bridge that asked for it, is open. What arrives after that is `resurrected`,
//!   once, and has arrived from then on; what arrives before is live or bridged, however late. A span that ends with
//!   the client down has missed what was final by then. Only what happened up to its end can place what it missed.
//! - **Known by then.** An arrival is judged by the outcomes known when it comes: what is still on its way to an answer
//!   is not final, and no connection has omitted it.
//! - **Rejected.** What is rejected or unsent is `unexpected` at each arrival, and nothing else; first arrivals that
//!   came before the answer become `unexpected` with it. What is in no timetable is `unexpected` at each arrival.
//! - **Unknown.** A publish that nobody has seen and that its one look-up does not find is owed to nobody, unless
//!   somebody sees it later: then it is owed after all, acknowledged at that sighting. A copy that went astray counts
//!   as a sighting, and so does whatever a page shows to the audit, also beside what it looks for. When the books are closed, what has no outcome yet is owed if it was seen.
//! - **`stream_omitted`** is counted once for a client and event: when it comes, if a connection that has ended is
//!   proved to have been able to bring it, or, if it comes by sync, the one that is open; or when it is missed, or left
//!   undecided, with such a proof. What sync supplies before the proof is not counted.
//! - **Repeats.** A *cycle* is the time from the end of one connection to the end of the next, bridge included; a
//!   connection is one that has said hello. A repeat on the stream is a `duplicate` when this connection has brought it
//!   already, an `overlap` when it first came by sync in this cycle, else `redelivered`. A repeat by sync is a
//!   `duplicate` when this bridge (or poll) has brought it already, `redelivered` when `since` had passed it, an
//!   `replayed` when it is one (see below), an `overlap` when the current or last connection had brought it, else
//!   `redelivered`. Once two ids or positions of an
//!   event are known, it is `double_stored` and its repeats are not counted.
//! - **Order, lateness, cursors.** `out_of_order`, `interleaved`, `late_live`, `late_bridged` and `below_cursor` are
//!   counted over first arrivals alone, those included that are not owed in the end. An arrival is late when it comes
//!   more than the lateness bound after the event was first sent. A page's own cursor has not passed its own events.
//! - **Restarts.** A restart ends no span: what was owed before it and while the client was away is owed, and comes, if
//!   it comes, from the stored position on (from a new client's starting position, where none was stored). It takes the
//!   client's position back to that, and with it every cursor beyond. What had come before and comes again by sync,
//!   with a position above `since` and up to the highest one that the client held when it died, is `replayed`: once for
//!   each event and restart. It is the price of the flush interval and nobody's defect. (What a stream brings again is
//!   no replay: no stream begins at a position.)
//! - **Bounds.** The ledger remembers a window of events per room, some pieces of evidence per client and some final
//!   gaps; what falls out is counted in `refused`, and may turn up as `missed_unplaced` or `redelivered`. Nor does it
//!   remember for ever: an event, or a final gap, of which everybody's account is settled is forgotten after
//!   [`Rules::remember`]. What comes of it after that is old news: `redelivered` and nothing else, not `unexpected`, not
//!   `resurrected`, not owed after all; and counted in `refused`.

mod arrival;
mod client;
mod forget;
mod intervals;
mod place;
mod restart;
mod rooms;
mod span;
mod sweep;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use client::{Bridge, Client, Connection, Item, Track};
use forget::Finals;
use place::Facts;
use rooms::{Record, Room, State};
use span::Closing;

pub use arrival::First;
pub use place::Place;

use super::collected::Deliveries;
use crate::generator::{Ended, Outcome};
use crate::plan::Population;
use crate::session::{Cause, ConnectionInfo, Observation, StopReason};
use crate::time::Timestamp;
use crate::wire::{Position, id_hash};

/// The fixed numbers of a ledger.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// After it, what has not come is late (`client.lateness_bound`).
    pub lateness_bound: Duration,
    /// The longest time from due to outcome of a publish.
    pub outcome_within: Duration,
    /// Events per room whose outcome is remembered at most (`audit.window`).
    pub window: usize,
    /// What has settled is remembered for this long and at most twice as long, or while somebody waits for it.
    pub remember: Duration,
    /// The documented order: sync, then stream; only then is there a seam.
    pub sync_first: bool,
}

/// What the ledger tells the rest of the collector.
#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    /// A gap is final: look up whether the server still has the event.
    Missed(Missed),
    /// The outcome is unknown and nobody has seen it: look it up with the publisher's token.
    LookUp {
        /// Room.
        room: u32,
        /// Sequence number.
        n: u32,
        /// Its position is above this.
        above: Position,
    },
    /// Something that must never happen, for the findings.
    Stray {
        /// The key of the summary.
        kind: &'static str,
        /// Client.
        client: u32,
        /// Room of the stamp.
        room: u32,
        /// Sequence number.
        n: Option<u32>,
        /// Position, as it came.
        position: Option<Position>,
    },
}

/// An event that somebody saw.
#[derive(Clone, Copy, Debug)]
pub struct Sighting {
    /// Room of the stamp.
    pub room: u32,
    /// Sequence number.
    pub n: u32,
    /// First sent, by the stamp.
    pub sent: Timestamp,
    /// Position, as it came.
    pub position: Option<Position>,
    /// [`crate::wire::id_hash`] of its id; 0 when it had none.
    pub id: u64,
}

/// An event that one client never got.
#[derive(Clone, Debug, PartialEq)]
pub struct Missed {
    /// Client.
    pub client: u32,
    /// Room.
    pub room: u32,
    /// Sequence number.
    pub n: u32,
    /// Where it was missed.
    pub place: Place,
    /// Its position is at or above this.
    pub low: Position,
    /// Its position is at or below this; equal to `low` when it is known.
    pub high: Position,
    /// [`crate::wire::id_hash`] of its id, where that is all that tells it; else 0: its stamp does.
    pub id: u64,
    /// From the send reply.
    pub event_id: Option<Box<str>>,
    /// Of the client's last connection.
    pub info: Option<Box<ConnectionInfo>>,
    /// Hello of that connection.
    pub connected_at: Option<Timestamp>,
    /// End of that connection.
    pub disconnected_at: Option<Timestamp>,
}

/// The ledger of one stripe.
#[derive(Debug)]
pub struct Ledger {
    people: Population,
    rules: Rules,
    rooms: Vec<Room>,
    /// Highest position that any client of the tenant has held.
    tenant_high: Vec<Position>,
    clients: Vec<Client>,
    /// `rooms_per_client` tracks a client.
    tracks: Vec<Track>,
    closings: VecDeque<Closing>,
    /// Unknown publishes that nobody has seen: (since when, room, n).
    doubtful: VecDeque<(Timestamp, u32, u32)>,
    finals: Finals,
    /// When what is no longer needed is forgotten.
    generation_ends: Timestamp,
    deliveries: Vec<Deliveries>,
    double_stored: Vec<u64>,
    words: VecDeque<Word>,
    /// The run has ended: no span opens any more.
    closed: bool,
    /// Of `undecided`: of clients that were down for the harness's own reasons.
    pub undecided_by_harness: u64,
    /// Bounds that were hit, with how often.
    refused: BTreeMap<&'static str, u64>,
}

impl Ledger {
    /// An empty ledger.
    pub fn new(people: Population, rules: Rules) -> Self {
        let tenants = people.tenants() as usize;
        let tracks = people.clients() as usize * people.rooms_per_client() as usize;
        Self {
            rules,
            rooms: (0..people.rooms()).map(|_| Room::default()).collect(),
            tenant_high: vec![0; tenants],
            clients: (0..people.clients()).map(|_| Client::default()).collect(),
            tracks: (0..tracks).map(|_| Track::default()).collect(),
            closings: VecDeque::new(),
            doubtful: VecDeque::new(),
            finals: Finals::default(),
            generation_ends: Timestamp::ZERO,
            deliveries: vec![Deliveries::default(); tenants],
            double_stored: vec![0; tenants],
            words: VecDeque::new(),
            closed: false,
            undecided_by_harness: 0,
            refused: BTreeMap::new(),
            people,
        }
    }

    /// The event is due.
    pub fn issue(&mut self, room: u32, n: u32) {
        self.rooms[room as usize].issue(n);
    }

    /// An attempt is about to leave, and none has written a byte yet.
    pub fn sending(&mut self, room: u32, n: u32) {
        let floor = self.tenant_high[self.people.tenant_of_room(room) as usize];
        if let Some(record) = self.rooms[room as usize].get_mut(n) {
            record.floor = floor;
        }
    }

    /// The publish has ended.
    pub fn ended(&mut self, now: Timestamp, ended: &Ended) {
        let (room, Some(n)) = (ended.room, ended.n) else { return };
        let tenant = self.people.tenant_of_room(room) as usize;
        // What has no end when the books are closed is settled then.
        let Some(record) =
            self.rooms[room as usize].get_mut(n).filter(|record| record.state == State::Pending)
        else {
            return;
        };
        // Of an attempt that is given up in flight the publisher does not know when it left; whoever saw the event does.
        record.sent = record.sent.min(ended.sent.unwrap_or(Timestamp::MAX));
        match &ended.outcome {
            Outcome::Acknowledged { id, position } => {
                record.state = State::Owed;
                record.acked = now;
                let hash = id.as_deref().map_or(0, id_hash);
                if record.clashes(hash, position.unwrap_or(0)) {
                    self.double_stored[tenant] += 1;
                    let client = ended.publisher;
                    self.words.push_back(Word::Stray {
                        kind: "double_stored",
                        client,
                        room,
                        n: Some(n),
                        position: *position,
                    });
                }
                record.id = if hash == 0 { record.id } else { hash };
                record.position = position.unwrap_or(record.position);
                record.event_id.clone_from(id);
            }
            Outcome::Rejected | Outcome::Unsent => {
                record.state = State::Refused;
                let deliveries = &mut self.deliveries[tenant];
                deliveries.live -= u64::from(record.live);
                deliveries.bridged -= u64::from(record.bridged);
                deliveries.unexpected += u64::from(record.live + record.bridged);
                if record.live + record.bridged > 0 {
                    self.tell_unexpected(room, n);
                }
            }
            Outcome::Unknown if record.seen < Timestamp::MAX => {
                record.state = State::Owed;
                record.acked = record.seen;
            }
            Outcome::Unknown => {
                record.state = State::Doubtful;
                self.doubtful.push_back((now, room, n));
            }
        }
    }

    /// A rejected event had come to these clients before it was rejected.
    fn tell_unexpected(&mut self, room: u32, n: u32) {
        for client in self.people.members(room) {
            let Some(slot) = self.people.slot_of(client, room) else { continue };
            let track = &self.tracks[self.tracks_of(client).start + slot];
            let open = track.extra.as_ref().is_some_and(|extra| extra.gaps.clone().fill(n).is_some());
            if (track.first..track.high).contains(&n) && !open {
                let position =
                    self.rooms[room as usize].get(n).map(|record| record.position).filter(|&at| at > 0);
                self.words.push_back(Word::Stray { kind: "unexpected", client, room, n: Some(n), position });
            }
        }
    }

    /// The look-up of a doubtful publish did not find it, or nobody answered. (What it finds it has been shown.)
    pub fn looked_up_in_vain(&mut self, room: u32, n: u32) {
        let record = self.rooms.get_mut(room as usize).and_then(|room| room.get_mut(n));
        if let Some(record) = record.filter(|record| record.state == State::Doubtful) {
            record.state = State::Absent;
        }
    }

    /// The audit, with this client's token, was shown an event. It counts as seen, whatever the audit looked for.
    pub fn shown(&mut self, now: Timestamp, client: u32, sighting: Sighting) {
        if sighting.room < self.people.rooms() {
            self.sighted(now, client, sighting);
        }
    }

    /// A fact about a client. `first_n` tells the first sequence number of a room that is due from now on;
    /// `leaves_at`, when the plan takes the client away next. Both are asked only when a span opens.
    pub fn observe(
        &mut self,
        now: Timestamp,
        client: u32,
        observation: &Observation,
        first_n: impl FnMut(u32) -> u32,
        leaves_at: impl FnOnce() -> Option<Timestamp>,
    ) {
        match observation {
            Observation::BridgeBegan { position, poll } => self.bridge_began(client, *position, *poll),
            Observation::SyncSent { since } => {
                let client = &mut self.clients[client as usize];
                client.apply_page_cursor();
                client.requested(now, *since);
            }
            Observation::SyncPage { next_cursor, .. } => {
                let client = &mut self.clients[client as usize];
                client.apply_page_cursor();
                client.page_cursor = *next_cursor;
            }
            Observation::BridgeEnded { complete, .. } => self.bridge_ended(now, client, *complete),
            Observation::Hello { position, info, .. } => {
                self.hello(now, client, *position, info);
                if !self.clients[client as usize].in_span && !self.closed {
                    self.open_span(client, first_n, leaves_at());
                }
            }
            Observation::Ping { late: false, .. } => {
                let proved = now.back(self.rules.lateness_bound);
                if let Some(live) = &mut self.clients[client as usize].live {
                    live.proved = live.proved.max(proved);
                }
            }
            Observation::Disconnected { cause, .. } => {
                let was_live = self.disconnected(now, client);
                if *cause == Cause::Left {
                    self.close_span(now, client, was_live);
                }
            }
            Observation::Ready => {
                let client = &mut self.clients[client as usize];
                client.position = client.position.max(std::mem::take(&mut client.waiting));
                client.dirty = true;
            }
            Observation::Restarted { position } => self.restarted(client, *position),
            Observation::Stopped(StopReason::Left) => self.close_span(now, client, false),
            _ => return,
        }
        self.holds(client);
    }

    /// What the ledger has to say.
    pub fn poll(&mut self) -> Option<Word> {
        self.words.pop_front()
    }

    /// The counts of each tenant.
    pub fn deliveries(&self) -> &[Deliveries] {
        &self.deliveries
    }

    /// The same, to add what the audit finds.
    pub fn deliveries_mut(&mut self, tenant: u32) -> &mut Deliveries {
        &mut self.deliveries[tenant as usize]
    }

    /// Events of each tenant that were seen under two ids or positions.
    pub fn double_stored(&self) -> &[u64] {
        &self.double_stored
    }

    /// Bounds that were hit, with how often.
    pub fn refused(&self) -> &BTreeMap<&'static str, u64> {
        &self.refused
    }

    /// What the client's position is now, others of its tenant know to be taken.
    pub(super) fn holds(&mut self, client: u32) {
        let high = &mut self.tenant_high[self.people.tenant_of(client) as usize];
        *high = self.clients[client as usize].position.max(*high);
    }

    fn bridge_began(&mut self, client: u32, position: Position, poll: bool) {
        for track in self.tracks_of(client) {
            if let Some(extra) = &mut self.tracks[track].extra {
                extra.in_bridge.clear();
            }
        }
        let client = &mut self.clients[client as usize];
        client.apply_page_cursor();
        client.past.floor = client.past.floor.max(position);
        client.position = client.position.max(position);
        client.waiting = 0;
        client.open = Some(Box::new(Bridge { poll, requests: Vec::new() }));
        client.dirty = true;
    }

    fn bridge_ended(&mut self, now: Timestamp, client: u32, complete: bool) {
        self.clients[client as usize].apply_page_cursor();
        let caught_up = self.has_caught_up(client);
        for track in self.tracks_of(client) {
            if let Some(extra) = &mut self.tracks[track].extra {
                extra.in_bridge.clear();
                if caught_up {
                    extra.since_restart.clear();
                }
            }
            self.tracks[track].tidy();
        }
        let client = &mut self.clients[client as usize];
        client.dirty = true;
        if let Some(bridge) = client.open.take().filter(|_| complete)
            && client.past.add_bridge(now, bridge)
        {
            *self.refused.entry("ledger_evidence").or_default() += 1;
        }
    }

    fn hello(&mut self, now: Timestamp, client: u32, position: Position, info: &ConnectionInfo) {
        for track in self.tracks_of(client) {
            self.tracks[track].connected();
        }
        let client = &mut self.clients[client as usize];
        client.apply_page_cursor();
        client.live = Some(Connection { hello: now, proved: Timestamp::ZERO, high: 0 });
        client.past.floor = client.past.floor.max(position);
        client.position = client.position.max(position);
        client.past.info = Some(Box::new(info.clone()));
        (client.past.connected_at, client.past.disconnected_at) = (now, Timestamp::MAX);
        client.dirty = true;
        if let Some(request) = client.last_request.take().filter(|_| self.rules.sync_first)
            && client.past.add(now, Item::Seam { request, hello: now, position })
        {
            *self.refused.entry("ledger_evidence").or_default() += 1;
        }
    }

    fn disconnected(&mut self, now: Timestamp, client: u32) -> bool {
        let state = &mut self.clients[client as usize];
        let Some(live) = state.live.take() else { return false };
        state.past.disconnected_at = now;
        state.waiting = 0;
        state.dirty = true;
        let item = Item::Connection { hello: live.hello, proved: live.proved };
        // One that was never proved past its own hello proves nothing.
        if live.proved > live.hello && state.past.add(now, item) {
            *self.refused.entry("ledger_evidence").or_default() += 1;
        }
        for track in self.tracks_of(client) {
            self.tracks[track].disconnected();
        }
        true
    }

    fn tracks_of(&self, client: u32) -> std::ops::Range<usize> {
        let per_client = self.people.rooms_per_client() as usize;
        client as usize * per_client..(client as usize + 1) * per_client
    }

    /// What the proofs need to know of an event.
    fn facts(&self, room: u32, record: &Record) -> Facts {
        let (low, high) = match record.position {
            0 => (record.floor.saturating_add(1), self.position_ceiling(room, record)),
            position => (position, position),
        };
        Facts { sent: record.sent, acked: record.acked, low, high }
    }

    /// A position that nobody knows lies below that of every event of the tenant that was first sent after its
    /// acknowledgement.
    fn position_ceiling(&self, room: u32, record: &Record) -> Position {
        self.people
            .rooms_of_tenant(self.people.tenant_of_room(room))
            .flat_map(|room| self.rooms[room as usize].from(0))
            .filter(|(_, other)| {
                other.position > 0 && other.sent < Timestamp::MAX && other.sent > record.acked
            })
            .map(|(_, other)| other.position - 1)
            .min()
            .unwrap_or(Position::MAX)
    }
}

#[cfg(test)]
mod tests;
