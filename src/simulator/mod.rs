//! The same sessions, plan, generator, collector and target in virtual time: one event queue, one seed, no waiting.
//!
//! A profile with faults runs in milliseconds and reproduces exactly. What is simulated here is only what lies
//! between the pure rooms: a network with delays (in order per connection), the balancer in front of the pods, and
//! the identity provider. Everything that is judged is the code that runs over sockets as well.

mod clients;
mod happening;
mod identity;
mod network;
mod provision;
mod requests;
mod restart;
pub mod trace;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use uuid::Uuid;

use clients::Client;
use happening::{Agenda, Happening};
use identity::Identity;
use network::Link;
use trace::Trace;

use crate::collector::collected::{Collected, Finding, IntervalRow};
use crate::plan::{Population, Shard};
use crate::positions::Positions;
use crate::profile::{FaultKind, Profile};
use crate::seed::{Seed, Stream};
use crate::session;
use crate::target::balancer::Balancer;
use crate::target::{Backend, Config, ConnId, Effect, Truth};
use crate::time::Timestamp;
use crate::worker::conductor::{Command, Conductor, Event, Setup};

/// What a simulated run came to.
#[derive(Debug)]
pub struct Simulated {
    /// What the harness counted.
    pub collected: Collected,
    /// What the target's planted faults did.
    pub truth: Truth,
    /// The findings, in order.
    pub findings: Vec<Finding>,
    /// The timeline.
    pub rows: Vec<IntervalRow>,
    /// Events of the queue that were played.
    pub steps: u64,
    /// Virtual time at the end.
    pub ended: Timestamp,
}

/// Why a simulation came to no end.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// The queue ran dry before the run was over: a machine forgot to ask for its next wake-up.
    #[error("failed to finish: nothing is left to happen at {0:.3} s, and the run is not over")]
    Stuck(f64),
    /// Far more happened than a run of this profile can need.
    #[error("failed to finish: more than {0} events")]
    Endless(u64),
    /// The target refused to be provisioned.
    #[error("failed to provision the target: {0}")]
    Provision(&'static str),
}

/// Bounds a simulation that would never end (ours).
const STEPS: u64 = 2_000_000_000;

/// Plays a profile in virtual time.
///
/// # Errors
/// A simulation that does not come to an end; that is a defect of ours.
pub fn simulate(profile: &Profile) -> Result<Simulated, SimulationError> {
    World::new(profile)?.play().map(|(simulated, _)| simulated)
}

/// The same, with a trace of everything that passed between sessions and network.
///
/// # Errors
/// As [`simulate`].
pub fn simulate_traced(profile: &Profile) -> Result<(Simulated, Trace), SimulationError> {
    let mut world = World::new(profile)?;
    world.trace(world.clients.iter().map(Client::position).collect());
    world.play().map(|(simulated, trace)| (simulated, trace.unwrap_or_default()))
}

struct World {
    now: Timestamp,
    agenda: Agenda,
    conductor: Conductor,
    backend: Backend,
    balancer: Balancer,
    /// The server's ids of the rooms, by index in the plan.
    rooms: Vec<String>,
    clients: Vec<Client>,
    identities: Vec<Identity>,
    links: BTreeMap<u64, Link>,
    next_id: u64,
    random: Stream,
    run: Uuid,
    profile: Arc<Profile>,
    requests: BTreeMap<u64, requests::Request>,
    /// What the store of each client has.
    positions: Positions,
    /// The idle timeout that is planted now.
    idle_fault: Option<u32>,
    /// Likewise, the one that has planted an age.
    age_fault: Option<u32>,
    /// What the balancer did.
    balancers: Truth,
    conductor_wake: Timestamp,
    backend_wake: Timestamp,
    findings: Vec<Finding>,
    rows: Vec<IntervalRow>,
    finished: bool,
    /// Written only when somebody wants it.
    trace: Option<Trace>,
    books_closed: bool,
}

