//! What a run should be: private TOML shapes in, a resolved [`Profile`] out.
//!
//! ```text
//! text ─> table ─> overrides ─> keys known? ─> shapes ─> resolved ─> checked ─> Profile, warnings
//! ```
//!
//! The types of this file are what everybody else reads. [`parse`] makes them from text; with the feature
//! `live`, `Source` finds the text in a file. [`builtins`] are in the binary, and [`reference()`] is the profile
//! that explains every key.

pub mod quantity;

mod builtin;
mod check;
mod defaults;
mod error;
mod fault;
mod keys;
mod known;
mod load;
mod nearest;
mod objective;
mod overrides;
mod shape;
#[cfg(feature = "live")]
mod source;

use std::time::Duration;

use quantity::{Rate, Share};

pub use builtin::{Builtin, builtin, builtins, reference};
pub use error::{Problem, ProfileError, Why};
pub use fault::{
    Coordinates, Delivery, Events, Exec, Fault, FaultKind, How, Line, Metrics, Publish, Strange, Stream,
    Sync, Who,
};
pub use known::KnownAddress;
pub use load::{Loaded, Warning, parse};
pub use objective::{Percentile, Subject};
pub use overrides::{Override, OverrideError};
#[cfg(feature = "live")]
pub use source::{Source, load};

/// A resolved profile: every default filled in, every value checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Names the run directory.
    pub name: String,
    /// What it is for, in one line; may be empty.
    pub about: String,
    /// Everything random in the plan follows from it.
    pub seed: u64,
    /// Keys that this profile makes shorter than documented or advised, so that a short run exercises them;
    /// shown in the report.
    pub shortens: Vec<String>,
    /// What `client.watchdog` says, and what holds against a deployment; [`Client::watchdog`] is what holds in
    /// this run.
    pub deployed_watchdog: Duration,
    /// Where the run goes.
    pub target: Target,
    /// How identities come by their tokens.
    pub auth: Auth,
    /// Who takes part.
    pub population: Population,
    /// The course of the run; never empty.
    pub phases: Vec<Phase>,
    /// What is published.
    pub traffic: Traffic,
    /// How a simulated client behaves.
    pub client: Client,
    /// What is done to clients and target on the way.
    pub faults: Vec<Fault>,
    /// How `size` scales a deployment.
    pub sizing: Sizing,
    /// How the run ends.
    pub drain: Drain,
    /// How missed events are looked up.
    pub audit: Audit,
    /// How often numbers are written.
    pub report: Reporting,
    /// Ceilings that keep a run off a deployment's neck; enforced off loopback only.
    pub limits: Limits,
    /// Conditions that end the run early.
    pub stops: Vec<Stop>,
    /// What must hold for the run to pass, in the order of the file.
    pub objectives: Vec<Objective>,
}

/// `[target]`
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The deployment; `None` is the embedded target.
    pub url: Option<String>,
    /// Hosts off loopback that this profile may load.
    pub allow: Vec<String>,
    /// `/metrics` of every pod; empty: what the embedded target says, else `<url>/metrics` (partial).
    pub metrics: Vec<String>,
    /// PEM file of the certificates to trust; `None`: the system's.
    pub ca_file: Option<String>,
    /// Trust whatever certificate comes.
    pub insecure: bool,
    /// Which addresses of a name are used.
    pub family: Family,
    /// `host:port:address`: names that are not looked up.
    pub resolve: Vec<String>,
    /// Addresses of this machine to connect from, in turn; empty: the system's choice.
    pub local_addresses: Vec<String>,
    /// HTTP proxy to tunnel through with CONNECT.
    pub proxy: Option<String>,
    /// `Name: value`, sent with every request.
    pub headers: Vec<String>,
    /// Response header that names the pod which answered.
    pub pod_header: Option<String>,
    /// Cookie whose value names the pod which answered.
    pub pod_cookie: Option<String>,
    /// The server's own log, JSON lines.
    pub log_file: Option<String>,
    /// Time between two scrapes of a pod.
    pub scrape_interval: Duration,
    /// `[target.embedded]`
    pub embedded: Embedded,
}

