//! Durable positions: what each client's `last_stream_position` is, and how much of that its store has (pure).
//!
//! The documented client persists its position somewhere durable and syncs from there after a restart (protocol.md,
//! section 7). How often is not documented; here it is `client.flush_interval`, for all clients of a worker together
//! (ours). Whoever flushes asks [`Positions::take`] when [`Positions::due`] has come, makes durable what it is given,
//! and says [`Positions::written`] (or [`Positions::failed`]). Over sockets that is a file on a thread of its own
//! (`driver::store`, in the format of [`image`]), in virtual time it is done in no time.
//!
//! # Rules (ours)
//!
//! - A stored position lags behind what the client has consumed, or is equal to it. It never runs ahead: what is handed
//!   on for writing is what the session held at that moment, and it becomes the stored one when it is durable.
//! - It never goes back, and a client is started again at it. (Unless the file was torn meanwhile: then it is started at
//!   the state before. What it had consumed beyond that stays stored, and it is not stored anew before it is passed.)
//! - A process that has died stores nothing: from [`Positions::died`] to [`Positions::starts`] its position stands still,
//!   but for what was on its way to the disk already.
//! - One flush at a time. An interval that ends while the disk is still busy is skipped, and counted.
//! - A client without a stored position is one that was never flushed: it starts as a new client does.
//! - A store belongs to one run. Another run provisions anew, and its clients start at its own markers.

pub mod image;

use std::time::Duration;

use crate::time::Timestamp;
use crate::wire::Position;

/// The positions of one stripe's clients, and of each how much is durable.
#[derive(Debug)]
pub struct Positions {
    interval: Duration,
    due: Timestamp,
    clients: Vec<Client>,
    /// Clients whose position is ahead of what was handed on.
    ahead: Vec<u32>,
    /// A flush is under way.
    writing: bool,
    skipped: u64,
}

/// What is to become durable: clients with their positions, each client once.
pub type Flush = Vec<(u32, Position)>;

#[derive(Clone, Copy, Debug, Default)]
struct Client {
    /// What its process holds.
    held: Position,
    /// What is durable; 0: nothing.
    stored: Position,
    /// It is among those that are ahead.
    ahead: bool,
    dead: bool,
}

impl Positions {
    /// Nobody holds anything, and the first flush is due one interval after `now`.
    pub fn new(clients: u32, interval: Duration, now: Timestamp) -> Self {
        Self {
            interval,
            due: now + interval,
            clients: vec![Client::default(); clients as usize],
            ahead: Vec::new(),
            writing: false,
            skipped: 0,
        }
    }

    /// The client has consumed everything up to here.
    pub fn holds(&mut self, number: u32, position: Position) {
        let client = &mut self.clients[number as usize];
        if position <= client.held || client.dead {
            return;
        }
        client.held = position;
        if !std::mem::replace(&mut client.ahead, true) {
            self.ahead.push(number);
        }
    }

    /// Its process is dead: what was not handed on by now is lost.
    pub fn died(&mut self, number: u32) {
        let client = &mut self.clients[number as usize];
        (client.held, client.dead) = (client.stored, true);
    }

    /// A process is there (again), and holds this.
    pub fn starts(&mut self, number: u32, position: Position) {
        self.clients[number as usize].dead = false;
        self.holds(number, position);
    }

    /// When the next flush is due.
    pub fn due(&self) -> Timestamp {
        self.due
    }

    /// What is to be written now, before its time as well. `None`: nothing has changed, or the last flush is still under
    /// way.
    pub fn take(&mut self, now: Timestamp) -> Option<Flush> {
        let mut ended = 0;
        while self.due <= now {
            self.due = self.due + self.interval;
            ended += 1;
        }
        // Of the intervals that have ended since the last flush, this one is flushed.
        self.skipped += if self.writing { ended } else { u64::saturating_sub(ended, 1) };
        if self.writing {
            return None;
        }
        let mut flush = Flush::with_capacity(self.ahead.len());
        for number in std::mem::take(&mut self.ahead) {
            let client = &mut self.clients[number as usize];
            client.ahead = false;
            if client.held > client.stored {
                flush.push((number, client.held));
            }
        }
        self.writing = !flush.is_empty();
        self.writing.then_some(flush)
    }

    /// The flush that was under way is durable.
    pub fn written(&mut self, flush: &[(u32, Position)]) {
        self.writing = false;
        for &(number, position) in flush {
            let client = &mut self.clients[number as usize];
            client.stored = client.stored.max(position);
        }
    }

