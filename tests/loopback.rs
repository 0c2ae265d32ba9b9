//! Small runs over sockets: the harness and its own target, as `wavesoak run` has them.
//!
//! None of them asserts a duration or a rate; the faults are planted by coordinates or by share of a known number.

#![expect(clippy::disallowed_methods, reason = "run directories and key files are files")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use tempfile::TempDir;
use wavesoak::profile;
use wavesoak::report::Summary;
use wavesoak::report::run::{HookOptions, ProgressView, RunError, RunObserver, RunOptions, RunOutcome};
use wavesoak::target::Config;
use wavesoak::target::process::{Embedded, SpawnOptions};
use wavesoak::worker::coordinator;

const EXE: &str = env!("CARGO_BIN_EXE_wavesoak");

const SMALL: &str = r#"
name = "small"
seed = 3

[target.embedded]
pods = 3
ping_interval = "1s"
client_watchdog = "2500ms"

[auth]
login_rate = "500/s"

[population]
tenants = 2
clients = 20
members_per_room = 5
rooms_per_client = 2

[[phase]]
name = "ramp"
duration = "1s"
clients = "100%"

[[phase]]
name = "hold"
duration = "6s"

[traffic]
rate = "40/s"

[client]
lateness_bound = "1s"
"#;

/// Keeps what it is told.
#[derive(Default)]
struct Notes(Vec<String>);

impl RunObserver for Notes {
    fn interval(&mut self, _view: &ProgressView) {}

    fn note(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }
}

/// A run, what it said, and where it wrote.
struct Run {
    outcome: Result<RunOutcome, RunError>,
    notes: Vec<String>,
    out: TempDir,
}

impl Run {
    fn of(text: &str) -> Self {
        let out = tempfile::tempdir().expect("a place for reports");
        let place = out.path().to_owned();
        Self::writing_to(text, &place, out)
    }

    fn writing_to(text: &str, place: &Path, out: TempDir) -> Self {
        let loaded = profile::parse(text, "test.toml", &[]).unwrap_or_else(|error| panic!("{error}"));
        let options = RunOptions {
            out: place.to_owned(),
            shared: false,
            hooks: HookOptions::default(),
            exe: PathBuf::from(EXE),
            cleanup: false,
            profile_toml: loaded.profile.to_toml(),
        };
        let mut notes = Notes::default();
        let outcome = coordinator::run(Arc::new(loaded.profile), &options, &mut notes);
        Self { outcome, notes: notes.0, out }
    }

    /// The summary of a run that came to its end, with books that balance.
    fn summary(&self) -> &Summary {
        let summary = match &self.outcome {
            Ok(outcome) => &outcome.summary,
            Err(error) => panic!("{error:?}\n{:#?}", self.notes),
        };
        assert!(!summary.partial);
        summary.books().unwrap_or_else(|imbalances| panic!("{imbalances:?}"));
        summary
    }

    /// Why nothing was started.
    fn refusal(&self) -> String {
        match &self.outcome {
            Err(RunError::Preflight(source)) => source.to_string(),
            Err(error) => panic!("not a refusal: {error:?}"),
            Ok(outcome) => panic!("it ran: {:?}", outcome.summary.verdict),
        }
    }

    /// Every file of the run directory.
    fn files(&self) -> Vec<(PathBuf, String)> {
        let directory = &self.outcome.as_ref().expect("a report").directory;
        let read = |entry: std::io::Result<fs::DirEntry>| {
            let path = entry.expect("an entry").path();
            // `positions` is no text.
            let bytes = fs::read(&path).expect("a file");
            (path, String::from_utf8_lossy(&bytes).into_owned())
        };
        fs::read_dir(directory).expect("a directory").map(read).collect()
    }
}

/// What holds in every run against our own target in good order, whatever is done to the lines.
fn assert_sound(summary: &Summary) {
    let deliveries = &summary.deliveries;
    assert!(deliveries.expected > 0);
    let wrong = [
        deliveries.missed_on_stream,
        deliveries.missed_in_sync,
        deliveries.missed_behind_cursor,
        deliveries.missed_unplaced,
        deliveries.lost_by_server,
        deliveries.unaudited,
        deliveries.duplicate,
        deliveries.unexpected,
        deliveries.leaked,
        deliveries.leaked_room,
        deliveries.undecided,
    ];
    assert_eq!(wrong, [0; 11], "{deliveries:?}");
    assert_eq!(summary.reconnects.schedule_violations, 0);
    assert_eq!((summary.clients.live_at_end, summary.clients.ready_at_end), (20, 20));
    assert_eq!(summary.publishes.acknowledged, summary.publishes.intended);
    assert_eq!(summary.server.messages_dropped_total, Some(0));
    assert_eq!(
        (summary.server.ws_connections.before, summary.server.ws_connections.after),
        (Some(0), Some(0))
    );
}

