//! Once an interval: what did not come is opened as a gap; a gap that is final is placed and counted.

use std::time::Duration;

use super::client::Past;
use super::intervals::{Gaps, Marks};
use super::place::{OMITTED, ON_STREAM, Place};
use super::rooms::{Record, State};
use super::{Ledger, Missed, Word};
use crate::time::Timestamp;

/// What a look at an open number finds.
enum Finding {
    /// Nothing new can be learned before something happens to the client.
    Open(Marks),
    /// Its publish is on its way, or it is not late yet: look again.
    Waiting(Marks),
    NotOwed,
    Final(Place),
}

impl Ledger {
    /// Moves everything on to `now`.
    pub fn sweep(&mut self, now: Timestamp) {
        for room in &mut self.rooms {
            room.advance(now, self.rules.lateness_bound, self.rules.window);
        }
        self.look(now);
        self.forget(now);
    }

    /// Judges what is open by what is known.
    pub(super) fn look(&mut self, now: Timestamp) {
        self.ask_for_doubtful(now);
        // A piece of evidence may speak about an event until that has an outcome and has become late.
        let keep = self.rules.outcome_within + self.rules.lateness_bound * 2 + Duration::from_secs(30);
        for client in 0..self.clients.len() as u32 {
            self.extend(client);
            self.review(now, client);
            self.clients[client as usize].past.forget(now.back(keep));
        }
        self.close_spans(now);
    }

    /// Numbers passed over and not final, all clients together.
    pub fn open_gaps(&self) -> u64 {
        self.tracks.iter().filter_map(|track| track.extra.as_ref()).map(|extra| extra.gaps.count()).sum()
    }

    /// Whether this client has numbers that are open.
    pub fn has_gaps(&self, client: u32) -> bool {
        self.tracks_of(client).any(|track| self.tracks[track].has_gaps())
    }

    /// Whether the client's connection has worked past this moment.
    pub fn proved_past(&self, client: u32, moment: Timestamp) -> bool {
        self.clients[client as usize].live.is_some_and(|live| live.proved > moment)
    }

    /// Whether the client owes an account: a hello has opened a span, and the plan has not ended it.
    pub fn in_span(&self, client: u32) -> bool {
        self.clients[client as usize].in_span
    }

    /// Every publish has an end that the ledger knows of.
    pub fn all_ended(&self) -> bool {
        self.doubtful.is_empty() && self.rooms.iter().all(|room| room.owed_before(room.issued()).is_some())
    }

    /// Doubtful publishes that nobody has seen within the bound are looked up.
    fn ask_for_doubtful(&mut self, now: Timestamp) {
        while let Some(&(since, room, n)) = self.doubtful.front() {
            if since + self.rules.lateness_bound >= now {
                break;
            }
            self.doubtful.pop_front();
            let record = self.rooms[room as usize].get(n);
            if let Some(record) = record.filter(|record| record.state == State::Doubtful) {
                self.words.push_back(Word::LookUp { room, n, above: record.floor });
            }
        }
    }

    /// What has settled and has not come is a gap, whether or not a later event has come.
    fn extend(&mut self, client: u32) {
        if !self.clients[client as usize].in_span {
            return;
        }
        for (slot, room) in self.people.rooms_of(client).enumerate() {
            let room = &self.rooms[room as usize];
            let index = client as usize * self.people.rooms_per_client() as usize + slot;
            let track = &mut self.tracks[index];
            if track.base.is_none() {
                track.base = room.owed_before(track.first);
            }
            if track.high < room.settled() {
                let from = std::mem::replace(&mut track.high, room.settled());
                track.extra().gaps.open(from, room.settled());
                self.clients[client as usize].dirty = true;
            }
        }
    }

    /// Places what can be placed. A client that is down and to which nothing happened is passed over.
    fn review(&mut self, now: Timestamp, client: u32) {
        let state = &mut self.clients[client as usize];
        let dirty = std::mem::take(&mut state.dirty);
        if !dirty && state.live.is_none() {
            return;
        }
        let mut waiting = false;
        for (track, room) in self.tracks_of(client).zip(self.people.rooms_of(client)) {
            if !self.tracks[track].has_gaps() {
                continue;
            }
            let mut gaps = std::mem::take(&mut self.tracks[track].extra().gaps);
            gaps.review(|n, marks| match self.judge(now, client, room, n, marks) {
                Finding::Open(marks) => Some(self.count_omitted(client, marks)),
                Finding::Waiting(marks) => {
                    waiting = true;
                    Some(self.count_omitted(client, marks))
                }
                Finding::NotOwed => None,
                Finding::Final(place) => {
                    self.missed_at(client, room, n, place, marks);
                    None
                }
            });
            self.put_back(track, gaps);
        }
        self.clients[client as usize].dirty |= waiting;
    }

