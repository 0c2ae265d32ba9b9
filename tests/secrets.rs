//! No token, key or stream URL leaves: not into an artefact, not onto a terminal, not into the process list.

#![expect(clippy::disallowed_methods, reason = "the test reads what runs have written")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Command lines and environments of the processes that run this binary.
fn process_list(binary: &Path, lines: &mut String, environments: &mut String) {
    for entry in fs::read_dir("/proc").expect("Linux").flatten() {
        if fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == binary) {
            for (name, list) in [("cmdline", &mut *lines), ("environ", &mut *environments)] {
                let text = fs::read(entry.path().join(name)).unwrap_or_default();
                *list += &String::from_utf8_lossy(&text).replace('\0', " ");
                list.push('\n');
            }
        }
    }
}

fn all_files(directory: &Path, texts: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            all_files(&path, texts);
        } else {
            let bytes = fs::read(&path).expect("readable");
            texts.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
}

/// Ends the target by the end of the test, however that comes.
struct Target(Child);

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const PROFILE: &str = r#"
name = "secrets"
[target.embedded]
pods = 2
[population]
tenants = 2
clients = 20
members_per_room = 10
[[phase]]
name = "ramp"
duration = "1s"
clients = "100%"
[[phase]]
name = "hold"
duration = "3s"
[client]
lateness_bound = "500ms"
[[fault]]
kind = "expire-token"
at = "2s"
share = "50%"
"#;

#[test]
fn no_secret_is_in_any_artefact_output_or_process_list() {
    let place = tempfile::tempdir().expect("a directory");
    let profile = place.path().join("secrets.toml");
    fs::write(&profile, PROFILE).expect("written");
    let binary = env!("CARGO_BIN_EXE_wavesoak");
    let target = Command::new(binary)
        .args(["target".as_ref(), profile.as_os_str()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the target starts");
    let mut target = Target(target);
    let mut lines = BufReader::new(target.0.stdout.take().expect("piped")).lines();
    let mut said = |word: &str| {
        let line = lines.by_ref().map(|line| line.expect("text")).find(|line| line.starts_with(word));
        line.expect("the target says so").split_once(' ').expect("two words").1.to_owned()
    };
    let (url, key_file) = (said("url "), said("key_file "));
    let key = fs::read_to_string(&key_file).expect("the key file is ours to read");
    let key = key.trim();
    assert!(key.len() >= 32);

    let out = place.path().join("out");
    fs::create_dir(&out).expect("made");
    let mut run = Command::new(binary)
        .args(["run".as_ref(), profile.as_os_str()])
        .args(["--target", &url, "--set", &format!("auth.key_file={key_file}"), "--out"])
        .arg(&out)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the run starts");
    let mut stderr = BufReader::new(run.stderr.take().expect("piped"));
    let (mut talk, mut lines, mut environments) = (String::new(), String::new(), String::new());
    // Looked at whenever the run says something, from its first line to its last.
    while stderr.read_line(&mut talk).expect("text") > 0 {
        process_list(&fs::canonicalize(binary).expect("it is there"), &mut lines, &mut environments);
    }
    let mut shown = String::new();
    run.stdout.take().expect("piped").read_to_string(&mut shown).expect("text");
    assert!(run.wait().expect("it ends").success(), "{talk}");

    assert!(lines.lines().count() >= 4, "target, balancer, pods and run were looked at");
    // What else stands in an environment is not the harness's.
    assert!(!environments.contains(key), "the key is in an environment");
    let mut texts =
        vec![("stdout".to_owned(), shown), ("stderr".to_owned(), talk), ("command lines".to_owned(), lines)];
    all_files(&out, &mut texts);
    assert!(texts.len() >= 12, "{}", texts.len());
    for (name, text) in &texts {
        assert!(!text.contains(key), "the key is in {name}");
        // Every token of the target is a JWT, whose header and claims begin like this. Histograms are base64, which may
        // hold any three letters, but no full stop.
        assert!(!text.contains(".eyJ"), "a token is in {name}");
        assert!(name.ends_with("latency.hlog") || !text.contains("eyJ"), "a token is in {name}");
        assert!(!text.contains("token="), "a stream URL is in {name}");
    }
    let summary = &texts.iter().find(|(name, _)| name.ends_with("summary.json")).expect("written").1;
    assert!(summary.contains("\"refreshed\": 10"), "tokens were really refreshed");
}
