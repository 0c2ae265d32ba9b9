//! Looks a subject up in what was collected, with every doubt that the harness's own strain casts on it.
//!
//! The rules are design.md's "Verdict"; what they leave open is marked "ours".

use serde::Serialize;
use serde_json::Value;

use super::reading::Reading;
use crate::collector::collected::{Collected, Deliveries, Distribution, Harness, Metric, Storm, Tenant};
use crate::profile::{Comparison, Limit, LimitUnit, Percentile, Phase, Profile, Subject};

/// Why there is no number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// There could have been one, but there is none: "not exposed", "no samples".
    Unknown(String),
    /// The profile asks for nothing of the kind, so that nothing can be wrong with it.
    NotApplicable(String),
    /// wavesoak counts nothing by this name.
    NoSuchName,
}

/// Reads one subject; `limit` decides between share and count, and which tenant is the worst.
pub(super) fn read(
    subject: Subject,
    limit: &Limit,
    profile: &Profile,
    collected: &Collected,
) -> Result<Reading, Absent> {
    match subject {
        Subject::Live => live(profile, collected, limit.unit),
        Subject::Acknowledged => acknowledged(profile, collected, limit.unit),
        Subject::Server("fanout_failed") => match collected.server.fanout_failed {
            Some(lines) => Ok(Reading::sure(lines as f64)),
            None if collected.server.log.is_some() => {
                Err(unknown("no line of the server's log is about streams"))
            }
            None => Err(unknown("no server log was seen")),
        },
        Subject::Server("connections_unstable") => match collected.server.connections_unstable {
            Some(times) => Ok(Reading::sure(times as f64)),
            None => Err(unknown("scaiwave_ws_connections was never compared with what is live")),
        },
        Subject::Server("tenant_connections_unstable") => {
            match collected.server.tenant_connections_unstable {
                Some(times) => Ok(Reading::sure(times as f64)),
                None => Err(unknown("scaiwave_ws_connections was never compared by tenant")),
            }
        }
        Subject::Server("connections_leaked") => match collected.server.connections_leaked {
            Some(count) => Ok(Reading::sure(count as f64)),
            None => Err(unknown("scaiwave_ws_connections was not seen before and after")),
        },
        Subject::UpgradesLost => upgrades_lost(collected),
        Subject::Server("messages_dropped_total") => messages_dropped(collected, limit),
        Subject::Server(_) => Err(Absent::NoSuchName),
        Subject::Count { section, key } => count(section, key, collected),
        Subject::Latency(metric, point) => latency(metric, point, collected),
        Subject::StormRecovery(point) => storm_recovery(point, collected),
        Subject::WorstTenantLatency(metric, point) => {
            worst_tenant_latency(metric, point, limit.comparison, collected)
        }
        Subject::WorstTenant(key) => worst_tenant_count(key, limit.comparison, collected),
    }
}

/// A counter of the summary.
fn count(section: &str, key: &str, collected: &Collected) -> Result<Reading, Absent> {
    match section {
        "clients" => clients(key, collected),
        "publishes" => publishes(key, collected),
        "deliveries" => {
            let reading = deliveries(key, &collected.deliveries, &collected.harness)?;
            Ok(with_unread_history(reading, key, collected))
        }
        "tokens" => field(&collected.tokens, key).map(Reading::sure),
        "reconnects" => field(&collected.reconnects, key).map(Reading::sure),
        "disconnects" => Ok(disconnects(collected)),
        _ => Err(Absent::NoSuchName),
    }
}

/// Something is to be published.
pub(super) fn traffic_planned(profile: &Profile) -> bool {
    let publishing = |phase: &Phase| phase.rate.0 > 0.0 && !phase.duration.is_zero();
    profile.traffic.rate.0 > 0.0 && profile.phases.iter().any(publishing)
}

/// Share of the planned publishes that the harness was able to offer.
pub(super) fn offered(collected: &Collected) -> Reading {
    let publishes = &collected.publishes;
    let held_back = collected.harness.unsent_by_harness;
    let offered = ratio(publishes.intended.saturating_sub(held_back), publishes.intended);
    Reading::sure(offered).or_higher(
        1.0,
        format!("the harness itself held back {held_back} of {} publishes", publishes.intended),
    )
}

