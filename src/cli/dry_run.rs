//! `wavesoak run --dry-run`: what a run would cost. No traffic leaves.

use std::fmt::Write as _;

use serde::Serialize;

use super::cost::{Cost, Count};
use super::exit::{Exit, Failure};
use super::run::Format;
use super::{output, own};
use crate::driver::preflight::{Holding, Machine, hold};
use crate::profile::{BalancerMode, Fault, FaultKind, Profile};
use crate::report::RunInfo;
use crate::report::sheet::grouped;

/// `--dry-run --format json`
#[derive(Debug, Serialize)]
struct Answer {
    schema: &'static str,
    profile: String,
    seed: u64,
    target: String,
    cost: Cost,
    machine: Needs,
    /// What would be run, with --allow-exec.
    commands: Vec<Hook>,
    /// Target-side faults, which a run against a deployment does not plant.
    not_planted: Vec<String>,
}

/// A command of the profile.
#[derive(Debug, Serialize)]
struct Hook {
    fault: String,
    at_s: f64,
    /// Program and arguments.
    command: Vec<String>,
    /// What takes it back; empty: nothing.
    undo: Vec<String>,
}

impl Hook {
    fn of(fault: &Fault) -> Option<Self> {
        let FaultKind::Exec(exec) = &fault.kind else { return None };
        let undo = if exec.undo.is_empty() { Vec::new() } else { exec.argv(&exec.undo) };
        let (fault, at_s) = (fault.name.clone(), fault.at.as_secs_f64());
        Some(Self { fault, at_s, command: exec.argv(&exec.command), undo })
    }
}

/// What the run holds on this machine at its busiest.
#[derive(Debug, Serialize)]
struct Needs {
    /// Open files by process.
    descriptors: Vec<Descriptors>,
    /// Of one process, hard limit; null: none.
    descriptors_limit: Option<u64>,
    /// Towards the busiest address.
    ports: u64,
    /// Ports that this machine gives out.
    ports_limit: u64,
    /// All processes of the run, kernel included; by estimate.
    memory_bytes: u64,
    /// Null: not known.
    memory_bytes_available: Option<u64>,
    /// Why it does not fit; null: it does.
    refused: Option<String>,
}

#[derive(Debug, Serialize)]
struct Descriptors {
    process: &'static str,
    count: u64,
}

/// Prints the answer. A run that this machine cannot hold is exit 2, as it would be without `--dry-run`.
pub(super) fn print(profile: &Profile, format: Format) -> Result<Exit, Failure> {
    let answer = Answer::of(profile);
    match format {
        Format::Text => output::data(&text(&answer))?,
        Format::Json => output::data(&own::json(&answer)?)?,
    }
    Ok(if answer.machine.refused.is_some() { Exit::Usage } else { Exit::Passed })
}

impl Answer {
    fn of(profile: &Profile) -> Self {
        let deployment = profile.target.url.is_some();
        let not_planted = profile.faults.iter().filter(|fault| deployment && fault.kind.is_target_side());
        Self {
            schema: "wavesoak.cost/1",
            profile: profile.name.clone(),
            seed: profile.seed,
            target: RunInfo::target_of(profile),
            cost: Cost::of(profile),
            machine: Needs::of(profile),
            commands: profile.faults.iter().filter_map(Hook::of).collect(),
            not_planted: not_planted.map(|fault| fault.name.clone()).collect(),
        }
    }
}

impl Needs {
    fn of(profile: &Profile) -> Self {
        let embedded = &profile.target.embedded;
        let spread = profile.target.url.is_none() && embedded.balancer.mode == BalancerMode::Direct;
        let endpoints = if spread { u64::from(embedded.pods) } else { 1 };
        let (holding, machine) = (Holding::new(profile, endpoints), Machine::look());
        let descriptors = |process: &crate::driver::preflight::Process| Descriptors {
            process: process.name,
            count: process.descriptors,
        };
        Self {
            descriptors: holding.processes.iter().map(descriptors).collect(),
            descriptors_limit: machine.descriptors,
            ports: holding.ports,
            ports_limit: machine.ports,
            memory_bytes: holding.memory,
            memory_bytes_available: machine.memory,
            refused: hold(&holding, &machine).err().map(|error| error.to_string()),
        }
    }
}

fn text(answer: &Answer) -> String {
    let (cost, machine) = (&answer.cost, &answer.machine);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "profile {} · seed {} · target {} · nothing is sent\n",
        answer.profile, answer.seed, answer.target
    );
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<22}{value}");
    };
    row("duration", format!("{:.0} s, and a drain of at most {:.0} s", cost.duration_s, cost.drain_s_max));
    row("clients", format!("{} in {} tenants", grouped(cost.clients), grouped(cost.tenants)));
    row("logins", grouped(cost.logins));
    let again = if cost.rooms > 0 && answer.target != "embedded" {
        " (fewer, where an earlier run's are used again)"
    } else {
        ""
    };
    row("rooms made", format!("{}, with {} joins{again}", grouped(cost.rooms), grouped(cost.joins)));
    row("publishes", count(cost.publishes));
    if cost.sync_requests.count > 0 {
        row("sync requests", format!("{}, beside the clients' own", count(cost.sync_requests)));
    }
    let unknown = || "not known: others publish".to_owned();
    row("deliveries", cost.deliveries.map_or_else(unknown, count));
    row("stored rows", count(cost.stored_rows));
    row("bytes sent", mebibytes(cost.bytes_sent.count));
    row("bytes received", cost.bytes_received.map_or_else(unknown, |bytes| mebibytes(bytes.count)));
    row("commands run", grouped(cost.commands));
    let descriptors: Vec<String> =
        machine.descriptors.iter().map(|one| format!("{} {}", one.process, grouped(one.count))).collect();
    let limit = machine.descriptors_limit.map_or_else(|| "none".to_owned(), grouped);
    row("descriptors", format!("{} (limit of a process: {limit})", descriptors.join(", ")));
    row("ports", format!("{} of {}", grouped(machine.ports), grouped(machine.ports_limit)));
    let available = machine.memory_bytes_available.map_or_else(|| "unknown".to_owned(), mebibytes);
    row("memory", format!("{} of {available} available", mebibytes(machine.memory_bytes)));
    for Hook { fault, at_s, command, undo } in &answer.commands {
        row("  command", format!("{fault}, at {at_s} s: {command:?}; undo: {undo:?}"));
    }
    if !answer.not_planted.is_empty() {
        row("faults not planted", answer.not_planted.join(", "));
    }
    if let Some(refused) = &machine.refused {
        let _ = writeln!(text, "\nThis machine would refuse it: failed to {refused}");
    }
    text
}

fn count(count: Count) -> String {
    format!("{}{}", grouped(count.count), if count.exact { "" } else { " (expected)" })
}

fn mebibytes(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 10.0 { format!("{mib:.1} MiB") } else { format!("{} MiB", grouped(mib.round() as u64)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn every_number_of_the_contract_is_there() {
        let text = text(&Answer::of(&sample::profile()));
        for name in [
            "clients",
            "logins",
            "publishes",
            "deliveries",
            "bytes",
            "stored rows",
            "rooms made",
            "commands run",
            "descriptors",
            "ports",
            "memory",
        ] {
            assert!(text.lines().any(|line| line.starts_with(name)), "{name} in {text}");
        }
    }

    #[test]
    fn a_deployment_is_told_which_faults_it_is_spared() {
        let mut profile = sample::profile();
        profile.target.url = Some("http://127.0.0.1:9".to_owned());
        assert!(text(&Answer::of(&profile)).contains("faults not planted    pod-kill"));
    }
}
