//! The reference target over loopback sockets: the real binary as pods and balancer, plain clients in front.

#![cfg(feature = "live")]
#![expect(clippy::disallowed_methods, reason = "tests own sockets, clocks and files")]

mod alone;
mod client;

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wavesoak::profile::Delivery;
use wavesoak::target::config::{Balancer, Capacity, PlantedFault, PlantedKind, Sticky, Which};
use wavesoak::target::part::SUBCOMMAND;
use wavesoak::target::process::{Embedded, ProcessError, SpawnOptions};
use wavesoak::target::{Config, Deed};

use client::{Ended, Identity, Stream, call, call_with};

#[tokio::test]
async fn a_message_goes_by_stream_sync_and_history() {
    let target = start(&config()).await;
    let url = &target.urls()[0];
    let (anna, ben) = (Identity::new(&target, "ws-000000"), Identity::new(&target, "ws-000001"));
    let room = room_of(url, &[&anna, &ben]).await;
    let tenant = call(url, "POST", "/v1/auth/register", &ben, None).await.data()["tenant_id"].clone();
    let mut stream = Stream::open(url, &ben).await;
    assert_eq!(stream.hello["tenant_id"], tenant);
    assert_ne!(tenant, "acme", "not the claim");

    let content = json!({"msgtype": "m.text", "body": "é", "extra": [1, 2]});
    let path = format!("/v1/rooms/{room}/send");
    let sent = call(url, "POST", &path, &anna, Some(json!({"content": content}))).await;
    assert_eq!(sent.status, 200);
    let frame = stream.next_message().await;
    assert_eq!(frame["id"], sent.data()["id"]);
    assert_eq!(frame["stream_position"], sent.data()["stream_position"]);
    assert_eq!((&frame["room_id"], &frame["content"]), (&json!(room), &content));

    let page = call(url, "GET", "/v1/sync?since=0&timeout=0", &ben, None).await;
    let event = &page.data()["events"][0];
    assert_eq!((&event["event_type"], &event["id"]), (&json!("swp.room.message"), &frame["id"]));
    assert_eq!(event["content"], content);
    assert_eq!(page.data()["next_cursor"], frame["stream_position"]);
    assert_eq!(page.data()["has_more"], false);

    let history = call(url, "GET", &format!("/v1/rooms/{room}/messages"), &ben, None).await;
    assert_eq!(history.data()[0]["id"], frame["id"]);
    assert_eq!(history.body["meta"], json!({"has_more": false, "next_cursor": null}));
    target.shutdown().await;
}

#[tokio::test]
async fn a_long_poll_waits_for_its_event_through_the_balancer() {
    let target = start(&config()).await;
    let url = target.urls().remove(0);
    let anna = Identity::new(&target, "ws-000000");
    let room = room_of(&url, &[&anna]).await;
    let empty = call(&url, "GET", "/v1/sync?since=77&timeout=50", &anna, None).await;
    assert_eq!(empty.data(), &json!({"events": [], "next_cursor": 77, "has_more": false}));
    let waiting = {
        let (url, anna) = (url.clone(), anna.clone());
        tokio::spawn(async move { call(&url, "GET", "/v1/sync?since=1", &anna, None).await })
    };
    let sent = publish(&url, &room, &anna, 0).await;
    let page = waiting.await.expect("the poll");
    assert_eq!(page.data()["events"][0]["id"], sent);
    target.shutdown().await;
}

#[tokio::test]
async fn a_bad_token_is_refused_after_the_upgrade_by_4001_and_on_rest_by_401() {
    let target = start(&config()).await;
    let url = &target.urls()[0];
    let expired = Identity::expired(&target, "ws-000000");
    for (who, reason) in [
        (&expired, "SW_AUTH_EXPIRED_TOKEN"),
        (&Identity::with_token("nonsense"), "SW_AUTH_INVALID_TOKEN"),
        (&Identity::with_token(""), "SW_AUTH_INVALID_TOKEN"),
    ] {
        let refused = Stream::upgrade(url, who, None).await.ended().await;
        assert_eq!(refused, Ended::Close(4001, reason.to_owned()));
        let refused = call(url, "GET", "/v1/me", who, None).await;
        assert_eq!((refused.status, refused.code()), (401, reason));
    }
    target.shutdown().await;
}

