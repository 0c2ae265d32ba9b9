//! An omniscient judge of the ledger.
//!
//! It has the whole trace of what the network carried, all of it at once and with hindsight, and counts by definition
//! with plain sets and maps: no watermark, no interval, no sweep, no bound on memory. Where it and the ledger
//! disagree, one of them is wrong.
//!
//! # What is owed (design.md, "The ledger")
//!
//! A client's *span* opens at a hello, if none is open, and ends when the plan takes the client away or when the books
//! are closed. It is *owed* an event of one of its rooms when the event was due at or after the hello that opened the
//! span, and the publish was acknowledged, or is unknown and was seen by any client or by the audit; in a span that
//! the plan ends, only if the acknowledgement is older than the lateness bound at that moment.
//! The *acknowledgement* of an unknown publish is its first sighting.
//!
//! # When it is missed
//!
//! It is *final* that an event did not come when all of this holds: the lateness bound has passed since the
//! acknowledgement; the client's stored position is at or above the event's; one of the [proofs](places) of where it was
//! missed holds; and no better proof is still to come, which is the case while the connection that should have
//! brought it, or a bridge that asked for it, is open. Once this is so it stays so. An event of a span is
//! - *missed* if it had not arrived when that became final, or when the span ended with the client connected;
//! - *undecided* if it had not arrived, and was not final, when the span ended with the client down;
//! - else *live* or *bridged*, by the channel of its first arrival.
//!
//! What arrives after it was final is *resurrected*, in the span in which it was missed; from then on it has arrived.
//! A publish whose answer is still out when the event arrives is judged by what is known then: it is not final.
//!
//! # When a client is started again
//!
//! Its position is its stored one from then on, or the one that it began at where nothing was stored, and no cursor
//! beyond that counts for it any more. Its span goes on.
//!
//! # What else an arrival can be
//!
//! In this order, for each arrival:
//! - *foreign*: without a stamp of this run; *unexpected*: of a room that the plan does not have;
//! - *leaked*: of another tenant's room; *leaked_room*: of a room of its tenant that the client is not in;
//! - nothing at all: a marker or a fence in its own room;
//! - *unexpected*: of a publish that was rejected or unsent by then, or that never was. (What comes first and is
//!   rejected later was live or bridged until then, and is unexpected from then on: it counts once for each client.)
//! - *unowed*: due before the span's opening hello, or no span is open;
//! - *resurrected*, or a *first arrival* of the span; else a *repeat*.
//!
//! A first arrival that was acknowledged too shortly before the plan took the client away is *unowed* in the end.
//!
//! Beside its class, a first arrival is
//! - *late* (`late_live`, `late_bridged`): more than the lateness bound after it was first sent;
//! - *below_cursor*: its position is at or below a `since` that the client had sent or a `next_cursor` that it had got
//!   before (the cursor of its own page not counted);
//! - *out_of_order*: on the stream, below a position of the same room, or else *interleaved*: below one of another
//!   room, that a first arrival on this connection had;
//! - *stream_omitted*: a connection that has ended, or for what came by sync also the one that is open, is proved (by
//!   now) to have been able to bring it. An event that never arrived is so as well, judged when its span ends.
//!
//! # Repeats
//!
//! A *cycle* is the time between the ends of two connections that had said hello.
//! On the stream: *duplicate* if this connection has brought it already; *overlap* if its first arrival was by sync
//! in this cycle; else *redelivered*. By sync: *duplicate* if this bridge (or poll) has brought it already;
//! *redelivered* if its position is at or below `since`; *replayed* if its position is at or below the highest one that
//! the client held when it was started again, and it has not come since then; *overlap* if the current or last
//! connection has brought it; else *redelivered*. An event is *double_stored*, once, when two ids or two positions of it are known; from then on
//! its repeats are not counted.

mod audit;
mod client;
mod places;
mod publishes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wavesoak::collector::collected::Deliveries;
use wavesoak::plan::Population;
use wavesoak::profile::{BridgeOrder, Profile};
use wavesoak::session::{Order, SyncTrouble};
use wavesoak::simulator::trace::{Message, Step, Trace, What};
use wavesoak::time::Timestamp;

use client::{Bridge, Client, Connection, Proof, Span};
use places::{Place, Verdict};
use publishes::{Facts, Publishes, State};

pub(crate) use audit::{COUNTS as AUDIT_COUNTS, Range, Stores};
pub(crate) use publishes::Outcomes;

/// An event: room and sequence number.
pub(crate) type Key = (u32, u32);

