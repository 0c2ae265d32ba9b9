//! What comes is classed at once.

use super::intervals::Marks;
use super::place::OMITTED;
use super::rooms::State;
use super::{Ledger, Sighting};
use crate::session::{Arrival, Channel};
use crate::time::Timestamp;

/// A first arrival of an event that may be owed to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// On the stream.
    Live,
    /// By a bridge.
    Bridged,
    /// By an offline poll.
    Polled,
}

/// Where an arrival belongs.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) now: Timestamp,
    pub(super) client: u32,
    pub(super) tenant: usize,
    pub(super) track: usize,
    pub(super) room: u32,
    pub(super) n: u32,
}

impl Ledger {
    /// A message came; says whether it is a first arrival (so that its latency is recorded).
    pub fn arrived(&mut self, now: Timestamp, client: u32, arrival: &Arrival) -> Option<First> {
        if matches!(arrival.channel, Channel::Stream { .. }) {
            self.clients[client as usize].apply_page_cursor();
        }
        let first = self.take(now, client, arrival);
        self.moved(client, arrival);
        first
    }

    /// The position before this arrival is what counts for it.
    fn take(&mut self, now: Timestamp, client: u32, arrival: &Arrival) -> Option<First> {
        let tenant = self.people.tenant_of(client) as usize;
        let Some(stamp) = arrival.stamp else {
            self.deliveries[tenant].foreign += 1;
            return None;
        };
        let stray = |kind| super::Word::Stray {
            kind,
            client,
            room: stamp.room,
            n: stamp.n,
            position: arrival.position,
        };
        if stamp.room >= self.people.rooms() {
            self.deliveries[tenant].unexpected += 1;
            self.words.push_back(stray("unexpected"));
            return None;
        }
        if stamp.n.is_some_and(|n| self.rooms[stamp.room as usize].has_forgotten(n)) {
            *self.refused.entry("ledger_old_news").or_default() += 1;
        }
        // A copy that went astray tells as much of its event as any other.
        let Arrival { position, id, .. } = *arrival;
        let sighting = |n| Sighting { room: stamp.room, n, sent: stamp.sent, position, id };
        let other_copy = stamp.n.is_some_and(|n| self.sighted(now, client, sighting(n)));
        if self.people.tenant_of_room(stamp.room) as usize != tenant {
            self.deliveries[tenant].leaked += 1;
            self.words.push_back(stray("leaked"));
            return None;
        }
        let Some(slot) = self.people.slot_of(client, stamp.room) else {
            self.deliveries[tenant].leaked_room += 1;
            self.words.push_back(stray("leaked_room"));
            return None;
        };
        if let (Channel::Stream { late: false }, Some(live)) =
            (arrival.channel, &mut self.clients[client as usize].live)
        {
            // Whatever was acknowledged before this event was sent, and more than the bound ago, should be here.
            live.proved = live.proved.max(stamp.sent.min(now.back(self.rules.lateness_bound)));
        }
        // Markers and fences are never owed.
        let n = stamp.n?;
        let room = &self.rooms[stamp.room as usize];
        let refused = room.get(n).is_some_and(|record| record.state == State::Refused);
        if refused || n >= room.issued() {
            self.deliveries[tenant].unexpected += 1;
            self.words.push_back(stray("unexpected"));
            return None;
        }
        let track = self.tracks_of(client).start + slot;
        let at = At { now, client, tenant, track, room: stamp.room, n };
        if n < self.tracks[track].first {
            self.deliveries[tenant].unowed += 1;
            return None;
        }
        let late = now.since(stamp.sent) > self.rules.lateness_bound;
        self.class(at, arrival, late, other_copy)
    }

    /// The position moves; on the stream beside a bridge only later, and only if the bridge ends well.
    fn moved(&mut self, client: u32, arrival: &Arrival) {
        let state = &mut self.clients[client as usize];
        if matches!(arrival.channel, Channel::Stream { .. }) && state.open.is_some() {
            state.waiting = state.waiting.max(arrival.position.unwrap_or(0));
        }
        state.position = state.position.max(arrival.client_position);
        self.holds(client);
    }

