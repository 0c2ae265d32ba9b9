//! Spans: what is owed to whom, and what is settled when a span ends.

use super::Ledger;
use super::client::{Bridge, Item, Past, Track};
use super::place::Place;
use super::rooms::State;
use crate::time::Timestamp;

/// A span that has ended and waits for the outcomes of the events in it.
#[derive(Debug)]
pub(super) struct Closing {
    client: u32,
    /// Only what was acknowledged before this is owed; `MAX`: everything (the run has ended).
    pub(super) acked_before: Timestamp,
    /// The client was connected when it ended.
    connected: bool,
    /// When it ended.
    at: Timestamp,
    /// What the client had been through by then.
    past: Past,
    /// The bridge that was open then.
    open: Option<Box<Bridge>>,
    /// (room, its track, first number after the span).
    pub(super) tracks: Vec<(u32, Track, u32)>,
}

impl Ledger {
    pub(super) fn open_span(
        &mut self,
        client: u32,
        mut first_n: impl FnMut(u32) -> u32,
        leaves_at: Option<Timestamp>,
    ) {
        for (track, room) in self.tracks_of(client).zip(self.people.rooms_of(client)) {
            let first = first_n(room);
            self.tracks[track] = Track {
                first,
                base: self.rooms[room as usize].owed_before(first),
                high: first,
                stream_from: first,
                ..Track::default()
            };
        }
        let state = &mut self.clients[client as usize];
        state.in_span = true;
        let slack = self.rules.lateness_bound + self.rules.outcome_within;
        state.tentative_from = leaves_at.map_or(Timestamp::MAX, |at| at.back(slack));
    }

    /// The plan has taken the client away.
    pub(super) fn close_span(&mut self, now: Timestamp, client: u32, connected: bool) {
        let acked_before = now.back(self.rules.lateness_bound);
        if let Some(closing) = self.take_span(now, client, acked_before, connected) {
            self.closings.push_back(closing);
        }
    }

    /// The run has ended: every span that is open ends here, and nothing more is waited for. Publishes without an
    /// end are owed only if they were seen. `by_harness` tells which clients are down for the harness's own reasons.
    pub fn end_spans(&mut self, now: Timestamp, by_harness: impl Fn(u32) -> bool) {
        self.closed = true;
        self.sweep(now);
        for room in &mut self.rooms {
            for n in room.settled()..room.issued() {
                let Some(record) = room.get_mut(n).filter(|record| !record.is_final()) else { continue };
                let seen = record.seen < Timestamp::MAX;
                record.state = if seen { State::Owed } else { State::Absent };
                record.acked = record.acked.min(record.seen);
            }
            room.advance(Timestamp::MAX, self.rules.lateness_bound, usize::MAX);
        }
        self.doubtful.clear();
        // Not a sweep: of what has only now an end, nothing may be forgotten before it is judged.
        self.look(now);
        for client in 0..self.people.clients() {
            // Nothing more is asked of the connection: what it has proved so far is all that it will.
            let live = self.clients[client as usize].live;
            if let Some(mut closing) = self.take_span(now, client, Timestamp::MAX, live.is_some()) {
                if let Some(live) = live {
                    closing
                        .past
                        .items
                        .push_back((now, Item::Connection { hello: live.hello, proved: live.proved }));
                }
                let before = self.undecided_of(client);
                self.settle(&closing);
                if by_harness(client) {
                    self.undecided_by_harness += self.undecided_of(client) - before;
                }
            }
        }
        for closing in std::mem::take(&mut self.closings) {
            self.settle(&closing);
        }
    }

    /// Settles the spans whose events all have an end.
    pub(super) fn close_spans(&mut self, _now: Timestamp) {
        for _ in 0..self.closings.len() {
            let Some(mut closing) = self.closings.pop_front() else { return };
            for (room, track, _) in &mut closing.tracks {
                track.base = track.base.or_else(|| self.rooms[*room as usize].owed_before(track.first));
            }
            let ready = closing.tracks.iter().all(|(room, track, end)| {
                track.base.is_some() && self.rooms[*room as usize].owed_before(*end).is_some()
            });
            if ready { self.settle(&closing) } else { self.closings.push_back(closing) }
        }
    }

