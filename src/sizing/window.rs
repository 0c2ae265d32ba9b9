//! How long a step must measure so that its verdict means something.
//!
//! Two rules, both ours. A percentile p is read from the samples beyond it: with fewer than ten of them (1,000 samples for a
//! p99) it is one or two unlucky requests that decide. And load above what pods carry shows as a queue that grows: for it to
//! reach a latency objective, it must grow for objective / (resolution × p) (500 ms at 5 %: 10 s), or a load that is above the
//! limit by more than the resolution passes.
//!
//! A window is made as long as both ask for, up to a bound. What stays short of them cannot pass: it is inconclusive, and the
//! step says what it was short of.

use std::time::Duration;

use super::step::{Step, Terms};
use crate::profile::{Comparison, Objective, Percentile, Profile, Subject};
use crate::report::Summary;

/// How long a step measures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// For so long.
    pub length: Duration,
    /// Its objectives ask for so long.
    pub needed: Duration,
}

impl Window {
    /// As long as the objectives of the step's own profile ask for, within its terms.
    pub(super) fn wanted(step: &Step, profile: &Profile, terms: &Terms) -> Self {
        let each = profile.objectives.iter().filter_map(|objective| needed(step, objective, profile, terms));
        let needed = each.max().unwrap_or(Duration::ZERO).max(Duration::from_secs(1));
        let length = needed.max(terms.window).min(terms.window_most.max(terms.window));
        Self { length, needed }
    }

    /// It is over sooner.
    pub(super) fn cut_to(self, length: Duration) -> Self {
        Self { length: self.length.min(length), ..self }
    }

    /// Why a step that passed has not shown that it does; `None`: it has.
    pub fn short_of(&self, profile: &Profile, summary: &Summary) -> Option<String> {
        // The clients of a ramp are whole ones.
        if self.length.as_secs_f64() < self.needed.as_secs_f64() * ALMOST {
            return Some(format!(
                "measured for {:.1} s, and the objectives at this load ask for {:.1} s: lengthen --window-most, or make room \
                 for more streams",
                self.length.as_secs_f64(),
                self.needed.as_secs_f64()
            ));
        }
        profile.objectives.iter().find_map(|objective| {
            let Ok(Subject::Latency(metric, point)) = Subject::parse(&objective.name) else { return None };
            let needed = samples(point)?;
            let seen = summary.latency_us.get(&metric).map_or(0, |latency| latency.count);
            ((seen as f64) < needed * ALMOST).then(|| {
                format!("{}: {seen} samples, and it takes {needed:.0}: lengthen --window", objective.name)
            })
        })
    }
}

/// What one objective asks for; `None`: it is not about latency, or not about a percentile.
fn needed(step: &Step, objective: &Objective, profile: &Profile, terms: &Terms) -> Option<Duration> {
    let subject = Subject::parse(&objective.name).ok()?;
    let (Subject::Latency(_, point) | Subject::WorstTenantLatency(_, point)) = subject else { return None };
    let rate = step.samples(subject, profile)?;
    let for_samples = samples(point).map_or(0.0, |samples| samples / rate);
    let for_queue = match objective.limit.comparison {
        // After a time t the queue has grown to share × t, and the percentile reads it at p × t.
        Comparison::AtMost => objective.limit.bound / 1e6 / terms.resolution / reads_at(point),
        _ => 0.0,
    };
    Duration::try_from_secs_f64(for_samples.max(for_queue)).ok()
}

/// In which part of a window that fills up a percentile is read.
fn reads_at(point: Percentile) -> f64 {
    match point {
        Percentile::Min => 1.0,
        point => point.quantile().clamp(0.1, 1.0),
    }
}

/// Samples that it takes to read a percentile; `None`: it is none.
fn samples(point: Percentile) -> Option<f64> {
    match point {
        Percentile::Min | Percentile::Max => None,
        point => Some(SAMPLES_BEYOND / (1.0 - point.quantile())),
    }
}

/// Beyond a percentile there must be so many samples (ours).
const SAMPLES_BEYOND: f64 = 10.0;

