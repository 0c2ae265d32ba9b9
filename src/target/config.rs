//! What a target is made of: resolved from a profile, and small enough to go to a child process as JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::Population;
use crate::profile::{self, Profile};

pub use super::capacity::Capacity;
pub use super::planted::{Cohort, PlantedFault, PlantedKind, Which};

/// Everything that pods and balancer need to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Ids and random choices of faults follow from it.
    pub seed: u64,
    /// Unix time, in whole seconds, of [`crate::time::Timestamp::ZERO`] on the target's clock.
    pub epoch_unix_s: u64,
    /// API pods; at least 1.
    pub pods: u32,
    /// Time between two protocol pings on a connection.
    pub ping_interval: Duration,
    /// Unanswered pings after which the pod closes with `ping_timeout`.
    pub ping_misses: u32,
    /// Life of the access tokens that the target itself hands out.
    pub token_lifetime: Duration,
    /// `POST /v1/auth/token` gives tokens for passwords.
    pub password_grant: bool,
    /// Frames that wait for one connection; further ones are dropped and counted.
    pub send_queue: u32,
    /// Publishes per tenant and second; `None`: no limit.
    pub send_limit: Option<f64>,
    /// Entries of a tenant's log that sync and history can still return.
    pub retention: u32,
    /// A stream needs its identity's session on its pod, and ends this long after an upgrade elsewhere; `None`: it needs
    /// none.
    pub session_drop_after: Option<Duration>,
    /// What each pod carries.
    pub capacity: Capacity,
    /// What is in front of the pods.
    pub balancer: Balancer,
    /// What goes wrong, in the order of the profile; client-side faults are left out.
    pub faults: Vec<PlantedFault>,
}

impl Config {
    /// From a resolved profile: its `[target.embedded]`, its seed and its target-side faults.
    pub fn from_profile(profile: &Profile) -> Self {
        let embedded = &profile.target.embedded;
        let population = Population::new(&profile.population);
        let faults = (0..).zip(&profile.faults);
        Self {
            seed: profile.seed,
            epoch_unix_s: EPOCH_OF_SIMULATIONS,
            pods: embedded.pods.max(1),
            ping_interval: embedded.ping_interval,
            ping_misses: embedded.ping_misses,
            token_lifetime: embedded.token_lifetime,
            password_grant: embedded.password_grant,
            send_queue: embedded.send_queue,
            send_limit: embedded.send_limit.map(|rate| rate.0),
            retention: embedded.retention,
            session_drop_after: match embedded.sessions {
                profile::Sessions::None => None,
                profile::Sessions::Sync => Some(embedded.session_drop_after),
            },
            capacity: Capacity::from_profile(&embedded.capacity),
            balancer: Balancer::from_profile(&embedded.balancer),
            faults: faults
                .filter_map(|(index, fault)| PlantedFault::new(index, fault, &population))
                .collect(),
        }
    }
}

/// What is in front of the pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Balancer {
    /// `false`: clients go straight to the pods.
    pub proxy: bool,
    /// What makes a client's requests reach the same pod again.
    pub sticky: Sticky,
    /// A stream on which nothing passed either way for this long is cut, without a close frame.
    pub idle_timeout: Duration,
    /// Time between two health checks of a pod.
    pub health_interval: Duration,
}

impl Balancer {
    fn from_profile(shape: &profile::Balancer) -> Self {
        Self {
            proxy: shape.mode == profile::BalancerMode::Proxy,
            sticky: match shape.sticky {
                profile::Sticky::None => Sticky::None,
                profile::Sticky::Cookie => Sticky::Cookie,
                profile::Sticky::Token => Sticky::Token,
            },
            idle_timeout: shape.idle_timeout,
            health_interval: shape.health_interval,
        }
    }
}

/// What makes a client's requests reach the same pod again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sticky {
    /// Nothing: round robin.
    None,
    /// A cookie set by the balancer.
    Cookie,
    /// A hash of the token (query or Authorization header).
    Token,
}

/// 2026-01-01T00:00:00Z; servers put their own start in its place.
const EPOCH_OF_SIMULATIONS: u64 = 1_767_225_600;

#[cfg(test)]
impl Config {
    /// A small target of tests: 2 pods, 30 s pings, no faults.
    pub(super) fn small() -> Self {
        Self {
            seed: 1,
            epoch_unix_s: EPOCH_OF_SIMULATIONS,
            pods: 2,
            ping_interval: Duration::from_secs(30),
            ping_misses: 2,
            token_lifetime: Duration::from_secs(3600),
            password_grant: false,
            send_queue: 8,
            send_limit: None,
            retention: 1000,
            session_drop_after: None,
            capacity: Capacity::default(),
            balancer: Balancer {
                proxy: true,
                sticky: Sticky::Cookie,
                idle_timeout: Duration::from_secs(90),
                health_interval: Duration::from_secs(1),
            },
            faults: Vec::new(),
        }
    }

    /// The same, with this fault, unending, as its only one.
    pub(super) fn with_fault(kind: PlantedKind, duration: Option<Duration>) -> Self {
        let fault = PlantedFault { index: 0, name: "planted".to_owned(), at: Duration::ZERO, duration, kind };
        Self { faults: vec![fault], ..Self::small() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_survives_the_way_to_a_child_process() {
        let (everyone, duration) = (Cohort::everyone(), Some(Duration::from_millis(1500)));
        for kind in [
            PlantedKind::lose(1, 4, 3, 2, true),
            PlantedKind::PodKill { pod: None },
            PlantedKind::RejectTokens { who: Cohort::Share { share: 0.5, clients: 7 } },
            PlantedKind::Publish { which: Which::Share(0.1), verb: profile::Publish::Twice },
            PlantedKind::Stream {
                who: Cohort::Clients(vec![3]),
                verb: profile::Stream::Close { code: 4003, reason: "\n".to_owned() },
            },
            PlantedKind::Sync { who: everyone, verb: profile::Sync::Slow(Duration::from_millis(7)) },
            PlantedKind::Metrics { pod: Some(1), verb: profile::Metrics::Wrong { more: 3 } },
        ] {
            let config = Config::with_fault(kind, duration);
            let text = serde_json::to_string(&config).expect("plain data");
            assert_eq!(serde_json::from_str::<Config>(&text).expect("its own text"), config);
            assert!(!text.contains('\n'), "one line of stdin");
        }
    }
}
