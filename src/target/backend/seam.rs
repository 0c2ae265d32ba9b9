//! What a client that bridges before it connects passes over.

use crate::wire::Position;

use super::super::event::Mark;
use super::super::registry::ParticipantIx;
use super::Backend;

/// Positions kept of one participant: more than a sane client ever passes over between two reconnects (ours).
const KEPT: usize = 10_000;

impl Backend {
    /// Hello: from here on the stream brings everything. What lies between here and the last page of sync is in neither.
    pub(super) fn close_seam(&mut self, who: ParticipantIx) {
        let person = self.registry.participant(who);
        if !person.bridged {
            // Somebody who only listens, or signs in with a borrowed token, passes over nothing.
            return;
        }
        let log = &self.registry.tenant(person.tenant).log;
        let is_ours = |position: &Position| {
            log.get(*position).is_some_and(|event| event.content.mark().and_then(Mark::coordinates).is_some())
        };
        // What it was told that it cannot have is no seam.
        let known = person.cursor.max(person.gone);
        let mut seam: Vec<Position> = self.visible_after(person, known).filter(is_ours).take(KEPT).collect();
        self.in_seam += seam.len() as u64;
        let person = self.registry.participant_mut(who);
        person.bridged = false;
        person.seam.append(&mut seam);
        person.seam.truncate(KEPT);
    }

    /// A client without a stream asks for everything above `since`: it has not passed over what lies there after all.
    /// One that has a stream is asking for an audit.
    pub(super) fn reopen_seam(&mut self, who: ParticipantIx, since: Position) {
        let person = self.registry.participant_mut(who);
        if person.connections.is_empty() {
            let asked = person.seam.iter().filter(|&&position| position > since).count();
            self.in_seam = self.in_seam.saturating_sub(asked as u64);
            // What lies below is settled.
            person.seam.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::connection::ConnId;
    use super::super::tests_support::*;

    #[test]
    fn what_comes_between_the_last_page_and_the_hello_is_in_the_seam() {
        let mut backend = small();
        let room = room_of(&mut backend, &["anna", "ben"]);
        let seen = publish(&mut backend, "anna", &room, 0).expect("a member").position;
        let since = page(&mut backend, "ben", 0, 10).next_cursor;
        assert_eq!(since, seen);
        publish(&mut backend, "anna", &room, 1).expect("a member");
        open(&mut backend, "ben", 1, 7);
        assert_eq!(backend.truth().in_seam, 1);
        publish(&mut backend, "anna", &room, 2).expect("a member");
        assert_eq!(backend.truth().in_seam, 1, "that is on the stream");
        page(&mut backend, "ben", 0, 10);
        assert_eq!(backend.truth().in_seam, 1, "an audit changes nothing");
        backend.gone(at(1), ConnId(1));
        page(&mut backend, "ben", seen, 10);
        assert_eq!(backend.truth().in_seam, 0, "it has asked for it again");
        open(&mut backend, "ben", 2, 8);
        assert_eq!(backend.truth().in_seam, 0);
    }

    #[test]
    fn who_connects_without_sync_passes_over_nothing() {
        let mut backend = small();
        let room = room_of(&mut backend, &["anna", "ben"]);
        publish(&mut backend, "anna", &room, 0).expect("a member");
        open(&mut backend, "ben", 1, 7);
        assert_eq!(backend.truth().in_seam, 0);
    }
}
