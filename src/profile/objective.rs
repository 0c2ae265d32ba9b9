//! What an objective can be about.

use std::fmt;

use crate::collector::collected::{Clients, Deliveries, Metric, Publishes, Reconnects, Tokens};

use super::LimitUnit;
use super::keys::fields_of;
use super::nearest::nearest;

/// What an objective is about: the name on the left, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `live`: share of the planned clients that are live, the lowest at the ends of holds.
    Live,
    /// `acknowledged`: share of the intended publishes.
    Acknowledged,
    /// `<key>` or `<section>.<key>`: a count of the summary.
    Count {
        /// `clients`, `publishes`, `deliveries`, `tokens`, `reconnects`, `disconnects`.
        section: &'static str,
        /// Its key.
        key: &'static str,
    },
    /// `messages_dropped_total`, `fanout_failed`, `connections_unstable`, `tenant_connections_unstable` or
    /// `connections_leaked`: a count that the servers may not expose.
    Server(&'static str),
    /// `upgrades_lost`: upgrades that were lost to a missing session, where that can be told.
    UpgradesLost,
    /// `<metric>.<percentile>`
    Latency(Metric, Percentile),
    /// `storm_recovery.<percentile>`: from a storm's first loss until so many of its clients were live again, in the storm
    /// in which it took longest. `p50`, `p90`, `p99` and `max`.
    StormRecovery(Percentile),
    /// `worst_tenant.<metric>.<percentile>`; `arrival` and `delivery_intended` only.
    WorstTenantLatency(Metric, Percentile),
    /// `worst_tenant.<key>`: a key of `deliveries`, in the tenant where it is worst.
    WorstTenant(&'static str),
}

impl Subject {
    /// What this name is about. The error completes "… names nothing that is judged": it is what to write instead,
    /// or empty.
    pub fn parse(name: &str) -> Result<Self, String> {
        Self::all().into_iter().find(|(known, _)| known == name).map(|(_, subject)| subject).ok_or_else(
            || {
                let known: Vec<String> = Self::all().into_iter().map(|(known, _)| known).collect();
                let qualified: Vec<String> = known
                    .iter()
                    .filter(|known| known.rsplit_once('.').is_some_and(|(_, key)| key == name))
                    .map(|known| format!("`{known}`"))
                    .collect();
                if !qualified.is_empty() && qualified.len() <= 6 {
                    return format!("; write {}", qualified.join(" or "));
                }
                nearest(name, known.iter().map(String::as_str))
                    .map(|near| format!("; did you mean `{near}`?"))
                    .unwrap_or_default()
            },
        )
    }

    /// Whether it can be known without publishing (`traffic.mode = "observe"`).
    pub fn is_observable(self) -> bool {
        self.not_observable().is_none()
    }

    /// Why it cannot be known without publishing; `None`: it can.
    pub fn not_observable(self) -> Option<&'static str> {
        match self {
            Self::Acknowledged | Self::Count { section: "publishes", .. } => Some("nothing is published"),
            Self::Latency(metric, _) | Self::WorstTenantLatency(metric, _) => match metric {
                Metric::PublishAck | Metric::SendLateness => Some("nothing is published"),
                Metric::Arrival
                | Metric::DeliveryIntended
                | Metric::DeliverySent
                | Metric::BridgeDelivery
                | Metric::PollDelivery => Some("nobody knows when an event was published"),
                Metric::Connect
                | Metric::Hello
                | Metric::SyncPage
                | Metric::Bridge
                | Metric::Recovery
                | Metric::ReconnectLateness
                | Metric::SyncLoad => None,
            },
            Self::Count { section: "deliveries", key } | Self::WorstTenant(key) => {
                not_observable_delivery(key)
            }
            Self::Live
            | Self::Count { .. }
            | Self::Server(_)
            | Self::UpgradesLost
            | Self::StormRecovery(_) => None,
        }
    }

    /// The unit that a limit on it must have.
    pub fn unit(self) -> LimitUnit {
        match self {
            Self::Live | Self::Acknowledged => LimitUnit::Share,
            Self::Count { .. } | Self::Server(_) | Self::UpgradesLost | Self::WorstTenant(_) => {
                LimitUnit::Count
            }
            Self::Latency(..) | Self::WorstTenantLatency(..) | Self::StormRecovery(_) => LimitUnit::Micros,
        }
    }

    /// Every name there is, with what it means. A bare key stands for its section's where no other section has one
    /// of that name; a key of `deliveries` always does, but for `live`.
    fn all() -> Vec<(String, Self)> {
        let sections = sections();
        let mut all = vec![("live".to_owned(), Self::Live), ("acknowledged".to_owned(), Self::Acknowledged)];
        for (section, keys) in sections {
            for key in keys {
                let subject = Self::Count { section, key };
                let owners = sections.iter().filter(|(_, keys)| keys.contains(key)).count();
                let special = ["live", "acknowledged"].contains(key);
                if !special && (section == "deliveries" || owners == 1) {
                    all.push(((*key).to_owned(), subject));
                }
                all.push((format!("{section}.{key}"), subject));
            }
        }
        for name in ["upgrades_lost", "stickiness.upgrades_lost"] {
            all.push((name.to_owned(), Self::UpgradesLost));
        }
        let servers = [
            "messages_dropped_total",
            "fanout_failed",
            "connections_unstable",
            "tenant_connections_unstable",
            "connections_leaked",
        ];
        for key in servers {
            all.push((key.to_owned(), Self::Server(key)));
            all.push((format!("server.{key}"), Self::Server(key)));
        }
        for metric in Metric::ALL {
            for at in Percentile::ALL {
                all.push((format!("{}.{at}", metric.name()), Self::Latency(metric, at)));
            }
        }
        for at in [Percentile::P50, Percentile::P90, Percentile::P99, Percentile::Max] {
            all.push((format!("storm_recovery.{at}"), Self::StormRecovery(at)));
        }
        for metric in [Metric::Arrival, Metric::DeliveryIntended] {
            for at in Percentile::ALL {
                let subject = Self::WorstTenantLatency(metric, at);
                all.push((format!("worst_tenant.{}.{at}", metric.name()), subject));
            }
        }
        for key in fields_of::<Deliveries>() {
            all.push((format!("worst_tenant.{key}"), Self::WorstTenant(key)));
        }
        all
    }
}

