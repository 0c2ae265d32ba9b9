//! What the publishers know of each event, per room, for a bounded window.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::intervals::Intervals;
use crate::time::Timestamp;
use crate::wire::Position;

/// Whether an event is owed to those who were there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// The publish is on its way.
    #[default]
    Pending,
    /// Its outcome is unknown and nobody has seen it so far: to be looked up.
    Doubtful,
    /// Acknowledged, or unknown and seen.
    Owed,
    /// Rejected or never sent: whoever gets it got something unexpected.
    Refused,
    /// Unknown, and the look-up did not find it (or could not tell). If it is seen all the same, it is owed.
    Absent,
}

/// One event.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) state: State,
    /// Two ids or positions have been seen for it.
    pub(super) double: bool,
    /// First byte of its first attempt; `MAX`: none so far.
    pub(super) sent: Timestamp,
    /// The acknowledgement, or what stands for it; `MAX`: none so far.
    pub(super) acked: Timestamp,
    /// First sighting by any client; `MAX`: none so far.
    pub(super) seen: Timestamp,
    /// 0: not known.
    pub(super) position: Position,
    /// Highest position that any client of the tenant held when it was first sent.
    pub(super) floor: Position,
    /// Hash of its id; 0: not known.
    pub(super) id: u64,
    /// Owed events of the room with lower numbers, once all of those have an end.
    owed_before: u32,
    /// First arrivals counted while the publish was on its way.
    pub(super) live: u32,
    pub(super) bridged: u32,
    /// From the send reply.
    pub(super) event_id: Option<Box<str>>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            state: State::Pending,
            double: false,
            sent: Timestamp::MAX,
            acked: Timestamp::MAX,
            seen: Timestamp::MAX,
            position: 0,
            floor: 0,
            id: 0,
            owed_before: 0,
            live: 0,
            bridged: 0,
            event_id: None,
        }
    }
}

impl Record {
    pub(super) fn is_final(&self) -> bool {
        matches!(self.state, State::Owed | State::Refused | State::Absent)
    }

    pub(super) fn is_owed(&self) -> bool {
        self.state == State::Owed
    }

    /// Whether this id and position are not those known; notes it once.
    pub(super) fn clashes(&mut self, id: u64, position: Position) -> bool {
        let other_id = id != 0 && self.id != 0 && id != self.id;
        let other_position = position != 0 && self.position != 0 && position != self.position;
        let first = (other_id || other_position) && !self.double;
        self.double |= first;
        first
    }
}

/// The events of one room.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Number of the first of `records`.
    base: u32,
    records: VecDeque<Record>,
    /// Older ones that somebody still waits for.
    kept: BTreeMap<u32, Record>,
    /// All events below it have an end.
    ended: u32,
    /// Owed events below `ended`.
    owed: u32,
    /// All events below it have an end, and the lateness bound has passed since their acknowledgement.
    settled: u32,
    /// What had settled when the last generation ended.
    settled_before: u32,
    /// What had settled a generation before that: only what somebody still waits for is remembered of it.
    old: u32,
}

impl Room {
    /// Event `n` is due; its record begins.
    pub(super) fn issue(&mut self, n: u32) {
        while self.issued() <= n {
            self.records.push_back(Record::default());
        }
    }

    /// Events issued so far.
    pub(super) fn issued(&self) -> u32 {
        self.base + self.records.len() as u32
    }

    /// Everything below it is settled.
    pub(super) fn settled(&self) -> u32 {
        self.settled
    }

    /// Whether `n` has been forgotten.
    pub(super) fn has_forgotten(&self, n: u32) -> bool {
        n < self.base && !self.kept.contains_key(&n)
    }

    /// Whether `n` has been forgotten, or is remembered only for the sake of those who still wait for it.
    pub(super) fn is_old(&self, n: u32) -> bool {
        n < self.old.max(self.base)
    }

    /// The record, unless it has not been issued or has been forgotten.
    pub(super) fn get(&self, n: u32) -> Option<&Record> {
        match n.checked_sub(self.base) {
            Some(at) => self.records.get(at as usize),
            None => self.kept.get(&n),
        }
    }

    /// The same, to change it.
    pub(super) fn get_mut(&mut self, n: u32) -> Option<&mut Record> {
        match n.checked_sub(self.base) {
            Some(at) => self.records.get_mut(at as usize),
            None => self.kept.get_mut(&n),
        }
    }

    /// The records from `from` on.
    pub(super) fn from(&self, from: u32) -> impl Iterator<Item = (u32, &Record)> {
        let skip = from.saturating_sub(self.base).min(self.records.len() as u32);
        let kept = self.kept.range(from..).map(|(&n, record)| (n, record));
        kept.chain((self.base + skip..self.issued()).zip(self.records.range(skip as usize..)))
    }

    /// Owed events with numbers below `n`; `None`: not known yet, or no longer.
    pub(super) fn owed_before(&self, n: u32) -> Option<u32> {
        if n == self.ended {
            Some(self.owed)
        } else if n < self.ended {
            Some(self.get(n)?.owed_before)
        } else {
            None
        }
    }

