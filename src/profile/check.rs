//! The rules: what a resolved profile must keep, and what is allowed and probably not meant.
//!
//! Whatever passes here can neither overflow nor divide by zero later: durations end at [`DURATION_MAX`], and
//! memberships, rooms and events each fit half a `u32`.

mod faults;
mod rooms;
mod route;
mod sizing;

use std::time::Duration;

use toml::Value;

use super::error::{Problem, Why};
use super::keys::{self, dotted};
use super::load::Warning;
use super::quantity::{DURATION_MAX, Quantity, Rate, Written as _};
use super::{
    AuthMode, BalancerMode, FaultKind, LimitUnit, Line, PAYLOAD_MAX, PAYLOAD_MIN, Payload, Phase, Profile,
    Subject, TenantShares, shape,
};

/// Every rule that the profile breaks, in the order of the file.
pub(super) fn problems(profile: &Profile) -> Vec<Problem> {
    let mut rules = Rules { profile, problems: Vec::new() };
    rules.head();
    rules.target();
    rules.route();
    rules.auth();
    rules.embedded();
    rules.population();
    rules.rooms();
    rules.observing();
    rules.phases();
    rules.traffic();
    rules.payload();
    rules.client();
    rules.faults();
    rules.sizing();
    rules.drain();
    rules.ceilings();
    rules.objectives();
    rules.problems
}

/// Everything in the profile that is probably not meant.
pub(super) fn warnings(profile: &Profile) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |key: String, text: String| warnings.push(Warning { key, text });
    let embedded = &profile.target.embedded;
    let on_deployment = profile.target.url.is_some();
    let watchdog = profile.client.watchdog;
    let pings = if on_deployment { DOCUMENTED_PING_INTERVAL } else { embedded.ping_interval };
    if watchdog <= pings {
        let shortened = !on_deployment && embedded.client_watchdog.is_some();
        let key = if shortened { "target.embedded.client_watchdog" } else { "client.watchdog" };
        let text = format!(
            "({}) is not longer than the ping interval ({}): quiet connections will count as dead; 2.5 intervals are advised",
            watchdog.show(),
            pings.show()
        );
        warn(key.to_owned(), text);
    }
    let balancer = &embedded.balancer;
    if !on_deployment && balancer.mode == BalancerMode::Proxy && balancer.idle_timeout <= pings {
        let text = format!(
            "({}) is not longer than the ping interval ({}): streams on which nothing else passes will be cut; 75s to 90s are advised for pings of 30s",
            balancer.idle_timeout.show(),
            pings.show()
        );
        warn("target.embedded.balancer.idle_timeout".to_owned(), text);
    }
    if on_deployment && profile.auth.mode == AuthMode::Mock {
        let text = "\"mock\" makes every token the same user: nothing here tests tenants, rooms of several people, expiry, \
                    refresh or evicted tokens";
        warn("auth.mode".to_owned(), text.to_owned());
    }
    if on_deployment && profile.auth.mode == AuthMode::DevJwt && profile.auth.key_file.is_none() {
        let text = "is missing: with dev-jwt on a target that is not embedded, tokens are signed with the key in this file";
        warn("auth.key_file".to_owned(), text.to_owned());
    }
    if profile.target.insecure {
        let text = "trusts whatever certificate comes: nobody has shown that this is the target";
        warn("target.insecure".to_owned(), text.to_owned());
    }
    let end = course(profile);
    let drained = end.saturating_add(profile.drain.deadline);
    for (index, fault) in profile.faults.iter().enumerate() {
        let name = &fault.name;
        if on_deployment && fault.kind.is_target_side() {
            let text = format!("({name}) is not planted on a deployment: it is listed with `affected` null");
            warn(format!("fault.{index}"), text);
        } else if fault.duration.is_some_and(|duration| fault.at.saturating_add(duration) > end) {
            let text =
                format!("({name}) lasts beyond the phases, which end at {}: it ends with them", end.show());
            warn(format!("fault.{index}.duration"), text);
        }
        let goes_silent = matches!(fault.kind, FaultKind::Line(_, Line::Silent));
        if goes_silent && fault.at.saturating_add(watchdog) > drained {
            let text = format!(
                "({}) ends the run before the watchdog ({}) can notice the fault {name}",
                profile.drain.deadline.show(),
                watchdog.show()
            );
            warn("drain.deadline".to_owned(), text);
        }
    }
    warnings
}

