//! `wavesoak size storm`

use std::path::PathBuf;

use clap::Args;

use super::super::changes::Changes;
use super::super::consent::Consent;
use super::super::exit::{Exit, Failure};
use super::super::run::Format;
use super::super::{output, own};
use super::watch::Watch;
use super::ways::WaysArgs;
use super::{directory, failure, write};
use crate::profile::quantity::{Share, Written as _};
use crate::report::comparison::Report;
use crate::sizing::storm::play::Comparison;
use crate::sizing::storm::{Maker, Variant};

/// What spreading a reconnect storm saves, and what it costs.
///
/// Plays the storm of a profile as clients are documented to come back (at once, then after 1, 2, 4, 8 … 30 s), with the
/// first retry spread, with jittered delays, and with both, side by side: the peak of reconnects and sync requests a second,
/// when 50, 90, 99 and 100 % of the clients were live again, failed attempts, what was missed. The storm is whatever faults
/// of PROFILE end connections; where it has none, one of the embedded target's pods dies in the middle of the first hold,
/// and against a deployment a share of the clients lose their streams. Every repeat is a whole run with a directory of its
/// own.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(in crate::cli) struct StormArgs {
    /// Built-in profile, or path of a profile file
    profile: String,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    ways: WaysArgs,
    /// Runs of each variant
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
    /// Variants that are played (default: all)
    #[arg(long, value_name = "VARIANT,…", value_delimiter = ',', value_enum)]
    only: Vec<Variant>,
    /// Clients that lose their streams, against a deployment and where the profile has no storm of its own
    #[arg(long, value_name = "SHARE", default_value = "33%", value_parser = share)]
    share: Share,
    #[command(flatten)]
    consent: Consent,
    /// Directory that the comparison's own directory is made in
    #[arg(long, value_name = "DIR", default_value = "reports")]
    out: PathBuf,
    /// Go on with a comparison that was cut short, or add repeats or variants to it: finished runs are not played again
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    resume: Option<PathBuf>,
    /// What is printed on stdout
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

const AFTER_HELP: &str = "\
Examples:
  wavesoak size storm reconnect-storm --only documented,spread,jitter
      5,000 clients of which a third lose their pod, three times each: some 25 minutes.
  wavesoak size storm reconnect-storm --set target.embedded.capacity.handshakes=70/s
      The same where the pods that are left bind: 70 upgrades a second each. There spread and jitter matter.
  wavesoak size storm mine.toml --target https://chat.example.com --confirm-target chat.example.com --share 20%
      A fifth of the clients lose their streams on a deployment. The rails of `run` hold for every run.

Exit codes:
    0  every run had a storm, and none of the figures is the harness's own doing; what the runs came to is in the table
    1  wavesoak itself broke
    2  wrong usage or profile, a run that the preflight refused, or a directory that is another comparison's
    4  inconclusive: in some run there was no storm, or the harness was the bottleneck; the table says which and why
  130  interrupted; finished runs are kept for --resume";

/// Plays what is asked for and prints the comparison.
pub(super) fn run(args: &StormArgs) -> Result<Exit, Failure> {
    let comparison = comparison(args)?;
    output::talk(format_args!(
        "{}; finished runs are kept in {}",
        comparison.maker.told,
        comparison.out.display()
    ));
    let mut watch = Watch::new();
    let played = comparison.play(&mut watch);
    watch.finish();
    let played = played.map_err(failure)?;
    let report = Report::new(&comparison, &played);
    let json = own::json(&report)?;
    let charts = report.charts().map_err(Failure::internal)?;
    write(&comparison.out.join("storm.json"), &json)?;
    for chart in &charts {
        write(&comparison.out.join(&chart.file), &chart.svg)?;
    }
    write(&comparison.out.join("storm.md"), &report.markdown(&charts))?;
    match args.format {
        Format::Json => output::data(&json)?,
        Format::Text => output::data(&report.text(output::columns()))?,
    }
    Ok(if report.conclusive { Exit::Passed } else { Exit::Inconclusive })
}

fn comparison(args: &StormArgs) -> Result<Comparison, Failure> {
    let profile = args.changes.load(&args.profile)?;
    let mut maker = Maker::of(&profile, args.share).map_err(Failure::usage)?;
    args.consent.clear(&mut maker.profile)?;
    let exe = own::exe()?;
    let out = directory(args.resume.as_ref(), &args.out, &format!("storm-{}", profile.name))?;
    let wanted = |variant: &Variant| args.only.is_empty() || args.only.contains(variant);
    Ok(Comparison {
        variants: Variant::ALL.into_iter().filter(wanted).collect(),
        ways: args.ways.repeated(args.repeat),
        maker,
        out,
        exe,
        shared: args.consent.shared,
        hooks: args.consent.hooks(),
    })
}

fn share(text: &str) -> Result<Share, String> {
    let share = Share::parse(text).map_err(|error| error.to_string())?;
    if share.0 > 0.0 && share.0 <= 1.0 { Ok(share) } else { Err("write more than 0%, up to 100%".to_owned()) }
}