impl World {
    fn new(profile: &Profile) -> Result<Self, SimulationError> {
        let profile = Arc::new(profile.clone());
        let seed = Seed(profile.seed);
        let people = Population::new(&profile.population);
        let config = Config::from_profile(&profile);
        let mut backend = Backend::new(&config);
        // Derived from the seed, so that a simulation reproduces to the bit; over sockets a run id is always fresh.
        let run = Uuid::from_u64_pair(profile.seed, 0x5175);
        let identities: Vec<Identity> = (0..people.clients())
            .map(|client| Identity::new(&people, client, config.token_lifetime))
            .collect();
        let provisioned = provision::provision(&mut backend, &people, &identities, run)?;
        let setup = Setup {
            profile: profile.clone(),
            run,
            shard: Shard::WHOLE,
            origin: Timestamp::ZERO,
            names: provisioned.names,
            endpoints: config.pods as usize,
            partial: false,
            publishes_limit: None,
            sync_limit: None,
            embedded: true,
            starts: provisioned.positions.clone(),
        };
        let settings = Arc::new(session::Settings::new(profile.client.clone(), run.to_string()));
        let clients = (0..people.clients())
            .map(|client| {
                let position = provisioned.positions[people.tenant_of(client) as usize];
                let life = identities[client as usize].life();
                Client::new(&settings, position, life, seed.stream("session", [u64::from(client), 0, 0]))
            })
            .collect();
        Ok(Self {
            now: Timestamp::ZERO,
            agenda: Agenda::default(),
            conductor: Conductor::new(setup),
            balancer: Balancer::new(&config.balancer, config.pods),
            backend,
            rooms: provisioned.rooms,
            clients,
            identities,
            links: BTreeMap::new(),
            next_id: 0,
            random: seed.stream("network", [0; 3]),
            run,
            positions: Positions::new(people.clients(), profile.client.flush_interval, Timestamp::ZERO),
            profile,
            requests: BTreeMap::new(),
            idle_fault: None,
            age_fault: None,
            balancers: Truth::default(),
            conductor_wake: Timestamp::MAX,
            backend_wake: Timestamp::MAX,
            findings: Vec::new(),
            rows: Vec::new(),
            finished: false,
            trace: None,
            books_closed: false,
        })
    }

    fn play(mut self) -> Result<(Simulated, Option<Trace>), SimulationError> {
        self.agenda.at(Timestamp::ZERO, Happening::Scrape);
        self.agenda.at(Timestamp::ZERO, Happening::Health);
        self.agenda.at(Timestamp::ZERO + self.profile.report.interval, Happening::Interval);
        self.agenda.at(self.positions.due(), Happening::Flush);
        self.conduct(Event::Timer);
        let mut steps = 0;
        while !self.finished {
            let Some((at, happening)) = self.agenda.next() else {
                return Err(SimulationError::Stuck(self.now.as_secs_f64()));
            };
            steps += 1;
            if steps > STEPS {
                return Err(SimulationError::Endless(STEPS));
            }
            self.now = at;
            self.happen(happening);
        }
        self.everybody_leaves();
        self.ask_for_effects();
        self.end_interval();
        let mut collected = self.conductor.collected(self.now);
        let trace = self.take_trace();
        let (mut truth, findings, rows) = (self.backend.truth(), self.findings, self.rows);
        collected.server.fanout_failed = Some(truth.fanout_failed);
        truth.merge(&self.balancers);
        Ok((Simulated { collected, truth, findings, rows, steps, ended: self.now }, trace))
    }

    /// Tells the conductor something, and carries out what it wants.
    fn conduct(&mut self, event: Event<'_>) {
        self.tell(event);
        while let Some(command) = self.conductor.poll() {
            self.trace_command(&command);
            match command {
                Command::Order { client, order } => self.feed(client, session::Input::Order(order)),
                Command::Plant { fault, clients, line } => self.plant(fault, &clients, line),
                // There is nothing in virtual time that a command could reach.
                Command::Hook { .. } => {}
                Command::Target { fault, begin } => self.target_fault(fault, begin),
                Command::Publish(publication) => self.publish(publication),
                Command::Fetch { id, client, what } => self.fetch(id, client, what),
                Command::Finished => self.finished = true,
            }
        }
        self.findings.extend(self.conductor.take_findings());
        if let Some(wake) = self.conductor.next_wake().filter(|&wake| wake < self.conductor_wake) {
            self.conductor_wake = wake.max(self.now);
            self.agenda.at(self.conductor_wake, Happening::ConductorWake);
        }
    }

    /// Tells the conductor something; what it wants is carried out when it is next conducted.
    fn tell(&mut self, event: Event<'_>) {
        self.trace_event(&event);
        self.conductor.handle(self.now, event);
        self.trace_end();
    }

