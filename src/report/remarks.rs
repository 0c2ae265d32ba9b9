//! Sentences beside the numbers: what a number means that surprises on first sight, and which setting, or which
//! remedy, belongs to it.

use std::time::Duration;

use crate::collector::collected::{Collected, Distribution, Evidence, LocalAddress, Observing, Part};
use crate::profile::quantity::Written as _;
use crate::profile::{BridgeOrder, Profile};
use crate::session::Cause;

/// What there is to say about a run.
pub(super) fn of(profile: &Profile, collected: &Collected) -> Vec<String> {
    [
        observed(collected),
        seam(profile, collected),
        behind_cursor(collected),
        replayed(profile, collected),
        not_sticky(collected).or_else(|| dropped_when_idle(profile, collected)),
        leaked_connections(collected),
        unstable_connections(collected),
        unstable_tenants(collected),
        fan_out_failed(collected),
        unseen_reasons(collected),
        stuck_to_a_pod(collected),
        not_planted(profile),
        shortened(profile),
        duplicates(collected),
        self_inflicted(collected),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What a run that only listens has seen, and what no such run can show.
fn observed(collected: &Collected) -> Option<String> {
    let Observing { rooms, events, by_survey_alone, rooms_unread } = collected.observed?;
    let unread = if rooms_unread > 0 {
        format!(
            " The history of {rooms_unread} rooms could not be read to its end: there may have been more."
        )
    } else {
        String::new()
    };
    let refused = match collected.oddities.get("survey_refused") {
        Some(times) => format!(
            " {times} times a member could not read a room's history any more and another member was asked (findings \
             survey_refused): what was published between its last page and the next one's is in the union as far as that \
             history has it."
        ),
        None => String::new(),
    };
    Some(format!(
        "Only listened (traffic.mode = \"observe\"): {events} different events of {rooms} rooms were seen, {by_survey_alone} of \
         them by no client but in history; what one saw is owed to all who were there. It cannot show events that nobody \
         saw and history does not have, how long anything took, or whether the stream or sync lost what was missed (all of \
         it is missed_unplaced).{unread}{refused}"
    ))
}

/// The hole of the documented order, shown and not hidden.
fn seam(profile: &Profile, collected: &Collected) -> Option<String> {
    let missed = collected.deliveries.missed_in_seam;
    (missed > 0 && profile.client.bridge == BridgeOrder::SyncFirst).then(|| {
        format!(
            "missed_in_seam: {missed} deliveries fell between the last sync reply and the new subscription, where \
             the documented order (sync, then stream) asks nobody for them; client.bridge = \"stream-first\" \
             avoids it."
        )
    })
}

fn behind_cursor(collected: &Collected) -> Option<String> {
    let missed = collected.deliveries.missed_behind_cursor;
    (missed > 0).then(|| {
        format!(
            "missed_behind_cursor: {missed} deliveries had a position at or below the highest one already \
             processed, so that the documented sync?since=<highest> can never return them."
        )
    })
}

/// The price of the flush interval, in deliveries.
fn replayed(profile: &Profile, collected: &Collected) -> Option<String> {
    let (replayed, interval) = (collected.deliveries.replayed, profile.client.flush_interval);
    (replayed > 0).then(|| {
        format!(
            "replayed: {replayed} deliveries came once more after restarts, because positions are stored only \
             every {} (client.flush_interval).",
            interval.show()
        )
    })
}

/// A share of this size after a refresh, and none worth the name otherwise, is the refresh's doing.
const BREAKS: f64 = 0.1;
const KEEPS: f64 = 0.01;

/// The symptom of the troubleshooting page, "Connects, drops every few seconds", where its second cause is the one.
fn not_sticky(collected: &Collected) -> Option<String> {
    let told = &collected.stickiness;
    let lost = told.upgrades_lost.filter(|&lost| lost > 0)?;
    let share = |part: Part| part.lost.unwrap_or(0) as f64 / part.upgrades.max(1) as f64;
    let seen = match told.inferred_from {
        Some(Evidence::Pods) => {
            "they reached another pod than the sync before them, and ended within seconds"
        }
        _ => "they ended within seconds, all at about one age, while others live on",
    };
    if share(told.after_refresh) >= BREAKS && share(told.otherwise) <= KEEPS {
        return Some(format!(
            "Stickiness breaks at a token refresh: {} of {} upgrades with a refreshed token were lost, and {} of {} \
             others: {seen}. The balancer's key is the token, and a new token leads to another pod: stick by a cookie, or \
             by something in the token that a refresh does not change.",
            told.after_refresh.lost.unwrap_or(0),
            told.after_refresh.upgrades,
            told.otherwise.lost.unwrap_or(0),
            told.otherwise.upgrades,
        ));
    }
    Some(format!(
        "Symptom \"connects, drops every few seconds\": {lost} of {} upgrades were lost to a missing session: {seen}. Sticky \
         sessions are not configured, or their key differs between sync (Authorization header) and upgrade (token in the \
         query): configure the balancer to send both to one pod.",
        told.upgrades
    ))
}

fn leaked_connections(collected: &Collected) -> Option<String> {
    let leaked = collected.server.connections_leaked.filter(|&leaked| leaked > 0)?;
    Some(format!(
        "connections_leaked: scaiwave_ws_connections still shows {leaked} connections of clients that have long gone: the \
         pods do not let go of them, or do not count their ends."
    ))
}

fn unstable_connections(collected: &Collected) -> Option<String> {
    let looks = collected.server.connections_unstable.filter(|&looks| looks > 0)?;
    Some(format!(
        "connections_unstable: at {looks} looks in quiet times scaiwave_ws_connections was off by more than 1 % of the \
         clients that were live; it should be stable in normal operation."
    ))
}

fn unstable_tenants(collected: &Collected) -> Option<String> {
    let looks = collected.server.tenant_connections_unstable.filter(|&looks| looks > 0)?;
    let worst = collected.server.unstable_tenants.first()?;
    Some(format!(
        "tenant_connections_unstable: at {looks} looks in quiet times scaiwave_ws_connections was off by more than 1 % of a \
         tenant's live clients (and more than one), tenant {} at {} of them, where it showed {} of {} in the end: \
         connections are counted for another tenant, or are of one.",
        worst.tenant_id, worst.looks, worst.gauge, worst.live
    ))
}

/// The page's own remedy.
fn fan_out_failed(collected: &Collected) -> Option<String> {
    let failed = &collected.server.log.as_ref()?.fanout_failed;
    let (pod, most) = failed.iter().max_by_key(|(_, count)| **count)?;
    let all: u64 = failed.values().sum();
    Some(format!(
        "ws.fanout_failed: {all} lines in the server's log, {most} of them of {pod}: events did not reach its sockets \
         (\"connects fine but no events arrive\"); if there are many, restart that pod."
    ))
}

fn unseen_reasons(collected: &Collected) -> Option<String> {
    let unseen = collected.server.log.as_ref()?.unseen_reasons;
    (unseen > 0).then(|| {
        format!(
            "disconnect_reason_unseen: the server's log gives ping_timeout or duplicate_connection as the reason of {unseen} \
             ends of which the client saw something else: the close frame is lost on the way, or the path is half open."
        )
    })
}

/// Below this, a cluster is chance.
const DROPS_MIN: u64 = 10;
/// And so it is when fewer than this share of the drops are in it.
const CLUSTER_SHARE: f64 = 0.5;

/// The symptom of the troubleshooting page, "Connects, drops every few seconds", by the lives of connections
/// that ended without a close frame: a middlebox below the ping interval ends the quiet ones all at one age.
fn dropped_when_idle(profile: &Profile, collected: &Collected) -> Option<String> {
    // A deployment pings every 30 s (seed); the embedded target as its profile says.
    let ping_interval = match profile.target.url {
        Some(_) => Duration::from_secs(30),
        None => profile.target.embedded.ping_interval,
    };
    let cluster = densest(&collected.lifetimes, ping_interval)?;
    let cut: u64 = [Cause::Eof, Cause::Reset, Cause::Silent]
        .iter()
        .filter_map(|cause| collected.disconnects.by_cause.get(cause))
        .sum();
    let (age, pings) = (round_seconds(cluster.from), round_seconds(ping_interval));
    Some(format!(
        "Symptom \"connects, drops every few seconds\": of {cut} connections that ended without a close frame, \
         {count} did so about {age} s after they began, while pings come every {pings} s. A proxy or load balancer \
         closes idle connections below the ping interval: raise its idle timeout (nginx: proxy_read_timeout) past \
         60 s, 75 to 90 s advised.",
        count = cluster.count,
    ))
}

/// Lives that are nearly the same.
struct Cluster {
    from: Duration,
    count: u64,
}

/// The densest window of lives, 10 % (at least half a second) wide, that ends below the ping interval.
fn densest(lives: &Distribution, ping_interval: Duration) -> Option<Cluster> {
    let values: Vec<(u64, u64)> = lives
        .histogram
        .iter_recorded()
        .map(|value| (value.value_iterated_to(), value.count_at_value()))
        .collect();
    let limit = u64::try_from(ping_interval.as_micros()).unwrap_or(u64::MAX);
    let mut best: Option<(u64, u64)> = None;
    for (index, &(from, _)) in values.iter().enumerate() {
        let to = from + (from / 10).max(500_000);
        let count =
            values[index..].iter().take_while(|&&(value, _)| value <= to).map(|&(_, count)| count).sum();
        if to < limit && best.is_none_or(|(_, most)| count > most) {
            best = Some((from, count));
        }
    }
    let (from, count) = best?;
    let enough = count >= DROPS_MIN && count as f64 >= CLUSTER_SHARE * lives.count() as f64;
    enough.then_some(Cluster { from: Duration::from_micros(from), count })
}

/// A balancer that sticks by source address gives a load generator one pod, and the others nothing to do.
fn stuck_to_a_pod(collected: &Collected) -> Option<String> {
    let served = &collected.served_by;
    let stuck = |address: &LocalAddress| {
        let pod = address.only.as_deref()?;
        Some(format!("all {} connections from {} reached {pod}", address.connections, address.address))
    };
    let stuck: Vec<String> = served.local_addresses.iter().filter_map(stuck).collect();
    // Where an address meets several pods, its balancer does not stick by address.
    if stuck.is_empty() || served.local_addresses.iter().any(|address| address.pods > 1) {
        return None;
    }
    let (shown, more) = (stuck.len().min(4), stuck.len().saturating_sub(4));
    let more = if more > 0 { format!(", and so with {more} more addresses") } else { String::new() };
    Some(format!(
        "One pod for one address: {}{more}, while {} pods are known. A balancer that sticks by source address sends all \
         clients of one load generator to one pod, so that the others were not tested: connect from several addresses \
         (--local-addr, target.local_addresses), or make it stick by a cookie.",
        stuck[..shown].join("; "),
        served.known
    ))
}

fn not_planted(profile: &Profile) -> Option<String> {
    let names: Vec<&str> = profile
        .faults
        .iter()
        .filter(|fault| profile.target.url.is_some() && fault.kind.is_target_side())
        .map(|fault| fault.name.as_str())
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "Not planted on a deployment, because only the embedded target plants them: {}.",
            names.join(", ")
        )
    })
}

