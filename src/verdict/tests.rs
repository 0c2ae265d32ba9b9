//! Every rule of the verdict, with a case on either side of it.

use Outcome::{Failed, Inconclusive, Passed};

use super::*;
use crate::collector::collected::{Distribution, Metric};
use crate::profile::Comparison;
use crate::profile::quantity::Rate;
use crate::report::sample::{
    at_least_share, at_most, at_most_ms, collected, distribution, exactly, objective, profile,
};

/// One described run: what differs from the good one, and what becomes of the objective `name` and of the run.
struct Case {
    described: &'static str,
    objective: Option<(&'static str, Limit)>,
    spoil: fn(&mut Profile, &mut Collected),
    /// Name and outcome of the objective to look at; `None`: it is not even shown.
    name: &'static str,
    expected: Option<Outcome>,
    run: Outcome,
    bottleneck: bool,
}

fn check(cases: &[Case]) {
    for case in cases {
        let (mut profile, mut collected) = (profile(), collected());
        if let Some((name, limit)) = case.objective {
            profile.objectives.push(objective(name, limit));
        }
        (case.spoil)(&mut profile, &mut collected);
        let verdict = judge(&profile, &collected);
        let found = verdict.objectives.iter().find(|judged| judged.name == case.name);
        let told = format!("{}: {found:?}, run {}", case.described, verdict.outcome);
        assert_eq!(found.map(|judged| judged.outcome), case.expected, "{told}");
        assert_eq!(verdict.outcome, case.run, "{told}");
        assert_eq!(verdict.bottleneck, case.bottleneck, "{told}");
        if found.is_some_and(|judged| judged.outcome == Inconclusive) {
            assert!(found.is_some_and(|judged| judged.reason.is_some()), "no reason given: {told}");
            assert!(!verdict.reasons.is_empty(), "{told}");
        }
    }
}

fn case(
    described: &'static str,
    spoil: fn(&mut Profile, &mut Collected),
    name: &'static str,
    expected: impl Into<Option<Outcome>>,
    run: Outcome,
) -> Case {
    Case { described, objective: None, spoil, name, expected: expected.into(), run, bottleneck: false }
}

impl Case {
    fn with(self, name: &'static str, limit: Limit) -> Self {
        Self { objective: Some((name, limit)), ..self }
    }

