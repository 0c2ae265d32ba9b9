//! Every defect of the table, planted and reported: exactly, and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use wavesoak::report::{RunInfo, Summary};
use wavesoak::selftest::{Row, reported, rows};
use wavesoak::simulator::Simulated;
use wavesoak::verdict::judge;

use crate::play::play;

fn summary(row: &Row) -> (Summary, Simulated) {
    let profile = row.profile().unwrap_or_else(|error| panic!("{}: {error}", row.name));
    let run = play(&profile);
    let verdict = judge(&profile, &run.collected);
    let started = "2026-05-17T13:10:03Z".parse().expect("a time");
    let mut info = RunInfo::new(&profile, uuid::Uuid::nil(), started);
    (info.duration, info.finished) = (run.ended.since(wavesoak::time::Timestamp::ZERO), true);
    (Summary::new(&profile, &run.collected, &verdict, &info), run)
}

#[test]
fn every_planted_defect_is_reported_exactly_and_nothing_else_is() {
    let mut wrong = Vec::new();
    for row in rows() {
        let (summary, run) = summary(row);
        assert!(run.ended.since(wavesoak::time::Timestamp::ZERO) < Duration::from_secs(120), "{}", row.name);
        let cells = row.judge(&summary, &run.truth);
        for cell in &cells {
            println!(
                "{:24} {:34} planted {:5} reported {:5}",
                row.name, cell.key, cell.planted, cell.reported
            );
        }
        assert_eq!(findings(&run), counted(&summary), "{}", row.name);
        let inexact: Vec<_> = cells.into_iter().filter(|cell| !cell.exact).collect();
        if !inexact.is_empty() {
            wrong.push(format!("{}: {inexact:#?}\n{:#?}", row.name, run.truth));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Lines of findings by their kind.
fn findings(run: &Simulated) -> BTreeMap<&'static str, u64> {
    let mut kinds = BTreeMap::new();
    for finding in &run.findings {
        *kinds.entry(finding.kind).or_default() += 1;
    }
    kinds
}

/// What there must be a line for.
fn counted(summary: &Summary) -> BTreeMap<&'static str, u64> {
    let (d, reported) = (summary.deliveries, reported(summary));
    let kinds = [
        ("missed", d.missed_after_bridging),
        ("stream_omitted", d.stream_omitted - d.missed_on_stream),
        ("duplicate", d.duplicate),
        ("out_of_order", d.out_of_order),
        ("unexpected", d.unexpected),
        ("leaked", d.leaked),
        ("leaked_room", d.leaked_room),
        ("evicted", summary.clients.evicted),
        ("hello_wrong_tenant", reported.get("oddities.hello_wrong_tenant")),
        ("sync_cursor_regressed", reported.get("oddities.sync_cursor_regressed")),
        ("double_stored", summary.publishes.double_stored),
        ("below_cursor", d.below_cursor),
    ];
    kinds.into_iter().filter(|(_, count)| *count > 0).collect()
}
