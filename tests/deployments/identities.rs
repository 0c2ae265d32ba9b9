//! Identities of a credentials file, over runs that end as they should and runs that are killed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wavesoak::driver::identities::{Kept, KeptTokens};
use wavesoak::plan::Population;
use wavesoak::secret::Secret;
use wavesoak::target::credentials;

use crate::pods::{EXE, Pods};
use crate::runs::SMALL;

const CLIENTS: u64 = 20;

struct Scene {
    pods: Pods,
    place: TempDir,
}

impl Scene {
    /// Pods whose tokens live for four seconds, and a file with everybody's passwords.
    fn new() -> Self {
        let pods = Pods::start_with(2, |config| {
            config.ping_interval = Duration::from_secs(1);
            config.password_grant = true;
            config.token_lifetime = Duration::from_secs(4);
        });
        let scene = Self { pods, place: tempfile::tempdir().expect("a place") };
        let profile = wavesoak::profile::parse(SMALL, "small.toml", &[]).expect("a profile").profile;
        let population = Population::new(&profile.population);
        credentials::write(&scene.csv(), &Secret::new(scene.pods.key.as_str()), &population)
            .expect("written");
        fs::write(scene.place.path().join("small.toml"), SMALL).expect("written");
        scene
    }

    fn csv(&self) -> PathBuf {
        self.place.path().join("people.csv")
    }

    fn kept(&self) -> PathBuf {
        self.place.path().join("people.csv.tokens")
    }

    /// `wavesoak run`, which says what it does into a file of this name.
    fn run(&self, name: &str, mode: &str) -> Child {
        let said = fs::File::create(self.place.path().join(name)).expect("a file");
        let mut command = Command::new(EXE);
        command
            .arg("run")
            .arg(self.place.path().join("small.toml"))
            .args(["--target", &format!("http://{}", self.pods.addresses[0])])
            .args(["--set", &format!("auth.mode={mode}")])
            .args(["--set", &format!("auth.credentials={}", self.csv().display())])
            .args(["--out", &self.place.path().join("runs").display().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said);
        command.spawn().expect("it starts")
    }

    fn said(&self, name: &str) -> String {
        fs::read_to_string(self.place.path().join(name)).expect("what it said")
    }

    /// States by how many identities are in them.
    fn states(&self) -> BTreeMap<String, u64> {
        let mut last = BTreeMap::new();
        for line in fs::read_to_string(self.kept()).unwrap_or_default().lines() {
            if let Ok(line) = serde_json::from_str::<serde_json::Value>(line) {
                last.insert(line["identity"].to_string(), line["state"].as_str().expect("a word").to_owned());
            }
        }
        last.into_values().fold(BTreeMap::new(), |mut states, state| {
            *states.entry(state).or_default() += 1;
            states
        })
    }

    fn lines(&self) -> usize {
        fs::read_to_string(self.kept()).unwrap_or_default().lines().count()
    }
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_killed_run_loses_no_refresh_token_whose_answer_had_arrived() {
    let scene = Scene::new();
    let mut first = scene.run("first", "password");
    // Everybody has signed in (one line each), and the first wave of refreshes (two lines each) is in its middle.
    let middle = CLIENTS as usize + CLIENTS as usize;
    wait_for("a wave of refreshes", || scene.lines() >= middle);
    first.kill().expect("it runs");
    first.wait().expect("a child of ours");
    let states = scene.states();
    let count = |state: &str| states.get(state).copied().unwrap_or(0);
    let (unused, under_way) = (count("unused"), count("under_way"));
    assert_eq!(unused + under_way, CLIENTS, "{states:?}");

    let second = scene.run("second", "password").wait().expect("a child of ours");
    let said = scene.said("second");
    assert_eq!(second.code(), Some(0), "{said}");
    let expected = format!(
        "signed in: {unused} with refresh tokens that an earlier run kept, {under_way} by password, 0 with the file's own \
         tokens; {under_way} refreshes had been under way when that run ended"
    );
    assert!(said.contains(&expected), "expected: {expected}\n{said}");
    assert!(!said.contains("eyJ"), "{said}");
    // The signatures alone: what comes before them could stand in any base64 by chance.
    let kept = fs::read_to_string(scene.kept()).expect("kept");
    let signatures: Vec<String> = kept
        .lines()
        .filter_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            Some(line["refresh_token"].as_str()?.rsplit('.').next()?.to_owned())
        })
        .collect();
    assert!(signatures.len() >= CLIENTS as usize && signatures.iter().all(|signature| signature.len() > 40));
    for entry in fs::read_dir(scene.place.path().join("runs")).expect("runs").flatten() {
        for file in fs::read_dir(entry.path()).expect("a run directory").flatten() {
            let bytes = fs::read(file.path()).expect("readable");
            let text = String::from_utf8_lossy(&bytes);
            let leaked = signatures.iter().any(|signature| text.contains(signature));
            assert!(!leaked, "{}", file.path().display());
        }
    }
}

#[test]
fn tokens_of_a_file_are_used_once_and_then_those_that_were_kept() {
    let scene = Scene::new();
    // Tokens as an administrator would hand them out: by password, from the kept file of a first run.
    assert_eq!(
        scene.run("first", "password").wait().expect("ours").code(),
        Some(0),
        "{}",
        scene.said("first")
    );
    let people = fs::read_to_string(scene.csv()).expect("people");
    let tokens = KeptTokens::open(&scene.kept()).expect("kept");
    let mut csv = String::from("tenant_id,access_token,refresh_token\n");
    for line in people.lines().skip(1) {
        let mut fields = line.split(',');
        let (tenant, name) = (fields.next().expect("a tenant"), fields.next().expect("a name"));
        let key = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, format!("{tenant}\n{name}").as_bytes());
        let Some(Kept::Unused(token)) = tokens.newest(&key.simple().to_string()) else { panic!("no token") };
        csv += &format!("{tenant},expired,{}\n", token.expose());
    }
    drop(tokens);
    fs::remove_file(scene.kept()).expect("kept");
    fs::write(scene.csv(), &csv).expect("written");
    for (name, kept, given) in [("second", 0, CLIENTS), ("third", CLIENTS, 0)] {
        let ended = scene.run(name, "tokens").wait().expect("ours");
        let said = scene.said(name);
        assert_eq!(ended.code(), Some(0), "{said}");
        let expected = format!(
            "signed in: {kept} with refresh tokens that an earlier run kept, 0 by password, {given} with"
        );
        assert!(said.contains(&expected), "{said}");
    }
    // Without what was kept, the tokens of the file are spent, and the line is named.
    fs::remove_file(scene.kept()).expect("kept");
    let ended = scene.run("fourth", "tokens").wait().expect("ours");
    let said = scene.said("fourth");
    assert_eq!(ended.code(), Some(2), "{said}");
    assert!(said.contains("(line 2 of auth.credentials)"), "{said}");
}

#[test]
fn a_second_run_with_the_same_credentials_is_refused_while_the_first_goes_on() {
    let scene = Scene::new();
    let mut first = scene.run("first", "password");
    wait_for("a kept file", || Path::new(&scene.kept()).exists());
    let second = scene.run("second", "password").wait().expect("ours");
    assert_eq!(second.code(), Some(2));
    assert!(scene.said("second").contains("has locked"), "{}", scene.said("second"));
    assert_eq!(first.wait().expect("ours").code(), Some(0), "{}", scene.said("first"));
}
