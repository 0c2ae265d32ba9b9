//! `size pods` on a deployment that a command gives another number of pods.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wavesoak::profile::{self, Override, Profile};
use wavesoak::report::run::{HookOptions, ProgressView, RunObserver};
use wavesoak::sizing::pods::{Played, Sizing, SizingObserver};
use wavesoak::sizing::search::Found;
use wavesoak::sizing::step::{Step, Terms};
use wavesoak::sizing::storm::play::CompareObserver;
use wavesoak::sizing::{Goal, Resource};

use crate::balancer::{Balancer as _, Scaled};
use crate::pods::{EXE, Pods};

const TEXT: &str = r#"
name = "scaled"
seed = 3
[auth]
login_rate = "500/s"
[population]
tenants = 1
clients = 4
members_per_room = 4
rooms_per_client = 1
[[phase]]
name = "ramp"
duration = "100ms"
clients = "100%"
[client]
lateness_bound = "500ms"
[sizing]
settle = "0s"
"#;

fn profile(set: &[String]) -> Profile {
    let changes: Vec<Override> =
        set.iter().map(|change| Override::parse(change).expect("a change")).collect();
    profile::parse(TEXT, "scaled.toml", &changes).unwrap_or_else(|error| panic!("{error}")).profile
}

/// Streams alone are searched, on one pod and on two.
fn sizing(profile: Profile, out: &Path) -> Sizing {
    Sizing {
        goal: Goal::of(&profile, Some(16), Duration::from_secs(30)),
        profile,
        pods: vec![1, 2],
        resources: vec![Resource::Connections],
        terms: Terms {
            window: Duration::from_secs(2),
            window_most: Duration::from_secs(60),
            resolution: 0.5,
            ramp: 40.0,
        },
        hooks: HookOptions { allowed: true, journals: Some(out.join("journals")) },
        out: out.to_owned(),
        exe: PathBuf::from(EXE),
        shared: false,
        limits: None,
    }
}

struct Watch;

impl RunObserver for Watch {
    fn interval(&mut self, _view: &ProgressView) {}

    fn note(&mut self, _line: &str) {}
}

impl CompareObserver for Watch {}

impl SizingObserver for Watch {
    fn step(&mut self, _step: &Step, _again: u32) {}

    fn played(&mut self, _played: &Played) {}
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn files(place: &Path) -> usize {
    fs::read_dir(place).map_or(0, Iterator::count)
}

#[test]
fn a_deployment_is_scaled_for_its_steps_and_has_its_own_number_back_afterwards() {
    let pods = Pods::start_with(3, |config| {
        config.ping_interval = Duration::from_secs(1);
        config.capacity.connections = Some(6);
    });
    let nginx = Scaled::new(&pods).start();
    let (place, port) = (tempfile::tempdir().expect("a place"), nginx.port());
    let key = place.path().join("key");
    fs::write(&key, &pods.key).expect("written");
    let script = nginx.place().join("scale");
    let addresses = (0..3).map(|pod| format!("\"pods.example.com:{port}:{}\"", Scaled::address(pod)));
    let profile = profile(&[
        format!("target.url=http://127.0.0.1:{port}"),
        format!("target.metrics=[\"http://pods.example.com:{port}/metrics\"]"),
        format!("target.resolve=[{}]", addresses.collect::<Vec<_>>().join(",")),
        format!("auth.key_file={}", key.display()),
        format!("sizing.scale=[\"/bin/sh\", \"{}\", \"{{pods}}\"]", script.display()),
        format!("sizing.undo=[\"/bin/sh\", \"{}\", \"3\", \"again\"]", script.display()),
    ]);
    let sizing = sizing(profile, place.path());
    let evidence = sizing.play(&mut Watch).expect("a sizing");
    // Two pods hold what one does not: they are really there.
    for (pods, found) in &evidence.found[&Resource::Connections] {
        let capacity = 6.0 * f64::from(*pods);
        let Found::Between { carried, failed } = *found else { panic!("{pods}: {found:?}") };
        assert!(carried <= capacity && capacity < failed, "{pods}: {found:?} {:#?}", evidence.steps);
    }
    assert_eq!(lines(&nginx.place().join("scaled")), ["1", "2", "3 again"]);
    assert_eq!(files(&place.path().join("journals")), 0, "nothing is left to be taken back");
}

/// One pod, and a profile of it whose command for scaling is this script.
struct Scene {
    place: TempDir,
    _pods: Pods,
    set: Vec<String>,
}

impl Scene {
    fn new(script: &str) -> Self {
        let (pods, place) = (Pods::start(1), tempfile::tempdir().expect("a place"));
        let path = |name: &str| place.path().join(name);
        fs::write(path("key"), &pods.key).expect("written");
        fs::write(path("scaled.toml"), TEXT).expect("written");
        fs::write(path("scale"), format!("echo \"$1\" >> {}\n{script}\n", path("told").display()))
            .expect("written");
        let set = vec![
            format!("target.url=http://{}", pods.addresses[0]),
            format!("target.metrics=[\"{}\"]", pods.metrics[0]),
            format!("auth.key_file={}", path("key").display()),
            format!("sizing.scale=[\"/bin/sh\", \"{}\", \"{{pods}}\"]", path("scale").display()),
            format!("sizing.undo=[\"/bin/sh\", \"-c\", \"echo undone >> {}\"]", path("told").display()),
            "sizing.deadline=2s".to_owned(),
        ];
        Self { place, _pods: pods, set }
    }

