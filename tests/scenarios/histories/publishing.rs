//! Publishes: attempts with all kinds of answers, and outcomes by protocol.md, section 8.

use std::collections::BTreeMap;
use std::time::Duration;

use wavesoak::collector::ledger::Sighting;
use wavesoak::generator::{Ended, Outcome};
use wavesoak::plan::Population;
use wavesoak::simulator::trace::{Message, Reply, What};
use wavesoak::time::Timestamp;
use wavesoak::worker::conductor::Fetch;

use super::World;

/// Every publish has ended so long after it was due.
pub(super) const OUTCOME_WITHIN: Duration = Duration::from_secs(2);

pub(super) struct Publishing {
    /// Due times of the events of each room.
    due: Vec<Vec<Timestamp>>,
    /// Who publishes them.
    publishers: Vec<Vec<u32>>,
    look_ups: u64,
    under_way: BTreeMap<u64, Publish>,
    next_ticket: u64,
}

#[derive(Clone, Debug)]
struct Publish {
    room: u32,
    n: u32,
    publisher: u32,
    due: Timestamp,
    sent: Option<Timestamp>,
    replies: Vec<Reply>,
    stored: Option<Message>,
    /// An attempt is out.
    asked: Option<Timestamp>,
}

impl Publishing {
    pub(super) fn new(people: &Population) -> Self {
        let rooms = people.rooms() as usize;
        let (due, publishers) = (vec![Vec::new(); rooms], vec![Vec::new(); rooms]);
        Self { due, publishers, look_ups: 0, under_way: BTreeMap::new(), next_ticket: 0 }
    }

    /// The first event of the room that is due now or later.
    pub(super) fn first_from(&self, room: u32, now: Timestamp) -> u32 {
        self.due[room as usize].partition_point(|&due| due < now) as u32
    }
}

impl World {
    /// Something becomes due: an event, or (like a fence) what is no event.
    pub(super) fn publish_something(&mut self) {
        let room = self.draw.below(self.people.rooms());
        let members: Vec<u32> = self.people.members(room).collect();
        if members.is_empty() {
            return;
        }
        if self.draw.chance(0.1) {
            self.store(room, None, self.now, self.now);
            return;
        }
        let (due, n) = (self.now, self.publishing.due[room as usize].len() as u32);
        self.publishing.due[room as usize].push(due);
        self.ledger.issue(room, n);
        let publisher = self.draw.pick(&members);
        self.publishing.publishers[room as usize].push(publisher);
        let ticket = self.publishing.next_ticket;
        self.publishing.next_ticket += 1;
        let publish =
            Publish { room, n, publisher, due, sent: None, replies: Vec::new(), stored: None, asked: None };
        self.publishing.under_way.insert(ticket, publish);
        if self.draw.chance(0.9) {
            self.attempt(ticket);
        }
    }

    pub(super) fn publishing_goes_on(&mut self) {
        let tickets: Vec<u64> = self.publishing.under_way.keys().copied().collect();
        if tickets.is_empty() {
            return;
        }
        let ticket = self.draw.pick(&tickets);
        if self.publishing.under_way[&ticket].asked.is_some() {
            self.reply(ticket, false)
        } else {
            self.attempt(ticket)
        }
    }

    /// What is overdue ends, with an answer if one is out.
    pub(super) fn end_overdue_publishes(&mut self) {
        let latest = self.now.back(OUTCOME_WITHIN - Duration::from_millis(500));
        let overdue = |(&ticket, publish): (&u64, &Publish)| (publish.due < latest).then_some(ticket);
        let overdue: Vec<u64> = self.publishing.under_way.iter().filter_map(overdue).collect();
        overdue.into_iter().for_each(|ticket| self.end(ticket));
    }

    pub(super) fn end_all_publishes(&mut self) {
        let all: Vec<u64> = self.publishing.under_way.keys().copied().collect();
        all.into_iter().for_each(|ticket| self.end(ticket));
    }

