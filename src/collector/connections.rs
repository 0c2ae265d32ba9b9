//! Who is live, who is ready, how connections open and end, and how attempts keep to the schedule.

use std::collections::BTreeMap;
use std::time::Duration;

use super::collected::{Clients, Disconnects, Distribution, Metric, Reconnects, Tokens};
use super::latency::Latency;
use crate::session::{Cause, Observation, ReconnectKind, StopReason};
use crate::time::Timestamp;

/// The connections of a stripe.
#[derive(Debug)]
pub struct Connections {
    clients: Vec<Client>,
    live: u64,
    /// The same by tenant.
    tenant_live: Vec<u64>,
    ready: u64,
    live_peak: u64,
    /// Ends of connections.
    pub disconnects: Disconnects,
    /// Disconnects of each tenant.
    pub tenant_disconnects: Vec<u64>,
    /// Attempts after the first, offline polling apart.
    pub reconnects: Reconnects,
    /// Polls of sync, and tries at the stream after them, of clients that have fallen back to sync.
    pub offline_attempts: u64,
    /// Refreshes and refusals.
    pub tokens: Tokens,
    /// Lifetimes of connections that ended without a close frame.
    pub lifetimes: Distribution,
    /// Attempts to connect and those that failed, since last taken.
    attempts: (u64, u64),
    /// The same, of the whole run: failures only.
    pub connect_failures: u64,
    /// Pages of sync.
    pub sync_pages: u64,
    /// Disconnects by watchdog or ping timeout while the harness itself was late.
    pub self_inflicted: u64,
    /// Attempts that failed because of the harness itself.
    pub local_failures: u64,
    tenants: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Client {
    started: bool,
    live: bool,
    ready: bool,
    ever_ready: bool,
    polling: bool,
    local_failure: bool,
    /// Never ready only because the run ended early.
    stopped: Option<StopReason>,
    hello: Option<Timestamp>,
    down_since: Option<Timestamp>,
}

impl Connections {
    /// Nobody has started.
    pub fn new(clients: u32, tenants: u32) -> Self {
        Self {
            clients: vec![Client::default(); clients as usize],
            live: 0,
            tenant_live: vec![0; tenants as usize],
            ready: 0,
            live_peak: 0,
            disconnects: Disconnects::default(),
            tenant_disconnects: vec![0; tenants as usize],
            reconnects: Reconnects::default(),
            offline_attempts: 0,
            tokens: Tokens::default(),
            lifetimes: Distribution::new(3),
            attempts: (0, 0),
            connect_failures: 0,
            sync_pages: 0,
            self_inflicted: 0,
            local_failures: 0,
            tenants,
        }
    }

    /// The plan has ordered this client to start.
    pub fn started(&mut self, client: u32) {
        let client = &mut self.clients[client as usize];
        client.started = true;
        client.stopped = None;
    }

    /// A fact about a client; `strained`: the harness itself has been late lately.
    pub fn observe(
        &mut self,
        now: Timestamp,
        number: u32,
        fact: &Observation,
        strained: bool,
        latency: &mut Latency,
    ) {
        let client = &mut self.clients[number as usize];
        match fact {
            Observation::Attempt { scheduled, kind, violation } => {
                self.attempts.0 += 1;
                self.reconnects.schedule_violations += u64::from(*violation);
                if *kind != ReconnectKind::First {
                    latency.record(Metric::ReconnectLateness, now.since(*scheduled));
                }
                match kind {
                    ReconnectKind::First => {}
                    ReconnectKind::Immediate => self.reconnects.immediate += 1,
                    ReconnectKind::BackedOff => self.reconnects.backed_off += 1,
                    ReconnectKind::Offline => self.offline_attempts += 1,
                }
                self.reconnects.total = self.reconnects.immediate + self.reconnects.backed_off;
            }
            Observation::BridgeBegan { poll, .. } => client.polling = *poll,
            Observation::SyncPage { took, .. } => {
                self.sync_pages += 1;
                if !client.polling {
                    latency.record(Metric::SyncPage, *took);
                }
            }
            Observation::BridgeEnded { complete: true, took, poll: false } => {
                latency.record(Metric::Bridge, *took)
            }
            Observation::Opened { took } => latency.record(Metric::Connect, *took),
            Observation::ConnectFailed { local } => {
                self.attempts.1 += 1;
                self.connect_failures += 1;
                self.local_failures += u64::from(*local);
                client.local_failure = *local;
            }
            Observation::SyncFailed(trouble) => {
                let local = matches!(trouble, crate::session::SyncTrouble::Local);
                self.attempts.1 += u64::from(!client.polling);
                self.local_failures += u64::from(local);
                client.local_failure = local;
            }
            Observation::Hello { took, .. } => {
                latency.record(Metric::Hello, *took);
                if let Some(since) = client.down_since.take() {
                    latency.record(Metric::Recovery, now.since(since));
                }
                client.hello = Some(now);
                client.local_failure = false;
                let came = u64::from(!std::mem::replace(&mut client.live, true));
                self.live += came;
                self.tenant_live[(number % self.tenants) as usize] += came;
                self.live_peak = self.live_peak.max(self.live);
            }
            Observation::Ready => {
                client.ever_ready = true;
                self.ready += u64::from(!std::mem::replace(&mut client.ready, true));
            }
            Observation::Disconnected { cause, code, .. } => {
                self.disconnected(now, number, *cause, *code, strained)
            }
            Observation::Refreshed => self.tokens.refreshed += 1,
            Observation::TokenRejected => self.tokens.rejected += 1,
            Observation::Stopped(reason) => {
                client.stopped = Some(*reason);
                client.down_since = None;
                self.down(number);
            }
            _ => {}
        }
    }

