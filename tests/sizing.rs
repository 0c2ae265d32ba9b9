//! `size pods` against pods with a planted capacity, over real sockets.

#![cfg(feature = "live")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use wavesoak::profile::{self, Override, Profile};
use wavesoak::report::run::{HookOptions, ProgressView, RunObserver};
use wavesoak::sizing::answer::{Survival, Test};
use wavesoak::sizing::kept::KeptError;
use wavesoak::sizing::pods::{Played, Sizing, SizingObserver};
use wavesoak::sizing::proof::{Proof, Proven};
use wavesoak::sizing::run::PlayError;
use wavesoak::sizing::search::Found;
use wavesoak::sizing::step::{Step, Terms};
use wavesoak::sizing::storm::play::CompareObserver;
use wavesoak::sizing::storm::{self, Variant, Ways};
use wavesoak::sizing::{Goal, Resource};
use wavesoak::verdict::Outcome;

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

fn profile(set: &[&str]) -> Profile {
    let changes: Vec<Override> =
        set.iter().map(|change| Override::parse(change).expect("a change")).collect();
    profile::parse(TEXT, "planted.toml", &changes).expect("a good profile").profile
}

/// On one pod.
fn sizing(set: &[&str], clients: u32, resources: &[Resource], out: &Path) -> Sizing {
    let profile = profile(set);
    Sizing {
        goal: Goal::of(&profile, Some(clients), Duration::from_secs(30)),
        profile,
        pods: vec![1],
        resources: resources.to_vec(),
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

impl CompareObserver for Watch {}

impl SizingObserver for Watch {
    fn step(&mut self, _step: &Step, _again: u32) {}

    fn played(&mut self, played: &Played) {
        self.played.push(played.clone());
    }
}

#[test]
fn a_planted_capacity_is_found_and_finished_steps_are_not_played_again() {
    let place = tempfile::tempdir().expect("a place");
    let sizing = sizing(&[], 60, &[Resource::Connections], place.path());
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
    assert!(matches!(refused, PlayError::Kept(KeptError::AnotherPlan { .. })), "{refused}");
}

/// A latency objective so wide that no machine misses it by being slow, and that a queue misses all the same.
const PATIENT: [&str; 2] = ["objectives.\"sync_load.p90\"=<= 1s", "objectives.\"sync_page.p90\"=<= 1s"];

#[test]
fn where_sync_pages_are_scarce_they_are_named_and_not_the_handshakes_behind_them() {
    let place = tempfile::tempdir().expect("a place");
    let mut set = vec!["target.embedded.capacity={ sync_pages = \"20/s\" }", "client.lateness_bound=500ms"];
    set.extend(PATIENT);
    let resources = [Resource::SyncPages, Resource::Handshakes];
    let sizing = sizing(&set, 20, &resources, place.path());
    let mut watch = Watch::default();
    let evidence = sizing.play(&mut watch).expect("a sizing");
    let (1, Found::Between { carried, failed }) = evidence.found[&Resource::SyncPages][0] else {
        panic!("{:#?}", watch.played)
    };
    // What is above the limit by less than the resolution may pass.
    assert!(carried <= 30.0 && 20.0 < failed && failed <= carried * 1.5, "{:#?}", watch.played);
    assert_eq!(
        evidence.found[&Resource::Handshakes][0],
        (1, Found::Behind { carried }),
        "{:#?}",
        watch.played
    );
}

#[test]
fn an_answer_is_played_and_its_storm_in_other_ways_and_what_was_played_is_kept() {
    let place = tempfile::tempdir().expect("a place");
    let set = [
        "target.embedded.capacity={ connections = 30 }",
        "client.lateness_bound=500ms",
        "objectives.\"delivery_intended.p90\"=<= 3s",
    ];
    let mut sizing = sizing(&set, 24, &[Resource::Connections], place.path());
    sizing.terms.window = Duration::from_secs(1);
    let within = Duration::from_secs(4);
    let proof = Proof { pods: 2, lose: 1, within };
    let mut watch = Watch::default();
    // Of two pods one is left, with room for all.
    let enough: Vec<Proven> = sizing.prove(&proof, Some(Outcome::Passed), &mut watch).expect("a proof");
    let last = enough.last().expect("played");
    assert_eq!((last.outcome, last.live_at_end), (Outcome::Passed, 24), "{enough:#?}");
    assert!(last.recovered > 0 && last.recovery_us_max.is_some_and(|most| most <= 4_000_000), "{last:?}");
    let run = last.run.as_ref().expect("it was played");
    assert!(place.path().join(run).join("summary.json").exists());
    let weathered = weathered_once(&sizing, &proof, &enough, &mut watch);
    let intervals = watch.intervals;
    let kept = sizing.prove(&proof, Some(Outcome::Passed), &mut watch).expect("a proof");
    assert_eq!(kept, enough);
    assert_eq!(weathered_once(&sizing, &proof, &enough, &mut watch), weathered);
    assert_eq!(watch.intervals, intervals, "nothing was played again");

    // Half as much room, and there is none for those who come back.
    sizing.profile.target.embedded.capacity.connections = Some(14);
    let out = tempfile::tempdir().expect("another place");
    sizing.out = out.path().to_owned();
    let few = sizing.prove(&proof, Some(Outcome::Failed), &mut watch).expect("a proof");
    assert_eq!((few.len(), few[0].outcome), (1, Outcome::Failed), "{few:#?}");
    assert!(few[0].live_at_end < 24 && few[0].because.iter().any(|why| why.contains("live")), "{few:#?}");
}

/// Every way, of which the documented one is the proof itself.
fn weathered_once(
    sizing: &Sizing,
    proof: &Proof,
    proven: &[Proven],
    watch: &mut Watch,
) -> Vec<(Variant, Result<storm::Played, String>)> {
    let computed = Survival {
        pods: 2,
        left: 1,
        carries: true,
        tightest: (Resource::Connections, 0.25),
        storm: 12.0,
        recovery: Duration::from_secs(1),
        slowest: Resource::Handshakes,
    };
    let test = Test { proof: *proof, expected: Some(Outcome::Passed), computed };
    // Two seconds, of which twelve draws all lie in the first half once in 4,096 seeds; this one is always the same.
    let ways = Ways { spread: Duration::from_secs(2), jitter: 0.5, repeat: 9 };
    let weathered =
        sizing.weather(&test, proven, &ways, watch).expect("played").expect("the proof was played");
    assert_eq!(weathered.ways.repeat, 1, "each once, whatever is said");
    let played = |index: usize| {
        let (variant, run) = &weathered.runs[index];
        (*variant, run.as_ref().unwrap_or_else(|why| panic!("{why}")))
    };
    let (documented, own) = played(0);
    assert_eq!((documented, Some(&own.run)), (Variant::Documented, proven.last().expect("one").run.as_ref()));
    for (index, variant) in [(1, Variant::Spread), (2, Variant::Jitter)] {
        let (which, run) = played(index);
        assert_eq!((which, run.variant, run.seed), (variant, variant, own.seed));
        let storm = run.storm.as_ref().unwrap_or_else(|| panic!("no storm: {run:#?}"));
        assert_eq!((storm.clients, storm.recovered), (12, 12), "{run:#?}");
        assert!(sizing.out.join(&run.run).join("summary.json").exists(), "{run:#?}");
    }
    let spread = played(1).1.storm.as_ref().expect("a storm");
    assert!(spread.recovered_s.p100 > Some(1.0), "{spread:#?}");
    weathered.runs
}
