//! `wavesoak probe` against targets whose sync has one planted defect each: the probe names it, and nothing on a healthy one.

#![cfg(feature = "live")]
#![expect(clippy::disallowed_methods, reason = "tests own sockets and files")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures::stream::{StreamExt as _, iter};
use serde_json::Value;
use tokio::process::Command;
use wavesoak::profile::{self, BalancerMode, Delivery, Publish, Stream, Sync};
use wavesoak::target::Config;
use wavesoak::target::config::{Cohort, PlantedFault, PlantedKind, Which};
use wavesoak::target::process::{Embedded, SpawnOptions};

/// One defect, and what the probe has to say about it.
struct Case {
    /// As a profile writes it.
    planted: &'static str,
    kind: PlantedKind,
    /// The check that is asked.
    only: &'static str,
    /// The name of the finding.
    finding: &'static str,
    /// What its evidence has to mention.
    evidence: &'static str,
}

/// The identity that bridges (`path::BRIDGER`), and the room that it is in (`path::TALK`).
const BRIDGER: u32 = 10;
const TALK: u32 = 0;

fn cases() -> Vec<Case> {
    let sync = |verb| PlantedKind::Sync { who: everyone(), verb };
    let stream = |verb| PlantedKind::Stream { who: everyone(), verb };
    let publish = |first, verb| PlantedKind::Publish { which: at(first), verb };
    let delivery = |first, verb| PlantedKind::Delivery { which: at(first), verb };
    let ms = Duration::from_millis;
    let case = |planted, kind, only, finding, evidence| Case { planted, kind, only, finding, evidence };
    // Event 0 is the last one before the cut (or before the pages), 1 to 6 are published behind it.
    vec![
        case("sync-skip", sync(Sync::Skip), "pages", "cursor-skips", "event 2 ("),
        case(
            "sync-repeat, back = 1",
            sync(Sync::Repeat { back: 1 }),
            "pages",
            "since-inclusive",
            "returned event 0 (",
        ),
        case(
            "sync-repeat, back = 3",
            sync(Sync::Repeat { back: 3 }),
            "bridge",
            "sync-repeats",
            "returned a marker (",
        ),
        case(
            "sync-backwards, back = 5",
            sync(Sync::Backwards { back: 5 }),
            "pages",
            "cursor-backwards",
            "next_cursor",
        ),
        case("sync-omit", delivery(3, Delivery::HideFromSync), "bridge", "sync-omits", "event 3 ("),
        case(
            "lose, store = true",
            delivery(4, Delivery::Lose { store: true }),
            "bridge",
            "sync-omits",
            "as another member has it",
        ),
        case("accept-unstored", publish(2, Publish::Forget), "bridge", "acknowledged-lost", "event 2 ("),
        case("commit-late", publish(3, Publish::CommitLate(ms(1500))), "bridge", "below-cursor", "event 3 ("),
        case(
            "commit-late, share = 30%",
            PlantedKind::Publish { which: Which::Share(0.3), verb: Publish::CommitLate(ms(1500)) },
            "positions",
            "below-cursor",
            "had already gone on to",
        ),
        case(
            "renumber, back = 3",
            publish(5, Publish::Renumber { back: 3 }),
            "bridge",
            "positions-backwards",
            "event 5 (",
        ),
        case("store-twice", publish(6, Publish::Twice), "bridge", "stored-twice", "event 6: id "),
        case(
            "sync-fail, status = 500",
            sync(Sync::Fail { status: 500 }),
            "bridge",
            "sync-refused",
            "answered 500",
        ),
        case(
            "sync-fail, status = 429",
            sync(Sync::Fail { status: 429 }),
            "pages",
            "sync-refused",
            "answered 429",
        ),
        case("sync-retain, keep = 2", sync(Sync::Retain { keep: 2 }), "bridge", "sync-gone", "answered 410"),
        case(
            "sync-slow, by = 1200ms",
            sync(Sync::Slow(ms(1200))),
            "poll",
            "sync-slow",
            "the quickest of 3 pages",
        ),
        case(
            "early-hello, by = 400ms",
            stream(Stream::EarlyHello(ms(400))),
            "seam",
            "hello-before-subscription",
            "after hello came by neither",
        ),
        case(
            "late-hello, by = 1200ms",
            stream(Stream::LateHello(ms(1200))),
            "seam",
            "seam-wide",
            "was open for 1",
        ),
    ]
}