    fn disconnected(&mut self, now: Timestamp, number: u32, cause: Cause, code: Option<u16>, strained: bool) {
        let client = &mut self.clients[number as usize];
        let was_live = client.live;
        if cause != Cause::Left {
            self.disconnects.total += 1;
            self.tenant_disconnects[(number % self.tenants) as usize] += 1;
            if was_live {
                client.down_since = Some(now);
            }
            if strained && matches!(cause, Cause::Silent | Cause::PingTimeout) {
                self.self_inflicted += 1;
            }
        }
        if let (Cause::Eof | Cause::Reset | Cause::Silent, Some(hello)) = (cause, client.hello) {
            self.lifetimes.record(now.since(hello));
        }
        client.hello = None;
        *self.disconnects.by_cause.entry(cause).or_default() += 1;
        if let Some(code) = code {
            *self.disconnects.by_close_code.entry(code).or_default() += 1;
        }
        self.down(number);
    }

    fn down(&mut self, number: u32) {
        let client = &mut self.clients[number as usize];
        let went = u64::from(std::mem::take(&mut client.live));
        self.live -= went;
        self.tenant_live[(number % self.tenants) as usize] -= went;
        self.ready -= u64::from(std::mem::take(&mut client.ready));
    }

    /// Clients that are live.
    pub fn live(&self) -> u64 {
        self.live
    }

    /// The same by tenant.
    pub fn tenant_live(&self) -> &[u64] {
        &self.tenant_live
    }

    /// Clients that are ready.
    pub fn ready(&self) -> u64 {
        self.ready
    }

    /// Whether this client is live.
    pub fn is_live(&self, client: u32) -> bool {
        self.clients[client as usize].live
    }

    /// Whether this client is ready.
    pub fn is_ready(&self, client: u32) -> bool {
        self.clients[client as usize].ready
    }

    /// Whether this client was started and has not stopped for good.
    pub fn is_trying(&self, client: u32) -> bool {
        let client = &self.clients[client as usize];
        client.started && client.stopped.is_none()
    }

    /// The last failure of this client was the harness's own.
    pub fn failed_locally(&self, client: u32) -> bool {
        self.clients[client as usize].local_failure
    }

    /// How long the client has been down.
    pub fn down_for(&self, client: u32, now: Timestamp) -> Option<Duration> {
        self.clients[client as usize].down_since.map(|since| now.since(since))
    }

    /// Attempts and failed ones since the last call.
    pub fn take_attempts(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.attempts)
    }

    /// `clients` of the summary.
    pub fn collected(&self) -> Clients {
        let count = |judge: &dyn Fn(&Client) -> bool| {
            self.clients.iter().filter(|client| judge(client)).count() as u64
        };
        let never = |client: &Client| {
            client.started && !client.ever_ready && client.stopped != Some(StopReason::Left)
        };
        Clients {
            planned: self.clients.len() as u64,
            live_peak: self.live_peak,
            live_at_end: self.live,
            ready_at_end: self.ready,
            never_ready: count(&|client| never(client) && !client.local_failure),
            unjudged: count(&|client| never(client) && client.local_failure),
            auth_failed: count(&|client| client.stopped == Some(StopReason::AuthFailed)),
            evicted: count(&|client| client.stopped == Some(StopReason::Evicted)),
        }
    }

