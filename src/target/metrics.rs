//! `/metrics` of one pod, under the documented names (seed; doc reference/api/health-and-metrics).

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;

/// The metrics of one life of a pod: a pod that comes back begins at zero, as a process does.
#[derive(Debug)]
pub(super) struct PodMetrics {
    registry: Registry,
    connections: Family<TenantLabel, Gauge>,
    dropped: Counter,
    /// What a planted fault has made it forget.
    forgotten: u64,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabel, Histogram, fn() -> Histogram>,
}

impl PodMetrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("scaiwave");
        let connections = Family::default();
        registry.register("ws_connections", "Open streams", Clone::clone(&connections));
        let dropped = Counter::default();
        registry.register(
            "ws_messages_dropped",
            "Frames that found a send queue full",
            Clone::clone(&dropped),
        );
        let requests = Family::default();
        registry.register("http_requests", "Answered requests", Clone::clone(&requests));
        let durations = Family::new_with_constructor(buckets as fn() -> Histogram);
        registry.register("http_request_duration_seconds", "Time to the answer", Clone::clone(&durations));
        let build = Family::<VersionLabel, Gauge>::default();
        build.get_or_create(&VersionLabel { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("build_info", "The running version", build);
        Self { registry, connections, dropped, forgotten: 0, requests, durations }
    }

    pub(super) fn opened(&self, tenant: String) {
        self.connections.get_or_create(&TenantLabel { tenant }).inc();
    }

    pub(super) fn closed(&self, tenant: String) {
        self.connections.get_or_create(&TenantLabel { tenant }).dec();
    }

    pub(super) fn dropped(&self) {
        self.dropped.inc();
    }

    pub(super) fn served(&self, route: &'static str, method: &'static str, status: u16, took: Duration) {
        let labels = RequestLabels { route, method, status: u32::from(status) };
        self.requests.get_or_create(&labels).inc();
        self.durations.get_or_create(&RouteLabel { route }).observe(took.as_secs_f64());
    }

    /// The counter of dropped frames begins again at zero, though its pod lives on: a planted fault.
    pub(super) fn forget_dropped(&mut self) {
        self.forgotten = self.dropped.get();
    }

    /// The text, with so many dropped frames more than there were.
    pub(super) fn text(&self, more: u64) -> String {
        let text = self.all();
        let shown = (self.dropped.get() + more).saturating_sub(self.forgotten);
        if shown == self.dropped.get() {
            return text;
        }
        let line = |line: &str| match line.starts_with(DROPPED) {
            true => format!("{DROPPED}{shown}\n"),
            false => format!("{line}\n"),
        };
        text.lines().map(line).collect()
    }

    /// The text, without the counter of dropped frames.
    pub(super) fn text_without_dropped(&self) -> String {
        let text = self.all();
        let kept = text.lines().filter(|line| !line.contains(DROPPED_NAME));
        kept.map(|line| format!("{line}\n")).collect()
    }

    fn all(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes any text");
        // The encoder leaves a family without a label set out altogether; a pod that nobody has connected to yet still
        // exposes the gauge.
        if !text.contains(CONNECTIONS_TYPE) {
            text.insert_str(0, CONNECTIONS_TYPE);
        }
        text
    }
}

const DROPPED_NAME: &str = "scaiwave_ws_messages_dropped";
const DROPPED: &str = "scaiwave_ws_messages_dropped_total ";
const CONNECTIONS_TYPE: &str = "# TYPE scaiwave_ws_connections gauge\n";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TenantLabel {
    tenant: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
    status: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabel {
    version: &'static str,
}

fn buckets() -> Histogram {
    Histogram::new([0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 35.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_names_come_out() {
        let metrics = PodMetrics::new();
        metrics.opened("t1".to_owned());
        metrics.dropped();
        metrics.served("/v1/sync", "GET", 200, Duration::from_millis(3));
        let text = metrics.text(0);
        for line in [
            "scaiwave_ws_connections{tenant=\"t1\"} 1",
            "scaiwave_ws_messages_dropped_total 1",
            "scaiwave_http_requests_total{route=\"/v1/sync\",method=\"GET\",status=\"200\"} 1",
            "scaiwave_http_request_duration_seconds_count{route=\"/v1/sync\"} 1",
            concat!("scaiwave_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert!(text.lines().any(|own| own == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_pod_without_connections_exposes_the_gauge_all_the_same() {
        let declared = |metrics: &PodMetrics| metrics.text(0).matches(CONNECTIONS_TYPE).count();
        let metrics = PodMetrics::new();
        assert_eq!(declared(&metrics), 1);
        metrics.opened("t1".to_owned());
        assert_eq!(declared(&metrics), 1);
    }
}
