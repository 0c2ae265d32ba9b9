//! One run of a sizing or of a comparison: a whole run, whose own lines are for its run directory.

use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use super::kept::KeptError;
use crate::profile::Profile;
use crate::report::Summary;
use crate::report::run::{HookOptions, ProgressView, RunError, RunObserver, RunOptions};
use crate::worker::coordinator;

/// Why there is no answer, or no comparison; completes "failed to …".
#[derive(Debug, Error)]
pub enum PlayError {
    /// A run could not be made.
    #[error("play a run")]
    Run(#[source] RunError),
    /// Finished runs could not be kept, or those that are there are of something else.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// A person ended it.
    #[error("interrupted; finished runs are kept")]
    Interrupted,
}

impl From<RunError> for PlayError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Interrupted => Self::Interrupted,
            error => Self::Run(error),
        }
    }
}

/// Where runs are made, and how.
pub(super) struct Place<'a> {
    /// Their directories are made in it.
    pub out: &'a Path,
    /// The binary that embedded targets are made of.
    pub exe: &'a Path,
    /// Other people's connections are no reason to refuse a run.
    pub shared: bool,
    /// Of commands that the profile itself has.
    pub hooks: HookOptions,
}

/// A run that came to its end.
pub(super) struct Finished {
    pub summary: Summary,
    /// Its directory, in that of all of them.
    pub run: String,
}

impl Place<'_> {
    /// One that a person cut short is none.
    pub(super) fn run(
        &self,
        profile: Profile,
        observer: &mut dyn RunObserver,
    ) -> Result<Finished, PlayError> {
        let options = RunOptions {
            out: self.out.to_owned(),
            shared: self.shared,
            cleanup: false,
            hooks: self.hooks.clone(),
            exe: self.exe.to_owned(),
            profile_toml: profile.to_toml(),
        };
        let outcome = coordinator::run(Arc::new(profile), &options, &mut Quiet(observer))?;
        if outcome.interrupted {
            return Err(PlayError::Interrupted);
        }
        let run = outcome.directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Finished { summary: outcome.summary, run })
    }
}

/// Shows how a run goes, and nothing of what it says.
struct Quiet<'a>(&'a mut dyn RunObserver);

impl RunObserver for Quiet<'_> {
    fn interval(&mut self, view: &ProgressView) {
        self.0.interval(view);
    }

    fn note(&mut self, _line: &str) {}
}
