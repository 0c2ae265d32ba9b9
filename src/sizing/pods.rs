//! Plays the searches and the proof: every step is a whole run, judged like any other, and kept.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::goal::{Goal, Resource};
use super::kept::{Kept, KeptError};
use super::proof::{Proof, Proven};
use super::search::{Found, Search};
use super::step::{Known, Step, Terms};
use crate::collector::collected::Metric;
use crate::plan::Load;
use crate::profile::{Limits, Profile};
use crate::report::Summary;
use crate::report::run::{HookOptions, RunError, RunObserver, RunOptions, RunOutcome};
use crate::report::summary::Latency;
use crate::verdict::Outcome;
use crate::worker::coordinator::{self, Scaler};

/// What is to be found out.
#[derive(Clone, Debug)]
pub struct Sizing {
    /// The profile whose load is asked about.
    pub profile: Profile,
    /// That load.
    pub goal: Goal,
    /// Pod counts that are played, ascending.
    pub pods: Vec<u32>,
    /// What is searched for, in the order of [`Resource::ALL`].
    pub resources: Vec<Resource>,
    /// What all steps have in common.
    pub terms: Terms,
    /// Finished steps and their run directories are kept here.
    pub out: PathBuf,
    /// The binary that embedded targets are made of.
    pub exe: PathBuf,
    /// Whether commands may be run that scale a deployment, and where is written down what takes them back.
    pub hooks: HookOptions,
    /// Other people's connections on a deployment are no reason to refuse a step.
    pub shared: bool,
    /// `[limits]`, where they are enforced: no step asks for more.
    pub limits: Option<Limits>,
}

/// A step that has been played.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Played {
    /// What was loaded.
    pub resource: Resource,
    /// Pods.
    pub pods: u32,
    /// The load.
    pub load: f64,
    /// 0, or 1 when it was played again.
    pub again: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// Objectives that were not met, and why; what the harness could not do; what the window was short of.
    pub because: Vec<String>,
    /// The harness itself changed the outcome.
    #[serde(default)]
    pub bottleneck: bool,
    /// Seconds of the window.
    #[serde(default)]
    pub window_s: f64,
    /// Seconds that the whole step took.
    #[serde(default)]
    pub took_s: f64,
    /// By metric, microseconds; a metric without samples, or whose percentile never arrived, is absent.
    #[serde(default)]
    pub latency_us_p99: BTreeMap<String, u64>,
    /// The run directory, in that of the sizing.
    pub run: String,
}

/// What was found, with the steps that show it.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// By resource, of each number of pods.
    pub found: BTreeMap<Resource, Vec<(u32, Found)>>,
    /// In the order in which they were played.
    pub steps: Vec<Played>,
}

/// Why there is no answer; completes "failed to …".
#[derive(Debug, Error)]
pub enum SizingError {
    /// A run could not be made.
    #[error("play a step")]
    Run(#[source] RunError),
    /// Finished steps could not be kept, or those that are there are of something else.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// A person ended it.
    #[error("interrupted; finished steps are kept")]
    Interrupted,
}

/// Who watches a sizing.
pub trait SizingObserver: RunObserver {
    /// A step begins, or is taken from those that are kept.
    fn step(&mut self, step: &Step, again: u32);

    /// It is over.
    fn played(&mut self, played: &Played);

    /// A proof begins, or is taken from those that are kept.
    fn proof(&mut self, _proof: &Proof, _again: u32) {}

    /// It is over.
    fn proven(&mut self, _proven: &Proven) {}
}

impl Sizing {
    /// Searches every resource on every number of pods. Steps that are kept in `out` are not played again. A deployment is
    /// scaled before the first step of each number that is played, and back at the end, whatever the end is.
    ///
    /// # Errors
    ///
    /// The first step that cannot be played, or kept.
    pub fn play(&self, observer: &mut dyn SizingObserver) -> Result<Evidence, SizingError> {
        let mut stage = Stage {
            sizing: self,
            kept: Kept::open(&self.out, &self.plan())?,
            scaler: None,
            scaled_to: None,
            evidence: Evidence::default(),
        };
        let played = stage.play(observer);
        let taken_back = match &mut stage.scaler {
            Some(scaler) => scaler.take_back(observer).map_err(run_error),
            None => Ok(()),
        };
        played.and(taken_back).map(|()| stage.evidence)
    }

