//! `wavesoak profile`

use clap::Subcommand;

use super::changes::Changes;
use super::exit::{Exit, Failure};
use super::output;
use crate::profile::reference;

/// Check, show and explain profiles.
#[derive(Debug, Subcommand)]
#[command(after_help = super::run::builtins())]
pub(super) enum ProfileCommand {
    /// Say everything that is wrong with a profile (exit 2), or that nothing is
    Check {
        /// Built-in profile, or path of a profile file
        profile: String,
        #[command(flatten)]
        changes: Changes,
    },
    /// Print a profile as it is resolved: every default filled in, every change made
    Show {
        /// Built-in profile, or path of a profile file
        profile: String,
        #[command(flatten)]
        changes: Changes,
    },
    /// Print the annotated reference: every key, its unit, its default and the reason
    Reference,
}

/// Does it.
pub(super) fn run(command: ProfileCommand) -> Result<Exit, Failure> {
    match command {
        ProfileCommand::Check { profile, changes } => {
            let profile = changes.load(&profile)?;
            output::data(&format!("{}: nothing is wrong\n", profile.name))?;
        }
        ProfileCommand::Show { profile, changes } => output::data(&changes.load(&profile)?.to_toml())?,
        ProfileCommand::Reference => output::data(reference())?,
    }
    Ok(Exit::Passed)
}