    fn told(&self) -> Vec<String> {
        lines(&self.place.path().join("told"))
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(EXE);
        command.args(["size", "pods"]).arg(self.place.path().join("scaled.toml")).args(more);
        command.args(["--pods", "2", "--only", "connections", "--out"]).arg(self.place.path().join("out"));
        for change in &self.set {
            command.args(["--set", change]);
        }
        command.env("XDG_STATE_HOME", self.place.path().join("state")).stdin(Stdio::null());
        command
    }

    fn run(&self, more: &[&str]) -> (Option<i32>, String) {
        let Output { status, stderr, .. } = self.command(more).output().expect("it runs");
        (status.code(), String::from_utf8_lossy(&stderr).into_owned())
    }
}

#[test]
fn commands_that_scale_are_not_run_unless_somebody_said_that_they_may() {
    let scene = Scene::new("");
    let (code, said) = scene.run(&[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--allow-exec"), "{said}");
    assert!(scene.told().is_empty());
}

#[test]
fn pods_that_do_not_come_in_time_are_told_and_the_command_is_taken_back() {
    let scene = Scene::new("");
    let (code, said) = scene.run(&["--allow-exec"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("2 pods within 2s (sizing.deadline)"), "{said}");
    assert!(said.contains("1 pods answer in target.metrics"), "{said}");
    assert_eq!(scene.told(), ["2", "undone"]);
}

#[test]
fn a_command_that_fails_is_told_with_what_it_said() {
    let scene = Scene::new("echo no such deployment >&2; exit 7");
    let (code, said) = scene.run(&["--allow-exec"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("exit status 7") && said.contains("no such deployment"), "{said}");
    assert_eq!(scene.told(), ["2", "undone"]);
}

#[test]
fn what_a_killed_sizing_has_scaled_is_taken_back_by_the_next_start() {
    // The first is killed while it waits for its command.
    let scene = Scene::new("test -e $0.once || { touch $0.once; exec sleep 30; }\nexit 1");
    let mut first = scene.command(&["--allow-exec"]);
    first.stdout(Stdio::null()).stderr(Stdio::null());
    let mut first = first.spawn().expect("it starts");
    let begun = Instant::now();
    while scene.told() != ["2"] {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", scene.told());
        thread::sleep(Duration::from_millis(20));
    }
    first.kill().expect("it runs");
    first.wait().expect("a child of ours");
    let (code, said) = scene.run(&["--allow-exec"]);
    assert_eq!(code, Some(2), "{said}");
    assert_eq!(scene.told(), ["2", "undone", "2", "undone"], "{said}");
}
