//! Publishes on their way: in flight, waiting, repeated, and at last with an outcome (protocol.md, section 8).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use uuid::Uuid;

use super::pace::Pace;
use super::payload_size;
use crate::plan::Plan;
use crate::profile::{Payload, Profile};
use crate::seed::Seed;
use crate::time::Timestamp;
use crate::wire::Position;
use crate::worker::conductor::{Publication, SendReply};

/// What became of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Some attempt got 2xx.
    Acknowledged {
        /// The id in the answer.
        id: Option<Box<str>>,
        /// The position in the answer.
        position: Option<Position>,
    },
    /// Every attempt got a 4xx with an `SW_*` body.
    Rejected,
    /// No attempt wrote a byte.
    Unsent,
    /// Anything else.
    Unknown,
}

/// A publish that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Room.
    pub room: u32,
    /// Sequence number; `None` for a fence.
    pub n: Option<u32>,
    /// Whose identity published.
    pub publisher: u32,
    /// Intended send time.
    pub due: Timestamp,
    /// First byte of the first attempt that wrote one.
    pub sent: Option<Timestamp>,
    /// The outcome.
    pub outcome: Outcome,
    /// It was not sent because of the harness itself: ceilings, in-flight bound, lateness.
    pub own_fault: bool,
}

/// All publishes of a stripe.
#[derive(Debug)]
pub struct Publishing {
    run: Uuid,
    seed: Seed,
    payload: Payload,
    timeout: Duration,
    attempts: u32,
    max_lateness: Duration,
    max_in_flight: usize,
    pace: Pace,
    next_ticket: u64,
    /// Due, but not yet on their way; bounded by `max_send_lateness`.
    waiting: VecDeque<Waiting>,
    in_flight: BTreeMap<u64, Flight>,
    /// Between two attempts, by time.
    resting: BTreeMap<(Timestamp, u64), Flight>,
    paced_until: Option<Timestamp>,
    /// What waits, waits for answers that the target does not give.
    target_is_slow: bool,
    outbox: VecDeque<Publication>,
    ended: VecDeque<Ended>,
    /// How often a publish had to wait for a ceiling or for the in-flight bound.
    pub held_back: u64,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    room: u32,
    n: Option<u32>,
    publisher: u32,
    due: Timestamp,
}

#[derive(Debug)]
struct Flight {
    publication: Publication,
    attempt: u32,
    /// An attempt may have been stored.
    doubtful: bool,
    /// A 401 has been repeated once.
    renewed: bool,
}

impl Publishing {
    /// Nothing under way; `enforced`: `limits.publishes` where it is enforced.
    pub fn new(profile: &Profile, plan: &Plan, run: Uuid, enforced: Option<f64>) -> Self {
        let traffic = &profile.traffic;
        Self {
            run,
            seed: plan.seed,
            payload: traffic.payload,
            timeout: traffic.send_timeout,
            attempts: traffic.send_attempts.max(1),
            max_lateness: traffic.max_send_lateness,
            max_in_flight: traffic.max_in_flight as usize,
            pace: Pace::new(plan, enforced),
            next_ticket: 0,
            waiting: VecDeque::new(),
            in_flight: BTreeMap::new(),
            resting: BTreeMap::new(),
            paced_until: None,
            target_is_slow: false,
            outbox: VecDeque::new(),
            ended: VecDeque::new(),
            held_back: 0,
        }
    }

    /// An event is due (or a fence is wanted: `n` is `None`).
    pub fn due(&mut self, room: u32, n: Option<u32>, publisher: u32, due: Timestamp) {
        self.waiting.push_back(Waiting { room, n, publisher, due });
    }

    /// Starts what may start; gives up what has become too late.
    pub fn pump(&mut self, now: Timestamp, plan: &Plan) {
        self.wake_resting(now);
        self.paced_until = None;
        while let Some(&next) = self.waiting.front() {
            if now.since(next.due) > self.max_lateness {
                self.waiting.pop_front();
                self.ended.push_back(next.unsent(!self.target_is_slow));
                continue;
            }
            if self.in_flight.len() + self.resting.len() >= self.max_in_flight {
                self.held_back += 1;
                self.target_is_slow = true;
                break;
            }
            if let Err(later) = self.pace.take(now, plan.population.tenant_of_room(next.room)) {
                self.held_back += 1;
                self.paced_until = Some(later);
                self.target_is_slow = false;
                break;
            }
            self.target_is_slow = false;
            self.waiting.pop_front();
            self.start(next);
        }
    }

