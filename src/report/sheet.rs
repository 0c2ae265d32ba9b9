//! A summary as people read it: sections with a table, or with lines. Terminal and Markdown are its renderings.

use super::summary::Latency;
use super::{Summary, storms};
use crate::collector::collected::{Deliveries, Evidence, HookEnd, HookRecord, Metric, Part, Pod, ServedBy};
use crate::verdict::{Judged, Outcome, Unit};

/// One section.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Section {
    /// Its heading.
    pub title: &'static str,
    /// Headings of the columns.
    pub head: Vec<&'static str>,
    /// Each as wide as the head.
    pub rows: Vec<Vec<Cell>>,
    /// Sentences below the table.
    pub lines: Vec<String>,
}

/// One field of a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cell {
    /// What it says.
    pub text: String,
    /// Numbers are set to the right.
    pub number: bool,
    /// What colour it deserves.
    pub mood: Mood,
}

/// How a field is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// As any other.
    Plain,
    /// As it should be.
    Good,
    /// As it should not be.
    Bad,
    /// Not known.
    Open,
}

/// All sections of a summary, in reading order.
pub(super) fn sections(summary: &Summary) -> Vec<Section> {
    let all = [
        imbalances(summary),
        objectives(summary),
        deliveries(&summary.deliveries),
        places(&summary.deliveries),
        traffic(summary),
        latencies(summary),
        connections(summary),
        storms::section(&summary.storms),
        stickiness(summary),
        faults(summary),
        server(summary),
        harness(summary),
        remarks(summary),
    ];
    all.into_iter().filter(|section| !section.rows.is_empty() || !section.lines.is_empty()).collect()
}

/// The run in one line.
pub(super) fn headline(summary: &Summary) -> String {
    format!(
        "{}{} · profile {} · seed {} · target {} · {}",
        summary.verdict.to_string().to_uppercase(),
        if summary.partial { " so far" } else { "" },
        summary.profile,
        summary.seed,
        summary.target,
        Unit::Us.write((summary.duration_s * 1e6).round()),
    )
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), number: false, mood: Mood::Plain }
    }

    pub(super) fn number(text: impl Into<String>) -> Self {
        Self { number: true, ..Self::text(text) }
    }

    pub(super) fn count(count: u64) -> Self {
        Self::number(grouped(count))
    }

    pub(super) fn mood(self, mood: Mood) -> Self {
        Self { mood, ..self }
    }
}

/// First of all, and loudly: a harness whose books do not balance proves nothing.
fn imbalances(summary: &Summary) -> Section {
    let row = |imbalance: &super::summary::Imbalance| {
        vec![
            Cell::text(&imbalance.equation).mood(Mood::Bad),
            Cell::count(imbalance.left).mood(Mood::Bad),
            Cell::count(imbalance.right).mood(Mood::Bad),
        ]
    };
    let mut section = Section {
        title: "THE BOOKS DO NOT BALANCE",
        head: vec!["equation", "left", "right"],
        rows: summary.imbalances.iter().map(row).collect(),
        lines: Vec::new(),
    };
    if !section.rows.is_empty() {
        section
            .lines
            .push("This is an error of wavesoak, not of the target: believe nothing below.".to_owned());
    }
    section
}

fn objectives(summary: &Summary) -> Section {
    Section {
        title: "Objectives",
        head: vec!["objective", "limit", "observed", "outcome", "reason"],
        rows: summary.objectives.iter().map(objective).collect(),
        lines: Vec::new(),
    }
}

fn objective(judged: &Judged) -> Vec<Cell> {
    let mood = match judged.outcome {
        // Met for want of a number is not green.
        Outcome::Passed if judged.observed.is_none() => Mood::Plain,
        Outcome::Passed => Mood::Good,
        Outcome::Failed => Mood::Bad,
        Outcome::Inconclusive => Mood::Open,
    };
    vec![
        Cell::text(&judged.name),
        Cell::text(&judged.limit),
        Cell::number(observed(judged)),
        Cell::text(judged.outcome.to_string()).mood(mood),
        Cell::text(judged.reason.as_deref().unwrap_or_default()),
    ]
}