    /// Notes the sighting with the event; `true` when this is another copy than the one known.
    pub(super) fn sighted(&mut self, now: Timestamp, client: u32, sighting: Sighting) -> bool {
        let Sighting { room, n, sent, position: told, id } = sighting;
        let Some(record) = self.rooms[room as usize].get_mut(n) else { return false };
        let position = told.unwrap_or(0);
        if record.clashes(id, position) {
            self.double_stored[self.people.tenant_of_room(room) as usize] += 1;
            let (n, position) = (Some(n), told);
            self.words.push_back(super::Word::Stray { kind: "double_stored", client, room, n, position });
        }
        record.seen = record.seen.min(now);
        record.sent = record.sent.min(sent);
        record.id = if record.id == 0 { id } else { record.id };
        record.position = if record.position == 0 { position } else { record.position };
        let double = record.double;
        match record.state {
            State::Doubtful => (record.state, record.acked) = (State::Owed, now),
            State::Absent => self.owed_after_all(now, room, n),
            State::Pending | State::Owed | State::Refused => {}
        }
        double
    }

    fn class(&mut self, at: At, arrival: &Arrival, late: bool, other_copy: bool) -> Option<First> {
        let replay = self.is_replay(at, arrival);
        self.note_since_restart(at, arrival);
        let track = &mut self.tracks[at.track];
        let before = track.high;
        let marks = if at.n < before {
            track.extra.as_mut().and_then(|extra| extra.gaps.fill(at.n))
        } else {
            Some(0)
        };
        if let Some(marks) = marks {
            if at.n > before {
                track.extra().gaps.open(before, at.n);
                self.clients[at.client as usize].dirty = true;
            }
            self.tracks[at.track].high = before.max(at.n + 1);
            if !self.missed_before(at.now, at.client, at.room, at.n, marks) {
                return Some(self.first(at, arrival, late, before, marks));
            }
        }
        if self.rooms[at.room as usize].is_old(at.n) {
            // Whether it was ever missed, and on which connection it came, is no longer known.
            if !self.rooms[at.room as usize].has_forgotten(at.n) {
                *self.refused.entry("ledger_old_news").or_default() += 1;
            }
            self.deliveries[at.tenant].redelivered += 1;
            return None;
        }
        if self.finals.remove(at.client, at.room, at.n) {
            self.deliveries[at.tenant].resurrected += 1;
            // From now on it has arrived.
            self.note(at, arrival, before);
            return None;
        }
        self.repeat(at, arrival, other_copy, replay);
        None
    }

    fn first(&mut self, at: At, arrival: &Arrival, late: bool, before: u32, marks: Marks) -> First {
        let live = matches!(arrival.channel, Channel::Stream { .. });
        self.note(at, arrival, before);
        if live {
            self.order(at, arrival);
        }
        self.omitted_on_stream(at, arrival, marks);
        let cursor = self.clients[at.client as usize].cursor;
        let deliveries = &mut self.deliveries[at.tenant];
        if arrival.position.is_some_and(|position| position <= cursor) {
            deliveries.below_cursor += 1;
            let (client, room, n, position) = (at.client, at.room, Some(at.n), arrival.position);
            self.words.push_back(super::Word::Stray { kind: "below_cursor", client, room, n, position });
        }
        deliveries.late_live += u64::from(late && live);
        deliveries.late_bridged += u64::from(late && !live);
        self.count_first(at, arrival, live);
        let polling = self.clients[at.client as usize].open.as_ref().is_some_and(|bridge| bridge.poll);
        match (live, polling) {
            (true, _) => First::Live,
            (false, false) => First::Bridged,
            (false, true) => First::Polled,
        }
    }

    fn count_first(&mut self, at: At, arrival: &Arrival, live: bool) {
        let deliveries = &mut self.deliveries[at.tenant];
        *(if live { &mut deliveries.live } else { &mut deliveries.bridged }) += 1;
        let sent = arrival.stamp.map_or(Timestamp::ZERO, |stamp| stamp.sent);
        let tentative_from = self.clients[at.client as usize].tentative_from;
        let mut tentative = sent >= tentative_from;
        // A number that is open and older than the window is owed: what is not owed was closed before.
        if let Some(record) = self.rooms[at.room as usize].get_mut(at.n) {
            if record.state == State::Pending {
                *(if live { &mut record.live } else { &mut record.bridged }) += 1;
            } else {
                // An unknown publish may have been seen first long after it was sent.
                tentative |= record.acked >= tentative_from + self.rules.outcome_within;
            }
        }
        if tentative {
            self.tracks[at.track].extra().tentative.push((at.n, live));
        }
    }