#[tokio::test]
async fn the_same_token_again_closes_the_older_stream_on_whatever_pod_it_is() {
    let target =
        start(&Config { balancer: Balancer { sticky: Sticky::None, ..balancer() }, ..config() }).await;
    let url = &target.urls()[0];
    let anna = Identity::new(&target, "ws-000000");
    let older = Stream::open(url, &anna).await;
    let newer = Stream::open(url, &anna).await;
    assert_ne!(older.hello["server_name"], newer.hello["server_name"], "round robin");
    assert_eq!(older.ended().await, Ended::Close(4003, "duplicate_connection".to_owned()));
    target.shutdown().await;
}

#[tokio::test]
async fn missed_pongs_close_the_stream_and_answered_pings_keep_it() {
    let target = start(&Config { ping_interval: Duration::from_millis(100), ..config() }).await;
    let url = &target.urls()[0];
    let (deaf, well) = (Identity::new(&target, "ws-000000"), Identity::new(&target, "ws-000001"));
    let kept = Stream::open(url, &well).await;
    let silent = Stream::open(url, &deaf).await;
    // The one that is read answers its pings; the other is not read until its pod has given it up.
    let kept = tokio::spawn(async move { kept.wait_for_pings(6).await });
    kept.await.expect("six pings were answered, that is more than two");
    assert_eq!(silent.ended().await, Ended::Close(4003, "ping_timeout".to_owned()));
    target.shutdown().await;
}

#[tokio::test]
async fn a_killed_pod_resets_its_streams_and_the_gap_can_be_bridged_on_another() {
    let fault = planted(PlantedKind::PodKill { pod: None }, Some(Duration::from_secs(3)));
    let mut target = start(&Config { faults: vec![fault], ..config() }).await;
    let url = target.urls().remove(0);
    let who: Vec<Identity> =
        (0..6).map(|client| Identity::new(&target, &format!("ws-{client:06}"))).collect();
    let room = room_of(&url, &who.iter().collect::<Vec<_>>()).await;
    let mut streams = Vec::new();
    for identity in &who {
        streams.push(Stream::open(&url, identity).await);
    }
    let affected = target.begin_fault(0).await.expect("the pods answer").expect("theirs");
    assert_eq!(affected, 3, "round robin over two pods");
    let dead = dead_pod(&target).await;
    let (mut hit, mut spared) = (Vec::new(), Vec::new());
    for (identity, stream) in who.iter().zip(streams) {
        let on_dead = stream.hello["server_name"] == dead;
        if on_dead { hit.push((identity, stream)) } else { spared.push(stream) }
    }
    assert_eq!(hit.len(), 3);
    let sent = publish(&url, &room, &who[0], 0).await;
    for stream in &mut spared {
        assert_eq!(stream.next_message().await["id"], sent, "the others go on");
    }
    for (identity, stream) in hit {
        assert_eq!(stream.ended().await, Ended::Reset, "the balancer passes it on");
        let page = call(&url, "GET", "/v1/sync?since=0&timeout=0", identity, None).await;
        assert_eq!(page.data()["events"][0]["id"], sent);
        let again = Stream::open(&url, identity).await;
        assert_ne!(again.hello["server_name"], dead);
    }
    assert_eq!(target.end_fault(0).await.expect("the pods answer"), Some(0));
    for metrics in target.metrics_urls() {
        assert_eq!(
            call_with(&metrics, "GET", "", &[], None).await.status,
            200,
            "both are up, where they were"
        );
    }
    let truth = target.truth().await.expect("all parts answer");
    assert_eq!(truth.count(Deed::ConnectionReset), 3);
    target.shutdown().await;
}

