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
                self.live += u64::from(!std::mem::replace(&mut client.live, true));
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
        self.live -= u64::from(std::mem::take(&mut client.live));
        self.ready -= u64::from(std::mem::take(&mut client.ready));
    }

    /// Clients that are live.
    pub fn live(&self) -> u64 {
        self.live
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
