//! Rooms on a deployment: made once, used again, put away; or somebody else's.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::pods::{EXE, Pods};
use crate::runs::SMALL;

/// A deployment, and a place with a key file and a profile for it.
struct Scene {
    pods: Pods,
    place: TempDir,
}

/// What a command said.
struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Said {
    /// The summary of a run that came to its end, with books that balance.
    fn summary(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.stderr);
        let summary: Value = serde_json::from_str(&self.stdout).expect("a summary");
        let deliveries = &summary["deliveries"];
        assert!(deliveries["expected"].as_u64() > Some(500), "{deliveries}");
        assert_eq!(deliveries["live"], deliveries["expected"], "{deliveries}");
        for key in ["missed_after_bridging", "duplicate", "unexpected", "leaked_room", "double_stored"] {
            assert_eq!(deliveries[key].as_u64().unwrap_or(0), 0, "{key}: {deliveries}");
        }
        summary
    }
}

impl Scene {
    fn new() -> Self {
        let scene = Self { pods: Pods::start(1), place: tempfile::tempdir().expect("a place") };
        fs::write(scene.path("key"), &scene.pods.key).expect("written");
        fs::write(scene.path("small.toml"), SMALL).expect("written");
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn call(&self, command: &str, more: &[&str]) -> Said {
        let mut call = Command::new(EXE);
        call.arg(command)
            .arg(self.path("small.toml"))
            .args(["--target", &format!("http://{}", self.pods.addresses[0])])
            .args(["--set", &format!("auth.key_file={}", self.path("key").display())])
            .args(["--set", "client.lateness_bound=1s", "--set", "traffic.rate=100/s", "--duration", "4s"])
            .args(more)
            .stdin(Stdio::null());
        if command == "run" {
            call.args(["--format", "json", "--out", &self.path("runs").display().to_string()]);
        }
        let output = call.output().expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let code = output.status.code().expect("an exit code");
        Said { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    fn run(&self, more: &[&str]) -> Said {
        self.call("run", more)
    }

    /// The rooms that are remembered, in the order of the plan: (tenant, id).
    fn rooms(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.path("key.rooms")).expect("remembered");
        let mut rooms = BTreeMap::new();
        for line in text.lines() {
            let room: Value = serde_json::from_str(line).expect("JSON");
            let field = |key: &str| room[key].as_str().unwrap_or_default().to_owned();
            let number: u32 =
                field("name").rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a number");
            match field("state").as_str() {
                "made" => drop(rooms.insert(number, (field("tenant_id"), field("room_id")))),
                "gone" => drop(rooms.remove(&number)),
                _ => {}
            }
        }
        rooms.into_values().collect()
    }

    /// These rooms as a file for `population.rooms`; the setting that names it.
    fn given(&self, rooms: &[(String, String)]) -> String {
        let rows = rooms.iter().map(|(tenant, id)| format!("{tenant},{id}\n"));
        let text = std::iter::once("tenant_id,room_id\n".to_owned()).chain(rows).collect::<String>();
        fs::write(self.path("rooms.csv"), text).expect("written");
        format!("population.rooms={}", self.path("rooms.csv").display())
    }
}

#[test]
fn a_second_run_uses_the_rooms_of_the_first_and_hears_nothing_of_it() {
    let scene = Scene::new();
    let first = scene.run(&[]);
    assert_eq!(first.summary()["deliveries"]["foreign"], 0);
    let rooms = scene.rooms();
    assert_eq!(rooms.len(), 8, "two tenants, ten clients in two rooms of five each");
    let mode = fs::metadata(scene.path("key.rooms")).expect("remembered").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // Clients begin behind their own run's markers: neither history nor the first sync shows what was before.
    let second = scene.run(&[]);
    assert_eq!(second.summary()["deliveries"]["foreign"], 0);
    assert!(second.stderr.contains("8 of these rooms were made by an earlier run"), "{}", second.stderr);
    assert_eq!(scene.rooms(), rooms);

    // Who begins at zero is shown all of it, and none of it counts.
    let third = scene.run(&["--set", "client.start=zero"]);
    assert!(third.summary()["deliveries"]["foreign"].as_u64() > Some(1000), "{}", third.stdout);
    assert_eq!(scene.rooms(), rooms);
}

#[test]
fn rooms_are_put_away_and_what_is_gone_is_made_anew() {
    let scene = Scene::new();
    scene.run(&["--set", "population.room_type=incognito"]).summary();
    let old = fs::read_to_string(scene.path("key.rooms")).expect("remembered");
    assert!(old.contains(r#""room_type":"incognito""#), "{old}");
    let rooms = scene.rooms();

    let looked = scene.call("cleanup", &["--dry-run"]);
    assert!(looked.stdout.contains("\": 8 rooms"), "{}", looked.stdout);
    let none = scene.call("cleanup", &["--prefix", "wavesoak nobody"]);
    assert_eq!((none.code, scene.rooms().len()), (0, 8), "{}", none.stdout);
    let away = scene.call("cleanup", &[]);
    assert_eq!(away.code, 0, "{}", away.stderr);
    assert!(away.stdout.contains("8 archived, 0 left by everybody, 0 already gone"), "{}", away.stdout);
    assert_eq!(scene.rooms(), []);

    // A file that is older than what it tells of: the rooms in it are found to be frozen.
    fs::write(scene.path("key.rooms"), old).expect("written");
    let stale = scene.run(&["--set", "population.room_type=incognito"]);
    stale.summary();
    assert!(!stale.stderr.contains("made by an earlier run"), "{}", stale.stderr);
    assert!(scene.rooms().len() == 8 && scene.rooms().iter().all(|room| !rooms.contains(room)));

    // Rooms of another kind are not used, and only those of this run are put away with it.
    let public = scene.run(&["--cleanup"]);
    public.summary();
    assert!(public.stderr.contains("8 archived"), "{}", public.stderr);
    assert!(fs::read_to_string(scene.path("key.rooms")).expect("remembered").contains("incognito"));
}

#[test]
fn given_rooms_are_used_as_they_are_and_every_missing_permission_is_named() {
    let scene = Scene::new();
    scene.run(&[]).summary();
    let rooms = scene.rooms();
    let given = scene.given(&rooms);
    let run = scene.run(&["--set", &given]);
    run.summary();
    assert!(run.stderr.contains("using 8 existing rooms"), "{}", run.stderr);
    assert_eq!(scene.rooms(), rooms, "nothing was made");

    // Two rooms of a tenant in each other's place: their members are others.
    let mut swapped = rooms.clone();
    swapped.swap(0, 2);
    let refused = scene.run(&["--set", &scene.given(&swapped)]);
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""));
    let missing = refused.stderr.matches("may not read its history: SW_NOT_MEMBER (403)").count();
    assert!(refused.stderr.contains(&format!("{missing} permissions are missing")), "{}", refused.stderr);
    assert!(refused.stderr.contains(&format!("room {} (line 2): ws-0000", rooms[2].1)), "{}", refused.stderr);

    let few = scene.run(&["--set", &scene.given(&rooms[..7])]);
    assert_eq!(few.code, 2);
    assert!(
        few.stderr.contains("find 4 rooms of tenant") && few.stderr.contains("which has 3"),
        "{}",
        few.stderr
    );
    let mut wrong = rooms;
    wrong[5].1 = String::new();
    let wrong = scene.run(&["--set", &scene.given(&wrong)]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("read line 7 of"), "{}", wrong.stderr);
}