fn fault(lines: &str) -> String {
    format!("{SMALL}\n[[fault]]\n{lines}\n")
}

#[test]
fn a_quiet_run_delivers_everything_live() {
    let run = Run::of(SMALL);
    let summary = run.summary();
    assert_sound(summary);
    assert_eq!(summary.deliveries.live, summary.deliveries.expected);
    assert_eq!(summary.disconnects.total, 0);
    assert_eq!(summary.server.ws_connections.peak, Some(20));
}

#[test]
fn clients_without_a_balancer_are_spread_over_the_pods() {
    let text = SMALL.replace("pods = 3", "pods = 3\nbalancer = { mode = \"direct\" }");
    let run = Run::of(&text);
    assert_sound(run.summary());
    let target = run.notes.iter().find(|note| note.starts_with("target: ")).expect("where it is");
    assert_eq!(target.matches("http://").count(), 3, "{target}");
}

#[test]
fn reset_connections_come_back_at_once() {
    let run = Run::of(&fault("kind = \"reset\"\nat = \"3s\"\nshare = \"50%\""));
    let summary = run.summary();
    assert_sound(summary);
    assert_eq!(summary.faults[0].affected, Some(10));
    assert_eq!(summary.disconnects.by_cause.get("reset"), Some(&10));
    assert_eq!((summary.reconnects.immediate, summary.reconnects.total), (10, 10));
}

#[test]
fn an_expired_token_is_refreshed_once_and_the_client_is_back() {
    let run = Run::of(&fault("kind = \"expire-token\"\nat = \"3s\"\nshare = \"50%\""));
    let summary = run.summary();
    assert_sound(summary);
    assert_eq!(summary.faults[0].affected, Some(10));
    assert_eq!(summary.tokens.refreshed, 10);
    assert_eq!(summary.clients.auth_failed, 0);
}

#[test]
fn a_silent_connection_is_found_by_the_watchdog_alone() {
    let run = Run::of(&fault("kind = \"silent\"\nat = \"2s\"\nshare = \"30%\"\nduration = \"4s\""));
    let summary = run.summary();
    assert_sound(summary);
    assert_eq!(summary.faults[0].affected, Some(6));
    assert_eq!(summary.disconnects.by_cause.get("silent"), Some(&6));
    assert_eq!(summary.disconnects.total, 6);
}

#[test]
fn a_dead_pod_costs_its_connections_and_stream_first_misses_nothing() {
    let text = fault("kind = \"pod-kill\"\npod = 1\nat = \"3s\"\nduration = \"1s\"")
        .replace("[client]", "[client]\nbridge = \"stream-first\"");
    let run = Run::of(&text);
    let summary = run.summary();
    assert_sound(summary);
    let affected = summary.faults[0].affected.expect("the target tells");
    assert!(affected > 0);
    assert_eq!(summary.disconnects.total, affected);
    assert_eq!(summary.deliveries.missed_after_bridging, 0);
}

#[test]
fn processes_that_are_started_again_begin_at_what_their_file_has_and_lose_nothing() {
    let restart = fault("kind = \"restart\"\nat = \"4s\"\nshare = \"50%\"\nduration = \"1s\"");
    let run = Run::of(&restart.replace("[client]", "[client]\nbridge = \"stream-first\""));
    let summary = run.summary();
    assert_sound(summary);
    let deliveries = &summary.deliveries;
    assert_eq!(summary.faults[0].affected, Some(10));
    assert_eq!(summary.disconnects.by_cause.get("killed"), Some(&10));
    assert_eq!((summary.disconnects.total, summary.reconnects.total), (10, 0));
    assert_eq!((deliveries.missed_after_bridging, deliveries.redelivered), (0, 0));
    assert!(deliveries.bridged > 0, "they were down for a second");
    // No more than came to ten clients on the stream before they died, which was half of the run.
    assert!(deliveries.replayed < deliveries.live / 2, "{deliveries:?}");
    assert!(
        summary.harness.flushes.count >= 4 && summary.harness.refused.is_empty(),
        "{:?}",
        summary.harness
    );
}