/// `[target.embedded]`: the reference ScaiWave that `run` and `target` start.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// API pods.
    pub pods: u32,
    /// Time between two protocol pings (seed: 30 s).
    pub ping_interval: Duration,
    /// Unanswered pings after which the pod closes with `ping_timeout` (ours: 2).
    pub ping_misses: u32,
    /// The clients' watchdog with this target, whose pings are ours; `None`: `client.watchdog`.
    pub client_watchdog: Option<Duration>,
    /// Life of an access token (documented: 1 h).
    pub token_lifetime: Duration,
    /// `POST /v1/auth/token` gives tokens for a password (documented: off by default).
    pub password_grant: bool,
    /// Frames that wait for one connection before further ones are dropped and counted (ours).
    pub send_queue: u32,
    /// Publishes per tenant and second before 429; `None`: no limit.
    pub send_limit: Option<Rate>,
    /// Events that sync and history can still return, per tenant.
    pub retention: u32,
    /// Whether a stream needs a session on its pod.
    pub sessions: Sessions,
    /// A stream on a pod without its session ends this long after the upgrade.
    pub session_drop_after: Duration,
    /// What each pod carries.
    pub capacity: Capacity,
    /// What is in front of the pods.
    pub balancer: Balancer,
}

/// `target.embedded.sessions`: which request makes the session that a stream needs on its pod (ours).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sessions {
    /// No stream needs one.
    None,
    /// A sync: the pod that it reached has the identity's session from then on, and no other pod.
    Sync,
}

/// `[target.embedded.capacity]`: what one pod carries; `None`: whatever the machine lets it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Capacity {
    /// Open streams; further upgrades are answered 503.
    pub connections: Option<u32>,
    /// Messages written to streams.
    pub deliveries: Option<Rate>,
    /// Upgrades answered.
    pub handshakes: Option<Rate>,
    /// Sync requests answered.
    pub sync_pages: Option<Rate>,
}

/// `target.family`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Both, as the system orders them.
    Any,
    /// IPv4 alone.
    Ipv4,
    /// IPv6 alone.
    Ipv6,
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

/// `target.embedded.balancer`
#[derive(Clone, Debug, PartialEq)]
pub struct Balancer {
    /// A reverse proxy, or none.
    pub mode: BalancerMode,
    /// Which pod a request goes to.
    pub sticky: Sticky,
    /// A stream on which nothing passed either way for this long is cut, without a close frame.
    pub idle_timeout: Duration,
    /// Time between two health checks of a pod.
    pub health_interval: Duration,
}

/// How clients reach the pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BalancerMode {
    /// Through our reverse proxy.
    Proxy,
    /// Straight to the pods, clients spread evenly over them.
    Direct,
}

/// What makes a client's requests reach the same pod again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sticky {
    /// Nothing: round robin.
    None,
    /// A cookie set by the balancer.
    Cookie,
    /// A hash of the token (query or Authorization header).
    Token,
}

/// `[auth]`
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    /// Where tokens come from.
    pub mode: AuthMode,
    /// HS256 key of a `dev-jwt` target that is not embedded (a path; the key never comes by flag).
    pub key_file: Option<String>,
    /// CSV of identities: `tenant_id,username,password` or `tenant_id,access_token,refresh_token`.
    pub credentials: Option<String>,
    /// First logins a second.
    pub login_rate: Rate,
}

/// Where tokens come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMode {
    /// Signed by the harness with the target's development key.
    DevJwt,
    /// The password grant, for the users of a credentials file.
    Password,
    /// The tokens of a credentials file.
    Tokens,
    /// Any text: the server takes all for one user (documented: mode `mock`).
    Mock,
}

/// `[population]`
#[derive(Clone, Debug, PartialEq)]
pub struct Population {
    /// Tenants.
    pub tenants: u32,
    /// Clients, even over the tenants.
    pub clients: u32,
    /// Members of a room (about: rooms are a whole number), unless `rooms_per_tenant` is given.
    pub members_per_room: u32,
    /// Rooms of a tenant; `None`: from `members_per_room`.
    pub rooms_per_tenant: Option<u32>,
    /// Rooms that each client is a member of.
    pub rooms_per_client: u32,
    /// What kind of room is made.
    pub room_type: RoomType,
    /// CSV of existing rooms, `tenant_id,room_id`: these are used, and none is made.
    pub rooms: Option<String>,
    /// Where rooms made on a deployment are remembered; `None`: beside the credentials or the key file.
    pub kept_rooms: Option<String>,
}

/// `population.room_type`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomType {
    /// Open to its tenant; a search index follows every message.
    Public,
    /// Not indexed (documented).
    Incognito,
}

