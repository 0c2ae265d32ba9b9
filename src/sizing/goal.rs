//! What is asked for: a load, by the resources of a pod that it uses.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::{Load, load};
use crate::profile::Profile;

/// What a pod can run out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "live", derive(clap::ValueEnum))]
pub enum Resource {
    /// Streams that are open.
    Connections,
    /// Sync requests answered a second.
    SyncPages,
    /// Upgrades a second, each behind the sync request that the documented client makes first.
    Handshakes,
    /// Messages written to streams a second: publishes times the members of their rooms.
    Deliveries,
}

impl Resource {
    /// In the order in which they are searched: the others need to know how many streams fit, and every handshake has a
    /// sync page before it.
    pub const ALL: [Self; 4] = [Self::Connections, Self::SyncPages, Self::Handshakes, Self::Deliveries];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::SyncPages => "sync_pages",
            Self::Handshakes => "handshakes",
            Self::Deliveries => "deliveries",
        }
    }

    /// What stands behind an amount of it.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Connections => "",
            Self::SyncPages | Self::Handshakes | Self::Deliveries => "/s",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// Clients, each with one stream.
    pub connections: f64,
    /// Upgrades a second: the steepest ramp of the profile.
    pub handshakes: f64,
    /// Deliveries a second, in the busiest phase.
    pub deliveries: f64,
    /// Sync pages a second: those of the bridges before the upgrades of that ramp, and `traffic.sync_rate`. A live client
    /// asks for none, so that a steady hour makes no others; what a loss of pods makes is part of the recovery.
    pub sync_pages: f64,
    /// Pages of the bridge before each reconnect when pods have died: what a client has missed that is back as late as it
    /// may be.
    pub pages_per_reconnect: f64,
}

impl Goal {
    /// The profile's load, scaled to `clients`, its traffic and its ramps along; rooms stay as large as they are. When pods
    /// die, everybody is back `within` this time.
    pub fn of(profile: &Profile, clients: Option<u32>, within: Duration) -> Self {
        let load = Load::of(profile);
        let planned = profile.phases.iter().map(|phase| phase.clients).max().unwrap_or(0).max(1);
        let scale = clients.map_or(1.0, |clients| f64::from(clients) / f64::from(planned));
        Self {
            connections: f64::from(planned) * scale,
            handshakes: load.connects * scale,
            deliveries: load.deliveries * scale,
            sync_pages: load.sync_pages * scale,
            // Of one client, whose rooms are no larger in the larger load.
            pages_per_reconnect: load::pages_missed(profile, within),
        }
    }

    /// How much of one resource.
    pub fn demand(&self, resource: Resource) -> f64 {
        match resource {
            Resource::Connections => self.connections,
            Resource::SyncPages => self.sync_pages,
            Resource::Handshakes => self.handshakes,
            Resource::Deliveries => self.deliveries,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_goal_is_the_profile_scaled_with_its_traffic_and_its_ramps() {
        let profile = sample::profile();
        let goal = Goal::of(&profile, None, Duration::from_secs(30));
        assert_eq!((goal.connections, goal.handshakes, goal.sync_pages), (100.0, 20.0, 20.0));
        // 12.5 deliveries a second and client: 375 in 30 s, a hundred a page.
        assert!((goal.pages_per_reconnect - 4.0).abs() < 1e-9);
        let ten = Goal::of(&profile, Some(1_000), Duration::from_secs(30));
        assert!((ten.pages_per_reconnect - 4.0).abs() < 1e-9);
        for resource in Resource::ALL {
            assert!((ten.demand(resource) / goal.demand(resource) - 10.0).abs() < 1e-9, "{resource}");
        }
    }
}
