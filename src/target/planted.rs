//! Target-side faults as they go to a child process: what the profile says, with whom and what it hits resolved
//! to numbers of the plan.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::Population;
use crate::profile::{self, Delivery, Events, Fault, FaultKind, Metrics, Publish, Stream, Sync, Who};

/// One target-side fault of the profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlantedFault {
    /// Its index among all faults of the profile.
    pub index: u32,
    /// Its name in the profile.
    pub name: String,
    /// When it begins, from the beginning of the first phase.
    pub at: Duration,
    /// How long it lasts; `None`: to the end of the run.
    pub duration: Option<Duration>,
    /// What is done.
    pub kind: PlantedKind,
}

impl PlantedFault {
    pub(super) fn new(index: u32, fault: &Fault, people: &Population) -> Option<Self> {
        let kind = match &fault.kind {
            FaultKind::Line(..) | FaultKind::Exec(_) => return None,
            FaultKind::PodKill(pod) => PlantedKind::PodKill { pod: *pod },
            FaultKind::IdleTimeout(timeout) => PlantedKind::IdleTimeout { timeout: *timeout },
            FaultKind::MaxAge(timeout) => PlantedKind::MaxAge { timeout: *timeout },
            FaultKind::RefusePublishes => PlantedKind::RefusePublishes,
            FaultKind::RejectTokens(who) => PlantedKind::RejectTokens { who: Cohort::new(who, people) },
            FaultKind::Delivery(events, verb) => {
                PlantedKind::Delivery { which: Which::new(*events, people), verb: *verb }
            }
            FaultKind::Publish(events, verb) => {
                PlantedKind::Publish { which: Which::new(*events, people), verb: *verb }
            }
            FaultKind::Stream(who, verb) => {
                PlantedKind::Stream { who: Cohort::new(who, people), verb: verb.clone() }
            }
            FaultKind::Sync(who, verb) => PlantedKind::Sync { who: Cohort::new(who, people), verb: *verb },
            FaultKind::Metrics(pod, verb) => PlantedKind::Metrics { pod: *pod, verb: *verb },
        };
        Some(Self { index, name: fault.name.clone(), at: fault.at, duration: fault.duration, kind })
    }
}

/// What a target-side fault does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum PlantedKind {
    /// A pod dies; with a duration it comes back.
    PodKill {
        /// Its index, from 0 (pod 0 calls itself `pod-1`); `None`: drawn from the seed.
        pod: Option<u32>,
    },
    /// The balancer has this idle timeout instead of its own.
    IdleTimeout {
        /// The timeout.
        timeout: Duration,
    },
    /// The balancer ends streams at this age.
    MaxAge {
        /// From the upgrade.
        timeout: Duration,
    },
    /// Every publish is refused with `SW_NOT_MEMBER`.
    RefusePublishes,
    /// The tokens of these identities are refused.
    RejectTokens {
        /// Whose.
        who: Cohort,
    },
    /// Something becomes of events on their way to one client.
    Delivery {
        /// Which.
        which: Which,
        /// What.
        verb: Delivery,
    },
    /// Something becomes of publishes.
    Publish {
        /// Which.
        which: Which,
        /// What.
        verb: Publish,
    },
    /// Something becomes of streams.
    Stream {
        /// Whose.
        who: Cohort,
        /// What.
        verb: Stream,
    },
    /// Something becomes of sync requests.
    Sync {
        /// Whose.
        who: Cohort,
        /// What.
        verb: Sync,
    },
    /// `/metrics` does not say what is.
    Metrics {
        /// Index of the pod, from 0; `None`: of every pod.
        pod: Option<u32>,
        /// What it says.
        verb: Metrics,
    },
}

impl PlantedKind {
    /// Planted by the balancer; all others are planted by the pods.
    pub fn is_balancers(&self) -> bool {
        matches!(self, Self::IdleTimeout { .. } | Self::MaxAge { .. })
    }

    /// Events of one room do not reach one client; `room` is an index in the plan.
    #[cfg(test)]
    pub(super) fn lose(client: u32, room: u32, first: u32, count: u32, store: bool) -> Self {
        Self::Delivery {
            which: Which::Coordinates { client, room, first, count },
            verb: Delivery::Lose { store },
        }
    }
}

/// Which events.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// These, on their way to this client (where the way matters).
    Coordinates {
        /// Number of the client in the plan.
        client: u32,
        /// Index of the room in the plan, as in the stamp.
        room: u32,
        /// First sequence number.
        first: u32,
        /// How many in a row.
        count: u32,
    },
    /// This share, each drawn by seed and its own coordinates.
    Share(f64),
}

impl Which {
    fn new(events: Events, people: &Population) -> Self {
        match events {
            Events::Share(share) => Self::Share(share.0),
            Events::Coordinates(profile::Coordinates { client, room, first, count }) => {
                // A room index that the client does not have matches no event; the profile refuses it earlier.
                let room = people.rooms_of(client).nth(room as usize).unwrap_or(u32::MAX);
                Self::Coordinates { client, room, first, count }
            }
        }
    }

    /// Whether an event with these coordinates can be one of them, whoever it goes to.
    pub(super) fn may_match(&self, room: u32, n: u32) -> bool {
        match *self {
            Self::Coordinates { room: own, first, count, .. } => {
                room == own && n >= first && n - first < count
            }
            Self::Share(_) => true,
        }
    }
}

/// Whom a fault hits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cohort {
    /// A share of the clients of the plan.
    Share {
        /// The share; exactly this part of `clients`, rounded.
        share: f64,
        /// Clients of the plan, numbered from 0.
        clients: u32,
    },
    /// A tenant's.
    Tenant {
        /// Its index in the plan.
        tenant: u32,
        /// Tenants of the plan: client c is in tenant c mod this.
        tenants: u32,
    },
    /// These.
    Clients(Vec<u32>),
}

impl Cohort {
    fn new(who: &Who, people: &Population) -> Self {
        match who {
            Who::Share(share) => Self::Share { share: share.0, clients: people.clients() },
            Who::Tenant(tenant) => Self::Tenant { tenant: *tenant, tenants: people.tenants() },
            Who::Clients(clients) => Self::Clients(clients.clone()),
        }
    }

    /// Everyone.
    #[cfg(test)]
    pub(super) fn everyone() -> Self {
        Self::Tenant { tenant: 0, tenants: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_match_their_range_and_nothing_beside_it() {
        let which = Which::Coordinates { client: 1, room: 4, first: 3, count: 2 };
        let hit: Vec<u32> = (0..8).filter(|&n| which.may_match(4, n)).collect();
        assert_eq!(hit, [3, 4]);
        assert!(!which.may_match(5, 3));
    }
}
