//! Facts into numbers: ledger, latency, connections, server metrics, strain, findings.

pub mod audit;
pub mod collected;
pub mod connections;
pub(crate) mod exposition;
mod findings;
mod gauges;
pub mod latency;
pub mod ledger;
pub mod observed;
mod pods;
mod rows;
mod server_log;
pub mod servers;
mod stickiness;
mod storms;
mod strain;

use std::collections::BTreeMap;
use std::time::Duration;

use audit::{Auditor, Item, Store};
use collected::{Collected, Deliveries, Distribution, Finding, IntervalRow, Metric, Publishes, Tenant};
use connections::Connections;
use findings::Findings;
use latency::Latency;
use ledger::{First, Ledger, Missed, Rules, Sighting, Word};
use observed::{Observed, Survey};
use pods::Pods;
use rows::Before;
use server_log::LogReader;
use servers::Servers;
use stickiness::Sessions;
use storms::Storms;
use strain::StrainLog;

pub use findings::Names;
pub use rows::RowContext;
pub use server_log::LogPiece;

use crate::generator::{Ended, Outcome};
use crate::plan::Plan;
use crate::profile::{BridgeOrder, Profile};
use crate::session::{Cause, Channel, Observation, Oddity, SyncTrouble};
use crate::time::Timestamp;
use crate::wire::{Position, Stamp, SyncPage, id_hash};
use crate::worker::conductor::{Fetch, FlushCost, FlushTrouble, Strain};

/// Everything that one stripe of a run counts.
#[derive(Debug)]
pub struct Collector {
    /// What became of every event owed to every client.
    pub ledger: Ledger,
    /// The books of a run that only listens, instead of the ledger's; and what reads the rooms' histories for it.
    listening: Option<(Observed, Survey)>,
    /// Who is live.
    pub connections: Connections,
    storms: Storms,
    /// What the pods say.
    pub servers: Servers,
    /// Look-ups of what was missed.
    pub auditor: Auditor,
    sessions: Sessions,
    /// `None`: no log of the server is read.
    log: Option<LogReader>,
    pods: Pods,
    latency: Latency,
    publishes: Vec<Publishes>,
    unsent_by_harness: u64,
    findings: Findings,
    strain: StrainLog,
    flushes: collected::Flushes,
    oddities: BTreeMap<&'static str, u64>,
    people: crate::plan::Population,
    before: Before,
}

impl Collector {
    /// Nothing counted yet.
    pub fn new(profile: &Profile, plan: &Plan, run: &str, names: Names, servers: Servers) -> Self {
        let people = plan.population.clone();
        let traffic = &profile.traffic;
        let rests = Duration::from_secs(2) * traffic.send_attempts;
        let outcome_within = traffic.max_send_lateness + traffic.send_timeout * traffic.send_attempts + rests;
        let rules = Rules {
            lateness_bound: profile.client.lateness_bound,
            outcome_within,
            window: profile.audit.window as usize,
            remember: outcome_within + profile.client.lateness_bound * 2 + Duration::from_secs(30),
            sync_first: profile.client.bridge == BridgeOrder::SyncFirst,
        };
        Self {
            ledger: Ledger::new(people.clone(), rules),
            listening: None,
            connections: Connections::new(people.clients(), people.tenants()),
            storms: Storms::new(people.clients()),
            servers,
            auditor: Auditor::new(&profile.audit, run.to_owned()),
            sessions: Sessions::new(people.clients()),
            log: profile.target.log_file.as_ref().map(|_| LogReader::new(people.clients())),
            pods: Pods::new(people.clients()),
            latency: Latency::new(people.tenants() as usize),
            publishes: vec![Publishes::default(); people.tenants() as usize],
            unsent_by_harness: 0,
            findings: Findings::new(profile.report.findings_per_kind as usize, names),
            strain: StrainLog::default(),
            flushes: collected::Flushes::default(),
            oddities: BTreeMap::new(),
            people,
            before: Before::default(),
        }
    }

