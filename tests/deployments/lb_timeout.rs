//! `wavesoak size lb-timeout`, as a person runs it: through real balancers with timeouts of a few seconds, pings as far apart.
//! What is set is measured, who ended what is named, and what is no idle timeout is not called one.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use wavesoak::target::config::{Cohort, PlantedFault, PlantedKind};

use crate::balancer::{Balancer as _, Haproxy, Nginx, Running};
use crate::pods::{EXE, Pods};

/// One path, and everything that is to be said about it.
struct Case {
    what: &'static str,
    /// Time between two pings of the pods.
    pings: u64,
    pods: u32,
    /// Something planted at the pods' own balancer, which then is the path.
    planted: Option<PlantedKind>,
    balancer: fn(&Pods) -> Option<Running>,
    /// For how long clients ask their polls to be held.
    asked: &'static str,
    findings: &'static [&'static str],
    code: i32,
    stream: &'static str,
    stream_s: Option<f64>,
    poll: &'static str,
    poll_s: Option<f64>,
    /// Keys, and what they must be.
    also: &'static [(&'static str, &'static str)],
}

/// A healthy path, from which each case differs.
const GOOD: Case = Case {
    what: "nothing",
    pings: 1,
    pods: 1,
    planted: None,
    balancer: |pods| Some(Nginx::new(pods).start()),
    asked: "3s",
    findings: &[],
    code: 0,
    stream: "above-what-pings-need",
    stream_s: None,
    poll: "held-to-the-bound",
    poll_s: None,
    also: &[],
};

fn cases() -> Vec<Case> {
    vec![
        Case { also: &[("/stream/ended_by", "null"), ("/poll/at_least_s", "6.0")], ..GOOD },
        Case {
            what: "nginx reads for 2 s, pings come every 3 s",
            pings: 3,
            balancer: |pods| Some(Nginx::new(pods).reading_for("2s").start()),
            findings: &["idle-timeout", "poll-timeout-low"],
            code: 3,
            stream: "below-what-pings-need",
            stream_s: Some(2.0),
            poll: "cut",
            poll_s: Some(2.0),
            also: &[
                ("/stream/ended_by", "\"intermediary\""),
                ("/poll/ended_by", "\"intermediary\""),
                ("/poll/tries", "1"),
                ("/poll/confirmed", "true"),
            ],
            ..GOOD
        },
        Case {
            what: "nginx reads sync for 2 s, and clients ask for 1 s",
            balancer: |pods| Some(Nginx::new(pods).polling_for("2s").start()),
            asked: "1s",
            poll: "cut",
            poll_s: Some(2.0),
            also: &[("/poll/ended_by", "\"intermediary\""), ("/stream/idle_timeout_s", "null")],
            ..GOOD
        },
        Case {
            what: "nginx reads sync for 2 s and tries both pods, one after the other",
            pods: 2,
            balancer: |pods| Some(Nginx::new(pods).never_giving_up().polling_for("2s").start()),
            findings: &["poll-timeout-low"],
            code: 3,
            poll: "cut",
            poll_s: Some(2.0),
            also: &[("/poll/tries", "2"), ("/poll/confirmed", "true")],
            ..GOOD
        },
        Case {
            what: "HAProxy has a tunnel timeout of 2 s, pings come every 3 s",
            pings: 3,
            balancer: |pods| Some(Haproxy::new(pods).tunnel_for("2s").start()),
            findings: &["idle-timeout"],
            code: 3,
            stream: "below-what-pings-need",
            stream_s: Some(2.0),
            also: &[("/stream/ended_by", "\"intermediary\"")],
            ..GOOD
        },
        Case {
            what: "HAProxy waits for an answer for 2 s",
            balancer: |pods| Some(Haproxy::new(pods).answering_within("2s").start()),
            findings: &["poll-timeout-low"],
            code: 3,
            poll: "cut",
            poll_s: Some(2.0),
            also: &[("/poll/ended_by", "\"intermediary\""), ("/poll/tries", "1")],
            ..GOOD
        },
        Case {
            what: "streams end at an age of 3 s, pings come every 4 s",
            pings: 4,
            planted: Some(PlantedKind::MaxAge { timeout: Duration::from_secs(3) }),
            findings: &["maximum-age"],
            code: 3,
            stream: "ends-at-an-age",
            also: &[("/stream/idle_timeout_s", "null")],
            ..GOOD
        },
        Case {
            what: "the target's balancer cuts streams that are idle for 2 s, pings come every 3 s",
            pings: 3,
            planted: Some(PlantedKind::IdleTimeout { timeout: Duration::from_secs(2) }),
            findings: &["idle-timeout"],
            code: 3,
            stream: "below-what-pings-need",
            stream_s: Some(2.0),
            also: &[("/stream/maximum_age_s", "null")],
            ..GOOD
        },
        Case {
            what: "the server holds no poll for more than 2 s",
            balancer: |pods| Some(Nginx::new(pods).capping_polls_at(2000).start()),
            poll: "capped-by-server",
            also: &[("/poll/ended_by", "\"server\""), ("/poll/timeout_s", "null")],
            ..GOOD
        },
    ]
}

