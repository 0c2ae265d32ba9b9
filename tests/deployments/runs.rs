//! A whole run against a URL, as `wavesoak run --target` makes it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use wavesoak::profile::{self, Override};
use wavesoak::report::Summary;
use wavesoak::report::run::{HookOptions, ProgressView, RunError, RunObserver, RunOptions, RunOutcome};
use wavesoak::worker::coordinator;

use crate::pods::{EXE, Pods};

/// 20 clients for eight seconds.
pub(crate) const SMALL: &str = r#"
name = "small"
seed = 3
[auth]
login_rate = "500/s"
[population]
tenants = 2
clients = 20
members_per_room = 5
rooms_per_client = 2
[[phase]]
name = "ramp"
duration = "1s"
clients = "100%"
[[phase]]
name = "hold"
duration = "6s"
[traffic]
rate = "40/s"
[client]
watchdog = "3s"
bridge = "stream-first"
"#;

/// A run that came to its end.
pub(crate) struct Run {
    pub(crate) summary: Summary,
    findings: String,
}

impl Run {
    /// Of this profile against this URL; `meanwhile` is called once for each second of it.
    pub(crate) fn of(text: &str, url: &str, pods: &Pods, set: &[String], meanwhile: impl FnMut(u64)) -> Self {
        match play(text, url, pods, set, meanwhile) {
            Ok((outcome, findings)) => Self { summary: outcome.summary, findings },
            Err(error) => panic!("{}", error.told()),
        }
    }

    /// Findings whose kind begins so.
    pub(crate) fn findings_of(&self, kind: &str) -> u64 {
        let begins = format!("\"kind\":\"{kind}");
        self.findings.lines().filter(|line| line.contains(&begins)).count() as u64
    }

    /// Why there is none.
    pub(crate) fn refusal(text: &str, url: &str, pods: &Pods, set: &[String]) -> String {
        match play(text, url, pods, set, |_| ()) {
            Err(error @ RunError::Preflight(_)) => error.told(),
            Err(error) => panic!("not a refusal: {}", error.told()),
            Ok(_) => panic!("it ran"),
        }
    }
}

fn play(
    text: &str,
    url: &str,
    pods: &Pods,
    set: &[String],
    meanwhile: impl FnMut(u64),
) -> Result<(RunOutcome, String), RunError> {
    let place = tempfile::tempdir().expect("a place");
    let key = key_file(&place, pods);
    let metrics: Vec<String> = pods.metrics.iter().map(|url| format!("{url:?}")).collect();
    let mut changes = vec![
        format!("target.url={url}"),
        format!("target.metrics=[{}]", metrics.join(",")),
        format!("auth.key_file={}", key.display()),
    ];
    changes.extend_from_slice(set);
    let changes: Vec<Override> =
        changes.iter().map(|change| Override::parse(change).expect("a change")).collect();
    let profile =
        profile::parse(text, "test.toml", &changes).unwrap_or_else(|error| panic!("{error}")).profile;
    let options = RunOptions {
        out: place.path().to_owned(),
        shared: false,
        hooks: HookOptions::default(),
        exe: PathBuf::from(EXE),
        cleanup: false,
        profile_toml: profile.to_toml(),
    };
    let outcome = coordinator::run(Arc::new(profile), &options, &mut Watch { told: 0, meanwhile })?;
    let findings = fs::read_to_string(outcome.directory.join("findings.jsonl")).expect("findings");
    Ok((outcome, findings))
}

fn key_file(place: &TempDir, pods: &Pods) -> PathBuf {
    let path = place.path().join("key");
    fs::write(&path, &pods.key).expect("written");
    path
}

struct Watch<F> {
    told: u64,
    meanwhile: F,
}

impl<F: FnMut(u64)> RunObserver for Watch<F> {
    fn interval(&mut self, view: &ProgressView) {
        while self.told < view.at.as_secs() {
            self.told += 1;
            (self.meanwhile)(self.told);
        }
    }

    fn note(&mut self, _line: &str) {}
}
