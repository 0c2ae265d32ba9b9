//! The run itself, as a pure state machine: who starts when, what is published, what is planted, what the ledger
//! makes of it, when it drains and when it is over. Driver and simulator only carry out its commands.
//!
//! # Contract
//!
//! The same as a session's: [`Conductor::handle`] and [`Conductor::observe`], then [`Conductor::poll`] until
//! `None`, then [`Conductor::next_wake`].

mod drain;
mod faults;
mod stops;
mod words;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use uuid::Uuid;

use crate::collector::collected::{Collected, Distribution, Finding, Hold, IntervalRow, Metric};
use crate::collector::servers::Servers;
use crate::collector::{Collector, Names, RowContext};
use crate::generator::{Outcome, Publishing, Queue, SyncLoad};
use crate::plan::{Plan, Shard, timeline::Changes};
use crate::profile::{Profile, TrafficMode, TrafficStart};
use crate::session::{Observation, Order};
use crate::time::Timestamp;
use crate::wire::Position;

use drain::Drain;
use faults::Faults;
use stops::Stops;

pub use words::{Command, Event, Fetch, FlushCost, FlushTrouble, LineFault, Publication, SendReply, Strain};

/// What a conductor needs to know before it begins.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The resolved profile.
    pub profile: Arc<Profile>,
    /// Fresh for every run.
    pub run: Uuid,
    /// The stripe.
    pub shard: Shard,
    /// When the first phase begins.
    pub origin: Timestamp,
    /// The server's own ids.
    pub names: Names,
    /// Endpoints that will be scraped.
    pub endpoints: usize,
    /// One of them answers for several pods.
    pub partial: bool,
    /// `limits.publishes`, where limits are enforced (off loopback).
    pub publishes_limit: Option<f64>,
    /// `limits.sync_requests`, likewise.
    pub sync_limit: Option<f64>,
    /// The target is our own: target-side faults are planted.
    pub embedded: bool,
    /// First position of the clients of each tenant.
    pub starts: Vec<Position>,
}

/// The run of one stripe.
#[derive(Debug)]
pub struct Conductor {
    profile: Arc<Profile>,
    plan: Plan,
    origin: Timestamp,
    /// How long the plan was held at its gate (`traffic.start = "all-live"`); `None`: it has not passed it.
    held: Option<Duration>,
    changes: Changes,
    queue: Queue,
    publishing: Publishing,
    sync_load: SyncLoad,
    collector: Collector,
    faults: Faults,
    stops: Stops,
    drain: Drain,
    holds: Vec<Hold>,
    /// Phases whose end has been passed.
    phases_over: usize,
    next_sweep: Timestamp,
    interrupted: bool,
    outbox: VecDeque<Command>,
}

/// Time between two sweeps of the ledger (ours): what a gap may wait for its verdict, beyond the lateness bound.
const SWEEP: Duration = Duration::from_millis(500);
/// The longest that `traffic.start = "all-live"` waits at the gate (ours).
const GATE_LIMIT: Duration = Duration::from_secs(60);

/// A run at one moment, for people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// The phase, or "drain" or "audit".
    pub phase: String,
    /// To the end of the phases, plus the least that a drain takes.
    pub time_left: Option<Duration>,
    /// Missed so far.
    pub missed: u64,
}

impl Conductor {
    /// Before the first phase.
    pub fn new(setup: Setup) -> Self {
        let Setup { profile, run, shard, origin, names, endpoints, partial, .. } = setup;
        let Setup { publishes_limit, sync_limit, embedded, starts, .. } = setup;
        let plan = Plan::new(&profile, shard);
        let gated = profile.traffic.start == TrafficStart::AllLive;
        let servers = Servers::new(endpoints, partial).with_tenants(&names.of_tenants());
        let mut collector = Collector::new(&profile, &plan, &run.to_string(), names, servers);
        if profile.traffic.mode == TrafficMode::Observe {
            collector = collector.listening(&profile, &starts);
        }
        Self {
            origin,
            held: (!gated).then_some(Duration::ZERO),
            changes: plan.timeline.changes(),
            queue: Queue::new(&plan),
            publishing: Publishing::new(&profile, &plan, run, publishes_limit),
            sync_load: SyncLoad::new(&profile, &plan, starts, sync_limit),
            collector,
            faults: Faults::new(&profile, embedded),
            stops: Stops::new(&profile),
            drain: Drain::default(),
            holds: Vec::new(),
            phases_over: 0,
            next_sweep: origin + SWEEP,
            interrupted: false,
            outbox: VecDeque::new(),
            plan,
            profile,
        }
    }