    /// The run only listens, in the rooms that the names tell of; `starts` is where the clients of each tenant begin.
    #[must_use]
    pub fn listening(mut self, profile: &Profile, starts: &[Position]) -> Self {
        let (people, rooms) = (&self.people, &self.findings.names.rooms);
        let window = profile.audit.window as usize;
        let observed = Observed::new(people, rooms, profile.client.lateness_bound, window);
        let survey = Survey::new(people, starts, profile.audit.rate.0);
        self.listening = Some((observed, survey));
        self
    }

    /// An event is due.
    pub fn issued(&mut self, room: u32, n: u32) {
        self.publishes[self.people.tenant_of_room(room) as usize].intended += 1;
        self.ledger.issue(room, n);
    }

    /// A publish has ended; fences are not counted.
    pub fn ended(&mut self, now: Timestamp, ended: &Ended) {
        if ended.n.is_none() {
            return;
        }
        let publishes = &mut self.publishes[self.people.tenant_of_room(ended.room) as usize];
        *match ended.outcome {
            Outcome::Acknowledged { .. } => &mut publishes.acknowledged,
            Outcome::Rejected => &mut publishes.rejected,
            Outcome::Unknown => &mut publishes.unknown,
            Outcome::Unsent => &mut publishes.unsent,
        } += 1;
        publishes.sent += u64::from(ended.outcome != Outcome::Unsent);
        self.unsent_by_harness += u64::from(ended.outcome == Outcome::Unsent && ended.own_fault);
        if let Some(sent) = ended.sent {
            self.latency.record(Metric::SendLateness, sent.since(ended.due));
            if matches!(ended.outcome, Outcome::Acknowledged { .. }) {
                self.latency.record(Metric::PublishAck, now.since(sent));
            }
        }
        self.ledger.ended(now, ended);
    }

    /// A sync request of the load has ended: how long after it was due a page came, if one came.
    pub fn sync_ended(&mut self, answered: Option<Duration>) {
        match answered {
            Some(latency) => self.latency.record(Metric::SyncLoad, latency),
            None => self.latency.record_never(Metric::SyncLoad),
        }
    }

    /// A fact about a client; the last two arguments as in [`Ledger::observe`].
    pub fn observe(
        &mut self,
        now: Timestamp,
        client: u32,
        fact: &Observation,
        first_n: impl FnMut(u32) -> u32,
        leaves_at: impl FnOnce() -> Option<Timestamp>,
    ) {
        match fact {
            Observation::Arrived(arrival) if let Some((observed, _)) = &mut self.listening => {
                // Nobody knows when it was published: there is no latency.
                observed.arrived(now, client, arrival);
            }
            Observation::Arrived(arrival) => {
                let Some(first) = self.ledger.arrived(now, client, arrival) else { return };
                let Some(stamp) = arrival.stamp else { return };
                let latency = now.since(stamp.due);
                self.latency.arrived(self.people.tenant_of(client), latency, first == First::Live);
                match first {
                    First::Live => self.latency.record(Metric::DeliverySent, now.since(stamp.sent)),
                    First::Bridged => self.latency.record(Metric::BridgeDelivery, latency),
                    First::Polled => self.latency.record(Metric::PollDelivery, latency),
                }
                debug_assert_eq!(first == First::Live, matches!(arrival.channel, Channel::Stream { .. }));
            }
            Observation::Odd(oddity) => *self.oddities.entry(oddity_name(*oddity)).or_default() += 1,
            _ => {
                self.note_oddities(now, client, fact);
                self.pods.observe(client, fact);
                let strained = self.strain.was_late(now);
                self.connections.observe(now, client, fact, strained, &mut self.latency);
                self.storms.observe(now, client, fact, self.connections.live());
                if let Some(log) = &mut self.log {
                    log.observe(client, fact);
                }
                if let Some(lost) = self.sessions.observe(now, client, fact) {
                    self.findings.upgrade_lost(now, client, lost, &self.people);
                }
                match &mut self.listening {
                    Some((observed, _)) => observed.observe(now, client, fact),
                    None => self.ledger.observe(now, client, fact, first_n, leaves_at),
                }
            }
        }
    }