#[tokio::test]
async fn a_killed_pod_resets_idle_connections_as_well() {
    let fault = planted(PlantedKind::PodKill { pod: Some(0) }, None);
    let straight = Balancer { proxy: false, ..balancer() };
    let mut target = start(&Config { pods: 1, balancer: straight, faults: vec![fault], ..config() }).await;
    let mut idle =
        TcpStream::connect(target.urls()[0].trim_start_matches("http://")).await.expect("it listens");
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: pod\r\n\r\n").await.expect("it reads");
    let mut seen = Vec::new();
    while !seen.ends_with(b"}") {
        assert_ne!(idle.read_buf(&mut seen).await.expect("an answer"), 0);
    }
    target.begin_fault(0).await.expect("the pods answer");
    let end = idle.read_buf(&mut seen).await.expect_err("no end in good order");
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    target.shutdown().await;
}

#[tokio::test]
async fn without_a_pod_the_balancer_says_502() {
    let fault = planted(PlantedKind::PodKill { pod: Some(0) }, None);
    let mut target = start(&Config { pods: 1, faults: vec![fault], ..config() }).await;
    let url = target.urls().remove(0);
    let anna = Identity::new(&target, "ws-000000");
    let poll = {
        let (url, anna) = (url.clone(), anna.clone());
        tokio::spawn(async move { call(&url, "GET", "/v1/sync?since=0", &anna, None).await.status })
    };
    // Whether the poll has reached its pod by now or not: it gets the balancer's 502.
    target.begin_fault(0).await.expect("the pods answer");
    assert_eq!(poll.await.expect("the poll"), 502);
    assert_eq!(call(&url, "GET", "/health", &anna, None).await.status, 502);
    assert_eq!(Stream::refused(&url, &anna).await, 502);
    target.end_fault(0).await.expect("the pods answer");
    assert_eq!(call(&url, "GET", "/health", &anna, None).await.status, 502, "it never comes back");
    target.shutdown().await;
}

#[tokio::test]
async fn an_idle_stream_is_cut_without_a_close_frame_while_the_fault_lasts() {
    let idle = PlantedKind::IdleTimeout { timeout: Duration::from_millis(200) };
    let mut target =
        start(&Config { faults: vec![planted(idle, Some(Duration::from_secs(1)))], ..config() }).await;
    let url = target.urls().remove(0);
    let anna = Identity::new(&target, "ws-000000");
    let stream = Stream::open(&url, &anna).await;
    assert_eq!(target.begin_fault(0).await.expect("the balancer answers"), Some(0));
    assert_eq!(stream.ended().await, Ended::Eof);
    assert_eq!(target.end_fault(0).await.expect("the balancer answers"), Some(1));
    let truth = target.truth().await.expect("all parts answer");
    assert_eq!((truth.streams_cut, truth.count(Deed::StreamCut)), (1, 1));
    target.shutdown().await;
}

#[tokio::test]
async fn a_cookie_leads_every_request_to_the_same_pod() {
    let target = start(&config()).await;
    let url = &target.urls()[0];
    let anna = Identity::new(&target, "ws-000000");
    let cookie = call(url, "GET", "/v1/me", &anna, None).await.cookie().expect("the balancer sets one");
    assert!(cookie.starts_with("wavesoak_pod="), "{cookie}");
    let pod = cookie.trim_start_matches("wavesoak_pod=").to_owned();
    for _ in 0..4 {
        let stream = Stream::upgrade(url, &Identity::new(&target, "ws-000000"), Some(&cookie)).await;
        assert_eq!(stream.with_hello().await.hello["server_name"], format!("pod-{pod}"));
    }
    target.shutdown().await;
}

