//! The built-in profiles `smoke` and `ci` as a person runs them, over sockets: their books balance, and what the server
//! answers for is zero. Their latencies are not judged here: a test must not depend on the speed of its machine.

use std::process::Command;

use serde_json::Value;

/// Runs a built-in profile and reads the summary that it prints.
fn run(profile: &str) -> Value {
    let out = tempfile::tempdir().expect("a directory");
    let output = Command::new(env!("CARGO_BIN_EXE_wavesoak"))
        .args(["run", profile, "--format", "json", "--out"])
        .arg(out.path())
        .output()
        .expect("it runs");
    let code = output.status.code();
    // 3 and 4: an objective of speed was missed on a slow machine, or the harness was.
    assert!(matches!(code, Some(0 | 3 | 4)), "{code:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("stdout is the summary")
}

fn count(summary: &Value, section: &str, key: &str) -> u64 {
    summary[section][key].as_u64().unwrap_or_else(|| panic!("{section}.{key} is no number"))
}

fn assert_books(summary: &Value) {
    let publishes = |key| count(summary, "publishes", key);
    let deliveries = |key: &str| count(summary, "deliveries", key);
    let sum = |keys: &[&str]| keys.iter().map(|key| deliveries(key)).sum::<u64>();
    assert_eq!(publishes("intended"), publishes("sent") + publishes("unsent"));
    assert_eq!(publishes("sent"), publishes("acknowledged") + publishes("rejected") + publishes("unknown"));
    assert_eq!(deliveries("expected"), sum(&["live", "bridged", "missed_after_bridging", "undecided"]));
    let places =
        ["missed_on_stream", "missed_in_sync", "missed_in_seam", "missed_behind_cursor", "missed_unplaced"];
    assert_eq!(deliveries("missed_after_bridging"), sum(&places));
    let stores = ["recoverable", "lost_by_server", "signalled_loss", "unaudited"];
    assert_eq!(deliveries("missed_after_bridging"), sum(&stores));
}

fn assert_innocent(summary: &Value) {
    for key in ["missed_on_stream", "missed_in_sync", "missed_unplaced", "lost_by_server", "stream_omitted"] {
        assert_eq!(count(summary, "deliveries", key), 0, "{key}");
    }
    for key in ["duplicate", "unexpected", "leaked", "leaked_room", "out_of_order", "sync_hole", "undecided"]
    {
        assert_eq!(count(summary, "deliveries", key), 0, "{key}");
    }
    assert_eq!(count(summary, "reconnects", "schedule_violations"), 0);
    assert_eq!(count(summary, "clients", "ready_at_end"), count(summary, "clients", "planned"));
    assert!(count(summary, "deliveries", "live") > 10_000);
}

#[test]
fn smoke_balances_over_sockets() {
    let summary = run("smoke");
    assert_books(&summary);
    assert_innocent(&summary);
    assert_eq!(summary["faults"][0]["affected"], summary["disconnects"]["total"]);
    assert_eq!(count(&summary, "disconnects", "total"), 100, "a third of 300 clients loses its pod");
}

#[test]
fn ci_balances_over_sockets() {
    let summary = run("ci");
    assert_books(&summary);
    assert_innocent(&summary);
    assert!(count(&summary, "deliveries", "bridged") > 0);
    assert!(count(&summary, "tokens", "refreshed") > 0);
    assert!(summary["disconnects"]["by_cause"]["silent"].as_u64() > Some(0));
}