    fn note_oddities(&mut self, now: Timestamp, client: u32, fact: &Observation) {
        let mut count = |name| *self.oddities.entry(name).or_default() += 1;
        match fact {
            Observation::Hello { info, .. } => {
                if info.slow {
                    count("hello_slow");
                }
                let expected = self.findings.names.tenant(self.people.tenant_of(client));
                match (info.tenant_id.as_deref(), expected) {
                    (None, _) => count("hello_without_tenant"),
                    (Some(said), Some(expected)) if said != expected => {
                        count("hello_wrong_tenant");
                        self.findings.about_client(now, "hello_wrong_tenant", client, &self.people);
                    }
                    _ => {}
                }
            }
            Observation::SyncPage { regressed: true, .. } => {
                count("sync_cursor_regressed");
                self.findings.about_client(now, "sync_cursor_regressed", client, &self.people);
            }
            Observation::SyncFailed(trouble) => count(trouble_name(*trouble)),
            Observation::RefreshFailed { refused: true } => count("refresh_refused"),
            Observation::RefreshFailed { refused: false } => count("refresh_failed"),
            Observation::Ping { json: true, .. } => count("ping_json"),
            Observation::Ping { json: false, .. } => count("ping_frame"),
            Observation::Disconnected { cause: Cause::DuplicateConnection, .. } => {
                self.findings.about_client(now, "evicted", client, &self.people);
            }
            _ => {}
        }
    }

    /// A planted fault that ends connections begins, or none is under way any more.
    pub fn disturbed(&mut self, now: Timestamp, in_force: bool) {
        self.sessions.disturb(now, in_force);
    }

    /// A piece of the server's own log; `over`: everybody leaves, which is not observed any more.
    pub fn logged(&mut self, now: Timestamp, piece: &LogPiece, over: bool) {
        let words = self.log.as_mut().map_or_else(Vec::new, |log| log.read(now, piece, over));
        for word in words {
            self.findings.logged(now, word, &self.people);
        }
    }

    /// How the harness fares; `quiet`: neither a ramp nor a fault is under way.
    pub fn strained(&mut self, now: Timestamp, strain: Strain, quiet: bool) {
        self.strain.note(now, strain, quiet);
    }

    /// These clients' positions are durable now.
    pub fn flushed(&mut self, positions: &[(u32, Position)], cost: FlushCost) {
        for &(client, position) in positions {
            match &mut self.listening {
                Some((observed, _)) => observed.stored(client, position),
                None => self.ledger.stored(client, position),
            }
        }
        let flushes = &mut self.flushes;
        flushes.count += 1;
        flushes.bytes += cost.bytes;
        if let Some(took) = cost.took {
            flushes.took += took;
            flushes.took_max = Some(flushes.took_max.map_or(took, |most| most.max(took)));
        }
    }

    /// They are not.
    pub fn unflushed(&mut self, trouble: FlushTrouble, times: u64) {
        let kind = match trouble {
            FlushTrouble::Skipped => "positions_flush_skipped",
            FlushTrouble::Unwritten => "positions_flush_failed",
            FlushTrouble::Unread => "positions_unread",
            FlushTrouble::Torn => "positions_torn",
        };
        *self.flushes.troubles.entry(kind).or_default() += times;
    }

    /// Moves the ledger on, and carries its words to the audit and the findings. `publisher` names an identity for
    /// looking up a doubtful publish.
    pub fn sweep(&mut self, now: Timestamp, publisher: impl Fn(u32, u32) -> u32) {
        match &mut self.listening {
            Some((observed, _)) => observed.sweep(now),
            None => self.ledger.sweep(now),
        }
        self.hear(now, publisher);
    }

    /// The run has ended: see [`Ledger::end_spans`].
    pub fn end_spans(&mut self, now: Timestamp, interrupted: bool, publisher: impl Fn(u32, u32) -> u32) {
        let Self { ledger, connections, listening, .. } = self;
        let by_harness = |client| interrupted || connections.failed_locally(client);
        match listening {
            Some((observed, _)) => observed.end_spans(now, by_harness),
            None => ledger.end_spans(now, by_harness),
        }
        self.hear(now, publisher);
        if self.listening.is_some() {
            return;
        }
        let undecided: Vec<u64> =
            self.ledger.deliveries().iter().map(|deliveries| deliveries.undecided).collect();
        for (tenant, undecided) in (0..).zip(undecided) {
            self.latency.never_arrived(tenant, undecided);
        }
    }

