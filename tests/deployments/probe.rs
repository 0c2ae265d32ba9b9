//! `wavesoak probe`, as a person runs it: through real balancers with too low a timeout and with a good one, and against the
//! reference target with every symptom planted in turn. What is planted is named, and nothing else is.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::balancer::{Balancer as _, Haproxy, Nginx};
use crate::certificate::Certificate;
use crate::far::Far;
use crate::half_open::HalfOpen;
use crate::pods::{EXE, Pods};

/// What a probe said.
struct Probed {
    code: i32,
    report: Value,
}

impl Probed {
    /// Asked `only` this; nothing: everything.
    fn of(url: &str, key_file: &str, listen: &str, only: &[&str], set: &[String]) -> Self {
        let only = if only.is_empty() { Vec::new() } else { vec!["--only".to_owned(), only.join(",")] };
        let output = Command::new(EXE)
            .args(["probe", url, "--key-file", key_file, "--listen", listen, "--format", "json"])
            .args(["--set", "client.lateness_bound=1s"])
            .args(only)
            .args(set.iter().flat_map(|set| ["--set", set.as_str()]))
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // Every token of these targets is a JWT, which begins like this.
        let told = format!("{}{said}", String::from_utf8_lossy(&output.stdout));
        assert!(!told.contains("eyJ"), "a token is told: {told}");
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
        let schema = serde_json::from_str(include_str!("../../reports/probe.schema.json")).expect("JSON");
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        validator.validate(&report).unwrap_or_else(|error| panic!("{error} at {}", error.instance_path()));
        Self { code: output.status.code().expect("an exit code"), report }
    }

    fn through(port: u16, pods: &Pods, listen: &str, only: &[&str]) -> Self {
        Self::by(&format!("http://127.0.0.1:{port}"), pods, listen, only, &[])
    }

    fn by(url: &str, pods: &Pods, listen: &str, only: &[&str], set: &[String]) -> Self {
        let place = tempfile::tempdir().expect("a place");
        let key_file = place.path().join("key");
        fs::write(&key_file, &pods.key).expect("written");
        Self::of(url, &key_file.display().to_string(), listen, only, set)
    }

    fn findings(&self) -> Vec<&Value> {
        let checks = self.report["checks"].as_array().expect("checks").iter();
        checks.flat_map(|check| check["findings"].as_array().expect("findings")).collect()
    }

    fn names(&self) -> BTreeSet<&str> {
        self.findings().iter().filter_map(|finding| finding["name"].as_str()).collect()
    }

    /// This is the only thing that is found, and this is what was measured.
    fn is_idle_timeout_of(&self, seconds: f64) {
        assert_eq!((self.code, self.names()), (3, ["idle-timeout"].into()), "{:#}", self.report);
        let finding = self.findings()[0];
        let measured = finding["measured"]["timeout_s"].as_f64().expect("a number");
        assert!((measured - seconds).abs() <= 0.5, "{measured}");
        let remedy = finding["remedy"].as_str().expect("a remedy");
        for words in ["75–90s", "proxy_read_timeout 90s;", "timeout tunnel 90s"] {
            assert!(remedy.contains(words), "{remedy}");
        }
    }

    fn is_healthy(&self) {
        assert_eq!((self.code, self.names().len()), (0, 0), "{:#}", self.report);
        assert_eq!(self.report["outcome"], "healthy");
        assert_eq!(self.report["measured_without"], "permessage-deflate");
    }
}

/// What is asked of streams; `tests/sync_probe.rs` has the others.
const STREAMS: &[&str] = &[
    "drops",
    "silence",
    "token",
    "ping-timeout",
    "duplicate",
    "tenant",
    "rate-limit",
    "deaf",
    "pings",
    "metrics",
];

/// Pods whose pings are as far apart as these balancers' timeouts are not.
fn slow_pods() -> Pods {
    Pods::start_with(2, |config| config.ping_interval = Duration::from_secs(3))
}

