//! How a command that visits a live path is told the way there.

use std::path::PathBuf;

use clap::Args;

use super::changes::Changes;
use super::consent::Confirmed;
use super::exit::Failure;
use crate::driver::identities::Identities;
use crate::probe::{ProbeError, profile_for};
use crate::profile::{AuthMode, Profile};

/// What `probe` and `size lb-timeout` take alike.
#[derive(Clone, Debug, Args)]
pub(super) struct Way {
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
    #[command(flatten)]
    confirmed: Confirmed,
}

/// Without `--profile`: all defaults.
const DEFAULTS: &str = "name = \"probe\"\n[population]\ntenants = 1\nclients = 1\n[[phase]]\nduration = \"10s\"\nclients = \"100%\"\n";

impl Way {
    /// The profile of a visit to this URL, after `change`, if the rails let it pass.
    pub(super) fn clear(&self, url: &str, change: impl FnOnce(&mut Profile)) -> Result<Profile, Failure> {
        let mut profile = profile_for(self.load(url)?).map_err(failure)?;
        change(&mut profile);
        self.confirmed.clear(&mut profile)?;
        Ok(profile)
    }

    fn load(&self, url: &str) -> Result<Profile, Failure> {
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
        let changes = Changes::of_path(url, self.insecure, &self.resolve, &set);
        match &self.profile {
            Some(name) => changes.load(name),
            None => changes.read(DEFAULTS, "the defaults"),
        }
    }
}

/// Why a visit brought nothing, as an exit.
pub(super) fn failure(error: ProbeError) -> Failure {
    match error {
        ProbeError::Preflight(source) => Failure::usage(source),
        ProbeError::Interrupted => Failure::interrupted(),
        error @ ProbeError::TooFew { .. } => Failure::usage(error),
        error @ ProbeError::Process(_) => Failure::internal(error),
    }
}