/// Shares of the planned sync requests that the harness was able to offer, and that were answered with a page.
pub(super) fn sync_load(collected: &Collected) -> [(&'static str, Reading); 2] {
    let load = &collected.sync_load;
    let held_back = load.unsent_by_harness;
    let why = || format!("the harness itself held back {held_back} of {} sync requests", load.intended);
    let could = load.intended.saturating_sub(held_back);
    let offered = Reading::sure(ratio(could, load.intended)).or_higher(1.0, why());
    let answered = Reading::sure(ratio(load.answered, load.intended));
    let answered = match held_back {
        0 => answered,
        _ if could == 0 => answered.or_higher(1.0, why()),
        _ => answered.or_higher(ratio(load.answered, could), why()),
    };
    [("sync_load.offered", offered), ("sync_load.answered", answered)]
}

fn live(profile: &Profile, collected: &Collected, unit: LimitUnit) -> Result<Reading, Absent> {
    let holds: Vec<(&str, u64, u64, u64)> = collected
        .holds
        .iter()
        .filter(|hold| hold.planned > 0)
        .map(|hold| (hold.phase.as_str(), hold.planned, hold.live, hold.down_by_harness))
        .collect();
    let expected = holds_planned(&profile.phases);
    if holds.is_empty() && expected == 0 {
        return live_at_end(profile, collected, unit);
    }
    if holds.len() < expected && !collected.harness.interrupted && collected.harness.stopped_by.is_none() {
        return Err(unknown("not every hold was seen to its end"));
    }
    let share = |&(_, planned, live, _): &(&str, u64, u64, u64)| ratio(live, planned);
    let worst = holds.iter().min_by(|a, b| share(a).total_cmp(&share(b)));
    let Some(&(phase, planned, live, down)) = worst else {
        return Err(unknown("no hold was seen to its end"));
    };
    Ok(clients_live(planned, live, down, unit)
        .noted(format!("{live} of {planned} at the end of \"{phase}\"")))
}

/// Ours: a profile without a hold is judged at its end.
fn live_at_end(profile: &Profile, collected: &Collected, unit: LimitUnit) -> Result<Reading, Absent> {
    let planned = profile.phases.last().map_or(0, |phase| u64::from(phase.clients));
    if planned == 0 {
        return Err(Absent::NotApplicable("the profile holds no clients and ends with none".to_owned()));
    }
    let live = collected.clients.live_at_end;
    Ok(clients_live(planned, live, 0, unit)
        .noted(format!("{live} of {planned} at the end; the profile has no hold")))
}

fn clients_live(planned: u64, live: u64, down_by_harness: u64, unit: LimitUnit) -> Reading {
    let number = |count: u64| if unit == LimitUnit::Share { ratio(count, planned) } else { count as f64 };
    let reading = Reading::sure(number(live));
    if down_by_harness == 0 {
        return reading;
    }
    reading.or_higher(
        number(live + down_by_harness),
        format!("{down_by_harness} clients were down for the harness's own reasons"),
    )
}

/// Phases that end with as many clients as they began with.
fn holds_planned(phases: &[Phase]) -> usize {
    let before = std::iter::once(0).chain(phases.iter().map(|phase| phase.clients));
    phases.iter().zip(before).filter(|(phase, before)| phase.clients == *before && *before > 0).count()
}

fn acknowledged(profile: &Profile, collected: &Collected, unit: LimitUnit) -> Result<Reading, Absent> {
    let publishes = &collected.publishes;
    let held_back = collected.harness.unsent_by_harness.min(publishes.intended);
    if unit == LimitUnit::Share && publishes.intended == 0 {
        return Err(if traffic_planned(profile) {
            unknown("nothing was published")
        } else {
            Absent::NotApplicable("the profile publishes nothing".to_owned())
        });
    }
    let (seen, best) = if unit == LimitUnit::Share {
        let offered = publishes.intended - held_back;
        let best = if offered == 0 { 1.0 } else { ratio(publishes.acknowledged, offered) };
        (ratio(publishes.acknowledged, publishes.intended), best)
    } else {
        (publishes.acknowledged as f64, (publishes.acknowledged + held_back) as f64)
    };
    let reading = Reading::sure(seen);
    Ok(if held_back == 0 {
        reading
    } else {
        reading.or_higher(best, format!("the harness itself held back {held_back} publishes"))
    })
}

fn messages_dropped(collected: &Collected, limit: &Limit) -> Result<Reading, Absent> {
    let server = &collected.server;
    let Some(dropped) = server.messages_dropped_total else {
        return Err(unknown("not exposed"));
    };
    let mut reading = Reading::sure(dropped as f64);
    if server.dropped_is_lower_bound || server.partial {
        // "if exposed" asks for no more than what the server shows (ours): a killed pod takes its count with it.
        if limit.if_exposed {
            reading = reading.noted("a lower bound: a counter was reset, or a pod could not be scraped");
        } else {
            reading =
                reading.or_unseen_higher(f64::INFINITY, "a counter was reset, or a pod could not be scraped");
        }
    }
    let drops = collected.harness.self_inflicted_drops;
    if drops > 0 {
        // A server also drops for a client that reads late.
        reading = reading.or_lower(0.0, self_inflicted(drops));
    }
    Ok(reading)
}

fn upgrades_lost(collected: &Collected) -> Result<Reading, Absent> {
    let stickiness = &collected.stickiness;
    match stickiness.upgrades_lost {
        Some(lost) => Ok(Reading::sure(lost as f64)),
        None => Err(unknown("connections ended within seconds, and what ended them cannot be told")),
    }
}

fn disconnects(collected: &Collected) -> Reading {
    let total = collected.disconnects.total;
    let own = collected.harness.self_inflicted_drops;
    let reading = Reading::sure(total as f64);
    if own == 0 { reading } else { reading.or_lower(total.saturating_sub(own) as f64, self_inflicted(own)) }
}

fn clients(key: &str, collected: &Collected) -> Result<Reading, Absent> {
    let value = field(&collected.clients, key)?;
    let unjudged = collected.clients.unjudged;
    let reading = Reading::sure(value);
    Ok(if key == "never_ready" && unjudged > 0 {
        reading.or_higher(
            value + unjudged as f64,
            format!("{unjudged} clients could not be judged for the harness's own reasons"),
        )
    } else {
        reading
    })
}

fn publishes(key: &str, collected: &Collected) -> Result<Reading, Absent> {
    let value = field(&collected.publishes, key)?;
    let held_back = collected.harness.unsent_by_harness;
    let reading = Reading::sure(value);
    Ok(if key == "unsent" && held_back > 0 {
        reading.or_lower(
            (value - held_back as f64).max(0.0),
            format!("the harness itself held back {held_back} publishes"),
        )
    } else {
        reading
    })
}

/// Keys that tell of loss: drops by the harness's own read lag both cause such events and hide their proof.
const LOSS: [&str; 12] = [
    "missed_after_bridging",
    "missed_on_stream",
    "missed_in_sync",
    "missed_in_seam",
    "missed_behind_cursor",
    "missed_unplaced",
    "recoverable",
    "lost_by_server",
    "signalled_loss",
    "unaudited",
    "stream_omitted",
    "sync_hole",
];

fn deliveries(key: &str, counts: &Deliveries, harness: &Harness) -> Result<Reading, Absent> {
    let value = field(counts, key)?;
    let mut reading = Reading::sure(value);
    let unaudited = counts.unaudited;
    if matches!(key, "lost_by_server" | "recoverable" | "signalled_loss") && unaudited > 0 {
        reading = reading.or_unseen_higher(
            value + unaudited as f64,
            format!("{unaudited} missed events could not be looked up in the store"),
        );
    }
    if key == "undecided" {
        reading = undecided(reading, counts.undecided, harness);
    }
    let drops = harness.self_inflicted_drops;
    if LOSS.contains(&key) && drops > 0 {
        reading = reading.or_higher(f64::INFINITY, self_inflicted(drops));
        let proven = proven_whatever_the_harness_did(key, counts);
        if proven < value {
            reading = reading.or_lower(proven, self_inflicted(drops));
        }
    }
    Ok(reading)
}

/// What no client saw, a run that only listens knows from history alone.
fn with_unread_history(reading: Reading, key: &str, collected: &Collected) -> Reading {
    match collected.observed.map_or(0, |observed| observed.rooms_unread) {
        0 => reading,
        _ if !LOSS.contains(&key) => reading,
        rooms => {
            let why = format!("the history of {rooms} rooms could not be read to its end");
            reading.or_unseen_higher(f64::INFINITY, why)
        }
    }
}

/// Where the target kept the client away it is the target's; where the harness did it is not known.
fn undecided(reading: Reading, total: u64, harness: &Harness) -> Reading {
    let own = harness.undecided_by_harness.min(total);
    let targets = (total - own) as f64;
    if harness.interrupted && total > 0 {
        return reading.or_unseen_lower(0.0, format!("cut short with {total} deliveries undecided"));
    }
    if own == 0 {
        return reading;
    }
    reading.or_lower(targets, format!("{own} deliveries are undecided for the harness's own reasons"))
}

/// How much of a loss is proven whatever the harness did: a place on the server's side asks for a client that
/// did not read late, and what the store says does not depend on the client at all.
fn proven_whatever_the_harness_did(key: &str, counts: &Deliveries) -> f64 {
    let proven = match key {
        "missed_after_bridging" => counts.missed_on_stream + counts.missed_in_sync,
        "missed_on_stream" => counts.missed_on_stream,
        "missed_in_sync" => counts.missed_in_sync,
        "lost_by_server" => counts.lost_by_server,
        "signalled_loss" => counts.signalled_loss,
        "sync_hole" => counts.sync_hole,
        "stream_omitted" => counts.stream_omitted,
        "unaudited" => counts.unaudited,
        _ => 0,
    };
    proven as f64
}

fn latency(metric: Metric, point: Percentile, collected: &Collected) -> Result<Reading, Absent> {
    let Some(distribution) = collected.latency.get(&metric).filter(|all| all.count() > 0) else {
        return Err(unknown("no samples"));
    };
    let mut reading = with_own_part(at(distribution, point), metric, point, collected);
    let failures = collected.harness.local_failures;
    if metric == Metric::Recovery && failures > 0 {
        reading = reading.or_lower(
            without_worst(distribution, failures, point),
            format!("{failures} attempts to connect failed for the harness's own reasons"),
        );
    }
    if metric == Metric::DeliverySent {
        reading = with_send_lateness(reading, collected);
    }
    Ok(reading)
}

/// The worst storm; who was not live again took for ever.
fn storm_recovery(point: Percentile, collected: &Collected) -> Result<Reading, Absent> {
    let within = |storm: &Storm| {
        let time = storm.recovered_within(point.quantile());
        time.map_or(f64::INFINITY, |time| time.as_micros() as f64)
    };
    let worst = collected.storms.iter().max_by(|one, other| within(one).total_cmp(&within(other)));
    let Some(worst) = worst else { return Err(unknown("there was no storm")) };
    let back = format!(
        "{} of {} live again, of the storm at {:.1} s",
        worst.recovered.len(),
        worst.clients,
        worst.began.as_secs_f64()
    );
    let mut reading =
        with_own_part(Reading::sure(within(worst)), Metric::Recovery, point, collected).noted(back);
    let failures = collected.harness.local_failures;
    if failures > 0 {
        // At best, those of them that took longest were this storm's.
        let others = Storm { clients: worst.clients.saturating_sub(failures), ..worst.clone() };
        let why = format!("{failures} attempts to connect failed for the harness's own reasons");
        let least = within(&others).min(reading.value);
        reading = reading.or_lower(least, why);
    }
    Ok(reading)
}

/// Harness lag only ever adds latency, so the truth is at most the harness's own part lower. A loop without a pause builds a
/// backlog that lag alone does not show; it grows by no more than the time that it had none, which is therefore the most that
/// it has added. Where that was no more of the run than the percentile leaves out, it was not what decided (ours), except of
/// recoveries, which all happen at once.
fn with_own_part(reading: Reading, metric: Metric, point: Percentile, collected: &Collected) -> Reading {
    if matches!(metric, Metric::SendLateness | Metric::ReconnectLateness) {
        // Both say how late the harness itself was: nothing of it is the target's.
        return reading.or_lower(0.0, format!("{} is the harness's own", metric.name()));
    }
    if !reading.value.is_finite() {
        return reading;
    }
    let less = |own: u64| (reading.value - own as f64).max(0.0);
    let told = |own: u64| super::Unit::Us.write(own as f64);
    let harness = &collected.harness;
    let part = harness.own_part_us_p99.filter(|&own| own > 0);
    let part = part.map(|own| (less(own), format!("the harness's own part, {} (p99), decides", told(own))));
    let counts = |share: f64| share > 1.0 - point.quantile() || (metric == Metric::Recovery && share > 0.0);
    let backlog = harness.saturated_us.filter(|_| harness.saturated_share.is_some_and(counts));
    let backlog =
        backlog.map(|own| (less(own), format!("the harness's loop had no pause for {}", told(own))));
    part.into_iter().chain(backlog).fold(reading.clone(), |reading, (low, why)| reading.or_lower(low, why))
}

/// `delivery_sent` leaves out how late the event left, and with it what its lateness spared the target.
fn with_send_lateness(reading: Reading, collected: &Collected) -> Reading {
    let lateness = collected.latency.get(&Metric::SendLateness).filter(|all| all.count() > 0);
    let Some(p99) = lateness.map(|all| at(all, Percentile::P99).value).filter(|&p99| p99 > 0.0) else {
        return reading;
    };
    let high = reading.value + p99;
    let why = format!("events left {} late (p99), which this metric leaves out", super::Unit::Us.write(p99));
    reading.or_higher(high, why)
}

/// The value at a point; +∞ where it falls on what never arrived. Not empty.
fn at(distribution: &Distribution, point: Percentile) -> Reading {
    let histogram = &distribution.histogram;
    let beyond = distribution.out_of_range + distribution.not_delivered;
    let value = match point {
        Percentile::Min => (!histogram.is_empty()).then(|| histogram.min()),
        Percentile::Max => (beyond == 0).then(|| histogram.max()),
        point => distribution.at(point.quantile()),
    };
    match value {
        Some(micros) => Reading::sure(micros as f64),
        None if distribution.not_delivered > 0 => {
            let note = format!("not delivered: {} of {}", distribution.not_delivered, distribution.count());
            Reading::sure(f64::INFINITY).noted(note)
        }
        None => Reading::sure(f64::INFINITY).noted("above 1h"),
    }
}

/// The value at a point if the `worst` largest samples had not been.
fn without_worst(distribution: &Distribution, worst: u64, point: Percentile) -> f64 {
    let rest = distribution.count().saturating_sub(worst);
    let in_range = distribution.histogram.len();
    let rank = match point {
        Percentile::Min => return 0.0,
        Percentile::Max => rest,
        point => ((point.quantile() * rest as f64).ceil() as u64).max(1),
    };
    if rest == 0 || rank == 0 {
        0.0
    } else if rank > in_range {
        f64::INFINITY
    } else {
        distribution.histogram.value_at_quantile((rank as f64 - 0.5) / in_range as f64) as f64
    }
}

fn worst_tenant_latency(
    metric: Metric,
    point: Percentile,
    comparison: Comparison,
    collected: &Collected,
) -> Result<Reading, Absent> {
    let of = |tenant: &Tenant| {
        let distribution =
            if metric == Metric::Arrival { &tenant.arrival } else { &tenant.delivery_intended };
        (distribution.count() > 0).then(|| at(distribution, point))
    };
    let readings = collected.tenants.iter().filter_map(|tenant| Some((tenant.tenant, of(tenant)?)));
    let (tenant, reading) = worst(readings, comparison).ok_or_else(|| unknown("no samples"))?;
    let note = match &reading.note {
        Some(note) => format!("tenant {tenant}, {note}"),
        None => format!("tenant {tenant}"),
    };
    Ok(with_own_part(reading.noted(note), metric, point, collected))
}

fn worst_tenant_count(key: &str, comparison: Comparison, collected: &Collected) -> Result<Reading, Absent> {
    let mut readings = Vec::with_capacity(collected.tenants.len());
    for tenant in &collected.tenants {
        // The harness's own strain is known for the fleet alone, so each tenant is doubted by all of it.
        readings.push((tenant.tenant, deliveries(key, &tenant.deliveries, &collected.harness)?));
    }
    let (tenant, reading) = worst(readings.into_iter(), comparison).ok_or_else(|| unknown("no tenants"))?;
    Ok(reading.noted(format!("tenant {tenant}")))
}

/// The one furthest on the wrong side; for `=`, the largest. Where the largest counts, another tenant may turn out
/// to be it: the doubts that could lift one above it stand beside its own.
fn worst(readings: impl Iterator<Item = (u32, Reading)>, comparison: Comparison) -> Option<(u32, Reading)> {
    let readings: Vec<(u32, Reading)> = readings.collect();
    let value = |&(_, reading): &&(u32, Reading)| reading.value;
    if comparison == Comparison::AtLeast {
        return readings.iter().min_by(|a, b| value(a).total_cmp(&value(b))).cloned();
    }
    let (tenant, mut worst) = readings.iter().max_by(|a, b| value(a).total_cmp(&value(b))).cloned()?;
    let others = readings.into_iter().filter(|&(other, _)| other != tenant);
    worst.widen_by_higher(others.flat_map(|(_, reading)| reading.doubts));
    Some((tenant, worst))
}

/// One counter of a section, by the key it has in the summary.
fn field(section: &impl Serialize, key: &str) -> Result<f64, Absent> {
    let section = serde_json::to_value(section).unwrap_or(Value::Null);
    section.get(key).and_then(Value::as_f64).ok_or(Absent::NoSuchName)
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn unknown(why: &str) -> Absent {
    Absent::Unknown(why.to_owned())
}

fn self_inflicted(drops: u64) -> String {
    format!("{drops} connections dropped while the harness itself read late")
}
