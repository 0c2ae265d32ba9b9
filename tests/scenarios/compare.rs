//! Holding the ledger against the oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde_json::{Map, Value};
use wavesoak::profile::Profile;
use wavesoak::simulator::trace::Trace;
use wavesoak::simulator::{Simulated, simulate_traced};
use wavesoak::time::Timestamp;

use crate::oracle::{self, Judged};

/// Plays a profile and says in what the ledger and the oracle differ: nothing, one hopes. A panic is told as well.
pub(crate) fn disagreements(profile: &Profile) -> Vec<String> {
    let play = || match simulate_traced(profile) {
        Ok((run, trace)) => compare(profile, &run, &trace),
        Err(error) => vec![error.to_string()],
    };
    catch_unwind(AssertUnwindSafe(play)).unwrap_or_else(|_| vec!["panic: see above".to_owned()])
}

fn compare(profile: &Profile, run: &Simulated, trace: &Trace) -> Vec<String> {
    let judged = oracle::judge(profile, trace);
    let mut found = Vec::new();
    for (index, tenant) in run.collected.tenants.iter().enumerate() {
        let mut told = counts(&tenant.deliveries);
        let mut should = counts(&judged.deliveries[index]);
        stores(&mut should, &mut told, profile, run, &judged, index, &mut found);
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
        let p = tenant.publishes;
        if (p.intended, p.sent) != (p.sent + p.unsent, p.acknowledged + p.rejected + p.unknown) {
            found.push(format!("tenant {index}: publishes do not add up: {p:?}"));
        }
    }
    found.extend(places(profile, run, trace, &judged));
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
    should: &mut Map<String, Value>,
    told: &mut Map<String, Value>,
    profile: &Profile,
    run: &Simulated,
    judged: &Judged,
    tenant: usize,
    found: &mut Vec<String>,
) {
    let number = |map: &Map<String, Value>, name: &str| map[name].as_u64().unwrap_or(0);
    let unaudited = number(told, "unaudited");
    for (name, range) in judged.stores.of_tenant(tenant) {
        let own = number(told, name);
        let good = if unaudited == 0 { range.contains(&own) } else { own <= *range.end() };
        let nearest = own.clamp(*range.start(), *range.end());
        should.insert(name.to_owned(), if good { own } else { nearest }.into());
    }
    should.insert("unaudited".to_owned(), unaudited.into());
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
