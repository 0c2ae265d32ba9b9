//! `wavesoak size pods`

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use thiserror::Error;

use super::watch::Watch;
use super::ways::WaysArgs;
use super::{directory, duration, failure, write};
use crate::cli::changes::Changes;
use crate::cli::consent::Consent;
use crate::cli::exit::{Exit, Failure};
use crate::cli::run::Format;
use crate::cli::{output, own, rails};
use crate::profile::quantity::{Rate, Share, Written as _};
use crate::report::sizing::Report;
use crate::seed::Seed;
use crate::sizing::pods::Sizing;
use crate::sizing::prove::Shown;
use crate::sizing::run::PlayError;
use crate::sizing::step::Terms;
use crate::sizing::{Answer, Goal, Model, Resource};

/// How many pods a load needs, and how many so that some may die.
///
/// Searches, for each number of pods, what they carry of each resource (open streams, sync pages a second, upgrades a
/// second, deliveries a second): the load is doubled until an objective is missed, then the interval is halved to the
/// resolution; further numbers of pods begin near what the ones before carried. Every step is a whole run with a run
/// directory of its own; one that failed is played again before it is believed. Then the answer is proved: the whole load on
/// so many pods, some of which die in mid-hold, must pass, and on one pod fewer it must not. What spread and jitter would
/// save is shown by the same loss, whose clients come back in those ways, beside the proof. PROFILE gives the load, its
/// objectives, and the embedded target whose pods are counted, or a deployment with a command in [sizing] that scales it.
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
    /// How long each step holds its load, at the least; longer where an objective asks for it (ten samples beyond its
    /// percentile; time for a queue to grow to its limit, which is limit / resolution)
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    window: Duration,
    /// And at the most; a step that would take longer cannot pass, and is inconclusive
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    window_most: Duration,
    /// Upgrades a second at which clients come when handshakes are not what is searched for (default: the profile's ramp)
    #[arg(long, value_name = "RATE", value_parser = rate)]
    ramp: Option<Rate>,
    /// Leave out the proof, and with it what spread and jitter would save
    #[arg(long)]
    no_proof: bool,
    #[command(flatten)]
    ways: WaysArgs,
    #[command(flatten)]
    consent: Consent,
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
  wavesoak size pods staging.toml --pods 2,3,4 --for 2000 --allow-exec --confirm-target chat.example.com
      A deployment: [sizing] in the file says how it is scaled (and scaled back), [limits] how far.

Exit codes:
    0  an answer
    1  wavesoak itself broke
    2  wrong usage or profile, or a directory that is another sizing's; no client was started
    3  the proof missed an objective twice: the pods that the steps say are enough are not
    4  no answer: the generator was the limit, the load takes more pods than were played, or the proof could not be judged
       (or one pod fewer passed it)
  130  interrupted; finished steps are kept for --resume";

/// Completes "failed to …".
#[derive(Debug, Error)]
enum PodsError {
    #[error(
        "size the deployment at {0}: nothing says how to give it another number of pods; write [sizing] with scale = \
         [\"kubectl\", \"scale\", …, \"--replicas={{pods}}\"] and undo in the profile file, or leave out target.url for the \
         embedded target"
    )]
    Deployment(String),
    #[error(
        "scale the deployment with the commands of [sizing]: nobody said that they may be run; say --allow-exec"
    )]
    NotAllowed,
}