/// Of a latency's distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Percentile {
    /// The shortest.
    Min,
    /// The median.
    P50,
    /// 90 % are not longer.
    P90,
    /// 99 % are not longer.
    P99,
    /// 99.9 % are not longer.
    P999,
    /// The longest.
    Max,
}

impl Percentile {
    /// All, ascending.
    pub const ALL: [Self; 6] = [Self::Min, Self::P50, Self::P90, Self::P99, Self::P999, Self::Max];

    /// The share of samples that are not longer; 0 for the shortest.
    pub fn quantile(self) -> f64 {
        match self {
            Self::Min => 0.0,
            Self::P50 => 0.5,
            Self::P90 => 0.9,
            Self::P99 => 0.99,
            Self::P999 => 0.999,
            Self::Max => 1.0,
        }
    }

    /// The key in the summary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Min => "min",
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::P999 => "p999",
            Self::Max => "max",
        }
    }
}

impl fmt::Display for Percentile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Why a key of `deliveries` cannot be known without publishing.
fn not_observable_delivery(key: &str) -> Option<&'static str> {
    match key {
        "missed_on_stream"
        | "missed_in_sync"
        | "missed_in_seam"
        | "missed_behind_cursor"
        | "stream_omitted" => Some("nobody knows which side lost what was missed"),
        "late_live" | "late_bridged" | "below_cursor" => Some("nobody knows when an event was published"),
        "unexpected" => Some("whatever comes may have been published by others"),
        _ => None,
    }
}

/// The counts of the summary, by section.
fn sections() -> [(&'static str, &'static [&'static str]); 6] {
    [
        ("deliveries", fields_of::<Deliveries>()),
        ("clients", fields_of::<Clients>()),
        ("publishes", fields_of::<Publishes>()),
        ("tokens", fields_of::<Tokens>()),
        ("reconnects", fields_of::<Reconnects>()),
        ("disconnects", &["total"]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_contract_are_known() {
        let deliveries = |key| Subject::Count { section: "deliveries", key };
        for (name, subject) in [
            ("live", Subject::Live),
            ("deliveries.live", deliveries("live")),
            ("lost_by_server", deliveries("lost_by_server")),
            ("deliveries.lost_by_server", deliveries("lost_by_server")),
            ("acknowledged", Subject::Acknowledged),
            ("publishes.acknowledged", Subject::Count { section: "publishes", key: "acknowledged" }),
            ("never_ready", Subject::Count { section: "clients", key: "never_ready" }),
            ("schedule_violations", Subject::Count { section: "reconnects", key: "schedule_violations" }),
            ("disconnects.total", Subject::Count { section: "disconnects", key: "total" }),
            ("messages_dropped_total", Subject::Server("messages_dropped_total")),
            ("delivery_intended.p99", Subject::Latency(Metric::DeliveryIntended, Percentile::P99)),
            ("worst_tenant.arrival.p999", Subject::WorstTenantLatency(Metric::Arrival, Percentile::P999)),
            ("worst_tenant.missed_in_seam", Subject::WorstTenant("missed_in_seam")),
        ] {
            assert_eq!(Subject::parse(name), Ok(subject), "{name}");
        }
    }

    #[test]
    fn a_name_that_two_sections_have_must_say_which() {
        assert_eq!(
            Subject::parse("rejected"),
            Err("; write `publishes.rejected` or `tokens.rejected`".to_owned())
        );
        assert_eq!(
            Subject::parse("total"),
            Err("; write `reconnects.total` or `disconnects.total`".to_owned())
        );
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        assert_eq!(
            Subject::parse("delivery_intended.p95"),
            Err("; did you mean `delivery_intended.p90`?".to_owned())
        );
        assert_eq!(Subject::parse("happiness"), Err(String::new()));
        assert!(Subject::parse("worst_tenant.hello.p99").is_err());
    }

    #[test]
    fn no_name_means_two_things() {
        let mut names: Vec<String> = Subject::all().into_iter().map(|(name, _)| name).collect();
        names.sort();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
