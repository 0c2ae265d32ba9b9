//! Plays the searches: every step is a whole run, judged like any other, and kept.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::goal::{Goal, Resource};
use super::judgement::Judgement;
use super::kept::Kept;
use super::proof::{Proof, Proven};
use super::run::{Finished, Place, PlayError};
use super::search::{Found, Search};
use super::step::{Known, Step, Terms};
use super::storm::play::CompareObserver;
use crate::collector::collected::Metric;
use crate::plan::Load;
use crate::profile::{Limits, Profile};
use crate::report::run::HookOptions;
use crate::report::summary::Latency;
use crate::verdict::Outcome;
use crate::worker::coordinator::Scaler;

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

/// Who watches a sizing.
pub trait SizingObserver: CompareObserver {
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
    pub fn play(&self, observer: &mut dyn SizingObserver) -> Result<Evidence, PlayError> {
        let mut stage = Stage {
            sizing: self,
            kept: Kept::open(&self.out, &self.plan())?,
            scaler: None,
            scaled_to: None,
            evidence: Evidence::default(),
        };
        let played = stage.play(observer);
        let taken_back = match &mut stage.scaler {
            Some(scaler) => scaler.take_back(observer).map_err(PlayError::from),
            None => Ok(()),
        };
        played.and(taken_back).map(|()| stage.evidence)
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

    pub(super) fn run(
        &self,
        profile: Profile,
        observer: &mut dyn SizingObserver,
    ) -> Result<Finished, PlayError> {
        // No step has commands of its own; what scales a deployment has a journal that this process holds.
        let hooks = HookOptions::default();
        Place { out: &self.out, exe: &self.exe, shared: self.shared, hooks }.run(profile, observer)
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
    fn play(&mut self, observer: &mut dyn SizingObserver) -> Result<(), PlayError> {
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
    ) -> Result<Found, PlayError> {
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
    ) -> Result<Played, PlayError> {
        self.scale(step.pods, observer)?;
        let sizing = self.sizing;
        let (profile, window) = step.profile(&sizing.profile, &sizing.terms, known);
        let Finished { summary, run } = sizing.run(profile.clone(), observer)?;
        let mut judgement = Judgement::of(&summary);
        if judgement.outcome == Outcome::Passed
            && let Some(short) = window.short_of(&profile, &summary)
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
            run,
        })
    }

    /// A deployment has this many pods from now on.
    fn scale(&mut self, pods: u32, observer: &mut dyn SizingObserver) -> Result<(), PlayError> {
        let Sizing { profile, hooks, .. } = self.sizing;
        if profile.target.url.is_none() || self.scaled_to == Some(pods) {
            return Ok(());
        }
        if self.scaler.is_none() {
            self.scaler = Some(Scaler::begin(profile, hooks, observer)?);
        }
        if let Some(scaler) = &mut self.scaler {
            scaler.scale(pods, observer)?;
        }
        self.scaled_to = Some(pods);
        Ok(())
    }
}
