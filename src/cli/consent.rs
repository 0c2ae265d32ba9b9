//! What a person has to say before a command does to a target what it otherwise would not.

use clap::Args;

use super::exit::Failure;
use super::{output, rails};
use crate::profile::Profile;
use crate::report::run::HookOptions;
use crate::worker::coordinator;

/// For whatever leaves this machine.
#[derive(Clone, Debug, Args)]
pub(super) struct Confirmed {
    /// Confirm that this exact host, which is not this machine, may be run against
    #[arg(long, value_name = "HOST")]
    confirm_target: Option<String>,
}

/// For whatever loads a target.
#[derive(Clone, Debug, Args)]
pub(super) struct Consent {
    #[command(flatten)]
    confirmed: Confirmed,
    /// Load a deployment although other people are connected to it
    #[arg(long)]
    pub(super) shared: bool,
    /// Run the commands of the profile (faults of kind exec, those of sizing), and what takes them back
    #[arg(long)]
    pub(super) allow_exec: bool,
}

impl Confirmed {
    /// Holds the profile against the rails, and says what they have changed in it.
    pub(super) fn clear(&self, profile: &mut Profile) -> Result<(), Failure> {
        let cleared = rails::check(profile, self.confirm_target.as_deref()).map_err(Failure::usage)?;
        cleared.notes.iter().for_each(output::warning);
        Ok(())
    }
}

impl Consent {
    /// As [`Confirmed::clear`].
    pub(super) fn clear(&self, profile: &mut Profile) -> Result<(), Failure> {
        self.confirmed.clear(profile)
    }

    /// Whether commands may be run, and where it is written down what takes them back.
    pub(super) fn hooks(&self) -> HookOptions {
        HookOptions { allowed: self.allow_exec, journals: coordinator::journals() }
    }
}
