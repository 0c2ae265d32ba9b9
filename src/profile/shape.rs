//! The shapes of the TOML: what may be written, and how it and the resolved profile turn into each other.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use toml::Value;

use super::error::{Problem, Why};
use super::fault::shape::FaultShape;
use super::keys::{Node, dotted, keys_of};
use super::objective::Subject;
use super::quantity::{Crowd, Quantity, Rate, Share};
use super::{
    Arrivals, Audit, Auth, AuthMode, Balancer, BalancerMode, BridgeOrder, Capacity, Client, ClientStart,
    Drain, Embedded, Family, Fault, Limit, Limits, Objective, Payload, Phase, Population, Profile, Reporting,
    RoomType, Sessions, Sizing, Sticky, Stop, StopCondition, Target, TenantShares, Traffic, TrafficMode,
    TrafficStart, defaults,
};

/// A whole profile as it is written.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ProfileShape {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Text<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<Text<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<Text<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shortens: Option<Text<Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<Vec<StopShape>>,
    target: TargetShape,
    auth: AuthShape,
    population: PopulationShape,
    phase: Vec<PhaseShape>,
    traffic: TrafficShape,
    client: ClientShape,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fault: Vec<FaultShape>,
    sizing: SizingShape,
    drain: DrainShape,
    audit: AuditShape,
    report: ReportShape,
    limits: LimitsShape,
    objectives: ObjectivesShape,
}

/// Every key of a profile.
pub(super) fn keys() -> Vec<(&'static str, Node)> {
    let table = |keys| Node::Table(keys);
    let balancer = table(keys_of::<BalancerShape>([]));
    let capacity = table(keys_of::<CapacityShape>([]));
    let embedded = table(keys_of::<EmbeddedShape>([("capacity", capacity), ("balancer", balancer)]));
    keys_of::<ProfileShape>([
        ("stop", Node::List(keys_of::<StopShape>([]))),
        ("target", table(keys_of::<TargetShape>([("embedded", embedded)]))),
        ("auth", table(keys_of::<AuthShape>([]))),
        ("population", table(keys_of::<PopulationShape>([]))),
        ("phase", Node::List(keys_of::<PhaseShape>([]))),
        ("traffic", table(keys_of::<TrafficShape>([]))),
        ("client", table(keys_of::<ClientShape>([]))),
        ("fault", Node::List(keys_of::<FaultShape>([]))),
        ("sizing", table(keys_of::<SizingShape>([]))),
        ("drain", table(keys_of::<DrainShape>([]))),
        ("audit", table(keys_of::<AuditShape>([]))),
        ("report", table(keys_of::<ReportShape>([]))),
        ("limits", table(keys_of::<LimitsShape>([]))),
        ("objectives", Node::Map),
    ])
}

impl ProfileShape {
    /// The profile, defaults filled in; what only makes no sense is for the checks. `name` stands in for a missing
    /// one.
    pub(super) fn resolve(self, name: &str) -> Result<Profile, Vec<Problem>> {
        let mut problems = Vec::new();
        let target = self.target.over(Target::default());
        let population = self.population.over(Population::default());
        let mut client = self.client.over(Client::default());
        let deployed_watchdog = client.watchdog;
        if let (None, Some(watchdog)) = (&target.url, target.embedded.client_watchdog) {
            client.watchdog = watchdog;
        }
        let phases = phases(self.phase, population.clients, &mut problems);
        let mut faults: Vec<Fault> = Vec::new();
        for (at, shape) in numbered("fault", self.fault) {
            let name = |word: &str| unused(word, faults.iter().map(|fault| fault.name.as_str()));
            faults.extend(shape.resolve(&at, name, &mut problems));
        }
        let stops = match self.stop {
            Some(stops) => {
                numbered("stop", stops).filter_map(|(at, shape)| shape.resolve(&at, &mut problems)).collect()
            }
            None => defaults::stops(),
        };
        let traffic = self.traffic.resolve(&mut problems);
        let objectives = self.objectives.resolve(traffic.mode, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Profile {
            name: self.name.map_or_else(|| name.to_owned(), |text| text.0),
            about: self.about.map(|text| text.0).unwrap_or_default(),
            seed: self.seed.map_or(defaults::SEED, |text| text.0),
            shortens: self.shortens.map(|text| text.0).unwrap_or_default(),
            deployed_watchdog,
            target,
            auth: self.auth.over(Auth::default()),
            population,
            phases,
            traffic,
            client,
            faults,
            sizing: self.sizing.over(Sizing::default()),
            drain: self.drain.over(Drain::default()),
            audit: self.audit.over(Audit::default()),
            report: self.report.over(Reporting::default()),
            limits: self.limits.over(Limits::default()),
            stops,
            objectives,
        })
    }