#[test]
fn events_lost_by_coordinates_are_found_one_by_one() {
    let lost = "kind = \"lose\"\nclient = 4\nroom = 1\nfirst = 12\ncount = 7\nstore = ";
    for store in [true, false] {
        let run = Run::of(&fault(&format!("{lost}{store}")));
        let summary = run.summary();
        let deliveries = &summary.deliveries;
        assert_eq!((deliveries.missed_on_stream, deliveries.missed_after_bridging), (7, 7));
        let (lost, recoverable) = if store { (7, 0) } else { (0, 7) };
        assert_eq!((deliveries.lost_by_server, deliveries.recoverable), (lost, recoverable), "store {store}");
        let findings = run.files().into_iter().find(|(path, _)| path.ends_with("findings.jsonl"));
        assert_eq!(findings.expect("written").1.lines().count(), 7);
    }
}

#[test]
fn no_token_and_no_key_is_in_any_file() {
    let run = Run::of(&fault("kind = \"expire-token\"\nat = \"2s\"\nshare = \"50%\""));
    assert_sound(run.summary());
    for (path, text) in run.files() {
        assert!(!text.contains("eyJ") && !text.contains("token="), "{}", path.display());
    }
}

#[test]
fn a_deployment_gets_the_same_run_without_the_faults_that_are_not_ours_to_plant() {
    let config = profile::parse(SMALL, "test.toml", &[]).expect("a good profile").profile;
    let target = Deployment::start(Config::from_profile(&config));
    let place = tempfile::tempdir().expect("a private place");
    let key_file = place.path().join("key");
    fs::write(&key_file, &target.key).expect("written");
    let text = fault("kind = \"pod-kill\"\nat = \"3s\"\nduration = \"1s\"")
        .replace("[target.embedded]", &format!("[target]\nurl = \"{}\"\n\n[target.embedded]", target.url))
        .replace("[auth]", &format!("[auth]\nkey_file = \"{}\"", key_file.display()));
    let run = Run::of(&text);
    let summary = run.summary();
    assert_sound(summary);
    assert_eq!(summary.faults[0].affected, None);
    assert!(run.notes.iter().any(|note| note.contains("not planted")), "{:?}", run.notes);
    assert!(summary.server.partial, "one /metrics answers for three pods");
}

#[test]
fn a_target_that_cannot_be_loaded_is_refused_before_any_client() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = nobody.local_addr().expect("bound").port();
    drop(nobody);
    let refusal = against(&format!("http://127.0.0.1:{port}")).refusal();
    assert!(refusal.contains("reach the target"), "{refusal}");
    for (answer, words) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "recognise ScaiWave"),
        ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "healthy: /health answers 503"),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "recognise ScaiWave"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "recognise ScaiWave"),
    ] {
        let refusal = against(&answering(answer)).refusal();
        assert!(refusal.contains(words), "{answer:?}: {refusal}");
    }
    // A server without TLS at an https:// address.
    let plain = answering("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    let refusal = against(&plain.replace("http:", "https:")).refusal();
    assert!(refusal.contains("reach the target"), "{refusal}");
}

#[test]
fn a_machine_that_is_too_small_is_named_with_its_limit() {
    let text = SMALL.replace("clients = 20", "clients = 4000000");
    let refusal = Run::of(&text).refusal();
    assert!(refusal.contains("open files") || refusal.contains("MiB of memory"), "{refusal}");
}

#[test]
fn an_output_that_cannot_be_written_is_refused_before_any_client() {
    let out = tempfile::tempdir().expect("a place");
    let file = out.path().join("file");
    fs::write(&file, "").expect("written");
    let run = Run::writing_to(SMALL, &file.join("reports"), out);
    assert!(run.refusal().contains("file/reports"), "{}", run.refusal());
    assert!(run.out.path().exists());
}

fn against(url: &str) -> Run {
    let place = tempfile::tempdir().expect("a private place");
    let key_file = place.path().join("key");
    fs::write(&key_file, "a key of no importance").expect("written");
    let text = SMALL
        .replace("[target.embedded]", &format!("[target]\nurl = \"{url}\"\n\n[target.embedded]"))
        .replace("[auth]", &format!("[auth]\nkey_file = \"{}\"", key_file.display()));
    Run::of(&text)
}

/// A server that gives every connection this answer.
fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { return };
            let mut request = [0; 4096];
            if socket.read(&mut request).is_ok_and(|read| read > 0) {
                let _ = socket.write_all(answer.as_bytes());
            }
        }
    });
    format!("http://{address}")
}

