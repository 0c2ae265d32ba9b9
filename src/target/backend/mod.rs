//! All pods over their shared store, as one pure state machine.
//!
//! # Contract
//!
//! After every call drain [`Backend::poll`] until `None`; call [`Backend::tick`] when [`Backend::next_wake`] is
//! reached (earlier and more often is harmless). `now` never goes back. Pods are numbered from 0 here and from
//! 1 in `server_name`. Nothing here reads a clock, a socket or ambient randomness, and hash maps are only
//! looked up, never walked: the same calls give the same effects.

mod account;
mod contents;
mod deliver;
mod later;
mod planted;
mod pods;
mod publish;
mod read;
mod rooms;
mod seam;
mod session;
mod stream;
#[cfg(test)]
mod tests_support;

pub use account::{Grant, Registered};
pub use contents::Contents;
pub use publish::Created;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use uuid::Uuid;

use crate::seed::Seed;
use crate::time::{Timestamp, ToldClock};

use super::caller::Caller;
use super::config::Config;
use super::connection::{ConnId, Connection};
use super::error::ApiError;
use super::faults::{Faults, client_number};
use super::frame::Outgoing;
use super::ids::Ids;
use super::line::{LogEvent, LogLine};
use super::page::{Page, Waiter, WaiterId};
use super::registry::{ParticipantIx, Registry, TenantIx};
use super::truth::{Deed, PodTruth, Truth};

use later::{LateAnswer, Later};
use pods::Pod;

/// All pods over their shared store.
#[derive(Debug)]
pub struct Backend {
    config: Config,
    ids: Ids,
    clock: ToldClock,
    registry: Registry,
    /// One for each tenant, once there is a limit.
    limiters: Vec<Limiter>,
    pods: Vec<Pod>,
    connections: HashMap<ConnId, Connection>,
    by_token: HashMap<u64, ConnId>,
    /// When each connection is to be pinged next: ascending, because all wait equally long. Entries of closed
    /// connections are skipped when they come up, so there are at most as many as were opened in one interval
    /// more than there are connections.
    pings: VecDeque<(Timestamp, ConnId)>,
    waiters: HashMap<WaiterId, Waiter>,
    deadlines: BTreeSet<(Timestamp, WaiterId)>,
    /// Answers that a planted fault holds back.
    late_answers: HashMap<WaiterId, LateAnswer>,
    /// What planted faults do later.
    later: Later,
    faults: Faults,
    effects: VecDeque<Effect>,
    messages_dropped: u64,
    fanout_failed: u64,
    in_seam: u64,
    /// Upgrades, by pod.
    upgrades: Vec<PodTruth>,
}

/// What comes out of [`Backend::poll`].
#[derive(Debug)]
pub enum Effect {
    /// The connection's queue is no longer empty: pull with [`Backend::next_frame`] until it is.
    FramesReady(ConnId),
    /// Send a protocol ping.
    Ping(ConnId),
    /// Send a close frame and end the connection. The backend has forgotten it, and what was queued with it.
    Close {
        /// Which.
        conn: ConnId,
        /// Its code.
        code: u16,
        /// Its reason text (ours; a real server may leave it out).
        reason: Cow<'static, str>,
    },
    /// End the connection by a reset: its pod is dead.
    Reset(ConnId),
    /// End the connection in order, but without a close frame.
    Fin(ConnId),
    /// Answer a blocked sync request.
    SyncReady {
        /// Which.
        waiter: WaiterId,
        /// With this.
        page: Page,
    },
    /// The pod of a blocked sync request is dead: reset its connection.
    SyncGone(WaiterId),
    /// Write a log line.
    Log(LogLine),
}

impl Backend {
    /// Pods that are up, with nobody in them.
    pub fn new(config: &Config) -> Self {
        Self {
            config: config.clone(),
            ids: Ids::new(Seed(config.seed)),
            clock: ToldClock::default(),
            registry: Registry::default(),
            limiters: Vec::new(),
            pods: (0..config.pods).map(|_| Pod::new()).collect(),
            connections: HashMap::new(),
            by_token: HashMap::new(),
            pings: VecDeque::new(),
            waiters: HashMap::new(),
            deadlines: BTreeSet::new(),
            late_answers: HashMap::new(),
            later: Later::default(),
            faults: Faults::new(config),
            effects: VecDeque::new(),
            messages_dropped: 0,
            fanout_failed: 0,
            in_seam: 0,
            upgrades: vec![PodTruth::default(); config.pods as usize],
        }
    }