    fn of(profile: &Profile) -> Self {
        Self {
            name: Some(Text(profile.name.clone())),
            about: Some(Text(profile.about.clone())),
            seed: Some(Text(profile.seed)),
            shortens: Some(Text(profile.shortens.clone())),
            stop: Some(profile.stops.iter().map(StopShape::of).collect()),
            target: TargetShape::of(&profile.target),
            auth: AuthShape::of(&profile.auth),
            population: PopulationShape::of(&profile.population),
            phase: profile.phases.iter().map(PhaseShape::of).collect(),
            traffic: TrafficShape::of(&profile.traffic),
            client: ClientShape {
                watchdog: Some(Text(profile.deployed_watchdog)),
                ..ClientShape::of(&profile.client)
            },
            fault: profile.faults.iter().map(FaultShape::of).collect(),
            sizing: SizingShape::of(&profile.sizing),
            drain: DrainShape::of(&profile.drain),
            audit: AuditShape::of(&profile.audit),
            report: ReportShape::of(&profile.report),
            limits: LimitsShape::of(&profile.limits),
            objectives: ObjectivesShape::of(&profile.objectives),
        }
    }
}

impl Profile {
    /// The profile as TOML that reads as this very profile; it holds no secrets, as no profile does.
    pub fn to_toml(&self) -> String {
        toml::to_string(&ProfileShape::of(self))
            .expect("a profile's shape has string keys and TOML values only")
    }
}

/// A value as a profile writes it.
#[derive(Clone, Debug)]
pub(super) struct Text<T>(pub(super) T);

impl<'de, T: Quantity> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::from_value(&Value::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

impl<T: Quantity> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.to_value().serialize(serializer)
    }
}

/// A table of which every key has a default: each is an `Option` here and a plain field of the section.
macro_rules! section {
    (
        $(#[$doc:meta])* $shape:ident of $section:ident { $($key:ident: $type:ty),+ $(,)? }
        $(with { $($table:ident: $table_shape:ident),+ })?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, default)]
        struct $shape {
            $(#[serde(skip_serializing_if = "Option::is_none")] $key: Option<Text<$type>>,)+
            $($($table: $table_shape,)+)?
        }

        impl $shape {
            fn over(self, default: $section) -> $section {
                $section {
                    $($key: self.$key.map_or(default.$key, |text| text.0),)+
                    $($($table: self.$table.over(default.$table),)+)?
                }
            }

            fn of(section: &$section) -> Self {
                Self {
                    $($key: Some(Text(section.$key.to_owned())),)+
                    $($($table: $table_shape::of(&section.$table),)+)?
                }
            }
        }
    };
}

section! {
    /// `[target]`
    TargetShape of Target {
        url: Option<String>,
        allow: Vec<String>,
        metrics: Vec<String>,
        ca_file: Option<String>,
        insecure: bool,
        family: Family,
        resolve: Vec<String>,
        local_addresses: Vec<String>,
        proxy: Option<String>,
        headers: Vec<String>,
        pod_header: Option<String>,
        pod_cookie: Option<String>,
        log_file: Option<String>,
        scrape_interval: Duration,
    } with { embedded: EmbeddedShape }
}

section! {
    /// `[target.embedded]`
    EmbeddedShape of Embedded {
        pods: u32,
        ping_interval: Duration,
        ping_misses: u32,
        client_watchdog: Option<Duration>,
        token_lifetime: Duration,
        password_grant: bool,
        send_queue: u32,
        send_limit: Option<Rate>,
        retention: u32,
        sessions: Sessions,
        session_drop_after: Duration,
    } with { capacity: CapacityShape, balancer: BalancerShape }
}