#[tokio::test]
async fn a_refresh_token_is_rotated_and_works_once() {
    let target = start(&config()).await;
    let url = &target.urls()[0];
    let anna = Identity::new(&target, "ws-000000");
    let refresh = |token: String| async move {
        let body = Some(json!({"refresh_token": token}));
        call_with(&format!("{url}/v1/auth/refresh"), "POST", "", &[], body).await
    };
    let first = refresh(anna.refresh().to_owned()).await;
    assert_eq!((first.status, &first.data()["expires_in"]), (200, &json!(3600)));
    let access = Identity::with_token(first.data()["access_token"].as_str().expect("a token"));
    assert_eq!(call(url, "GET", "/v1/me", &access, None).await.status, 200);
    assert_eq!(refresh(anna.refresh().to_owned()).await.status, 401, "used");
    let rotated = first.data()["refresh_token"].as_str().expect("a token").to_owned();
    assert_eq!(refresh(rotated).await.status, 200);
    target.shutdown().await;
}

#[tokio::test]
async fn a_pod_with_a_capacity_carries_so_much_and_no_more() {
    let capacity = Capacity {
        connections: Some(3),
        deliveries: Some(100.0),
        handshakes: Some(20.0),
        sync_pages: Some(20.0),
    };
    let target = start(&Config { pods: 1, capacity, ..config() }).await;
    let url = &target.urls()[0];
    let who: Vec<Identity> =
        (0..4).map(|client| Identity::new(&target, &format!("ws-{client:06}"))).collect();
    let room = room_of(url, &who.iter().collect::<Vec<_>>()).await;

    // Only the least time each takes is told: a slow machine needs more, and is not wrong.
    let began = Instant::now();
    let mut streams = Vec::new();
    for identity in &who[..3] {
        streams.push(Stream::open(url, identity).await);
    }
    assert!(began.elapsed() >= Duration::from_millis(150), "three upgrades at 20/s");
    assert_eq!(Stream::refused(url, &who[3]).await, 503, "a fourth");

    let (began, path) = (Instant::now(), format!("/v1/rooms/{room}/send"));
    for n in 0..10 {
        let body = json!({"content": {"body": n.to_string()}});
        let sent = call(url, "POST", &path, &who[0], Some(body));
        assert_eq!(sent.await.status, 200);
    }
    for stream in &mut streams {
        for n in 0..10 {
            assert_eq!(
                stream.next_message().await["content"]["body"],
                n.to_string(),
                "in order, and all of them"
            );
        }
    }
    assert!(began.elapsed() >= Duration::from_millis(300), "thirty deliveries at 100/s");

    let began = Instant::now();
    for _ in 0..4 {
        assert_eq!(call(url, "GET", "/v1/sync?since=0&timeout=0", &who[0], None).await.status, 200);
    }
    assert!(began.elapsed() >= Duration::from_millis(200), "four pages at 20/s");
    drop(streams.pop());
    // The pod notices in its own time that a seat has become free.
    while !Stream::is_taken(url, &who[3]).await {}
    target.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_published_is_refused_with_its_code() {
    let target = start(&Config { send_limit: Some(1.0), ..config() }).await;
    let url = &target.urls()[0];
    let (anna, ben) = (Identity::new(&target, "ws-000000"), Identity::new(&target, "ws-000001"));
    let room = room_of(url, &[&anna]).await;
    let path = format!("/v1/rooms/{room}/send");
    let send = |who: Identity, path: String, body: Value| async move {
        let reply = call(url, "POST", &path, &who, Some(body)).await;
        (reply.status, reply.code().to_owned())
    };
    let refused = |status, code: &str| (status, code.to_owned());
    let small = json!({"content": {"body": "x"}});
    for size in [64 * 1024, 1024 * 1024] {
        let large = json!({"content": {"body": "x".repeat(size)}});
        assert_eq!(
            send(anna.clone(), path.clone(), large).await,
            refused(413, "SW_CONTENT_TOO_LARGE"),
            "{size}"
        );
    }
    assert_eq!(send(ben, path.clone(), small.clone()).await, refused(403, "SW_NOT_MEMBER"));
    assert_eq!(
        send(anna.clone(), "/v1/rooms/x/send".to_owned(), small.clone()).await,
        refused(404, "SW_ROOM_NOT_FOUND")
    );
    assert_eq!(
        send(anna.clone(), path.clone(), json!({"content": "text"})).await,
        refused(400, "SW_BAD_REQUEST")
    );
    assert_eq!(send(anna.clone(), path.clone(), small.clone()).await.0, 200);
    assert_eq!(send(anna, path, small).await, refused(429, "SW_RATE_LIMIT_EXCEEDED"));
    target.shutdown().await;
}

#[tokio::test]
async fn lost_deliveries_are_lost_by_coordinates_and_the_truth_says_which() {
    let which = Which::Coordinates { client: 1, room: 5, first: 1, count: 2 };
    let lose = PlantedKind::Delivery { which, verb: Delivery::Lose { store: true } };
    let mut target = start(&Config { faults: vec![planted(lose, None)], ..config() }).await;
    let url = target.urls().remove(0);
    let (anna, ben) = (Identity::new(&target, "ws-000000"), Identity::new(&target, "ws-000001"));
    let room = room_of(&url, &[&anna, &ben]).await;
    let (mut to_anna, mut to_ben) = (Stream::open(&url, &anna).await, Stream::open(&url, &ben).await);
    target.begin_fault(0).await.expect("the pods answer");
    let mut sent = Vec::new();
    for n in 0..4 {
        sent.push(publish(&url, &room, &anna, n).await);
    }
    for id in &sent {
        assert_eq!(&to_anna.next_message().await["id"], id);
    }
    for id in [&sent[0], &sent[3]] {
        assert_eq!(&to_ben.next_message().await["id"], id);
    }
    let page = call(&url, "GET", "/v1/sync?since=0&timeout=0", &ben, None).await;
    assert_eq!(page.data()["events"].as_array().expect("a list").len(), 2);
    let truth = target.truth().await.expect("all parts answer");
    assert_eq!((truth.count(Deed::FrameOmitted), truth.count(Deed::EventHidden)), (2, 2));
    assert_eq!(truth.faults[0].hits[0].event_id.to_string(), sent[1].as_str().expect("an id"));
    target.shutdown().await;
}

#[tokio::test]
async fn every_pod_has_health_metrics_and_a_log_without_tokens() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("target.log");
    let options = SpawnOptions { log: Some(log.clone()), port: None };
    let target = Embedded::spawn(exe(), &config(), options).await.expect("a target");
    let url = target.urls().remove(0);
    let anna = Identity::new(&target, "ws-000000");
    let stream = Stream::open(&url, &anna).await;
    let pod = stream.hello["server_name"].as_str().expect("a name").to_owned();
    let tenant = stream.hello["tenant_id"].as_str().expect("an id").to_owned();
    let mut open = 0;
    for metrics in target.metrics_urls() {
        let health = metrics.replace("/metrics", "/health");
        assert_eq!(call_with(&health, "GET", "", &[], None).await.status, 200);
        let text = call_with(&metrics, "GET", "", &[], None).await.text;
        open += usize::from(text.contains(&format!("scaiwave_ws_connections{{tenant=\"{tenant}\"}} 1\n")));
        assert!(text.contains("scaiwave_ws_messages_dropped_total 0\n"), "{text}");
        assert!(text.contains("scaiwave_build_info{version="), "{text}");
    }
    assert_eq!(open, 1, "on {pod} alone");
    drop(stream);
    target.shutdown().await;
    let log = std::fs::read_to_string(log).expect("the log");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[0]["event"], "ws.connect");
    assert_eq!(lines[0]["tenant_id"], tenant);
    assert!(!log.contains(anna.token()));
}

