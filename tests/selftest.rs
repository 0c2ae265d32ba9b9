//! `wavesoak selftest` over sockets, as a person runs it, and the matrix in `reports` held against what comes out.

#![expect(clippy::disallowed_methods, reason = "the matrix is a file")]

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("a matrix")).expect("JSON")
}

/// What does not depend on when things happened: everything of a row whose defects are planted by coordinates, and of
/// the others what they plant.
fn lasting(matrix: &Value) -> Vec<Value> {
    let rows = matrix["rows"].as_array().expect("rows").iter();
    rows.map(|row| {
        if row["deterministic"] == true {
            return row.clone();
        }
        let mut kept = row.clone();
        let kept = kept.as_object_mut().expect("a row");
        kept.retain(|key, _| matches!(key.as_str(), "name" | "defect" | "exact" | "deterministic" | "error"));
        Value::Object(kept.clone())
    })
    .collect()
}

#[test]
fn every_defect_is_reported_exactly_and_the_matrix_in_reports_is_true() {
    let out = tempfile::tempdir().expect("a place");
    let place = out.path().to_str().expect("UTF-8");
    let mut command = Command::cargo_bin("wavesoak").expect("the binary is built");
    // Each run is quiet; on few cores as on many, what takes long is waiting.
    let said = command.args(["selftest", "--jobs", "16", "--out", place]).output().expect("it runs");
    let told = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(0), "{told}{}", String::from_utf8_lossy(&said.stdout));
    let (json, markdown) = (out.path().join("detection-matrix.json"), out.path().join("detection-matrix.md"));
    let made = read(&json);
    assert_eq!(made["exact"], true);
    let reports = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports");
    let kept = read(&reports.join("detection-matrix.json"));
    assert_eq!(
        lasting(&kept),
        lasting(&made),
        "run `cargo run --release -- selftest`, and commit reports/detection-matrix.*"
    );
    let headline =
        |path: &Path| fs::read_to_string(path).expect("a matrix").lines().nth(2).map(str::to_owned);
    assert_eq!(headline(&markdown), headline(&reports.join("detection-matrix.md")));
}
