//! Sync requests as a load of their own (`traffic.sync_rate`): open loop, beside the pattern of the clients.
//!
//! What a client asks for by its pattern follows from its connections, and cannot be asked for at a rate. These requests
//! can: number k is due when the timetable says, in the name of client k (round and round), whatever became of those
//! before. Latency is counted from when a request was due, so that one that had to wait is not flattered.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::pace::Ceiling;
use crate::collector::collected;
use crate::plan::Plan;
use crate::profile::Profile;
use crate::session::SyncTrouble;
use crate::time::Timestamp;
use crate::wire::Position;
use crate::worker::conductor::Fetch;

/// All sync requests of a stripe's load.
#[derive(Debug)]
pub struct SyncLoad {
    rate: f64,
    limit: u32,
    max_lateness: Duration,
    max_in_flight: usize,
    /// `limits.sync_requests`, where it is enforced.
    ceiling: Option<Ceiling>,
    /// Number of the next one; a stripe steps over those of the others.
    next: u64,
    stripes: u64,
    /// What the next `since` of each tenant's clients is.
    positions: Vec<Position>,
    /// Due, but not yet on their way; bounded by `max_send_lateness`.
    waiting: VecDeque<(u64, Timestamp)>,
    /// When each was due, by id.
    in_flight: BTreeMap<u64, Timestamp>,
    paced_until: Option<Timestamp>,
    /// What waits, waits for answers that the target does not give.
    target_is_slow: bool,
    stopped: bool,
    outbox: VecDeque<(u64, u32, Fetch)>,
    ended: VecDeque<Option<Duration>>,
    counts: collected::SyncLoad,
}

/// Marks the ids of this load's requests. The audit numbers its own from 0, and the survey marks its own with the bit above.
const OWN: u64 = 1 << 62;

impl SyncLoad {
    /// Nothing under way; `starts`: first position of the clients of each tenant; `enforced`: `limits.sync_requests`, where
    /// it is enforced.
    pub fn new(profile: &Profile, plan: &Plan, starts: Vec<Position>, enforced: Option<f64>) -> Self {
        let mut positions = starts;
        positions.resize(plan.population.tenants() as usize, 0);
        let traffic = &profile.traffic;
        Self {
            rate: traffic.sync_rate.0,
            limit: profile.client.sync_limit,
            max_lateness: traffic.max_send_lateness,
            max_in_flight: traffic.max_in_flight as usize,
            ceiling: enforced.map(|limit| Ceiling::new(limit, limit.ceil().max(1.0) as u32)),
            next: u64::from(plan.shard.index),
            stripes: u64::from(plan.shard.count.max(1)),
            positions,
            waiting: VecDeque::new(),
            in_flight: BTreeMap::new(),
            paced_until: None,
            target_is_slow: false,
            stopped: traffic.sync_rate.0 <= 0.0,
            outbox: VecDeque::new(),
            ended: VecDeque::new(),
            counts: collected::SyncLoad::default(),
        }
    }

    /// Whether a page is this load's.
    pub fn owns(id: u64) -> bool {
        id & (OWN | 1 << 63) == OWN
    }

    /// When the next one is due (plan time).
    pub fn next_due(&self, plan: &Plan) -> Option<Duration> {
        if self.stopped { None } else { plan.timetable.even_due(self.rate, self.next) }
    }

    /// It is due.
    pub fn due(&mut self, due: Timestamp) {
        self.counts.intended += 1;
        self.waiting.push_back((self.next, due));
        self.next += self.stripes;
    }

    /// A publish of this tenant was acknowledged at this position.
    pub fn acknowledged(&mut self, tenant: u32, position: Position) {
        if let Some(newest) = self.positions.get_mut(tenant as usize) {
            *newest = position.max(*newest);
        }
    }

    /// Starts what may start; gives up what has become too late.
    pub fn pump(&mut self, now: Timestamp, plan: &Plan) {
        self.paced_until = None;
        while let Some(&(number, due)) = self.waiting.front() {
            if now.since(due) > self.max_lateness {
                self.waiting.pop_front();
                self.unsent(!self.target_is_slow);
                continue;
            }
            if self.in_flight.len() >= self.max_in_flight {
                self.target_is_slow = true;
                break;
            }
            self.target_is_slow = false;
            if let Some(Err(later)) = self.ceiling.as_ref().map(|ceiling| ceiling.take(now)) {
                self.paced_until = Some(later);
                break;
            }
            self.waiting.pop_front();
            let client = (number % u64::from(plan.population.clients().max(1))) as u32;
            let since = self.positions[plan.population.tenant_of(client) as usize];
            let id = OWN | number;
            self.in_flight.insert(id, due);
            self.outbox.push_back((id, client, Fetch::Load { since, limit: self.limit }));
        }
    }

    /// How one went.
    pub fn replied(&mut self, now: Timestamp, id: u64, reply: Result<(), SyncTrouble>) {
        let Some(due) = self.in_flight.remove(&id) else { return };
        match reply {
            Ok(()) => {
                self.counts.answered += 1;
                self.ended.push_back(Some(now.since(due)));
            }
            Err(SyncTrouble::Local) => self.unsent(true),
            Err(_) => self.failed(),
        }
    }

    /// The next one to carry out.
    pub fn poll(&mut self) -> Option<(u64, u32, Fetch)> {
        self.outbox.pop_front()
    }

    /// The next one that has ended: how long after it was due a page came, if one came.
    pub fn ended(&mut self) -> Option<Option<Duration>> {
        self.ended.pop_front()
    }