    fn hear(&mut self, now: Timestamp, publisher: impl Fn(u32, u32) -> u32) {
        while let Some(word) = match &mut self.listening {
            Some((observed, _)) => observed.poll(),
            None => self.ledger.poll(),
        } {
            match word {
                Word::Missed(missed) => self.missed(now, missed),
                Word::LookUp { room, n, above } => self.auditor.want(Item {
                    client: publisher(room, n),
                    room,
                    n,
                    low: above.saturating_add(1),
                    high: u64::MAX,
                    doubtful: true,
                    id: 0,
                }),
                Word::Stray { kind, client, room, n, position } => {
                    self.findings.stray(now, kind, client, room, n, position, &self.people);
                }
            }
        }
    }

    fn missed(&mut self, now: Timestamp, missed: Missed) {
        let Missed { client, room, n, low, high, id, .. } = missed;
        if self.listening.is_none() {
            self.latency.never_arrived(self.people.tenant_of(client), 1);
        }
        self.findings.missed(now, missed);
        self.auditor.want(Item { client, room, n, low, high, id, doubtful: false });
    }

    /// A page for the audit came, or did not. Whatever it shows has been seen.
    pub fn fetched(&mut self, now: Timestamp, id: u64, result: Result<&SyncPage<'_>, SyncTrouble>) {
        if let Some((observed, survey)) = self.listening.as_mut().filter(|_| Survey::owns(id)) {
            let read = survey.fetched(now, id, result, |room| observed.settled(room));
            if let (Some(read), Ok(page)) = (read, result) {
                observed.shown(now, read.room, page);
                if let Some(to) = read.to_the_end {
                    observed.surveyed(read.room, to);
                }
            }
            for (client, room) in survey.take_refused() {
                *self.oddities.entry("survey_refused").or_default() += 1;
                self.findings.stray(now, "survey_refused", client, room, None, None, &self.people);
            }
            return;
        }
        if let (Ok(page), Some(client)) = (result, self.auditor.asks_for(id)) {
            for event in page.events.iter().filter(|event| event.is_message) {
                let stamp = event.stamp.and_then(|stamp| stamp.of_run(self.auditor.run()));
                let Some((stamp, n)) = stamp.and_then(|stamp| Some((stamp, stamp.n?))) else { continue };
                let (position, id) = (event.position, event.id.as_deref().map_or(0, id_hash));
                let Stamp { room, sent, .. } = stamp;
                self.ledger.shown(now, client, Sighting { room, n, sent, position, id });
            }
        }
        self.auditor.fetched(now, id, result);
    }

    /// Takes what the audit has found.
    pub fn take_found(&mut self, now: Timestamp) {
        while let Some((item, store)) = self.auditor.found() {
            if item.doubtful {
                self.found_doubtful(item, &store);
            } else {
                self.found_missed(now, item, store);
            }
        }
    }

    fn found_doubtful(&mut self, item: Item, store: &Store) {
        match store {
            // The ledger was told when the page came.
            Store::InSync { .. } | Store::InHistory { .. } => return,
            Store::Nowhere => {}
            Store::Signalled | Store::Unaudited => {
                *self.oddities.entry("unknown_publish_unaudited").or_default() += 1;
            }
        }
        self.ledger.looked_up_in_vain(item.room, item.n);
    }

    fn found_missed(&mut self, now: Timestamp, item: Item, store: Store) {
        let tenant = self.people.tenant_of(item.client);
        let deliveries = match &mut self.listening {
            Some((observed, _)) => observed.deliveries_mut(tenant),
            None => self.ledger.deliveries_mut(tenant),
        };
        let name = match &store {
            Store::InSync { .. } => {
                deliveries.recoverable += 1;
                "recoverable"
            }
            Store::InHistory { .. } => {
                deliveries.recoverable += 1;
                deliveries.sync_hole += 1;
                "recoverable"
            }
            Store::Nowhere => {
                deliveries.lost_by_server += 1;
                "lost_by_server"
            }
            Store::Signalled => {
                deliveries.signalled_loss += 1;
                "signalled_loss"
            }
            Store::Unaudited => {
                deliveries.unaudited += 1;
                "unaudited"
            }
        };
        let found = match store {
            Store::InSync { position, id } | Store::InHistory { position, id } => (position, id),
            _ => (None, None),
        };
        self.findings.stored(now, item, name, found, &self.people);
    }