    /// The flush that was under way did not become durable: the next one has it again.
    pub fn failed(&mut self, flush: &[(u32, Position)]) {
        self.writing = false;
        for &(number, _) in flush {
            if !std::mem::replace(&mut self.clients[number as usize].ahead, true) {
                self.ahead.push(number);
            }
        }
    }

    /// What the store has of this client.
    pub fn stored(&self, client: u32) -> Option<Position> {
        Some(self.clients[client as usize].stored).filter(|&position| position > 0)
    }

    /// Intervals that ended without a flush of their own, because the last one was still under way.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn positions(clients: u32) -> Positions {
        Positions::new(clients, Duration::from_secs(1), Timestamp::ZERO)
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    #[test]
    fn a_flush_holds_what_has_moved_since_the_last_one() {
        let mut positions = positions(3);
        positions.holds(2, 7);
        positions.holds(0, 5);
        positions.holds(2, 9);
        assert_eq!((positions.due(), positions.stored(2)), (at(1), None));
        let flush = positions.take(at(1)).expect("something has moved");
        assert_eq!(flush, [(2, 9), (0, 5)]);
        assert_eq!((positions.due(), positions.stored(2)), (at(2), None));
        positions.written(&flush);
        assert_eq!([0, 1, 2].map(|client| positions.stored(client)), [Some(5), None, Some(9)]);
        assert_eq!(positions.take(at(2)), None);
        assert_eq!(positions.skipped(), 0);
    }

    #[test]
    fn a_flush_that_is_due_while_the_disk_is_busy_is_skipped_and_what_it_missed_comes_later() {
        let mut positions = positions(1);
        positions.holds(0, 5);
        let flush = positions.take(at(1)).expect("the first");
        positions.holds(0, 6);
        assert_eq!((positions.take(at(2)), positions.skipped()), (None, 1));
        positions.failed(&flush);
        assert_eq!(positions.stored(0), None);
        let flush = positions.take(at(5)).expect("again, and more");
        assert_eq!((flush.as_slice(), positions.due()), (&[(0, 6)][..], at(6)));
        positions.written(&flush);
        assert_eq!(positions.stored(0), Some(6));
    }

    #[test]
    fn a_process_that_died_has_what_was_on_its_way_and_no_more() {
        let mut positions = positions(1);
        positions.holds(0, 5);
        let flush = positions.take(at(1)).expect("something");
        positions.holds(0, 8);
        positions.died(0);
        positions.holds(0, 9);
        positions.written(&flush);
        assert_eq!((positions.take(at(2)), positions.stored(0)), (None, Some(5)));
        positions.starts(0, 5);
        assert_eq!(positions.take(at(3)), None);
        positions.holds(0, 6);
        assert_eq!(positions.take(at(4)), Some(vec![(0, 6)]));
    }

    proptest! {
        /// Against the plainest model of it, whatever happens in whatever order.
        #[test]
        fn what_is_stored_never_runs_ahead_and_never_goes_back(
            steps in prop::collection::vec((0u8..6, 0u32..3, 1u64..20), 0..200),
        ) {
            let mut positions = positions(3);
            let (mut consumed, mut alive, mut under_way) = ([0u64; 3], [true; 3], None::<Flush>);
            for (second, (verb, client, by)) in (1..).zip(steps) {
                let index = client as usize;
                let before = [0, 1, 2].map(|client| positions.stored(client));
                match verb {
                    0 | 1 if alive[index] => {
                        consumed[index] += by;
                        positions.holds(client, consumed[index]);
                    }
                    2 => if let Some(flush) = positions.take(at(second)) {
                        prop_assert!(under_way.is_none());
                        for &(client, position) in &flush {
                            prop_assert!(alive[client as usize] && position == consumed[client as usize]);
                        }
                        under_way = Some(flush);
                    },
                    3 => if let Some(flush) = under_way.take() {
                        if by % 4 == 0 { positions.failed(&flush) } else { positions.written(&flush) }
                    },
                    4 => {
                        positions.died(client);
                        alive[index] = false;
                    }
                    // It is loaded when everything before it has been written.
                    5 if !alive[index] && under_way.is_none() => {
                        consumed[index] = positions.stored(client).unwrap_or(0);
                        positions.starts(client, consumed[index]);
                        alive[index] = true;
                    }
                    _ => {}
                }
                for client in 0..3 {
                    let stored = positions.stored(client);
                    prop_assert!(stored >= before[client as usize]);
                    if alive[client as usize] {
                        prop_assert!(stored.unwrap_or(0) <= consumed[client as usize]);
                    }
                }
            }
        }
    }
}
