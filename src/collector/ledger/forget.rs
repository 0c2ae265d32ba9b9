//! What the ledger forgets, so that a long run needs no more memory than a short one.
//!
//! An event lives for two *generations*, each as long as [`super::Rules::remember`]: what had settled when the last
//! generation ended is *old* when this one ends, and goes, with the gaps of it that were final. Only what somebody
//! still waits for stays, up to the window.

use std::collections::HashSet;

use super::Ledger;
use super::client::Track;
use super::intervals::Intervals;
use super::span::Closing;
use crate::time::Timestamp;

/// Final gaps that are remembered at most (ours); a later arrival of one that is not counts as `redelivered`.
pub(super) const FINALS: usize = 200_000;

/// Final gaps, to know a late arrival for what it is: (client, room, n).
#[derive(Debug, Default)]
pub(super) struct Finals {
    gaps: HashSet<(u32, u32, u32)>,
}

impl Finals {
    /// Remembers one; `false` when there are too many.
    pub(super) fn insert(&mut self, client: u32, room: u32, n: u32) -> bool {
        let fits = self.gaps.len() < FINALS;
        if fits {
            self.gaps.insert((client, room, n));
        }
        fits
    }

    /// Forgets one; `true` if it was there.
    pub(super) fn remove(&mut self, client: u32, room: u32, n: u32) -> bool {
        self.gaps.remove(&(client, room, n))
    }

    fn forget(&mut self, is_old: impl Fn(u32, u32) -> bool) {
        // Into a new set: one that much is taken out of and put into grows beyond what it holds.
        let gaps = std::mem::take(&mut self.gaps).into_iter();
        self.gaps = gaps.filter(|&(_, room, n)| !is_old(room, n)).collect();
    }
}

impl Ledger {
    /// Ends the generation when its time is over.
    pub(super) fn forget(&mut self, now: Timestamp) {
        if now < self.generation_ends {
            return;
        }
        self.generation_ends = now + self.rules.remember;
        let needed = self.needed();
        for (room, needed) in self.rooms.iter_mut().zip(needed) {
            room.forget(&needed);
        }
        let rooms = &self.rooms;
        self.finals.forget(|room, n| rooms[room as usize].is_old(n));
    }

    /// For each room, the numbers of which somebody still has to know what became of them.
    fn needed(&self) -> Vec<Intervals> {
        let mut needed = vec![Vec::new(); self.rooms.len()];
        for client in (0..self.people.clients()).filter(|&client| self.in_span(client)) {
            for (track, room) in self.tracks_of(client).zip(self.people.rooms_of(client)) {
                needed[room as usize].extend(self.tracks[track].needed());
            }
        }
        for closing in &self.closings {
            for (room, track, end) in &closing.tracks {
                let too_late = self.first_too_late(closing, *room, track);
                let needed = &mut needed[*room as usize];
                needed.extend(track.needed());
                // With the first one after the span: its record says how many are owed before it.
                needed.push((too_late.unwrap_or(*end).min(track.high).min(*end), end + 1));
            }
        }
        needed.into_iter().map(Intervals::from_iter).collect()
    }

    /// The first event that the span is not owed because it was acknowledged too shortly before its end.
    fn first_too_late(&self, closing: &Closing, room: u32, track: &Track) -> Option<u32> {
        let mut records = self.rooms[room as usize].from(track.first);
        records.find(|(_, record)| record.is_owed() && record.acked >= closing.acked_before).map(|(n, _)| n)
    }
}