    fn attempt(&mut self, ticket: u64) {
        let now = self.now;
        let Some(publish) = self.publishing.under_way.get_mut(&ticket) else { return };
        publish.asked = Some(now);
        let Publish { room, n, publisher, due, sent, stored, .. } = publish.clone();
        self.note(What::Sent { ticket, room, n: Some(n), publisher, due });
        if sent.is_none() {
            self.ledger.sending(room, n);
        }
        // Stored at once, never, or stored again.
        let first_sent = sent.unwrap_or(now);
        let stores = match stored {
            None => !self.draw.chance(self.mischief.answer),
            Some(_) => self.draw.chance(self.mischief.double),
        };
        if stores {
            let message = self.store(room, Some(n), due, first_sent);
            if let Some(publish) = self.publishing.under_way.get_mut(&ticket) {
                publish.stored = Some(publish.stored.unwrap_or(message));
            }
        }
    }

    fn reply(&mut self, ticket: u64, last: bool) {
        let odd = self.draw.chance(self.mischief.answer);
        let unplaced = self.draw.chance(self.mischief.unplaced);
        let drawn = self.draw.pick(&[Reply::Refused, Reply::Doubtful, Reply::Doubtful, Reply::NotWritten]);
        let Some(publish) = self.publishing.under_way.get_mut(&ticket) else { return };
        let Some(asked) = publish.asked.take() else { return };
        let reply = match publish.stored {
            Some(message) if !odd => {
                Reply::Created { id: message.id, position: message.position.filter(|_| !unplaced) }
            }
            // What was not written cannot have been stored, or the stamp would lie.
            Some(_) if drawn == Reply::NotWritten => Reply::Doubtful,
            _ => drawn,
        };
        let written = reply != Reply::NotWritten;
        publish.sent = publish.sent.or(written.then_some(asked));
        publish.replies.push(reply);
        let sent = publish.sent;
        let answered = matches!(reply, Reply::Created { .. } | Reply::Refused) || publish.replies.len() >= 3;
        self.note(What::Replied { ticket, sent, reply });
        // A publish ends with the answer to its last attempt.
        if answered || last || self.draw.chance(0.5) {
            self.ended(ticket);
        }
    }

    /// The last attempt, if none is out, and its answer.
    fn end(&mut self, ticket: u64) {
        if self.publishing.under_way.get(&ticket).is_some_and(|publish| publish.asked.is_none()) {
            self.attempt(ticket);
        }
        self.reply(ticket, true);
    }

    fn ended(&mut self, ticket: u64) {
        let Some(publish) = self.publishing.under_way.remove(&ticket) else { return };
        let Publish { room, n, publisher, due, sent, replies, .. } = publish;
        let doubtful = replies.contains(&Reply::Doubtful);
        let outcome = match replies.last() {
            Some(&Reply::Created { id, position }) => {
                Outcome::Acknowledged { id: Some(self.server.name_of(id).into()), position }
            }
            Some(Reply::Refused) if !doubtful => Outcome::Rejected,
            _ if replies.iter().all(|reply| *reply == Reply::NotWritten) => Outcome::Unsent,
            _ => Outcome::Unknown,
        };
        let ended = Ended { room, n: Some(n), publisher, due, sent, outcome, own_fault: false };
        self.ledger.ended(self.now, &ended);
    }

    /// The audit's answers to what the ledger wants looked up.
    pub(super) fn answer_look_ups(&mut self) {
        let now = self.now;
        let due: Vec<_> = self.look_ups.extract_if(.., |&mut (_, _, at)| at <= now).collect();
        for (room, n, _) in due {
            let tenant = self.people.tenant_of_room(room) as usize;
            let same = |message: &&Message| {
                message.stamp.is_some_and(|stamp| (stamp.room, stamp.n) == (room, Some(n)))
            };
            let stored = self.server.stored[tenant].iter().find(same).copied();
            let shown = stored.filter(|_| !self.draw.chance(self.mischief.hole));
            self.look_up_answered(room, n, shown);
        }
    }

    fn look_up_answered(&mut self, room: u32, n: u32, shown: Option<Message>) {
        self.publishing.look_ups += 1;
        let (id, client) = (self.publishing.look_ups, self.publishing.publishers[room as usize][n as usize]);
        self.note(What::Fetching { id, client, what: Fetch::Sync { since: 0, limit: 500 } });
        self.note(What::Fetched { id, result: Ok(shown.into_iter().collect()) });
        let Some(Message { stamp: Some(stamp), position, id }) = shown else {
            return self.ledger.looked_up_in_vain(room, n);
        };
        self.ledger.shown(self.now, client, Sighting { room, n, sent: stamp.sent, position, id });
    }
}