/// How long all phases together last.
fn course(profile: &Profile) -> Duration {
    profile.phases.iter().fold(Duration::ZERO, |sum, phase| sum.saturating_add(phase.duration))
}

/// A deployment's pings (seed).
const DOCUMENTED_PING_INTERVAL: Duration = Duration::from_secs(30);
/// The largest `limit` of a sync (doc reference/api/sync).
const SYNC_LIMIT_MAX: u32 = 500;
/// Nothing that repeats does so more often.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Memberships, rooms and events each stay below it, so that their sums fit a `u32`.
const HALF: u32 = u32::MAX / 2;
/// Pods, phases and attempts of one send that anybody could want.
const MANY: u32 = 1_000;

struct Rules<'a> {
    profile: &'a Profile,
    problems: Vec<Problem>,
}

impl Rules<'_> {
    fn head(&mut self) {
        let Profile { name, about, shortens, .. } = self.profile;
        let letter = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        let good = name.len() <= 64 && name.starts_with(|first: char| first.is_ascii_alphanumeric());
        self.require(good && name.chars().all(letter), "name", name, Why::BadName);
        let good = about.chars().count() <= 200 && !about.contains(char::is_control);
        self.require(good, "about", about, Why::BadText);
        let keys = shape::keys();
        for key in shortens {
            self.require(keys::is_key(&keys, key), "shortens", key, Why::ShortensNothing);
        }
    }

    fn target(&mut self) {
        let target = &self.profile.target;
        let url = target.url.iter().map(|url| ("target.url", url));
        for (key, url) in url.chain(target.metrics.iter().map(|url| ("target.metrics", url))) {
            self.url(key, url);
        }
        for host in &target.allow {
            let good = !host.is_empty()
                && host.chars().all(|letter| letter.is_alphanumeric() || "-.:[]".contains(letter));
            self.require(good, "target.allow", host, Why::BadHost);
        }
        self.interval("target.scrape_interval", target.scrape_interval);
    }

    /// Only what can be told without taking it apart; connecting shows the rest.
    fn url(&mut self, key: &str, url: &str) {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let host = rest.map(|rest| rest.split('/').next().unwrap_or_default()).unwrap_or_default();
        if url.contains('@') {
            return self.secret(key);
        }
        let good =
            !host.is_empty() && !url.contains(|letter: char| letter.is_whitespace() || "?#".contains(letter));
        self.require(good, key, &url.to_owned(), Why::BadUrl);
    }

    fn auth(&mut self) {
        let (auth, people) = (&self.profile.auth, &self.profile.population);
        let listed = matches!(auth.mode, AuthMode::Password | AuthMode::Tokens);
        if auth.mode != AuthMode::DevJwt && self.profile.target.url.is_none() {
            self.require(false, "auth.mode", &auth.mode, Why::OnlyOnDeployment);
        }
        if listed && auth.credentials.is_none() {
            self.require(false, "auth.credentials", &auth.credentials, Why::NoCredentials);
        }
        if let (false, Some(path)) = (listed, &auth.credentials) {
            self.require(false, "auth.credentials", path, Why::NotRead { mode: auth.mode.show() });
        }
        if let (true, Some(path)) = (auth.mode != AuthMode::DevJwt, &auth.key_file) {
            self.require(false, "auth.key_file", path, Why::NotRead { mode: auth.mode.show() });
        }
        if auth.mode == AuthMode::Mock {
            let one = Why::OneUser;
            self.require(people.clients == 1, "population.clients", &people.clients, one.clone());
            self.require(people.tenants == 1, "population.tenants", &people.tenants, one);
        }
    }

    fn secret(&mut self, key: &str) {
        self.problems.push(Problem::new(key, "\"***\"", Why::SecretInUrl));
    }

    fn embedded(&mut self) {
        let embedded = &self.profile.target.embedded;
        self.count("target.embedded.pods", embedded.pods);
        self.at_most("target.embedded.pods", embedded.pods, MANY);
        self.interval("target.embedded.ping_interval", embedded.ping_interval);
        self.count("target.embedded.ping_misses", embedded.ping_misses);
        if let Some(watchdog) = embedded.client_watchdog {
            self.time("target.embedded.client_watchdog", watchdog);
        }
        // `exp` of a token is in whole seconds.
        let whole = embedded.token_lifetime >= Duration::from_secs(1);
        let why = Why::TooLittle { least: "\"1s\"".to_owned() };
        self.require(whole, "target.embedded.token_lifetime", &embedded.token_lifetime, why);
        self.count("target.embedded.send_queue", embedded.send_queue);
        if let Some(limit) = embedded.send_limit {
            self.rate("target.embedded.send_limit", limit);
        }
        self.count("target.embedded.retention", embedded.retention);
        self.interval("target.embedded.session_drop_after", embedded.session_drop_after);
        let capacity = &embedded.capacity;
        if let Some(connections) = capacity.connections {
            self.count("target.embedded.capacity.connections", connections);
        }
        let rates = [
            ("target.embedded.capacity.deliveries", capacity.deliveries),
            ("target.embedded.capacity.handshakes", capacity.handshakes),
            ("target.embedded.capacity.sync_pages", capacity.sync_pages),
        ];
        for (key, rate) in rates {
            rate.into_iter().for_each(|rate| self.rate(key, rate));
        }
        self.interval("target.embedded.balancer.idle_timeout", embedded.balancer.idle_timeout);
        self.interval("target.embedded.balancer.health_interval", embedded.balancer.health_interval);
        self.rate("auth.login_rate", self.profile.auth.login_rate);
    }

    fn population(&mut self) {
        let people = &self.profile.population;
        let counts = [
            ("population.tenants", people.tenants),
            ("population.clients", people.clients),
            ("population.members_per_room", people.members_per_room),
            ("population.rooms_per_tenant", people.rooms_per_tenant.unwrap_or(1)),
            ("population.rooms_per_client", people.rooms_per_client),
        ];
        let zeros = counts.map(|(key, count)| self.count(key, count));
        // The rest divides by them.
        if zeros.contains(&false) {
            return;
        }
        let (tenants, clients) = (people.tenants, people.clients);
        let why = Why::FewerClientsThanTenants { tenants };
        self.require(clients >= tenants, "population.clients", &clients, why);
        let why = Why::TooManyMemberships { clients, most: HALF };
        let slots = clients.checked_mul(people.rooms_per_client);
        let fits = slots.is_some_and(|slots| slots <= HALF);
        self.require(fits, "population.rooms_per_client", &people.rooms_per_client, why);
        if clients < tenants || !fits {
            return;
        }
        // Of the smallest tenant: with more rooms than that, some would be empty. It also keeps all rooms together
        // below the memberships of all.
        let memberships = clients / tenants * people.rooms_per_client;
        if let Some(rooms) = people.rooms_per_tenant {
            let key = "population.rooms_per_tenant";
            let why = Why::MoreRoomsThanThereAre { rooms };
            self.require(
                people.rooms_per_client <= rooms,
                "population.rooms_per_client",
                &people.rooms_per_client,
                why,
            );
            let why = Why::EmptyRooms { instead: "fewer" };
            self.require(rooms <= memberships, key, &rooms, why);
        } else {
            let rooms =
                (clients.div_ceil(tenants) * people.rooms_per_client).div_ceil(people.members_per_room);
            let why = Why::EmptyRooms { instead: "2 or more" };
            self.require(rooms <= memberships, "population.members_per_room", &people.members_per_room, why);
        }
    }

    fn phases(&mut self) {
        let Profile { phases, population, .. } = self.profile;
        if phases.is_empty() {
            self.problems.push(Problem::absent("phase", Why::NoPhases));
            return;
        }
        self.unique_names("phase", phases.iter().map(|phase| phase.name.as_str()));
        let mut from = 0;
        for (index, Phase { duration, clients, .. }) in phases.iter().enumerate() {
            let to = *clients;
            let why = if from == to { Why::NoTime } else { Why::ChangeInNoTime { from, to } };
            self.require(!duration.is_zero(), &format!("phase.{index}.duration"), duration, why);
            let why = Why::MoreThanPopulation { clients: population.clients };
            self.require(to <= population.clients, &format!("phase.{index}.clients"), clients, why);
            from = to;
        }
        if phases.iter().all(|phase| phase.clients == 0) {
            self.problems.push(Problem::new("phase.0.clients", 0, Why::NobodyEver));
        }
        if course(self.profile) > DURATION_MAX {
            let why = Why::TooLong { longest: DURATION_MAX.show() };
            self.problems.push(Problem::new("phase", course(self.profile).show(), why));
        }
        let many = u32::try_from(phases.len()).unwrap_or(u32::MAX);
        self.at_most("phase", many, MANY);
    }

    fn traffic(&mut self) {
        let traffic = &self.profile.traffic;
        self.time("traffic.max_send_lateness", traffic.max_send_lateness);
        self.time("traffic.send_timeout", traffic.send_timeout);
        self.count("traffic.send_attempts", traffic.send_attempts);
        self.at_most("traffic.send_attempts", traffic.send_attempts, MANY);
        self.count("traffic.max_in_flight", traffic.max_in_flight);
        if let TenantShares::Zipf(exponent) = traffic.tenant_shares {
            let why = Why::TooMuch { most: "zipf(10)".to_owned() };
            self.require(exponent <= 10.0, "traffic.tenant_shares", &traffic.tenant_shares, why);
        }
        let events: f64 = self
            .profile
            .phases
            .iter()
            .map(|phase| traffic.rate.0 * phase.rate.0 * phase.duration.as_secs_f64())
            .sum();
        let why = Why::TooManyEvents { events: events as u64, most: HALF };
        self.require(events <= f64::from(HALF), "traffic.rate", &traffic.rate, why);
        let requests: f64 = self
            .profile
            .phases
            .iter()
            .map(|phase| traffic.sync_rate.0 * phase.rate.0 * phase.duration.as_secs_f64())
            .sum();
        let why = Why::TooManyEvents { events: requests as u64, most: HALF };
        self.require(requests <= f64::from(HALF), "traffic.sync_rate", &traffic.sync_rate, why);
    }

    fn payload(&mut self) {
        let payload = self.profile.traffic.payload;
        let (least, most) = match payload {
            Payload::Fixed(bytes) | Payload::LogNormal(bytes, _) => (bytes, bytes),
            Payload::Range(least, most) => (least, most),
        };
        let key = "traffic.payload";
        self.require(least <= most, key, &payload, Why::PayloadReversed);
        let why = Why::PayloadTooSmall { bytes: least, least: PAYLOAD_MIN };
        self.require(least >= PAYLOAD_MIN, key, &payload, why);
        self.require(
            most <= PAYLOAD_MAX,
            key,
            &payload,
            Why::PayloadTooLarge { bytes: most, most: PAYLOAD_MAX },
        );
        if let Payload::LogNormal(_, sigma) = payload {
            let why = Why::TooMuch { most: "lognormal(…, 5)".to_owned() };
            self.require(sigma <= 5.0, key, &payload, why);
        }
    }

    fn client(&mut self) {
        let client = &self.profile.client;
        self.count("client.sync_limit", client.sync_limit);
        let why = Why::SyncLimit { most: SYNC_LIMIT_MAX };
        self.require(client.sync_limit <= SYNC_LIMIT_MAX, "client.sync_limit", &client.sync_limit, why);
        self.time("client.sync_deadline", client.sync_deadline);
        self.require((0.0..=1.0).contains(&client.jitter), "client.jitter", &client.jitter, Why::Jitter);
        self.time("client.watchdog", self.profile.deployed_watchdog);
        self.time("client.hello_deadline", client.hello_deadline);
        self.time("client.connect_deadline", client.connect_deadline);
        self.time("client.lateness_bound", client.lateness_bound);
        self.interval("client.flush_interval", client.flush_interval);
    }

    fn drain(&mut self) {
        let (drain, bound) = (&self.profile.drain, self.profile.client.lateness_bound);
        let least = bound.saturating_mul(2);
        let why = Why::DrainTooShort { least: least.show() };
        self.require(drain.deadline >= least, "drain.deadline", &drain.deadline, why);
    }

    fn ceilings(&mut self) {
        let Profile { audit, report, limits, stops, .. } = self.profile;
        self.rate("audit.rate", audit.rate);
        self.count("audit.queue", audit.queue);
        self.count("audit.window", audit.window);
        self.interval("report.interval", report.interval);
        self.count("limits.clients", limits.clients);
        for (key, rate) in [
            ("limits.connects", limits.connects),
            ("limits.logins", limits.logins),
            ("limits.publishes", limits.publishes),
            ("limits.deliveries", limits.deliveries),
            ("limits.sync_requests", limits.sync_requests),
        ] {
            self.rate(key, rate);
        }
        for (index, stop) in stops.iter().enumerate() {
            self.time(&format!("stop.{index}.lasting"), stop.lasting);
        }
    }

    fn objectives(&mut self) {
        for objective in &self.profile.objectives {
            let key = dotted(["objectives", &objective.name]);
            let Ok(subject) = Subject::parse(&objective.name) else { continue };
            let why = match subject.unit() {
                LimitUnit::Micros => Why::LatencyWithoutUnit,
                LimitUnit::Share => Why::NotAShare,
                LimitUnit::Count => Why::NotACount,
            };
            self.require(subject.unit() == objective.limit.unit, &key, &objective.limit, why);
            let absent = matches!(subject, Subject::Server(_) | Subject::UpgradesLost);
            self.require(absent || !objective.limit.if_exposed, &key, &objective.limit, Why::AlwaysExposed);
        }
    }

    fn require(&mut self, holds: bool, key: &str, value: &impl Quantity, why: Why) -> bool {
        if !holds {
            self.problems.push(Problem::new(key, value.to_value(), why));
        }
        holds
    }

    fn count(&mut self, key: &str, count: u32) -> bool {
        self.require(count > 0, key, &count, Why::NotAboveZero { least: "1" })
    }

    fn at_most(&mut self, key: &str, count: u32, most: u32) {
        self.require(count <= most, key, &count, Why::TooMuch { most: most.to_string() });
    }

    fn time(&mut self, key: &str, duration: Duration) {
        self.require(!duration.is_zero(), key, &duration, Why::NotAboveZero { least: "\"1ms\"" });
    }

    fn interval(&mut self, key: &str, interval: Duration) {
        let why = Why::TooLittle { least: Value::String(INTERVAL_MIN.show()).to_string() };
        self.require(interval >= INTERVAL_MIN, key, &interval, why);
    }

    /// A rate at which something happens within the longest run.
    fn rate(&mut self, key: &str, rate: Rate) {
        let happens = rate.0 * DURATION_MAX.as_secs_f64() >= 1.0;
        self.require(happens, key, &rate, Why::NotAboveZero { least: "\"1/h\"" });
    }

    fn index(&mut self, key: &str, index: u32, count: u32, what: &'static str) {
        self.require(index < count, key, &index, Why::OutOfRange { count, what });
    }

    fn unique_names<'n>(&mut self, list: &'static str, names: impl Iterator<Item = &'n str> + Clone) {
        for (index, name) in names.clone().enumerate() {
            if names.clone().take(index).any(|earlier| earlier == name) {
                let why = Why::DuplicateName { what: list };
                self.require(false, &format!("{list}.{index}.name"), &name.to_owned(), why);
            }
        }
    }
}

#[cfg(test)]
mod tests;
