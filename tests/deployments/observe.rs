//! A run that only listens, beside one that publishes: what the listener counts is held against what was planted and against
//! the publisher's own ledger.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use wavesoak::profile::{self, Override};
use wavesoak::report::Summary;
use wavesoak::report::run::{ProgressView, RunObserver, RunOptions, RunOutcome};
use wavesoak::target::Config;
use wavesoak::worker::coordinator;

use crate::pods::{EXE, Pods};

/// 20 clients in eight rooms of five: client 2k is in two rooms of tenant 0, client 2k + 1 in two of tenant 1.
const POPULATION: &str = r#"
seed = 3
[auth]
login_rate = "500/s"
[population]
tenants = 2
clients = 20
members_per_room = 5
rooms_per_client = 2
[client]
lateness_bound = "1s"
bridge = "stream-first"
watchdog = "5s"
"#;

const PUBLISH: &str = r#"
[[phase]]
duration = "1s"
clients = "100%"
[[phase]]
duration = "4s"
[traffic]
# What is lost by coordinates is owed to everybody only when everybody is there, however slow the machine is.
start = "all-live"
rate = "100/s"
tenant_shares = "even"
"#;

/// Long enough for a whole run of the publisher, and then some.
const OBSERVE: &str = r#"
[[phase]]
duration = "1s"
clients = "100%"
[[phase]]
duration = "24s"
[traffic]
mode = "observe"
[[fault]]
kind = "outage"
at = "4s"
duration = "12s"
clients = [9, 12]
"#;

/// What is done to events of the publisher, by coordinates.
fn planted() -> String {
    let fault = |name: &str, kind: &str, client: u32, room: u32, count: u32, more: &str| {
        format!(
            "[[fault]]\nname = \"{name}-{client}\"\nkind = \"{kind}\"\nclient = {client}\nroom = {room}\nfirst = 15\n\
             count = {count}\n{more}\n"
        )
    };
    let mut all = fault("lose", "lose", 0, 0, 7, "");
    all += &fault("lose-in-store", "lose", 4, 1, 3, "store = true");
    all += &fault("duplicate", "duplicate", 1, 0, 5, "");
    all += &fault("reorder", "reorder", 3, 0, 1, "");
    all += &fault("leak", "leak", 8, 0, 2, "to = 19");
    for client in [2, 6, 10, 14, 18] {
        all += &fault("lose-for-everybody", "lose", client, 0, 3, "store = true");
    }
    for client in [3, 7, 11, 15, 19] {
        all += &fault("lose-on-all-streams", "lose", client, 1, 2, "");
    }
    all
}

struct Scene {
    pods: Pods,
    place: TempDir,
}

impl Scene {
    fn new(faults: &str) -> Self {
        let text = format!("{POPULATION}{PUBLISH}{faults}");
        let profile =
            profile::parse(&text, "pods.toml", &[]).unwrap_or_else(|error| panic!("{error}")).profile;
        let planted = Config::from_profile(&profile).faults;
        let pods = Pods::start_with(1, |config| {
            config.ping_interval = std::time::Duration::from_secs(1);
            config.faults = planted;
        });
        let scene = Self { pods, place: tempfile::tempdir().expect("a place") };
        fs::write(scene.path("key"), &scene.pods.key).expect("written");
        fs::write(scene.path("publish.toml"), format!("{POPULATION}{PUBLISH}")).expect("written");
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// The publisher; it makes the rooms, or uses those that it made.
    fn publish(&self, more: &[&str]) -> Child {
        let mut command = Command::new(EXE);
        command
            .arg("run")
            .arg(self.path("publish.toml"))
            .args(["--target", &format!("http://{}", self.pods.addresses[0]), "--shared", "--format", "json"])
            .args(["--set", &format!("auth.key_file={}", self.path("key").display())])
            .args(["--out", &self.path("runs").display().to_string()])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().expect("it starts")
    }

    /// The rooms that the publisher made, as a file for the listener.
    fn rooms(&self) -> PathBuf {
        let text = fs::read_to_string(self.path("key.rooms")).expect("remembered");
        let made = |line: &str| -> Option<(u32, String)> {
            let room: Value = serde_json::from_str(line).expect("JSON");
            let number = room["name"].as_str()?.rsplit(' ').next()?.parse().ok()?;
            Some((number, format!("{},{}\n", room["tenant_id"].as_str()?, room["room_id"].as_str()?)))
        };
        let mut rooms: Vec<(u32, String)> = text.lines().filter_map(made).collect();
        rooms.sort_unstable();
        let rows: String = rooms.into_iter().map(|(_, row)| row).collect();
        fs::write(self.path("rooms.csv"), format!("tenant_id,room_id\n{rows}")).expect("written");
        self.path("rooms.csv")
    }

    /// Listens while the publisher runs; both summaries.
    fn listen(&self) -> (RunOutcome, Value) {
        let made = self.publish(&["--set", "traffic.rate=0/s", "--duration", "2s"]).wait_with_output();
        assert!(made.expect("it ends").status.success());
        let changes = [
            format!("target.url=http://{}", self.pods.addresses[0]),
            format!("auth.key_file={}", self.path("key").display()),
            format!("population.rooms={}", self.rooms().display()),
        ];
        let changes: Vec<Override> =
            changes.iter().map(|change| Override::parse(change).expect("a change")).collect();
        let profile = profile::parse(&format!("{POPULATION}{OBSERVE}"), "observe.toml", &changes);
        let profile = profile.unwrap_or_else(|error| panic!("{error}")).profile;
        let options = RunOptions {
            out: self.path("runs"),
            shared: false,
            hooks: wavesoak::report::run::HookOptions::default(),
            exe: PathBuf::from(EXE),
            cleanup: false,
            profile_toml: profile.to_toml(),
        };
        let mut watch = Watch { scene: self, publisher: None };
        let outcome = coordinator::run(Arc::new(profile), &options, &mut watch);
        let outcome = outcome.unwrap_or_else(|error| panic!("{}", error.told()));
        outcome.summary.books().unwrap_or_else(|imbalances| panic!("{imbalances:?}"));
        let published = watch.publisher.expect("it began").wait_with_output().expect("it ends");
        let json = serde_json::from_slice(&published.stdout);
        (outcome, json.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&published.stderr))))
    }
}