    /// Causes with their counts, for the timeline.
    pub fn causes(&self) -> &BTreeMap<Cause, u64> {
        &self.disconnects.by_cause
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::SyncTrouble;

    /// Four clients of two tenants, and what is told of them, each a second later.
    struct Bench {
        connections: Connections,
        latency: Latency,
        now: Timestamp,
    }

    impl Bench {
        fn new() -> Self {
            let (connections, latency) = (Connections::new(4, 2), Latency::new(2));
            Self { connections, latency, now: Timestamp::from_secs(100) }
        }

        fn tell(&mut self, client: u32, fact: &Observation) {
            self.now = self.now + Duration::from_secs(1);
            self.connections.observe(self.now, client, fact, false, &mut self.latency);
        }

        fn goes_live(&mut self, client: u32) {
            self.connections.started(client);
            self.tell(client, &hello());
            self.tell(client, &Observation::Ready);
        }

        fn samples(&self, metric: Metric) -> u64 {
            self.latency.interval(metric).expect("every metric has a series").count()
        }
    }

    fn hello() -> Observation {
        Observation::Hello { took: Duration::from_millis(5), position: 1, info: Box::default() }
    }

    const fn lost(cause: Cause, code: Option<u16>) -> Observation {
        Observation::Disconnected { cause, code, was_live: true }
    }

    #[test]
    fn who_is_live_and_ready_is_counted_once() {
        let mut bench = Bench::new();
        for client in [0, 1, 2] {
            bench.goes_live(client);
        }
        bench.tell(0, &hello());
        bench.tell(0, &Observation::Ready);
        assert_eq!((bench.connections.live(), bench.connections.ready()), (3, 3));
        assert!(bench.connections.is_live(2) && bench.connections.is_ready(2));
        assert!(!bench.connections.is_live(3) && !bench.connections.is_ready(3));
        bench.tell(1, &lost(Cause::Reset, None));
        bench.tell(1, &Observation::Stopped(StopReason::AuthFailed));
        assert_eq!((bench.connections.live(), bench.connections.ready()), (2, 2));
        assert!(!bench.connections.is_live(1) && !bench.connections.is_ready(1));
        let clients = bench.connections.collected();
        let should = Clients {
            planned: 4,
            live_peak: 3,
            live_at_end: 2,
            ready_at_end: 2,
            auth_failed: 1,
            ..Clients::default()
        };
        assert_eq!(clients, should);
    }

    #[test]
    fn whoever_was_never_ready_is_the_targets_or_the_harnesss_or_nobodys() {
        let mut bench = Bench::new();
        for client in [0, 1, 2] {
            bench.connections.started(client);
            bench.tell(client, &Observation::ConnectFailed { local: client == 1 });
        }
        bench.tell(2, &Observation::Stopped(StopReason::Left));
        let clients = bench.connections.collected();
        assert_eq!((clients.never_ready, clients.unjudged, clients.evicted), (1, 1, 0));
        let trying: Vec<bool> = (0..4).map(|client| bench.connections.is_trying(client)).collect();
        assert_eq!(trying, [true, true, false, false]);
        bench.connections.started(2);
        assert!(bench.connections.is_trying(2), "the plan has brought it back");
        bench.tell(0, &Observation::Stopped(StopReason::Evicted));
        let clients = bench.connections.collected();
        assert_eq!((clients.never_ready, clients.evicted, clients.auth_failed), (2, 1, 0));
    }

    #[test]
    fn whose_fault_the_last_failure_was_is_known_until_hello() {
        let mut bench = Bench::new();
        let sync = |trouble| Observation::SyncFailed(trouble);
        let said = [
            (Observation::ConnectFailed { local: true }, true),
            (Observation::ConnectFailed { local: false }, false),
            (sync(SyncTrouble::Local), true),
            (sync(SyncTrouble::Network), false),
            (sync(SyncTrouble::Local), true),
            (hello(), false),
        ];
        for (fact, local) in said {
            bench.tell(0, &fact);
            assert_eq!(bench.connections.failed_locally(0), local, "{fact:?}");
        }
        assert_eq!((bench.connections.local_failures, bench.connections.connect_failures), (3, 2));
        assert_eq!(bench.connections.take_attempts(), (0, 5));
        assert_eq!(bench.connections.take_attempts(), (0, 0));
    }

    #[test]
    fn polls_are_no_bridges() {
        let mut bench = Bench::new();
        let page =
            Observation::SyncPage { took: Duration::from_millis(3), next_cursor: None, regressed: false };
        for poll in [true, false, true] {
            bench.tell(0, &Observation::BridgeBegan { position: 1, poll });
            bench.tell(0, &page);
            bench.tell(0, &Observation::SyncFailed(SyncTrouble::Network));
            for complete in [false, true] {
                bench.tell(0, &Observation::BridgeEnded { complete, took: Duration::from_millis(3), poll });
            }
        }
        assert_eq!((bench.connections.sync_pages, bench.connections.take_attempts()), (3, (0, 1)));
        assert_eq!((bench.samples(Metric::SyncPage), bench.samples(Metric::Bridge)), (1, 1));
    }

    #[test]
    fn attempts_are_told_apart_by_their_kind() {
        let mut bench = Bench::new();
        let attempt =
            |kind, violation| Observation::Attempt { scheduled: Timestamp::from_secs(100), kind, violation };
        bench.tell(0, &attempt(ReconnectKind::First, false));
        assert_eq!(bench.samples(Metric::ReconnectLateness), 0);
        bench.tell(0, &attempt(ReconnectKind::Immediate, false));
        for _ in 0..2 {
            bench.tell(0, &attempt(ReconnectKind::BackedOff, true));
        }
        for _ in 0..3 {
            bench.tell(0, &attempt(ReconnectKind::Offline, false));
        }
        let should = Reconnects { total: 3, immediate: 1, backed_off: 2, schedule_violations: 2 };
        assert_eq!((bench.connections.reconnects, bench.connections.offline_attempts), (should, 3));
        assert_eq!(
            (bench.samples(Metric::ReconnectLateness), bench.connections.take_attempts()),
            (6, (7, 0))
        );
    }

    #[test]
    fn connections_end_by_cause_and_code_and_the_plans_own_ends_are_no_disconnects() {
        let mut bench = Bench::new();
        let ends = [
            (0, Cause::Aborted, Some(4003)),
            (1, Cause::Reset, None),
            (2, Cause::Reset, None),
            (3, Cause::Left, None),
        ];
        for (client, cause, code) in ends {
            bench.goes_live(client);
            bench.tell(client, &lost(cause, code));
        }
        let disconnects = &bench.connections.disconnects;
        assert_eq!((disconnects.total, &bench.connections.tenant_disconnects), (3, &vec![2, 1]));
        let by_cause = BTreeMap::from([(Cause::Aborted, 1), (Cause::Reset, 2), (Cause::Left, 1)]);
        assert_eq!((bench.connections.causes(), &disconnects.by_cause), (&by_cause, &by_cause));
        assert_eq!(disconnects.by_close_code, BTreeMap::from([(4003, 1)]));
        assert_eq!(bench.connections.down_for(3, bench.now), None, "it was taken away");
        assert_eq!(bench.connections.down_for(2, bench.now), Some(Duration::from_secs(3)));
        bench.tell(2, &hello());
        assert_eq!((bench.samples(Metric::Recovery), bench.connections.down_for(2, bench.now)), (1, None));
    }

    #[test]
    fn only_lives_that_no_close_frame_ended_are_lifetimes() {
        let mut bench = Bench::new();
        for (cause, lived) in [
            (Cause::Eof, true),
            (Cause::Reset, true),
            (Cause::Silent, true),
            (Cause::Aborted, false),
            (Cause::Left, false),
        ] {
            let before = bench.connections.lifetimes.count();
            bench.goes_live(0);
            bench.tell(0, &lost(cause, None));
            assert_eq!(bench.connections.lifetimes.count() - before, u64::from(lived), "{cause:?}");
            // Gone before another hello: it had no life.
            bench.tell(0, &lost(cause, None));
            assert_eq!(bench.connections.lifetimes.count() - before, u64::from(lived), "{cause:?} again");
        }
        assert_eq!(bench.connections.lifetimes.at(0.5).map(|micros| micros / 10_000), Some(200), "2 s each");
    }

    #[test]
    fn drops_that_a_late_harness_may_have_made_itself_are_counted() {
        let mut bench = Bench::new();
        for (cause, strained) in [
            (Cause::Silent, true),
            (Cause::PingTimeout, true),
            (Cause::Silent, false),
            (Cause::Reset, true),
            (Cause::Left, true),
        ] {
            let Bench { connections, latency, now } = &mut bench;
            connections.observe(*now, 0, &lost(cause, None), strained, latency);
        }
        assert_eq!(bench.connections.self_inflicted, 2);
    }

    #[test]
    fn steps_of_a_connection_have_their_latencies_and_tokens_their_counts() {
        let mut bench = Bench::new();
        bench.tell(0, &Observation::Opened { took: Duration::from_millis(2) });
        bench.tell(0, &hello());
        bench.tell(0, &Observation::Refreshed);
        for _ in 0..2 {
            bench.tell(0, &Observation::TokenRejected);
        }
        assert_eq!((bench.samples(Metric::Connect), bench.samples(Metric::Hello)), (1, 1));
        assert_eq!(bench.connections.tokens, Tokens { refreshed: 1, rejected: 2 });
    }
}