/// A target that belongs to somebody else.
struct Deployment {
    url: String,
    key: String,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Deployment {
    fn start(config: Config) -> Self {
        let (stop, stopped) = mpsc::channel();
        let (ready, started) = mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let spawned = Embedded::spawn(Path::new(EXE), &config, SpawnOptions::default()).await;
                let target = spawned.expect("a target");
                let key = target.key().expose().to_owned();
                ready.send((target.urls().remove(0), key)).expect("somebody waits");
                // The children serve by themselves; this thread only keeps them until it is told.
                let _ = stopped.recv();
                target.shutdown().await;
            });
        });
        let (url, key) = started.recv().expect("it starts");
        Self { url, key, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Somebody without pongs, two who sign in twice, one whom no event reaches: each says so in the pods' log.
const LOGGED: &str = r#"
[[fault]]
kind = "no-pongs"
at = "1500ms"
clients = [4]
[[fault]]
kind = "same-token"
at = "2s"
clients = [7, 8]
[[fault]]
kind = "deaf"
at = "2s"
duration = "3s"
clients = [2]
[[fault]]
kind = "reset"
at = "3s"
clients = [11, 12, 13]
"#;

#[test]
fn the_reasons_in_the_servers_log_are_held_against_what_clients_saw() {
    let place = tempfile::tempdir().expect("a place");
    let path = place.path().join("pods.log");
    fs::write(&path, "{\"event\":\"ws.fanout_failed\"}\nof another day\n").expect("written");
    let text =
        SMALL.replace("[target.embedded]", &format!("[target]\nlog_file = {path:?}\n[target.embedded]"));
    let run = Run::of(&format!("{text}{LOGGED}"));
    let server = &run.summary().server;
    let log = server.log.as_ref().expect("a log is read");
    let seen = |reason: &str| {
        let seen = log.disconnects.get(reason).into_iter().flatten();
        seen.map(|(seen, count)| (seen.as_str(), *count)).collect::<Vec<_>>()
    };
    assert_eq!(seen("ping_timeout"), [("ping_timeout", 1)], "{log:?}");
    assert_eq!(seen("duplicate_connection"), [("duplicate_connection", 2)], "{log:?}");
    let gone = log.disconnects.get("client_gone").expect("they leave");
    assert_eq!(gone.get("reset"), Some(&3), "{log:?}");
    assert_eq!((log.not_understood, log.other, log.unseen_reasons), (0, 0, 0), "{log:?}");
    // Each of them, and those who signed in twice with two tokens' worth of somebody else.
    let written = fs::read_to_string(&path).expect("a log").lines().count() as u64;
    assert_eq!(log.lines, written - 2, "what was there before is not of this run");
    let failed = log.fanout_failed_total().expect("it speaks of streams");
    assert!(failed > 0, "{log:?}");
    assert_eq!(Some(failed), server.fanout_failed, "as the target itself knows");
    let findings =
        run.files().into_iter().find(|(path, _)| path.ends_with("findings.jsonl")).expect("findings").1;
    let told = findings.lines().filter(|line| line.contains("\"kind\":\"fanout_failed\"")).count() as u64;
    assert_eq!(told, failed);
    assert!(findings.contains("\"server_name\":\"pod-"), "{findings}");
}

#[test]
fn a_log_that_cannot_be_read_is_refused_before_anybody_starts() {
    let place = tempfile::tempdir().expect("a place");
    let log = format!("[target]\nlog_file = {:?}\n[target.embedded]", place.path());
    let run = Run::of(&SMALL.replace("[target.embedded]", &log));
    let refusal = run.refusal();
    assert!(refusal.contains("pods") || refusal.contains("log"), "{refusal}");
}

#[test]
fn connections_that_the_gauge_never_lets_go_of_are_leaked_and_a_clean_run_leaks_none() {
    let scraped =
        SMALL.replace("[target.embedded]", "[target]\nscrape_interval = \"500ms\"\n[target.embedded]");
    let run = Run::of(&scraped);
    let server = &run.summary().server;
    assert_eq!((server.connections_unstable, server.connections_leaked), (Some(0), Some(0)), "{server:?}");
    let leak = "[[fault]]\nkind = \"metrics\"\nat = \"2s\"\nshow = \"leak\"\n\
                [[fault]]\nkind = \"reset\"\nat = \"3s\"\nshare = \"50%\"\n";
    let run = Run::of(&format!("{scraped}{leak}"));
    let summary = run.summary();
    assert_eq!(summary.server.connections_leaked, Some(10 + 20), "who was reset, and who left in the end");
    assert!(summary.remarks.join(" ").contains("connections_leaked"), "{:?}", summary.remarks);
}
