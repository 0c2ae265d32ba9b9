//! `wavesoak cleanup`

use clap::Args;

use super::changes::Changes;
use super::consent::Confirmed;
use super::exit::{Exit, Failure};
use super::output;
use super::progress::Progress;
use crate::worker::coordinator;

/// Put away the rooms that runs have made on a deployment.
///
/// PROFILE is the one that the runs were made with: it says where the target is, who signs in, and in which file the rooms
/// are remembered (population.kept_rooms; without it, beside auth.credentials or auth.key_file). Rooms are archived; where
/// that is refused, everybody whom the profile put there leaves, the maker last. What is gone is forgotten, what could not
/// be put away is named and stays remembered.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CleanupArgs {
    /// Built-in profile, or path of a profile file
    profile: String,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    confirmed: Confirmed,
    /// Only rooms whose names begin with this: "wavesoak 3f2a77c1" are those of one run
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// Print which rooms are remembered, and do nothing
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
Examples:
  wavesoak cleanup staging.toml --dry-run
  wavesoak cleanup staging.toml --prefix 'wavesoak 3f2a77c1'

Exit codes: 0 nothing is left · 2 it could not begin · 3 the target kept some rooms, or nobody knows";

/// Puts rooms away, and says what became of them on stdout.
pub(super) fn run(args: &CleanupArgs) -> Result<Exit, Failure> {
    let mut profile = args.changes.load(&args.profile)?;
    args.confirmed.clear(&mut profile)?;
    if args.dry_run {
        let lines = coordinator::remembered(&profile, &args.prefix)?;
        output::data(&format!("{}\n", lines.join("\n")))?;
        return Ok(Exit::Passed);
    }
    let mut progress = Progress::new();
    let put_away = coordinator::cleanup(&profile, &args.prefix, &mut progress);
    progress.finish();
    let put_away = put_away?;
    output::data(&format!("{}\n", put_away.told().join("\n")))?;
    Ok(if put_away.is_complete() { Exit::Passed } else { Exit::Failed })
}
