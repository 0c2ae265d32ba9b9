//! Long polls of sync through a balancer that gives requests less time than they ask for.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::balancer::{Balancer as _, Nginx};
use crate::pods::{EXE, Pods};

#[test]
fn a_balancer_that_cuts_long_polls_is_named_with_what_it_answers() {
    let pods = Pods::start(1);
    let nginx = Nginx::new(&pods).reading_for("1s").start();
    let place = tempfile::tempdir().expect("a place");
    let key_file = place.path().join("key");
    fs::write(&key_file, &pods.key).expect("written");
    let output = Command::new(EXE)
        .args(["probe", &format!("http://127.0.0.1:{}", nginx.port()), "--format", "json", "--only", "poll"])
        // A poll is a quarter of the listening time.
        .args(["--listen", "16s", "--key-file"])
        .arg(&key_file)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    let poll = report["checks"].as_array().expect("checks").iter().find(|check| check["check"] == "poll");
    let findings = poll.expect("it was asked")["findings"].as_array().expect("findings");
    assert_eq!((output.status.code(), findings.len()), (Some(3), 1), "{report:#}");
    assert_eq!(findings[0]["name"], "poll-cut");
    let evidence = findings[0]["evidence"][0].as_str().expect("evidence");
    assert!(evidence.starts_with("timeout of 4.00 s: answered 504 after "), "{evidence}");
    assert!(findings[0]["remedy"].as_str().expect("a remedy").contains("75–90s"), "{report:#}");
}