#[tokio::test]
async fn in_direct_mode_clients_go_straight_to_the_pods() {
    let target = start(&Config { balancer: Balancer { proxy: false, ..balancer() }, ..config() }).await;
    assert_eq!(target.urls().len(), 2);
    assert_eq!(target.pids().len(), 1);
    for (number, url) in (1..).zip(target.urls()) {
        let who = Identity::new(&target, "ws-000000");
        assert_eq!(Stream::open(&url, &who).await.hello["server_name"], format!("pod-{number}"));
    }
    target.shutdown().await;
}

#[tokio::test]
async fn a_part_that_cannot_start_says_why() {
    let options = SpawnOptions { log: Some("/nonexistent/target.log".into()), port: None };
    let refused = Embedded::spawn(exe(), &config(), options).await.expect_err("no such directory");
    assert!(matches!(&refused, ProcessError::NotReady { reason, .. } if reason.contains("No such file")));
    let refused = Embedded::spawn(Path::new("/nonexistent"), &config(), SpawnOptions::default()).await;
    assert!(matches!(refused, Err(ProcessError::Start { .. })));
}

#[test]
fn the_end_of_stdin_ends_a_part() {
    let mut child = Command::new(exe())
        .arg(SUBCOMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary");
    let mut stdin = child.stdin.take().expect("piped");
    let order = json!({"pods": {"config": config(), "key": "k", "log": null, "port": null}});
    writeln!(stdin, "{order}").expect("its stdin");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut ready = String::new();
    stdout.read_line(&mut ready).expect("its stdout");
    assert!(ready.starts_with("{\"ready\":[\"127.0.0.1:"), "{ready}");
    drop(stdin);
    assert!(child.wait().expect("its end").success());
}

fn exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_wavesoak"))
}