/// Starts the publisher once everybody has listened for longer than the lateness bound, and the outage has begun.
struct Watch<'a> {
    scene: &'a Scene,
    publisher: Option<Child>,
}

impl RunObserver for Watch<'_> {
    fn interval(&mut self, view: &ProgressView) {
        if self.publisher.is_none() && view.live == 18 && view.at.as_secs() >= 4 {
            self.publisher = Some(self.scene.publish(&[]));
        }
    }

    fn note(&mut self, _line: &str) {}
}

fn observed(summary: &Summary) -> (u64, u64) {
    let observed = summary.observed.expect("it listened");
    assert_eq!((observed.rooms, observed.rooms_unread), (8, 0));
    (observed.events, observed.by_survey_alone)
}

#[test]
fn what_is_lost_doubled_or_misplaced_for_some_is_counted_and_what_nobody_saw_is_not() {
    let scene = Scene::new(&planted());
    let (outcome, published) = scene.listen();
    let summary = &outcome.summary;
    let deliveries = &summary.deliveries;
    let acknowledged = published["publishes"]["acknowledged"].as_u64().expect("a count");
    let (events, by_survey_alone) = observed(summary);
    // Eight markers and eight fences are events like any other. Three were lost for everybody, store included: nobody can
    // know. Two came on no stream, and are in history.
    assert_eq!((events, by_survey_alone), (acknowledged + 16 - 3, 2), "{deliveries:?}");
    assert_eq!(deliveries.expected, events * 5);
    assert_eq!(deliveries.missed_after_bridging, 7 + 3 + 2 * 5);
    assert_eq!((deliveries.recoverable, deliveries.lost_by_server), (7 + 2 * 5, 3));
    assert_eq!((deliveries.duplicate, deliveries.out_of_order, deliveries.leaked), (5, 1, 2));
    let nothing = [
        deliveries.undecided,
        deliveries.unaudited,
        deliveries.redelivered,
        deliveries.resurrected,
        deliveries.foreign,
        deliveries.unowed,
        deliveries.leaked_room,
    ];
    assert_eq!(nothing, [0; 7], "{deliveries:?}");
    assert_eq!((summary.disconnects.total, summary.publishes.intended), (2, 0));
    // The publisher knows of the three.
    assert_eq!(published["deliveries"]["missed_after_bridging"], 7 + 3 + 3 * 5 + 2 * 5);

    let findings = fs::read_to_string(outcome.directory.join("findings.jsonl")).expect("written");
    let findings: Vec<Value> =
        findings.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |kind: &str, client: u32| {
        findings.iter().filter(|line| line["kind"] == kind && line["client"] == client).count()
    };
    assert_eq!((of("missed", 0), of("missed", 4), of("missed", 2)), (7, 3, 0));
    assert_eq!((of("duplicate", 1), of("out_of_order", 3), of("leaked", 19)), (5, 1, 2));
    let remark = summary.remarks.iter().find(|remark| remark.contains("Only listened")).expect("said");
    assert!(remark.contains("events that nobody saw"), "{remark}");
}

#[test]
fn who_only_listens_sends_nothing_and_passes_when_nothing_is_wrong() {
    let scene = Scene::new("");
    let (outcome, published) = scene.listen();
    let deliveries = &outcome.summary.deliveries;
    let (events, by_survey_alone) = observed(&outcome.summary);
    let sent = published["publishes"]["acknowledged"].as_u64().expect("a count");
    // What is in the rooms is the publisher's, to the last event.
    assert_eq!((events, by_survey_alone), (sent + 16, 0));
    assert_eq!((deliveries.expected, deliveries.live + deliveries.bridged), (events * 5, events * 5));
    assert!(deliveries.bridged > 0, "two clients were away when the publisher began: {deliveries:?}");
    assert_eq!(outcome.summary.verdict.to_string(), "passed", "{:?}", outcome.summary.objectives);
}