    /// An answer, or something else that happened.
    pub fn handle(&mut self, now: Timestamp, event: Event<'_>) {
        match event {
            Event::Published { ticket, sent, reply } => self.publishing.replied(now, ticket, sent, reply),
            Event::Fetched { id, result } if SyncLoad::owns(id) => {
                self.sync_load.replied(now, id, result.map(|_| ()));
            }
            Event::Fetched { id, result } => self.collector.fetched(now, id, result),
            Event::Planted { fault, affected } => self.faults.planted(fault, affected),
            Event::Scraped { endpoint, text } => self.scraped(now, endpoint, text),
            Event::Pod { endpoint, there } => self.collector.servers.there(endpoint, there),
            Event::Logged(piece) => {
                let over = self.drain.is_finished();
                self.collector.logged(now, piece, over);
            }
            Event::Emptied => self.collector.servers.everybody_leaves(),
            Event::Deserted => self.collector.servers.everybody_has_left(),
            Event::Health(healthy) => self.stops.health(now, healthy),
            Event::Flushed { positions, cost } => self.collector.flushed(positions, cost),
            Event::Unflushed { trouble, times } => self.collector.unflushed(trouble, times),
            Event::Strain(strain) => {
                let quiet = self.is_quiet(now);
                self.collector.strained(now, strain, quiet);
            }
            Event::Interrupted => {
                self.interrupted = true;
                self.cut_short(now);
            }
            Event::Timer => {}
        }
        self.advance(now);
    }

    /// A fact about a client, from its session.
    pub fn observe(&mut self, now: Timestamp, client: u32, fact: &Observation) {
        let at = self.plan_time(now);
        let (held, origin) = (self.held, self.origin);
        let Self { collector, queue, plan, .. } = self;
        // The ledger must know every event that is due before it hears of one that came.
        let leaves_at =
            || plan.timeline.next_leave(client, at).map(|leave| origin + held.unwrap_or_default() + leave);
        collector.observe(now, client, fact, |room| queue.first_n_from(plan, room, at), leaves_at);
    }

    /// The next command.
    pub fn poll(&mut self) -> Option<Command> {
        self.outbox.pop_front()
    }

    /// When to call `handle(now, Event::Timer)` at the latest.
    pub fn next_wake(&mut self) -> Option<Timestamp> {
        if self.drain.is_finished() {
            return None;
        }
        let changes = self.changes.peek(&self.plan.timeline).map(|change| change.at);
        let phase = self.plan.timeline.phases().get(self.phases_over).map(|phase| phase.end);
        let load = self.sync_load.next_due(&self.plan);
        let planned = [changes, phase, self.queue.next_wake(&self.plan), self.faults.next_wake(), load];
        // While the plan is held at its gate, what lies behind the gate has no time yet; the sweep looks again.
        let gate = self.plan.timeline.gate();
        let planned = planned.into_iter().flatten().filter(|at| self.held.is_some() || *at < gate);
        let planned = planned.map(|at| self.run_time(at)).min();
        let own = [
            self.publishing.next_wake(),
            self.sync_load.next_wake(),
            self.collector.next_pages(),
            Some(self.next_sweep),
        ];
        own.into_iter().flatten().chain(planned).min()
    }

    /// The run is over; nothing more will be asked.
    pub fn is_finished(&self) -> bool {
        self.drain.is_finished()
    }

    /// The spans have ended: what is owed to whom is settled, and only the audit goes on.
    pub fn books_are_closed(&self) -> bool {
        self.drain.books_are_closed()
    }

    /// Clients that are live.
    pub fn live(&self) -> u64 {
        self.collector.connections.live()
    }

    /// For people.
    pub fn progress(&self, now: Timestamp) -> Progress {
        let at = self.plan_time(now);
        let end = self.plan.timeline.end();
        let least_drain = self.profile.client.lateness_bound * 2;
        Progress {
            phase: self.phase_name(now),
            time_left: self.drain.began().is_none().then(|| end.saturating_sub(at) + least_drain),
            missed: self.collector.deliveries().missed_after_bridging,
        }
    }

