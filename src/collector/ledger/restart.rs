//! Durable positions: how far they have come, and what a restart from an older one brings again.

use super::Ledger;
use super::arrival::At;
use crate::session::{Arrival, Channel};
use crate::wire::Position;

impl Ledger {
    /// The store has this position of the client now. It may lag behind what the client has consumed.
    pub fn stored(&mut self, client: u32, position: Position) {
        let client = &mut self.clients[client as usize];
        client.past.stored = client.past.stored.max(position);
        client.dirty = true;
    }

    /// The client's process was started again with what its store had. Its connection and its bridge have ended before.
    pub(super) fn restarted(&mut self, client: u32, position: Position) {
        for track in self.tracks_of(client) {
            if let Some(extra) = &mut self.tracks[track].extra {
                extra.since_restart.clear();
            }
            self.tracks[track].tidy();
        }
        let client = &mut self.clients[client as usize];
        client.apply_page_cursor();
        client.replay_until = client.replay_until.max(client.position);
        client.position = position;
        // A store that could not be read has let go of what it had.
        client.past.stored = client.past.stored.min(position);
        client.cursor = client.cursor.min(position);
        client.waiting = 0;
        client.dirty = true;
    }

    /// Whether nothing that came before a restart can come again because of it.
    pub(super) fn has_caught_up(&self, client: u32) -> bool {
        let client = &self.clients[client as usize];
        client.position >= client.replay_until
    }

    /// Whether this comes (again) only because the client was started from a position before its own. What has not come
    /// at all so far is no repeat, and this is not asked for it.
    pub(super) fn is_replay(&self, at: At, arrival: &Arrival) -> bool {
        let Channel::Sync { since } = arrival.channel else { return false };
        let until = self.clients[at.client as usize].replay_until;
        let extra = self.tracks[at.track].extra.as_ref();
        arrival.position.is_some_and(|position| since < position && position <= until)
            && !extra.is_some_and(|extra| extra.since_restart.contains(at.n))
    }

    /// It has come since the restart: when it comes once more, that is no replay. To be kept only while one is possible.
    pub(super) fn note_since_restart(&mut self, at: At, arrival: &Arrival) {
        let until = self.clients[at.client as usize].replay_until;
        if !self.has_caught_up(at.client) && arrival.position.is_none_or(|position| position <= until) {
            self.tracks[at.track].extra().since_restart.insert(at.n);
        }
    }
}
