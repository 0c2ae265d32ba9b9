//! Plays the searches: every step is a whole run against an embedded target, judged like any other, and kept.
#![expect(clippy::disallowed_methods, reason = "finished steps are kept in a file")]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::goal::{Goal, Resource};
use super::search::{Found, Search};
use super::step::{Step, Terms};
use crate::profile::Profile;
use crate::report::Summary;
use crate::report::run::{HookOptions, RunError, RunObserver, RunOptions};
use crate::verdict::Outcome;
use crate::worker::coordinator;

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
    /// How closely each limit is found: 0.05 is 5 %.
    pub resolution: f64,
    /// What all steps have in common.
    pub terms: Terms,
    /// Finished steps and their run directories are kept here.
    pub out: PathBuf,
    /// The binary that embedded targets are made of.
    pub exe: PathBuf,
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
    /// Objectives that were not met, and why; what the harness could not do.
    pub because: Vec<String>,
    /// By metric: p99 of the run, of those that have one.
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
    /// A finished step could not be kept.
    #[error("write `{path}`", path = .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is there is no list of steps.
    #[error("read line {line} of `{path}` as a finished step: take it out, or begin anew in another directory", path = .path.display())]
    Kept {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The directory is another sizing's.
    #[error(
        "go on with the steps kept beside `{path}`: they are of another profile, goal or resolution; give the same ones, or \
         begin anew in another directory",
        path = .path.display()
    )]
    AnotherPlan {
        /// The file that says of which.
        path: PathBuf,
    },
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
}

impl Sizing {
    /// Searches every resource on every number of pods. Steps that are kept in `out` are not played again.
    ///
    /// # Errors
    ///
    /// The first step that cannot be played, or kept.
    pub fn play(&self, observer: &mut dyn SizingObserver) -> Result<Evidence, SizingError> {
        self.same_plan()?;
        let mut kept = Kept::open(&self.out.join(STEPS))?;
        let mut evidence = Evidence::default();
        for &pods in &self.pods {
            let mut seats = None;
            for &resource in &self.resources {
                let found = self.search(resource, pods, seats, &mut kept, &mut evidence.steps, observer)?;
                if resource == Resource::Connections {
                    seats = found.carried();
                }
                evidence.found.entry(resource).or_default().push((pods, found));
            }
        }
        Ok(evidence)
    }