/// What was seen, or the shortest word for why there is no number.
pub(super) fn observed(judged: &Judged) -> String {
    let reason = judged.reason.as_deref().unwrap_or_default();
    match judged.observed {
        Some(number) if judged.unit == Unit::Count => grouped(number as u64),
        Some(number) => judged.unit.write(number),
        None if reason.contains("not delivered") => "not delivered".to_owned(),
        None if reason.contains("not exposed") => "not exposed".to_owned(),
        None => "unknown".to_owned(),
    }
}

fn deliveries(counts: &Deliveries) -> Section {
    let share = |part: u64| {
        let share = if counts.expected == 0 { 0.0 } else { part as f64 / counts.expected as f64 };
        Cell::number(if counts.expected == 0 { "-".to_owned() } else { Unit::Share.write(share) })
    };
    let row = |name: &str, count: u64, meaning: &str, arrived: bool| {
        let mood = if arrived || count == 0 { Mood::Plain } else { Mood::Open };
        vec![Cell::text(name), Cell::count(count).mood(mood), share(count), Cell::text(meaning)]
    };
    let mut section = Section {
        title: "Deliveries",
        head: vec!["class", "count", "share", "meaning"],
        rows: vec![
            row("expected", counts.expected, "owed: every event to every member", true),
            row("live", counts.live, "first came on the stream", true),
            row("bridged", counts.bridged, "first came by sync", true),
            row("missed_after_bridging", counts.missed_after_bridging, "came by neither", false),
            row("undecided", counts.undecided, "the client was down when the run ended", false),
        ],
        lines: vec![beside(counts)],
    };
    section.lines.retain(|line| !line.is_empty());
    section
}

/// The counts beside the classes, those that are not 0.
fn beside(counts: &Deliveries) -> String {
    let all = [
        ("stream_omitted", counts.stream_omitted),
        ("sync_hole", counts.sync_hole),
        ("resurrected", counts.resurrected),
        ("overlap", counts.overlap),
        ("duplicate", counts.duplicate),
        ("redelivered", counts.redelivered),
        ("replayed", counts.replayed),
        ("out_of_order", counts.out_of_order),
        ("interleaved", counts.interleaved),
        ("below_cursor", counts.below_cursor),
        ("late_live", counts.late_live),
        ("late_bridged", counts.late_bridged),
        ("unexpected", counts.unexpected),
        ("leaked", counts.leaked),
        ("leaked_room", counts.leaked_room),
        ("foreign", counts.foreign),
        ("unowed", counts.unowed),
    ];
    let seen: Vec<String> = all
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name} {}", grouped(*count)))
        .collect();
    if seen.is_empty() { String::new() } else { format!("Beside them: {}.", seen.join(", ")) }
}

/// Where missed events were missed, and what the store says of them.
fn places(counts: &Deliveries) -> Section {
    if counts.missed_after_bridging == 0 {
        return Section::default();
    }
    let row = |name: &str, count: u64, meaning: &str| {
        vec![Cell::text(name), Cell::count(count), Cell::text(meaning)]
    };
    let rows = vec![
        row("missed_on_stream", counts.missed_on_stream, "a working connection did not bring them"),
        row("missed_in_sync", counts.missed_in_sync, "a complete sync did not hold them"),
        row("missed_in_seam", counts.missed_in_seam, "between the last sync reply and the subscription"),
        row(
            "missed_behind_cursor",
            counts.missed_behind_cursor,
            "at or below the highest position processed",
        ),
        row("missed_unplaced", counts.missed_unplaced, "nothing can be proven"),
        row("recoverable", counts.recoverable, "the server still returns them"),
        row("lost_by_server", counts.lost_by_server, "the server does not return them any more"),
        row("signalled_loss", counts.signalled_loss, "the server said that it cannot replay them"),
        row("unaudited", counts.unaudited, "not looked up"),
    ];
    Section {
        title: "Missed: where, and what the store says",
        head: vec!["place or store", "count", "meaning"],
        rows: rows.into_iter().filter(|row| row[1].text != "0").collect(),
        lines: Vec::new(),
    }
}