    /// How one attempt went.
    pub fn replied(&mut self, now: Timestamp, ticket: u64, sent: Option<Timestamp>, reply: SendReply) {
        let Some(mut flight) = self.in_flight.remove(&ticket) else { return };
        flight.publication.first_sent = flight.publication.first_sent.or(sent);
        let last = flight.attempt >= self.attempts;
        match reply {
            SendReply::Acknowledged { id, position } => {
                self.end(flight, Outcome::Acknowledged { id, position })
            }
            SendReply::Unauthorized if !flight.renewed => {
                // The token is another one by now (protocol.md, section 8: refresh, and repeat once): there is nothing to
                // wait for.
                flight.renewed = true;
                self.repeat(flight);
            }
            SendReply::Unauthorized | SendReply::Refused { code: Some(_), .. } => {
                let outcome = if flight.doubtful { Outcome::Unknown } else { Outcome::Rejected };
                self.end(flight, outcome);
            }
            SendReply::NotWritten => {
                let next = now + rest_before(flight.attempt);
                let too_late = next.since(flight.publication.due) > self.max_lateness;
                match (flight.publication.first_sent, too_late || last) {
                    (Some(_), true) => self.end(flight, Outcome::Unknown),
                    (None, true) if too_late => self.end(flight, Outcome::Unsent),
                    // Nothing has left yet: there is no harm in trying until it would be too late.
                    _ => self.rest(now, flight),
                }
            }
            SendReply::Refused { code: None, .. } | SendReply::Unanswered => {
                flight.doubtful = true;
                if last { self.end(flight, Outcome::Unknown) } else { self.rest(now, flight) }
            }
        }
    }

    /// The next attempt to carry out.
    pub fn poll(&mut self) -> Option<Publication> {
        self.outbox.pop_front()
    }

    /// The next publish that has ended.
    pub fn ended(&mut self) -> Option<Ended> {
        self.ended.pop_front()
    }

    /// When [`Self::pump`] has something to do, replies apart.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let late = self.waiting.front().map(|next| next.due + self.max_lateness + Duration::from_nanos(1));
        let resting = self.resting.keys().next().map(|&(at, _)| at);
        [late, resting, self.paced_until].into_iter().flatten().min()
    }

    /// Nothing waits, rests or is in flight.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty() && self.resting.is_empty()
    }

    /// The books are closed: what has no answer by now will have none, and nobody knows what became of it.
    pub fn abandon(&mut self) {
        self.stop();
        for flight in std::mem::take(&mut self.in_flight).into_values() {
            self.end(flight, Outcome::Unknown);
        }
    }

    /// Gives up what has not left yet (a run that is cut short).
    pub fn stop(&mut self) {
        for waiting in std::mem::take(&mut self.waiting) {
            self.ended.push_back(waiting.unsent(true));
        }
        for flight in std::mem::take(&mut self.resting).into_values() {
            let left = flight.doubtful || flight.publication.first_sent.is_some();
            self.end(flight, if left { Outcome::Unknown } else { Outcome::Unsent });
        }
    }

    fn start(&mut self, next: Waiting) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        // Fences carry no n; they are told apart by their due time.
        let (n, size) = match next.n {
            Some(n) => (u64::from(n), payload_size(self.payload, self.seed, next.room, n)),
            None => (u64::MAX - next.due.as_nanos(), crate::profile::PAYLOAD_MIN),
        };
        let name = [u64::from(next.room).to_be_bytes(), n.to_be_bytes()].concat();
        let publication = Publication {
            ticket,
            room: next.room,
            publisher: next.publisher,
            n: next.n,
            due: next.due,
            first_sent: None,
            event_uuid: Uuid::new_v5(&self.run, &name),
            payload: size,
            timeout: self.timeout,
        };
        self.outbox.push_back(publication.clone());
        self.in_flight.insert(ticket, Flight { publication, attempt: 1, doubtful: false, renewed: false });
    }

    fn rest(&mut self, now: Timestamp, flight: Flight) {
        let at = now + rest_before(flight.attempt);
        self.resting.insert((at, flight.publication.ticket), flight);
    }

    fn wake_resting(&mut self, now: Timestamp) {
        while let Some(entry) = self.resting.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let flight = entry.remove();
            self.repeat(flight);
        }
    }

    fn repeat(&mut self, mut flight: Flight) {
        flight.attempt += 1;
        self.outbox.push_back(flight.publication.clone());
        self.in_flight.insert(flight.publication.ticket, flight);
    }

    fn end(&mut self, flight: Flight, outcome: Outcome) {
        let Publication { room, n, publisher, due, first_sent: sent, .. } = flight.publication;
        self.ended.push_back(Ended { room, n, publisher, due, sent, outcome, own_fault: false });
    }
}