    /// Nobody was owed this event, because nobody had seen it and a look-up did not find it; now somebody has seen it.
    /// Whoever is in a span that began before it and has passed over it waits for it again.
    pub(super) fn owed_after_all(&mut self, now: Timestamp, room: u32, n: u32) {
        self.rooms[room as usize].owed_after_all(now, n);
        for client in self.people.members(room) {
            let Some(slot) = self.people.slot_of(client, room) else { continue };
            let index = self.tracks_of(client).start + slot;
            let track = &mut self.tracks[index];
            track.owed_more_before(n);
            if track.first <= n && n < track.high {
                track.extra().gaps.reopen(n);
                self.clients[client as usize].dirty = true;
            }
        }
        // A span that has ended is not owed it: this is too late an acknowledgement for it.
        for (_, track, _) in
            self.closings.iter_mut().flat_map(|closing| &mut closing.tracks).filter(|track| track.0 == room)
        {
            track.owed_more_before(n);
        }
    }

    fn undecided_of(&self, client: u32) -> u64 {
        self.deliveries[self.people.tenant_of(client) as usize].undecided
    }

    fn take_span(
        &mut self,
        at: Timestamp,
        client: u32,
        acked_before: Timestamp,
        connected: bool,
    ) -> Option<Closing> {
        let state = &mut self.clients[client as usize];
        if !std::mem::take(&mut state.in_span) {
            return None;
        }
        state.tentative_from = Timestamp::MAX;
        // What comes later is of another span. Only the client's positions go on.
        let next = Past { stored: state.past.stored, floor: state.past.floor, ..Past::default() };
        let (past, open) = (std::mem::replace(&mut state.past, next), state.open.take());
        let tracks = self
            .tracks_of(client)
            .zip(self.people.rooms_of(client))
            .map(|(track, room)| {
                (room, std::mem::take(&mut self.tracks[track]), self.rooms[room as usize].issued())
            })
            .collect();
        Some(Closing { client, acked_before, connected, at, past, open, tracks })
    }

    fn settle(&mut self, closing: &Closing) {
        for (room, track, end) in &closing.tracks {
            self.count_expected(closing, *room, track, *end);
            self.take_back(closing, *room, track);
            let mut open = Vec::new();
            if let Some(extra) = &track.extra {
                extra.gaps.clone().review(|n, marks| {
                    open.push((n, marks));
                    Some(marks)
                });
            }
            open.extend((track.high..*end).map(|n| (n, 0)));
            for (n, marks) in open {
                self.settle_open(closing, *room, n, marks);
            }
        }
    }

    /// From the publishers' side alone.
    fn count_expected(&mut self, closing: &Closing, room: u32, track: &Track, end: u32) {
        let events = &self.rooms[room as usize];
        let base = track.base.or_else(|| events.owed_before(track.first));
        let (Some(base), Some(total)) = (base, events.owed_before(end)) else {
            *self.refused.entry("ledger_span_without_base").or_default() += 1;
            return;
        };
        let too_late = if closing.acked_before == Timestamp::MAX {
            0
        } else {
            let late = |record: &super::Record| record.is_owed() && record.acked >= closing.acked_before;
            events.from(track.first).filter(|(n, record)| *n < end && late(record)).count()
        };
        let tenant = self.people.tenant_of(closing.client) as usize;
        self.deliveries[tenant].expected += u64::from(total - base) - too_late as u64;
    }

    /// Arrivals counted that turn out to be unowed, because they were acknowledged too shortly before the leave.
    fn take_back(&mut self, closing: &Closing, room: u32, track: &Track) {
        let tenant = self.people.tenant_of(closing.client) as usize;
        for &(n, live) in track.extra.iter().flat_map(|extra| &extra.tentative) {
            let record = self.rooms[room as usize].get(n);
            if record.is_some_and(|record| record.is_owed() && record.acked >= closing.acked_before) {
                let deliveries = &mut self.deliveries[tenant];
                *(if live { &mut deliveries.live } else { &mut deliveries.bridged }) -= 1;
                deliveries.unowed += 1;
            }
        }
    }

    fn settle_open(&mut self, closing: &Closing, room: u32, n: u32, marks: u8) {
        let Some(record) = self.rooms[room as usize].get(n) else {
            return self.end_of_gap(closing, room, n, Place::Unplaced, false);
        };
        if !record.is_owed() || record.acked >= closing.acked_before {
            return;
        }
        let facts = self.facts(room, record);
        let marks = marks | facts.marks(&closing.past);
        let late = record.acked + self.rules.lateness_bound < closing.at;
        let is_final = late && facts.is_final(marks, &closing.past, None, closing.open.as_deref());
        self.count_omitted(closing.client, marks);
        self.end_of_gap(closing, room, n, Place::of(marks), is_final);
    }

    fn end_of_gap(&mut self, closing: &Closing, room: u32, n: u32, place: Place, is_final: bool) {
        if closing.connected || is_final {
            self.missed(closing.client, room, n, place, &closing.past);
        } else {
            self.deliveries[self.people.tenant_of(closing.client) as usize].undecided += 1;
        }
    }
}
