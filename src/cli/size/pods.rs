//! `wavesoak size pods`

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use thiserror::Error;

use super::{SizeError, directory, duration, exe, write};
use crate::cli::changes::Changes;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::cli::progress::Progress;
use crate::cli::run::Format;
use crate::profile::quantity::{Share, Written as _};
use crate::report::chart;
use crate::report::run::{ProgressView, RunObserver};
use crate::report::sizing::Report;
use crate::seed::Seed;
use crate::sizing::pods::{Played, Sizing, SizingError, SizingObserver};
use crate::sizing::step::{Step, Terms};
use crate::sizing::{Answer, Goal, Model, Resource};

/// How many pods a load needs, and how many so that some may die.
///
/// Searches, for each number of pods, what they carry of each resource (open streams, upgrades a second, deliveries a
/// second): the load is doubled until an objective is missed, then the interval is halved to the resolution. Every step is
/// a whole run with a run directory of its own; one that failed is played again before it is believed. PROFILE gives the
/// load, its objectives, and the embedded target whose pods are counted.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(in crate::cli) struct PodsArgs {
    /// Built-in profile, or path of a profile file
    profile: String,
    #[command(flatten)]
    changes: Changes,
    /// Clients of the load that is asked about, its traffic and ramps scaled along (default: the profile's)
    #[arg(long = "for", value_name = "CLIENTS", value_parser = clap::value_parser!(u32).range(1..))]
    goal: Option<u32>,
    /// Numbers of pods to play; five or more give a law for other numbers, four one without coherency, fewer none
    #[arg(long, value_name = "N,N…", value_delimiter = ',', default_values_t = [1, 2, 3, 4, 5], value_parser = clap::value_parser!(u32).range(1..=100))]
    pods: Vec<u32>,
    /// Pods that may die at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    lose: u32,
    /// Time in which all of their clients must be back
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    recover_within: Duration,
    /// Resources that are searched (default: all, which is what it takes to say how many pods survive a loss)
    #[arg(long, value_name = "RESOURCE,…", value_delimiter = ',', value_enum)]
    only: Vec<Resource>,
    /// How closely each limit is found
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = share)]
    resolution: f64,
    /// How long each step holds its load
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    window: Duration,
    /// Directory that the sizing's own directory is made in
    #[arg(long, value_name = "DIR", default_value = "reports")]
    out: PathBuf,
    /// Go on with a sizing that was cut short: steps that are finished there are not played again
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    resume: Option<PathBuf>,
    /// What is printed on stdout
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

const AFTER_HELP: &str = "\
Examples:
  wavesoak size pods steady --for 5000
      How many pods carry 5,000 clients of the profile, and how many so that one may die.
  wavesoak size pods mine.toml --pods 1,2,3 --window 20s --resolution 3%
      Closer, and for three numbers of pods: nothing is said about others then.

Exit codes:
    0  an answer
    1  wavesoak itself broke
    2  wrong usage or profile, or a directory that is another sizing's; no client was started
    4  no answer: the generator was the limit, or the load takes more pods than were played
  130  interrupted; finished steps are kept for --resume";

/// Completes "failed to …".
#[derive(Debug, Error)]
enum PodsError {
    #[error(
        "size the deployment at {0}: its pods cannot be counted up and down from here; leave out target.url"
    )]
    Deployment(String),
}

/// Plays what is asked for and prints the answer.
pub(super) fn run(args: &PodsArgs) -> Result<Exit, Failure> {
    let sizing = sizing(args)?;
    output::talk(format_args!("finished steps are kept in {}", sizing.out.display()));
    let mut steps = Steps { progress: Progress::new() };
    let evidence = sizing.play(&mut steps);
    steps.progress.finish();
    let evidence = evidence.map_err(|error| match error {
        SizingError::Interrupted => Failure::interrupted(),
        error @ (SizingError::AnotherPlan { .. } | SizingError::Kept { .. }) => Failure::usage(error),
        SizingError::Run(crate::report::run::RunError::Preflight(source)) => Failure::usage(source),
        error => Failure::internal(error),
    })?;
    let seed = Seed(sizing.profile.seed);
    let models: Vec<Model> = (0..)
        .zip(&evidence.found)
        .map(|(index, (&resource, found))| {
            Model::new(resource, found.clone(), &mut seed.stream("sizing", [index, 0, 0]))
        })
        .collect();
    let answer = Answer::new(&sizing.goal, &models, args.lose, args.recover_within);
    let report = Report::new(&sizing, &evidence, &models, &answer, args.lose, args.recover_within);
    let json = report.json().map_err(|error| Failure::internal(SizeError::Json(error)))?;
    write(&sizing.out.join("answer.json"), &json)?;
    let charts = chart::pods::charts(&report.resources, &report.steps).map_err(Failure::internal)?;
    for chart in &charts {
        write(&sizing.out.join(&chart.file), &chart.svg)?;
    }
    write(&sizing.out.join("answer.md"), &report.markdown(&charts))?;
    match args.format {
        Format::Json => output::data(&json)?,
        Format::Text => output::data(&report.text(output::columns()))?,
    }
    let whole = sizing.resources.len() == Resource::ALL.len();
    let answered = answer.load.is_some() && (answer.resilient.is_some() || !whole);
    Ok(if answered { Exit::Passed } else { Exit::Inconclusive })
}

fn sizing(args: &PodsArgs) -> Result<Sizing, Failure> {
    let profile = args.changes.load(&args.profile)?;
    if let Some(url) = &profile.target.url {
        return Err(Failure::usage(PodsError::Deployment(url.clone())));
    }
    let exe = exe()?;
    let out = directory(args.resume.as_ref(), &args.out, &profile.name)?;
    let goal = Goal::of(&profile, args.goal);
    let mut pods = args.pods.clone();
    pods.sort_unstable();
    pods.dedup();
    // As clients of the profile come; a profile without a ramp brings them in ten seconds.
    let ramp =
        if goal.handshakes > 0.0 { Goal::of(&profile, None).handshakes } else { goal.connections / 10.0 };
    let terms = Terms { window: args.window, ramp };
    let wanted = |resource: &Resource| args.only.is_empty() || args.only.contains(resource);
    let resources = Resource::ALL.into_iter().filter(wanted).collect();
    Ok(Sizing { profile, goal, pods, resources, resolution: args.resolution, terms, out, exe })
}

fn share(text: &str) -> Result<f64, String> {
    let Share(share) = Share::parse(text).map_err(|error| error.to_string())?;
    if (0.005..=0.5).contains(&share) { Ok(share) } else { Err("write 0.5% to 50%".to_owned()) }
}

/// Tells the steps as they come and go.
struct Steps {
    progress: Progress,
}

impl SizingObserver for Steps {
    fn step(&mut self, step: &Step, again: u32) {
        let Step { resource, pods, load } = step;
        let again = if again == 0 { "" } else { ", again" };
        self.progress.note(&format!("{pods} pods: {load:.0} {resource}{}{again}", resource.unit()));
    }

    fn played(&mut self, played: &Played) {
        let because = played.because.first().map_or_else(String::new, |because| format!(": {because}"));
        self.progress.note(&format!("  {}{because}", played.outcome));
    }
}

impl RunObserver for Steps {
    /// A line a second and step would bury what matters; on a terminal the one line is redrawn.
    fn interval(&mut self, view: &ProgressView) {
        self.progress.redraw(view);
    }

    fn note(&mut self, line: &str) {
        self.progress.note(line);
    }
}
