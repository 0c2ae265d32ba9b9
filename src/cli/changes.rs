//! A profile from the command line: its name, and what is changed in it.

use std::time::Duration;

use clap::Args;
use thiserror::Error;

use super::exit::Failure;
use super::output;
use crate::profile::quantity::{QuantityError, Written as _};
use crate::profile::{Override, OverrideError, Profile, Source, load, parse};

/// What every command that reads a profile takes.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Changes {
    /// Deployment to run against, instead of the embedded target
    #[arg(long, value_name = "URL")]
    target: Option<String>,
    /// Trust whatever certificate the target shows (short for --set target.insecure=true)
    #[arg(long)]
    insecure: bool,
    /// Connect to ADDRESS for HOST:PORT, as curl has it (may be repeated; instead of target.resolve)
    #[arg(long, value_name = "HOST:PORT:ADDRESS")]
    resolve: Vec<String>,
    /// Connect from this address of this machine; several are taken in turn (instead of target.local_addresses)
    #[arg(long = "local-addr", value_name = "ADDRESS")]
    local_addresses: Vec<String>,
    /// Change one key of the profile: --set client.bridge=stream-first (may be repeated)
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    set: Vec<String>,
    /// Short for --set population.clients=N
    #[arg(long, value_name = "N")]
    clients: Option<u32>,
    /// Short for --set seed=N; the same seed gives the same plan
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Stretch or shrink the holds until all phases together last this long ("90s", "2h")
    #[arg(long, value_name = "TIME")]
    duration: Option<String>,
}

/// Why a change cannot be made; completes "failed to …".
#[derive(Debug, Error)]
enum ChangeError {
    #[error("read `{0}`")]
    Set(String, #[source] OverrideError),
    #[error("read --duration {0}")]
    Duration(String, #[source] QuantityError),
}

impl Changes {
    /// Nothing but these `--set`.
    pub(super) fn of_sets(set: &[String]) -> Self {
        Self { set: set.to_vec(), ..Self::default() }
    }

    /// This target and how to reach it, and these `--set`.
    pub(super) fn of_path(url: &str, insecure: bool, resolve: &[String], set: &[String]) -> Self {
        let (target, resolve) = (Some(url.to_owned()), resolve.to_vec());
        Self { target, insecure, resolve, set: set.to_vec(), ..Self::default() }
    }

    /// Finds, reads, changes and checks the profile; what may not be meant that way is said on stderr.
    pub(super) fn load(&self, name: &str) -> Result<Profile, Failure> {
        let overrides = self.overrides().map_err(Failure::usage)?;
        let source = Source::find(name).map_err(Failure::usage)?;
        let loaded = load(&source, &overrides).map_err(Failure::usage)?;
        for warning in &loaded.warnings {
            output::warning(warning);
        }
        Ok(loaded.profile)
    }

    /// The same for a text that is not a file's; what may not be meant that way was not meant at all.
    pub(super) fn read(&self, text: &str, origin: &str) -> Result<Profile, Failure> {
        let overrides = self.overrides().map_err(Failure::usage)?;
        parse(text, origin, &overrides).map(|loaded| loaded.profile).map_err(Failure::usage)
    }

    /// `--insecure`, `--resolve`, `--local-addr`
    fn route(&self) -> impl Iterator<Item = Override> {
        let list =
            |key: &'static str, texts: &[String]| (!texts.is_empty()).then(|| Override::texts(key, texts));
        let insecure = self.insecure.then(|| Override::flag("target.insecure"));
        let resolve = list("target.resolve", &self.resolve);
        [insecure, resolve, list("target.local_addresses", &self.local_addresses)].into_iter().flatten()
    }

    /// The shorthands come last: they are the shorter way to say something, and so the later thought.
    fn overrides(&self) -> Result<Vec<Override>, ChangeError> {
        let mut overrides = Vec::new();
        for set in &self.set {
            let change = Override::parse(set).map_err(|error| ChangeError::Set(set.clone(), error))?;
            overrides.push(change);
        }
        overrides.extend(self.route());
        overrides.extend(self.target.clone().map(Override::Target));
        overrides.extend(self.clients.map(Override::Clients));
        overrides.extend(self.seed.map(Override::Seed));
        if let Some(text) = &self.duration {
            let duration =
                Duration::parse(text).map_err(|error| ChangeError::Duration(text.clone(), error))?;
            overrides.push(Override::Duration(duration));
        }
        Ok(overrides)
    }
}
