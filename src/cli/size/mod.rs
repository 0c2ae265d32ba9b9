//! `wavesoak size`: each of its questions in a file of its own.

#![expect(clippy::disallowed_methods, reason = "a directory is named after its moment")]

mod lb_timeout;
mod pods;
mod storm;
mod watch;
mod ways;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;

use super::exit::{Exit, Failure};
use super::own;
use crate::profile::quantity::Written as _;
use crate::report::run::RunError;
use crate::sizing::kept::KeptError;
use crate::sizing::run::PlayError;

/// Find out how large and how patient a deployment must be, with evidence.
#[derive(Debug, Subcommand)]
pub(super) enum SizeCommand {
    LbTimeout(Box<lb_timeout::LbTimeoutArgs>),
    Pods(Box<pods::PodsArgs>),
    Storm(Box<storm::StormArgs>),
}

/// Plays what is asked for and prints the answer.
pub(super) fn run(command: &SizeCommand) -> Result<Exit, Failure> {
    match command {
        SizeCommand::LbTimeout(args) => lb_timeout::run(args),
        SizeCommand::Pods(args) => pods::run(args),
        SizeCommand::Storm(args) => storm::run(args),
    }
}

/// What a person can put right is no error of ours.
fn failure(error: PlayError) -> Failure {
    match error {
        PlayError::Interrupted => Failure::interrupted(),
        PlayError::Kept(error @ (KeptError::AnotherPlan { .. } | KeptError::NoStep { .. })) => {
            Failure::usage(error)
        }
        PlayError::Run(error @ RunError::Preflight(_)) => error.into(),
        error => Failure::internal(error),
    }
}

/// Where the answer and its runs are kept: that of an earlier one, or a new directory in `out`.
fn directory(resume: Option<&PathBuf>, out: &Path, name: &str) -> Result<PathBuf, Failure> {
    let new = || out.join(format!("size-{name}-{:.0}", jiff::Timestamp::now()).replace(':', ""));
    let path = resume.cloned().unwrap_or_else(new);
    own::make(&path).map_err(Failure::usage)?;
    Ok(path)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    own::write(path, text).map_err(Failure::internal)
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = Duration::parse(text).map_err(|error| error.to_string())?;
    if duration < Duration::from_secs(1) { Err("write at least \"1s\"".to_owned()) } else { Ok(duration) }
}