/// One `[[phase]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// Shown in progress and timeline.
    pub name: String,
    /// How long it lasts.
    pub duration: Duration,
    /// Clients live at its end, reached linearly; resolved to a number. A hold repeats the number before.
    pub clients: u32,
    /// Share of `traffic.rate` in this phase.
    pub rate: Share,
}

/// `[traffic]`
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// Publish, or only listen.
    pub mode: TrafficMode,
    /// Publishes, all tenants together.
    pub rate: Rate,
    /// When publishing begins.
    pub start: TrafficStart,
    /// How the events of a room are spaced.
    pub arrivals: Arrivals,
    /// How the rate is shared among tenants.
    pub tenant_shares: TenantShares,
    /// Size of the serialised content, stamp included.
    pub payload: Payload,
    /// What would leave later than this is not sent at all.
    pub max_send_lateness: Duration,
    /// Time to an answer before a publish counts as unanswered.
    pub send_timeout: Duration,
    /// Attempts of one publish (repeats carry the same `event_uuid`).
    pub send_attempts: u32,
    /// Publishes in flight at once (and as many sync requests of `sync_rate`); further ones wait and may become late.
    pub max_in_flight: u32,
    /// Sync requests beside those of the clients' own pattern, all tenants together.
    pub sync_rate: Rate,
}

/// `traffic.mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficMode {
    /// Events of our own, which say of themselves what is owed.
    Publish,
    /// Nothing is published: what somebody saw is owed to everybody.
    Observe,
}

/// `traffic.start`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficStart {
    /// With the first phase.
    Phase,
    /// When every client of the first phase is live: the phases after the first wait for that.
    AllLive,
}

/// `traffic.arrivals`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Evenly spaced.
    Even,
    /// A Poisson process.
    Poisson,
}

/// `traffic.tenant_shares`
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TenantShares {
    /// The same rate for each.
    Even,
    /// Tenant k (from 1) in proportion to k^-s.
    Zipf(f64),
}

/// `traffic.payload`, in bytes of serialised content.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Payload {
    /// Always this.
    Fixed(u32),
    /// Uniform, both ends included.
    Range(u32, u32),
    /// Log-normal with this median and sigma, cut to [`PAYLOAD_MIN`, `PAYLOAD_MAX`].
    LogNormal(u32, f64),
}

/// The smallest content that holds a stamp and an empty body.
pub const PAYLOAD_MIN: u32 = 200;
/// The largest content that ScaiWave accepts (64 KB, documented).
pub const PAYLOAD_MAX: u32 = 64 * 1024;

/// `[client]`
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// The first `last_stream_position`.
    pub start: ClientStart,
    /// Order of bridging and connecting.
    pub bridge: BridgeOrder,
    /// `timeout` of a bridging sync request (ours: 0; the documented default of 30 s would block).
    pub bridge_timeout: Duration,
    /// `timeout` of an offline poll (documented default: 30 s).
    pub poll_timeout: Duration,
    /// `limit` of a sync request (documented default: 100, at most 500).
    pub sync_limit: u32,
    /// Time to the answer of a sync request, on top of its `timeout`.
    pub sync_deadline: Duration,
    /// The immediate retry is uniform over [0, this] (ours: 0, as documented).
    pub first_retry_spread: Duration,
    /// A delay is base × (1 − jitter × u) (ours: 0, as documented).
    pub jitter: f64,
    /// Live for this long, and the failure count starts anew (ours: 10 s).
    pub backoff_reset_after: Duration,
    /// Silence after which a connection counts as dead (ours: 2.5 ping intervals). With the embedded target it
    /// is `target.embedded.client_watchdog`, where that is set.
    pub watchdog: Duration,
    /// Time from the upgrade to hello.
    pub hello_deadline: Duration,
    /// Time from the first byte out to the upgrade.
    pub connect_deadline: Duration,
    /// Failed attempts for this long, and the client falls back to polling sync (ours: 60 s).
    pub offline_after: Duration,
    /// After it, what has not come is missing (ours: 5 s).
    pub lateness_bound: Duration,
    /// `last_stream_position` goes to the durable store this often (ours: 1 s).
    pub flush_interval: Duration,
}

/// `client.start`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientStart {
    /// The highest marker of the tenant.
    Marker,
    /// 0: the tenant's whole history is replayed.
    Zero,
}