/// A plan comes in whole clients and seconds: so much of what is needed will do.
const ALMOST: f64 = 0.97;

#[cfg(test)]
mod tests {
    use super::super::goal::Resource;
    use super::super::step::Known;
    use super::*;
    use crate::profile::{Limit, LimitUnit};
    use crate::report::sample;

    const TERMS: Terms = Terms {
        window: Duration::from_secs(5),
        window_most: Duration::from_secs(60),
        resolution: 0.05,
        ramp: 50.0,
    };

    fn window(resource: Resource, load: f64, objective: &str, bound_us: f64, known: Known) -> Window {
        let mut base = sample::profile();
        let limit = Limit {
            comparison: Comparison::AtMost,
            bound: bound_us,
            unit: LimitUnit::Micros,
            if_exposed: false,
        };
        base.objectives = vec![Objective { name: objective.to_owned(), limit }];
        Step { resource, pods: 1, load }.profile(&base, &TERMS, known).1
    }

    fn summary(profile: &Profile) -> Summary {
        let collected = sample::collected();
        let verdict = crate::verdict::judge(profile, &collected);
        Summary::new(profile, &collected, &verdict, &sample::info())
    }

    fn secs(resource: Resource, load: f64, objective: &str, bound_us: f64) -> f64 {
        window(resource, load, objective, bound_us, Known::default()).length.as_secs_f64()
    }

    #[test]
    fn a_window_holds_ten_samples_beyond_its_percentile() {
        let short = 10_000.0;
        assert_eq!(secs(Resource::Deliveries, 50.0, "delivery_intended.p99", short), 20.0);
        assert_eq!(secs(Resource::Deliveries, 1_000.0, "delivery_intended.p999", short), 10.0);
        assert_eq!(secs(Resource::Deliveries, 1_000.0, "delivery_intended.p50", short), 5.0, "as asked for");
        assert_eq!(secs(Resource::SyncPages, 100.0, "sync_load.p99", short), 10.0);
        // Each of two tenants has half of the samples.
        assert_eq!(secs(Resource::Deliveries, 100.0, "worst_tenant.arrival.p99", short), 20.0);
        assert_eq!(
            secs(Resource::Connections, 100.0, "connect.p99", short),
            5.0,
            "not what this load misses"
        );
    }

    #[test]
    fn a_queue_has_time_to_grow_to_the_objective() {
        assert_eq!(secs(Resource::Deliveries, 1e6, "delivery_intended.p50", 500_000.0), 20.0);
        assert_eq!(secs(Resource::Deliveries, 1e6, "delivery_intended.max", 1_000_000.0), 20.0);
    }

    #[test]
    fn a_window_is_not_lengthened_beyond_its_bound_and_says_what_it_is_short_of() {
        let short = window(Resource::Deliveries, 1.0, "delivery_intended.p99", 10_000.0, Known::default());
        assert_eq!((short.length, short.needed), (Duration::from_secs(60), Duration::from_secs(1_000)));
        let profile = sample::profile();
        let summary = summary(&profile);
        let said = short.short_of(&profile, &summary).expect("short");
        assert!(said.contains("ask for 1000.0 s") && said.contains("--window-most"), "{said}");
        let long = Window { length: Duration::from_secs(9), needed: Duration::from_secs(9) };
        let mut profile = profile;
        profile.objectives =
            vec![Objective { name: "recovery.p999".to_owned(), limit: super::super::step::HALF_A_SECOND }];
        let said = long.short_of(&profile, &summary).expect("few samples");
        assert!(said.starts_with("recovery.p999: ") && said.contains("takes 10000"), "{said}");
        profile.objectives.clear();
        assert_eq!(long.short_of(&profile, &summary), None);
    }

    #[test]
    fn handshakes_that_no_seats_are_left_for_are_measured_for_a_shorter_time() {
        let known = Known { seats: Some(100.0), handshakes: None };
        let window = window(Resource::Handshakes, 30.0, "connect.p99", 10_000.0, known);
        assert_eq!(window.length, Duration::from_secs(3));
        assert!(window.needed > Duration::from_secs(30));
    }
}