/// What the run should have counted.
#[derive(Debug)]
pub(crate) struct Judged {
    /// By tenant; the stores are in [`Judged::stores`].
    pub(crate) deliveries: Vec<Deliveries>,
    /// By tenant.
    pub(crate) double_stored: Vec<u64>,
    /// By tenant: what became of the publishes of which an attempt left.
    pub(crate) outcomes: Vec<Outcomes>,
    /// Events of which the acknowledgement, or what stands for it, did not tell the position.
    pub(crate) vague: BTreeSet<Key>,
    /// Every event that was missed, by client and event.
    pub(crate) missed: BTreeMap<(u32, Key), Missed>,
    /// What the audit must have found for them.
    pub(crate) stores: Stores,
    /// Sessions whose position was not what the protocol says: (client, said, should).
    pub(crate) positions: Vec<(u32, u64, u64)>,
}

/// An event that was missed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missed {
    /// The key of its place.
    pub(crate) place: &'static str,
    /// It was so no earlier than then.
    after: Timestamp,
    /// Its position lies in `low..=high`.
    low: u64,
    high: u64,
}

/// Judges a run.
pub(crate) fn judge(profile: &Profile, trace: &Trace) -> Judged {
    let people = Population::new(&profile.population);
    let publishes = Publishes::of(trace, &people, &profile.traffic);
    let mut court = Court {
        bound: profile.client.lateness_bound,
        sync_first: profile.client.bridge == BridgeOrder::SyncFirst,
        clients: trace.positions.iter().map(|&position| Client::at(position)).collect(),
        deliveries: vec![Deliveries::default(); people.tenants() as usize],
        missed: BTreeMap::new(),
        positions: Vec::new(),
        now: Timestamp::ZERO,
        order: 0,
        closed: false,
        publishes,
        people: &people,
    };
    for (number, step) in trace.steps.iter().enumerate() {
        court.order = publishes::order_of(number);
        court.hear(step);
    }
    let Court { deliveries, missed, positions, publishes, .. } = court;
    let stores = Stores::of(trace, &people, &missed);
    let double_stored = publishes.double_stored();
    let (outcomes, vague) = (publishes.outcomes(), publishes.vague());
    Judged { deliveries, double_stored, outcomes, vague, missed, stores, positions }
}

/// The state of the proceedings.
struct Court<'a> {
    bound: Duration,
    sync_first: bool,
    people: &'a Population,
    publishes: Publishes,
    clients: Vec<Client>,
    deliveries: Vec<Deliveries>,
    missed: BTreeMap<(u32, Key), Missed>,
    positions: Vec<(u32, u64, u64)>,
    now: Timestamp,
    /// Of the step, or of the message in its page.
    order: usize,
    /// The books are closed: no span opens any more.
    closed: bool,
}

/// How a message came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Channel {
    Stream { late: bool },
    Sync { since: u64 },
}