impl Waiting {
    fn unsent(self, own_fault: bool) -> Ended {
        let Self { room, n, publisher, due } = self;
        Ended { room, n, publisher, due, sent: None, outcome: Outcome::Unsent, own_fault }
    }
}

/// The rest after an attempt that got no answer (ours): 0.5, 1, 2, 2 … s.
fn rest_before(attempt: u32) -> Duration {
    Duration::from_millis(500 << attempt.saturating_sub(1).min(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Shard;

    struct Bench {
        plan: Plan,
        publishing: Publishing,
        now: Timestamp,
    }

    impl Bench {
        fn new(more: &str) -> Self {
            let text = format!(
                "[population]\ntenants = 1\nclients = 10\n[[phase]]\nduration = \"10s\"\nclients = 10\n{more}"
            );
            let profile = crate::profile::parse(&text, "test.toml", &[]).expect("a good profile").profile;
            let plan = Plan::new(&profile, Shard::WHOLE);
            let publishing = Publishing::new(&profile, &plan, Uuid::nil(), None);
            Self { plan, publishing, now: Timestamp::from_secs(100) }
        }

        /// One publish due now, answered by these in turn, as long as it is repeated; its outcome and attempts.
        fn publish(&mut self, replies: &[SendReply]) -> (Outcome, usize) {
            self.publishing.due(0, Some(7), 3, self.now);
            let mut answers = replies.iter().cycle();
            let (mut attempts, mut uuids) = (0, Vec::new());
            for _ in 0..100 {
                self.publishing.pump(self.now, &self.plan);
                while let Some(publication) = self.publishing.poll() {
                    attempts += 1;
                    uuids.push(publication.event_uuid);
                    let reply = answers.next().expect("it cycles").clone();
                    let sent = (reply != SendReply::NotWritten).then_some(self.now);
                    self.publishing.replied(self.now, publication.ticket, sent, reply);
                }
                if let Some(ended) = self.publishing.ended() {
                    assert!(self.publishing.is_idle());
                    assert!(uuids.iter().all(|uuid| *uuid == uuids[0]), "repeats carry the same event_uuid");
                    return (ended.outcome, attempts);
                }
                self.now = self.publishing.next_wake().expect("it waits for something");
            }
            panic!("it does not end");
        }
    }

    fn acknowledged() -> SendReply {
        SendReply::Acknowledged { id: None, position: Some(9) }
    }

    fn refused(code: Option<&str>) -> SendReply {
        SendReply::Refused { status: 429, code: code.map(Into::into) }
    }

    #[test]
    fn the_outcome_of_a_publish_follows_from_all_its_attempts() {
        let rate_limited = || refused(Some("SW_RATE_LIMIT_EXCEEDED"));
        let done = || Outcome::Acknowledged { id: None, position: Some(9) };
        let unanswered = SendReply::Unanswered;
        let cases: Vec<(&str, Vec<SendReply>, Outcome, usize)> = vec![
            ("2xx at once", vec![acknowledged()], done(), 1),
            ("2xx after a timeout", vec![unanswered.clone(), acknowledged()], done(), 2),
            ("never an answer", vec![unanswered.clone()], Outcome::Unknown, 3),
            ("429 is not repeated", vec![rate_limited()], Outcome::Rejected, 1),
            ("429 does not undo a timeout", vec![unanswered.clone(), rate_limited()], Outcome::Unknown, 2),
            ("4xx without a code may be a balancer's", vec![refused(None)], Outcome::Unknown, 3),
            ("401 is repeated once", vec![SendReply::Unauthorized, acknowledged()], done(), 2),
            ("401 twice is a refusal", vec![SendReply::Unauthorized], Outcome::Rejected, 2),
            (
                "a byte that left once leaves a doubt",
                vec![unanswered, SendReply::NotWritten],
                Outcome::Unknown,
                3,
            ),
        ];
        for (name, replies, outcome, attempts) in cases {
            assert_eq!(Bench::new("").publish(&replies), (outcome, attempts), "{name}");
        }
    }

    #[test]
    fn a_refused_token_costs_a_publish_no_time() {
        let mut bench = Bench::new("");
        let begun = bench.now;
        let (outcome, attempts) = bench.publish(&[SendReply::Unauthorized, acknowledged()]);
        assert!(matches!(outcome, Outcome::Acknowledged { .. }));
        assert_eq!((attempts, bench.now), (2, begun));
    }

    #[test]
    fn what_never_leaves_is_tried_until_it_would_be_too_late_and_then_unsent() {
        let mut bench = Bench::new("[traffic]\nmax_send_lateness = \"5s\"\n");
        let begun = bench.now;
        let (outcome, attempts) = bench.publish(&[SendReply::NotWritten]);
        assert_eq!(outcome, Outcome::Unsent);
        assert!(attempts >= 3 && bench.now.since(begun) <= Duration::from_secs(5), "{attempts}");
    }

    #[test]
    fn what_is_too_late_is_given_up_instead_of_sent_in_a_burst() {
        let mut bench = Bench::new("[traffic]\nmax_send_lateness = \"5s\"\nmax_in_flight = 2\n");
        for n in 0..10 {
            bench.publishing.due(0, Some(n), 0, bench.now);
        }
        bench.publishing.pump(bench.now, &bench.plan);
        let flying: Vec<Publication> = std::iter::from_fn(|| bench.publishing.poll()).collect();
        assert_eq!(flying.len(), 2, "the bound on publishes in flight holds");
        assert!(bench.publishing.held_back > 0);
        bench.publishing.pump(bench.now + Duration::from_secs(6), &bench.plan);
        let ended: Vec<Ended> = std::iter::from_fn(|| bench.publishing.ended()).collect();
        assert_eq!(ended.len(), 8);
        // The target had not answered: the harness is not to blame.
        assert!(ended.iter().all(|ended| ended.outcome == Outcome::Unsent && !ended.own_fault));
        assert_eq!(bench.publishing.poll(), None);
    }

    #[test]
    fn what_is_in_flight_when_the_books_are_closed_is_unknown_and_what_never_left_is_unsent() {
        let mut bench = Bench::new("[traffic]\nmax_in_flight = 2\n");
        for n in 0..3 {
            bench.publishing.due(0, Some(n), 0, bench.now);
        }
        bench.publishing.pump(bench.now, &bench.plan);
        let flying: Vec<Publication> = std::iter::from_fn(|| bench.publishing.poll()).collect();
        bench.publishing.replied(bench.now, flying[0].ticket, None, SendReply::NotWritten);
        bench.publishing.abandon();
        let outcomes: Vec<_> = std::iter::from_fn(|| bench.publishing.ended()).collect();
        let outcomes: Vec<_> = outcomes.into_iter().map(|ended| (ended.n, ended.outcome)).collect();
        let (unsent, unknown) = (Outcome::Unsent, Outcome::Unknown);
        assert_eq!(outcomes, [(Some(2), unsent.clone()), (Some(0), unsent), (Some(1), unknown)]);
        bench.publishing.replied(bench.now, flying[1].ticket, Some(bench.now), acknowledged());
        assert!(
            bench.publishing.is_idle() && bench.publishing.ended().is_none(),
            "the answer comes too late"
        );
    }
}
