//! What a run is asked for, what it tells on its way, and what it hands back: the words between `cli` and the
//! coordinator.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::Summary;
use crate::collector::collected::IntervalRow;
use crate::target::Truth;

/// What the command line adds to a profile. Everything else, the target's URL included, is in the profile itself.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The run directory is made in it.
    pub out: PathBuf,
    /// Other people's connections on the target are no reason to refuse the run.
    pub shared: bool,
    /// The binary whose `target-part` the embedded target is made of.
    pub exe: PathBuf,
    /// Whether commands may be run, and where is written down what takes them back.
    pub hooks: HookOptions,
    /// What was made on a deployment is put away at the end.
    pub cleanup: bool,
    /// The resolved profile as TOML, secrets removed: `profile.toml` of the run directory.
    pub profile_toml: String,
}

/// What holds for faults of kind `exec`.
#[derive(Clone, Debug, Default)]
pub struct HookOptions {
    /// `--allow-exec`
    pub allowed: bool,
    /// The directory of the journals of what must be taken back, made when it is needed; `None`: there is none, so that
    /// nothing with an undo can be run.
    pub journals: Option<PathBuf>,
}

/// A run that came to a report, be it a partial one.
#[derive(Clone, Debug)]
pub struct RunOutcome {
    /// What was written to `summary.json`.
    pub summary: Summary,
    /// The run directory.
    pub directory: PathBuf,
    /// A person cut it short: exit 130, whatever the verdict.
    pub interrupted: bool,
    /// What the faults of the embedded target did, as of the end of the drain; of a deployment there is none.
    pub truth: Option<Truth>,
}

/// A run that came to no report. The sources are fragments that complete "failed to …".
#[derive(Debug, Error)]
pub enum RunError {
    /// Nothing was started: exit 2.
    #[error("failed to start the run")]
    Preflight(#[source] Box<dyn Error + Send + Sync>),
    /// The harness itself broke: exit 1.
    #[error("failed inside the harness")]
    Internal(#[source] Box<dyn Error + Send + Sync>),
    /// A person ended it before there was anything to report, or asked twice: exit 130.
    #[error("interrupted")]
    Interrupted,
}

impl RunError {
    /// Before the first client.
    pub fn preflight(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Preflight(source.into())
    }

    /// The error with its causes, on one line.
    pub fn told(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }

    /// After it.
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }
}

/// Who watches a run. The coordinator calls it; nothing that it does changes the run.
pub trait RunObserver {
    /// Once per interval of the timeline.
    fn interval(&mut self, view: &ProgressView);

    /// One line for people: where the target listens, which faults are not planted, that a signal came.
    fn note(&mut self, line: &str);
}

/// A run at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProgressView {
    /// Time since the run began.
    pub at: Duration,
    /// The phase, or what comes before and after the phases ("provisioning", "drain", "audit").
    pub phase: String,
    /// To the end of the run as planned; `None`: not known.
    pub time_left: Option<Duration>,
    /// Clients live now.
    pub live: u64,
    /// Clients that the plan wants live now.
    pub wanted: u64,
    /// Publishes acknowledged a second, over the last interval.
    pub publishes_per_s: f64,
    /// Events that reached a client for the first time, a second, over the last interval.
    pub events_per_s: f64,
    /// Owed events that have not come yet.
    pub open_gaps: u64,
    /// Missed so far.
    pub missed: u64,
    /// Disconnects over the last interval.
    pub disconnects: u64,
    /// Faults in force, separated by spaces.
    pub faults: String,
}

impl ProgressView {
    /// From a row of the timeline that covers `interval`; `missed` is a running total and not in the row.
    pub fn from_row(row: &IntervalRow, interval: Duration, time_left: Option<Duration>, missed: u64) -> Self {
        let per_s = |count: u64| {
            if interval.is_zero() { 0.0 } else { count as f64 / interval.as_secs_f64() }
        };
        Self {
            at: Duration::try_from_secs_f64(row.at_s).unwrap_or_default(),
            phase: row.phase.clone(),
            time_left,
            live: row.clients_live,
            wanted: row.clients_wanted,
            publishes_per_s: per_s(row.publishes_acknowledged),
            events_per_s: per_s(row.arrivals_live + row.arrivals_bridged),
            open_gaps: row.open_gaps,
            missed,
            disconnects: row.disconnects,
            faults: row.faults.clone(),
        }
    }
}
