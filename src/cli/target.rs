//! `wavesoak target`

use std::path::PathBuf;

use clap::Args;
use thiserror::Error;

use super::exit::{Exit, Failure};
use super::output;
use crate::profile::{Override, OverrideError, Profile, Source, load};
use crate::target::command::{self, TargetError, TargetOptions};

/// Stand up the reference target alone.
///
/// Starts the pods and the balancer of PROFILE's [target.embedded] as processes on loopback, prints on stdout their
/// URLs and the path of the file that holds their signing key (a line each: url, metrics, key_file), and serves until
/// interrupted. The profile's target-side faults are planted on its own times, counted from the first hello.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct TargetArgs {
    /// Built-in profile, or path of a profile file
    #[arg(default_value = "steady")]
    profile: String,
    /// Change one key of the profile: --set target.embedded.pods=2 (may be repeated)
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    set: Vec<String>,
    /// Port of the balancer, or without one of the first pod; any free one, if left out
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// File for what the planted faults really did, written at the end
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
}

const EXAMPLE: &str = "\
Example, in two terminals:
  wavesoak target smoke --port 8080
  wavesoak run smoke --target http://127.0.0.1:8080 --set auth.key_file=PATH   (the path it printed)";

/// Completes "failed to …".
#[derive(Debug, Error)]
enum OwnError {
    #[error("read `{0}`")]
    Set(String, #[source] OverrideError),
    #[error("start the asynchronous runtime")]
    Runtime(#[source] std::io::Error),
}

/// Serves until interrupted, which is the good end.
pub(super) fn run(args: TargetArgs) -> Result<Exit, Failure> {
    let profile = read(&args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal(OwnError::Runtime(error)))?;
    let options = TargetOptions { truth: args.truth, port: args.port };
    match runtime.block_on(command::run(&profile, options)) {
        Ok(()) => Ok(Exit::Passed),
        // A path or a port that the person chose, and nothing has started.
        Err(error @ (TargetError::Truth { .. } | TargetError::Children(_))) => Err(Failure::usage(error)),
        Err(error) => Err(Failure::internal(error)),
    }
}

fn read(args: &TargetArgs) -> Result<Profile, Failure> {
    let overrides: Result<Vec<Override>, OwnError> = args
        .set
        .iter()
        .map(|set| Override::parse(set).map_err(|error| OwnError::Set(set.clone(), error)))
        .collect();
    let source = Source::find(&args.profile).map_err(Failure::usage)?;
    let loaded = load(&source, &overrides.map_err(Failure::usage)?).map_err(Failure::usage)?;
    for warning in &loaded.warnings {
        output::warning(warning);
    }
    Ok(loaded.profile)
}