impl Court<'_> {
    fn hear(&mut self, step: &Step) {
        self.now = step.at;
        let now = self.now;
        match &step.what {
            What::Ordered { order: Order::Start, .. } => {}
            What::Ordered { client, order: Order::Leave } => {
                // It breaks off the bridge that is open, if there is one: nothing more is to be expected of that.
                self.clients[*client as usize].bridge_over(false, false);
                self.end_span(*client, Some(now));
            }
            What::Hello { client, .. } => self.hello(*client),
            What::Streamed { client, late, message, .. } => {
                if self.clients[*client as usize].connection.is_some() {
                    self.arrive(*client, message, Channel::Stream { late: *late });
                    self.clients[*client as usize].passed(message.position);
                }
            }
            What::Pinged { client, late, .. } => {
                if let Some(connection) = self.clients[*client as usize].connection.as_mut().filter(|_| !late)
                {
                    connection.proofs.push(Proof::Ping(now));
                }
            }
            What::Ended { client, .. } => self.clients[*client as usize].disconnected(),
            What::Asked { client, since, .. } => self.asked(*client, *since),
            What::Page { client, messages, next_cursor, has_more, .. } => {
                self.page(*client, messages, *next_cursor, *has_more);
            }
            What::NoPage { client, trouble, .. } => {
                // There is nothing to bridge from there: the client goes on as if it had.
                let given_up = *trouble == SyncTrouble::BeyondRetention;
                self.clients[*client as usize].bridge_over(false, given_up);
            }
            What::Stored { client, position } => self.stored(*client, *position),
            What::Restarted { client, position } => {
                let state = &mut self.clients[*client as usize];
                if *position != state.begins_at() {
                    self.positions.push((*client, *position, state.begins_at()));
                }
                state.restarted();
            }
            What::Abandoned { client } => self.clients[*client as usize].bridge_over(false, false),
            What::BooksClosed => {
                (0..self.people.clients()).for_each(|client| self.end_span(client, None));
                self.closed = true;
            }
            What::Sent { room, n: Some(n), .. } => {
                let tenant = self.people.tenant_of_room(*room);
                let held = self
                    .people
                    .clients_of_tenant(tenant)
                    .map(|client| self.clients[client as usize].position);
                self.publishes.sending((*room, *n), self.order, held.max().unwrap_or(0));
            }
            What::Sent { .. } | What::Replied { .. } | What::Fetching { .. } | What::Fetched { .. } => {}
        }
    }

    fn hello(&mut self, client: u32) {
        let (now, sync_first) = (self.now, self.sync_first);
        let state = &mut self.clients[client as usize];
        if state.connection.is_some() {
            return;
        }
        let position = state.position;
        if let Some(request) = state.last_request.take().filter(|_| sync_first) {
            state.seams.push((request, now, position));
        }
        state.held.push(position);
        state.connection = Some(Connection { hello: now, ..Connection::default() });
        state.on_connection.clear();
        if !self.closed {
            state.span.get_or_insert_with(|| Span { opened: now, ..Span::default() });
        }
    }

    fn asked(&mut self, client: u32, since: u64) {
        let now = self.now;
        let state = &mut self.clients[client as usize];
        if since != state.position {
            self.positions.push((client, since, state.position));
        }
        if state.bridge.is_none() {
            state.held.push(state.position);
            state.in_bridge.clear();
        }
        state.bridge.get_or_insert_with(Bridge::default).requests.push((now, since));
        state.last_request = Some(now);
        state.cursor = state.cursor.max(since);
    }

    /// A store may lag behind its client. It may not run ahead of it, and not go back.
    fn stored(&mut self, client: u32, position: u64) {
        let state = &mut self.clients[client as usize];
        if !(state.stored..=state.position).contains(&position) {
            self.positions.push((client, position, state.position));
        }
        state.stored = position;
    }

    fn page(&mut self, client: u32, messages: &[Message], next_cursor: Option<u64>, has_more: bool) {
        let since = self.clients[client as usize].position;
        for message in messages {
            self.order += 1;
            self.arrive(client, message, Channel::Sync { since });
        }
        let state = &mut self.clients[client as usize];
        state.cursor = state.cursor.max(next_cursor.unwrap_or(0));
        state.position = state.position.max(next_cursor.unwrap_or(0));
        if !has_more {
            state.bridge_over(true, true);
        } else if state.position == since {
            // More was said to be there, but the cursor does not move: the same request would never end.
            state.bridge_over(false, false);
        }
    }

    fn arrive(&mut self, client: u32, message: &Message, channel: Channel) {
        let tenant = self.people.tenant_of(client);
        let deliveries = &mut self.deliveries[tenant as usize];
        let Some(stamp) = message.stamp else {
            deliveries.foreign += 1;
            return;
        };
        if stamp.room >= self.people.rooms() {
            deliveries.unexpected += 1;
            return;
        }
        if self.people.tenant_of_room(stamp.room) != tenant {
            deliveries.leaked += 1;
            return;
        }
        if self.people.slot_of(client, stamp.room).is_none() {
            deliveries.leaked_room += 1;
            return;
        }
        let now = self.now;
        if let (Channel::Stream { late: false }, Some(connection)) =
            (channel, &mut self.clients[client as usize].connection)
        {
            connection.proofs.push(Proof::Event { at: now, sent: stamp.sent });
        }
        let Some(n) = stamp.n else { return };
        let key = (stamp.room, n);
        if self.publishes.state(key, self.order).is_none_or(|state| state == State::Refused) {
            deliveries.unexpected += 1;
            return;
        }
        let state = &mut self.clients[client as usize];
        let Some(span) = state.span.as_mut().filter(|span| stamp.due >= span.opened) else {
            deliveries.unowed += 1;
            return;
        };
        if span.missed.contains(&key) {
            if span.resurrected.insert(key) {
                deliveries.resurrected += 1;
                state.took(key, channel, true);
            } else {
                self.repeat(client, key, message, channel);
            }
        } else if span.arrived.contains_key(&key) {
            self.repeat(client, key, message, channel);
        } else {
            self.first(client, key, message, channel);
        }
    }

    /// The first arrival in this span.
    fn first(&mut self, client: u32, key: Key, message: &Message, channel: Channel) {
        let tenant = self.people.tenant_of(client) as usize;
        let live = matches!(channel, Channel::Stream { .. });
        let known = self.publishes.known(key, self.order);
        let verdict =
            known.map(|facts| Verdict::of(&facts, &self.clients[client as usize], self.now, self.bound));
        if let (Some(place), Some(facts)) = (verdict.and_then(|verdict| verdict.final_place), known) {
            self.miss(client, key, place, &facts);
            self.deliveries[tenant].resurrected += 1;
            let state = &mut self.clients[client as usize];
            state.span_mut().resurrected.insert(key);
            return state.took(key, channel, true);
        }
        let deliveries = &mut self.deliveries[tenant];
        let omitted =
            verdict.is_some_and(|verdict| verdict.omitted_before || (!live && verdict.omitted_by_live));
        deliveries.stream_omitted += u64::from(omitted);
        let sent = message.stamp.map_or(Timestamp::ZERO, |stamp| stamp.sent);
        let late = self.now.since(sent) > self.bound;
        deliveries.late_live += u64::from(late && live);
        deliveries.late_bridged += u64::from(late && !live);
        let state = &mut self.clients[client as usize];
        let below = message.position.is_some_and(|position| position <= state.cursor);
        deliveries.below_cursor += u64::from(below);
        if let (true, Some(connection), Some(position)) = (live, &mut state.connection, message.position) {
            let (of_room, of_any) =
                (connection.brought_above(Some(key.0), position), connection.brought_above(None, position));
            deliveries.out_of_order += u64::from(of_room);
            deliveries.interleaved += u64::from(of_any && !of_room);
            connection.brought.push((key.0, position));
        }
        state.span_mut().arrived.insert(key, live);
        state.took(key, channel, true);
    }

    fn repeat(&mut self, client: u32, key: Key, message: &Message, channel: Channel) {
        let double = self.publishes.is_double(key, self.order);
        let deliveries = &mut self.deliveries[self.people.tenant_of(client) as usize];
        let state = &mut self.clients[client as usize];
        if double {
            return;
        }
        let count = match channel {
            Channel::Stream { .. } if state.on_connection.contains(&key) => &mut deliveries.duplicate,
            Channel::Stream { .. } if state.by_sync.contains(&key) => &mut deliveries.overlap,
            Channel::Stream { .. } => &mut deliveries.redelivered,
            Channel::Sync { .. } if state.in_bridge.contains(&key) => &mut deliveries.duplicate,
            Channel::Sync { since } if message.position.is_some_and(|position| position <= since) => {
                &mut deliveries.redelivered
            }
            Channel::Sync { .. }
                if message.position.is_some_and(|position| position <= state.replay_until)
                    && !state.since_restart.contains(&key) =>
            {
                &mut deliveries.replayed
            }
            Channel::Sync { .. } if state.on_connection.contains(&key) => &mut deliveries.overlap,
            Channel::Sync { .. } => &mut deliveries.redelivered,
        };
        *count += 1;
        state.took(key, channel, false);
    }

    fn miss(&mut self, client: u32, key: Key, place: Place, facts: &Facts) {
        let deliveries = &mut self.deliveries[self.people.tenant_of(client) as usize];
        deliveries.missed_after_bridging += 1;
        deliveries.stream_omitted += u64::from(place == Place::OnStream);
        *place.count(deliveries) += 1;
        let Facts { acked: after, low, high, .. } = *facts;
        self.missed.insert((client, key), Missed { place: place.name(), after, low, high });
        self.clients[client as usize].span_mut().missed.insert(key);
    }

    /// The span ends: `leave` is when the plan takes the client away, `None` is the end of the run.
    fn end_span(&mut self, client: u32, leave: Option<Timestamp>) {
        let Some(span) = self.clients[client as usize].span.clone() else { return };
        let tenant = self.people.tenant_of(client) as usize;
        let connected = self.clients[client as usize].connection.is_some();
        let rooms: BTreeSet<u32> = self.people.rooms_of(client).collect();
        let all = self.publishes.all().filter(|(key, _)| rooms.contains(&key.0));
        let due: Vec<(Key, Timestamp)> = all.map(|(&key, publish)| (key, publish.due)).collect();
        for (key, due) in due {
            let arrived = span.arrived.get(&key).copied();
            let in_time = |acked| leave.is_none_or(|leave| acked < leave.back(self.bound));
            // With hindsight: whatever is known in the end of when it was acknowledged.
            let facts = self.publishes.in_the_end(key).filter(|facts| in_time(facts.acked));
            let deliveries = &mut self.deliveries[tenant];
            if arrived.is_some() && self.publishes.is_refused_in_the_end(key) {
                deliveries.unexpected += 1;
            } else if arrived.is_some() && facts.is_none() {
                deliveries.unowed += 1;
            }
            let Some(facts) = facts.filter(|_| due >= span.opened) else { continue };
            deliveries.expected += 1;
            match arrived {
                Some(true) => deliveries.live += 1,
                Some(false) => deliveries.bridged += 1,
                None if span.missed.contains(&key) => {}
                None => {
                    let verdict = Verdict::of(&facts, &self.clients[client as usize], self.now, self.bound);
                    let omitted = verdict.omitted_before || verdict.omitted_by_live;
                    match verdict.final_place.or(connected.then_some(verdict.place)) {
                        Some(place) => self.miss(client, key, place, &facts),
                        None => {
                            let deliveries = &mut self.deliveries[tenant];
                            deliveries.undecided += 1;
                            deliveries.stream_omitted += u64::from(omitted);
                        }
                    }
                }
            }
        }
        self.clients[client as usize].span = None;
    }
}
