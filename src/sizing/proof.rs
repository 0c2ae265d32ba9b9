//! The proof of an answer: the goal's own load, played on the pods that are said to be enough, some of which die in mid-hold.
//!
//! The steps of a search each load one resource. Whether their limits together are the deployment's is shown by playing the
//! load that was asked about on N pods, which must stay within the objectives and have everybody back in time, and on N − 1
//! pods, which must not.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::goal::Goal;
use super::step::{HALF_A_SECOND, Terms, short_drain};
use super::storm;
use crate::collector::collected::Metric;
use crate::plan::Load;
use crate::profile::quantity::{Rate, Share};
use crate::profile::{
    Arrivals, Comparison, Fault, FaultKind, Limit, LimitUnit, Objective, Phase, Profile, Subject,
    TrafficStart,
};
use crate::verdict::Outcome;

/// One load on one number of pods, of which some die.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proof {
    /// Pods before.
    pub pods: u32,
    /// Of these, so many die at once, for good.
    pub lose: u32,
    /// Everybody must be back in this time.
    pub within: Duration,
}

/// A proof that has been played.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proven {
    /// Pods before.
    pub pods: u32,
    /// Of these, so many died.
    pub lose: u32,
    /// Seconds in which everybody had to be back; 0: kept before this was written down, and not known.
    #[serde(default)]
    pub within_s: f64,
    /// 0, or 1 when it was played again.
    pub again: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// As of a step.
    pub because: Vec<String>,
    /// The harness itself changed the outcome.
    pub bottleneck: bool,
    /// Clients of the load.
    pub clients: u64,
    /// Of these, live at the end.
    pub live_at_end: u64,
    /// Recoveries that were measured: disconnect to live again.
    pub recovered: u64,
    /// Of these, 99 % took no longer; null: none, or not so many came back.
    pub recovery_us_p99: Option<u64>,
    /// The longest.
    pub recovery_us_max: Option<u64>,
    /// The storm that the loss made; null: it could not be played.
    #[serde(default)]
    pub storm: Option<storm::Played>,
    /// The run directory, in that of the sizing; null: it could not be played (`because`).
    pub run: Option<String>,
}

impl Proven {
    /// What was judged by another time to recover, or tells nothing of its storm, is another one.
    pub fn is_of(&self, proof: &Proof, again: u32) -> bool {
        let within = (self.within_s - proof.within.as_secs_f64()).abs() < 1e-9;
        (self.pods, self.lose, self.again) == (proof.pods, proof.lose, again) && within
    }
}

/// What the runs of a proof say of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// It came as the answer has it.
    Confirmed,
    /// It came otherwise, twice.
    Contradicted,
    /// It could not be judged, or came once so and once otherwise, or either would have been in order.
    Open,
    /// This machine cannot hold the load.
    NotPlayed,
}

impl Says {
    /// What was `expected` (`None`: either) against what was played, the last run last.
    pub fn of(expected: Option<Outcome>, runs: &[Proven]) -> Self {
        let outcomes: Vec<Outcome> =
            runs.iter().filter(|proven| proven.run.is_some()).map(|proven| proven.outcome).collect();
        match (expected, outcomes.as_slice()) {
            (_, []) => Self::NotPlayed,
            (Some(expected), [only]) if *only == expected => Self::Confirmed,
            (Some(expected), [first, second])
                if first == second && *first != expected && *first != Outcome::Inconclusive =>
            {
                Self::Contradicted
            }
            _ => Self::Open,
        }
    }
}

