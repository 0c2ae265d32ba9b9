//! What became of every publish (protocol.md, section 8), from its attempts and from who saw it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wavesoak::plan::Population;
use wavesoak::profile::Traffic;
use wavesoak::simulator::trace::{Message, Reply, Trace, What};
use wavesoak::time::Timestamp;

use super::Key;

/// The place of a step among all that happens.
pub(super) fn order_of(step: usize) -> usize {
    step << 16
}

/// The places of the messages of a page.
pub(super) fn orders(step: usize) -> impl Iterator<Item = usize> {
    (1..).map(move |message| order_of(step) + message)
}

/// All publishes of a run.
#[derive(Debug)]
pub(super) struct Publishes {
    people: Population,
    by_key: BTreeMap<Key, Publish>,
    /// The highest position that any client of the tenant held when the event was first sent.
    floors: BTreeMap<Key, u64>,
    /// When the books were closed: what comes later changes nothing.
    closed: usize,
    patience: Patience,
}

/// When a publish that has no answer is given up (`[traffic]`).
#[derive(Clone, Copy, Debug)]
struct Patience {
    attempts: usize,
    max_lateness: Duration,
}

/// One publish.
#[derive(Debug)]
pub(super) struct Publish {
    pub(super) due: Timestamp,
    /// When its attempts left, by order.
    attempts: Vec<usize>,
    /// First byte of the first attempt that wrote one.
    sent: Option<Timestamp>,
    /// In the order in which they came, by order.
    replies: Vec<(usize, Timestamp, Reply)>,
    /// By any client or the audit, by order: id and position.
    sightings: Vec<(usize, Timestamp, u64, Option<u64>)>,
}

/// What is known of a publish at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its answer is out.
    Pending,
    /// Rejected, or never sent.
    Refused,
    /// Some attempt got 2xx.
    Acknowledged,
    /// Anything else.
    Unknown,
}

/// What proofs need to know of an owed event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) sent: Timestamp,
    /// The acknowledgement, or the first sighting.
    pub(super) acked: Timestamp,
    /// The position lies in `low..=high`: both are the position itself, once an answer or a sighting has told it; until
    /// then it lies above every position that a client of the tenant held when the event was first sent, and below that
    /// of every event first sent after its acknowledgement.
    pub(super) low: u64,
    pub(super) high: u64,
}

/// What became of the publishes of a tenant of which an attempt left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcomes {
    pub(crate) acknowledged: u64,
    pub(crate) rejected: u64,
    pub(crate) unknown: u64,
    pub(crate) unsent: u64,
}

impl Publishes {
    pub(super) fn of(trace: &Trace, people: &Population, traffic: &Traffic) -> Self {
        let (by_key, floors) = (BTreeMap::new(), BTreeMap::new());
        let (attempts, max_lateness) = (traffic.send_attempts.max(1) as usize, traffic.max_send_lateness);
        let patience = Patience { attempts, max_lateness };
        let mut all = Self { people: people.clone(), by_key, floors, closed: usize::MAX, patience };
        let mut tickets = BTreeMap::new();
        for (step_number, step) in trace.steps.iter().enumerate() {
            let order = order_of(step_number);
            match &step.what {
                What::Sent { ticket, room, n: Some(n), due, .. } => {
                    let key = (*room, *n);
                    tickets.insert(*ticket, key);
                    let publish = all.by_key.entry(key).or_insert_with(|| Publish::new(*due));
                    publish.attempts.push(order);
                }
                What::Replied { ticket, sent, reply } => {
                    let Some(publish) = tickets.get(ticket).and_then(|key| all.by_key.get_mut(key)) else {
                        continue;
                    };
                    publish.sent = publish.sent.or(*sent);
                    publish.replies.push((order, step.at, *reply));
                }
                What::Streamed { message, .. } => all.saw(order, step.at, message),
                What::Page { messages, .. } => {
                    for (order, message) in orders(step_number).zip(messages) {
                        all.saw(order, step.at, message);
                    }
                }
                What::Fetched { result: Ok(messages), .. } => {
                    messages.iter().for_each(|message| all.saw(order, step.at, message));
                }
                What::BooksClosed => all.closed = order,
                _ => {}
            }
        }
        all
    }

