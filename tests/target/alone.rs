//! `wavesoak target`: the target alone, as a person starts it.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use wavesoak::secret::Secret;

use crate::client::{Ended, Identity, Stream, listens};
use crate::exe;

#[tokio::test]
async fn it_plays_its_faults_from_the_first_hello_and_writes_their_truth() {
    let directory = tempfile::tempdir().expect("a directory");
    let truth = directory.path().join("truth.json");
    let mut target = Alone::start(&directory, &["--truth", truth.to_str().expect("a path")]);
    let key_mode = std::fs::metadata(&target.key_file).expect("the key file").permissions().mode();
    assert_eq!(key_mode & 0o777, 0o600);
    let key = Secret::new(std::fs::read_to_string(&target.key_file).expect("the key"));
    let stream = Stream::open(&target.url, &Identity::by_key(&key, "ws-000000")).await;
    assert_eq!(stream.ended().await, Ended::Reset, "its only pod dies soon after the hello");
    target.signal(Signal::TERM);
    assert!(target.child.wait().expect("its end").success());
    let truth: Value =
        serde_json::from_str(&std::fs::read_to_string(truth).expect("the truth")).expect("JSON");
    assert_eq!(truth["faults"][0]["deeds"]["connection_reset"], 1);
    assert!(!target.key_file.parent().expect("its directory").exists());
}

#[tokio::test]
async fn when_it_is_killed_its_parts_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut target = Alone::start(&directory, &[]);
    assert!(listens(&target.url).await && listens(&target.metrics).await);
    target.signal(Signal::KILL);
    target.child.wait().expect("its end");
    for url in [&target.url, &target.metrics] {
        while listens(url).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    // Nobody was left to do it.
    std::fs::remove_dir_all(target.key_file.parent().expect("its directory")).expect("the key's directory");
}

#[test]
fn a_truth_file_that_cannot_be_written_fails_before_anything_starts() {
    let output = Command::new(exe()).args(["target", "--truth", "/nonexistent/truth.json"]).output();
    let output = output.expect("the binary");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("failed to write the truth to /nonexistent/truth.json"), "{stderr}");
}

/// A running `wavesoak target`.
struct Alone {
    child: Child,
    url: String,
    metrics: String,
    key_file: PathBuf,
}

impl Alone {
    fn start(directory: &TempDir, more: &[&str]) -> Self {
        let profile = directory.path().join("alone.toml");
        std::fs::write(&profile, PROFILE).expect("the profile");
        let mut child = Command::new(exe())
            .arg("target")
            .arg(profile)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut value = |word: &str| {
            let line = lines.next().expect("a line").expect("text");
            line.strip_prefix(word).expect("the word before it").trim().to_owned()
        };
        let (url, metrics) = (value("url"), value("metrics"));
        let key_file = Path::new(&value("key_file")).to_owned();
        Self { child, url, metrics, key_file }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a pid");
        kill_process(pid, signal).expect("it runs");
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        // Only of a test that failed half-way; else it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const PROFILE: &str = r#"
name = "alone"
[target.embedded]
pods = 1
[population]
tenants = 1
clients = 10
[[phase]]
name = "hold"
duration = "10s"
clients = "100%"
[traffic]
rate = "1/s"
[[fault]]
kind = "pod-kill"
at = "100ms"
"#;