    /// Carries out what the backend wants; to be called after every call to it.
    fn settle_backend(&mut self) {
        while let Some(effect) = self.backend.poll() {
            match effect {
                Effect::FramesReady(conn) => self.pull_frames(conn.0),
                Effect::Ping(conn) => self.deliver(conn.0, network::Parcel::Ping),
                Effect::Close { conn, code, reason } => {
                    self.deliver(conn.0, network::Parcel::Close { code, reason });
                }
                Effect::Reset(conn) => self.deliver(conn.0, network::Parcel::Reset),
                Effect::Fin(conn) => self.deliver(conn.0, network::Parcel::Eof),
                Effect::SyncReady { waiter, page } => self.sync_ready(waiter.0, Ok(page)),
                Effect::SyncGone(waiter) => self.sync_ready(waiter.0, Err(session::SyncTrouble::Network)),
                Effect::Log(_) => {}
            }
        }
        if let Some(wake) = self.backend.next_wake().filter(|&wake| wake < self.backend_wake) {
            self.backend_wake = wake.max(self.now);
            self.agenda.at(self.backend_wake, Happening::BackendWake);
        }
    }

    fn target_fault(&mut self, fault: u32, begin: bool) {
        let of_balancer = match self.profile.faults[fault as usize].kind {
            FaultKind::IdleTimeout(timeout) => {
                self.balancer.plant_idle_timeout(begin.then_some(timeout));
                self.idle_fault = begin.then_some(fault);
                true
            }
            FaultKind::MaxAge(age) => {
                self.balancer.plant_max_age(begin.then_some(age));
                self.age_fault = begin.then_some(fault);
                true
            }
            _ => false,
        };
        if of_balancer {
            let links: Vec<u64> = self.links.keys().copied().collect();
            for link in links {
                self.agenda.at(self.now, Happening::IdleCheck { link });
            }
            return;
        }
        let now = self.now;
        let backend = &mut self.backend;
        let affected = if begin { backend.begin_fault(now, fault) } else { backend.end_fault(now, fault) };
        self.settle_backend();
        if let Some(affected) = affected {
            self.tell(Event::Planted { fault, affected });
        }
    }

    /// The books are closed: what the pods' gauges show when everybody has gone.
    fn everybody_leaves(&mut self) {
        for &link in self.links.keys() {
            self.backend.gone(self.now, ConnId(link));
        }
        // Nobody is there any more to whom something could happen.
        while self.backend.poll().is_some() {}
        self.tell(Event::Emptied);
        self.scrape();
        self.tell(Event::Deserted);
    }

    /// The run is over: what did the faults do that were never ended?
    fn ask_for_effects(&mut self) {
        for fault in 0..self.profile.faults.len() as u32 {
            if let Some(affected) = self.backend.end_fault(self.now, fault) {
                self.tell(Event::Planted { fault, affected });
            }
        }
    }

    fn end_interval(&mut self) {
        let (row, _) = self.conductor.turn(self.now);
        self.rows.push(row);
    }

    fn scrape(&mut self) {
        for pod in 0..self.backend.pods() {
            let text = self.backend.metrics_text(pod);
            self.conduct(Event::Scraped { endpoint: pod, text: text.as_deref() });
        }
    }

    fn check_health(&mut self) {
        for pod in 0..self.backend.pods() {
            self.balancer.mark(pod, self.backend.pod_is_up(pod));
        }
        let up = (0..self.backend.pods()).any(|pod| self.backend.pod_is_up(pod));
        self.conduct(Event::Health(up));
    }

    /// One way through the network: 0.2 to 2 ms (ours).
    fn hop(&mut self) -> Duration {
        Duration::from_micros(self.random.random_range(200..2_000))
    }

    fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::ConductorWake => {
                if self.now >= self.conductor_wake {
                    self.conductor_wake = Timestamp::MAX;
                }
                self.conduct(Event::Timer);
            }
            Happening::BackendWake => {
                self.backend_wake = Timestamp::MAX;
                self.backend.tick(self.now);
                self.settle_backend();
            }
            Happening::ClientWake { client } => self.wake_client(client),
            Happening::Scrape => {
                self.scrape();
                self.agenda.at(self.now + self.profile.target.scrape_interval, Happening::Scrape);
            }
            Happening::Health => {
                self.check_health();
                let interval = self.profile.target.embedded.balancer.health_interval;
                self.agenda.at(self.now + interval, Happening::Health);
            }
            Happening::Interval => {
                self.end_interval();
                self.agenda.at(self.now + self.profile.report.interval, Happening::Interval);
            }
            Happening::Flush => {
                self.flush();
                self.agenda.at(self.positions.due(), Happening::Flush);
            }
            Happening::Dialled { link } => self.dialled(link),
            Happening::Arrived { link, parcel } => self.arrived(link, parcel),
            Happening::ReadSlowly { link } => self.read_slowly(link),
            Happening::Sent { link, parcel } => self.received_by_pod(link, &parcel),
            Happening::IdleCheck { link } => self.idle_check(link),
            Happening::Asked { request } => self.asked(request),
            Happening::Answered { request, answer } => self.answered(request, answer),
        }
    }
}
