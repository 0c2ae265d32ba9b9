//! What a summary reports, as one flat list of counts.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::report::Summary;

/// Counts by key: those of `deliveries` and `publishes` by their names in the summary, the others with their
/// section before them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported(BTreeMap<String, u64>);

impl Reported {
    /// The count of this key; what is not there did not happen.
    pub fn get(&self, key: &str) -> u64 {
        self.0.get(key).copied().unwrap_or(0)
    }

    /// Everything above zero that a clean run does not report.
    pub fn guilty(&self) -> impl Iterator<Item = (&str, u64)> {
        let guilty = |(key, count): &(&String, &u64)| **count > 0 && !INNOCENT.contains(&key.as_str());
        self.0.iter().filter(guilty).map(|(key, count)| (key.as_str(), *count))
    }
}

/// What there is in clean runs as well, or follows from other keys: what was bridged after a while away is late, and a
/// client without a network has no sync.
const INNOCENT: [&str; 19] = [
    "expected",
    "live",
    "bridged",
    "late_bridged",
    "missed_after_bridging",
    "overlap",
    "intended",
    "sent",
    "acknowledged",
    "tokens.refreshed",
    "disconnects.left",
    "reconnects.total",
    "reconnects.immediate",
    "reconnects.backed_off",
    "oddities.ping_frame",
    "oddities.frame_other_known",
    "poll_delivery",
    "oddities.sync_network",
    "oddities.offline_attempts",
];

/// The counts of a summary.
pub fn reported(summary: &Summary) -> Reported {
    let mut all = BTreeMap::new();
    numbers("", &summary.deliveries, &mut all);
    numbers("", &summary.publishes, &mut all);
    numbers("reconnects.", &summary.reconnects, &mut all);
    numbers("tokens.", &summary.tokens, &mut all);
    numbers("disconnects.", &summary.disconnects.by_cause, &mut all);
    numbers("close_code.", &summary.disconnects.by_close_code, &mut all);
    numbers("oddities.", &summary.oddities, &mut all);
    let clients = summary.clients;
    let server = &summary.server;
    let poll_delivery = summary
        .latency_us
        .iter()
        .find(|(metric, _)| metric.name() == "poll_delivery")
        .map_or(0, |(_, latency)| latency.count);
    for (key, count) in [
        ("never_ready", clients.never_ready),
        ("unjudged", clients.unjudged),
        ("auth_failed", clients.auth_failed),
        ("evicted", clients.evicted),
        ("not_ready_at_end", clients.planned - clients.ready_at_end),
        ("messages_dropped_total", server.messages_dropped_total.unwrap_or(0)),
        ("dropped_is_lower_bound", u64::from(server.dropped_is_lower_bound)),
        ("fanout_failed", server.fanout_failed.unwrap_or(0)),
        ("not_exposed", server.not_exposed.len() as u64),
        ("scrape_failures", server.scrape_failures),
        ("connections_leaked", server.connections_leaked.unwrap_or(0)),
        ("connections_unstable", server.connections_unstable.unwrap_or(0)),
        ("tenant_connections_unstable", server.tenant_connections_unstable.unwrap_or(0)),
        ("poll_delivery", poll_delivery),
    ] {
        all.insert(key.to_owned(), count);
    }
    Reported(all)
}

fn numbers(section: &str, of: &impl Serialize, all: &mut BTreeMap<String, u64>) {
    let Ok(Value::Object(map)) = serde_json::to_value(of) else { return };
    all.extend(map.iter().filter_map(|(key, value)| Some((format!("{section}{key}"), value.as_u64()?))));
}