    /// Plays a load on pods of which some die. What agrees with what is `expected` is believed at once, anything else is
    /// played again. A proof that this machine cannot hold says so instead.
    ///
    /// # Errors
    ///
    /// It cannot be kept, or a person ended it.
    pub fn prove(
        &self,
        proof: &Proof,
        expected: Option<Outcome>,
        observer: &mut dyn SizingObserver,
    ) -> Result<Vec<Proven>, SizingError> {
        let mut kept: Kept<Proven> = Kept::read(self.out.join(PROOFS))?;
        let mut all: Vec<Proven> = Vec::new();
        for again in 0..2 {
            observer.proof(proof, again);
            let same =
                |proven: &Proven| (proven.pods, proven.lose, proven.again) == (proof.pods, proof.lose, again);
            let proven = match kept.find(same) {
                Some(proven) => proven.clone(),
                None => {
                    let proven = self.run_proof(proof, again, observer)?;
                    if proven.run.is_some() {
                        kept.keep(proven.clone())?;
                    }
                    proven
                }
            };
            observer.proven(&proven);
            let enough = proven.run.is_none() || expected.is_none_or(|expected| proven.outcome == expected);
            all.push(proven);
            if enough {
                break;
            }
        }
        Ok(all)
    }

    /// Steps of another profile, or on other terms, say nothing about this one.
    fn plan(&self) -> String {
        let Terms { window, window_most, resolution, ramp } = self.terms;
        format!(
            "# goal {:?}, resolution {resolution}, window {window:?} to {window_most:?}, ramp {ramp}/s\n{}",
            self.goal,
            self.profile.to_toml()
        )
    }

    /// From a quarter of what as many pods would have to carry of the goal, up to twice the goal: what one number of
    /// pods carries beyond that is nobody's question. Where `[limits]` are enforced, not above those.
    fn bounds(&self, resource: Resource) -> (f64, f64) {
        let demand = self.goal.demand(resource).max(1.0);
        let least = match resource {
            Resource::Connections => f64::from(self.profile.population.tenants * 2),
            Resource::SyncPages | Resource::Handshakes | Resource::Deliveries => (demand / 1_000.0).max(1.0),
        };
        (least, (demand * 2.0).min(self.ceiling(resource)).max(least))
    }

    /// No more connects a second than a step may ask for.
    fn within_limits(&self, handshakes: Option<f64>) -> Option<f64> {
        handshakes.map(|carried| carried.min(self.ceiling(Resource::Handshakes)))
    }

    /// The most that a step may ask for.
    fn ceiling(&self, resource: Resource) -> f64 {
        let Some(limits) = &self.limits else { return f64::INFINITY };
        match resource {
            Resource::Connections => f64::from(limits.clients),
            Resource::SyncPages => limits.sync_requests.0,
            Resource::Handshakes => limits.connects.0,
            Resource::Deliveries => {
                let load = Load::of(&self.profile);
                let each = if load.publishes > 0.0 { load.deliveries / load.publishes } else { 1.0 };
                limits.deliveries.0.min(limits.publishes.0 * each)
            }
        }
    }

    fn run(&self, profile: Profile, observer: &mut dyn SizingObserver) -> Result<RunOutcome, SizingError> {
        let options = RunOptions {
            out: self.out.clone(),
            shared: self.shared,
            cleanup: false,
            // No step has commands of its own; what scales a deployment has a journal that this process holds.
            hooks: HookOptions::default(),
            exe: self.exe.clone(),
            profile_toml: profile.to_toml(),
        };
        let outcome =
            coordinator::run(Arc::new(profile), &options, &mut Quiet(observer)).map_err(run_error)?;
        if outcome.interrupted { Err(SizingError::Interrupted) } else { Ok(outcome) }
    }

    fn run_proof(
        &self,
        proof: &Proof,
        again: u32,
        observer: &mut dyn SizingObserver,
    ) -> Result<Proven, SizingError> {
        let profile = proof.profile(&self.profile, &self.goal, &self.terms);
        let Proof { pods, lose, .. } = *proof;
        let clients = u64::from(profile.population.clients);
        let outcome = match self.run(profile, observer) {
            Ok(outcome) => outcome,
            Err(SizingError::Run(RunError::Preflight(error))) => {
                return Ok(Proven {
                    pods,
                    lose,
                    again,
                    outcome: Outcome::Inconclusive,
                    because: vec![format!("not played: failed to {error}")],
                    bottleneck: false,
                    clients,
                    live_at_end: 0,
                    recovered: 0,
                    recovery_us_p99: None,
                    recovery_us_max: None,
                    run: None,
                });
            }
            Err(error) => return Err(error),
        };
        let summary = &outcome.summary;
        let judgement = Judgement::of(summary);
        let recovery = summary.latency_us.get(&Metric::Recovery).copied().unwrap_or_default();
        Ok(Proven {
            pods,
            lose,
            again,
            outcome: judgement.outcome,
            because: judgement.because,
            bottleneck: judgement.bottleneck,
            clients,
            live_at_end: summary.clients.live_at_end,
            recovered: recovery.count,
            recovery_us_p99: recovery.p99,
            recovery_us_max: recovery.max,
            run: Some(name_of(&outcome)),
        })
    }
}

/// A sizing on its way.
struct Stage<'a> {
    sizing: &'a Sizing,
    kept: Kept<Played>,
    /// `None`: the embedded target, or nothing was scaled yet.
    scaler: Option<Scaler>,
    scaled_to: Option<u32>,
    evidence: Evidence,
}