fn shortened(profile: &Profile) -> Option<String> {
    (!profile.shortens.is_empty()).then(|| {
        format!(
            "Shorter than documented or advised, so that a short run exercises them: {}.",
            profile.shortens.join(", ")
        )
    })
}

fn duplicates(collected: &Collected) -> Option<String> {
    let evicted = collected.clients.evicted;
    (evicted > 0).then(|| {
        format!(
            "{evicted} clients were closed as duplicate_connection and did not fight for their place: the same \
             token signed in elsewhere. Give each run identities of its own."
        )
    })
}

fn self_inflicted(collected: &Collected) -> Option<String> {
    let drops = collected.harness.self_inflicted_drops;
    (drops > 0).then(|| {
        format!(
            "{drops} connections dropped while the harness itself read late: fewer population.clients or a lower \
             traffic.rate, or a machine with more cores."
        )
    })
}

fn round_seconds(duration: Duration) -> u64 {
    duration.as_secs_f64().round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::collected::UnstableTenant;
    use crate::report::sample;

    fn remarks(spoil: fn(&mut Profile, &mut Collected)) -> String {
        let (mut profile, mut collected) = (sample::profile(), sample::collected());
        spoil(&mut profile, &mut collected);
        of(&profile, &collected).join("\n")
    }

    #[test]
    fn who_only_listened_says_what_that_cannot_show() {
        let told = remarks(|_, c| {
            c.observed = Some(Observing { rooms: 4, events: 90, by_survey_alone: 2, rooms_unread: 1 });
        });
        for words in
            ["90 different events of 4 rooms", "2 of them by no client", "history of 1 rooms", "nobody saw"]
        {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert!(!remarks(|_, _| ()).contains("Only listened"));
    }

    #[test]
    fn the_seam_is_explained_with_the_option_that_avoids_it() {
        assert!(remarks(|_, _| ()).contains("client.bridge = \"stream-first\""));
        assert!(!remarks(|_, c| c.deliveries.missed_in_seam = 0).contains("seam"));
    }

    #[test]
    fn what_restarts_brought_again_is_put_down_to_the_flush_interval() {
        let told = remarks(|p, c| {
            c.deliveries.replayed = 930;
            p.client.flush_interval = Duration::from_millis(1_500);
        });
        assert!(
            told.contains("replayed: 930") && told.contains("every 1s500ms (client.flush_interval)"),
            "{told}"
        );
        assert!(!remarks(|_, _| ()).contains("replayed"));
    }

    #[test]
    fn connections_that_all_die_young_name_the_symptom_and_its_remedy() {
        let twenty =
            remarks(|_, c| c.lifetimes = sample::distribution((0..40).map(|n| 20_000_000 + n * 20_000)));
        assert!(twenty.contains("about 20 s after they began, while pings come every 30 s"), "{twenty}");
        assert!(twenty.contains("75 to 90 s advised"));
    }

    #[test]
    fn lost_upgrades_name_the_second_cause_and_not_the_first() {
        let lose = |c: &mut Collected, after: u64, otherwise: u64| {
            c.lifetimes = sample::distribution([2_000_000; 40]);
            c.stickiness.upgrades = 120;
            c.stickiness.upgrades_lost = Some(after + otherwise);
            c.stickiness.inferred_from = Some(Evidence::Lifetimes);
            c.stickiness.after_refresh = Part { upgrades: 60, lost: Some(after) };
            c.stickiness.otherwise = Part { upgrades: 60, lost: Some(otherwise) };
        };
        let (mut profile, mut collected) = (sample::profile(), sample::collected());
        profile.name = "t".to_owned();
        lose(&mut collected, 20, 20);
        let told = of(&profile, &collected).join("\n");
        assert!(told.contains("40 of 120 upgrades were lost to a missing session"), "{told}");
        assert!(!told.contains("idle"), "{told}");
        lose(&mut collected, 40, 0);
        let told = of(&profile, &collected).join("\n");
        assert!(told.contains("breaks at a token refresh: 40 of 60"), "{told}");
        lose(&mut collected, 0, 0);
        let told = of(&profile, &collected).join("\n");
        assert!(told.contains("idle") && !told.contains("missing session"), "{told}");
    }

    #[test]
    fn what_the_gauge_shows_and_should_not_is_told() {
        let told = remarks(|_, c| {
            c.server.connections_leaked = Some(7);
            c.server.connections_unstable = Some(3);
            c.server.tenant_connections_unstable = Some(5);
            c.server.unstable_tenants =
                vec![UnstableTenant { tenant_id: "acme".to_owned(), looks: 4, gauge: 9, live: 20 }];
        });
        assert!(told.contains("still shows 7 connections") && told.contains("at 3 looks"), "{told}");
        assert!(told.contains("at 5 looks") && told.contains("tenant acme at 4 of them"), "{told}");
    }

    #[test]
    fn a_generator_whose_clients_all_reach_one_pod_is_told_how_to_reach_the_others() {
        let address = |last: u8, pods: u64| LocalAddress {
            address: format!("10.0.0.{last}"),
            connections: 100,
            pods,
            only: (pods == 1).then(|| format!("pod-{last}")),
        };
        for (addresses, words) in [
            (
                vec![address(1, 1)],
                Some("all 100 connections from 10.0.0.1 reached pod-1, while 3 pods are known"),
            ),
            (vec![address(1, 1), address(2, 1)], Some("from 10.0.0.2 reached pod-2")),
            (vec![address(1, 1), address(2, 2)], None),
            (vec![address(1, 3)], None),
        ] {
            let (profile, mut collected) = (sample::profile(), sample::collected());
            collected.served_by.known = 3;
            collected.served_by.local_addresses = addresses;
            let told = of(&profile, &collected).join("\n");
            match words {
                Some(words) => assert!(told.contains(words) && told.contains("--local-addr"), "{told}"),
                None => assert!(!told.contains("One pod"), "{told}"),
            }
        }
    }

    #[test]
    fn connections_that_die_at_all_ages_or_only_a_few_do_not() {
        let spread = remarks(|_, c| c.lifetimes = sample::distribution((0..40).map(|n| n * 700_000)));
        assert!(!spread.contains("Symptom"), "{spread}");
        let few = remarks(|_, c| c.lifetimes = sample::distribution([20_000_000; 9]));
        assert!(!few.contains("Symptom"), "{few}");
        let longer = remarks(|_, c| c.lifetimes = sample::distribution([35_000_000; 40]));
        assert!(!longer.contains("Symptom"), "{longer}");
    }

    #[test]
    fn faults_that_only_our_own_target_plants_are_listed_on_a_deployment() {
        let listed = remarks(|p, _| p.target.url = Some("http://127.0.0.1:9".to_owned()));
        assert!(listed.contains("pod-kill"), "{listed}");
    }
}