section! {
    /// `target.embedded.capacity`
    CapacityShape of Capacity {
        connections: Option<u32>,
        deliveries: Option<Rate>,
        handshakes: Option<Rate>,
        sync_pages: Option<Rate>,
    }
}

section! {
    /// `target.embedded.balancer`
    BalancerShape of Balancer {
        mode: BalancerMode,
        sticky: Sticky,
        idle_timeout: Duration,
        health_interval: Duration,
    }
}

section! {
    /// `[auth]`
    AuthShape of Auth {
        mode: AuthMode,
        key_file: Option<String>,
        credentials: Option<String>,
        login_rate: Rate,
    }
}

section! {
    /// `[population]`
    PopulationShape of Population {
        tenants: u32,
        clients: u32,
        members_per_room: u32,
        rooms_per_tenant: Option<u32>,
        rooms_per_client: u32,
        room_type: RoomType,
        rooms: Option<String>,
        kept_rooms: Option<String>,
    }
}

section! {
    /// `[traffic]`
    TrafficShape of Traffic {
        mode: TrafficMode,
        rate: Rate,
        start: TrafficStart,
        arrivals: Arrivals,
        tenant_shares: TenantShares,
        payload: Payload,
        max_send_lateness: Duration,
        send_timeout: Duration,
        send_attempts: u32,
        max_in_flight: u32,
        sync_rate: Rate,
    }
}

impl TrafficShape {
    /// Who only listens publishes nothing, and need not say so.
    fn resolve(self, problems: &mut Vec<Problem>) -> Traffic {
        let asked = self.rate.as_ref().map(|rate| rate.0).filter(|rate| rate.0 > 0.0);
        let mut traffic = self.over(Traffic::default());
        if traffic.mode == TrafficMode::Observe {
            traffic.rate = Rate(0.0);
            if let Some(rate) = asked {
                problems.push(Problem::new("traffic.rate", rate.to_value(), Why::NothingIsPublished));
            }
        }
        traffic
    }
}

section! {
    /// `[client]`
    ClientShape of Client {
        start: ClientStart,
        bridge: BridgeOrder,
        bridge_timeout: Duration,
        poll_timeout: Duration,
        sync_limit: u32,
        sync_deadline: Duration,
        first_retry_spread: Duration,
        jitter: f64,
        backoff_reset_after: Duration,
        watchdog: Duration,
        hello_deadline: Duration,
        connect_deadline: Duration,
        offline_after: Duration,
        lateness_bound: Duration,
        flush_interval: Duration,
    }
}

section! {
    /// `[sizing]`
    SizingShape of Sizing {
        scale: Vec<String>,
        undo: Vec<String>,
        shell: bool,
        timeout: Duration,
        deadline: Duration,
        settle: Duration,
    }
}

section! {
    /// `[drain]`
    DrainShape of Drain { deadline: Duration }
}

section! {
    /// `[audit]`
    AuditShape of Audit { rate: Rate, queue: u32, window: u32 }
}

section! {
    /// `[report]`
    ReportShape of Reporting { interval: Duration, findings_per_kind: u32 }
}

section! {
    /// `[limits]`
    LimitsShape of Limits {
        clients: u32,
        connects: Rate,
        logins: Rate,
        publishes: Rate,
        deliveries: Rate,
        sync_requests: Rate,
    }
}

/// `[[phase]]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct PhaseShape {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Text<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<Text<Duration>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clients: Option<Text<Crowd>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<Text<Share>>,
}

impl PhaseShape {
    fn of(phase: &Phase) -> Self {
        Self {
            name: Some(Text(phase.name.clone())),
            duration: Some(Text(phase.duration)),
            clients: Some(Text(Crowd::Number(phase.clients))),
            rate: Some(Text(phase.rate)),
        }
    }
}