fn traffic(summary: &Summary) -> Section {
    let (clients, publishes, load) = (&summary.clients, &summary.publishes, &summary.sync_load);
    let of_the_load = (load.intended > 0).then(|| {
        format!(
            "Sync requests of the load: {} intended = {} answered + {} failed + {} unsent.",
            grouped(load.intended),
            grouped(load.answered),
            grouped(load.failed),
            grouped(load.unsent),
        )
    });
    let mut section = Section {
        title: "Clients and publishes",
        head: Vec::new(),
        rows: Vec::new(),
        lines: vec![
            format!(
                "Clients: {} planned, {} live at most, {} live and {} ready at the end, {} never ready, {} not \
                 judged, {} refused for their token, {} evicted.",
                grouped(clients.planned),
                grouped(clients.live_peak),
                grouped(clients.live_at_end),
                grouped(clients.ready_at_end),
                grouped(clients.never_ready),
                grouped(clients.unjudged),
                grouped(clients.auth_failed),
                grouped(clients.evicted),
            ),
            format!(
                "Publishes: {} intended = {} sent + {} unsent; sent = {} acknowledged + {} rejected + {} unknown; \
                 {} stored twice.",
                grouped(publishes.intended),
                grouped(publishes.sent),
                grouped(publishes.unsent),
                grouped(publishes.acknowledged),
                grouped(publishes.rejected),
                grouped(publishes.unknown),
                grouped(publishes.double_stored),
            ),
        ],
    };
    section.lines.extend(of_the_load);
    section
}

fn latencies(summary: &Summary) -> Section {
    let seen = summary.latency_us.iter().filter(|(_, latency)| latency.count > 0);
    Section {
        title: "Latencies",
        head: vec!["metric", "count", "p50", "p90", "p99", "p999", "max", "not delivered"],
        rows: seen.map(|(&metric, latency)| latency_row(metric, latency)).collect(),
        lines: Vec::new(),
    }
}

fn latency_row(metric: Metric, latency: &Latency) -> Vec<Cell> {
    let beyond = if latency.not_delivered > 0 { "not delivered" } else { "above 1h" };
    let at = |value: Option<u64>| {
        Cell::number(value.map_or_else(|| beyond.to_owned(), |micros| Unit::Us.write(micros as f64)))
    };
    vec![
        Cell::text(metric.name()),
        Cell::count(latency.count),
        at(latency.p50),
        at(latency.p90),
        at(latency.p99),
        at(latency.p999),
        at(latency.max),
        Cell::count(latency.not_delivered),
    ]
}

fn connections(summary: &Summary) -> Section {
    let (disconnects, reconnects) = (&summary.disconnects, &summary.reconnects);
    let list = |entries: Vec<String>| {
        if entries.is_empty() { String::new() } else { format!(" ({})", entries.join(", ")) }
    };
    let causes = disconnects.by_cause.iter().map(|(cause, count)| format!("{cause} {}", grouped(*count)));
    let codes =
        disconnects.by_close_code.iter().map(|(code, count)| format!("close {code}: {}", grouped(*count)));
    Section {
        title: "Connections",
        head: Vec::new(),
        rows: Vec::new(),
        lines: vec![
            format!("Disconnects: {}{}.", grouped(disconnects.total), list(causes.chain(codes).collect())),
            format!(
                "Reconnects: {} ({} immediate, {} backed off), {} earlier than the schedule allows. Tokens: {} \
                 refreshed, {} rejected.",
                grouped(reconnects.total),
                grouped(reconnects.immediate),
                grouped(reconnects.backed_off),
                grouped(reconnects.schedule_violations),
                grouped(summary.tokens.refreshed),
                grouped(summary.tokens.rejected),
            ),
        ],
    }
}

