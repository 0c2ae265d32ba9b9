//! Upgrades that a balancer sends to a pod without the session: what the harness reports of them, from what clients see
//! alone, against what the pods know that they dropped.
//!
//! Clients of the profile begin within a second and then keep to the documented delays, so that all that are dropped come
//! back in waves (0, 1, 2, 4, 8 s apart). The run ends between two of them, and its drain waits for nobody: at its end no
//! upgrade is in doubt.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use wavesoak::collector::collected::{Evidence, Part, Stickiness};

use crate::balancer::{Balancer, Haproxy, Nginx, Running};
use crate::pods::Pods;
use crate::runs::Run;

/// So many clients; almost nothing is published, and nothing looked up, so that only they move their sessions.
fn profile(clients: u64, hold_s: u64, more: &str) -> String {
    format!(
        r#"
name = "sticky"
[auth]
login_rate = "2000/s"
[population]
tenants = 2
clients = {clients}
members_per_room = 20
rooms_per_client = 1
[[phase]]
name = "ramp"
duration = "1s"
clients = "100%"
[[phase]]
name = "hold"
duration = "{hold_s}s"
rate = "0%"
[traffic]
rate = "1/s"
[drain]
deadline = "1500ms"
[report]
findings_per_kind = 5000
[client]
watchdog = "5s"
lateness_bound = "200ms"
{more}"#
    )
}

fn pods() -> Pods {
    Pods::start_with(3, |config| {
        config.ping_interval = Duration::from_secs(2);
        config.session_drop_after = Some(Duration::from_secs(1));
        config.token_lifetime = Duration::from_secs(10);
    })
}

/// What came out, beside the truth.
struct Told {
    upgrades: u64,
    lost: u64,
    reported: Stickiness,
    remarks: String,
    findings: u64,
}

fn play(balancer: &Running, pods: &Pods, text: &str, set: &[&str]) -> Told {
    let set: Vec<String> = set.iter().map(|&set| set.to_owned()).collect();
    let run = Run::of(text, &format!("http://127.0.0.1:{}", balancer.port()), pods, &set, |_| ());
    let (upgrades, lost) = pods.truth().upgrades();
    Told {
        upgrades,
        lost,
        findings: run.findings_of("upgrade_lost"),
        remarks: run.summary.remarks.join("\n"),
        reported: run.summary.stickiness,
    }
}

/// The pods that answer are told, or are not.
const TOLD: [&str; 1] = ["target.pod_header=X-Served-By"];
const TOLD_BY_COOKIE: [&str; 1] = ["target.pod_cookie=POD"];
const UNTOLD: [&str; 0] = [];

#[track_caller]
fn assert_exact(told: &Told, evidence: Evidence) {
    let reported = &told.reported;
    assert_eq!((reported.upgrades, reported.upgrades_lost), (told.upgrades, Some(told.lost)), "{reported:?}");
    assert_eq!(reported.inferred_from, Some(evidence), "{reported:?}");
    let sums = (
        reported.after_refresh.upgrades + reported.otherwise.upgrades,
        reported.after_refresh.lost.zip(reported.otherwise.lost).map(|(one, other)| one + other),
    );
    assert_eq!(sums, (told.upgrades, Some(told.lost)), "{reported:?}");
}

/// Sync says `Authorization: Bearer TOKEN`, the upgrade `?token=TOKEN`.
const ONE_KEY: &str = r#"map $http_authorization $bearer { "~^Bearer\s+(?<token_of_bearer>\S+)$" $token_of_bearer; default ""; }"#;

/// Everybody's connection is reset once, so that those who stay have something to come back from.
const RESETS: &str = "[[fault]]\nkind = \"reset\"\nat = \"13s\"\nshare = \"100%\"\n";

