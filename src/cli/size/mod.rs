//! `wavesoak size`: each of its questions in a file of its own.

mod pods;

use clap::Subcommand;

use super::exit::{Exit, Failure};

/// Find out how large a deployment must be, with evidence.
#[derive(Debug, Subcommand)]
pub(super) enum SizeCommand {
    Pods(Box<pods::PodsArgs>),
}

/// Answers what is asked.
pub(super) fn run(command: &SizeCommand) -> Result<Exit, Failure> {
    match command {
        SizeCommand::Pods(args) => pods::run(args),
    }
}
