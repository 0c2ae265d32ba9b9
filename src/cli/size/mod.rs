//! `wavesoak size`: each of its questions in a file of its own.

mod lb_timeout;
mod pods;

use clap::Subcommand;

use super::exit::{Exit, Failure};

/// Find out how large and how patient a deployment must be, with evidence.
#[derive(Debug, Subcommand)]
pub(super) enum SizeCommand {
    LbTimeout(Box<lb_timeout::LbTimeoutArgs>),
    Pods(Box<pods::PodsArgs>),
}

/// Answers what is asked.
pub(super) fn run(command: &SizeCommand) -> Result<Exit, Failure> {
    match command {
        SizeCommand::LbTimeout(args) => lb_timeout::run(args),
        SizeCommand::Pods(args) => pods::run(args),
    }
}