    /// Steps of another profile, or on other terms, say nothing about this one.
    fn same_plan(&self) -> Result<(), SizingError> {
        let path = self.out.join(PLAN);
        let Terms { window, ramp } = self.terms;
        let plan = format!(
            "# goal {:?}, resolution {}, window {window:?}, ramp {ramp}/s\n{}",
            self.goal,
            self.resolution,
            self.profile.to_toml()
        );
        match fs::read_to_string(&path) {
            Ok(there) if there == plan => Ok(()),
            Ok(_) => Err(SizingError::AnotherPlan { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::write(&path, plan).map_err(|source| SizingError::Write { path, source })
            }
            Err(source) => Err(SizingError::Write { path, source }),
        }
    }

    fn search(
        &self,
        resource: Resource,
        pods: u32,
        seats: Option<f64>,
        kept: &mut Kept,
        steps: &mut Vec<Played>,
        observer: &mut dyn SizingObserver,
    ) -> Result<Found, SizingError> {
        let mut search = self.begin(resource, pods);
        let mut before = None;
        while let Some(load) = search.next() {
            let step = Step { resource, pods, load };
            let again = u32::from(before == Some(load));
            before = Some(load);
            observer.step(&step, again);
            let played = match kept.find(&step, again) {
                Some(played) => played,
                None => {
                    let played = self.run(&step, again, seats, observer)?;
                    kept.keep(&played)?;
                    played
                }
            };
            observer.played(&played);
            search.tell(played.outcome);
            steps.push(played);
        }
        Ok(search.found().expect("a search without a next load is over"))
    }

    /// From a quarter of what as many pods would have to carry of the goal, up to twice the goal: what one number of
    /// pods carries beyond that is nobody's question.
    fn begin(&self, resource: Resource, pods: u32) -> Search {
        let demand = self.goal.demand(resource).max(1.0);
        let most_pods = f64::from(self.pods.last().copied().unwrap_or(pods).max(pods));
        let least = match resource {
            Resource::Connections => f64::from(self.profile.population.tenants * 2),
            Resource::Handshakes | Resource::Deliveries => (demand / 1_000.0).max(1.0),
        };
        let begin = demand * f64::from(pods) / most_pods / 2.0;
        Search::new(least, begin, (demand * 2.0).max(least), self.resolution)
    }

    fn run(
        &self,
        step: &Step,
        again: u32,
        seats: Option<f64>,
        observer: &mut dyn SizingObserver,
    ) -> Result<Played, SizingError> {
        let profile = step.profile(&self.profile, &self.terms, seats);
        let options = RunOptions {
            out: self.out.clone(),
            shared: false,
            cleanup: false,
            hooks: HookOptions::default(),
            exe: self.exe.clone(),
            profile_toml: profile.to_toml(),
        };
        let outcome = coordinator::run(Arc::new(profile), &options, &mut Quiet(observer)).map_err(
            |error| match error {
                RunError::Interrupted => SizingError::Interrupted,
                error => SizingError::Run(error),
            },
        )?;
        if outcome.interrupted {
            return Err(SizingError::Interrupted);
        }
        let run = outcome.directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Step { resource, pods, load } = *step;
        let because = because(&outcome.summary);
        let p99 = outcome.summary.latency_us.iter();
        let latency_us_p99 =
            p99.filter_map(|(metric, latency)| Some((metric.name().to_owned(), latency.p99?))).collect();
        let outcome = outcome.summary.verdict;
        Ok(Played { resource, pods, load, again, outcome, because, latency_us_p99, run })
    }
}

/// Objectives that were not met, and what the harness says of itself.
fn because(summary: &Summary) -> Vec<String> {
    let missed = summary.objectives.iter().filter(|judged| judged.outcome != Outcome::Passed);
    let missed = missed.map(|judged| match &judged.reason {
        Some(reason) => format!("{} {}: {reason}", judged.name, judged.limit),
        None => format!("{} {}", judged.name, judged.limit),
    });
    missed.chain(summary.harness.reasons.iter().cloned()).collect()
}

/// Lines of the runs themselves are for their run directories.
struct Quiet<'a>(&'a mut dyn SizingObserver);

impl RunObserver for Quiet<'_> {
    fn interval(&mut self, view: &crate::report::run::ProgressView) {
        self.0.interval(view);
    }

    fn note(&mut self, _line: &str) {}
}

/// What the steps in a directory are steps of.
const PLAN: &str = "plan.toml";

/// One line of JSON a finished step, in the directory of the sizing.
const STEPS: &str = "steps.jsonl";

/// Steps of an earlier sizing in the same directory.
struct Kept {
    path: PathBuf,
    steps: Vec<Played>,
}

impl Kept {
    fn open(path: &Path) -> Result<Self, SizingError> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(SizingError::Write { path: path.to_owned(), source: error });
            }
            text => text.unwrap_or_default(),
        };
        let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let steps = lines.map(|(line, text)| {
            serde_json::from_str(text).map_err(|source| SizingError::Kept {
                path: path.to_owned(),
                line,
                source,
            })
        });
        Ok(Self { path: path.to_owned(), steps: steps.collect::<Result<_, _>>()? })
    }

    fn find(&self, step: &Step, again: u32) -> Option<Played> {
        let same = |played: &&Played| {
            (played.resource, played.pods, played.again) == (step.resource, step.pods, again)
                && (played.load - step.load).abs() <= step.load * 1e-9
        };
        self.steps.iter().find(same).cloned()
    }

    fn keep(&mut self, played: &Played) -> Result<(), SizingError> {
        let failed = |source| SizingError::Write { path: self.path.clone(), source };
        let line = serde_json::to_string(played).map_err(|error| failed(error.into()))?;
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path).map_err(failed)?;
        file.write_all(format!("{line}\n").as_bytes()).map_err(failed)
    }
}
