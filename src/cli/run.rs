//! `wavesoak run`

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use thiserror::Error;

use super::changes::Changes;
use super::consent::Consent;
use super::exit::{Exit, Failure};
use super::progress::Progress;
use super::{dry_run, output, own};
use crate::profile::Profile;
use crate::report::run::{RunOptions, RunOutcome};
use crate::report::terminal;
use crate::worker::coordinator;

/// Run a profile to its verdict.
///
/// PROFILE is a built-in name or the path of a TOML file. Without --target, the run starts a reference ScaiWave of
/// its own (pods behind a balancer, as separate processes on loopback) and loads that. Progress goes to stderr, the
/// verdict to stdout, every number into the run directory.
#[derive(Debug, Args)]
#[command(after_help = builtins(), after_long_help = after_long_help())]
pub(super) struct RunArgs {
    /// Built-in profile, or path of a profile file
    profile: String,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    consent: Consent,
    /// Put the rooms away at the end that the run made (or used again) on a deployment
    #[arg(long)]
    cleanup: bool,
    /// Directory that the run directory is made in
    #[arg(long, value_name = "DIR", default_value = "reports")]
    out: PathBuf,
    /// Print what the run would cost, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// What is printed on stdout
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// `--format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Tables for people
    #[default]
    Text,
    /// One JSON document for scripts: summary.json, or the cost
    Json,
}

/// Completes "failed to …".
#[derive(Debug, Error)]
#[error("balance the books of this run: {0}")]
struct Unbalanced(String);

/// Runs, or says what it would cost.
pub(super) fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let mut profile = args.changes.load(&args.profile)?;
    args.consent.clear(&mut profile)?;
    if args.dry_run {
        return dry_run::print(&profile, args.format);
    }
    let outcome = drive(profile, args)?;
    print(&outcome, args.format)?;
    if let Err(imbalances) = outcome.summary.books() {
        let equations: Vec<String> = imbalances
            .iter()
            .map(|imbalance| {
                format!("{} ({} against {})", imbalance.equation, imbalance.left, imbalance.right)
            })
            .collect();
        return Err(Failure::internal(Unbalanced(equations.join("; "))));
    }
    Ok(if outcome.interrupted { Exit::Interrupted } else { outcome.summary.verdict.into() })
}

fn drive(profile: Profile, args: &RunArgs) -> Result<RunOutcome, Failure> {
    let options = RunOptions {
        out: args.out.clone(),
        shared: args.consent.shared,
        exe: own::exe()?,
        hooks: args.consent.hooks(),
        cleanup: args.cleanup,
        profile_toml: profile.to_toml(),
    };
    let mut progress = Progress::new();
    let outcome = coordinator::run(Arc::new(profile), &options, &mut progress);
    progress.finish();
    outcome.map_err(Failure::from)
}

fn print(outcome: &RunOutcome, format: Format) -> Result<(), Failure> {
    match format {
        Format::Text => {
            output::data(&terminal::render(&outcome.summary, &outcome.directory, output::columns()))
        }
        Format::Json => {
            let json = own::json(&outcome.summary)?;
            output::talk(outcome.directory.display());
            output::data(&json)
        }
    }
}

/// The list that `run -h` and `profile -h` end with.
pub(super) fn builtins() -> String {
    let builtins = crate::profile::builtins();
    let width = builtins.iter().map(|builtin| builtin.name.len()).max().unwrap_or(0);
    let mut text = String::from("Built-in profiles:");
    for builtin in builtins {
        let line = format!("  {:width$}  ", builtin.name);
        text.push('\n');
        text.push_str(&line);
        text.push_str(&hanging(builtin.about, line.len()));
    }
    text
}

/// Words on lines of a narrow page, the second and further ones indented.
fn hanging(words: &str, indent: usize) -> String {
    const PAGE: usize = 98;
    let mut text = String::new();
    let mut column = indent;
    for word in words.split(' ') {
        let length = word.chars().count();
        if column > indent && column + 1 + length > PAGE {
            text.push('\n');
            text.push_str(&" ".repeat(indent));
            column = indent;
        } else if column > indent {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text
}

fn after_long_help() -> String {
    format!(
        "{}

Examples:
  wavesoak run smoke
      A first run: 300 clients, three pods, one of them killed. Needs nothing, takes under 30 s.
  wavesoak run smoke --set client.bridge=stream-first --seed 7
      The same with another order of bridging and another plan.
  wavesoak run steady --clients 2000 --duration 30m --out /var/tmp/soak
      A smaller fleet for longer, with its numbers elsewhere.
  wavesoak run steady --target https://chat.example.com --confirm-target chat.example.com --dry-run
      What it would cost a deployment, before a single byte leaves. Without --dry-run: the run.
  wavesoak run ci --format json | jq .verdict
      For scripts; stdout holds nothing but the summary.

Against a deployment (a host that is not this machine):
  The host must be confirmed with --confirm-target HOST, or be listed in the profile file under
  target.allow. [limits] of the profile are enforced: 500 clients, 50 connects/s, 5 logins/s,
  50 publishes/s and 5,000 deliveries/s, raised only in the profile file. Commands of the profile
  (kind = \"exec\") run only with --allow-exec; --dry-run lists them. Faults of the target's
  side (pod-kill, idle-timeout …) are not planted, and listed as such. A target on which more
  than 50 other connections are open is refused, unless --shared.

Exit codes:
    0  every objective is met
    1  wavesoak itself broke; believe nothing
    2  wrong usage, wrong profile, or the preflight refused; no client was started
    3  the target missed an objective, or a client failed
    4  inconclusive: the harness could not do its part, or could not see
  130  interrupted (SIGINT, SIGTERM): short drain, partial report; a second signal ends at once",
        builtins()
    )
}