#[tokio::test]
async fn each_planted_defect_is_named() {
    let told = iter(cases()).map(async |case| {
        let (report, text) = probe_of(vec![case.kind.clone()], &["--only", case.only]).await;
        (case, report, text)
    });
    let told: Vec<_> = told.buffered(3).collect().await;
    let mut wrong = Vec::new();
    for (case, report, text) in told {
        let found = findings(&report);
        let lines = found.iter().filter(|(name, _)| *name == case.finding);
        let evidence =
            lines.clone().flat_map(|(_, finding)| finding["evidence"].as_array().into_iter().flatten());
        let named = evidence.clone().filter_map(Value::as_str).any(|line| line.contains(case.evidence));
        println!("{} | {}: {} [{}]", case.planted, case.only, line_of(lines.clone().next()), case.finding);
        if !named || report["outcome"] != "finding" {
            wrong.push(format!("{}: {text}", case.planted));
        }
        // What follows from the defect may be told as well; what does not may not.
        let others: Vec<&str> =
            found.iter().map(|(name, _)| *name).filter(|name| *name != case.finding).collect();
        if !others.iter().all(|name| follows(case.planted).contains(name)) {
            wrong.push(format!("{}: also {others:?}: {text}", case.planted));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Findings that a defect brings with it.
fn follows(planted: &str) -> &'static [&'static str] {
    match planted {
        // At the end there is nothing above since: such a page, and its cursor, end below it; and the pages of one never get
        // past the event that they begin with.
        "sync-repeat, back = 1" => &["cursor-stuck"],
        _ => &[],
    }
}

#[tokio::test]
async fn a_healthy_target_gives_no_finding_and_answers_what_the_documentation_leaves_open() {
    let mut balanced = Config { pods: 2, ..config(Vec::new()) };
    balanced.balancer.proxy = true;
    let target = start(balanced).await;
    let (report, text) = probe(&target, &["--only", ALL, "--listen", "2s"]).await;
    target.shutdown().await;
    assert_eq!(report["outcome"], "healthy", "{text}");
    for (topic, words) in [
        ("next-cursor", "that + 1 at 0"),
        ("delivery", "24 of 24 acknowledged events came on the stream"),
        (
            "order",
            "0 came on the stream behind a higher position of their own room, 0 behind one of another room",
        ),
        ("sender-echo", "8 of 8"),
        ("event-types", "in sync event_type is swp.room.message; 24 of 24 events have the same id in both"),
        ("typing", "is not in sync"),
        ("client-ping", "is answered after"),
        ("close-1000", "the server answers with close 1000"),
        ("send-reply", "data has id and has stream_position"),
        ("event-uuid", "answered 200, 200, 200, 200, with 1 ids; and it is stored once"),
        ("since-negative", "answered 400"),
        ("token-reply", "had the tokens in data"),
        ("limits", "0 of "),
    ] {
        let (seen, what) = observed(&report, topic);
        assert!(seen && what.contains(words), "{topic}: {what}");
        assert!(text.contains(&what), "the text has it as well: {topic}");
    }
    for (topic, why) in [
        ("token-expiry", "token life is 3600.00 s"),
        ("long-poll", "listen for 33.00 s"),
        ("retry-after", "nothing was answered 429"),
    ] {
        let (seen, what) = observed(&report, topic);
        assert!(!seen && what.contains(why), "{topic}: {what}");
    }
    let seam = report["observed"].as_array().expect("a list").iter().find(|own| own["topic"] == "seam");
    let measured = &seam.expect("measured")["measured"];
    assert_eq!(measured["tries"], 5.0);
    assert_eq!(measured["events_in_neither"], measured["events_by_another_sync"], "{text}");
}

#[tokio::test]
async fn what_a_deployment_does_where_nothing_is_documented_is_observed_and_no_finding() {
    let undocumented = ["--only", "undocumented"];
    let doubled = PlantedKind::Delivery { which: Which::Share(1.0), verb: Delivery::Twice };
    let (report, _) = probe_of(vec![doubled], &undocumented).await;
    assert!(observed(&report, "delivery").1.ends_with(" frames came again"), "{report}");
    let retain = PlantedKind::Sync { who: everyone(), verb: Sync::Retain { keep: 40 } };
    let (report, _) = probe_of(vec![retain], &undocumented).await;
    for topic in ["since-zero", "since-too-old", "since-absent", "retention"] {
        assert!(observed(&report, topic).1.contains("answered 410"), "{topic}: {report}");
    }
    assert_eq!(report["outcome"], "healthy");
}

#[tokio::test]
async fn a_stream_is_watched_past_the_end_of_its_token() {
    let target = start(Config { token_lifetime: Duration::from_secs(10), ..config(Vec::new()) }).await;
    let life = ["--only", "undocumented", "--set", "target.embedded.token_lifetime=10s", "--listen", "13s"];
    let (report, text) = probe(&target, &life).await;
    target.shutdown().await;
    let (seen, what) = observed(&report, "token-expiry");
    assert!(seen && what.starts_with("a live stream stays open"), "{text}");
}

#[tokio::test]
async fn limits_that_are_met_are_counted_and_refused_publishes_make_it_inconclusive() {
    let target = start(Config { send_limit: Some(3.0), ..config(Vec::new()) }).await;
    let (report, text) = probe(&target, &["--only", "pages,undocumented"]).await;
    target.shutdown().await;
    let limits = report["observed"].as_array().expect("a list").iter().find(|own| own["topic"] == "limits");
    assert!(limits.expect("observed")["measured"]["answers_429"].as_f64() > Some(0.0), "{text}");
    assert_eq!(observed(&report, "retry-after"), (true, "the answers 429 have none".to_owned()));
    let rejected = Publish::DeliverRejected { store: false };
    let rejected = PlantedKind::Publish { which: Which::Share(1.0), verb: rejected };
    let (report, text) = probe_of(vec![rejected], &["--only", "bridge,pages,positions,seam"]).await;
    assert_eq!(report["outcome"], "inconclusive", "{text}");
    for check in
        report["checks"].as_array().expect("a list").iter().filter(|own| own["outcome"] != "not-asked")
    {
        let why = check["unclear"][0].as_str().expect("a reason");
        assert!(why.contains("429 SW_RATE_LIMIT_EXCEEDED"), "{why}");
    }
}

const ALL: &str = "bridge,pages,poll,positions,seam,undocumented";

fn everyone() -> Cohort {
    Cohort::Share { share: 1.0, clients: 24 }
}

/// One event of the room, and on the way to the one who bridges.
fn at(first: u32) -> Which {
    Which::Coordinates { client: BRIDGER, room: TALK, first, count: 1 }
}

fn findings(report: &Value) -> Vec<(&str, &Value)> {
    let checks = report["checks"].as_array().expect("a list").iter();
    let all = checks.flat_map(|check| check["findings"].as_array().expect("a list"));
    all.map(|finding| (finding["name"].as_str().expect("a name"), finding)).collect()
}

/// Symptom and first evidence.
fn line_of(finding: Option<&(&str, &Value)>) -> String {
    finding.map_or_else(
        || "nothing".to_owned(),
        |(_, own)| {
            format!(
                "{}: {}",
                own["symptom"].as_str().unwrap_or(""),
                own["evidence"][0].as_str().unwrap_or("")
            )
        },
    )
}

fn observed(report: &Value, topic: &str) -> (bool, String) {
    let all = report["observed"].as_array().expect("a list").iter();
    let own =
        all.into_iter().find(|own| own["topic"] == topic).unwrap_or_else(|| panic!("{topic}: {report}"));
    (own["seen"] == true, own["what"].as_str().expect("a text").to_owned())
}

/// The report on a target with these faults, which last from before its first byte: as JSON, and as text.
async fn probe_of(kinds: Vec<PlantedKind>, arguments: &[&str]) -> (Value, String) {
    let mut target = start(config(kinds)).await;
    target.begin_fault(0).await.expect("the pods answer");
    let told = probe(&target, arguments).await;
    target.shutdown().await;
    told
}

async fn probe(target: &Embedded, arguments: &[&str]) -> (Value, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let key = directory.path().join("key");
    fs::write(&key, target.key().expose()).expect("written");
    let mut command = Command::new(exe());
    command.arg("probe").arg(&target.urls()[0]).arg("--key-file").arg(&key).args(["--format", "json"]);
    if !arguments.contains(&"--listen") {
        command.args(["--listen", "1s"]);
    }
    // What was planted is there or is not: nobody has to wait for it as long as on a deployment.
    command.args(["--set", "client.lateness_bound=4s"]).args(arguments).kill_on_drop(true);
    let output = command.output().await.expect("it runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let report: Value =
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    (report, format!("{stdout}{stderr}"))
}

fn exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_wavesoak"))
}

async fn start(config: Config) -> Embedded {
    Embedded::spawn(exe(), &config, SpawnOptions::default()).await.expect("a target")
}

fn config(kinds: Vec<PlantedKind>) -> Config {
    let planted = |(index, kind)| PlantedFault {
        index,
        name: format!("planted {index}"),
        at: Duration::ZERO,
        duration: None,
        kind,
    };
    let text = "[[phase]]\nduration = \"1s\"\nclients = \"100%\"\n";
    let mut profile = profile::parse(text, "pod.toml", &[]).expect("a profile").profile;
    profile.target.embedded.pods = 1;
    profile.target.embedded.balancer.mode = BalancerMode::Direct;
    Config { faults: (0..).zip(kinds).map(planted).collect(), ..Config::from_profile(&profile) }
}
