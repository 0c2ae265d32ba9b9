//! What comes: an id gets its number when it is first seen, and each arrival of it is classed at once.

use super::room::{Event, Mark};
use super::{Client, Observed, Span};
use crate::collector::collected::Deliveries;
use crate::collector::ledger::{First, Word};
use crate::session::{Arrival, Channel};
use crate::time::Timestamp;
use crate::wire::Position;

impl Observed {
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
    pub(super) fn numbered(
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
