//! Processes that die and are started again, and the store that they are started from: in virtual time a flush takes
//! none, and what it holds is what [`Positions`](crate::positions::Positions) says.

use super::World;
use crate::session::Input;
use crate::worker::conductor::{Event, FlushCost};

impl World {
    /// The next flush of everybody's positions.
    pub(super) fn flush(&mut self) {
        if let Some(flush) = self.positions.take(self.now) {
            self.positions.written(&flush);
            for &(client, position) in &flush {
                self.trace_stored(client, position);
            }
            self.conduct(Event::Flushed { positions: &flush, cost: FlushCost::default() });
        }
    }

    /// The client's process dies; says whether there was one.
    pub(super) fn kill(&mut self, client: u32) -> bool {
        let up = self.clients[client as usize].is_up();
        if up {
            self.positions.died(client);
            self.feed(client, Input::Killed);
        }
        up
    }

    /// It is started again, with what its store has.
    pub(super) fn revive(&mut self, client: u32) {
        let start = self.clients[client as usize].start;
        let position = self.positions.stored(client).unwrap_or(start);
        let token = self.identities[client as usize].life();
        self.feed(client, Input::Revived { position, token });
        self.positions.starts(client, self.clients[client as usize].position());
    }
}
