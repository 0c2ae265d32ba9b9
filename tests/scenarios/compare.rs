//! Holding the ledger against the oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde_json::{Map, Value};
use wavesoak::collector::collected::{Deliveries, Publishes};
use wavesoak::profile::{FaultKind, Profile, Publish, Sync};
use wavesoak::simulator::trace::Trace;
use wavesoak::simulator::{Simulated, simulate_traced};
use wavesoak::time::Timestamp;

use crate::oracle::{self, AUDIT_COUNTS, Judged, Outcomes, Range};

/// A profile that was played and judged.
#[derive(Debug, Default)]
pub(crate) struct Played {
    /// In what the ledger and the oracle differ: nothing, one hopes. A panic is told as well.
    pub(crate) wrong: Vec<String>,
    /// What the ledger counted.
    pub(crate) counted: Deliveries,
    /// The ledger hit one of its stated bounds. It is judged as strictly all the same.
    pub(crate) at_bounds: bool,
}

/// Plays a profile and holds the ledger against the oracle.
pub(crate) fn played(profile: &Profile) -> Played {
    let wrong = |line: String| Played { wrong: vec![line], ..Played::default() };
    let play = || match simulate_traced(profile) {
        Ok((run, trace)) => Played {
            wrong: compare(profile, &run, &trace),
            counted: run.collected.deliveries,
            at_bounds: run.collected.harness.refused.keys().any(|bound| bound.starts_with("ledger_")),
        },
        Err(error) => wrong(error.to_string()),
    };
    catch_unwind(AssertUnwindSafe(play)).unwrap_or_else(|_| wrong("panic: see above".to_owned()))
}

/// In what they differ.
pub(crate) fn disagreements(profile: &Profile) -> Vec<String> {
    played(profile).wrong
}

fn compare(profile: &Profile, run: &Simulated, trace: &Trace) -> Vec<String> {
    let judged = oracle::judge(profile, trace);
    let mut found = Vec::new();
    for (index, tenant) in run.collected.tenants.iter().enumerate() {
        let mut told = counts(&tenant.deliveries);
        let mut should = counts(&judged.deliveries[index]);
        found.extend(stores(&told, profile, run, &judged, index));
        for name in AUDIT_COUNTS.iter().chain(["unaudited"].iter()) {
            should.insert((*name).to_owned(), told[*name].clone());
        }
        told.insert("double_stored".to_owned(), tenant.publishes.double_stored.into());
        should.insert("double_stored".to_owned(), judged.double_stored[index].into());
        for (name, should) in &should {
            if told[name] != *should {
                found.push(format!(
                    "tenant {index}: {name}: the ledger has {}, the oracle {should}",
                    told[name]
                ));
            }
        }
        found.extend(unbalanced(&told).map(|equation| format!("tenant {index}: {equation} does not hold")));
        let wrong = outcomes(&tenant.publishes, judged.outcomes[index]);
        found.extend(wrong.map(|wrong| format!("tenant {index}: {wrong}")));
    }
    found.extend(places(profile, run, trace, &judged));
    found.extend(changed_stores(profile, &judged));
    for (client, said, should) in &judged.positions {
        found.push(format!("client {client}: asked since {said}, the protocol says {should}"));
    }
    found
}

/// The numbers of a struct by name.
pub(crate) fn counts(deliveries: &impl serde::Serialize) -> Map<String, Value> {
    match serde_json::to_value(deliveries) {
        Ok(Value::Object(map)) => map,
        other => panic!("not a struct of numbers: {other:?}"),
    }
}

