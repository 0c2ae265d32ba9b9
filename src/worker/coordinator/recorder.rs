//! The run directory on a thread of its own: no file may keep the fleet waiting.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::collector::collected::{Collected, Distribution, Finding, IntervalRow, Metric};
use crate::profile::Profile;
use crate::report::directory::{DirectoryError, RunDirectory};
use crate::report::{RunInfo, Summary};
use crate::verdict::judge;

/// Jobs that wait in the channel; further ones wait with the recorder.
const CHANNEL: usize = 64;
/// Jobs that wait with the recorder; what a disk that hangs for longer would hold up further is lost, and counted.
const BACKLOG: usize = 1024;

/// One thing to write.
pub(super) enum Job {
    /// An interval is over.
    Interval(Box<Interval>),
    /// A line for `run.log`.
    Log(&'static str, String),
}

/// What an interval leaves behind.
pub(super) struct Interval {
    pub(super) row: IntervalRow,
    pub(super) length: Duration,
    pub(super) latencies: BTreeMap<Metric, Distribution>,
    pub(super) findings: Vec<Finding>,
    pub(super) so_far: Snapshot,
}

/// The run so far.
pub(super) struct Snapshot {
    pub(super) collected: Collected,
    pub(super) duration: Duration,
}

/// Hands jobs to the thread and never waits for it.
pub(super) struct Recorder {
    sender: SyncSender<Job>,
    thread: JoinHandle<Writer>,
    backlog: VecDeque<Job>,
    lost: u64,
}

impl Recorder {
    /// Begins to write into a directory that has been opened.
    pub(super) fn begin(
        directory: RunDirectory,
        profile: Arc<Profile>,
        info: RunInfo,
    ) -> std::io::Result<Self> {
        let (sender, jobs) = sync_channel(CHANNEL);
        let writer = Writer { directory, profile, info, first_error: None };
        let thread =
            std::thread::Builder::new().name("recorder".to_owned()).spawn(|| writer.write_all(jobs))?;
        Ok(Self { sender, thread, backlog: VecDeque::new(), lost: 0 })
    }

    /// Has this written, when its turn comes.
    pub(super) fn record(&mut self, job: Job) {
        self.backlog.push_back(job);
        while let Some(job) = self.backlog.pop_front() {
            match self.sender.try_send(job) {
                Ok(()) => {}
                Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => {
                    self.backlog.push_front(job);
                    break;
                }
            }
        }
        if self.backlog.len() > BACKLOG {
            self.backlog.pop_front();
            self.lost += 1;
        }
    }

    /// Adds a line to `run.log`.
    pub(super) fn log(&mut self, kind: &'static str, line: impl Into<String>) {
        self.record(Job::Log(kind, line.into()));
    }

    /// Writes all that is left, and the last summary. It waits for the disk: nothing else is left to do.
    ///
    /// # Errors
    ///
    /// The first file that could not be written, now or during the run.
    pub(super) fn finish(
        self,
        findings: Vec<Finding>,
        last: &Snapshot,
    ) -> Result<(Summary, PathBuf), DirectoryError> {
        let Self { sender, thread, backlog, lost } = self;
        for job in backlog {
            if sender.send(job).is_err() {
                break;
            }
        }
        drop(sender);
        let mut writer = match thread.join() {
            Ok(writer) => writer,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        if lost > 0 {
            writer
                .directory
                .log("recorder", &format!("{lost} intervals or lines were lost: the disk was too slow"));
        }
        writer.keep(|directory| directory.findings(&findings));
        writer.info.finished = true;
        let summary = writer.rewrite(last);
        match writer.first_error {
            Some(error) => Err(error),
            None => Ok((summary, writer.directory.path().to_owned())),
        }
    }
}

struct Writer {
    directory: RunDirectory,
    profile: Arc<Profile>,
    info: RunInfo,
    first_error: Option<DirectoryError>,
}

impl Writer {
    fn write_all(mut self, jobs: Receiver<Job>) -> Self {
        for job in jobs {
            match job {
                Job::Log(kind, line) => self.directory.log(kind, &line),
                Job::Interval(interval) => {
                    let Interval { row, length, latencies, findings, so_far } = *interval;
                    self.keep(|directory| directory.interval(&row, length, &latencies));
                    self.keep(|directory| directory.findings(&findings));
                    self.rewrite(&so_far);
                }
            }
        }
        self
    }

    fn rewrite(&mut self, so_far: &Snapshot) -> Summary {
        self.info.duration = so_far.duration;
        let verdict = judge(&self.profile, &so_far.collected);
        let summary = Summary::new(&self.profile, &so_far.collected, &verdict, &self.info);
        self.keep(|directory| directory.summary(&summary, &so_far.collected));
        summary
    }

    /// A file that cannot be written is no reason to end a run; the first one is told at its end.
    fn keep(&mut self, write: impl FnOnce(&mut RunDirectory) -> Result<(), DirectoryError>) {
        if let Err(error) = write(&mut self.directory) {
            self.directory.log("output", &error.to_string());
            self.first_error.get_or_insert(error);
        }
    }
}
