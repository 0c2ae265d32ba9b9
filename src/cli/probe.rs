//! `wavesoak probe`

use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use thiserror::Error;

use super::exit::{Exit, Failure};
use super::run::Format;
use super::way::{Way, failure};
use super::{output, own};
use crate::probe::{Check, Outcome, ProbeOptions, Report, probe};
use crate::profile::quantity::{QuantityError, Written as _};

/// Walk the symptoms of the page "WebSocket keeps disconnecting" against a live path.
///
/// Signs some identities in, holds streams for the listening time, provokes what can be provoked politely, and says for
/// each line of the page what it found, by which evidence, and what the page advises. Findings go to stdout, progress to
/// stderr; nothing is written to disk but the refresh tokens that the identities get.
#[derive(Debug, Args)]
#[command(after_help = EXITS)]
pub(super) struct ProbeArgs {
    /// The URL that clients use: `https://chat.example.com`
    url: String,
    #[command(flatten)]
    way: Way,
    /// How long streams are held: three of the server's pings of 30 s and a little
    #[arg(long, value_name = "TIME", default_value = "95s")]
    listen: String,
    /// Ask only this (default: everything)
    #[arg(long, value_name = "CHECK", value_delimiter = ',', value_parser = names())]
    only: Vec<String>,
    /// What is printed on stdout
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

const EXITS: &str = "\
Examples:
  wavesoak probe https://chat.example.com --confirm-target chat.example.com --credentials people.csv
  wavesoak probe http://127.0.0.1:41234 --key-file /tmp/wavesoak-…/key --only drops,silence

Exit codes:
    0  healthy: nothing that was asked is wrong
    1  wavesoak itself broke; believe nothing
    2  wrong usage or profile, or nothing could be probed
    3  findings
    4  no findings, and something that was asked could not be told
  130  interrupted: the rooms are put away, for 10 s at most; a second signal ends it at once";

/// Completes "failed to …".
#[derive(Debug, Error)]
enum ProbeUsage {
    #[error("read --listen {0}")]
    Listen(String, #[source] QuantityError),
    #[error("listen for {0}: say between 1s and 1h")]
    Length(String),
}

/// The least and the most that can be listened for.
const LISTEN: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// Probes, prints, and says how it went.
pub(super) fn run(args: &ProbeArgs) -> Result<Exit, Failure> {
    let listen = Duration::parse(&args.listen)
        .map_err(|error| Failure::usage(ProbeUsage::Listen(args.listen.clone(), error)))?;
    if !LISTEN.contains(&listen) {
        return Err(Failure::usage(ProbeUsage::Length(args.listen.clone())));
    }
    let profile = args.way.clear(&args.url, |_| ())?;
    let named = args.only.iter().filter_map(|name| Check::named(name)).collect::<Vec<_>>();
    let only = if named.is_empty() { Check::ALL.to_vec() } else { named };
    let options = ProbeOptions { listen, only };
    let report = probe(profile, &options, Box::new(|line| output::talk(line))).map_err(failure)?;
    print(&report, args.format)?;
    Ok(match report.outcome {
        Outcome::Healthy | Outcome::NotAsked => Exit::Passed,
        Outcome::Finding => Exit::Failed,
        Outcome::Inconclusive => Exit::Inconclusive,
    })
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(Check::ALL.iter().map(|check| check.name()))
}

fn print(report: &Report, format: Format) -> Result<(), Failure> {
    match format {
        Format::Text => output::data(&report.text()),
        Format::Json => output::data(&own::json(report)?),
    }
}