/// A phase without clients keeps those before; without a name it is a ramp, a hold or a decline.
fn phases(shapes: Vec<PhaseShape>, population: u32, problems: &mut Vec<Problem>) -> Vec<Phase> {
    let mut phases: Vec<Phase> = Vec::new();
    let mut before = 0;
    for (at, shape) in numbered("phase", shapes) {
        let Some(Text(duration)) = shape.duration else {
            let write = "how long it lasts, as in duration = \"30s\"";
            problems.push(Problem::absent(format!("{at}.duration"), Why::Missing { write }));
            continue;
        };
        let clients = shape.clients.map_or(before, |crowd| crowd.0.of(population));
        let name = shape.name.map_or_else(
            || {
                let word = match clients.cmp(&before) {
                    std::cmp::Ordering::Greater => "ramp",
                    std::cmp::Ordering::Equal => "hold",
                    std::cmp::Ordering::Less => "decline",
                };
                unused(word, phases.iter().map(|phase| phase.name.as_str()))
            },
            |name| name.0,
        );
        let rate = shape.rate.map_or(Share::ALL, |rate| rate.0);
        phases.push(Phase { name, duration, clients, rate });
        before = clients;
    }
    phases
}

/// `[[stop]]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct StopShape {
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Text<StopCondition>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lasting: Option<Text<Duration>>,
}

impl StopShape {
    fn resolve(self, at: &str, problems: &mut Vec<Problem>) -> Option<Stop> {
        let mut missing =
            |key, write| problems.push(Problem::absent(format!("{at}.{key}"), Why::Missing { write }));
        if self.condition.is_none() {
            missing("condition", "what is watched, as in condition = \"health\"");
        }
        if self.lasting.is_none() {
            missing("lasting", "how long it must hold, as in lasting = \"60s\"");
        }
        Some(Stop { condition: self.condition?.0, lasting: self.lasting?.0 })
    }

    fn of(stop: &Stop) -> Self {
        Self { condition: Some(Text(stop.condition)), lasting: Some(Text(stop.lasting)) }
    }
}

/// `[objectives]`, in the order of the file.
#[derive(Clone, Debug, Default)]
struct ObjectivesShape(Vec<(String, Text<Limit>)>);

impl ObjectivesShape {
    /// Those of the file, then those of every profile that the file does not name.
    fn resolve(self, mode: TrafficMode, problems: &mut Vec<Problem>) -> Vec<Objective> {
        let mut named: Vec<(Subject, Objective)> = Vec::new();
        for (name, Text(limit)) in self.0 {
            let mut refuse = |why| {
                let key = dotted(["objectives", &name]);
                problems.push(Problem::new(key, Value::String(limit.to_string()), why));
            };
            match Subject::parse(&name) {
                Err(advice) => refuse(Why::UnknownObjective { advice }),
                Ok(subject) => match named.iter().find(|(other, _)| *other == subject) {
                    Some((_, other)) => refuse(Why::SameObjective { other: other.name.clone() }),
                    None => named.push((subject, Objective { name, limit })),
                },
            }
        }
        let always = defaults::objectives().into_iter().filter(|objective| {
            let subject = Subject::parse(&objective.name);
            let shown =
                mode == TrafficMode::Publish || subject.as_ref().is_ok_and(|subject| subject.is_observable());
            shown && !named.iter().any(|(other, _)| subject == Ok(*other))
        });
        let always: Vec<Objective> = always.collect();
        named.into_iter().map(|(_, objective)| objective).chain(always).collect()
    }

    fn of(objectives: &[Objective]) -> Self {
        Self(objectives.iter().map(|objective| (objective.name.clone(), Text(objective.limit))).collect())
    }
}

impl<'de> Deserialize<'de> for ObjectivesShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = ObjectivesShape;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a table of objectives and their limits")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ObjectivesShape, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(ObjectivesShape(all))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

impl Serialize for ObjectivesShape {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, limit) in &self.0 {
            map.serialize_entry(name, limit)?;
        }
        map.end()
    }
}

/// Elements of a list with their key paths.
fn numbered<T>(list: &str, items: Vec<T>) -> impl Iterator<Item = (String, T)> {
    items.into_iter().enumerate().map(move |(index, item)| (format!("{list}.{index}"), item))
}

/// The word, or with the first number behind it that makes it new.
fn unused<'a>(word: &str, used: impl Iterator<Item = &'a str> + Clone) -> String {
    let numbered = (2_u32..).map(|number| format!("{word}-{number}"));
    let mut names = std::iter::once(word.to_owned()).chain(numbered);
    names.find(|name| !used.clone().any(|used| used == name)).unwrap_or_else(|| word.to_owned())
}
