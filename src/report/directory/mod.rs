//! The run directory: opened before the first client, rewritten after each interval, so that neither a bad path
//! nor a crash at hour five costs the data.
#![expect(clippy::disallowed_methods, reason = "the run directory is made of files")]

mod histograms;
mod log;
mod tenants;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::{RunInfo, Summary, junit, markdown};
use crate::collector::collected::{Collected, Distribution, Finding, IntervalRow, Metric};
use crate::time::Timestamp;
use histograms::HistogramLog;
use log::RunLog;

/// The directory of one run and its open files.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    info: RunInfo,
    timeline: csv::Writer<File>,
    histograms: HistogramLog,
    findings: File,
    log: RunLog,
}

/// Fragments that complete "failed to …".
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// The directory, or a file in it, could not be made.
    #[error("create `{}` for the run's output", path.display())]
    Create {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be written: the disk is full, or somebody took the directory away.
    #[error("write `{}`", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Runs of one profile and seed that may begin in the same second.
const SAME_SECOND_MAX: u32 = 100;

impl RunDirectory {
    /// Makes `<out>/<profile>-<UTC start>-<seed>/` and opens every file that grows with the run. A second run of
    /// the same second gets `-2` behind it.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Create`] with the path that could not be made.
    pub fn create(out: &Path, info: &RunInfo, profile_toml: &str) -> Result<Self, DirectoryError> {
        fs::create_dir_all(out).map_err(|source| create(out, source))?;
        let path = own_directory(out, info)?;
        let open = |name: &str| {
            let path = path.join(name);
            File::create_new(&path).map_err(|source| create(&path, source))
        };
        let mut profile = open("profile.toml")?;
        profile
            .write_all(profile_toml.as_bytes())
            .map_err(|source| write(&path.join("profile.toml"), source))?;
        let histograms = HistogramLog::begin(open(HISTOGRAMS)?, info)
            .map_err(|source| write(&path.join(HISTOGRAMS), source))?;
        Ok(Self {
            timeline: csv::Writer::from_writer(open(TIMELINE)?),
            histograms,
            findings: open(FINDINGS)?,
            log: RunLog::new(open(LOG)?),
            info: info.clone(),
            path,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one interval: its row, and the latencies recorded in it.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Write`]
    pub fn interval(
        &mut self,
        row: &IntervalRow,
        length: Duration,
        latencies: &BTreeMap<Metric, Distribution>,
    ) -> Result<(), DirectoryError> {
        let written =
            self.timeline.serialize(row).map_err(io::Error::from).and_then(|()| self.timeline.flush());
        written.map_err(|source| self.unwritten(TIMELINE, source))?;
        let end = Duration::try_from_secs_f64(row.at_s).unwrap_or_default();
        let written = self.histograms.interval(end, length, latencies);
        written.map_err(|source| self.unwritten(HISTOGRAMS, source))
    }

    /// Appends findings; `at`, `connected_at` and `disconnected_at` are filled in from their nanoseconds. The
    /// caller caps them per kind.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Write`]
    pub fn findings(&mut self, findings: &[Finding]) -> Result<(), DirectoryError> {
        let mut lines = Vec::new();
        for finding in findings {
            let utc = |nanos| self.info.utc(Timestamp::from_nanos(nanos));
            let dated = Finding {
                at: utc(finding.at_ns),
                connected_at: finding.connected_ns.map(utc),
                disconnected_at: finding.disconnected_ns.map(utc),
                ..finding.clone()
            };
            let written = serde_json::to_writer(&mut lines, &dated);
            written.map_err(|source| self.unwritten(FINDINGS, source.into()))?;
            lines.push(b'\n');
        }
        self.findings.write_all(&lines).map_err(|source| self.unwritten(FINDINGS, source))
    }

    /// Rewrites `summary.json`, `summary.md`, `junit.xml` and `tenants.csv`, each as a whole: a crash leaves the
    /// file of the interval before, never half a file.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Write`]
    pub fn summary(&mut self, summary: &Summary, collected: &Collected) -> Result<(), DirectoryError> {
        let mut json =
            serde_json::to_vec_pretty(summary).map_err(|e| self.unwritten("summary.json", e.into()))?;
        json.push(b'\n');
        self.replace("summary.json", &json)?;
        self.replace("summary.md", markdown::render(summary).as_bytes())?;
        let xml = junit::render(summary).map_err(|e| self.unwritten("junit.xml", io::Error::other(e)))?;
        self.replace("junit.xml", xml.as_bytes())?;
        let csv = tenants::render(&collected.tenants).map_err(|e| self.unwritten("tenants.csv", e.into()))?;
        self.replace("tenants.csv", &csv)
    }

    /// Adds a line to `run.log`, or counts it when there were many of its kind in this second. What cannot be
    /// written is not missed: the log is for reading along, and no number depends on it.
    pub fn log(&mut self, kind: &'static str, line: &str) {
        self.log.line(jiff::Timestamp::now(), kind, line);
    }

    fn replace(&self, name: &str, content: &[u8]) -> Result<(), DirectoryError> {
        let temporary = self.path.join(format!(".{name}.new"));
        let written =
            fs::write(&temporary, content).and_then(|()| fs::rename(&temporary, self.path.join(name)));
        written.map_err(|source| self.unwritten(name, source))
    }

    fn unwritten(&self, name: &str, source: io::Error) -> DirectoryError {
        write(&self.path.join(name), source)
    }
}

const TIMELINE: &str = "timeline.csv";
const HISTOGRAMS: &str = "latency.hlog";
const FINDINGS: &str = "findings.jsonl";
const LOG: &str = "run.log";

/// Makes the directory that no other run has.
fn own_directory(out: &Path, info: &RunInfo) -> Result<PathBuf, DirectoryError> {
    let safe = |character: char| {
        if character.is_ascii_alphanumeric() || "._-".contains(character) { character } else { '-' }
    };
    let profile: String = info.profile.chars().map(safe).collect();
    let name = format!("{profile}-{}-{}", info.started_at.strftime("%Y%m%dT%H%M%SZ"), info.seed);
    let mut path = out.join(&name);
    for count in 2.. {
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && count <= SAME_SECOND_MAX => {
                path = out.join(format!("{name}-{count}"));
            }
            Err(source) => return Err(create(&path, source)),
            Ok(()) => break,
        }
    }
    Ok(path)
}

fn create(path: &Path, source: io::Error) -> DirectoryError {
    DirectoryError::Create { path: path.to_owned(), source }
}

fn write(path: &Path, source: io::Error) -> DirectoryError {
    DirectoryError::Write { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::verdict::judge;

    fn read(directory: &RunDirectory, name: &str) -> String {
        fs::read_to_string(directory.path().join(name)).expect("the file is there")
    }

    fn written(out: &Path) -> RunDirectory {
        let (profile, collected, info) = (sample::profile(), sample::collected(), sample::info());
        let mut directory = RunDirectory::create(out, &info, "name = \"sample\"\n").expect("made");
        for second in 1..=3 {
            let row = sample::row(f64::from(second));
            directory.interval(&row, Duration::from_secs(1), &collected.latency).expect("written");
        }
        let finding = Finding {
            at_ns: 1_500_000_000,
            connected_ns: Some(0),
            kind: "missed",
            n: Some(3),
            ..Finding::default()
        };
        directory.findings(&[finding.clone(), finding]).expect("written");
        directory.log("start", "it begins");
        let summary = Summary::new(&profile, &collected, &judge(&profile, &collected), &info);
        directory.summary(&summary, &collected).expect("written");
        directory
    }

    #[test]
    fn a_run_directory_has_every_file_of_the_contract_and_no_other() {
        let out = tempfile::tempdir().expect("a place");
        let directory = written(out.path());
        let mut names: Vec<String> = fs::read_dir(directory.path())
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        let expected = [
            "findings.jsonl",
            "junit.xml",
            "latency.hlog",
            "profile.toml",
            "run.log",
            "summary.json",
            "summary.md",
            "tenants.csv",
            "timeline.csv",
        ];
        assert_eq!(names, expected);
        assert!(directory.path().ends_with("sample-20260517T131003Z-7"), "{}", directory.path().display());
    }

    #[test]
    fn a_timeline_has_one_row_per_interval_with_empty_fields_for_the_unknown() {
        let out = tempfile::tempdir().expect("a place");
        let text = read(&written(out.path()), TIMELINE);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("at_s,phase,faults,clients_wanted,"), "{}", lines[0]);
        assert!(lines[1].starts_with("1.0,hold,,100,100,"), "{}", lines[1]);
        assert!(lines[1].ends_with(",,"), "{}", lines[1]);
    }

    #[test]
    fn findings_have_the_keys_of_the_contract_and_the_time_of_day() {
        let out = tempfile::tempdir().expect("a place");
        let text = read(&written(out.path()), FINDINGS);
        let expected = "{\"at\":\"2026-05-17T13:10:04.750Z\",\"kind\":\"missed\",\"client\":null,\"username\":null,\
            \"participant_id\":null,\"tenant_id\":null,\"room_id\":null,\"n\":3,\"event_id\":null,\
            \"position\":null,\"session_id\":null,\"server_name\":null,\
            \"connected_at\":\"2026-05-17T13:10:03.250Z\",\
            \"disconnected_at\":null,\"place\":null,\"store\":null}";
        assert_eq!(text.lines().collect::<Vec<_>>(), [expected, expected]);
    }

    #[test]
    fn two_runs_of_one_second_do_not_share_a_directory() {
        let out = tempfile::tempdir().expect("a place");
        let (first, second) = (written(out.path()), written(out.path()));
        assert!(second.path().ends_with("sample-20260517T131003Z-7-2"));
        assert_ne!(first.path(), second.path());
    }

    #[test]
    fn an_unwritable_place_is_named() {
        let out = tempfile::tempdir().expect("a place");
        let file = out.path().join("file");
        fs::write(&file, "").expect("written");
        let error =
            RunDirectory::create(&file.join("reports"), &sample::info(), "").expect_err("not a directory");
        assert!(error.to_string().contains("file/reports"), "{error}");
    }
}