    fn by_the_harness(self) -> Self {
        Self { bottleneck: true, ..self }
    }
}

fn histogram_of(collected: &mut Collected, metric: Metric) -> &mut Distribution {
    collected.latency.get_mut(&metric).expect("the sample has every metric")
}

fn good(_: &mut Profile, _: &mut Collected) {}

#[test]
fn a_good_run_passes_and_says_so_of_every_objective() {
    let verdict = judge(&profile(), &collected());
    assert_eq!(verdict.outcome, Passed);
    let names: Vec<&str> = verdict.objectives.iter().map(|judged| judged.name.as_str()).collect();
    let expected = [
        "delivery_intended.p99",
        "lost_by_server",
        "messages_dropped_total",
        "live",
        "acknowledged",
        "never_ready",
    ];
    assert_eq!(names, expected);
    assert!(!verdict.bottleneck);
    assert!(verdict.reasons.is_empty());
}

#[test]
fn what_is_always_judged() {
    check(&[
        case("99 of 100 live is enough", |_, c| c.holds[0].live = 99, "live", Passed, Passed),
        case("98 of 100 live is not", |_, c| c.holds[0].live = 98, "live", Failed, Failed),
        case(
            "the worst hold counts, not the last",
            |p, c| {
                p.phases.push(p.phases[1].clone());
                c.holds.insert(0, c.holds[0].clone());
                c.holds[0].live = 50;
            },
            "live",
            Failed,
            Failed,
        ),
        case("loosened by name", |_, c| c.holds[0].live = 60, "live", Passed, Passed)
            .with("live", at_least_share(0.5)),
        case(
            "those who are down for the harness's own reasons are not held against the target",
            |_, c| {
                c.holds[0].live = 90;
                c.holds[0].down_by_harness = 10;
            },
            "live",
            Inconclusive,
            Inconclusive,
        )
        .by_the_harness(),
        case(
            "but those beyond are",
            |_, c| {
                c.holds[0].live = 80;
                c.holds[0].down_by_harness = 10;
            },
            "live",
            Failed,
            Failed,
        ),
        case("a hold that nobody saw is not met", |_, c| c.holds.clear(), "live", Inconclusive, Inconclusive),
        case(
            "and so is one of two",
            |p, _| p.phases.push(p.phases[1].clone()),
            "live",
            Inconclusive,
            Inconclusive,
        ),
        case(
            "a profile without a hold is judged at its end",
            |p, c| {
                p.phases.pop();
                c.holds.clear();
                c.clients.live_at_end = 98;
            },
            "live",
            Failed,
            Failed,
        ),
        case(
            "990 of 1000 acknowledged",
            |_, c| c.publishes.acknowledged = 990,
            "acknowledged",
            Passed,
            Passed,
        ),
        case("989 of 1000", |_, c| c.publishes.acknowledged = 989, "acknowledged", Failed, Failed),
        case(
            "a count is judged as a count",
            |_, c| c.publishes.acknowledged = 995,
            "acknowledged",
            Failed,
            Failed,
        )
        .with("acknowledged", Limit { comparison: Comparison::AtLeast, ..exactly(1_000.0) }),
        case("one client never ready", |_, c| c.clients.never_ready = 1, "never_ready", Failed, Failed),
        case(
            "never ready is named as a key of clients",
            |_, c| c.clients.never_ready = 1,
            "never_ready",
            None,
            Passed,
        )
        .with("clients.never_ready", at_most(1.0)),
        case(
            "one client could not be judged",
            |_, c| c.clients.unjudged = 1,
            "never_ready",
            Inconclusive,
            Inconclusive,
        )
        .by_the_harness(),
    ]);
}

#[test]
fn what_only_shows_when_it_is_wrong() {
    check(&[
        case("nothing of the kind", good, "undecided", None, Passed),
        case(
            "the target kept a client away to the end",
            |_, c| c.deliveries.undecided = 5,
            "undecided",
            Failed,
            Failed,
        ),
        case(
            "the harness did",
            |_, c| {
                c.deliveries.undecided = 5;
                c.harness.undecided_by_harness = 5;
            },
            "undecided",
            Inconclusive,
            Inconclusive,
        )
        .by_the_harness(),
        case(
            "both did",
            |_, c| {
                c.deliveries.undecided = 5;
                c.harness.undecided_by_harness = 4;
            },
            "undecided",
            Failed,
            Failed,
        ),
        case("three refused tokens", |_, c| c.clients.auth_failed = 1, "auth_failed", Failed, Failed),
        case("a plan that allows them", |_, c| c.clients.auth_failed = 1, "auth_failed", Passed, Passed)
            .with("auth_failed", at_most(1.0)),
        case("a duplicate", |_, c| c.clients.evicted = 1, "evicted", Failed, Failed),
        case("another tenant's event", |_, c| c.deliveries.leaked = 1, "leaked", Failed, Failed),
        case(
            "which no profile can allow",
            |_, c| c.deliveries.leaked_room = 1,
            "leaked_room",
            Failed,
            Failed,
        )
        .with("deliveries.leaked_room", at_most(9.0)),
    ]);
}

#[test]
fn a_run_that_shows_nothing_cannot_pass() {
    check(&[
        case(
            "nothing was owed",
            |_, c| c.deliveries = Default::default(),
            "deliveries.expected",
            Inconclusive,
            Inconclusive,
        ),
        case(
            "nothing was published",
            |_, c| {
                c.publishes = Default::default();
                c.deliveries = Default::default();
            },
            "acknowledged",
            Inconclusive,
            Inconclusive,
        ),
        case(
            "nothing was to be published",
            |p, c| {
                p.traffic.rate = Rate(0.0);
                c.publishes = Default::default();
                c.deliveries = Default::default();
            },
            "acknowledged",
            Passed,
            Passed,
        ),
        case(
            "a latency without a sample",
            |_, c| c.latency.clear(),
            "delivery_intended.p99",
            Inconclusive,
            Inconclusive,
        ),
        case("a name that does not exist", good, "deliveries.typo", Inconclusive, Inconclusive)
            .with("deliveries.typo", exactly(0.0)),
    ]);
}

/// The loop had no pause for this share of the run, which was so many microseconds.
fn saturate(collected: &mut Collected, share: f64, time_us: u64) {
    (collected.harness.saturated_share, collected.harness.saturated_us) = (Some(share), Some(time_us));
}

#[test]
fn latencies() {
    check(&[
        case(
            "met despite the harness's own lag",
            |_, c| c.harness.own_part_us_p99 = Some(10_000_000),
            "delivery_intended.p99",
            Passed,
            Passed,
        ),
        case("missed", good, "arrival.p99", Failed, Failed).with("arrival.p99", at_most_ms(1.0)),
        case("missed by less than the harness's own part", good, "arrival.p99", Inconclusive, Inconclusive)
            .with("arrival.p99", at_most_ms(1.9))
            .by_the_harness(),
        case(
            "missed by as little, and the own part is not known",
            |_, c| c.harness.own_part_us_p99 = None,
            "arrival.p99",
            Failed,
            Failed,
        )
        .with("arrival.p99", at_most_ms(1.9)),
        case(
            "missed by less than the time in which the harness's loop had no pause",
            |_, c| saturate(c, 0.02, 5_000),
            "arrival.p99",
            Inconclusive,
            Inconclusive,
        )
        .with("arrival.p99", at_most_ms(1.0))
        .by_the_harness(),
        case(
            "missed by far, and the harness was busy for less than the percentile leaves out",
            |_, c| saturate(c, 0.005, 5_000),
            "arrival.p99",
            Failed,
            Failed,
        )
        .with("arrival.p99", at_most_ms(1.0)),
        case(
            "falls on what never arrived, which a busy harness does not excuse",
            |_, c| {
                histogram_of(c, Metric::Arrival).not_delivered = 20;
                saturate(c, 1.0, 60_000_000);
            },
            "arrival.p99",
            Failed,
            Failed,
        )
        .with("arrival.p99", at_most_ms(1.0)),
        case(
            "missed by more than such a time can have added",
            |_, c| saturate(c, 0.02, 100),
            "arrival.p99",
            Failed,
            Failed,
        )
        .with("arrival.p99", at_most_ms(1.0)),
        case(
            "falls on what never arrived",
            |_, c| histogram_of(c, Metric::Arrival).not_delivered = 20,
            "arrival.p99",
            Failed,
            Failed,
        )
        .with("arrival.p99", at_most_ms(3_600_000.0)),
        case(
            "what never arrived lies beyond the percentile",
            |_, c| histogram_of(c, Metric::Arrival).not_delivered = 5,
            "arrival.p99",
            Passed,
            Passed,
        )
        .with("arrival.p99", at_most_ms(2.0)),
        case(
            "but not beyond the maximum",
            |_, c| histogram_of(c, Metric::Arrival).not_delivered = 1,
            "arrival.max",
            Failed,
            Failed,
        )
        .with("arrival.max", at_most_ms(60_000.0)),
        case(
            "one tenant's percentile is not hidden by the other's",
            |_, c| c.tenants[1].arrival = distribution(700_000..701_000),
            "worst_tenant.arrival.p99",
            Failed,
            Failed,
        )
        .with("worst_tenant.arrival.p99", at_most_ms(500.0)),
        case("every tenant's is met", good, "worst_tenant.arrival.p99", Passed, Passed)
            .with("worst_tenant.arrival.p99", at_most_ms(500.0)),
        case(
            "recovery missed only by clients that the harness itself could not connect",
            |_, c| {
                *histogram_of(c, Metric::Recovery) =
                    distribution((0..100).map(|n| if n < 95 { 1_000 } else { 9_000_000 }));
                c.harness.local_failures = 5;
            },
            "recovery.p99",
            Inconclusive,
            Inconclusive,
        )
        .with("recovery.p99", at_most_ms(5_000.0))
        .by_the_harness(),
        case(
            "and by others",
            |_, c| {
                *histogram_of(c, Metric::Recovery) =
                    distribution((0..100).map(|n| if n < 95 { 1_000 } else { 9_000_000 }));
                c.harness.local_failures = 2;
            },
            "recovery.p99",
            Failed,
            Failed,
        )
        .with("recovery.p99", at_most_ms(5_000.0)),
        case(
            "recovery missed by less than a moment without a pause, however short a part of the run that was",
            |_, c| {
                *histogram_of(c, Metric::Recovery) = distribution([5_500_000; 100]);
                saturate(c, 0.001, 1_000_000);
            },
            "recovery.p99",
            Inconclusive,
            Inconclusive,
        )
        .with("recovery.p99", at_most_ms(5_000.0))
        .by_the_harness(),
        case(
            "and by more than it",
            |_, c| {
                *histogram_of(c, Metric::Recovery) = distribution([8_000_000; 100]);
                saturate(c, 0.001, 1_000_000);
            },
            "recovery.p99",
            Failed,
            Failed,
        )
        .with("recovery.p99", at_most_ms(5_000.0)),
        case(
            "the harness's own lateness is never the target's",
            good,
            "send_lateness.p99",
            Inconclusive,
            Inconclusive,
        )
        .with("send_lateness.p99", at_most_ms(1.0))
        .by_the_harness(),
    ]);
}

#[test]
fn send_lateness_matters_only_to_the_metric_that_leaves_it_out() {
    fn late(_: &mut Profile, collected: &mut Collected) {
        *histogram_of(collected, Metric::SendLateness) = distribution([700_000; 100]);
    }
    check(&[
        case("within the margin", good, "delivery_sent.p99", Passed, Passed)
            .with("delivery_sent.p99", at_most_ms(500.0)),
        case("beyond it", late, "delivery_sent.p99", Inconclusive, Inconclusive)
            .with("delivery_sent.p99", at_most_ms(500.0))
            .by_the_harness(),
        case("missed all the same", late, "delivery_sent.p99", Failed, Failed)
            .with("delivery_sent.p99", at_most_ms(1.0)),
        case("from the intended time it is in already", late, "delivery_intended.p99", Passed, Passed),
    ]);
}

#[test]
fn less_load_than_planned() {
    check(&[
        case(
            "the harness held back less than 1 %",
            |_, c| {
                c.publishes.unsent = 10;
                c.publishes.acknowledged = 990;
                c.harness.unsent_by_harness = 10;
            },
            "offered",
            None,
            Passed,
        ),
        case(
            "more",
            |_, c| {
                c.publishes.unsent = 20;
                c.publishes.acknowledged = 980;
                c.harness.unsent_by_harness = 20;
            },
            "offered",
            Inconclusive,
            Inconclusive,
        )
        .by_the_harness(),
        case(
            "and what it did offer was not acknowledged",
            |_, c| {
                c.publishes.unsent = 20;
                c.publishes.acknowledged = 900;
                c.harness.unsent_by_harness = 20;
            },
            "acknowledged",
            Failed,
            Failed,
        )
        .by_the_harness(),
        case(
            "what was held back is not what the target did not take",
            |_, c| {
                c.publishes.unsent = 5;
                c.harness.unsent_by_harness = 5;
            },
            "publishes.unsent",
            Inconclusive,
            Inconclusive,
        )
        .with("publishes.unsent", exactly(0.0))
        .by_the_harness(),
        case(
            "the target refused the connections",
            |_, c| {
                c.publishes.unsent = 20;
                c.publishes.acknowledged = 980;
            },
            "acknowledged",
            Failed,
            Failed,
        ),
    ]);
}

#[test]
fn what_the_server_does_not_show_is_not_zero() {
    fn hidden(_: &mut Profile, collected: &mut Collected) {
        collected.server.messages_dropped_total = None;
    }
    fn strictly(profile: &mut Profile, collected: &mut Collected) {
        hidden(profile, collected);
        profile.objectives[2].limit.if_exposed = false;
    }
    fn reset(_: &mut Profile, collected: &mut Collected) {
        collected.server.dropped_is_lower_bound = true;
    }
    fn reset_strictly(profile: &mut Profile, collected: &mut Collected) {
        reset(profile, collected);
        profile.objectives[2].limit.if_exposed = false;
    }
    let name = "messages_dropped_total";
    check(&[
        case("not exposed, and the profile says that this is fine", hidden, name, Passed, Passed),
        case("not exposed, and it does not", strictly, name, Inconclusive, Inconclusive),
        case("exposed and not zero", |_, c| c.server.messages_dropped_total = Some(1), name, Failed, Failed),
        case("a lower bound, as far as exposed", reset, name, Passed, Passed),
        case("a lower bound", reset_strictly, name, Inconclusive, Inconclusive),
        case(
            "one endpoint behind a balancer sees one pod at a time",
            |p, c| {
                strictly(p, c);
                c.server.messages_dropped_total = Some(0);
                c.server.partial = true;
            },
            name,
            Inconclusive,
            Inconclusive,
        ),
        case(
            "a lower bound above the limit",
            |p, c| {
                reset_strictly(p, c);
                c.server.messages_dropped_total = Some(1);
            },
            name,
            Failed,
            Failed,
        ),
        case(
            "sessions missing",
            |_, c| c.stickiness.upgrades_lost = Some(1),
            "upgrades_lost",
            Failed,
            Failed,
        )
        .with("upgrades_lost", exactly(0.0)),
        case(
            "ends that prove nothing",
            |_, c| c.stickiness.short_lived = 3,
            "upgrades_lost",
            Inconclusive,
            Inconclusive,
        )
        .with("upgrades_lost", exactly(0.0)),
        case("no log of the server", good, "fanout_failed", Inconclusive, Inconclusive)
            .with("fanout_failed", exactly(0.0)),
    ]);
}

#[test]
fn what_could_not_be_audited() {
    check(&[
        case(
            "might be lost",
            |_, c| c.deliveries.unaudited = 1,
            "lost_by_server",
            Inconclusive,
            Inconclusive,
        ),
        case(
            "something else is lost",
            |_, c| {
                c.deliveries.unaudited = 1;
                c.deliveries.lost_by_server = 1;
            },
            "lost_by_server",
            Failed,
            Failed,
        ),
        case(
            "another tenant may be the worst",
            |_, c| {
                c.tenants[0].deliveries.lost_by_server = 2;
                c.tenants[1].deliveries.unaudited = 3;
            },
            "worst_tenant.lost_by_server",
            Inconclusive,
            Inconclusive,
        )
        .with("worst_tenant.lost_by_server", at_most(2.0)),
        case(
            "all of it may be lost",
            |_, c| c.deliveries.unaudited = 3,
            "deliveries.lost_by_server",
            Passed,
            Inconclusive,
        )
        .with("deliveries.lost_by_server", at_most(3.0)),
    ]);
}

#[test]
fn drops_by_the_harness_itself() {
    fn dropped(_: &mut Profile, collected: &mut Collected) {
        collected.harness.self_inflicted_drops = 2;
    }
    check(&[
        case(
            "leave a loss objective open that would be met",
            dropped,
            "lost_by_server",
            Inconclusive,
            Inconclusive,
        )
        .by_the_harness(),
        case("and one that would be missed", dropped, "missed_in_seam", Inconclusive, Inconclusive)
            .with("missed_in_seam", at_most(2.0))
            .by_the_harness(),
        case(
            "but not what the store proves",
            |p, c| {
                dropped(p, c);
                c.deliveries.lost_by_server = 1;
            },
            "lost_by_server",
            Failed,
            Failed,
        ),
        case(
            "nor what a working connection proves",
            |p, c| {
                dropped(p, c);
                c.deliveries.missed_on_stream = 4;
                c.deliveries.missed_in_sync = 3;
                c.deliveries.missed_after_bridging = 10;
            },
            "missed_after_bridging",
            Failed,
            Failed,
        )
        .with("missed_after_bridging", at_most(6.0))
        .by_the_harness(),
        case("are no business of a duplicate", dropped, "duplicate", Passed, Inconclusive)
            .with("duplicate", exactly(0.0))
            .by_the_harness(),
        case("count off the disconnects", dropped, "disconnects.total", Inconclusive, Inconclusive)
            .with("disconnects.total", at_most(32.0))
            .by_the_harness(),
        case("as far as they go", dropped, "disconnects.total", Failed, Failed)
            .with("disconnects.total", at_most(30.0))
            .by_the_harness(),
    ]);
}

#[test]
fn runs_that_end_early() {
    check(&[
        case(
            "a person ended it",
            |_, c| c.harness.interrupted = true,
            "complete",
            Inconclusive,
            Inconclusive,
        ),
        case(
            "and so left deliveries undecided",
            |_, c| {
                c.harness.interrupted = true;
                c.deliveries.undecided = 9;
            },
            "undecided",
            Inconclusive,
            Inconclusive,
        ),
        case(
            "but what had failed has failed",
            |_, c| {
                c.harness.interrupted = true;
                c.deliveries.lost_by_server = 1;
            },
            "lost_by_server",
            Failed,
            Failed,
        ),
        case(
            "a stop condition ended it",
            |_, c| c.harness.stopped_by = Some("health failing for 60s".to_owned()),
            "complete",
            Failed,
            Failed,
        ),
    ]);
}

#[test]
fn a_soundly_missed_objective_goes_before_an_open_one() {
    check(&[case(
        "both",
        |p, c| {
            c.clients.never_ready = 1;
            c.clients.unjudged = 1;
            p.objectives.push(objective("fanout_failed", exactly(0.0)));
        },
        "fanout_failed",
        Inconclusive,
        Failed,
    )]);
}

#[test]
fn every_counter_of_the_summary_can_be_judged() {
    fn keys(section: &str, counters: &impl serde::Serialize) -> Vec<String> {
        let value = serde_json::to_value(counters).expect("counters are JSON");
        let keys = value.as_object().expect("a struct").keys().map(|key| format!("{section}.{key}"));
        keys.collect()
    }
    let mut collected = collected();
    collected.server.fanout_failed = Some(0);
    collected.server.connections_unstable = Some(0);
    collected.server.tenant_connections_unstable = Some(0);
    collected.server.connections_leaked = Some(0);
    collected.stickiness.upgrades_lost = Some(0);
    let mut names = keys("clients", &collected.clients);
    names.extend(keys("publishes", &collected.publishes));
    names.extend(keys("deliveries", &collected.deliveries));
    names.extend(keys("worst_tenant", &collected.deliveries));
    names.extend(keys("tokens", &collected.tokens));
    names.extend(keys("reconnects", &collected.reconnects));
    names.extend(
        [
            "disconnects.total",
            "server.messages_dropped_total",
            "server.fanout_failed",
            "server.connections_unstable",
            "server.tenant_connections_unstable",
            "server.connections_leaked",
            "stickiness.upgrades_lost",
        ]
        .map(str::to_owned),
    );
    for metric in Metric::ALL {
        names.extend(["min", "p50", "p90", "p99", "p999", "max"].map(|at| format!("{}.{at}", metric.name())));
    }
    for name in names {
        let mut profile = profile();
        profile.objectives = vec![objective(&name, at_most(f64::MAX))];
        let verdict = judge(&profile, &collected);
        let judged = &verdict.objectives[0];
        assert!(judged.observed.is_some(), "{judged:?}");
    }
}

#[test]
fn the_worst_storm_is_held_against_its_limit_and_who_is_not_back_took_for_ever() {
    use crate::collector::collected::Storm;
    use std::time::Duration;

    /// The last five of a hundred are back ten seconds after the others.
    fn slow(c: &mut Collected) {
        let began = crate::time::Timestamp::from_secs(20);
        let back = |n: u64| began + Duration::from_secs(if n < 95 { 1 } else { 11 });
        let recovered = (0..100).map(back).collect();
        c.storms.push(Storm { clients: 100, recovered, ..Storm::begin(began) });
    }
    let name = "storm_recovery.p99";
    check(&[
        case("a storm of 330 ms", good, name, Passed, Passed).with(name, at_most_ms(331.0)),
        case("is longer than 329 ms", good, name, Failed, Failed).with(name, at_most_ms(329.0)),
        case("another took longer", |_, c| slow(c), name, Failed, Failed).with(name, at_most_ms(5_000.0)),
        case("of nine in ten it did not", |_, c| slow(c), "storm_recovery.p90", Passed, Passed)
            .with("storm_recovery.p90", at_most_ms(5_000.0)),
        case("one of 33 is not back", |_, c| c.storms[0].clients += 1, name, Failed, Failed)
            .with(name, at_most_ms(3_600_000.0)),
        case(
            "the slow ones may be those that the harness itself could not connect",
            |_, c| {
                slow(c);
                c.harness.local_failures = 5;
            },
            name,
            Inconclusive,
            Inconclusive,
        )
        .with(name, at_most_ms(5_000.0))
        .by_the_harness(),
        case("no storm is no good one", |_, c| c.storms.clear(), name, Inconclusive, Inconclusive)
            .with(name, at_most_ms(5_000.0)),
    ]);
}