    /// The interval is over: its row and its latencies.
    pub fn turn(&mut self, now: Timestamp) -> (IntervalRow, BTreeMap<Metric, Distribution>) {
        let wanted = if self.drain.began().is_some() {
            self.plan.timeline.wanted_at(self.plan.timeline.end())
        } else {
            self.plan.timeline.wanted_at(self.plan_time(now))
        };
        let context = RowContext {
            at_s: now.as_secs_f64(),
            phase: self.phase_name(now),
            faults: self.faults.names_in_force(&self.profile),
            wanted: u64::from(wanted),
        };
        self.collector.turn(context)
    }

    /// Findings that are complete, since the last call.
    pub fn take_findings(&mut self) -> Vec<Finding> {
        self.collector.take_findings()
    }

    /// Everything counted so far.
    pub fn collected(&self, now: Timestamp) -> Collected {
        let mut collected = self.collector.collected(now);
        collected.holds.clone_from(&self.holds);
        collected.faults = self.faults.records(&self.profile);
        for storm in &mut collected.storms {
            storm.fault = self.faults.behind(&self.profile, storm.began);
        }
        collected.sync_load = self.sync_load.counts();
        collected.harness.interrupted = self.interrupted;
        collected.harness.stopped_by = self.stops.tripped().map(str::to_owned);
        if self.publishing.held_back > 0 {
            collected.harness.refused.insert("publishes_held_back", self.publishing.held_back);
        }
        // A run that is cut short has not come to wait for everybody.
        collected.clients.planned = u64::from(self.plan.population.clients());
        collected
    }

    fn advance(&mut self, now: Timestamp) {
        if self.drain.is_finished() {
            return;
        }
        self.pass_gate(now);
        let at = self.plan_time(now);
        if self.drain.began().is_none() {
            self.play_changes(at);
            self.play_faults(now, at);
            self.end_phases(at);
        }
        self.publish(now, at);
        self.load_sync(now, at);
        if now >= self.next_sweep {
            self.next_sweep = now + SWEEP;
            self.sweep(now);
            self.watch_stops(now);
        }
        self.audit(now);
        self.play_drain(now, at);
    }

    fn play_changes(&mut self, at: Duration) {
        while let Some(change) = self.changes.peek(&self.plan.timeline).filter(|change| change.at <= at) {
            self.changes.pass();
            if !self.plan.shard.has_client(change.client) {
                continue;
            }
            if change.starts {
                self.collector.connections.started(change.client);
            }
            let order = if change.starts { Order::Start } else { Order::Leave };
            self.outbox.push_back(Command::Order { client: change.client, order });
        }
    }

    fn end_phases(&mut self, at: Duration) {
        while let Some(phase) =
            self.plan.timeline.phases().get(self.phases_over).filter(|phase| phase.end <= at)
        {
            self.phases_over += 1;
            if phase.is_hold() && phase.to > 0 {
                let connections = &self.collector.connections;
                let down = (0..phase.to).filter(|&client| !connections.is_live(client));
                self.holds.push(Hold {
                    phase: phase.name.clone(),
                    planned: u64::from(phase.to),
                    live: connections.live(),
                    down_by_harness: down.filter(|&client| connections.failed_locally(client)).count() as u64,
                });
            }
        }
    }

    fn publish(&mut self, now: Timestamp, at: Duration) {
        self.queue.load(&self.plan, at);
        while let Some(due) = self.queue.peek().copied().filter(|due| due.at <= at) {
            self.queue.pop();
            self.collector.issued(due.room, due.n);
            let publisher = publisher(&self.plan, due.room, u64::from(due.n));
            let due_at = self.run_time(due.at);
            self.publishing.due(due.room, Some(due.n), publisher, due_at);
        }
        self.publishing.pump(now, &self.plan);
        while let Some(publication) = self.publishing.poll() {
            if let Some(n) = publication.n.filter(|_| publication.first_sent.is_none()) {
                self.collector.ledger.sending(publication.room, n);
            }
            self.outbox.push_back(Command::Publish(publication));
        }
        self.take_ended(now);
    }