impl Proof {
    /// Its run: the goal's clients, ramp and deliveries; a window; the loss; the time to recover; a window.
    pub fn profile(&self, base: &Profile, goal: &Goal, terms: &Terms) -> Profile {
        let mut profile = base.clone();
        profile.name = format!("proof-{}-less-{}", self.pods, self.lose);
        profile.target.embedded.pods = self.pods;
        let planned = base.population.clients.max(1);
        let clients = (goal.connections.round() as u32).max(base.population.tenants * 2);
        profile.population.clients = clients;
        // Rooms stay as large as they are, so that there are more or fewer of them.
        let scaled = |rooms: u32| f64::from(rooms) * f64::from(clients) / f64::from(planned);
        profile.population.rooms_per_tenant =
            base.population.rooms_per_tenant.map(|rooms| (scaled(rooms).round() as u32).max(1));
        let ramp = Duration::from_secs_f64((f64::from(clients) / terms.ramp.max(goal.handshakes)).max(1.0));
        let phase =
            |name: &str, duration| Phase { name: name.to_owned(), duration, clients, rate: Share::ALL };
        let phases = [("ramp", ramp), ("before", terms.window), ("after", self.within + terms.window)];
        profile.phases = phases.map(|(name, duration)| phase(name, duration)).into();
        profile.faults = (0..self.lose).map(|pod| self.dies(pod, ramp + terms.window)).collect();
        profile.traffic.start = TrafficStart::AllLive;
        profile.traffic.arrivals = Arrivals::Even;
        let load = Load::of(&profile);
        if load.deliveries > 0.0 {
            profile.traffic.rate =
                Rate((profile.traffic.rate.0 * goal.deliveries / load.deliveries).max(LEAST_RATE));
        }
        // A proof that fails is to come to its end like any other run.
        profile.stops.clear();
        profile.drain.deadline = short_drain(&profile);
        profile.objectives = self.objectives(base);
        profile
    }

    fn dies(&self, pod: u32, at: Duration) -> Fault {
        Fault { name: format!("pod-{pod}-dies"), at, duration: None, kind: FaultKind::PodKill(Some(pod)) }
    }

    /// The profile's own, without those that a loss of pods misses by itself: the ends of connections, and the latency of
    /// what waited for a reconnect. In their stead everybody must be back in time.
    fn objectives(&self, base: &Profile) -> Vec<Objective> {
        let holds = |objective: &&Objective| match Subject::parse(&objective.name) {
            Ok(Subject::Latency(metric, _) | Subject::WorstTenantLatency(metric, _)) => {
                matches!(metric, Metric::DeliveryIntended | Metric::DeliverySent)
            }
            Ok(Subject::Count { section: "disconnects" | "reconnects", .. }) => false,
            _ => true,
        };
        let mut objectives: Vec<Objective> = base.objectives.iter().filter(holds).cloned().collect();
        let is_latency = |objective: &Objective| {
            let subject = Subject::parse(&objective.name);
            matches!(subject, Ok(Subject::Latency(..) | Subject::WorstTenantLatency(..)))
        };
        if !objectives.iter().any(is_latency) {
            objectives.push(Objective { name: "delivery_intended.p99".to_owned(), limit: HALF_A_SECOND });
        }
        let bound = self.within.as_micros() as f64;
        let limit =
            Limit { comparison: Comparison::AtMost, bound, unit: LimitUnit::Micros, if_exposed: false };
        objectives.push(Objective { name: "recovery.max".to_owned(), limit });
        objectives
    }
}

