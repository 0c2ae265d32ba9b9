//! Small random profiles with random fault plans, each from one number.

use std::time::Duration;

use rand::RngExt as _;
use wavesoak::profile::quantity::{Rate, Share};
use wavesoak::profile::{
    Arrivals, BalancerMode, BridgeOrder, Payload, Phase, Profile, Sticky, TenantShares, TrafficStart,
};
use wavesoak::seed::{Seed, Stream};

use crate::play::parse;
use crate::random_faults::faults;

/// The plan of this number.
pub(crate) fn random_profile(number: u64) -> Profile {
    let mut draw = Draw(Seed(number).stream("random plan", [0; 3]));
    let mut profile = parse(LEAST);
    profile.name = format!("plan-{number}");
    profile.seed = number;
    population(&mut draw, &mut profile);
    phases(&mut draw, &mut profile);
    traffic(&mut draw, &mut profile);
    client(&mut draw, &mut profile);
    target(&mut draw, &mut profile);
    profile.drain.deadline = draw.time(&[60.0, 60.0, 60.0, 12.0, 4.0]);
    profile.audit.rate = Rate(draw.pick(&[500.0, 500.0, 20.0, 3.0]));
    profile.audit.queue = draw.pick(&[10_000, 10_000, 20, 2]);
    faults(&mut draw, &mut profile);
    profile.client.flush_interval = draw.time(&[1.0, 1.0, 0.1, 3.0, 60.0]);
    profile
}

/// What every plan has; the rest is drawn.
const LEAST: &str = r#"
name = "plan"
[target]
scrape_interval = "60s"
[[phase]]
name = "only"
duration = "10s"
clients = "100%"
[report]
interval = "60s"
"#;

fn population(draw: &mut Draw, profile: &mut Profile) {
    let people = &mut profile.population;
    people.tenants = draw.pick(&[1, 1, 2, 3]);
    people.clients = draw.from(people.tenants.max(2), 12);
    people.rooms_per_client = draw.from(1, 3);
    let memberships = people.clients / people.tenants * people.rooms_per_client;
    people.rooms_per_tenant =
        Some(draw.from(people.rooms_per_client, memberships.min(people.rooms_per_client + 3)));
}

fn phases(draw: &mut Draw, profile: &mut Profile) {
    let most = profile.population.clients;
    let mut clients = 0;
    let count = draw.from(2, 6);
    profile.phases = (0..count)
        .map(|index| {
            clients = match index {
                0 => draw.from(1, most),
                _ if draw.chance(0.5) => clients,
                _ => draw.from(0, most),
            };
            Phase {
                name: format!("phase-{index}"),
                duration: draw.time(&[0.5, 1.0, 2.0, 3.0, 5.0]),
                clients,
                rate: Share(draw.pick(&[1.0, 1.0, 1.0, 0.3, 0.0])),
            }
        })
        .collect();
}

fn traffic(draw: &mut Draw, profile: &mut Profile) {
    let traffic = &mut profile.traffic;
    traffic.rate = Rate(draw.pick(&[2.0, 5.0, 10.0, 10.0, 20.0, 40.0]));
    traffic.start = draw.pick(&[TrafficStart::Phase, TrafficStart::Phase, TrafficStart::AllLive]);
    traffic.arrivals = draw.pick(&[Arrivals::Even, Arrivals::Poisson]);
    traffic.tenant_shares = draw.pick(&[TenantShares::Even, TenantShares::Zipf(1.1)]);
    traffic.payload = Payload::Fixed(300);
    traffic.max_send_lateness = draw.time(&[10.0, 10.0, 2.0, 0.3]);
    traffic.send_timeout = draw.time(&[10.0, 2.0, 0.5]);
    traffic.send_attempts = draw.from(1, 4);
    traffic.max_in_flight = draw.pick(&[512, 512, 8, 2]);
}

fn client(draw: &mut Draw, profile: &mut Profile) {
    let client = &mut profile.client;
    client.bridge = draw.pick(&[BridgeOrder::SyncFirst, BridgeOrder::SyncFirst, BridgeOrder::StreamFirst]);
    client.bridge_timeout = draw.time(&[0.0, 0.0, 0.0, 0.5]);
    client.poll_timeout = draw.time(&[0.2, 1.0, 5.0, 30.0]);
    client.sync_limit = draw.pick(&[1, 2, 3, 5, 10, 100]);
    client.sync_deadline = draw.time(&[10.0, 2.0, 0.5]);
    client.first_retry_spread = draw.time(&[0.0, 0.0, 1.0]);
    client.jitter = draw.pick(&[0.0, 0.0, 0.5, 1.0]);
    client.backoff_reset_after = draw.time(&[10.0, 2.0, 0.5]);
    client.hello_deadline = draw.time(&[5.0, 0.5]);
    client.connect_deadline = draw.time(&[10.0, 0.5]);
    client.offline_after = draw.time(&[60.0, 5.0, 1.0, 0.2]);
    client.lateness_bound = draw.time(&[0.1, 0.5, 1.0, 2.0]);
}

fn target(draw: &mut Draw, profile: &mut Profile) {
    let rate = profile.traffic.rate.0;
    let embedded = &mut profile.target.embedded;
    embedded.pods = draw.from(1, 4);
    embedded.ping_interval = draw.time(&[0.3, 1.0, 2.0, 5.0]);
    embedded.ping_misses = draw.from(1, 3);
    embedded.client_watchdog = Some(draw.time(&[0.8, 2.5, 6.0]));
    embedded.token_lifetime = draw.time(&[3600.0, 3600.0, 15.0, 4.0, 1.0]);
    embedded.send_queue = draw.pick(&[1_024, 1_024, 8, 2, 1]);
    // A burst of one second's worth must let provisioning mark every room.
    let least = f64::from(profile.population.rooms_per_tenant.unwrap_or(1));
    embedded.send_limit = draw.chance(0.15).then(|| Rate((rate * draw.pick(&[0.1, 0.3, 0.6])).max(least)));
    embedded.retention = draw.pick(&[1_000_000, 1_000_000, 1_000_000, 100, 30, 10]);
    let balancer = &mut embedded.balancer;
    balancer.mode = draw.pick(&[BalancerMode::Proxy, BalancerMode::Proxy, BalancerMode::Direct]);
    balancer.sticky = draw.pick(&[Sticky::None, Sticky::Cookie, Sticky::Token]);
    balancer.idle_timeout = draw.time(&[90.0, 90.0, 3.0, 0.7]);
    balancer.health_interval = draw.time(&[0.2, 1.0, 3.0]);
    profile.client.watchdog = embedded.client_watchdog.unwrap_or(profile.client.watchdog);
}

/// What is drawn from one number.
pub(crate) struct Draw(Stream);

impl Draw {
    pub(crate) fn stream(&mut self) -> &mut Stream {
        &mut self.0
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.0.random_range(0..of.len())]
    }

    pub(crate) fn from(&mut self, least: u32, most: u32) -> u32 {
        self.0.random_range(least..=most.max(least))
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.0.random::<f64>() < share
    }

    pub(crate) fn time(&mut self, of: &[f64]) -> Duration {
        millis(self.pick(of))
    }
}

pub(crate) fn millis(seconds: f64) -> Duration {
    Duration::from_millis((seconds * 1000.0).round() as u64)
}
