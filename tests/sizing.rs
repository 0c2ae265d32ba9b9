//! `size pods` against pods with a planted capacity, over real sockets.

#![cfg(feature = "live")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use wavesoak::profile::{self, Profile};
use wavesoak::report::run::{HookOptions, ProgressView, RunObserver};
use wavesoak::sizing::pods::{Played, Sizing, SizingError, SizingObserver};
use wavesoak::sizing::search::Found;
use wavesoak::sizing::step::{Step, Terms};
use wavesoak::sizing::{Goal, Resource};

const TEXT: &str = r#"
name = "planted"
seed = 4
[target.embedded]
ping_interval = "1s"
capacity = { connections = 30 }
[population]
tenants = 2
clients = 20
members_per_room = 5
rooms_per_client = 1
[[phase]]
name = "ramp"
duration = "500ms"
clients = "100%"
[client]
watchdog = "3s"
lateness_bound = "2s"
"#;

fn profile() -> Profile {
    profile::parse(TEXT, "planted.toml", &[]).expect("a good profile").profile
}

fn sizing(out: &Path) -> Sizing {
    let profile = profile();
    Sizing {
        goal: Goal::of(&profile, Some(60), Duration::from_secs(30)),
        profile,
        pods: vec![1],
        resources: vec![Resource::Connections],
        terms: Terms {
            window: Duration::from_secs(3),
            window_most: Duration::from_secs(60),
            resolution: 0.5,
            ramp: 40.0,
        },
        out: out.to_owned(),
        exe: PathBuf::from(env!("CARGO_BIN_EXE_wavesoak")),
        hooks: HookOptions::default(),
        shared: false,
        limits: None,
    }
}

#[derive(Default)]
struct Watch {
    intervals: u64,
    played: Vec<Played>,
}

impl RunObserver for Watch {
    fn interval(&mut self, _view: &ProgressView) {
        self.intervals += 1;
    }

    fn note(&mut self, _line: &str) {}
}

impl SizingObserver for Watch {
    fn step(&mut self, _step: &Step, _again: u32) {}

    fn played(&mut self, played: &Played) {
        self.played.push(played.clone());
    }
}

#[test]
fn a_planted_capacity_is_found_and_finished_steps_are_not_played_again() {
    let place = tempfile::tempdir().expect("a place");
    let sizing = sizing(place.path());
    let mut watch = Watch::default();
    let evidence = sizing.play(&mut watch).expect("a sizing");
    let found = evidence.found[&Resource::Connections][0];
    let (1, Found::Between { carried, failed }) = found else { panic!("{found:?} {:#?}", watch.played) };
    assert!(carried <= 30.0 && 30.0 < failed && failed <= carried * 1.5, "{found:?} {:#?}", watch.played);
    for played in &watch.played {
        assert!(place.path().join(&played.run).join("summary.json").exists(), "{played:?}");
    }

    let mut again = Watch::default();
    let evidence = sizing.play(&mut again).expect("a sizing");
    assert_eq!(
        (evidence.found[&Resource::Connections][0], again.intervals),
        (found, 0),
        "nothing was played"
    );
    assert_eq!(again.played, watch.played);

    let other = Sizing { terms: Terms { resolution: 0.4, ..sizing.terms }, ..sizing };
    let refused = other.play(&mut Watch::default()).expect_err("steps of another sizing");
    assert!(matches!(refused, SizingError::AnotherPlan { .. }), "{refused}");
}
