//! "Metric: scaiwave_ws_connections{tenant} should be stable; scaiwave_ws_messages_dropped_total: non-zero is bad."

use crate::collector::exposition;
use crate::probe::judgement::{Finding, Judgement};
use crate::probe::path::{Path, trouble_words};

/// The seed page's own two: without them an operator cannot look where it says.
const PAGE: [&str; 2] = ["scaiwave_ws_connections", DROPPED];
const DROPPED: &str = "scaiwave_ws_messages_dropped_total";
/// Those of the metrics page.
const OTHERS: [&str; 3] =
    ["scaiwave_http_requests_total", "scaiwave_http_request_duration_seconds", "scaiwave_build_info"];

/// Looks at every `/metrics`.
pub(super) async fn examine(path: &Path) -> Judgement {
    let mut judgement = Judgement::default();
    for endpoint in &path.metrics {
        let answer = path.look(endpoint, "").await;
        let authority = endpoint.authority();
        match answer {
            Ok(answer) if answer.is_success() => {
                read(&String::from_utf8_lossy(&answer.body), authority, &mut judgement);
            }
            Ok(answer) => judgement.unclear(format!(
                "/metrics of {authority} is answered with HTTP {}: name those of the pods in target.metrics",
                answer.status
            )),
            Err(trouble) => judgement.unclear(format!(
                "/metrics of {authority}: {}; name those of the pods in target.metrics",
                trouble_words(&trouble)
            )),
        }
    }
    if path.profile.target.metrics.is_empty() {
        judgement.saw(
            "seen through the balancer, which shows one pod at a time: target.metrics names all of them",
        );
    }
    judgement
}

fn read(page: &str, authority: &str, judgement: &mut Judgement) {
    let exposed = |name: &str| page.lines().any(|line| mentions(line, name));
    for name in PAGE {
        match exposition::sum(page, name) {
            Some(value) => judgement.saw(format!("{authority} exposes {name}, {value} now")),
            None if exposed(name) => {
                judgement.unclear(format!("{authority} exposes {name}, with no value that can be read"))
            }
            None => judgement
                .unclear(format!("{authority} does not expose {name}: nobody can tell what it would say")),
        }
    }
    let missing: Vec<&str> = OTHERS.into_iter().filter(|name| !exposed(name)).collect();
    if !missing.is_empty() {
        judgement.saw(format!("{authority} does not expose {}", missing.join(", ")));
    }
    if let Some(dropped @ 1..) = exposition::sum(page, DROPPED) {
        judgement.found(
            Finding::new(
                "messages-dropped",
                "the server has dropped messages",
                "scaiwave_ws_messages_dropped_total: non-zero is bad. See in the pod's log which clients were too slow, and \
                 whether it grows (wavesoak run counts what is missed, and where).",
            )
            .because(format!("{DROPPED} of {authority} is {dropped}"))
            .with("dropped", dropped as f64),
        );
    }
}

/// A sample, or a declaration.
fn mentions(line: &str, name: &str) -> bool {
    let line = line.strip_prefix("# TYPE ").unwrap_or(line);
    // Histograms and counters go by longer names in their samples.
    line.strip_prefix(name).is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::judgement::Outcome;

    fn judged(page: &str) -> Judgement {
        let mut judgement = Judgement::default();
        read(page, "pod-1", &mut judgement);
        judgement
    }

    #[test]
    fn what_is_not_exposed_is_not_known_and_what_is_not_zero_is_bad() {
        let both = "scaiwave_ws_connections{tenant=\"a\"} 3\nscaiwave_ws_messages_dropped_total 0\n";
        assert_eq!(judged(both).outcome(), Outcome::Healthy);
        let one = judged("scaiwave_ws_connections{tenant=\"a\"} 3\n");
        assert_eq!(one.outcome(), Outcome::Inconclusive);
        let bad = judged(&both.replace("total 0", "total 7"));
        assert_eq!(bad.findings[0].measured["dropped"], 7.0);
    }

    #[test]
    fn a_metric_is_there_by_its_samples_or_its_type() {
        assert!(mentions("scaiwave_http_request_duration_seconds_bucket{le=\"1\"} 2", OTHERS[1]));
        assert!(mentions("# TYPE scaiwave_build_info gauge", OTHERS[2]));
        assert!(!mentions("scaiwave_build_information 1", OTHERS[2]));
    }
}