/// A publish in ten seconds; a rate of none would show nothing.
const LEAST_RATE: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    const TERMS: Terms = Terms {
        window: Duration::from_secs(10),
        window_most: Duration::from_secs(60),
        resolution: 0.05,
        ramp: 20.0,
    };

    #[test]
    fn the_goals_load_is_played_and_pods_die_in_the_middle_of_it() {
        let base = sample::profile();
        let within = Duration::from_secs(8);
        let goal = Goal::of(&base, Some(500), within);
        let profile = Proof { pods: 4, lose: 2, within }.profile(&base, &goal, &TERMS);
        let load = Load::of(&profile);
        assert_eq!((profile.population.clients, profile.target.embedded.pods), (500, 4));
        assert!((load.deliveries / goal.deliveries - 1.0).abs() < 1e-3, "{load:?}");
        assert!((load.connects - 100.0).abs() < 1e-6, "{load:?}");
        let ends: Vec<u64> = profile.phases.iter().map(|phase| phase.duration.as_secs()).collect();
        assert_eq!(ends, [5, 10, 18]);
        let killed: Vec<(u64, &FaultKind)> =
            profile.faults.iter().map(|fault| (fault.at.as_secs(), &fault.kind)).collect();
        assert_eq!(killed, [(15, &FaultKind::PodKill(Some(0))), (15, &FaultKind::PodKill(Some(1)))]);
        let parsed = crate::profile::parse(&profile.to_toml(), "proof.toml", &[]);
        assert!(parsed.is_ok(), "{}", parsed.err().map(|error| error.to_string()).unwrap_or_default());
    }

    #[test]
    fn an_answer_is_contradicted_by_two_runs_that_agree_and_not_by_one() {
        use Outcome::{Failed, Inconclusive, Passed};
        let run = |outcome| Proven {
            pods: 3,
            lose: 1,
            within_s: 8.0,
            again: 0,
            outcome,
            because: Vec::new(),
            bottleneck: false,
            clients: 9,
            live_at_end: 9,
            recovered: 3,
            recovery_us_p99: None,
            recovery_us_max: None,
            storm: None,
            run: Some("run".to_owned()),
        };
        let says = |expected, outcomes: &[Outcome]| {
            Says::of(expected, &outcomes.iter().copied().map(run).collect::<Vec<_>>())
        };
        assert_eq!(says(Some(Passed), &[Passed]), Says::Confirmed);
        assert_eq!(says(Some(Failed), &[Failed]), Says::Confirmed);
        assert_eq!(says(Some(Passed), &[Failed, Failed]), Says::Contradicted);
        assert_eq!(says(Some(Failed), &[Passed, Passed]), Says::Contradicted);
        for open in [[Failed, Passed], [Failed, Inconclusive], [Inconclusive, Passed], [Inconclusive; 2]] {
            assert_eq!(says(Some(Passed), &open), Says::Open, "{open:?}");
        }
        assert_eq!(says(None, &[Failed]), Says::Open, "either would do");
        assert_eq!(says(Some(Passed), &[]), Says::NotPlayed);
        let unplayed = Proven { run: None, ..run(Inconclusive) };
        assert_eq!(Says::of(Some(Passed), &[unplayed]), Says::NotPlayed);
    }

    #[test]
    fn a_kept_proof_is_of_the_same_pods_and_of_the_same_time_to_recover() {
        let line = |within_s: &str| -> Proven {
            let text = format!(
                "{{\"pods\": 3, \"lose\": 1, {within_s} \"again\": 0, \"outcome\": \"passed\", \"because\": [], \
                 \"bottleneck\": false, \"clients\": 9, \"live_at_end\": 9, \"recovered\": 3, \"recovery_us_p99\": null, \
                 \"recovery_us_max\": null, \"run\": \"run\"}}"
            );
            serde_json::from_str(&text).expect("a kept line")
        };
        let proof = Proof { pods: 3, lose: 1, within: Duration::from_secs(8) };
        assert!(line("\"within_s\": 8.0,").is_of(&proof, 0));
        assert!(!line("\"within_s\": 8.0,").is_of(&proof, 1), "not played again yet");
        assert!(!line("\"within_s\": 9.0,").is_of(&proof, 0), "judged by another time");
        assert!(!line("").is_of(&proof, 0), "nobody knows by which, nor of its storm");
    }

    #[test]
    fn everybody_must_be_back_and_what_a_loss_misses_by_itself_is_not_asked_for() {
        let mut base = sample::profile();
        let limit = HALF_A_SECOND;
        let named = ["arrival.p99", "delivery_intended.p90", "connect.p99", "lost_by_server"];
        base.objectives = named.map(|name| Objective { name: name.to_owned(), limit }).into();
        let goal = Goal::of(&base, None, Duration::from_secs(8));
        let proof = Proof { pods: 2, lose: 1, within: Duration::from_secs(8) };
        let objectives = proof.profile(&base, &goal, &TERMS).objectives;
        let told: Vec<(&str, f64)> =
            objectives.iter().map(|objective| (objective.name.as_str(), objective.limit.bound)).collect();
        let expected = [
            ("delivery_intended.p90", 500_000.0),
            ("lost_by_server", 500_000.0),
            ("recovery.max", 8_000_000.0),
        ];
        assert_eq!(told, expected);
    }
}
