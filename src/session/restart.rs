//! The client's process dies and is started again (protocol.md, section 7: "persist `last_stream_position` somewhere
//! durable, and query sync from it first after a restart").
//!
//! Everything that the process knew is gone with it: the position, the failures in a row, the connection, a bridge under
//! way, what it was waiting for. What is started again is a new client in all but three things (ours): it begins at the
//! position that its store has; its tokens are its identity's, which outlives it; and the random numbers go on, since
//! they are the harness's and not the client's. The plan goes on as well: what it orders in between is obeyed by the
//! new process.

use super::{Cause, Observation, Session, State, TokenLife};
use crate::time::Timestamp;
use crate::wire::Position;

impl Session {
    /// The process dies. What was open ends without a word to the other side; who watches is told.
    pub(super) fn die(&mut self, now: Timestamp) {
        if self.is_up() {
            self.halt(now, Cause::Killed, State::Dead { wanted: true });
        }
    }

    /// The process is started again, and nothing but `position` is left of the last one.
    pub(super) fn revive(&mut self, now: Timestamp, position: Position, token: TokenLife) {
        let State::Dead { wanted } = self.state else { return };
        let mut next = Self::new(self.settings.clone(), position, token, self.random.clone());
        // An answer to the last process's request must not pass for one to this one's.
        next.sync_id = self.sync_id;
        std::mem::swap(&mut next.outbox, &mut self.outbox);
        *self = next;
        self.observe(now, Observation::Restarted { position });
        if wanted {
            self.start(now);
        }
    }
}