impl Stage<'_> {
    fn play(&mut self, observer: &mut dyn SizingObserver) -> Result<(), SizingError> {
        for &pods in &self.sizing.pods {
            // Where limits are enforced, there is no room for more clients than they allow.
            let limit = self.sizing.limits.as_ref().map(|limits| f64::from(limits.clients));
            let mut known = Known { seats: limit, handshakes: self.expected_handshakes(pods) };
            let mut pages = None;
            for &resource in &self.sizing.resources {
                let found = self.search(resource, pods, known, pages, observer)?;
                match resource {
                    Resource::Connections => {
                        let seats = found.carried().into_iter().chain(limit);
                        known.seats = seats.min_by(f64::total_cmp);
                    }
                    Resource::SyncPages => pages = found.limit().and(found.carried()),
                    Resource::Handshakes => known.handshakes = self.sizing.within_limits(found.carried()),
                    Resource::Deliveries => {}
                }
                self.evidence.found.entry(resource).or_default().push((pods, found));
            }
        }
        Ok(())
    }

    /// Of as many pods as there are now, by what fewer carried.
    fn expected_handshakes(&self, pods: u32) -> Option<f64> {
        let &(fewer, found) = self.evidence.found.get(&Resource::Handshakes)?.last()?;
        let expected = found.carried().map(|carried| carried * f64::from(pods) / f64::from(fewer));
        self.sizing.within_limits(expected)
    }

    /// `pages`: sync pages a second that these pods carry, where that is known.
    fn search(
        &mut self,
        resource: Resource,
        pods: u32,
        known: Known,
        pages: Option<f64>,
        observer: &mut dyn SizingObserver,
    ) -> Result<Found, SizingError> {
        let (least, most) = self.sizing.bounds(resource);
        // Every handshake has a page before it: above what the pods carry of those, it is not handshakes that fail.
        let pages = pages.filter(|&pages| resource == Resource::Handshakes && pages < most);
        let most = pages.map_or(most, |pages| pages.max(least));
        let mut search = self.begin(resource, pods, least, most);
        let mut before = None;
        while let Some(load) = search.next() {
            let step = Step { resource, pods, load };
            let again = u32::from(before == Some(load));
            before = Some(load);
            observer.step(&step, again);
            let same = |played: &Played| {
                (played.resource, played.pods, played.again) == (resource, pods, again)
                    && (played.load - load).abs() <= load * 1e-9
            };
            let played = match self.kept.find(same) {
                Some(played) => played.clone(),
                None => {
                    let played = self.run(&step, again, known, observer)?;
                    self.kept.keep(played.clone())?;
                    played
                }
            };
            observer.played(&played);
            search.tell(played.outcome);
            self.evidence.steps.push(played);
        }
        Ok(match search.found().expect("a search without a next load is over") {
            Found::AtLeast { carried, unjudged: None } if pages.is_some() => Found::Behind { carried },
            found => found,
        })
    }

    /// Near what the pods before would carry if there were as many of them; without those, from a quarter of the goal's share.
    fn begin(&self, resource: Resource, pods: u32, least: f64, most: f64) -> Search {
        let Sizing { goal, terms, pods: all, .. } = self.sizing;
        let found = self.evidence.found.get(&resource).into_iter().flatten();
        let expected =
            |&(fewer, found): &(u32, Found)| Some(found.hint()? * f64::from(pods) / f64::from(fewer));
        if let Some(expected) = found.rev().find_map(expected) {
            return Search::near(least, expected, most, terms.resolution);
        }
        let most_pods = f64::from(all.last().copied().unwrap_or(pods).max(pods));
        let begin = goal.demand(resource).max(1.0) * f64::from(pods) / most_pods / 2.0;
        Search::new(least, begin, most, terms.resolution)
    }

    fn run(
        &mut self,
        step: &Step,
        again: u32,
        known: Known,
        observer: &mut dyn SizingObserver,
    ) -> Result<Played, SizingError> {
        self.scale(step.pods, observer)?;
        let sizing = self.sizing;
        let (profile, window) = step.profile(&sizing.profile, &sizing.terms, known);
        let outcome = sizing.run(profile.clone(), observer)?;
        let summary = &outcome.summary;
        let mut judgement = Judgement::of(summary);
        if judgement.outcome == Outcome::Passed
            && let Some(short) = window.short_of(&profile, summary)
        {
            judgement.outcome = Outcome::Inconclusive;
            judgement.because.push(short);
        }
        let p99 = |(metric, latency): (&Metric, &Latency)| Some((metric.name().to_owned(), latency.p99?));
        let Step { resource, pods, load } = *step;
        Ok(Played {
            resource,
            pods,
            load,
            again,
            outcome: judgement.outcome,
            because: judgement.because,
            bottleneck: judgement.bottleneck,
            window_s: window.length.as_secs_f64(),
            took_s: summary.duration_s,
            latency_us_p99: summary.latency_us.iter().filter_map(p99).collect(),
            run: name_of(&outcome),
        })
    }

    /// A deployment has this many pods from now on.
    fn scale(&mut self, pods: u32, observer: &mut dyn SizingObserver) -> Result<(), SizingError> {
        let Sizing { profile, hooks, .. } = self.sizing;
        if profile.target.url.is_none() || self.scaled_to == Some(pods) {
            return Ok(());
        }
        if self.scaler.is_none() {
            self.scaler = Some(Scaler::begin(profile, hooks, observer).map_err(run_error)?);
        }
        if let Some(scaler) = &mut self.scaler {
            scaler.scale(pods, observer).map_err(run_error)?;
        }
        self.scaled_to = Some(pods);
        Ok(())
    }
}