/// `client.bridge`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BridgeOrder {
    /// Sync, then stream (documented).
    SyncFirst,
    /// Connect, hello, then sync; merged by id.
    StreamFirst,
}

/// `[sizing]`: commands of the user's own that give a deployment another number of pods.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizing {
    /// Program and arguments (with `shell`, one line), with `{pods}` where the number goes; empty: it cannot be scaled.
    pub scale: Vec<String>,
    /// What takes that back: run at the end, on abort, and on the next start after a crash.
    pub undo: Vec<String>,
    /// Both are lines for `/bin/sh -c`.
    pub shell: bool,
    /// What either may take; then it is killed, with what it has started.
    pub timeout: Duration,
    /// Healthy and with as many pods as it should have, within this time.
    pub deadline: Duration,
    /// And then left alone for this long.
    pub settle: Duration,
}

/// What stands for the number of pods in `sizing.scale`.
pub const PODS_PLACE: &str = "{pods}";

impl Sizing {
    /// Program and arguments for so many pods.
    pub fn scale_argv(&self, pods: u32) -> Vec<String> {
        let words: Vec<String> =
            self.scale.iter().map(|word| word.replace(PODS_PLACE, &pods.to_string())).collect();
        self.exec().argv(&words)
    }

    /// Program and arguments that take it back.
    pub fn undo_argv(&self) -> Vec<String> {
        self.exec().argv(&self.undo)
    }

    fn exec(&self) -> Exec {
        Exec {
            command: self.scale.clone(),
            undo: self.undo.clone(),
            shell: self.shell,
            timeout: self.timeout,
        }
    }
}

/// `[drain]`
#[derive(Clone, Debug, PartialEq)]
pub struct Drain {
    /// The whole of it ends here at the latest.
    pub deadline: Duration,
}

/// `[audit]`
#[derive(Clone, Debug, PartialEq)]
pub struct Audit {
    /// Look-ups a second.
    pub rate: Rate,
    /// Missed events that may wait for their look-up; what the queue refuses is `unaudited`.
    pub queue: u32,
    /// Publishes (per room) whose outcome is remembered; a gap older than that is `missed_unplaced`.
    pub window: u32,
}

/// `[report]`
#[derive(Clone, Debug, PartialEq)]
pub struct Reporting {
    /// One row of the timeline, and one rewrite of the run directory.
    pub interval: Duration,
    /// Lines of findings.jsonl per kind.
    pub findings_per_kind: u32,
}

/// `[limits]`: enforced off loopback.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Clients.
    pub clients: u32,
    /// New connections a second by the plan (documented reconnects are never delayed).
    pub connects: Rate,
    /// First logins a second.
    pub logins: Rate,
    /// Publishes a second.
    pub publishes: Rate,
    /// Deliveries a second that the plan would cause.
    pub deliveries: Rate,
    /// Sync requests a second that `traffic.sync_rate` asks for (those of the documented pattern are never held back).
    pub sync_requests: Rate,
}

/// One `[[stop]]`: outside fault windows, when it holds for this long, the run drains, reports and fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Stop {
    /// What is watched.
    pub condition: StopCondition,
    /// For how long it must hold.
    pub lasting: Duration,
}

/// What a stop watches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StopCondition {
    /// `/health` does not answer 2xx.
    HealthFailing,
    /// More than this share of the connection attempts fails.
    ConnectFailures(Share),
}

/// One line of `[objectives]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// What is judged, as the profile writes it: a key of the summary (`deliveries.` may be left out),
    /// `metric.percentile`, `worst_tenant.metric.percentile`, … ; always the name of a [`Subject`].
    pub name: String,
    /// How.
    pub limit: Limit,
}

/// The right-hand side of an objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// The comparison that must hold.
    pub comparison: Comparison,
    /// Its bound: microseconds for a latency, a share (0.99) for `99%`, else a count.
    pub bound: f64,
    /// How the bound was written, for people.
    pub unit: LimitUnit,
    /// "if exposed": an absent value is no failure and not inconclusive.
    pub if_exposed: bool,
}

/// `=`, `<=`, `>=`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Equal.
    Equal,
    /// At most.
    AtMost,
    /// At least.
    AtLeast,
}

/// What the number of a limit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitUnit {
    /// A duration, kept in microseconds.
    Micros,
    /// A share of something planned.
    Share,
    /// A plain number.
    Count,
}
