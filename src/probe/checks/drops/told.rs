//! The findings, one for each rule that ends streams: what it is called, what shows it, what to do.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::pings;
use super::{Drops, Stream, few};
use crate::probe::judgement::Finding;
use crate::probe::lifetimes::Cluster;
use crate::probe::report::secs;
use crate::probe::tape::ending_words;
use crate::probe::vigil::Vigil;

/// The page's advice, with the lines that follow it.
const IDLE_REMEDY: &str = "\
Proxy or load balancer has too low an idle timeout. ScaiWave pings every 30s: increase the LB / nginx proxy_read_timeout \
past 60s (75–90s recommended), at every hop on the way.
nginx:   proxy_read_timeout 90s;   (in the location of /v1/stream; proxy_send_timeout likewise)
HAProxy: timeout tunnel 90s        (in defaults or the backend; it replaces timeout client and server after the upgrade)";

const AGE_REMEDY: &str = "\
Something on the way ends connections at an age, busy or not: look for a maximum connection duration (a gateway's or CDN's \
request timeout, a mesh's max_connection_duration, a load balancer's backend timeout, a pod that recycles its workers) and \
exempt /v1/stream from it, or raise it. The client's reconnect (immediately, then /v1/sync?since=) bridges each drop.";

const STICKY_REMEDY: &str = "\
Sticky sessions not configured: some LBs round-robin upgrade requests, and the WS gets routed to a pod that doesn't have \
the session. Configure sticky for /v1/sync and /v1/stream alike.
nginx:   hash on a key that both carry (hash $arg_token does not: sync has none), sticky cookie, or ip_hash
HAProxy: cookie POD insert indirect nocache   (and a cookie on every server line)";

const NETWORK_REMEDY: &str = "\
Network conditions (mobile network, VPN): less fixable; the client should auto-reconnect and bridge via /v1/sync. If this \
machine's own network is sound, look at the health checks and restarts of balancer and pods.";

/// The page's advice for idle timeouts.
const ADVISED: Duration = Duration::from_secs(90);

