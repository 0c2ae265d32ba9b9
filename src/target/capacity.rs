//! What one pod carries, planted exactly. On sockets only: virtual time knows no capacity.

use serde::{Deserialize, Serialize};

use crate::profile;

/// Of each pod; `None`: nothing but the machine is in the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// Open streams; further upgrades are answered 503.
    pub connections: Option<u32>,
    /// Messages written to streams, per second.
    pub deliveries: Option<f64>,
    /// Upgrades answered, per second.
    pub handshakes: Option<f64>,
    /// Sync requests answered, per second.
    pub sync_pages: Option<f64>,
}

impl Capacity {
    pub(super) fn from_profile(shape: &profile::Capacity) -> Self {
        Self {
            connections: shape.connections,
            deliveries: shape.deliveries.map(|rate| rate.0),
            handshakes: shape.handshakes.map(|rate| rate.0),
            sync_pages: shape.sync_pages.map(|rate| rate.0),
        }
    }
}