#[test]
fn nginx_with_too_low_a_read_timeout_is_named_and_one_above_the_pings_is_healthy() {
    let (slow, quick) = (slow_pods(), Pods::start(2));
    let low = Nginx::new(&slow).reading_for("2s").start();
    let certificate = Certificate::of("localhost");
    let good = Nginx::new(&quick).with_tls(&certificate).start();
    let (url, trusting) = (
        format!("https://localhost:{}", good.port()),
        [format!("target.ca_file={}", certificate.path().display())],
    );
    thread::scope(|scope| {
        scope.spawn(|| Probed::through(low.port(), &slow, "9s", STREAMS).is_idle_timeout_of(2.0));
        scope.spawn(|| Probed::by(&url, &quick, "7s", &[], &trusting).is_healthy());
    });
}

#[test]
fn haproxy_with_too_low_a_tunnel_timeout_is_named_and_one_above_the_pings_is_healthy() {
    let (slow, quick) = (slow_pods(), Pods::start(2));
    let low = Haproxy::new(&slow).tunnel_for("2s").start();
    let good = Haproxy::new(&quick).start();
    thread::scope(|scope| {
        scope.spawn(|| Probed::through(low.port(), &slow, "9s", STREAMS).is_idle_timeout_of(2.0));
        scope.spawn(|| Probed::through(good.port(), &quick, "7s", &[]).is_healthy());
    });
}

/// There and back takes 200 ms, and every connection once more: as far as two places of this world are from each other.
#[test]
fn a_healthy_target_on_the_other_side_of_the_world_is_healthy() {
    let pods = Pods::start(2);
    let haproxy = Haproxy::new(&pods).start();
    let far = Far::start(haproxy.port(), Duration::from_millis(100));
    let probed = Probed::through(far.port(), &pods, "9s", &[]);
    probed.is_healthy();
    let seam =
        probed.report["observed"].as_array().expect("a list").iter().find(|own| own["topic"] == "seam");
    let least = seam.expect("measured")["measured"]["seam_ms_min"].as_f64();
    assert!(least >= Some(400.0), "the way counts: {:#}", probed.report);
}

#[test]
fn a_balancer_that_does_not_pass_the_upgrade_on_is_named() {
    let pods = Pods::start(1);
    let nginx = Nginx::new(&pods).without_upgrade().start();
    let probed = Probed::through(nginx.port(), &pods, "3s", STREAMS);
    assert!(probed.names().contains("no-stream"), "{:#}", probed.report);
    assert_eq!(probed.code, 3);
}

#[test]
fn a_wrong_clock_and_a_refresh_that_is_not_let_through_are_named() {
    let pods = Pods::start(1);
    let haproxy = Haproxy::new(&pods)
        .with("http-response set-header Date \"Thu, 01 Jan 2026 00:00:00 GMT\"")
        .with("http-request deny deny_status 403 if { path /v1/auth/refresh }")
        .start();
    let probed = Probed::through(haproxy.port(), &pods, "7s", STREAMS);
    let names: BTreeSet<&str> = ["clock-skew", "refresh-fails", "good-token-refused"].into();
    // What is not refreshed stays expired: the token that is tried after listening is refused as well.
    assert_eq!((probed.code, probed.names()), (3, names), "{:#}", probed.report);
}

#[test]
fn a_path_that_loses_what_clients_send_is_half_open() {
    let pods = Pods::start_with(1, |config| {
        (config.ping_interval, config.ping_misses) = (Duration::from_secs(1), 100);
    });
    let path = HalfOpen::start(&pods.addresses[0], Duration::from_secs(3));
    let probed = Probed::through(path.port(), &pods, "7s", STREAMS);
    assert!(probed.names().contains("half-open"), "{:#}", probed.report);
}

/// A symptom: what plants it, and everything that is to be found.
struct Planted {
    what: &'static str,
    /// `[[fault]]` of the target, without its head.
    fault: &'static str,
    /// Changes of the target.
    set: &'static [&'static str],
    found: &'static [&'static str],
    code: i32,
}

