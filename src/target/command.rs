//! What `wavesoak target` does: a target alone, with its planted faults, until it is interrupted.
#![expect(clippy::disallowed_methods, reason = "the key file needs a directory that nobody else can guess")]

use std::env;
use std::fs::{DirBuilder, File, OpenOptions, remove_dir_all};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::plan::Population;
use crate::profile::Profile;
use crate::secret::Secret;

use super::config::{Config, PlantedFault};
use super::credentials;
use super::process::{Embedded, ProcessError, SpawnOptions};

/// What the command line adds to the profile.
#[derive(Clone, Debug, Default)]
pub struct TargetOptions {
    /// Where to write, at the end, what the planted faults did.
    pub truth: Option<PathBuf>,
    /// Where to write the identities of the profile's population with their passwords.
    pub credentials: Option<PathBuf>,
    /// The port of the balancer, or without one that of the first pod; `None`: any.
    pub port: Option<u16>,
}

/// Fragments that complete "failed to …".
#[derive(Debug, Error)]
pub enum TargetError {
    /// The truth file cannot be written.
    #[error("write the truth to {}", path.display())]
    Truth {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The credentials file cannot be written.
    #[error("write the credentials to {}", path.display())]
    Credentials {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key file cannot be written.
    #[error("write the key file")]
    KeyFile(#[source] io::Error),
    /// The path of this program is not known, or signals cannot be waited for.
    #[error("set up the process")]
    Process(#[source] io::Error),
    /// The children.
    #[error(transparent)]
    Children(#[from] ProcessError),
    /// A child has ended by itself.
    #[error("keep the target up: its {0} ended")]
    Ended(&'static str),
    /// Stdout is gone.
    #[error("write to standard output")]
    Stdout(#[source] io::Error),
}

/// Stands up the target of this profile, prints its URLs and the path of its key file on stdout (lines of a word
/// and a value), plays the profile's target-side faults on a timeline that begins with the first hello, and
/// serves until SIGINT or SIGTERM.
///
/// # Errors
/// The truth file (opened first, so that a bad path fails before anything starts), the key file or a child.
pub async fn run(profile: &Profile, options: TargetOptions) -> Result<(), TargetError> {
    let truth_file = options.truth.map(TruthFile::create).transpose()?;
    let mut interrupts = Interrupts::new().map_err(TargetError::Process)?;
    let config = Config::from_profile(profile);
    let exe = env::current_exe().map_err(TargetError::Process)?;
    let mut target = Embedded::spawn(&exe, &config, SpawnOptions { log: None, port: options.port }).await?;
    let key_file = KeyFile::create(target.key()).map_err(TargetError::KeyFile)?;
    if let Some(path) = options.credentials {
        let written = credentials::write(&path, target.key(), &Population::new(&profile.population));
        written.map_err(|source| TargetError::Credentials { path, source })?;
    }
    announce(&target, key_file.path()).map_err(TargetError::Stdout)?;
    serve(&mut target, &config.faults, &mut interrupts).await?;
    if let Some(file) = truth_file {
        let truth = target.truth().await?;
        file.write(&serde_json::to_vec_pretty(&truth).map_err(|error| TargetError::Process(error.into()))?)?;
    }
    target.shutdown().await;
    Ok(())
}

/// Plays the faults until interrupted.
async fn serve(
    target: &mut Embedded,
    faults: &[PlantedFault],
    interrupts: &mut Interrupts,
) -> Result<(), TargetError> {
    tokio::select! {
        () = interrupts.next() => return Ok(()),
        () = target.first_hello() => {}
    }
    let first_hello = Instant::now();
    for Step { after, fault, begin } in timeline(faults) {
        tokio::select! {
            () = interrupts.next() => return Ok(()),
            part = target.ended() => return Err(TargetError::Ended(part)),
            () = sleep_until(first_hello + after) => {}
        }
        let (affected, verb, more) = if begin {
            (target.begin_fault(fault.index).await?, "begins", "")
        } else {
            (target.end_fault(fault.index).await?, "ends", "more ")
        };
        match affected {
            Some(affected) => eprintln!("fault {:?} {verb}: {affected} {more}hit", fault.name),
            None => eprintln!("fault {:?} {verb}, but no part of this target can plant it", fault.name),
        }
    }
    tokio::select! {
        () = interrupts.next() => Ok(()),
        part = target.ended() => Err(TargetError::Ended(part)),
    }
}

/// One thing to do on the timeline.
struct Step<'a> {
    after: std::time::Duration,
    fault: &'a PlantedFault,
    begin: bool,
}

/// Begins and ends in the order of their times; at equal times in the order of the profile.
fn timeline(faults: &[PlantedFault]) -> Vec<Step<'_>> {
    let begins = faults.iter().map(|fault| Step { after: fault.at, fault, begin: true });
    let ends = faults
        .iter()
        .filter_map(|fault| Some(Step { after: fault.at + fault.duration?, fault, begin: false }));
    let mut steps: Vec<Step<'_>> = begins.chain(ends).collect();
    steps.sort_by_key(|step| (step.after, step.fault.index, !step.begin));
    steps
}

fn announce(target: &Embedded, key_file: &Path) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for url in target.urls() {
        writeln!(stdout, "url {url}")?;
    }
    for url in target.metrics_urls() {
        writeln!(stdout, "metrics {url}")?;
    }
    writeln!(stdout, "key_file {}", key_file.display())?;
    stdout.flush()
}

/// SIGINT and SIGTERM alike.
struct Interrupts {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Interrupts {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Opened at the start, written at the end.
struct TruthFile {
    path: PathBuf,
    file: File,
}

impl TruthFile {
    fn create(path: PathBuf) -> Result<Self, TargetError> {
        match File::create(&path) {
            Ok(file) => Ok(Self { path, file }),
            Err(source) => Err(TargetError::Truth { path, source }),
        }
    }

    fn write(mut self, json: &[u8]) -> Result<(), TargetError> {
        let written = self.file.write_all(json).and_then(|()| self.file.write_all(b"\n"));
        written.map_err(|source| TargetError::Truth { path: self.path, source })
    }
}

/// The key in a file that only its owner reads, in a directory that only its owner enters; both go with this.
struct KeyFile(PathBuf);

impl KeyFile {
    fn create(key: &Secret) -> io::Result<Self> {
        let directory = env::temp_dir().join(format!("wavesoak-{}", Uuid::new_v4().simple()));
        DirBuilder::new().mode(0o700).create(&directory)?;
        let own = Self(directory.join("key"));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(own.path())?;
        file.write_all(key.expose().as_bytes())?;
        Ok(own)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        if let Some(directory) = self.0.parent() {
            // Somebody may have tidied up before us.
            let _ = remove_dir_all(directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::config::PlantedKind;
    use super::*;

    #[test]
    fn steps_come_in_the_order_of_their_times() {
        let fault = |index, at, duration: Option<u64>| PlantedFault {
            index,
            name: index.to_string(),
            at: Duration::from_secs(at),
            duration: duration.map(Duration::from_secs),
            kind: PlantedKind::RefusePublishes,
        };
        let faults = [fault(0, 5, Some(10)), fault(2, 1, None), fault(3, 5, Some(0))];
        let steps: Vec<(u64, u32, bool)> = timeline(&faults)
            .iter()
            .map(|step| (step.after.as_secs(), step.fault.index, step.begin))
            .collect();
        assert_eq!(steps, [(1, 2, true), (5, 0, true), (5, 3, true), (5, 3, false), (15, 0, false)]);
    }
}