/// Plays what is asked for and prints the answer.
pub(super) fn run(args: &PodsArgs) -> Result<Exit, Failure> {
    let sizing = sizing(args)?;
    output::talk(format_args!("finished steps are kept in {}", sizing.out.display()));
    let mut watch = Watch::new();
    let evidence = sizing.play(&mut watch);
    watch.finish();
    let evidence = evidence.map_err(failure)?;
    let seed = Seed(sizing.profile.seed);
    let models: Vec<Model> = (0..)
        .zip(&evidence.found)
        .map(|(index, (&resource, found))| {
            Model::new(resource, found.clone(), &mut seed.stream("sizing", [index, 0, 0]))
        })
        .collect();
    let answer = Answer::new(&sizing.goal, &models, args.lose, args.recover_within);
    let shown = show(args, &sizing, &models, &answer, &mut watch);
    watch.finish();
    let shown = shown.map_err(failure)?;
    let report = Report::new(&sizing, &evidence, &models, &answer, args.lose, args.recover_within, &shown);
    let json = own::json(&report)?;
    write(&sizing.out.join("answer.json"), &json)?;
    let plots = report.plots().map_err(Failure::internal)?;
    for chart in plots.all() {
        write(&sizing.out.join(&chart.file), &chart.svg)?;
    }
    write(&sizing.out.join("answer.md"), &report.markdown(&plots))?;
    match args.format {
        Format::Json => output::data(&json)?,
        Format::Text => output::data(&report.text(output::columns()))?,
    }
    let whole = sizing.resources.len() == Resource::ALL.len();
    let answered = answer.load.is_some() && (answer.resilient.is_some() || !whole);
    Ok(match () {
        () if report.is_refuted() => Exit::Failed,
        () if report.is_unproven() || !answered => Exit::Inconclusive,
        () => Exit::Passed,
    })
}

/// The answer, played, and its storm in other ways; nothing where it is not known, not wanted, or would have to kill pods that
/// are not ours.
fn show(
    args: &PodsArgs,
    sizing: &Sizing,
    models: &[Model],
    answer: &Answer,
    watch: &mut Watch,
) -> Result<Shown, PlayError> {
    let mut shown = Shown::default();
    if args.no_proof || sizing.profile.target.url.is_some() {
        return Ok(shown);
    }
    let resolution = sizing.terms.resolution;
    for test in answer.tests(&sizing.goal, models, args.lose, args.recover_within, resolution) {
        shown.proofs.push((test, sizing.prove(&test.proof, test.expected, watch)?));
    }
    // The pods of the answer come first: of one fewer nobody wants to know how it is left.
    if let Some((test, proven)) = shown.proofs.first() {
        shown.weathered = sizing.weather(test, proven, &args.ways.repeated(1), watch)?;
    }
    Ok(shown)
}

fn sizing(args: &PodsArgs) -> Result<Sizing, Failure> {
    let mut profile = args.changes.load(&args.profile)?;
    args.consent.clear(&mut profile)?;
    let limits = (!rails::stays_on_this_machine(&profile)).then(|| profile.limits.clone());
    if let Some(url) = &profile.target.url {
        if profile.sizing.scale.is_empty() {
            return Err(Failure::usage(PodsError::Deployment(url.clone())));
        }
        if !args.consent.allow_exec {
            return Err(Failure::usage(PodsError::NotAllowed));
        }
    }
    let exe = own::exe()?;
    let out = directory(args.resume.as_ref(), &args.out, &profile.name)?;
    let within = args.recover_within;
    let goal = Goal::of(&profile, args.goal, within);
    let mut pods = args.pods.clone();
    pods.sort_unstable();
    pods.dedup();
    // As clients of the profile come; a profile without a ramp brings them in ten seconds.
    let profiles = Goal::of(&profile, None, within).handshakes;
    let ramp = match args.ramp {
        Some(rate) => rate.0,
        None if profiles > 0.0 => profiles,
        None => goal.connections / 10.0,
    };
    let ramp = limits.as_ref().map_or(ramp, |limits| ramp.min(limits.connects.0));
    let PodsArgs { window, window_most, resolution, .. } = *args;
    let terms = Terms { window, window_most, resolution, ramp };
    let wanted = |resource: &Resource| args.only.is_empty() || args.only.contains(resource);
    let resources = Resource::ALL.into_iter().filter(wanted).collect();
    let (hooks, shared) = (args.consent.hooks(), args.consent.shared);
    Ok(Sizing { profile, goal, pods, resources, terms, out, exe, hooks, shared, limits })
}

fn rate(text: &str) -> Result<Rate, String> {
    let rate = Rate::parse(text).map_err(|error| error.to_string())?;
    if rate.0 > 0.0 { Ok(rate) } else { Err("write a rate above zero, as in 50/s".to_owned()) }
}

fn share(text: &str) -> Result<f64, String> {
    let Share(share) = Share::parse(text).map_err(|error| error.to_string())?;
    if (0.005..=0.5).contains(&share) { Ok(share) } else { Err("write 0.5% to 50%".to_owned()) }
}
