//! What does not come: missed once nothing can bring it any more, undecided where a span ends with the client down.

use super::Observed;
use super::room::{Event, Mark};
use crate::collector::ledger::{Missed, Place, Word};
use crate::time::Timestamp;
use crate::wire::Position;

impl Observed {
    /// Settles what can be settled, and forgets what is settled for good.
    pub fn sweep(&mut self, now: Timestamp) {
        for tenant in &mut self.tenants {
            tenant.highs.push_back((now, tenant.high));
            while let Some((_, high)) = tenant.highs.pop_front_if(|&mut (at, _)| at + self.bound < now) {
                tenant.settled = tenant.settled.max(high);
            }
        }
        for (client, state) in (0..).zip(&mut self.clients) {
            if let Some(span) = &mut state.span
                && span.above.is_none()
                && now >= span.owes_from
            {
                span.above = Some(self.tenants[self.people.tenant_of(client) as usize].high);
            }
        }
        for room in 0..self.people.rooms() {
            self.settle_passed(now, room);
            let (remember, window) = (self.remember, self.window);
            while let Some(event) = self.rooms[room as usize].forget(now, remember, window) {
                self.give_up(room, event);
            }
        }
    }

    /// What a ready client's stored position has passed, it can never ask for again.
    fn settle_passed(&mut self, now: Timestamp, room: u32) {
        let mut missed = Vec::new();
        for (n, event) in self.rooms[room as usize].owing() {
            if event.position == 0 || event.seen + self.bound >= now {
                continue;
            }
            for (client, mark) in self.people.members(room).zip(&event.marks) {
                let state = &self.clients[client as usize];
                if mark.is_open() && state.live && state.ready && state.stored >= event.position {
                    missed.push((client, n));
                }
            }
        }
        for (client, n) in missed {
            self.miss(client, room, n);
        }
    }

    /// The window is full: what its oldest event owes is settled without waiting any longer.
    fn give_up(&mut self, room: u32, (n, event): (u32, Event)) {
        for (client, mark) in self.people.members(room).zip(&event.marks) {
            if mark.is_open() {
                *self.refused.entry("observed_window").or_default() += 1;
                self.open -= 1;
                self.tell_missed(client, room, n, &event);
            }
        }
    }

    /// The run has ended: every span that is open ends here.
    pub fn end_spans(&mut self, now: Timestamp, by_harness: impl Fn(u32) -> bool) {
        self.sweep(now);
        self.closed = true;
        for client in 0..self.people.clients() {
            let tenant = self.people.tenant_of(client) as usize;
            let before = self.tenants[tenant].deliveries.undecided;
            self.end_span(now, client, self.clients[client as usize].live);
            if by_harness(client) {
                self.undecided_by_harness += self.tenants[tenant].deliveries.undecided - before;
            }
        }
    }

    /// What was first seen within the bound before the end is not owed; the rest is missed, or undecided at a client that
    /// was down.
    pub(super) fn end_span(&mut self, now: Timestamp, client: u32, connected: bool) {
        if self.clients[client as usize].span.take().is_none() {
            return;
        }
        let tenant = self.people.tenant_of(client) as usize;
        for room in self.people.rooms_of(client) {
            let Some(member) = self.people.member_index(client, room) else { continue };
            let open: Vec<(u32, bool)> = self.rooms[room as usize]
                .owing()
                .filter(|(_, event)| event.marks[member].is_open())
                .map(|(n, event)| (n, event.seen + self.bound > now))
                .collect();
            for (n, on_its_way) in open {
                if connected && !on_its_way {
                    self.miss(client, room, n);
                    continue;
                }
                let Some(event) = self.rooms[room as usize].get_mut(n) else { continue };
                event.marks[member].clear(Mark::OWED);
                event.owing -= 1;
                self.open -= 1;
                let deliveries = &mut self.tenants[tenant].deliveries;
                if on_its_way {
                    deliveries.expected -= 1;
                } else {
                    deliveries.undecided += 1;
                }
            }
        }
    }

    fn miss(&mut self, client: u32, room: u32, n: u32) {
        let Some(member) = self.people.member_index(client, room) else { return };
        let Some(event) = self.rooms[room as usize].get_mut(n) else { return };
        event.marks[member].set(Mark::MISSED);
        event.owing -= 1;
        self.open -= 1;
        let event = event.clone();
        self.tell_missed(client, room, n, &event);
    }

    fn tell_missed(&mut self, client: u32, room: u32, n: u32, event: &Event) {
        let deliveries = &mut self.tenants[self.people.tenant_of(client) as usize].deliveries;
        deliveries.missed_after_bridging += 1;
        deliveries.missed_unplaced += 1;
        let state = &self.clients[client as usize];
        let (low, high) =
            if event.position == 0 { (1, Position::MAX) } else { (event.position, event.position) };
        self.words.push_back(Word::Missed(Missed {
            client,
            room,
            n,
            place: Place::Unplaced,
            low,
            high,
            id: event.id,
            event_id: None,
            info: state.info.clone(),
            connected_at: state.connected_at,
            disconnected_at: state.disconnected_at,
        }));
    }
}
