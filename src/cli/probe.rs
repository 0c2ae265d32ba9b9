//! `wavesoak probe`

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use thiserror::Error;

use super::changes::Changes;
use super::exit::{Exit, Failure};
use super::run::Format;
use super::{output, rails};
use crate::driver::identities::Identities;
use crate::probe::{Check, Outcome, ProbeError, ProbeOptions, Report, probe, profile_for};
use crate::profile::quantity::{QuantityError, Written as _};
use crate::profile::{AuthMode, Profile};

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
    /// Profile whose `[target]`, `[auth]`, `[client]` and `[limits]` hold: a path, or a built-in name
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Change one key of the profile: --set target.ca_file=ca.pem (may be repeated)
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    set: Vec<String>,
    /// CSV of identities, of users with passwords or of tokens (short for auth.mode and auth.credentials)
    #[arg(long, value_name = "FILE", conflicts_with = "key_file")]
    credentials: Option<PathBuf>,
    /// File with the key of a target that takes development tokens (short for auth.key_file)
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Trust whatever certificate the target shows (short for --set target.insecure=true)
    #[arg(long)]
    insecure: bool,
    /// Connect to ADDRESS for HOST:PORT, as curl has it (may be repeated; instead of target.resolve)
    #[arg(long, value_name = "HOST:PORT:ADDRESS")]
    resolve: Vec<String>,
    /// Confirm that this exact host, which is not this machine, may be probed
    #[arg(long, value_name = "HOST")]
    confirm_target: Option<String>,
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

/// Without `--profile`: all defaults.
const DEFAULTS: &str = "name = \"probe\"\n[population]\ntenants = 1\nclients = 1\n[[phase]]\nduration = \"10s\"\nclients = \"100%\"\n";

/// Probes, prints, and says how it went.
pub(super) fn run(args: &ProbeArgs) -> Result<Exit, Failure> {
    let listen = Duration::parse(&args.listen)
        .map_err(|error| Failure::usage(ProbeUsage::Listen(args.listen.clone(), error)))?;
    if !LISTEN.contains(&listen) {
        return Err(Failure::usage(ProbeUsage::Length(args.listen.clone())));
    }
    let mut profile = profile_for(args.load()?).map_err(failure)?;
    let cleared = rails::check(&mut profile, args.confirm_target.as_deref()).map_err(Failure::usage)?;
    for note in &cleared.notes {
        output::warning(note);
    }
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

impl ProbeArgs {
    fn load(&self) -> Result<Profile, Failure> {
        let quoted = |key: &str, path: &PathBuf| format!("{key}={:?}", path.display().to_string());
        let mut set = self.set.clone();
        if let Some(path) = &self.credentials {
            // Which of the two it is, its head says; what is neither is refused later, with the reason.
            let is = |mode: &AuthMode| Identities::of_first_tenant(path, *mode).is_ok();
            let tokens = is(&AuthMode::Tokens);
            set.push(format!("auth.mode={}", if tokens { "tokens" } else { "password" }));
            set.push(quoted("auth.credentials", path));
        }
        set.extend(self.key_file.as_ref().map(|path| quoted("auth.key_file", path)));
        let changes = Changes::of_path(&self.url, self.insecure, &self.resolve, &set);
        match &self.profile {
            Some(name) => changes.load(name),
            None => changes.read(DEFAULTS, "the defaults"),
        }
    }
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(Check::ALL.iter().map(|check| check.name()))
}

fn failure(error: ProbeError) -> Failure {
    match error {
        ProbeError::Preflight(source) => Failure::usage(source),
        ProbeError::Interrupted => Failure::interrupted(),
        error @ ProbeError::TooFew { .. } => Failure::usage(error),
        error @ ProbeError::Process(_) => Failure::internal(error),
    }
}

fn print(report: &Report, format: Format) -> Result<(), Failure> {
    match format {
        Format::Text => output::data(&report.text()),
        Format::Json => {
            let mut json = serde_json::to_string_pretty(report).map_err(Failure::internal)?;
            json.push('\n');
            output::data(&json)
        }
    }
}
