//! What an objective's name points at.

use crate::collector::collected::Metric;

/// One thing that can be judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Subject<'a> {
    /// `live`: the worst hold's share of planned clients.
    Live,
    /// `acknowledged`: a share of the intended publishes, or their count.
    Acknowledged,
    /// `messages_dropped_total`
    MessagesDropped,
    /// `fanout_failed`
    FanoutFailed,
    /// `disconnects.total`
    Disconnects,
    /// A key of `clients`.
    Clients(&'a str),
    /// A key of `publishes`.
    Publishes(&'a str),
    /// A key of `deliveries`.
    Deliveries(&'a str),
    /// A key of `tokens`.
    Tokens(&'a str),
    /// A key of `reconnects`.
    Reconnects(&'a str),
    /// `<metric>.<point>`
    Latency(Metric, Point),
    /// `worst_tenant.<metric>.<point>`
    WorstTenantLatency(Metric, Point),
    /// `worst_tenant.<key of deliveries>`
    WorstTenantDeliveries(&'a str),
}

/// A point of a distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Point {
    /// The smallest.
    Min,
    /// A quantile.
    Quantile(f64),
    /// The largest.
    Max,
}

impl<'a> Subject<'a> {
    /// Reads a name; whether a key of a section exists is found when it is looked up.
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        if let Some(rest) = name.strip_prefix("worst_tenant.") {
            return Some(match rest.split_once('.') {
                Some(("deliveries", key)) => Self::WorstTenantDeliveries(key),
                Some((metric, point)) => {
                    Self::WorstTenantLatency(tenant_metric(metric)?, Point::parse(point)?)
                }
                None => Self::WorstTenantDeliveries(rest),
            });
        }
        match name.split_once('.') {
            None => Some(Self::bare(name)),
            Some(("clients", key)) => Some(Self::Clients(key)),
            Some(("publishes", key)) => Some(Self::Publishes(key)),
            Some(("deliveries", key)) => Some(Self::Deliveries(key)),
            Some(("tokens", key)) => Some(Self::Tokens(key)),
            Some(("reconnects", key)) => Some(Self::Reconnects(key)),
            Some(("disconnects", "total")) => Some(Self::Disconnects),
            Some(("server", "messages_dropped_total")) => Some(Self::MessagesDropped),
            Some(("server", "fanout_failed")) => Some(Self::FanoutFailed),
            Some((metric, point)) => Some(Self::Latency(metric_named(metric)?, Point::parse(point)?)),
        }
    }

    /// A name without a section: a word of its own, else a key of `clients` or `reconnects` that is found nowhere
    /// else, else one of `deliveries`, whose prefix may be left out.
    fn bare(name: &'a str) -> Self {
        match name {
            "live" => Self::Live,
            "acknowledged" => Self::Acknowledged,
            "messages_dropped_total" => Self::MessagesDropped,
            "fanout_failed" => Self::FanoutFailed,
            "never_ready" | "unjudged" | "auth_failed" | "evicted" => Self::Clients(name),
            "double_stored" => Self::Publishes(name),
            "schedule_violations" => Self::Reconnects(name),
            _ => Self::Deliveries(name),
        }
    }
}

impl Point {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "min" => Self::Min,
            "p50" => Self::Quantile(0.5),
            "p90" => Self::Quantile(0.9),
            "p99" => Self::Quantile(0.99),
            "p999" => Self::Quantile(0.999),
            "max" => Self::Max,
            _ => return None,
        })
    }
}

fn metric_named(name: &str) -> Option<Metric> {
    Metric::ALL.into_iter().find(|metric| metric.name() == name)
}

/// Only these two are kept for each tenant.
fn tenant_metric(name: &str) -> Option<Metric> {
    metric_named(name).filter(|metric| matches!(metric, Metric::Arrival | Metric::DeliveryIntended))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_subjects() {
        for (name, subject) in [
            ("live", Some(Subject::Live)),
            ("deliveries.live", Some(Subject::Deliveries("live"))),
            ("lost_by_server", Some(Subject::Deliveries("lost_by_server"))),
            ("clients.never_ready", Some(Subject::Clients("never_ready"))),
            ("never_ready", Some(Subject::Clients("never_ready"))),
            ("server.messages_dropped_total", Some(Subject::MessagesDropped)),
            ("arrival.p999", Some(Subject::Latency(Metric::Arrival, Point::Quantile(0.999)))),
            ("arrival.p95", None),
            ("worst_tenant.arrival.max", Some(Subject::WorstTenantLatency(Metric::Arrival, Point::Max))),
            ("worst_tenant.bridge.p99", None),
            ("worst_tenant.missed_in_seam", Some(Subject::WorstTenantDeliveries("missed_in_seam"))),
        ] {
            assert_eq!(Subject::parse(name), subject, "{name}");
        }
    }
}
