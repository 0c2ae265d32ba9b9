//! `size storm` over real sockets: one pod of three dies under sixty clients.
#![cfg(feature = "live")]
#![expect(clippy::disallowed_methods, reason = "profiles and answers are files")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;
use wavesoak::profile::quantity::Share;
use wavesoak::profile::{self, Profile};
use wavesoak::report::run::{HookOptions, ProgressView, RunObserver};
use wavesoak::sizing::run::PlayError;
use wavesoak::sizing::storm::play::{CompareObserver, Comparison};
use wavesoak::sizing::storm::{Maker, Played, Variant, Ways};

const TEXT: &str = r#"
name = "sixty"
seed = 4
[target.embedded]
pods = 3
[population]
tenants = 2
clients = 60
members_per_room = 5
rooms_per_client = 1
[[phase]]
name = "ramp"
duration = "1s"
clients = "100%"
[[phase]]
name = "hold"
duration = "10s"
[traffic]
rate = "4/s"
[client]
lateness_bound = "1s"
[drain]
deadline = "20s"
"#;

fn profile() -> Profile {
    profile::parse(TEXT, "sixty.toml", &[]).expect("a good profile").profile
}

fn comparison(out: &Path, variants: &[Variant]) -> Comparison {
    Comparison {
        maker: Maker::of(&profile(), Share(0.33)).expect("a pod can die"),
        variants: variants.to_vec(),
        ways: Ways { spread: Duration::from_secs(3), jitter: 0.5, repeat: 1 },
        out: out.to_owned(),
        exe: PathBuf::from(env!("CARGO_BIN_EXE_wavesoak")),
        shared: false,
        hooks: HookOptions::default(),
    }
}

#[derive(Default)]
struct Watch {
    intervals: u64,
}

impl RunObserver for Watch {
    fn interval(&mut self, _view: &ProgressView) {
        self.intervals += 1;
    }

    fn note(&mut self, _line: &str) {}
}

impl CompareObserver for Watch {}

#[test]
fn a_pod_that_dies_is_one_storm_in_every_variant_and_finished_runs_are_not_played_again() {
    let place = tempfile::tempdir().expect("a place");
    let both = [Variant::Documented, Variant::Spread];
    let played = comparison(place.path(), &both).play(&mut Watch::default()).expect("two runs");
    for run in &played {
        let storm = run.storm.as_ref().unwrap_or_else(|| panic!("no storm: {run:#?}"));
        let summary = fs::read_to_string(place.path().join(&run.run).join("summary.json")).expect("there");
        let summary: Value = serde_json::from_str(&summary).expect("JSON");
        assert_eq!(storm.fault.as_deref(), Some("storm"), "{run:#?}");
        assert_eq!(Some(storm.clients), summary["faults"][0]["affected"].as_u64(), "{run:#?}");
        assert_eq!(Some(storm.clients), summary["disconnects"]["total"].as_u64(), "{run:#?}");
        assert_eq!(Some(storm.attempts), summary["reconnects"]["total"].as_u64(), "{run:#?}");
        assert_eq!((storm.recovered, storm.recovered_s.p100.is_some()), (storm.clients, true), "{run:#?}");
        assert_eq!(storm.attempts, storm.recovered + storm.attempts_failed, "{run:#?}");
        assert_eq!(storm.recovered_by_attempt.values().sum::<u64>(), storm.clients, "{run:#?}");
        assert_eq!(summary["storms"][0]["clients"].as_u64(), Some(storm.clients));
    }
    // Twenty draws that all lie in the first half of three seconds are one in a million, and the seed is always the same.
    let within = |run: &Played| run.storm.as_ref().and_then(|storm| storm.recovered_s.p100);
    assert!(within(&played[1]) > Some(1.5), "{:?}", within(&played[1]));

    let mut again = Watch::default();
    let kept = comparison(place.path(), &both).play(&mut again).expect("kept");
    assert_eq!((kept, again.intervals), (played, 0), "nothing was played");
    let mut other = comparison(place.path(), &both);
    other.ways.spread = Duration::from_secs(4);
    let refused = other.play(&mut Watch::default()).expect_err("runs of another comparison");
    assert!(matches!(refused, PlayError::Kept(_)), "{refused}");
}

fn wavesoak(place: &Path, arguments: &[&str]) -> (i32, String, String) {
    fs::write(place.join("sixty.toml"), TEXT).expect("written");
    let mut command = Command::cargo_bin("wavesoak").expect("the binary is built");
    let output =
        command.current_dir(place).args(["size", "storm"]).args(arguments).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_leaves_a_table_a_page_with_its_plots_and_json_in_one_directory() {
    let place = tempfile::tempdir().expect("a place");
    let asked = ["sixty.toml", "--repeat", "1", "--only", "documented", "--format", "json"];
    let (code, stdout, stderr) = wavesoak(place.path(), &asked);
    let answer: Value =
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    assert_eq!(answer["schema"], "wavesoak.size-storm/1");
    assert_eq!(code, if answer["conclusive"] == true { 0 } else { 4 }, "{stdout}{stderr}");
    let mut inside = fs::read_dir(place.path().join("reports")).expect("made");
    let directory = inside.next().expect("one").expect("readable").path();
    assert_eq!(fs::read_to_string(directory.join("storm.json")).expect("there"), stdout);
    let page = fs::read_to_string(directory.join("storm.md")).expect("there");
    for plot in ["storm-recovery.svg", "storm-reconnects.svg"] {
        assert!(page.contains(&format!("]({plot})")), "{page}");
        assert!(fs::read_to_string(directory.join(plot)).expect("there").starts_with("<svg"), "{plot}");
    }
    let resumed = directory.to_string_lossy().into_owned();
    let (same, table, _) = wavesoak(
        place.path(),
        &["sixty.toml", "--repeat", "1", "--only", "documented", "--resume", &resumed],
    );
    assert_eq!(same, code);
    assert!(table.contains("Coming back, side by side") && table.contains("99% live again"), "{table}");
}

#[test]
fn what_cannot_be_compared_is_refused_with_what_to_write_instead() {
    let place = tempfile::tempdir().expect("a place");
    for (arguments, says) in [
        (vec!["sixty.toml", "--jitter", "2"], "from 0.01 to 1"),
        (vec!["sixty.toml", "--spread", "10"], "--spread"),
        (vec!["sixty.toml", "--share", "0%"], "more than 0%"),
        (vec!["sixty.toml", "--set", "target.embedded.pods=1"], "target.embedded.pods to 2"),
        (vec!["sixty.toml", "--clients", "20"], "write --clients 30"),
        (vec!["sixty.toml", "--target", "https://chat.example.com"], "--confirm-target chat.example.com"),
    ] {
        let (code, stdout, stderr) = wavesoak(place.path(), &arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(says), "{arguments:?}: {stderr}");
    }
    assert!(!place.path().join("reports").exists(), "nothing was begun");
}