    /// An event that counted as owed to nobody is owed after all: the sums over what lies behind it change.
    pub(super) fn owed_after_all(&mut self, now: Timestamp, n: u32) {
        let Some(record) = self.get_mut(n) else { return };
        (record.state, record.acked) = (State::Owed, now);
        if n < self.ended {
            self.owed += 1;
            let from = (n + 1).saturating_sub(self.base) as usize;
            let ended = self.records.range_mut(from..(self.ended - self.base) as usize);
            let kept = self.kept.range_mut(n + 1..).map(|(_, record)| record);
            kept.chain(ended).for_each(|record| record.owed_before += 1);
        }
    }

    /// Forgets what had settled a generation ago and is not needed.
    pub(super) fn forget(&mut self, needed: &Intervals) {
        self.old = self.settled_before;
        self.kept.retain(|&n, _| needed.contains(n));
        while self.base < self.old
            && let Some(record) = self.records.pop_front()
        {
            if needed.contains(self.base) {
                self.kept.insert(self.base, record);
            }
            self.base += 1;
        }
        // What a time with more traffic, or with somebody to wait for, has needed is given back.
        if self.records.capacity() > self.records.len() * 4 {
            self.records.shrink_to(self.records.len() * 2);
        }
        self.settled_before = self.settled;
    }

    /// Moves the marks on and forgets what is older than `window` events; at most what has settled before.
    pub(super) fn advance(&mut self, now: Timestamp, bound: Duration, window: usize) {
        while self.kept.len() + self.records.len() > window
            && (!self.kept.is_empty() || self.base < self.settled)
        {
            if self.kept.pop_first().is_none() {
                self.records.pop_front();
                self.base += 1;
            }
        }
        while let Some(record) = self.records.get_mut((self.ended - self.base) as usize) {
            if !record.is_final() {
                break;
            }
            record.owed_before = self.owed;
            self.owed += u32::from(record.is_owed());
            self.ended += 1;
        }
        while self.settled < self.ended {
            let record = &self.records[(self.settled - self.base) as usize];
            if record.is_owed() && record.acked + bound >= now {
                break;
            }
            self.settled += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_counts_owed_events_and_the_window_is_kept() {
        let mut room = Room::default();
        for n in 0..100 {
            room.issue(n);
            let record = room.get_mut(n).unwrap();
            record.state = if n % 4 == 0 { State::Refused } else { State::Owed };
            record.acked = Timestamp::from_secs(u64::from(n));
        }
        room.get_mut(90).unwrap().state = State::Pending;
        room.advance(Timestamp::from_secs(60), Duration::from_secs(5), 10);
        assert_eq!(room.owed_before(8), Some(6));
        assert_eq!(room.owed_before(90), Some(67));
        assert_eq!(room.owed_before(91), None);
        assert_eq!(room.settled(), 55);
        room.advance(Timestamp::from_secs(60), Duration::from_secs(5), 10);
        assert!(room.get(54).is_none() && room.get(55).is_some());
    }

    #[test]
    fn what_is_owed_after_all_counts_for_what_lies_behind_it() {
        let mut room = Room::default();
        for n in 0..10 {
            room.issue(n);
            room.get_mut(n).unwrap().state = if n == 4 { State::Absent } else { State::Owed };
        }
        room.advance(Timestamp::from_secs(60), Duration::from_secs(5), 100);
        let before = |room: &Room| (0..=10).map(|n| room.owed_before(n).unwrap()).collect::<Vec<_>>();
        assert_eq!(before(&room), [0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9]);
        room.owed_after_all(Timestamp::from_secs(61), 4);
        assert_eq!(before(&room), (0..=10).collect::<Vec<_>>());
    }

    /// So many more events, each owed, acknowledged at 1 s.
    fn more(room: &mut Room, events: u32) {
        for n in room.issued()..room.issued() + events {
            room.issue(n);
            let record = room.get_mut(n).unwrap();
            (record.state, record.acked) = (State::Owed, Timestamp::from_secs(1));
        }
    }

    #[test]
    fn a_room_that_has_forgotten_its_beginning_goes_on_counting() {
        let (mut room, bound) = (Room::default(), Duration::from_secs(5));
        let advance = |room: &mut Room, secs| room.advance(Timestamp::from_secs(secs), bound, 10);
        more(&mut room, 30);
        advance(&mut room, 6);
        assert_eq!((room.settled(), room.owed_before(30)), (0, Some(30)), "not before the bound has passed");
        advance(&mut room, 7);
        assert_eq!((room.settled(), room.get(0).is_some()), (30, true), "settled in the end of this look");
        advance(&mut room, 8);
        assert_eq!((room.get(19).is_some(), room.get(20).is_some(), room.issued()), (false, true, 30));
        assert_eq!((room.owed_before(19), room.owed_before(20)), (None, Some(20)));

        more(&mut room, 5);
        room.get_mut(31).unwrap().state = State::Absent;
        room.issue(35);
        advance(&mut room, 9);
        assert_eq!((room.settled(), room.owed_before(35), room.owed_before(36)), (35, Some(34), None));
        room.owed_after_all(Timestamp::from_secs(9), 31);
        let before: Vec<_> = (30..36).map(|n| room.owed_before(n)).collect();
        assert_eq!(before, [30, 31, 32, 33, 34, 35].map(Some));
        assert_eq!(room.from(33).map(|(n, _)| n).collect::<Vec<_>>(), [33, 34, 35]);
        assert_eq!(room.from(0).map(|(n, _)| n).next(), Some(26), "ten and those that are not settled");
        assert_eq!(room.from(99).count(), 0);
    }
}
