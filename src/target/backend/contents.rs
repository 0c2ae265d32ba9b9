//! What is stored, asked of the store itself: no pod, no token, no page. For those who judge a run from outside.

use std::sync::Arc;

use super::super::event::Event;
use super::super::page::SyncQuery;
use super::Backend;

/// What one participant may still be shown, in order of position.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// By sync.
    pub sync: Vec<Arc<Event>>,
    /// By the history of its rooms, one room after the other.
    pub history: Vec<Arc<Event>>,
}

impl Backend {
    /// What sync and history would show to this participant if nothing failed on the way; nothing if it never
    /// registered.
    pub fn contents(&self, tenant: &str, username: &str) -> Contents {
        let Some(who) = self.registry.find_participant(tenant, username) else { return Contents::default() };
        let mut sync: Vec<Arc<Event>> = Vec::new();
        let mut since = 0;
        loop {
            let page = self.page(who, since, SyncQuery::LIMIT_MAX);
            let over = page.events.is_empty() || !page.has_more;
            since = page.next_cursor;
            sync.extend(page.events);
            if over {
                break;
            }
        }
        let participant = self.registry.participant(who);
        let history = participant.memberships.iter().flat_map(|membership| {
            let positions = self.registry.room(membership.room).positions.iter().copied();
            let shown: Vec<_> =
                positions.filter(|&position| participant.sees(membership, position)).collect();
            self.events_at(participant, &shown)
        });
        Contents { history: history.collect(), sync }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::config::{Config, PlantedKind};
    use super::super::tests_support::*;
    use super::*;

    #[test]
    fn the_store_shows_each_what_it_may_see_and_hides_what_a_fault_hides() {
        let mut backend = Backend::new(&Config::with_fault(PlantedKind::lose(2, 0, 1, 1, true), None));
        backend.begin_fault(at(0), 0).expect("ours");
        let room = room_of(&mut backend, &["anna", "ws-000002"]);
        for n in 0..3 {
            publish(&mut backend, "anna", &room, n).expect("a member");
        }
        let shown = |name: &str| {
            let contents = backend.contents("acme", name);
            let numbers = |events: &[Arc<Event>]| -> Vec<u32> {
                events.iter().filter_map(|event| Some(event.content.mark()?.coordinates()?.1)).collect()
            };
            (numbers(&contents.sync), numbers(&contents.history))
        };
        assert_eq!(shown("anna"), (vec![0, 1, 2], vec![0, 1, 2]));
        assert_eq!(shown("ws-000002"), (vec![0, 2], vec![0, 2]));
        assert_eq!(shown("nobody"), (vec![], vec![]));
    }
}