impl Drops<'_> {
    pub(super) fn idle_timeout(&self, idle: &Cluster, vigil: &Vigil) -> Finding {
        let at = idle.at.as_secs_f64();
        let symptom = format!("something on the way cuts a stream on which nothing passed for {at:.1} s");
        let interval = pings::interval(vigil);
        // The page's figures are for the documented interval.
        let needed = interval.map(pings::timeout_for).filter(|needed| *needed > ADVISED);
        let remedy = match (interval, needed) {
            (Some(interval), Some(needed)) => format!(
                "{IDLE_REMEDY}\nHere the server pings every {} only: {:.0}s or more instead of 90s (2.5 of its intervals).",
                secs(interval),
                needed.as_secs_f64().ceil()
            ),
            _ => IDLE_REMEDY.to_owned(),
        };
        let mut finding = Finding::new("idle-timeout", symptom, remedy);
        let spared = self.more_silent(idle);
        if spared > 0 {
            finding = finding.because(format!(
                "{spared} quiet streams were silent for longer: not every way has that timeout"
            ));
        }
        finding
        .with("timeout_s", at)
        .because(format!(
            "{} of {} drops of quiet streams came {} after the last byte either way (all within {})",
            idle.count,
            idle.of,
            secs(idle.at),
            secs(idle.spread)
        ))
        .because(format!(
            "streams that ping every {} lived for up to {}: the cluster moves with traffic, so it is an idle timeout and no \
             maximum age",
            secs(vigil.own_ping_interval),
            secs(self.longest(|stream| stream.pings))
        ))
        .because(match interval {
            Some(interval) if interval > idle.at => {
                format!("the server pings every {}: the timeout is below that", secs(interval))
            }
            Some(interval) => format!(
                "the server pings every {}, which should have kept them: some of its pings come late, or not at all",
                secs(interval)
            ),
            None => "no ping of the server came on any stream: the timeout is below its interval, or it does not ping".to_owned(),
        })
    }

    pub(super) fn maximum_age(&self, quiet: &Cluster, pinging: &Cluster, vigil: &Vigil) -> Finding {
        let at = quiet.at.as_secs_f64();
        let same = format!(
            "{} of {} drops of quiet streams and {} of {} of pinging ones came {} after the upgrade",
            quiet.count,
            quiet.of,
            pinging.count,
            pinging.of,
            secs(quiet.at)
        );
        Finding::new(
            "maximum-age",
            format!("something on the way ends every stream {at:.1} s after its upgrade, busy or not"),
            AGE_REMEDY,
        )
        .with("age_s", at)
        .because(same)
        .because(format!(
            "a ping every {} does not help: the cluster does not move with traffic",
            secs(vigil.own_ping_interval)
        ))
    }

    /// Every stream ends within seconds: where requests and upgrades take turns over the pods, none ever meets its session.
    pub(super) fn none_lives(&self, quiet: &Cluster) -> Finding {
        let (lost, of) = (self.all.len(), self.streams.len());
        let remedy =
            format!("{STICKY_REMEDY}\nIf one client straight on one pod drops as well: {AGE_REMEDY}");
        Finding::new("no-stickiness", "every upgrade succeeds, and every stream drops within seconds", remedy)
            .with("share_lost", lost as f64 / of.max(1) as f64)
            .with("age_s", quiet.at.as_secs_f64())
            .because(format!(
                "{lost} of {of} upgrades were dropped, {} after succeeding, busy or not",
                secs(quiet.at)
            ))
            .because("each upgrade came right after a sync of the same identity, with its cookies")
    }

    pub(super) fn not_sticky(&self, early: &[Stream<'_>], vigil: &Vigil) -> Finding {
        let (lost, of) = (early.len(), self.streams.len());
        let mut by_pod: BTreeMap<&str, usize> = BTreeMap::new();
        early.iter().for_each(|drop| *by_pod.entry(drop.tape.server()).or_insert(0) += 1);
        let pods: Vec<String> = by_pod.iter().map(|(pod, count)| format!("{count} on {pod}")).collect();
        let latest = early.iter().map(|drop| drop.tape.age()).max().unwrap_or_default();
        Finding::new("no-stickiness", "upgrades reach pods that do not have the session", STICKY_REMEDY)
            .with("share_lost", lost as f64 / of.max(1) as f64)
            .because(format!("{lost} of {of} upgrades were dropped within {} of succeeding", secs(latest)))
            .because(format!("others live on, up to {}, quiet or not", secs(self.longest(|_| true))))
            .because(format!("dropped: {}", pods.join(", ")))
            .because(format!(
                "each upgrade came right after a sync of the same identity, with its cookies; within {} counts as seconds",
                secs(few(vigil))
            ))
    }

    /// At one moment of the wall clock, whatever their ages: somebody was restarted.
    pub(super) fn together(&self, cluster: &Cluster) -> Finding {
        let mut pods: Vec<&str> = self.all.iter().map(|drop| drop.tape.server()).collect();
        pods.sort_unstable();
        pods.dedup();
        let finding = Finding::new(
            "dropped-together",
            "streams drop at one moment, whatever their age",
            "A pod or the balancer was restarted or reloaded, or lost its way to the other: see its log at that time. \
             Streams that are opened later live on.",
        );
        finding
            .because(format!(
                "{} of {} drops within {} of each other; streams of {}",
                cluster.count,
                cluster.of,
                secs(cluster.spread),
                pods.join(", ")
            ))
            .because(format!("the longest stream lived for {}", secs(self.longest(|_| true))))
    }

    /// One or two drops show no rule, and no lack of one.
    pub(super) fn few(&self) -> Finding {
        let ends: Vec<String> = self
            .all
            .iter()
            .map(|drop| {
                format!(
                    "a stream of {} dropped {} after its upgrade, {} after the last byte either way",
                    drop.tape.server(),
                    secs(drop.tape.age()),
                    secs(drop.tape.idle())
                )
            })
            .collect();
        let mut finding = Finding::new(
            "drops-unexplained",
            "streams dropped, too few of them to tell by whose rule",
            "Clients reconnect and bridge each drop by /v1/sync. Listen for longer (--listen 10m): a rule on the way shows when \
             three drops come after the same time; see the balancer's log for these.",
        )
        .with("drops", self.all.len() as f64);
        for end in ends {
            finding = finding.because(end);
        }
        finding
    }

    pub(super) fn unstable(&self) -> Finding {
        let ages = self.all.iter().map(|drop| drop.tape.age());
        let (least, most) = (ages.clone().min().unwrap_or_default(), ages.max().unwrap_or_default());
        Finding::new("unstable-network", "streams drop without a rule", NETWORK_REMEDY)
            .with("drops", self.all.len() as f64)
            .because(format!(
                "{} drops of {} streams, after {} to {}: no cluster, neither by age nor by idle time",
                self.all.len(),
                self.streams.len(),
                secs(least),
                secs(most)
            ))
    }

    pub(super) fn by_ending(&self) -> String {
        let mut by: BTreeMap<String, usize> = BTreeMap::new();
        for (_, ending) in self.all.iter().filter_map(|drop| drop.tape.end.as_ref()) {
            *by.entry(ending_words(ending)).or_insert(0) += 1;
        }
        let parts: Vec<String> = by.iter().map(|(words, count)| format!("{count} by {words}")).collect();
        format!("{} drops of {} streams: {}", self.all.len(), self.streams.len(), parts.join(", "))
    }
}