    /// When [`Self::pump`] has something to do, replies apart.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let late = self.waiting.front().map(|&(_, due)| due + self.max_lateness + Duration::from_nanos(1));
        [late, self.paced_until].into_iter().flatten().min()
    }

    /// Nothing waits or is in flight.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }

    /// What has become of all of them.
    pub fn counts(&self) -> collected::SyncLoad {
        self.counts
    }

    /// The books are closed: what has no answer by now will have none.
    pub fn abandon(&mut self) {
        self.stop();
        for _ in std::mem::take(&mut self.in_flight) {
            self.failed();
        }
    }

    /// Gives up what has not left yet, and asks for nothing more.
    pub fn stop(&mut self) {
        self.stopped = true;
        for _ in std::mem::take(&mut self.waiting) {
            self.unsent(!self.target_is_slow);
        }
    }

    fn unsent(&mut self, by_harness: bool) {
        self.counts.unsent += 1;
        self.counts.unsent_by_harness += u64::from(by_harness);
        // A target that keeps everybody waiting has kept this one waiting too.
        if !by_harness {
            self.ended.push_back(None);
        }
    }

    fn failed(&mut self) {
        self.counts.failed += 1;
        self.ended.push_back(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Shard;
    use crate::profile::quantity::Rate;
    use crate::report::sample;

    /// 100 clients of 2 tenants; a ramp of 5 s at half the rate, a hold of 20 s; so many requests in flight at once.
    fn load(rate: f64, in_flight: u32, shard: Shard) -> (SyncLoad, Plan) {
        let mut profile = sample::profile();
        (profile.traffic.sync_rate, profile.traffic.max_in_flight) = (Rate(rate), in_flight);
        let plan = Plan::new(&profile, shard);
        (SyncLoad::new(&profile, &plan, vec![7, 9], None), plan)
    }

    /// Everything that is due by this second of the plan is told, and what may start starts.
    fn play(load: &mut SyncLoad, plan: &Plan, secs: u64) -> Vec<(u64, u32, Fetch)> {
        while let Some(due) = load.next_due(plan).filter(|due| *due <= Duration::from_secs(secs)) {
            load.due(Timestamp::ZERO + due);
        }
        load.pump(Timestamp::from_secs(secs), plan);
        std::iter::from_fn(|| load.poll()).collect()
    }

    #[test]
    fn requests_go_round_the_clients_and_ask_from_the_newest_position_of_their_tenant() {
        let (mut load, plan) = load(2.0, 100, Shard::WHOLE);
        let first = play(&mut load, &plan, 5);
        let since = |(_, client, what): &(u64, u32, Fetch)| {
            let Fetch::Load { since, .. } = what else { panic!("{what:?}") };
            (*client, *since)
        };
        let asked: Vec<(u32, Position)> = first.iter().map(since).collect();
        assert_eq!(asked, [(0, 7), (1, 9), (2, 7), (3, 9), (4, 7)]);
        load.acknowledged(1, 40);
        load.acknowledged(1, 30);
        assert_eq!(play(&mut load, &plan, 6).iter().map(since).collect::<Vec<_>>(), [(5, 40), (6, 7)]);
    }

    #[test]
    fn latency_is_counted_from_when_a_request_was_due_and_every_request_has_one_end() {
        let (mut load, plan) = load(2.0, 2, Shard::WHOLE);
        let first = play(&mut load, &plan, 5);
        assert_eq!(first.len(), 2, "the others wait");
        load.replied(Timestamp::from_secs(6), first[0].0, Ok(()));
        load.replied(Timestamp::from_secs(6), first[1].0, Err(SyncTrouble::ServerError(503)));
        load.replied(Timestamp::from_secs(6), first[1].0, Ok(()));
        let ended: Vec<Option<Duration>> = std::iter::from_fn(|| load.ended()).collect();
        // Number 0 is due at half a second of full rate: one second into the ramp at half of it.
        assert_eq!(ended, [Some(Duration::from_millis(5_500)), None]);
        let next = play(&mut load, &plan, 7);
        load.replied(Timestamp::from_secs(7), next[0].0, Err(SyncTrouble::Local));
        load.abandon();
        let counts = load.counts();
        assert_eq!(counts.intended, counts.answered + counts.failed + counts.unsent);
        assert_eq!((counts.answered, counts.failed, counts.unsent_by_harness), (1, 2, 1), "{counts:?}");
        assert!(load.is_idle() && load.next_due(&plan).is_none());
    }

    #[test]
    fn what_is_too_late_is_not_sent_and_the_slow_target_answers_for_it() {
        let (mut load, plan) = load(2.0, 1, Shard::WHOLE);
        assert_eq!(play(&mut load, &plan, 5).len(), 1);
        load.pump(Timestamp::from_secs(60), &plan);
        let counts = load.counts();
        assert_eq!((counts.unsent, counts.unsent_by_harness), (4, 0));
        assert_eq!(std::iter::from_fn(|| load.ended()).collect::<Vec<_>>(), [None; 4]);
    }

    #[test]
    fn stripes_share_the_numbers_among_them() {
        let numbers = |shard| {
            let (mut load, plan) = load(2.0, 100, shard);
            play(&mut load, &plan, 8).into_iter().map(|(id, ..)| id & !OWN).collect::<Vec<_>>()
        };
        let whole = numbers(Shard::WHOLE);
        let mut both = [0, 1].map(|index| numbers(Shard { index, count: 2 })).concat();
        both.sort_unstable();
        assert_eq!(both, whole);
    }
}