    fn load_sync(&mut self, now: Timestamp, at: Duration) {
        while let Some(due) = self.sync_load.next_due(&self.plan).filter(|due| *due <= at) {
            let due = self.run_time(due);
            self.sync_load.due(due);
        }
        self.sync_load.pump(now, &self.plan);
        while let Some((id, client, what)) = self.sync_load.poll() {
            self.outbox.push_back(Command::Fetch { id, client, what });
        }
        while let Some(answered) = self.sync_load.ended() {
            self.collector.sync_ended(answered);
        }
    }

    fn take_ended(&mut self, now: Timestamp) {
        while let Some(ended) = self.publishing.ended() {
            if let Outcome::Acknowledged { position: Some(position), .. } = ended.outcome {
                let tenant = self.plan.population.tenant_of_room(ended.room);
                self.sync_load.acknowledged(tenant, position);
            }
            self.drain.publish_ended(now, &ended);
            self.collector.ended(now, &ended);
        }
    }

    fn sweep(&mut self, now: Timestamp) {
        let plan = &self.plan;
        self.collector.sweep(now, |room, n| publisher(plan, room, u64::from(n)));
    }

    fn audit(&mut self, now: Timestamp) {
        for (id, client, what) in self.collector.pages(now) {
            self.outbox.push_back(Command::Fetch { id, client, what });
        }
        self.collector.take_found(now);
    }

    fn pass_gate(&mut self, now: Timestamp) {
        let reached = self.origin + self.plan.timeline.gate();
        if self.held.is_some() || now < reached {
            return;
        }
        let wanted = self.plan.timeline.phases().first().map_or(0, |phase| phase.to);
        let connections = &self.collector.connections;
        let all_live =
            (0..wanted).all(|client| connections.is_ready(client) || !connections.is_trying(client));
        let shard_plays = self
            .changes
            .peek(&self.plan.timeline)
            .is_none_or(|change| change.at >= self.plan.timeline.gate());
        if (all_live && shard_plays) || now.since(reached) >= GATE_LIMIT {
            self.held = Some(now.since(reached));
        }
    }

    /// Plan time of a moment of the run; held at the gate until it is passed.
    fn plan_time(&self, now: Timestamp) -> Duration {
        let passed = now.since(self.origin);
        let gate = self.plan.timeline.gate();
        match self.held {
            Some(held) if passed > gate => passed.saturating_sub(held).max(gate),
            Some(_) => passed,
            None => passed.min(gate),
        }
    }

    /// The moment of the run of a plan time.
    fn run_time(&self, at: Duration) -> Timestamp {
        let held =
            if at > self.plan.timeline.gate() { self.held.unwrap_or_default() } else { Duration::ZERO };
        self.origin + at + held
    }

    fn scraped(&mut self, now: Timestamp, endpoint: u32, text: Option<&str>) {
        let ends_round = self.collector.servers.ends_round(endpoint);
        self.collector.servers.scraped(endpoint, text);
        if ends_round {
            let quiet = self.is_quiet(now);
            let Collector { servers, connections, .. } = &mut self.collector;
            servers.compare(connections.live(), connections.tenant_live(), quiet);
        }
    }

    /// Neither a ramp nor a fault is under way.
    fn is_quiet(&self, now: Timestamp) -> bool {
        let at = self.plan_time(now);
        let holds = self.plan.timeline.phase_at(at).is_some_and(|phase| phase.is_hold() && at < phase.end);
        holds && !self.faults.any_in_force(at)
    }

    fn phase_name(&self, now: Timestamp) -> String {
        match self.drain.name() {
            Some(name) => name.to_owned(),
            None => self
                .plan
                .timeline
                .phase_at(self.plan_time(now))
                .map_or_else(String::new, |phase| phase.name.clone()),
        }
    }

    /// No more traffic, no more comings and goings; what is under way ends.
    fn cut_short(&mut self, now: Timestamp) {
        self.queue.stop(&self.plan);
        self.publishing.stop();
        self.sync_load.stop();
        self.drain.hurry(now);
    }
}

/// Who publishes: a member of the room, drawn by seed, whatever the state of its stream.
fn publisher(plan: &Plan, room: u32, n: u64) -> u32 {
    let members = plan.population.members_len(room).max(1);
    let drawn = plan.seed.stream("publisher", [u64::from(room), n, 0]).random_range(0..members);
    plan.population.members(room).nth(drawn as usize).unwrap_or(0)
}