    /// An attempt leaves, while the highest position of the tenant's clients is this.
    pub(super) fn sending(&mut self, key: Key, order: usize, floor: u64) {
        let written = |publish: &Publish| {
            publish.replies.iter().any(|reply| reply.0 < order && reply.2 != Reply::NotWritten)
        };
        if self.by_key.get(&key).is_some_and(|publish| !written(publish)) {
            self.floors.insert(key, floor);
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&Key, &Publish)> {
        self.by_key.iter()
    }

    /// Events of which two ids or positions were told, by answers, clients or audit; by tenant.
    pub(super) fn double_stored(&self) -> Vec<u64> {
        let people = &self.people;
        let mut counts = vec![0; people.tenants() as usize];
        for (key, publish) in &self.by_key {
            counts[people.tenant_of_room(key.0) as usize] +=
                u64::from(publish.copies_before(usize::MAX, self.closed) > 1);
        }
        counts
    }

    /// By tenant, when the books are closed; what has no end by then is unknown.
    pub(super) fn outcomes(&self) -> Vec<Outcomes> {
        let mut outcomes = vec![Outcomes::default(); self.people.tenants() as usize];
        for (key, publish) in &self.by_key {
            let outcomes = &mut outcomes[self.people.tenant_of_room(key.0) as usize];
            let never_left = publish.has_never_left(self.closed);
            *match self.state(*key, self.closed) {
                Some(State::Acknowledged) => &mut outcomes.acknowledged,
                _ if never_left => &mut outcomes.unsent,
                Some(State::Refused) => &mut outcomes.rejected,
                _ => &mut outcomes.unknown,
            } += 1;
        }
        outcomes
    }

    /// Owed events of which nobody knew the position when they were acknowledged.
    pub(super) fn vague(&self) -> BTreeSet<Key> {
        let known = |publish: &Publish| {
            let seen = publish.sightings.first().map(|seen| seen.0);
            let acknowledged = publish.created().map(|created| created.0).or(seen);
            acknowledged.is_none_or(|order| publish.position_at(order).is_some())
        };
        self.by_key.iter().filter(|(_, publish)| !known(publish)).map(|(&key, _)| key).collect()
    }

    /// Rejected or never sent, as far as is known when the books are closed.
    pub(super) fn is_refused_in_the_end(&self, key: Key) -> bool {
        self.by_key
            .get(&key)
            .is_some_and(|publish| publish.state_at(self.closed, self.patience) == State::Refused)
    }

    /// The state before a step; when the books are closed it no longer changes.
    pub(super) fn state(&self, key: Key, order: usize) -> Option<State> {
        Some(self.by_key.get(&key)?.state_at(order.min(self.closed), self.patience))
    }

    /// Whether two ids or positions of it had been seen before or in this step.
    pub(super) fn is_double(&self, key: Key, order: usize) -> bool {
        self.by_key.get(&key).is_some_and(|publish| publish.copies_before(order + 1, self.closed) > 1)
    }

    /// When it was sent and acknowledged, as far as is known before a step; `None`: it is not owed to anybody yet.
    pub(super) fn known(&self, key: Key, order: usize) -> Option<Facts> {
        match self.state(key, order)? {
            State::Pending | State::Refused => None,
            State::Acknowledged | State::Unknown => self.facts(key, order.min(self.closed)),
        }
    }

    /// The same, when the books are closed; a publish without an end by then is owed if it was seen.
    pub(super) fn in_the_end(&self, key: Key) -> Option<Facts> {
        match self.state(key, self.closed)? {
            State::Refused => None,
            _ => self.facts(key, self.closed),
        }
    }

    fn facts(&self, key: Key, order: usize) -> Option<Facts> {
        let publish = self.by_key.get(&key)?;
        let created = publish.created().filter(|created| created.0 < order);
        let seen = publish.sightings.first().filter(|seen| seen.0 < order).map(|seen| seen.1);
        let acked = created.map(|created| created.1).or(seen)?;
        let (low, high) = match publish.position_at(order) {
            Some(position) => (position, position),
            None => (self.floors.get(&key).map_or(1, |floor| floor + 1), self.ceiling(key, acked, order)),
        };
        Some(Facts { sent: publish.sent.unwrap_or(publish.due), acked, low, high })
    }

    fn ceiling(&self, key: Key, acked: Timestamp, order: usize) -> u64 {
        let tenant = self.people.tenant_of_room(key.0);
        let others = self.by_key.iter().filter(|(key, _)| self.people.tenant_of_room(key.0) == tenant);
        let later = others.filter(|(_, other)| other.sent.is_some_and(|sent| sent > acked));
        later.filter_map(|(_, other)| other.position_at(order)).min().map_or(u64::MAX, |least| least - 1)
    }

    fn saw(&mut self, order: usize, at: Timestamp, message: &Message) {
        let Some(publish) = coordinates(message).and_then(|key| self.by_key.get_mut(&key)) else { return };
        publish.sightings.push((order, at, message.id, message.position));
    }
}

impl Publish {
    fn new(due: Timestamp) -> Self {
        let (attempts, replies, sightings) = (Vec::new(), Vec::new(), Vec::new());
        Self { due, attempts, sent: None, replies, sightings }
    }