fn stickiness(summary: &Summary) -> Section {
    let told = &summary.stickiness;
    let known = |lost: Option<u64>| lost.map_or_else(|| "unknown".to_owned(), grouped);
    let mut lines = Vec::new();
    // A run in which every connection lived has nothing to say here.
    if told.short_lived > 0 || told.moved.is_some() {
        let share = told.share.map_or_else(String::new, |share| format!(" ({})", Unit::Share.write(share)));
        let from = match told.inferred_from {
            None => "nothing",
            Some(Evidence::Pods) => "the pods that answered",
            Some(Evidence::Lifetimes) => "how long connections lived",
            Some(Evidence::PodsAndLifetimes) => {
                "the pods that answered, and where they are not known how long \
                                                 connections lived"
            }
        };
        let moved = told.moved.map_or_else(String::new, |moved| {
            format!(" {} reached another pod than the sync before them.", grouped(moved))
        });
        let part = |part: Part| format!("{} of {}", known(part.lost), grouped(part.upgrades));
        lines.push(format!(
            "Upgrades: {}; lost to a missing session: {}{share}, inferred from {from}.{moved} After a token refresh: {}; \
             otherwise: {}. Ended within seconds: {}; not judged: {}.",
            grouped(told.upgrades),
            known(told.upgrades_lost),
            part(told.after_refresh),
            part(told.otherwise),
            grouped(told.short_lived),
            grouped(told.unjudged),
        ));
    }
    Section { title: "Stickiness", head: Vec::new(), rows: Vec::new(), lines }
}

fn faults(summary: &Summary) -> Section {
    let seconds = |seconds: Option<f64>| {
        Cell::number(seconds.map_or_else(|| "-".to_owned(), |s| Unit::Us.write((s * 1e6).round())))
    };
    let row = |fault: &super::summary::Fault| {
        let affected = match (fault.affected, fault.at_s) {
            (Some(count), _) => Cell::count(count),
            (None, None) => Cell::number("not planted").mood(Mood::Open),
            (None, Some(_)) => Cell::number("not told").mood(Mood::Open),
        };
        vec![
            Cell::text(&fault.name),
            Cell::text(&fault.kind),
            seconds(fault.at_s),
            seconds(fault.duration_s),
            affected,
        ]
    };
    Section {
        title: "Faults",
        head: vec!["fault", "kind", "at", "for", "affected"],
        rows: summary.faults.iter().map(row).collect(),
        lines: summary.hooks.iter().map(hook).collect(),
    }
}

fn hook(hook: &HookRecord) -> String {
    let end = match (hook.end, hook.exit) {
        (HookEnd::Done, _) => "succeeded".to_owned(),
        (HookEnd::TimedOut, _) => "was killed, for it took too long,".to_owned(),
        (HookEnd::NotStarted, _) => "did not start".to_owned(),
        (HookEnd::Failed, Some(code)) => format!("failed with exit status {code}"),
        (HookEnd::Failed, None) => "was ended by a signal".to_owned(),
    };
    let what = if hook.undo { "The undo of" } else { "The command of" };
    format!("{what} {} {end} after {}.", hook.fault, Unit::Us.write((hook.took_s * 1e6).round()))
}