    fn put_back(&mut self, track: usize, gaps: Gaps) {
        self.tracks[track].extra().gaps = gaps;
        self.tracks[track].tidy();
    }

    fn judge(&self, now: Timestamp, client: u32, room: u32, n: u32, marks: Marks) -> Finding {
        // Older than the window: owed, or it would have been closed; nothing more can be learned about it.
        let Some(record) = self.rooms[room as usize].get(n) else { return Finding::Open(marks) };
        match record.state {
            State::Pending | State::Doubtful => return Finding::Waiting(marks),
            State::Refused | State::Absent => return Finding::NotOwed,
            State::Owed => {}
        }
        let facts = self.facts(room, record);
        let client = &self.clients[client as usize];
        let marks = marks | facts.marks(&client.past);
        let live = if facts.omitted_by_live(client.live) { ON_STREAM } else { 0 };
        if record.acked + self.rules.lateness_bound >= now {
            Finding::Waiting(marks)
        } else if facts.is_final(marks | live, &client.past, client.live, client.open.as_deref()) {
            Finding::Final(Place::of(marks | live))
        } else {
            Finding::Open(marks)
        }
    }

    /// Whether it was final that this event would not come, before it came; if so, it counts as missed now.
    pub(super) fn missed_before(
        &mut self,
        now: Timestamp,
        client: u32,
        room: u32,
        n: u32,
        marks: Marks,
    ) -> bool {
        let late = |record: &Record| record.is_owed() && record.acked + self.rules.lateness_bound < now;
        if !self.rooms[room as usize].get(n).is_some_and(late) {
            return false;
        }
        let Finding::Final(place) = self.judge(now, client, room, n, marks) else { return false };
        self.missed_at(client, room, n, place, marks);
        true
    }

    /// A gap is final: it is counted, also as omitted on the stream if that is where it was missed.
    fn missed_at(&mut self, client: u32, room: u32, n: u32, place: Place, marks: Marks) {
        if place == Place::OnStream {
            self.count_omitted(client, marks | ON_STREAM);
        }
        let past = std::mem::take(&mut self.clients[client as usize].past);
        self.missed(client, room, n, place, &past);
        self.clients[client as usize].past = past;
    }

    /// What a connection that has ended should have brought counts as omitted, once.
    pub(super) fn count_omitted(&mut self, client: u32, marks: Marks) -> Marks {
        if marks & ON_STREAM == 0 || marks & OMITTED != 0 {
            return marks;
        }
        self.deliveries[self.people.tenant_of(client) as usize].stream_omitted += 1;
        marks | OMITTED
    }

    /// An event is missed.
    pub(super) fn missed(&mut self, client: u32, room: u32, n: u32, place: Place, past: &Past) {
        let deliveries = &mut self.deliveries[self.people.tenant_of(client) as usize];
        deliveries.missed_after_bridging += 1;
        *match place {
            Place::OnStream => &mut deliveries.missed_on_stream,
            Place::InSync => &mut deliveries.missed_in_sync,
            Place::InSeam => &mut deliveries.missed_in_seam,
            Place::BehindCursor => &mut deliveries.missed_behind_cursor,
            Place::Unplaced => &mut deliveries.missed_unplaced,
        } += 1;
        if !self.finals.insert(client, room, n) {
            *self.refused.entry("ledger_finals").or_default() += 1;
        }
        let record = self.rooms[room as usize].get(n);
        let (low, high) = record.map_or((1, u64::MAX), |record| {
            let facts = self.facts(room, record);
            (facts.low, facts.high)
        });
        let event_id = record.and_then(|record| record.event_id.clone());
        let known = |at: Timestamp| (at < Timestamp::MAX).then_some(at);
        self.words.push_back(Word::Missed(Missed {
            client,
            room,
            n,
            place,
            low,
            high,
            id: 0,
            event_id,
            info: past.info.clone(),
            connected_at: known(past.connected_at),
            disconnected_at: known(past.disconnected_at),
        }));
    }
}
