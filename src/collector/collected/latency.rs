//! Latencies as they are collected: a histogram a metric, with what no histogram holds.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// A latency series of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Publish: first attempt to 2xx.
    PublishAck,
    /// Intended send to first arrival by any channel; misses count as infinite.
    Arrival,
    /// Intended send to first arrival, live.
    DeliveryIntended,
    /// Actual send to first arrival, live.
    DeliverySent,
    /// Intended send to first arrival by a bridge.
    BridgeDelivery,
    /// Intended send to first arrival by an offline poll.
    PollDelivery,
    /// Connect to upgrade.
    Connect,
    /// Upgrade to hello.
    Hello,
    /// One sync request, bridging.
    SyncPage,
    /// A whole bridge.
    Bridge,
    /// Disconnect to live again.
    Recovery,
    /// Intended to actual send.
    SendLateness,
    /// Scheduled to actual attempt.
    ReconnectLateness,
    /// A sync request of `traffic.sync_rate`: due to answered; one without a page counts as infinite.
    SyncLoad,
}

impl Metric {
    /// All, in the order of the contract.
    pub const ALL: [Self; 14] = [
        Self::PublishAck,
        Self::Arrival,
        Self::DeliveryIntended,
        Self::DeliverySent,
        Self::BridgeDelivery,
        Self::PollDelivery,
        Self::Connect,
        Self::Hello,
        Self::SyncPage,
        Self::Bridge,
        Self::Recovery,
        Self::SendLateness,
        Self::ReconnectLateness,
        Self::SyncLoad,
    ];

    /// The name in the summary.
    pub fn name(self) -> &'static str {
        match self {
            Self::PublishAck => "publish_ack",
            Self::Arrival => "arrival",
            Self::DeliveryIntended => "delivery_intended",
            Self::DeliverySent => "delivery_sent",
            Self::BridgeDelivery => "bridge_delivery",
            Self::PollDelivery => "poll_delivery",
            Self::Connect => "connect",
            Self::Hello => "hello",
            Self::SyncPage => "sync_page",
            Self::Bridge => "bridge",
            Self::Recovery => "recovery",
            Self::SendLateness => "send_lateness",
            Self::ReconnectLateness => "reconnect_lateness",
            Self::SyncLoad => "sync_load",
        }
    }
}

/// A latency distribution in microseconds, with what does not fit in it counted beside it.
#[derive(Clone, Debug)]
pub struct Distribution {
    /// 1 µs to 1 h; the fleet's have 3 significant digits, a tenant's 2.
    pub histogram: Histogram<u64>,
    /// Samples above the histogram's range.
    pub out_of_range: u64,
    /// Samples that are +∞: never arrived.
    pub not_delivered: u64,
}

impl Default for Distribution {
    fn default() -> Self {
        Self::new(3)
    }
}

/// The longest latency that a distribution holds: 1 h, in microseconds.
pub const LATENCY_MAX_US: u64 = 3_600_000_000;

impl Distribution {
    /// An empty one.
    pub fn new(significant_digits: u8) -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_MAX_US, significant_digits)
            .expect("1 to LATENCY_MAX_US with 2 or 3 digits are good bounds");
        Self { histogram, out_of_range: 0, not_delivered: 0 }
    }

    /// Records one latency; 0 µs is recorded as 1 µs, the histogram's floor.
    pub fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1);
        if self.histogram.record(micros).is_err() {
            self.out_of_range += 1;
        }
    }

    /// All samples: in range, out of range, never arrived.
    pub fn count(&self) -> u64 {
        self.histogram.len() + self.out_of_range + self.not_delivered
    }

    /// The value at `quantile` in microseconds; `None` when there are no samples or when it falls on what was
    /// out of range or never arrived.
    pub fn at(&self, quantile: f64) -> Option<u64> {
        let total = self.count();
        let rank = ((quantile * total as f64).ceil() as u64).max(1);
        if total == 0 || rank > self.histogram.len() {
            return None;
        }
        // Half a rank down, so that rounding cannot push the histogram's own ceil() to the next sample.
        Some(self.histogram.value_at_quantile((rank as f64 - 0.5) / self.histogram.len() as f64))
    }

    /// Adds another one's samples.
    pub fn merge(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("all distributions have the same range");
        self.out_of_range += other.out_of_range;
        self.not_delivered += other.not_delivered;
    }
}