async fn start(config: &Config) -> Embedded {
    Embedded::spawn(exe(), config, SpawnOptions::default()).await.expect("a target")
}

fn config() -> Config {
    Config {
        seed: 1,
        epoch_unix_s: 0,
        pods: 2,
        ping_interval: Duration::from_secs(30),
        ping_misses: 2,
        token_lifetime: Duration::from_secs(3600),
        password_grant: false,
        session_drop_after: None,
        send_queue: 256,
        send_limit: None,
        retention: 10_000,
        capacity: Capacity::default(),
        balancer: balancer(),
        faults: Vec::new(),
    }
}

fn balancer() -> Balancer {
    Balancer {
        proxy: true,
        sticky: Sticky::Cookie,
        idle_timeout: Duration::from_secs(90),
        health_interval: Duration::from_millis(200),
    }
}

fn planted(kind: PlantedKind, duration: Option<Duration>) -> PlantedFault {
    PlantedFault { index: 0, name: "planted".into(), at: Duration::ZERO, duration, kind }
}

/// A room made by the first and joined by the others; its id.
async fn room_of(url: &str, people: &[&Identity]) -> String {
    let body = json!({"room_type": "group", "name": "room", "topic": ""});
    let made = call(url, "POST", "/v1/rooms", people[0], Some(body)).await;
    let room = made.data()["id"].as_str().expect("an id").to_owned();
    for who in &people[1..] {
        assert_eq!(call(url, "POST", &format!("/v1/rooms/{room}/join"), who, None).await.status, 200);
    }
    room
}

/// Publishes the n-th message of plan room 5; the id of what it made.
async fn publish(url: &str, room: &str, who: &Identity, n: u32) -> Value {
    let run = "6f1f64a2-5fd3-4e2e-9f46-0242ac120002";
    let stamp = json!({"run": run, "room": 5, "n": n, "due_ns": 0, "sent_ns": 0});
    let body = json!({"content": {"msgtype": "m.text", "wavesoak": stamp}});
    let reply = call(url, "POST", &format!("/v1/rooms/{room}/send"), who, Some(body)).await;
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    reply.data()["id"].clone()
}

/// The name of the one pod whose metrics cannot be had.
async fn dead_pod(target: &Embedded) -> String {
    for (number, metrics) in (1..).zip(target.metrics_urls()) {
        if !client::listens(&metrics).await {
            return format!("pod-{number}");
        }
    }
    panic!("all pods are up")
}