fn server(summary: &Summary) -> Section {
    let server = &summary.server;
    let exposed = |value: Option<u64>| value.map_or_else(|| "not exposed".to_owned(), grouped);
    let bound = if server.dropped_is_lower_bound { " (at least)" } else { "" };
    let connections = &server.ws_connections;
    let mut lines = vec![format!(
        "scaiwave_ws_messages_dropped_total: {}{bound}. scaiwave_ws_connections: {} before, {} at most, {} after. \
         ws.fanout_failed: {}. Connections that it still showed when everybody had left: {}; looks in quiet at \
         which it was off by more than 1 %, twice running or more: {} in sum, {} of a tenant.",
        exposed(server.messages_dropped_total),
        exposed(connections.before),
        exposed(connections.peak),
        exposed(connections.after),
        server.fanout_failed.map_or_else(|| "no log seen".to_owned(), grouped),
        server.connections_leaked.map_or_else(|| "unknown".to_owned(), grouped),
        server.connections_unstable.map_or_else(|| "unknown".to_owned(), grouped),
        server.tenant_connections_unstable.map_or_else(|| "unknown".to_owned(), grouped),
    )];
    if let Some(log) = &server.log {
        let reasons = log.disconnects.iter().map(|(reason, seen)| {
            let seen: Vec<String> =
                seen.iter().map(|(name, count)| format!("{name} {}", grouped(*count))).collect();
            format!("{reason} (seen as {})", seen.join(", "))
        });
        let pods = log.fanout_failed.iter().map(|(pod, count)| format!("{pod} {}", grouped(*count)));
        let all = |list: Vec<String>| if list.is_empty() { "none".to_owned() } else { list.join("; ") };
        lines.push(format!(
            "Its log: {} lines, {} not understood. ws.disconnect: {}. ws.fanout_failed by pod: {}.",
            grouped(log.lines),
            grouped(log.not_understood),
            all(reasons.collect()),
            all(pods.collect()),
        ));
    }
    if !server.not_exposed.is_empty() {
        lines.push(format!("Documented, but not exposed: {}.", server.not_exposed.join(", ")));
    }
    if let Some(line) = served_by(&summary.served_by) {
        lines.push(line);
    }
    Section { title: "Server", head: Vec::new(), rows: Vec::new(), lines }
}

/// Clients of each pod, the busiest first.
fn served_by(served: &ServedBy) -> Option<String> {
    const SHOWN: usize = 12;
    let mut pods: Vec<&Pod> = served.pods.iter().collect();
    pods.sort_by_key(|pod| std::cmp::Reverse(pod.live_peak));
    let name = |pod: &Pod| pod.server_name.clone().unwrap_or_else(|| "not said".to_owned());
    let shown = pods.iter().take(SHOWN).map(|pod| format!("{} {}", name(pod), grouped(pod.live_peak)));
    let shown: Vec<String> = shown.collect();
    let more = pods.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(", and {more} more pods") } else { String::new() };
    (!shown.is_empty()).then(|| format!("Clients at most, by pod: {}{more}.", shown.join(", ")))
}

fn harness(summary: &Summary) -> Section {
    let harness = &summary.harness;
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let kib = |bytes: u64| format!("{:.1} KiB", bytes as f64 / 1024.0);
    let us = |value: Option<u64>| value.map_or_else(|| "unknown".to_owned(), |us| Unit::Us.write(us as f64));
    let mut lines = vec![format!(
        "{} worker(s), {:.2} cores, {} at most ({} quiet); loop lag p99 {}, own part of a latency p99 {}; \
         without a pause for {} of the time; bottleneck: {}.",
        harness.workers,
        harness.cpu_cores_mean,
        mib(harness.rss_bytes_max),
        harness.rss_bytes_quiet.map_or_else(|| "unknown".to_owned(), mib),
        us(harness.loop_lag_us_p99),
        us(harness.own_part_us_p99),
        harness.saturated_share.map_or_else(|| "unknown".to_owned(), |share| Unit::Share.write(share)),
        if harness.bottleneck { "yes" } else { "no" },
    )];
    let flushes = &harness.flushes;
    if flushes.count > 0 {
        lines.push(format!(
            "Positions: {} flushes, {} each on average, durable after {} on average, {} at most.",
            grouped(flushes.count),
            kib(flushes.bytes / flushes.count),
            us(flushes.us_mean),
            us(flushes.us_max),
        ));
    }
    let refused: Vec<String> =
        harness.refused.iter().map(|(name, count)| format!("{name} {}", grouped(*count))).collect();
    if !refused.is_empty() {
        lines.push(format!("Own bounds that were hit: {}.", refused.join(", ")));
    }
    lines.extend(harness.reasons.iter().map(|reason| format!("Open because of: {reason}.")));
    Section { title: "Harness", head: Vec::new(), rows: Vec::new(), lines }
}

fn remarks(summary: &Summary) -> Section {
    Section { title: "Remarks", head: Vec::new(), rows: Vec::new(), lines: summary.remarks.clone() }
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