    /// The outcome, once the last attempt has its answer and there is to be no other.
    fn state_at(&self, order: usize, patience: Patience) -> State {
        if self.created().is_some_and(|created| created.0 < order) {
            return State::Acknowledged;
        }
        let in_flight = self.attempts.len() > self.replies.len();
        match self.replies.last() {
            Some((last, ..)) if *last < order && !in_flight && self.is_given_up(patience) => self.outcome(),
            _ => State::Pending,
        }
    }

    /// Whether the last answer ends it; else the next attempt follows after a rest.
    fn is_given_up(&self, patience: Patience) -> bool {
        let Some(&(_, at, last)) = self.replies.last() else { return false };
        let is_last = self.replies.len() >= patience.attempts;
        let left_before = self.replies.iter().any(|reply| reply.2 != Reply::NotWritten);
        match last {
            Reply::Created { .. } | Reply::Refused => true,
            Reply::Unauthorized => {
                self.replies.iter().filter(|reply| reply.2 == Reply::Unauthorized).count() > 1
            }
            Reply::Doubtful => is_last,
            Reply::NotWritten => {
                // It rests for 0.5, 1, 2, 2 … s.
                let rest = Duration::from_millis(500 << (self.replies.len() - 1).min(2));
                let too_late = (at + rest).since(self.due) > patience.max_lateness;
                too_late || (is_last && left_before)
            }
        }
    }

    /// No attempt before this has written a byte, and none is out.
    fn has_never_left(&self, order: usize) -> bool {
        let attempts = self.attempts.iter().filter(|&&attempt| attempt < order).count();
        let not_written = self.replies.iter().filter(|reply| reply.0 < order && reply.2 == Reply::NotWritten);
        attempts == not_written.count()
    }

    fn outcome(&self) -> State {
        let all: Vec<Reply> = self.replies.iter().map(|reply| reply.2).collect();
        let doubtful = all.contains(&Reply::Doubtful);
        match all.last() {
            Some(Reply::Created { .. }) => State::Acknowledged,
            Some(Reply::Refused | Reply::Unauthorized) if !doubtful => State::Refused,
            Some(Reply::NotWritten) if all.iter().all(|reply| *reply == Reply::NotWritten) => State::Refused,
            _ => State::Unknown,
        }
    }

    /// Step, time, id and position of the acknowledgement.
    fn created(&self) -> Option<(usize, Timestamp, u64, Option<u64>)> {
        self.replies.iter().find_map(|&(order, at, reply)| match reply {
            Reply::Created { id, position } => Some((order, at, id, position)),
            _ => None,
        })
    }

    /// The acknowledgement's position, else that of the first sighting that told one; what tells it in this very moment
    /// counts.
    fn position_at(&self, order: usize) -> Option<u64> {
        let created = self.created().filter(|created| created.0 <= order).and_then(|created| created.3);
        let seen = || self.sightings.iter().filter(|seen| seen.0 <= order).find_map(|seen| seen.3);
        created.or_else(seen)
    }

    /// Different ids, or different positions, whichever are more.
    fn copies_before(&self, order: usize, closed: usize) -> usize {
        // An answer that comes when the books are closed is no longer heard.
        let created = self.created().filter(|created| created.0 < closed);
        let created = created.map(|(order, _, id, position)| (order, id, position));
        let seen = self.sightings.iter().map(|&(order, _, id, position)| (order, id, position));
        let all: Vec<_> = created.into_iter().chain(seen).filter(|copy| copy.0 < order).collect();
        let ids: BTreeSet<u64> = all.iter().map(|copy| copy.1).filter(|&id| id != 0).collect();
        let positions: BTreeSet<u64> = all.iter().filter_map(|copy| copy.2).collect();
        ids.len().max(positions.len())
    }
}

fn coordinates(message: &Message) -> Option<Key> {
    message.stamp.and_then(|stamp| Some((stamp.room, stamp.n?)))
}
