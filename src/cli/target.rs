//! `wavesoak target`.

use std::path::PathBuf;

use clap::Args;
use thiserror::Error;

use super::changes::Changes;
use super::exit::{Exit, Failure};
use crate::target::command::{self, TargetError, TargetOptions};

/// Stand up the reference target alone.
///
/// Starts pods and balancer of the profile's [target.embedded] as processes of their own on loopback, prints their
/// URLs and the path of the key file that tokens are signed with (readable by its owner only), plays the profile's
/// target-side faults from the first hello on, and serves until interrupted.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TargetArgs {
    /// Built-in profile, or path of a profile file
    #[arg(default_value = "smoke")]
    profile: String,
    /// Change one key of the profile: --set target.embedded.pods=5 (may be repeated)
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    set: Vec<String>,
    /// Write what the planted faults did into this file, at the end
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Write the identities of the profile's population with their passwords into this file (mode 0600), for a run with
    /// auth.mode=password; needs target.embedded.password_grant=true
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
    /// Listen on this port of loopback: the balancer, or without one the first pod (default: any)
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
}

const EXAMPLES: &str = "\
Example, in two terminals:
  $ wavesoak target smoke --truth truth.json
  url http://127.0.0.1:41234
  metrics http://127.0.0.1:41235/metrics
  key_file /tmp/wavesoak-…/key

  $ wavesoak run smoke --target http://127.0.0.1:41234 --set auth.key_file=/tmp/wavesoak-…/key

Exit codes: 0 interrupted, which is how it ends · 1 internal error · 2 it could not be started";

/// Completes "failed to …".
#[derive(Debug, Error)]
#[error("set up a runtime for the target")]
struct RuntimeError(#[source] std::io::Error);

/// Completes "failed to …".
#[derive(Debug, Error)]
#[error(
    "write credentials that nobody could use: target.embedded.password_grant is false; say \
     --set target.embedded.password_grant=true"
)]
struct NoGrant;

/// Serves until interrupted.
pub(super) fn run(args: &TargetArgs) -> Result<Exit, Failure> {
    let profile = Changes::of_sets(&args.set).load(&args.profile)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal(RuntimeError(error)))?;
    if args.credentials.is_some() && !profile.target.embedded.password_grant {
        return Err(Failure::usage(NoGrant));
    }
    let options =
        TargetOptions { truth: args.truth.clone(), credentials: args.credentials.clone(), port: args.port };
    match runtime.block_on(command::run(&profile, options)) {
        Ok(()) => Ok(Exit::Passed),
        Err(error @ TargetError::Ended(_)) => Err(Failure::internal(error)),
        Err(error) => Err(Failure::usage(error)),
    }
}
