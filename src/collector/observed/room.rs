//! The ids of one room, numbered as they were first seen, with a mark for each member.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::time::Timestamp;
use crate::wire::Position;

/// One id.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// [`crate::wire::id_hash`] of it.
    pub(super) id: u64,
    /// 0: not known.
    pub(super) position: Position,
    /// First seen, by whomever; zero when only the survey showed it.
    pub(super) seen: Timestamp,
    /// By the member's place in the room; empty when everybody has had it for a while.
    pub(super) marks: Box<[Mark]>,
    /// Members that are owed it and have not got it.
    pub(super) owing: u32,
}

/// What one member has had of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    flags: u8,
    /// The cycle whose stream brought it last; 0: none.
    pub(super) stream: u16,
    /// The cycle in which sync brought it last; 0: none.
    pub(super) sync: u16,
    /// The bridge or poll that brought it last; 0: none.
    pub(super) bridge: u16,
}

impl Mark {
    pub(super) const OWED: u8 = 1;
    pub(super) const ARRIVED: u8 = 2;
    /// Final: it was owed and will not be waited for any more.
    pub(super) const MISSED: u8 = 4;

    pub(super) fn new(owed: bool) -> Self {
        Self { flags: if owed { Self::OWED } else { 0 }, ..Self::default() }
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(super) fn set(&mut self, flag: u8) {
        self.flags |= flag;
    }

    pub(super) fn clear(&mut self, flag: u8) {
        self.flags &= !flag;
    }

    /// Owed, not there, and not given up.
    pub(super) fn is_open(self) -> bool {
        self.flags & (Self::OWED | Self::ARRIVED | Self::MISSED) == Self::OWED
    }

    /// It has come.
    pub(super) fn note(&mut self, on_stream: bool, cycle: u16, bridge: u16) {
        self.flags |= Self::ARRIVED;
        if on_stream {
            self.stream = cycle;
        } else {
            (self.sync, self.bridge) = (cycle, bridge);
        }
    }
}

/// One room.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Number of the first of `events`.
    base: u32,
    events: VecDeque<Event>,
    numbers: HashMap<u64, u32>,
    /// Everything with a position up to here may have been forgotten.
    forgotten: Position,
    /// The survey has read its history up to here.
    pub(super) surveyed: Position,
}

impl Room {
    pub(super) fn find(&self, id: u64) -> Option<u32> {
        self.numbers.get(&id).copied()
    }

    pub(super) fn has_forgotten(&self, position: Position) -> bool {
        position > 0 && position <= self.forgotten
    }

    pub(super) fn get_mut(&mut self, n: u32) -> Option<&mut Event> {
        self.events.get_mut(n.checked_sub(self.base)? as usize)
    }

    /// Adds an event, and says its number.
    pub(super) fn add(&mut self, event: Event) -> u32 {
        let n = self.base + self.events.len() as u32;
        self.numbers.insert(event.id, n);
        self.events.push_back(event);
        n
    }

    /// Events that some member is owed and has not got.
    pub(super) fn owing(&self) -> impl Iterator<Item = (u32, &Event)> {
        (self.base..).zip(&self.events).filter(|(_, event)| event.owing > 0)
    }

    /// Lets go of the oldest event, if everybody has it, the time for repeats is over and the survey has passed it; or if
    /// there are more than `window`. An event that owes nothing any more is made small on the way.
    pub(super) fn forget(
        &mut self,
        now: Timestamp,
        remember: Duration,
        window: usize,
    ) -> Option<(u32, Event)> {
        let old = |event: &Event| event.owing == 0 && event.seen + remember < now;
        for event in self.events.iter_mut().filter(|event| !event.marks.is_empty() && old(event)) {
            event.marks = Box::default();
        }
        let full = self.events.len() > window;
        let surveyed = self.surveyed;
        let event = self.events.pop_front_if(|event| full || (old(event) && event.position <= surveyed))?;
        self.numbers.remove(&event.id);
        self.forgotten = self.forgotten.max(event.position);
        self.base += 1;
        Some((self.base - 1, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: u64, secs: u64, owing: u32) -> Event {
        let marks = vec![Mark::new(owing > 0); 2].into();
        Event { id, position: id * 10, seen: Timestamp::from_secs(secs), marks, owing }
    }

    #[test]
    fn what_nobody_waits_for_is_forgotten_once_the_survey_has_passed_it() {
        let mut room = Room::default();
        for (id, owing) in [(1, 0), (2, 1), (3, 0)] {
            room.add(event(id, 1, owing));
        }
        let (later, remember) = (Timestamp::from_secs(60), Duration::from_secs(40));
        assert!(room.forget(Timestamp::from_secs(41), remember, 10).is_none(), "too early");
        assert!(room.forget(later, remember, 10).is_none(), "the survey has not passed it");
        room.surveyed = 20;
        assert_eq!(room.forget(later, remember, 10).map(|(n, event)| (n, event.id)), Some((0, 1)));
        assert!(room.forget(later, remember, 10).is_none(), "somebody waits for it");
        assert_eq!((room.find(1), room.find(2), room.find(3)), (None, Some(1), Some(2)));
        assert!(room.get_mut(2).is_some_and(|event| event.marks.is_empty()), "small, but known");
        assert_eq!(
            (room.has_forgotten(10), room.has_forgotten(11), room.has_forgotten(0)),
            (true, false, false)
        );
        assert_eq!(room.owing().map(|(n, _)| n).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_full_window_lets_the_oldest_go_with_what_it_owes() {
        let mut room = Room::default();
        for id in 1..=3 {
            room.add(event(id, 1, 2));
        }
        let gone = room.forget(Timestamp::from_secs(2), Duration::from_secs(40), 2);
        assert_eq!(gone.map(|(n, event)| (n, event.owing)), Some((0, 2)));
        assert!(room.forget(Timestamp::from_secs(2), Duration::from_secs(40), 2).is_none());
    }
}