    /// Remembers on which connection or in which bridge it came.
    fn note(&mut self, at: At, arrival: &Arrival, before: u32) {
        let track = &mut self.tracks[at.track];
        match arrival.channel {
            Channel::Stream { .. } => {
                track.put_on_stream(at.n);
                // A page that passed over the number may have put it there.
                if let Some(extra) = &mut track.extra {
                    extra.in_bridge.remove(at.n);
                }
            }
            Channel::Sync { .. } => {
                let from = track.stream_from;
                let extra = track.extra();
                if at.n >= before {
                    extra.by_sync.append(before, at.n);
                    extra.in_bridge.append(before, at.n);
                    extra.off_stream.append(before, at.n);
                } else {
                    extra.by_sync.insert(at.n);
                    extra.in_bridge.insert(at.n);
                    if at.n >= from {
                        extra.off_stream.insert(at.n);
                    }
                }
            }
        }
    }

    /// Positions on one connection: below one already delivered in the room, or only across rooms.
    fn order(&mut self, at: At, arrival: &Arrival) {
        let Some(position) = arrival.position else { return };
        let track = &mut self.tracks[at.track];
        let Some(live) = &mut self.clients[at.client as usize].live else { return };
        if position < track.stream_position {
            self.deliveries[at.tenant].out_of_order += 1;
            let (client, room, n, position) = (at.client, at.room, Some(at.n), arrival.position);
            self.words.push_back(super::Word::Stray { kind: "out_of_order", client, room, n, position });
        } else if position < live.high {
            self.deliveries[at.tenant].interleaved += 1;
        }
        track.stream_position = track.stream_position.max(position);
        live.high = live.high.max(position);
    }

    /// A working connection should have brought it: one that has ended, or, when sync brought it, the one that is open.
    fn omitted_on_stream(&mut self, at: At, arrival: &Arrival, marks: Marks) {
        let client = &self.clients[at.client as usize];
        let live = client.live.filter(|_| matches!(arrival.channel, Channel::Sync { .. }));
        if marks & OMITTED != 0 || (client.past.items.is_empty() && live.is_none()) {
            return;
        }
        let Some(record) = self.rooms[at.room as usize].get(at.n).filter(|record| record.is_owed()) else {
            return;
        };
        let facts = self.facts(at.room, record);
        if facts.omitted_before(&client.past) || facts.omitted_by_live(live) {
            self.deliveries[at.tenant].stream_omitted += 1;
            let (client, room, n, position) = (at.client, at.room, Some(at.n), arrival.position);
            self.words.push_back(super::Word::Stray { kind: "stream_omitted", client, room, n, position });
        }
    }

    fn repeat(&mut self, at: At, arrival: &Arrival, other_copy: bool, replay: bool) {
        // The second copy of an event that was stored twice is counted as that, once, and not at every client.
        if other_copy {
            return;
        }
        let on_stream = self.tracks[at.track].on_stream(at.n);
        let extra = self.tracks[at.track].extra.as_deref();
        let kind = match arrival.channel {
            Channel::Stream { .. } if on_stream => "duplicate",
            Channel::Stream { .. } if extra.is_some_and(|extra| extra.by_sync.contains(at.n)) => "overlap",
            Channel::Stream { .. } => "redelivered",
            Channel::Sync { .. } if extra.is_some_and(|extra| extra.in_bridge.contains(at.n)) => "duplicate",
            Channel::Sync { since } if arrival.position.is_some_and(|position| position <= since) => {
                "redelivered"
            }
            Channel::Sync { .. } if replay => "replayed",
            Channel::Sync { .. } if on_stream => "overlap",
            Channel::Sync { .. } => "redelivered",
        };
        let deliveries = &mut self.deliveries[at.tenant];
        match kind {
            "duplicate" => deliveries.duplicate += 1,
            "overlap" => deliveries.overlap += 1,
            "replayed" => deliveries.replayed += 1,
            _ => deliveries.redelivered += 1,
        }
        if kind == "duplicate" {
            let (client, room, n, position) = (at.client, at.room, Some(at.n), arrival.position);
            self.words.push_back(super::Word::Stray { kind, client, room, n, position });
        }
        match arrival.channel {
            Channel::Stream { .. } => self.tracks[at.track].put_on_stream(at.n),
            Channel::Sync { .. } => self.tracks[at.track].extra().in_bridge.insert(at.n),
        }
    }
}
