//! What servers said, and which of them served whom.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `server` of the summary.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Server {
    /// Growth of `scaiwave_ws_messages_dropped_total` over all pods; `None`: not exposed, or never scraped.
    pub messages_dropped_total: Option<u64>,
    /// A counter was reset, or a pod could not be scraped at times: there may have been more.
    pub dropped_is_lower_bound: bool,
    /// `scaiwave_ws_connections`, by what it stands for.
    pub ws_connections: WsConnections,
    /// Looks at which `scaiwave_ws_connections` was off, by more than 1 % of the live clients, for the second time running
    /// or more, while nothing was planned to change; `None`: it was never compared.
    pub connections_unstable: Option<u64>,
    /// Looks at which the gauge of some tenant was off, by more than 1 % of its live clients and by more than one, for the
    /// second time running or more, while nothing was planned to change; `None`: no label was ever known to be a tenant's.
    pub tenant_connections_unstable: Option<u64>,
    /// Tenants of which it was, the most often first; so many as anybody reads.
    pub unstable_tenants: Vec<UnstableTenant>,
    /// Connections that the gauge still showed when all clients had long gone, beyond those before; `None`: not known.
    pub connections_leaked: Option<u64>,
    /// Log lines `ws.fanout_failed`; `None`: no log seen.
    pub fanout_failed: Option<u64>,
    /// Documented metrics that a scrape lacked.
    pub not_exposed: Vec<String>,
    /// What the server's own log says; `None`: none is read.
    pub log: Option<ServerLog>,
    /// Scrapes that failed.
    pub scrape_failures: u64,
    /// Pods that are scraped; `partial` when it is one endpoint behind a balancer.
    pub endpoints: u64,
    /// The endpoint is behind a balancer: one pod at a time answers for all.
    pub partial: bool,
}

/// One of `server.unstable_tenants` of the summary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnstableTenant {
    /// The server's id of it.
    pub tenant_id: String,
    /// Looks at which its gauge was off.
    pub looks: u64,
    /// What it showed at the last of them.
    pub gauge: u64,
    /// Clients of the tenant that were live then.
    pub live: u64,
}

/// `server.ws_connections` of the summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WsConnections {
    /// Before the first client.
    pub before: Option<u64>,
    /// Highest sum seen.
    pub peak: Option<u64>,
    /// After the last client has gone.
    pub after: Option<u64>,
}

/// `server.log` of the summary: what the server's own log says, held against what clients saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerLog {
    /// Lines that were read.
    pub lines: u64,
    /// Of these: no JSON object, without a name of an event, or too long.
    pub not_understood: u64,
    /// Of these: about other events.
    pub other: u64,
    /// `ws.connect`
    pub connects: u64,
    /// `ws.disconnect`: reasons, and for each what the client saw of that end; "open": nothing, "unknown": no client of
    /// ours.
    pub disconnects: BTreeMap<String, BTreeMap<String, u64>>,
    /// Of these: `ping_timeout` and `duplicate_connection` of which the client saw something else.
    pub unseen_reasons: u64,
    /// `ws.fanout_failed`, by pod.
    pub fanout_failed: BTreeMap<String, u64>,
}

impl ServerLog {
    /// `ws.fanout_failed` of all pods; `None`: no line is about streams at all, and this may not be the log that has them.
    pub fn fanout_failed_total(&self) -> Option<u64> {
        let speaks = self.connects > 0 || !self.disconnects.is_empty() || !self.fanout_failed.is_empty();
        speaks.then(|| self.fanout_failed.values().sum())
    }
}

/// `served_by` of the summary: which pods the streams were on, as header, cookie or hello says, and from where they were
/// reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedBy {
    /// Those that were met.
    pub pods: Vec<Pod>,
    /// Pods that are known at all: by their names, or by their `/metrics`, whichever are more.
    pub known: u64,
    /// Addresses of this machine.
    pub local_addresses: Vec<LocalAddress>,
}

/// One pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// What the header or the cookie of the upgrade said, else `hello.server_name`; null: all of which nothing tells.
    pub server_name: Option<String>,
    /// Hellos that it said.
    pub connections: u64,
    /// Most clients that it had at once.
    pub live_peak: u64,
    /// Clients that it has now.
    pub live: u64,
}

/// One address of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalAddress {
    /// As this machine sees it.
    pub address: String,
    /// Hellos that came over it.
    pub connections: u64,
    /// Pods that said them.
    pub pods: u64,
    /// The only pod that it ever reached, where several are known and chance is out of the question.
    pub only: Option<String>,
}

/// `stickiness` of the summary: upgrades, and what became of them for want of a session on their pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stickiness {
    /// Streams that said hello.
    pub upgrades: u64,
    /// Of these: lost to a missing session; `None`: it cannot be told.
    pub upgrades_lost: Option<u64>,
    /// The same, as a share of the upgrades.
    pub share: Option<f64>,
    /// What that is inferred from; `None`: there were no upgrades.
    pub inferred_from: Option<Evidence>,
    /// Upgrades that reached another pod than the sync before them; `None`: the deployment does not tell.
    pub moved: Option<u64>,
    /// Connections that the other side ended within seconds of hello, for no reason that has a name.
    pub short_lived: u64,
    /// Not judged: ended while a fault was under way, or still young at the end.
    pub unjudged: u64,
    /// Upgrades with a token that was refreshed since the last one that stayed.
    pub after_refresh: Part,
    /// All others.
    pub otherwise: Part,
}

/// A part of the upgrades.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// How many.
    pub upgrades: u64,
    /// Of these: lost; `None`: it cannot be told.
    pub lost: Option<u64>,
}

/// What a missing session is inferred from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The pods that answered, as the deployment tells them.
    Pods,
    /// Lives of connections that are nearly equal.
    Lifetimes,
    /// Some upgrades by pods, the others by lives.
    PodsAndLifetimes,
}