/// What the audit found is exact, unless it says itself that it could not look.
fn stores(
    told: &Map<String, Value>,
    profile: &Profile,
    run: &Simulated,
    judged: &Judged,
    tenant: usize,
) -> Vec<String> {
    let number = |name: &str| told[name].as_u64().unwrap_or(0);
    let unaudited = number("unaudited");
    let wrong = judged.stores.of_tenant(tenant).iter().filter(|(name, span)| {
        let least = if unaudited == 0 { span.least } else { 0 };
        !(least..=span.most).contains(&number(name))
    });
    let mut found: Vec<String> = wrong
        .map(|(name, Range { least, most })| {
            let own = number(name);
            format!("tenant {tenant}: {name}: the ledger has {own}, the oracle {least} to {most}")
        })
        .collect();
    // The drain's deadline cuts the audit short.
    let phases: Duration = profile.phases.iter().map(|phase| phase.duration).sum();
    let cut_short = run.ended >= Timestamp::ZERO + phases + profile.drain.deadline;
    let excused = cut_short
        || judged.stores.troubled
        || run.collected.harness.refused.contains_key("audit_queue")
        || run.collected.harness.stopped_by.is_some();
    if unaudited > 0 && !excused {
        found.push(format!(
            "tenant {tenant}: {unaudited} unaudited, though every page that was asked for came"
        ));
    }
    found
}

/// The server's store says the same in the end as it said to the audit, unless something is planted that changes it.
fn changed_stores(profile: &Profile, judged: &Judged) -> Option<String> {
    let changes = |kind: &FaultKind| {
        matches!(
            kind,
            FaultKind::Publish(_, Publish::CommitLate(_)) | FaultKind::Sync(_, Sync::Retain { .. })
        )
    };
    let may_change = profile.target.embedded.retention < 1_000_000
        || profile.faults.iter().any(|fault| changes(&fault.kind));
    let changed = &judged.stores.changed;
    (!may_change && !changed.is_empty())
        .then(|| format!("the store is not what the audit was shown: {changed:?}"))
}

/// Every publish of which an attempt left has the outcome that its answers give it; the others are unsent.
fn outcomes(p: &Publishes, judged: Outcomes) -> Option<String> {
    let Outcomes { acknowledged, rejected, unknown, unsent } = judged;
    let never_left = p.intended - (acknowledged + rejected + unknown + unsent);
    let told = (p.sent, p.unsent, p.acknowledged, p.rejected, p.unknown);
    let should = (acknowledged + rejected + unknown, unsent + never_left, acknowledged, rejected, unknown);
    (told != should).then(|| {
        format!("publishes: {told:?}, the oracle (sent, unsent, acknowledged, rejected, unknown) {should:?}")
    })
}

pub(crate) fn unbalanced(told: &Map<String, Value>) -> impl Iterator<Item = &'static str> {
    let sum = |names: &[&str]| names.iter().map(|name| told[*name].as_u64().unwrap_or(0)).sum::<u64>();
    let equations: [(&'static str, &str, &[&str]); 3] = [
        (
            "expected = live + bridged + missed + undecided",
            "expected",
            &["live", "bridged", "missed_after_bridging", "undecided"],
        ),
        (
            "missed = the five places",
            "missed_after_bridging",
            &[
                "missed_on_stream",
                "missed_in_sync",
                "missed_in_seam",
                "missed_behind_cursor",
                "missed_unplaced",
            ],
        ),
        (
            "missed = the four stores",
            "missed_after_bridging",
            &["recoverable", "lost_by_server", "signalled_loss", "unaudited"],
        ),
    ];
    let broken: Vec<_> = equations
        .into_iter()
        .filter(|(_, left, right)| sum(&[left]) != sum(right))
        .map(|(name, ..)| name)
        .collect();
    broken.into_iter()
}

/// The findings name the same events with the same places; only where none was dropped.
fn places(profile: &Profile, run: &Simulated, trace: &Trace, judged: &Judged) -> Vec<String> {
    if judged.missed.len() > profile.report.findings_per_kind as usize {
        return Vec::new();
    }
    let rooms: BTreeMap<&str, u32> = trace.rooms.iter().map(String::as_str).zip(0..).collect();
    let told = run.findings.iter().filter(|finding| finding.kind == "missed").filter_map(|finding| {
        let room = *rooms.get(finding.room_id.as_deref()?)?;
        Some((finding.client?, (room, finding.n?), finding.place?))
    });
    let told: BTreeSet<_> = told.collect();
    let should: BTreeSet<_> =
        judged.missed.iter().map(|(&(client, key), missed)| (client, key, missed.place)).collect();
    let mut lines: Vec<String> =
        told.difference(&should).take(5).map(|at| format!("only the ledger: {at:?}")).collect();
    lines.extend(should.difference(&told).take(5).map(|at| format!("only the oracle: {at:?}")));
    lines
}