    /// Findings that are complete, since the last call.
    pub fn take_findings(&mut self) -> Vec<Finding> {
        self.findings.take()
    }

    /// Missed so far, fleet-wide.
    pub fn deliveries(&self) -> Deliveries {
        match &self.listening {
            Some((observed, _)) => {
                let all: Vec<Deliveries> =
                    (0..self.people.tenants()).map(|tenant| observed.deliveries(tenant)).collect();
                collected::sum(&all)
            }
            None => collected::sum(self.ledger.deliveries()),
        }
    }

    /// Owed events that have not come yet.
    pub fn open_gaps(&self) -> u64 {
        match &self.listening {
            Some((observed, _)) => observed.open_gaps(),
            None => self.ledger.open_gaps(),
        }
    }

    /// Whoever is owed an account is ready, and has nothing open that time could still decide: `events_ended`, when the last
    /// publish had its outcome, and where nothing is published, when the drain began.
    pub fn everyone_is_accounted_for(&self, events_ended: Timestamp) -> bool {
        let in_span = |client: &u32| match &self.listening {
            Some((observed, _)) => observed.in_span(*client),
            None => self.ledger.in_span(*client),
        };
        let settled = |client| match &self.listening {
            Some((observed, _)) => observed.is_accounted_for(client, events_ended),
            None => !self.ledger.has_gaps(client) || self.ledger.proved_past(client, events_ended),
        };
        (0..self.people.clients()).filter(in_span).all(|client| {
            (self.connections.is_ready(client) && settled(client)) || !self.connections.is_trying(client)
        })
    }

    /// The last look at the rooms' histories begins; `true` when it is over, or when there is none to have.
    pub fn survey_is_over(&mut self, now: Timestamp) -> bool {
        let Some((_, survey)) = &mut self.listening else { return true };
        survey.begin_last_round(now);
        survey.is_over()
    }

    /// The run is over: what the histories have not shown, they do not show any more.
    pub fn abandon_survey(&mut self) {
        if let Some((_, survey)) = &mut self.listening {
            survey.abandon();
        }
    }

    /// Pages to fetch, for the audit and for the books of a run that only listens: id, whose token, what.
    pub fn pages(&mut self, now: Timestamp) -> Vec<(u64, u32, Fetch)> {
        self.auditor.pump(now);
        let mut pages: Vec<_> = std::iter::from_fn(|| self.auditor.poll()).collect();
        if let Some((_, survey)) = &mut self.listening {
            survey.pump(now);
            pages.extend(std::iter::from_fn(|| survey.poll()));
        }
        pages
    }

    /// When pages may be fetched again at the latest.
    pub fn next_pages(&self) -> Option<Timestamp> {
        let survey = self.listening.as_ref().and_then(|(_, survey)| survey.next_wake());
        [self.auditor.next_wake(), survey].into_iter().flatten().min()
    }

    /// The interval is over: its row and its latencies.
    pub fn turn(&mut self, context: RowContext) -> (IntervalRow, BTreeMap<Metric, Distribution>) {
        let row = self.row(context);
        (row, self.latency.turn())
    }