const fn fault(what: &'static str, fault: &'static str, found: &'static [&'static str]) -> Planted {
    Planted { what, fault, set: &[], found, code: 3 }
}

const fn set(what: &'static str, set: &'static [&'static str], found: &'static [&'static str]) -> Planted {
    Planted { what, fault: "", set, found, code: 3 }
}

/// Listeners of a probe have odd numbers; the third of them pings by itself.
const SYMPTOMS: &[Planted] = &[
    Planted { what: "nothing", fault: "", set: &[], found: &[], code: 0 },
    set(
        "an idle timeout of 2 s, pings every 3 s",
        &["target.embedded.balancer.idle_timeout=2s", "target.embedded.ping_interval=3s"],
        &["idle-timeout"],
    ),
    set(
        "streams need a session on their pod, and upgrades go round",
        &[
            "target.embedded.sessions=sync",
            "target.embedded.session_drop_after=500ms",
            "target.embedded.balancer.sticky=none",
        ],
        &["no-stickiness"],
    ),
    fault(
        "streams end at an age of 3 s",
        "kind = \"max-age\"\nat = \"0s\"\ntimeout = \"3s\"",
        &["maximum-age"],
    ),
    fault(
        "four streams end without a close frame",
        "kind = \"drop\"\nat = \"3s\"\nclients = [1, 3, 5, 7]\nhow = \"fin\"",
        &["dropped-together"],
    ),
    fault(
        "one stream ends without a close frame",
        "kind = \"drop\"\nat = \"3s\"\nclients = [3]\nhow = \"fin\"",
        &["drops-unexplained"],
    ),
    fault(
        "streams end now and then",
        "kind = \"drop\"\nat = \"1500ms\"\nclients = [1]\nhow = \"reset\"\n[[fault]]\n\
         kind = \"drop\"\nat = \"2900ms\"\nclients = [3]\nhow = \"reset\"\n[[fault]]\n\
         kind = \"drop\"\nat = \"4300ms\"\nclients = [5]\nhow = \"reset\"\n[[fault]]\n\
         kind = \"drop\"\nat = \"5700ms\"\nclients = [7]\nhow = \"reset\"",
        &["unstable-network"],
    ),
    fault(
        "some streams are not pinged",
        "kind = \"no-pings\"\nat = \"0s\"\nclients = [1, 3, 7]",
        &["no-pings"],
    ),
    fault(
        "a pod dies and comes back",
        "kind = \"pod-kill\"\nat = \"3s\"\nduration = \"500ms\"\npod = 0",
        &["dropped-together"],
    ),
    fault(
        "the server forgets four streams",
        "kind = \"drop\"\nat = \"3s\"\nclients = [1, 3, 5, 7]\nhow = \"silent\"",
        &["silent-drop", "deaf"],
    ),
    fault(
        "live streams are closed with 4001",
        "kind = \"close\"\nat = \"3s\"\nclients = [1, 3, 5]\ncode = 4001\nreason = \"SW_AUTH_INVALID_TOKEN\"",
        &["token-refused"],
    ),
    fault(
        "good tokens are refused",
        "kind = \"reject-tokens\"\nat = \"3s\"\nshare = \"100%\"",
        &["good-token-refused", "publishes-refused"],
    ),
    fault(
        "streams that answer pings are closed with 4003",
        "kind = \"close\"\nat = \"3s\"\nclients = [1, 3, 5]\ncode = 4003\nreason = \"ping_timeout\"",
        &["aborted"],
    ),
    fault(
        "somebody else uses the tokens",
        "kind = \"close\"\nat = \"3s\"\nclients = [1, 3, 5]\ncode = 4003\nreason = \"duplicate_connection\"",
        &["evicted"],
    ),
    set("a client that answers no ping is kept", &["target.embedded.ping_misses=100"], &["no-ping-timeout"]),
    fault(
        "hello names another tenant",
        "kind = \"wrong-tenant\"\nat = \"0s\"\nclients = [5, 7, 9]",
        &["wrong-tenant"],
    ),
    set("5 publishes a second are the limit", &["target.embedded.send_limit=5/s"], &["rate-limited"]),
    fault("publishes are refused", "kind = \"refuse-publishes\"\nat = \"0s\"", &["publishes-refused"]),
    fault("deaf connections", "kind = \"deaf\"\nat = \"0s\"\nclients = [5, 7, 9]", &["deaf"]),
    fault("a pod stops writing to streams", "kind = \"stall\"\nat = \"3s\"\nclients = [5, 7, 9]", &["deaf"]),
    fault("no hello", "kind = \"no-hello\"\nat = \"0s\"\nclients = [5, 7, 9]", &["hello-slow"]),
    fault(
        "hello is 3 s late",
        "kind = \"late-hello\"\nat = \"0s\"\nclients = [5, 7, 9]\nby = \"3s\"",
        &["hello-slow"],
    ),
    fault(
        "the subscription is 3 s behind hello",
        "kind = \"early-hello\"\nat = \"0s\"\nclients = [5, 7, 9]\nby = \"3s\"",
        &["hello-early"],
    ),
    fault(
        "messages were dropped",
        "kind = \"metrics\"\nat = \"0s\"\nshow = \"wrong\"\nmore = 7",
        &["messages-dropped"],
    ),
    Planted {
        what: "the dropped counter is not exposed",
        fault: "kind = \"metrics\"\nat = \"0s\"\nshow = \"missing\"",
        set: &[],
        found: &[],
        code: 4,
    },
];

/// Targets and probes at a time: they wait, mostly.
const JOBS: usize = 7;

#[test]
fn every_planted_symptom_is_named_and_nothing_else() {
    let (next, wrong) = (Mutex::new(SYMPTOMS.iter()), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let Some(symptom) = next.lock().expect("no panic").next() else { return };
            let probed = symptom.probed();
            let (found, code) = (probed.names(), probed.code);
            println!(
                "| {} | {} | {code} |",
                symptom.what,
                found.iter().copied().collect::<Vec<_>>().join(", ")
            );
            if (found, code) != (symptom.found.iter().copied().collect(), symptom.code) {
                wrong.lock().expect("no panic").push(format!("{}: {:#}", symptom.what, probed.report));
            }
        }
    };
    thread::scope(|scope| (0..JOBS).for_each(|_| drop(scope.spawn(work))));
    let wrong = wrong.into_inner().expect("no panic");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

impl Planted {
    fn probed(&self) -> Probed {
        let target = Target::start(self);
        Probed::of(&target.url, &target.key_file, "7s", STREAMS, &[])
    }
}

/// `wavesoak target` with a symptom planted.
struct Target {
    child: Child,
    url: String,
    key_file: String,
    _place: TempDir,
    _stdout: BufReader<ChildStdout>,
}

impl Target {
    fn start(planted: &Planted) -> Self {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join("planted.toml");
        let fault =
            if planted.fault.is_empty() { String::new() } else { format!("[[fault]]\n{}\n", planted.fault) };
        // A machine that is busy with other tests may leave every pod without an answer for a second: a balancer that takes them
        // for dead then answers 502, and no symptom here is about that.
        let profile = format!(
            "[target.embedded]\nping_interval = \"1s\"\nbalancer.health_interval = \"10s\"\n[population]\ntenants = 1\nclients = 24\n\
             [[phase]]\nduration = \"1h\"\nclients = \"100%\"\n{fault}"
        );
        fs::write(&path, profile).expect("written");
        let mut command = Command::new(EXE);
        command.arg("target").arg(&path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.args(planted.set.iter().flat_map(|set| ["--set", set]));
        let mut child = command.spawn().expect("it starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut said = |word: &str| {
            loop {
                let mut line = String::new();
                assert!(stdout.read_line(&mut line).expect("text") > 0, "it ended without a {word}");
                if let Some(value) = line.strip_prefix(word) {
                    return value.trim().to_owned();
                }
            }
        };
        let (url, key_file) = (said("url "), said("key_file "));
        Self { child, url, key_file, _place: place, _stdout: stdout }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}