/// Name, balancer, whether it is sticky.
type Variant = (&'static str, fn(&Pods) -> Running, bool);

const VARIANTS: [Variant; 9] = [
    ("nginx, round robin", |pods| Nginx::new(pods).start(), false),
    ("nginx, random", |pods| Nginx::new(pods).choosing("random;", "").start(), false),
    ("nginx, hash $remote_addr", |pods| Nginx::new(pods).choosing("hash $remote_addr;", "").start(), true),
    (
        "nginx, hash $arg_token$http_authorization",
        |pods| Nginx::new(pods).choosing("hash $arg_token$http_authorization;", "").start(),
        false,
    ),
    (
        "nginx, hash of the token in either",
        |pods| Nginx::new(pods).choosing("hash $arg_token$bearer;", ONE_KEY).start(),
        true,
    ),
    ("HAProxy, roundrobin", |pods| Haproxy::new(pods).start(), false),
    ("HAProxy, random", |pods| Haproxy::new(pods).choosing("balance random").start(), false),
    ("HAProxy, source", |pods| Haproxy::new(pods).choosing("balance source").start(), true),
    (
        "HAProxy, cookie insert",
        |pods| {
            Haproxy::new(pods).choosing("balance roundrobin\n  cookie POD insert indirect nocache").start()
        },
        true,
    ),
];

/// Other people's requests. Without them a round robin would send every upgrade to the pod next to its sync's, and where
/// nobody's connection lives, lives prove nothing.
struct Others {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Others {
    fn begin(port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads =
            (0..3).map(|_| Arc::clone(&stop)).map(|stop| std::thread::spawn(move || ask(port, &stop)));
        Self { threads: threads.collect(), stop }
    }
}

fn ask(port: u16, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        // Whatever comes of it: it has taken its turn.
        if let Ok(mut socket) = TcpStream::connect(("127.0.0.1", port)) {
            let _ = socket.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            let _ = socket.read_to_end(&mut Vec::new());
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// One balancer with and without the pods told; rows of a table.
fn compare(&(name, start, sticky): &Variant, clients: u64, table: &mut String) {
    let by_cookie = name.contains("cookie");
    let tellings: [(&[&str], Evidence); 2] =
        [(if by_cookie { &TOLD_BY_COOKIE } else { &TOLD }, Evidence::Pods), (&UNTOLD, Evidence::Lifetimes)];
    for (set, evidence) in tellings {
        let pods = pods();
        let balancer = start(&pods);
        let _others = name.ends_with("robin").then(|| Others::begin(balancer.port()));
        let told = play(&balancer, &pods, &profile(clients, 13, if sticky { RESETS } else { "" }), set);
        let reported =
            told.reported.upgrades_lost.map_or_else(|| "unknown".to_owned(), |lost| lost.to_string());
        let _ = writeln!(table, "| {name} | {evidence:?} | {} | {} | {reported} |", told.upgrades, told.lost);
        eprintln!("{}", table.lines().next_back().unwrap_or_default());
        assert_eq!(told.lost == 0, sticky, "{name}: {:?}", told.reported);
        // A round robin that nobody disturbed: where next to nobody's connection lives, lives prove nothing, and say so.
        if evidence == Evidence::Lifetimes && told.lost * 20 > told.upgrades * 19 {
            assert_eq!(told.reported.upgrades_lost, None, "{name}: {:?}", told.reported);
            continue;
        }
        assert_exact(&told, evidence);
        assert_eq!(told.remarks.contains("lost to a missing session"), !sticky, "{}", told.remarks);
        let expected = if evidence == Evidence::Pods { told.lost } else { 0 };
        assert_eq!(told.findings, expected, "{name}: a line for each, where it is certain");
    }
}

#[test]
fn a_client_that_keeps_to_its_own_address_sticks_by_it() {
    let pods = pods();
    let haproxy = Haproxy::new(&pods).choosing("balance source").start();
    let addresses =
        "target.local_addresses=[\"127.0.0.2\",\"127.0.0.3\",\"127.0.0.4\",\"127.0.0.5\",\"127.0.0.6\"]";
    let told = play(&haproxy, &pods, &profile(60, 13, RESETS), &[addresses, TOLD[0]]);
    assert_exact(&told, Evidence::Pods);
    assert_eq!(told.lost, 0, "{:?}", told.reported);
    let served = pods.truth().pods.iter().filter(|pod| pod.upgrades > 0).count();
    assert!(served > 1, "or it shows nothing: {:?}", pods.truth().pods);
}

/// `WAVESOAK_UPGRADES`: at least so many through each balancer, one balancer after the other; without it, a few hundred,
/// through all of them side by side.
fn upgrades_asked_for() -> Option<u64> {
    std::env::var("WAVESOAK_UPGRADES").ok().map(|count| count.parse().expect("WAVESOAK_UPGRADES is a number"))
}

#[test]
fn upgrades_lost_to_a_missing_session_are_counted_as_the_pods_count_them_whatever_balances() {
    let table = match upgrades_asked_for() {
        None => {
            let row = |variant| {
                let mut table = String::new();
                compare(variant, 60, &mut table);
                table
            };
            // Its own number of threads: nothing but waiting, mostly.
            std::thread::scope(|scope| {
                let runs: Vec<_> = VARIANTS.iter().map(|variant| scope.spawn(move || row(variant))).collect();
                runs.into_iter().map(|run| run.join().expect("it is exact")).collect::<String>()
            })
        }
        Some(least) => {
            let mut table = String::new();
            // Everybody connects once, and once more after a reset.
            VARIANTS.iter().for_each(|variant| compare(variant, least.div_ceil(2) + 20, &mut table));
            let upgrades = |row: &str| row.split('|').nth(3).and_then(|count| count.trim().parse().ok());
            assert!(table.lines().filter_map(upgrades).all(|upgrades: u64| upgrades >= least), "{table}");
            table
        }
    };
    println!(
        "| balancer | evidence | upgrades | lost (truth) | lost (reported) |\n|---|---|---:|---:|---:|\n{table}"
    );
    assert_eq!(table.lines().count(), 2 * VARIANTS.len());
}

/// Tokens live for ten seconds and are refreshed after eight; connections are reset after twelve. Whoever connects first
/// and syncs then has its session where the old token led to.
const REFRESHED: &str = "bridge = \"stream-first\"\n[[fault]]\nkind = \"reset\"\nat = \"12s\"\nshare = \"100%\"\n\
                         [target.embedded]\ntoken_lifetime = \"10s\"\n";

#[test]
fn stickiness_that_breaks_at_a_token_refresh_is_told_from_none_at_all() {
    for (set, evidence) in [(&TOLD[..], Evidence::Pods), (&UNTOLD[..], Evidence::Lifetimes)] {
        let pods = pods();
        let nginx = Nginx::new(&pods).choosing("hash $arg_token$bearer;", ONE_KEY).start();
        let told = play(&nginx, &pods, &profile(60, 14, REFRESHED), set);
        assert_exact(&told, evidence);
        let Part { upgrades, lost } = told.reported.after_refresh;
        assert_eq!((upgrades, lost), (60 + told.lost, Some(told.lost)), "{:?}", told.reported);
        assert!(told.lost > 20, "{:?}", told.reported);
        assert!(told.remarks.contains("Stickiness breaks at a token refresh"), "{}", told.remarks);
    }
}