    /// The oldest effect that has not been taken.
    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to call [`Backend::tick`] at the latest.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let ping = self.pings.front().map(|&(at, _)| at);
        let deadline = self.deadlines.first().map(|&(at, _)| at);
        [ping, deadline, self.later.next()].into_iter().flatten().min()
    }

    /// Time has passed: pings, missed pongs, polls that waited long enough.
    pub fn tick(&mut self, now: Timestamp) {
        self.do_later(now);
        self.ping_due(now);
        self.expire_waiters(now);
    }

    /// The oldest frame that waits for this connection.
    pub fn next_frame(&mut self, conn: ConnId) -> Option<Arc<Outgoing>> {
        self.connections.get_mut(&conn)?.pull()
    }

    /// Begins the fault with this index in the profile; `None` if it is none of ours (client-side, or the
    /// balancer's). The number is what it has hit since it was last asked for.
    pub fn begin_fault(&mut self, now: Timestamp, index: u32) -> Option<u64> {
        let at = self.faults.find(index).filter(|&at| !self.faults.fault(at).kind.is_balancers())?;
        self.faults.begin(now, at);
        if let Some(pod) = self.pod_to_kill(at) {
            let (connections, polls) = self.kill_pod(now, pod);
            let truth = self.faults.truth_mut(at);
            truth.add(Deed::ConnectionReset, connections);
            truth.add(Deed::PollReset, polls);
        }
        self.afflict_streams(now, at);
        self.afflict_metrics(at);
        Some(self.faults.take_affected(at))
    }

    /// Ends it. A pod that was killed for good stays dead.
    pub fn end_fault(&mut self, now: Timestamp, index: u32) -> Option<u64> {
        let at = self.faults.find(index).filter(|&at| !self.faults.fault(at).kind.is_balancers())?;
        let killed = self.pod_to_kill(at);
        if killed.is_none() || self.faults.fault(at).duration.is_some() {
            let was_active = self.faults.is_active(at);
            self.faults.end(now, at);
            if let Some(pod) = killed.filter(|_| was_active) {
                self.revive_pod(pod);
            }
            self.heal_streams(at);
        }
        Some(self.faults.take_affected(at))
    }

    /// What the planted faults have really done so far.
    pub fn truth(&self) -> Truth {
        let faults = self.faults.truths();
        let Self { messages_dropped, fanout_failed, in_seam, .. } = *self;
        let pods = self.upgrades.clone();
        Truth { faults, messages_dropped, fanout_failed, in_seam, pods, ..Truth::default() }
    }

    /// The rules of a token: it must not have expired, and its identity must not be refused.
    fn admit(&mut self, now: Timestamp, pod: u32, caller: &Caller) -> Result<ParticipantIx, ApiError> {
        self.clock.tell(now);
        if !self.pod_is_up(pod) {
            return Err(ApiError::POD_DOWN);
        }
        if caller.expires <= now {
            return Err(ApiError::EXPIRED_TOKEN);
        }
        self.faults.on_token(client_number(&caller.username))?;
        let tenant = self.registry.tenant_named(&caller.tenant, &self.ids, self.config.retention);
        self.limit_tenants(tenant);
        // An identity that never registered is taken in all the same (ours: no error is documented for it).
        Ok(self.registry.participant_named(tenant, &caller.username, &mut self.ids))
    }

    /// Makes the send limiters up to this tenant's.
    fn limit_tenants(&mut self, tenant: TenantIx) {
        let Some(quota) = self.config.send_limit.and_then(quota_of) else { return };
        while self.limiters.len() <= tenant.0 {
            self.limiters.push(RateLimiter::direct_with_clock(quota, self.clock.clone()));
        }
    }

    fn tenant_id_of(&self, participant: ParticipantIx) -> Uuid {
        self.registry.tenant(self.registry.participant(participant).tenant).id
    }

    fn unix_s(&self, now: Timestamp) -> u64 {
        self.config.epoch_unix_s + now.as_nanos() / 1_000_000_000
    }

    /// Writes a line about a connection.
    fn log(
        &mut self,
        now: Timestamp,
        event: LogEvent,
        connection: &Connection,
        reason: Option<&'static str>,
    ) {
        let participant = self.registry.participant(connection.participant);
        let tenant = self.registry.tenant(participant.tenant);
        self.effects.push_back(Effect::Log(LogLine {
            event,
            at_unix_ms: self.config.epoch_unix_s * 1000 + now.as_nanos() / 1_000_000,
            pod: connection.pod + 1,
            tenant_id: Some(tenant.id),
            participant_id: Some(participant.id),
            session_id: Some(connection.session),
            reason,
        }));
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, ToldClock, NoOpMiddleware<Timestamp>>;

/// A steady rate, with bursts of what one second may bring (ours). A limit of 0 lets nothing but one burst of
/// one through: `governor` has no quota of nothing, and an hour is longer than any such test.
fn quota_of(per_second: f64) -> Option<Quota> {
    let period = Duration::try_from_secs_f64(per_second.recip()).unwrap_or(Duration::from_secs(3600));
    let burst = NonZeroU32::new(per_second.ceil() as u32).unwrap_or(NonZeroU32::MIN);
    Quota::with_period(period.max(Duration::from_nanos(1))).map(|quota| quota.allow_burst(burst))
}
