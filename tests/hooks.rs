//! Commands of a profile, as a person has them run: allowed or not, taken back at their end, after a signal, and by the next
//! run after a kill.
//!
//! What was run is told by files that the commands themselves write; nothing depends on how fast they do.

#![expect(clippy::disallowed_methods, reason = "the commands of these tests write files")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Four clients, for so many seconds.
fn profile(hold_s: u32, faults: &str) -> String {
    format!(
        r#"
name = "hooks"
[target.embedded]
pods = 1
[auth]
login_rate = "500/s"
[population]
tenants = 1
clients = 4
members_per_room = 4
rooms_per_client = 1
[[phase]]
duration = "1s"
clients = "100%"
[[phase]]
duration = "{hold_s}s"
[traffic]
rate = "10/s"
[client]
lateness_bound = "200ms"
{faults}"#
    )
}

/// A place for profiles, reports, the user's state, and what commands write.
struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a place"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A fault that writes "did", and takes it back by writing "undid".
    fn fault(&self, more: &str) -> String {
        let word = |word: &str| {
            format!("[\"/bin/sh\", \"-c\", \"echo {word} $WAVESOAK_FAULT >> {}\"]", self.told().display())
        };
        let (command, undo) = (word("did"), word("undid"));
        format!(
            "[[fault]]\nname = \"scale\"\nkind = \"exec\"\nat = \"1500ms\"\ncommand = {command}\nundo = {undo}\n{more}"
        )
    }

    fn told(&self) -> PathBuf {
        self.path("told")
    }

    fn lines(&self) -> Vec<String> {
        fs::read_to_string(self.told()).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn command(&self, text: &str, args: &[&str]) -> Command {
        let profile = self.path("hooks.toml");
        fs::write(&profile, text).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_wavesoak"));
        command
            .arg("run")
            .arg(&profile)
            .args(["--format", "json", "--out"])
            .arg(self.path("runs"))
            .args(args);
        command.env("XDG_STATE_HOME", self.path("state")).stdin(Stdio::null());
        command
    }

    fn run(&self, text: &str, args: &[&str]) -> Output {
        self.command(text, args).output().expect("it runs")
    }

    fn start(&self, text: &str) -> Child {
        let mut command = self.command(text, &["--allow-exec"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
    }

    fn journals(&self) -> Vec<PathBuf> {
        let place = self.path("state/wavesoak/hooks");
        let files = fs::read_dir(place).into_iter().flatten();
        files.map(|file| file.expect("readable").path()).collect()
    }

    fn wait_for(&self, line: &str) {
        let begun = Instant::now();
        while !self.lines().iter().any(|told| told == line) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{line}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn summary(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

fn run_log(scene: &Scene) -> String {
    let mut runs = fs::read_dir(scene.path("runs")).expect("runs");
    let run = runs.next().expect("one").expect("readable").path();
    fs::read_to_string(Path::new(&run).join("run.log")).expect("a log")
}

#[test]
fn a_command_runs_at_its_time_and_is_taken_back_at_its_end() {
    let scene = Scene::new();
    let output = scene.run(&profile(3, &scene.fault("duration = \"1s\"\n")), &["--allow-exec"]);
    assert_eq!(scene.lines(), ["did scale", "undid scale"], "{}", said(&output));
    let summary = summary(&output);
    let hooks = summary["hooks"].as_array().expect("a list");
    let told: Vec<(bool, &str)> = hooks
        .iter()
        .map(|hook| (hook["undo"].as_bool().expect("said"), hook["end"].as_str().expect("said")))
        .collect();
    assert_eq!(told, [(false, "done"), (true, "done")]);
    assert_eq!(
        (&summary["faults"][0]["affected"], &summary["faults"][0]["kind"]),
        (&1.into(), &"exec".into())
    );
    assert!(run_log(&scene).contains("hook scale: /bin/sh -c"), "{}", run_log(&scene));
    assert!(scene.journals().is_empty(), "nothing is left to do");
}

#[test]
fn without_permission_nothing_is_run_and_a_dry_run_lists_it() {
    let scene = Scene::new();
    let text = profile(1, &scene.fault(""));
    let refused = scene.run(&text, &[]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("--allow-exec"), "{}", said(&refused));
    let dry = scene.run(&text, &["--dry-run"]);
    assert_eq!(dry.status.code(), Some(0), "{}", said(&dry));
    let cost: Value = serde_json::from_slice(&dry.stdout).expect("JSON");
    assert_eq!((&cost["cost"]["commands"], &cost["commands"][0]["fault"]), (&2.into(), &"scale".into()));
    assert!(scene.lines().is_empty() && scene.journals().is_empty());
}

#[test]
fn a_run_that_is_killed_in_mid_fault_is_taken_back_by_the_next_one() {
    let scene = Scene::new();
    let mut killed = scene.start(&profile(600, &scene.fault("duration = \"500s\"\n")));
    scene.wait_for("did scale");
    killed.kill().expect("it runs");
    killed.wait().expect("it ends");
    assert_eq!(scene.lines(), ["did scale"]);
    let journals = scene.journals();
    assert_eq!(journals.len(), 1);
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&journals[0]), mode(&scene.path("state/wavesoak/hooks"))), (0o600, 0o700));

    // Whoever goes to a deployment must say what is to be done about it; nothing is asked of the deployment before.
    let elsewhere = scene.run(&profile(1, ""), &["--target", "http://127.0.0.1:9"]);
    assert_eq!(elsewhere.status.code(), Some(2));
    assert!(said(&elsewhere).contains("left \"scale\""), "{}", said(&elsewhere));
    // Whoever stays at home is told, and not stopped.
    let at_home = scene.run(&profile(1, ""), &[]);
    assert_ne!(at_home.status.code(), Some(2), "{}", said(&at_home));
    assert!(said(&at_home).contains("left \"scale\""), "{}", said(&at_home));
    assert_eq!(scene.lines(), ["did scale"]);

    let next = scene.run(&profile(1, ""), &["--allow-exec"]);
    assert_eq!(scene.lines(), ["did scale", "undid scale"], "{}", said(&next));
    assert!(scene.journals().is_empty());
    let after = scene.run(&profile(1, ""), &["--allow-exec"]);
    assert_eq!(scene.lines().len(), 2, "once is enough: {}", said(&after));
}

#[test]
fn a_run_that_is_told_to_end_takes_back_what_it_has_begun() {
    let scene = Scene::new();
    let mut child = scene.start(&profile(600, &scene.fault("")));
    scene.wait_for("did scale");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert_eq!(scene.lines(), ["did scale", "undid scale"]);
    assert!(scene.journals().is_empty());
}

#[test]
fn a_command_that_fails_or_hangs_leaves_the_run_inconclusive() {
    let scene = Scene::new();
    let faults = "[[fault]]\nname = \"bad\"\nkind = \"exec\"\nat = \"1200ms\"\ncommand = [\"echo said this; exit 7\"]\nundo = []\n\
                  shell = true\n\
                  [[fault]]\nname = \"slow\"\nkind = \"exec\"\nat = \"1200ms\"\ncommand = [\"sleep\", \"600\"]\nundo = []\n\
                  timeout = \"300ms\"\n\
                  [[fault]]\nname = \"none\"\nkind = \"exec\"\nat = \"1200ms\"\ncommand = [\"/no/such/program\"]\nundo = []\n";
    let output = scene.run(&profile(2, faults), &["--allow-exec"]);
    let summary = summary(&output);
    let mut ends: Vec<(&str, &str, Option<i64>)> = summary["hooks"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|hook| {
            let text = |key: &str| hook[key].as_str().expect("text");
            (text("fault"), text("end"), hook["exit"].as_i64())
        })
        .collect();
    ends.sort_unstable();
    assert_eq!(
        ends,
        [("bad", "failed", Some(7)), ("none", "not_started", None), ("slow", "timed_out", None)]
    );
    let objectives = summary["objectives"].as_array().expect("a list");
    let hooks = objectives.iter().find(|objective| objective["name"] == "hooks").expect("it is judged");
    assert_eq!(hooks["outcome"], "inconclusive");
    let log = run_log(&scene);
    assert!(log.contains("bad: | said this") && log.contains("slow: sleep 600 was killed"), "{log}");
    assert!(scene.journals().is_empty(), "there was nothing to take back");
}

#[test]
fn what_cannot_be_taken_back_stops_the_next_run_and_stays() {
    let scene = Scene::new();
    let gate = scene.path("gate");
    let undo = format!("test -e {} && echo undid >> {}", gate.display(), scene.told().display());
    let faults = format!(
        "[[fault]]\nname = \"gated\"\nkind = \"exec\"\nat = \"1200ms\"\nshell = true\ncommand = [\"true\"]\nundo = [\"{undo}\"]\n"
    );
    let first = scene.run(&profile(1, &faults), &["--allow-exec"]);
    assert!(said(&first).contains("not everything was taken back"), "{}", said(&first));
    assert_eq!(scene.journals().len(), 1);
    let second = scene.run(&profile(1, ""), &["--allow-exec"]);
    assert_eq!(second.status.code(), Some(2));
    assert!(said(&second).contains("exit status 1"), "{}", said(&second));
    fs::write(&gate, "").expect("written");
    scene.run(&profile(1, ""), &["--allow-exec"]);
    assert_eq!(scene.lines(), ["undid"]);
    assert!(scene.journals().is_empty());
}
