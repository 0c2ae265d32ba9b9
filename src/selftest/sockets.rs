//! Plays rows over sockets, a few at a time: each is a whole run with a target of its own.

#![expect(clippy::disallowed_methods, reason = "run directories are files, and runs block their threads")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use serde::Deserialize;

use super::{Evidence, Line, Row};
use crate::report::run::{HookOptions, ProgressView, RunError, RunObserver, RunOptions, RunOutcome};
use crate::worker::coordinator;

/// How rows are played.
#[derive(Clone, Debug)]
pub struct Play {
    /// The binary whose `target-part` the embedded targets are made of.
    pub exe: PathBuf,
    /// Run directories are made in it.
    pub out: PathBuf,
    /// Runs at a time.
    pub jobs: usize,
}

/// One row that has ended.
#[derive(Clone, Debug)]
pub struct Played {
    /// Its index among those asked for.
    pub index: usize,
    /// What became of it.
    pub line: Line,
    /// Its run directory, if it came to one.
    pub directory: Option<PathBuf>,
}

/// Plays these rows and hands each to `tell` as it ends, on the calling thread. A person who interrupts ends the runs that
/// go on and keeps the others from beginning; so does a run that this machine has no room for.
///
/// # Errors
///
/// [`RunError::Interrupted`], or the first [`RunError::Preflight`]: no row that was not played says anything about the build.
pub fn play(rows: &[&Row], how: &Play, mut tell: impl FnMut(Played)) -> Result<(), RunError> {
    let (next, ended) = (AtomicUsize::new(0), Mutex::new(None));
    let (sender, played) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..how.jobs.clamp(1, rows.len().max(1)) {
            let (sender, next, ended) = (sender.clone(), &next, &ended);
            scope.spawn(move || {
                while held(ended).is_none() {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(row) = rows.get(index) else { break };
                    match one(row, how) {
                        Ok((line, directory)) => {
                            let _ = sender.send(Played { index, line, directory });
                        }
                        Err(error) => drop(held(ended).get_or_insert(error)),
                    }
                }
            });
        }
        drop(sender);
        for played in played {
            tell(played);
        }
    });
    held(&ended).take().map_or(Ok(()), Err)
}

/// Why no further row is played. A thread that panicked has left nothing half done in it.
fn held(ended: &Mutex<Option<RunError>>) -> MutexGuard<'_, Option<RunError>> {
    ended.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The error ends them all.
fn one(row: &Row, how: &Play) -> Result<(Line, Option<PathBuf>), RunError> {
    let profile = match row.profile() {
        Ok(profile) => profile,
        Err(error) => return Ok((Line::broken(row, error.to_string()), None)),
    };
    let options = RunOptions {
        out: how.out.clone(),
        shared: false,
        hooks: HookOptions::default(),
        exe: how.exe.clone(),
        cleanup: false,
        profile_toml: profile.to_toml(),
    };
    match coordinator::run(Arc::new(profile), &options, &mut Unwatched) {
        Ok(outcome) if outcome.interrupted => Err(RunError::Interrupted),
        Err(error @ (RunError::Interrupted | RunError::Preflight(_))) => Err(error),
        Ok(outcome) => {
            let directory = outcome.directory.clone();
            Ok((judged(row, outcome), Some(directory)))
        }
        Err(error) => Ok((Line::broken(row, error.told()), None)),
    }
}

fn judged(row: &Row, outcome: RunOutcome) -> Line {
    let Some(truth) = outcome.truth else {
        return Line::broken(row, "the target did not tell what it did".to_owned());
    };
    let findings = match findings(&outcome.directory) {
        Ok(findings) => findings,
        Err(error) => return Line::broken(row, format!("read findings.jsonl: {error}")),
    };
    let evidence = Evidence { summary: outcome.summary, truth, findings };
    if !row.is_deterministic() {
        return Line::judged(row, &evidence, None);
    }
    match row.simulate() {
        Ok(simulated) => Line::judged(row, &evidence, Some(&simulated)),
        Err(error) => Line::broken(row, format!("in virtual time: {error}")),
    }
}

/// Lines by kind.
fn findings(directory: &Path) -> io::Result<BTreeMap<String, u64>> {
    /// All that is wanted of a line.
    #[derive(Deserialize)]
    struct Finding {
        kind: String,
    }
    let mut kinds = BTreeMap::new();
    for line in BufReader::new(File::open(directory.join("findings.jsonl"))?).lines() {
        let finding: Finding = serde_json::from_str(&line?)?;
        *kinds.entry(finding.kind).or_default() += 1;
    }
    Ok(kinds)
}

/// Nobody looks at one run among many.
struct Unwatched;

impl RunObserver for Unwatched {
    fn interval(&mut self, _view: &ProgressView) {}

    fn note(&mut self, _line: &str) {}
}
