//! The timetable, block by block, merged over rooms into one queue in order of due time.

use std::collections::VecDeque;
use std::time::Duration;

use crate::plan::{Plan, Visit, timetable::BLOCK};

/// One event of the timetable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// Plan time.
    pub at: Duration,
    /// Room.
    pub room: u32,
    /// Sequence number in the room.
    pub n: u32,
}

/// The merged queue; it holds the events of about one block, whatever the length of the run.
#[derive(Debug)]
pub struct Queue {
    /// Blocks `0..loaded` have been drawn.
    loaded: u32,
    rooms: Vec<Room>,
    due: VecDeque<Due>,
}

#[derive(Debug, Default)]
struct Room {
    visit: Visit,
    /// First sequence number and due times of the last two blocks drawn.
    recent_first_n: u32,
    recent: Vec<Duration>,
    last_len: usize,
}

impl Queue {
    /// At the beginning of the plan.
    pub fn new(plan: &Plan) -> Self {
        let rooms = (0..plan.population.rooms()).map(|_| Room::default()).collect();
        Self { loaded: 0, rooms, due: VecDeque::new() }
    }

    /// Draws every block that begins at or before `at`.
    pub fn load(&mut self, plan: &Plan, at: Duration) {
        while self.loaded < plan.timetable.blocks() && BLOCK * self.loaded <= at {
            let mut block = Vec::new();
            for (number, room) in (0..).zip(&mut self.rooms) {
                let first_n = room.visit.first_n;
                room.draw(plan, number);
                if plan.shard.has_room(number) {
                    let times = &room.recent[room.recent.len() - room.last_len..];
                    block.extend((first_n..).zip(times).map(|(n, &at)| Due { at, room: number, n }));
                }
            }
            block.sort_unstable();
            self.due.extend(block);
            self.loaded += 1;
        }
    }

    /// The next event, without taking it.
    pub fn peek(&self) -> Option<&Due> {
        self.due.front()
    }

    /// Takes the next event.
    pub fn pop(&mut self) -> Option<Due> {
        self.due.pop_front()
    }

    /// Plan time at which there is something to do: an event is due or a block begins.
    pub fn next_wake(&self, plan: &Plan) -> Option<Duration> {
        let block = (self.loaded < plan.timetable.blocks()).then(|| BLOCK * self.loaded);
        match (self.peek().map(|due| due.at), block) {
            (Some(due), Some(block)) => Some(due.min(block)),
            (due, block) => due.or(block),
        }
    }

    /// Every block has been drawn and every event taken.
    pub fn is_over(&self, plan: &Plan) -> bool {
        self.loaded >= plan.timetable.blocks() && self.due.is_empty()
    }

    /// The sequence number of the room's first event that is due at or after `at`, which must not lie more than a
    /// block before the last block drawn. Draws the blocks it needs.
    pub fn first_n_from(&mut self, plan: &Plan, room: u32, at: Duration) -> u32 {
        self.load(plan, at);
        let room = &self.rooms[room as usize];
        room.recent_first_n + room.recent.partition_point(|&due| due < at) as u32
    }

    /// Drops what is still queued (a run that is cut short) and draws no more.
    pub fn stop(&mut self, plan: &Plan) {
        self.due.clear();
        self.loaded = plan.timetable.blocks();
    }
}

impl Room {
    fn draw(&mut self, plan: &Plan, number: u32) {
        let older = self.recent.len() - self.last_len;
        self.recent.drain(..older);
        self.recent_first_n += older as u32;
        self.last_len = 0;
        let before = self.recent.len();
        plan.timetable.walk(number, &mut self.visit, &mut self.recent);
        self.last_len = self.recent.len() - before;
    }
}
