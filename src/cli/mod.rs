//! What a person types, and what comes back: help, exit codes, the terminal.

mod changes;
mod cleanup;
mod consent;
mod cost;
mod dry_run;
mod exit;
mod output;
mod own;
mod probe;
mod profile;
mod progress;
mod rails;
mod run;
mod selftest;
mod size;
mod target;
mod way;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::target::part;
use exit::{Exit, Failure};

/// Parses the command line, does what it says and says how that went.
pub fn main() -> ExitCode {
    let done = match Cli::try_parse() {
        Ok(cli) => cli.command.call(),
        Err(asked) => {
            // Help and version are answers (exit 0), a wrong command line is an error (exit 2); a broken pipe is
            // neither.
            let _ = asked.print();
            return if asked.use_stderr() { Exit::Usage.into() } else { Exit::Passed.into() };
        }
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            output::error(&failure);
            failure.exit().into()
        }
    }
}

/// Load-testing and soak harness for ScaiWave that accounts, exactly, for every event owed to every client.
#[derive(Debug, Parser)]
#[command(
    name = "wavesoak",
    version,
    max_term_width = 110,
    arg_required_else_help = true,
    propagate_version = false,
    after_help = FIRST_STEPS
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const FIRST_STEPS: &str = "\
First steps:
  wavesoak run smoke                  a first run, under 30 s, against a ScaiWave of its own
  wavesoak run ci --format json       for a script: summary.json on stdout, progress on stderr
  wavesoak profile reference          every key of a profile, with its default and its reason
  wavesoak probe URL                  the troubleshooting page's symptoms, looked for on a live path
  wavesoak size --help                how many pods, and how long balancers on the way must wait
  wavesoak selftest                   every defect planted, and whether it is counted exactly
  wavesoak run --help                 running against a deployment; what the exit codes say

Exit codes:
  0 objectives met · 1 internal error · 2 usage, profile or preflight error, no client started
  3 the target missed an objective · 4 inconclusive · 130 interrupted";

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::RunArgs>),
    Target(target::TargetArgs),
    Probe(Box<probe::ProbeArgs>),
    Selftest(selftest::SelftestArgs),
    Cleanup(Box<cleanup::CleanupArgs>),
    #[command(subcommand)]
    Size(size::SizeCommand),
    #[command(subcommand)]
    Profile(profile::ProfileCommand),
    /// One process of an embedded target; it is told on stdin which
    #[command(name = part::SUBCOMMAND, hide = true)]
    TargetPart,
}

impl Command {
    fn call(self) -> Result<ExitCode, Failure> {
        let exit = match self {
            Self::Run(args) => run::run(&args),
            Self::Target(args) => target::run(&args),
            Self::Probe(args) => probe::run(&args),
            Self::Selftest(args) => selftest::run(&args),
            Self::Size(command) => size::run(&command),
            Self::Cleanup(args) => cleanup::run(&args),
            Self::Profile(command) => profile::run(command),
            Self::TargetPart => return Ok(part::main()),
        };
        exit.map(ExitCode::from)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