fn run_error(error: RunError) -> SizingError {
    match error {
        RunError::Interrupted => SizingError::Interrupted,
        error => SizingError::Run(error),
    }
}

fn name_of(outcome: &RunOutcome) -> String {
    outcome.directory.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What a run says of its target, as a sizing takes it.
struct Judgement {
    outcome: Outcome,
    /// Objectives that were not met, and what the harness says of itself.
    because: Vec<String>,
    bottleneck: bool,
}

impl Judgement {
    /// Whoever is served late by its own machine cannot tell what a target has failed to do in time, whatever the objective
    /// is about (ours): such a failure is nobody's. Lag only ever adds to a latency, so that what passed has passed.
    fn of(summary: &Summary) -> Self {
        let missed = summary.objectives.iter().filter(|judged| judged.outcome != Outcome::Passed);
        let missed = missed.map(|judged| match &judged.reason {
            Some(reason) => format!("{} {}: {reason}", judged.name, judged.limit),
            None => format!("{} {}", judged.name, judged.limit),
        });
        let mut because: Vec<String> = missed.chain(summary.harness.reasons.iter().cloned()).collect();
        let lag = summary.harness.loop_lag_us_p99.unwrap_or(0);
        let late = summary.verdict == Outcome::Failed && lag >= LAG_MOST_US;
        if late {
            because.insert(
                0,
                format!("the harness itself was late: its own timers by {} ms (p99)", lag / 1_000),
            );
        }
        Self {
            outcome: if late { Outcome::Inconclusive } else { summary.verdict },
            because,
            bottleneck: late || summary.harness.bottleneck,
        }
    }
}

/// See [`Judgement::of`].
const LAG_MOST_US: u64 = 250_000;

/// Lines of the runs themselves are for their run directories.
struct Quiet<'a>(&'a mut dyn SizingObserver);

impl RunObserver for Quiet<'_> {
    fn interval(&mut self, view: &crate::report::run::ProgressView) {
        self.0.interval(view);
    }

    fn note(&mut self, _line: &str) {}
}

/// One line of JSON a finished proof, beside the steps.
const PROOFS: &str = "proofs.jsonl";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::verdict;

    #[test]
    fn what_fails_while_the_harness_itself_is_late_is_not_the_targets_failure() {
        let (profile, collected) = (sample::profile(), sample::collected());
        let verdict = verdict::judge(&profile, &collected);
        let mut summary = Summary::new(&profile, &collected, &verdict, &sample::info());
        let mut judged = |outcome, lag| {
            (summary.verdict, summary.harness.loop_lag_us_p99) = (outcome, Some(lag));
            let judgement = Judgement::of(&summary);
            (judgement.outcome, judgement.because.first().is_some_and(|why| why.contains("600 ms")))
        };
        assert_eq!(judged(Outcome::Failed, 600_000), (Outcome::Inconclusive, true));
        assert_eq!(judged(Outcome::Failed, 20_000), (Outcome::Failed, false));
        assert_eq!(judged(Outcome::Passed, 600_000), (Outcome::Passed, false), "lag only adds");
    }
}