/// Paths at a time: they wait, mostly.
const JOBS: usize = 5;

#[test]
fn every_timeout_is_measured_its_party_named_and_nothing_else_is_found() {
    let (cases, wrong) = (cases(), Mutex::new(Vec::new()));
    let next = Mutex::new(cases.iter());
    let work = || {
        loop {
            let Some(case) = next.lock().expect("no panic").next() else { return };
            if let Err(why) = case.play_until_sure() {
                wrong.lock().expect("no panic").push(format!("{}: {why}", case.what));
            }
        }
    };
    thread::scope(|scope| (0..JOBS).for_each(|_| drop(scope.spawn(work))));
    let wrong = wrong.into_inner().expect("no panic");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

impl Case {
    /// A machine that stands still for half a second leaves something unconfirmed, and the answer says so; then it is asked
    /// for again. A wrong answer is one at once.
    fn play_until_sure(&self) -> Result<(), String> {
        let unsure = |why: &String| why.contains("\"unclear\": [\n") && self.stream != "ends-at-an-age";
        let mut played = self.play();
        for _ in 0..2 {
            match &played {
                Err(why) if unsure(why) => played = self.play(),
                _ => break,
            }
        }
        played
    }

    fn play(&self) -> Result<(), String> {
        let pods = Pods::start_with(self.pods, |config| {
            config.ping_interval = Duration::from_secs(self.pings);
            config.balancer.proxy = self.planted.is_some();
            config.faults = self.planted.iter().cloned().map(planted).collect();
        });
        let balancer = if self.planted.is_some() { None } else { (self.balancer)(&pods) };
        let url = match &balancer {
            Some(balancer) => format!("http://127.0.0.1:{}", balancer.port()),
            None => format!("http://{}", pods.addresses[0]),
        };
        let place = tempfile::tempdir().expect("a place");
        let key_file = place.path().join("key");
        fs::write(&key_file, &pods.key).expect("written");
        let output = Command::new(EXE)
            .args([
                "size",
                "lb-timeout",
                "--target",
                &url,
                "--listen",
                "11s",
                "--up-to",
                "6s",
                "--format",
                "json",
            ])
            .args(["--set", "client.lateness_bound=1s", "--set"])
            .arg(format!("client.poll_timeout={}", self.asked))
            .arg("--key-file")
            .arg(&key_file)
            .arg("--out")
            .arg(place.path())
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let report: Value =
            serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {said}"))?;
        let schema =
            serde_json::from_str(include_str!("../../reports/lb-timeout.schema.json")).expect("JSON");
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let faults: Vec<String> = validator
            .iter_errors(&report)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        if !faults.is_empty() {
            return Err(faults.join("\n"));
        }
        self.is_said_by(&report, output.status.code()).map_err(|why| format!("{why}: {report:#}\n{said}"))?;
        kept(place.path(), &output.stdout, &pods.key)
    }

    fn is_said_by(&self, report: &Value, code: Option<i32>) -> Result<(), String> {
        let findings = report["findings"].as_array().ok_or("no findings")?;
        let names: Vec<&str> = findings.iter().filter_map(|finding| finding["name"].as_str()).collect();
        if (names.as_slice(), code) != (self.findings, Some(self.code)) {
            return Err(format!("{names:?}, exit {code:?}"));
        }
        for (key, expected) in [("/stream/state", self.stream), ("/poll/state", self.poll)] {
            if report.pointer(key) != Some(&Value::from(expected)) {
                return Err(format!("{key} is {:?}", report.pointer(key)));
            }
        }
        for (key, expected) in [("/stream/idle_timeout_s", self.stream_s), ("/poll/timeout_s", self.poll_s)] {
            let measured = report.pointer(key).and_then(Value::as_f64);
            let right = match (measured, expected) {
                (Some(measured), Some(expected)) => (measured - expected).abs() <= 0.5,
                (measured, expected) => measured == expected,
            };
            if !right {
                return Err(format!("{key} is {measured:?}"));
            }
        }
        for (key, expected) in self.also {
            if report.pointer(key).map(Value::to_string).as_deref() != Some(*expected) {
                return Err(format!("{key} is {:?}", report.pointer(key)));
            }
        }
        // Streams that end before the first ping know nothing of pings. A gap may be longer, on a busy machine.
        match report["pings"]["worst_gap_s"].as_f64() {
            Some(gap) if self.stream != "ends-at-an-age" && gap > self.pings as f64 - 0.5 => Ok(()),
            None if self.stream == "ends-at-an-age" => Ok(()),
            gap => Err(format!("the worst gap is {gap:?}")),
        }
    }
}

/// The directory has what stdout has, and no secret is in it.
fn kept(out: &std::path::Path, stdout: &[u8], key: &str) -> Result<(), String> {
    let directory = fs::read_dir(out).expect("a directory").flatten().map(|entry| entry.path());
    let directory = directory.filter(|path| path.is_dir()).last().ok_or("no directory")?;
    let name = directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !name.starts_with("size-lb-timeout-127.0.0.1-20") {
        return Err(name);
    }
    let read = |name: &str| fs::read_to_string(directory.join(name)).map_err(|error| error.to_string());
    let (json, markdown) = (read("lb-timeout.json")?, read("lb-timeout.md")?);
    if json.as_bytes() != stdout {
        return Err("lb-timeout.json is not what was printed".to_owned());
    }
    for text in [&json, &markdown] {
        if text.contains(key) || text.contains("eyJ") || !text.contains("permessage-deflate") {
            return Err(format!("a secret, or not a word of compression: {text}"));
        }
    }
    Ok(())
}

fn planted(kind: PlantedKind) -> PlantedFault {
    PlantedFault { index: 0, name: "planted".to_owned(), at: Duration::ZERO, duration: None, kind }
}

#[test]
fn a_tenant_in_which_somebody_always_publishes_is_said_to_be_busy() {
    let pods = Pods::start_with(1, |config| {
        // Every sync is answered with the last events again: to who polls, somebody always publishes.
        let verb = wavesoak::profile::Sync::Repeat { back: 3 };
        config.faults = vec![planted(PlantedKind::Sync { who: everyone(), verb })];
    });
    let place = tempfile::tempdir().expect("a place");
    let key_file = place.path().join("key");
    fs::write(&key_file, &pods.key).expect("written");
    let output = Command::new(EXE)
        .args(["size", "lb-timeout", "--target", &format!("http://{}", pods.addresses[0])])
        .args(["--listen", "2s", "--up-to", "3s", "--set", "client.lateness_bound=1s", "--key-file"])
        .arg(&key_file)
        .args(["--format", "json", "--set", "client.poll_timeout=1s", "--out"])
        .arg(place.path())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!(
        (output.status.code(), report["poll"]["state"].as_str()),
        (Some(4), Some("unknown")),
        "{report:#}"
    );
    let unclear = report["unclear"].to_string();
    assert!(unclear.contains("somebody publishes in this tenant all the time"), "{unclear}");
}

fn everyone() -> Cohort {
    Cohort::Share { share: 1.0, clients: 24 }
}

#[test]
fn who_ends_it_early_leaves_no_rooms_and_no_half_an_answer() {
    let pods = Pods::start(1);
    let place = tempfile::tempdir().expect("a place");
    let key_file = place.path().join("key");
    fs::write(&key_file, &pods.key).expect("written");
    let out = place.path().join("out");
    let mut child = Command::new(EXE)
        .args(["size", "lb-timeout", "--target", &format!("http://{}", pods.addresses[0]), "--key-file"])
        .arg(&key_file)
        .arg("--out")
        .arg(&out)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut said = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.starts_with("long polls, round 1") {
        line.clear();
        assert!(said.read_line(&mut line).expect("text") > 0, "it ended before it began");
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("text");
    assert_eq!(child.wait().expect("a child of ours").code(), Some(130), "{rest}");
    assert!(rest.contains("rooms put away: 2 archived"), "{rest}");
    assert_eq!(fs::read_dir(&out).expect("made").count(), 0, "{rest}");
}