    /// Everything so far; holds, faults and the coordinator's own fields are added by the conductor.
    pub fn collected(&self, now: Timestamp) -> Collected {
        let tenants = (0..self.people.tenants()).map(|tenant| self.tenant(tenant)).collect();
        let mut publishes = Publishes::default();
        for tenant in 0..self.people.tenants() {
            publishes.add(&self.tenant_publishes(tenant));
        }
        let mut harness = self.strain.collected(now);
        harness.undecided_by_harness = match &self.listening {
            Some((observed, _)) => observed.undecided_by_harness,
            None => self.ledger.undecided_by_harness,
        };
        harness.unsent_by_harness = self.unsent_by_harness;
        harness.self_inflicted_drops = self.connections.self_inflicted;
        harness.local_failures = self.connections.local_failures;
        harness.refused.extend(self.ledger.refused());
        harness.refused.extend(self.listening.iter().flat_map(|(observed, _)| observed.refused()));
        harness.refused.extend(self.findings.refused());
        harness.refused.extend(&self.flushes.troubles);
        harness.flushes = self.flushes.clone();
        if self.auditor.refused > 0 {
            harness.refused.insert("audit_queue", self.auditor.refused);
        }
        if self.sessions.pods_refused > 0 {
            harness.refused.insert("pods_that_answer", self.sessions.pods_refused);
        }
        let mut server = self.servers.collected();
        server.log = self.log.as_ref().map(LogReader::collected);
        server.fanout_failed = server.log.as_ref().and_then(collected::ServerLog::fanout_failed_total);
        if self.storms.refused > 0 {
            harness.refused.insert("storm_losses", self.storms.refused);
        }
        if self.pods.refused > 0 {
            harness.refused.insert("served_by_told_apart", self.pods.refused);
        }
        let scraped = if server.partial { 0 } else { server.endpoints };
        let mut oddities = self.oddities.clone();
        if self.connections.offline_attempts > 0 {
            oddities.insert("offline_attempts", self.connections.offline_attempts);
        }
        Collected {
            clients: self.connections.collected(),
            publishes,
            deliveries: self.deliveries(),
            observed: self.listening.as_ref().map(|(observed, survey)| collected::Observing {
                rooms_unread: survey.unread,
                ..observed.counts()
            }),
            latency: self.latency.totals(),
            tenants,
            disconnects: self.connections.disconnects.clone(),
            reconnects: self.connections.reconnects,
            storms: self.storms.collected(),
            tokens: self.connections.tokens,
            served_by: self.pods.collected(scraped),
            server,
            harness,
            oddities,
            lifetimes: self.connections.lifetimes.clone(),
            stickiness: self.sessions.collected(now),
            ..Collected::default()
        }
    }

    fn tenant(&self, tenant: u32) -> Tenant {
        let (arrival, delivery_intended) = self.latency.tenant(tenant);
        Tenant {
            tenant,
            tenant_id: self.findings.names.tenant(tenant).map(str::to_owned),
            clients: self.people.clients_of_tenant(tenant).len() as u64,
            publishes: self.tenant_publishes(tenant),
            deliveries: match &self.listening {
                Some((observed, _)) => observed.deliveries(tenant),
                None => self.ledger.deliveries()[tenant as usize],
            },
            arrival,
            delivery_intended,
            disconnects: self.connections.tenant_disconnects[tenant as usize],
        }
    }

    fn tenant_publishes(&self, tenant: u32) -> Publishes {
        let double_stored = self.ledger.double_stored()[tenant as usize];
        Publishes { double_stored, ..self.publishes[tenant as usize] }
    }
}

fn oddity_name(oddity: Oddity) -> &'static str {
    match oddity {
        Oddity::OtherKnown => "frame_other_known",
        Oddity::UnknownType => "frame_unknown_type",
        Oddity::Malformed => "frame_malformed",
        Oddity::Oversized => "frame_oversized",
        Oddity::Binary => "frame_binary",
        Oddity::BeforeHello => "frame_before_hello",
        Oddity::SecondHello => "frame_second_hello",
        Oddity::RetryAfter => "sync_retry_after",
    }
}

fn trouble_name(trouble: crate::session::SyncTrouble) -> &'static str {
    match trouble {
        SyncTrouble::Unauthorized => "sync_unauthorized",
        SyncTrouble::Refused(_) => "sync_refused",
        SyncTrouble::BeyondRetention => "sync_beyond_retention",
        SyncTrouble::ServerError(_) => "sync_server_error",
        SyncTrouble::Network => "sync_network",
        SyncTrouble::Timeout => "sync_timeout",
        SyncTrouble::Malformed => "sync_malformed",
        SyncTrouble::Local => "sync_local",
    }
}

#[cfg(test)]
mod tests;
