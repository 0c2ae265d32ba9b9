//! "Connects, drops every few seconds": a proxy's idle timeout, a maximum age, no stickiness, or the network.
//!
//! The rule that cut a stream shows in when it does: for being idle, always after the same time since the last byte, and
//! never a stream that pings; for its age, always after the same time since the upgrade, pings or not. Drops within
//! seconds of the upgrade while other streams live are the page's "routed to a pod that doesn't have the session".

use std::collections::BTreeMap;
use std::time::Duration;

use crate::probe::judgement::{Finding, Judgement};
use crate::probe::lifetimes::Cluster;
use crate::probe::report::secs;
use crate::probe::tape::{Tape, ending_words};
use crate::probe::vigil::Vigil;
use crate::time::Timestamp;
use crate::wire::{CLOSE_ABORTED, CLOSE_INVALID_TOKEN};

/// The page's advice, with the lines that follow it.
const IDLE_REMEDY: &str = "\
Proxy or load balancer has too low an idle timeout. ScaiWave pings every 30s: increase the LB / nginx proxy_read_timeout \
past 60s (75–90s recommended), at every hop on the way.
nginx:   proxy_read_timeout 90s;   (in the location of /v1/stream; proxy_send_timeout likewise)
HAProxy: timeout tunnel 90s        (in defaults or the backend; it replaces timeout client and server after the upgrade)";

const AGE_REMEDY: &str = "\
Something on the way ends connections at an age, busy or not: look for a maximum connection duration (a gateway's or CDN's \
request timeout, a mesh's max_connection_duration, a load balancer's backend timeout, a pod that recycles its workers) and \
exempt /v1/stream from it, or raise it. The client's reconnect (immediately, then /v1/sync?since=) bridges each drop.";

const STICKY_REMEDY: &str = "\
Sticky sessions not configured: some LBs round-robin upgrade requests, and the WS gets routed to a pod that doesn't have \
the session. Configure sticky for /v1/sync and /v1/stream alike.
nginx:   hash on a key that both carry (hash $arg_token does not: sync has none), sticky cookie, or ip_hash
HAProxy: cookie POD insert indirect nocache   (and a cookie on every server line)";

const NETWORK_REMEDY: &str = "\
Network conditions (mobile network, VPN): less fixable; the client should auto-reconnect and bridge via /v1/sync. If this \
machine's own network is sound, look at the health checks and restarts of balancer and pods.";

/// What the ends of streams say.
pub(crate) fn judge(vigil: &Vigil) -> Judgement {
    let mut judgement = Judgement::default();
    let streams = vigil.tapes().count();
    if streams == 0 {
        nothing_opened(vigil, &mut judgement);
        return judgement;
    }
    let drops = Drops::of(vigil);
    let refused: usize = vigil.watches.iter().map(|watch| watch.refused.len()).sum();
    if drops.all.is_empty() {
        judgement.saw(format!(
            "{streams} streams were held for up to {} and none dropped",
            secs(drops.longest(|_| true))
        ));
    } else {
        judgement.found(drops.finding(vigil).because(drops.by_ending()));
    }
    if refused > 0 {
        let mut finding = Finding::new(
            "connects-fail",
            "some attempts to connect fail",
            "See which hop answers: a balancer that finds no healthy pod says 502 or 503, one that does not pass the upgrade \
             on says 400 or 426, a pod under load times out.",
        )
        .with("failed", refused as f64);
        for (why, count) in reasons(vigil) {
            finding = finding.because(format!("{count} times: {why}"));
        }
        // A token that is refused is another line of the page.
        if !reasons(vigil).keys().all(|why| why.contains("HTTP 401")) {
            judgement.found(finding);
        }
    }
    judgement
}

fn nothing_opened(vigil: &Vigil, judgement: &mut Judgement) {
    let mut finding = Finding::new(
        "no-stream",
        "no stream can be opened at all",
        "The balancer must pass the upgrade on. nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
         proxy_set_header Connection \"upgrade\"; HAProxy does so by itself in mode http.",
    );
    for (why, count) in reasons(vigil) {
        finding = finding.because(format!("{count} attempts: {why}"));
    }
    judgement.found(finding);
}

fn reasons(vigil: &Vigil) -> BTreeMap<&str, usize> {
    let mut reasons = BTreeMap::new();
    for (_, why) in vigil.watches.iter().flat_map(|watch| &watch.refused) {
        *reasons.entry(why.as_str()).or_insert(0) += 1;
    }
    reasons
}

/// By which rule quiet streams ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// None of them ended while we listened.
    None,
    /// After the same time since the last byte either way.
    Idle(Cluster),
    /// After the same time since the upgrade.
    Age(Cluster),
    /// By none that has a time: a restart, no stickiness, the network.
    Other,
}

/// The rule alone; [`judge`] says what to make of it.
pub(crate) fn rule(vigil: &Vigil) -> Rule {
    let drops = Drops::of(vigil);
    if drops.all.is_empty() {
        return Rule::None;
    }
    match drops.cause(vigil) {
        Cause::Idle(idle) => Rule::Idle(idle),
        Cause::Age { quiet, .. } => Rule::Age(quiet),
        Cause::NoneLives(_) | Cause::Together(_) | Cause::NotSticky(_) | Cause::Unstable => Rule::Other,
    }
}

/// What explains the drops best.
enum Cause<'a> {
    Idle(Cluster),
    Age { quiet: Cluster, pinging: Cluster },
    NoneLives(Cluster),
    Together(Cluster),
    NotSticky(Vec<Stream<'a>>),
    Unstable,
}

/// A stream, and whether its listener pings.
#[derive(Clone, Copy)]
struct Stream<'a> {
    tape: &'a Tape,
    pings: bool,
}

struct Drops<'a> {
    streams: Vec<Stream<'a>>,
    /// Those that ended while we listened, by no rule that another line of the page is about.
    all: Vec<Stream<'a>>,
}

impl<'a> Drops<'a> {
    fn of(vigil: &'a Vigil) -> Self {
        let of_watch = |watch: &'a crate::probe::vigil::Watch| {
            let pings = watch.pings;
            watch.tapes.iter().map(move |tape| Stream { tape, pings })
        };
        let streams: Vec<Stream<'a>> = vigil.watches.iter().flat_map(of_watch).collect();
        let dropped = |stream: &&Stream<'_>| {
            let in_time = stream.tape.end.as_ref().is_some_and(|(at, _)| *at < vigil.until);
            in_time && !matches!(stream.tape.close_code(), Some(CLOSE_INVALID_TOKEN | CLOSE_ABORTED))
        };
        let all = streams.iter().filter(dropped).copied().collect();
        Self { streams, all }
    }

    fn longest(&self, whose: impl Fn(&Stream<'_>) -> bool) -> Duration {
        self.streams
            .iter()
            .filter(|stream| whose(stream))
            .map(|stream| stream.tape.age())
            .max()
            .unwrap_or_default()
    }

    fn cluster(&self, pings: bool, time: impl Fn(&Tape) -> Duration) -> Option<Cluster> {
        Cluster::of(self.all.iter().filter(|drop| drop.pings == pings).map(|drop| time(drop.tape)).collect())
    }

    fn finding(&self, vigil: &Vigil) -> Finding {
        match self.cause(vigil) {
            Cause::Idle(idle) => self.idle_timeout(&idle, vigil),
            Cause::Age { quiet, pinging } => self.maximum_age(&quiet, &pinging, vigil),
            Cause::NoneLives(quiet) => self.none_lives(&quiet),
            Cause::Together(moment) => self.together(&moment),
            Cause::NotSticky(early) => self.not_sticky(&early, vigil),
            Cause::Unstable => self.unstable(),
        }
    }

    fn cause(&self, vigil: &Vigil) -> Cause<'a> {
        let idle = self.cluster(false, Tape::idle);
        let ages = [false, true].map(|pings| self.cluster(pings, Tape::age));
        if let Some(idle) = idle
            && self.spares_pinging(&idle)
        {
            return Cause::Idle(idle);
        }
        if let [Some(quiet), Some(pinging)] = &ages
            && quiet.is_at(pinging)
            && self.longest(|_| true) <= quiet.at + MARGIN + quiet.at / 10
        {
            if quiet.at <= few(vigil) {
                return Cause::NoneLives(*quiet);
            }
            return Cause::Age { quiet: *quiet, pinging: *pinging };
        }
        let early = self.early(vigil);
        if let (true, Some(moment)) = (self.is_one_moment(), self.moment()) {
            return Cause::Together(moment);
        }
        if early.len() >= EARLY_MIN
            && early.len() * 2 > self.all.len()
            && self.longest(|_| true) > few(vigil) * 3
        {
            return Cause::NotSticky(early);
        }
        self.moment().map_or(Cause::Unstable, Cause::Together)
    }

    /// No pinging stream was cut by then, and one lived on for long enough to have been. No stream that was cut had been
    /// silent for longer before; others may have been (another way, another rule) if the cuts were no single event.
    fn spares_pinging(&self, idle: &Cluster) -> bool {
        let mut ages: Vec<Duration> =
            self.all.iter().filter(|drop| !drop.pings).map(|drop| drop.tape.age()).collect();
        ages.sort_unstable();
        let long = ages.get(ages.len() / 2).copied().unwrap_or(idle.at).max(idle.at) + MARGIN;
        let outlived = self.longest(|stream| stream.pings) > long;
        let early = self.all.iter().filter(|drop| drop.pings && drop.tape.age() <= long).count();
        let disproved = self.all.iter().any(|drop| !drop.pings && drop.tape.longest_silence > idle.at);
        outlived && early == 0 && !disproved && (self.more_silent(idle) == 0 || self.moment().is_none())
    }

    /// Quiet streams that were silent for longer than that, and then went on.
    fn more_silent(&self, idle: &Cluster) -> usize {
        self.streams.iter().filter(|stream| !stream.pings && stream.tape.longest_silence > idle.at).count()
    }

    /// The moment at which most drops came, if there is one.
    fn moment(&self) -> Option<Cluster> {
        let ends = self.all.iter().filter_map(|drop| drop.tape.end.as_ref());
        Cluster::of(ends.map(|(at, _)| at.since(Timestamp::ZERO)).collect())
    }

    /// Drops lie closer together on the wall clock than by age: what cut them was an event, and no rule.
    fn is_one_moment(&self) -> bool {
        let ages = Cluster::of(self.all.iter().map(|drop| drop.tape.age()).collect());
        let moment = self.moment();
        moment.is_some_and(|moment| ages.is_none_or(|ages| moment.spread < ages.spread))
    }

    fn idle_timeout(&self, idle: &Cluster, vigil: &Vigil) -> Finding {
        let at = idle.at.as_secs_f64();
        let symptom = format!("something on the way cuts a stream on which nothing passed for {at:.1} s");
        let mut finding = Finding::new("idle-timeout", symptom, IDLE_REMEDY);
        let spared = self.more_silent(idle);
        if spared > 0 {
            finding = finding.because(format!(
                "{spared} quiet streams were silent for longer: not every way has that timeout"
            ));
        }
        finding
        .with("timeout_s", at)
        .because(format!(
            "{} of {} drops of quiet streams came {} after the last byte either way (all within {})",
            idle.count,
            idle.of,
            secs(idle.at),
            secs(idle.spread)
        ))
        .because(format!(
            "streams that ping every {} lived for up to {}: the cluster moves with traffic, so it is an idle timeout and no \
             maximum age",
            secs(vigil.own_ping_interval),
            secs(self.longest(|stream| stream.pings))
        ))
        .because(if self.all.iter().all(|drop| drop.tape.all_pings().is_empty()) {
            "no ping of the server came before any of the drops: the timeout is below its ping interval".to_owned()
        } else {
            "pings of the server came on some of the dropped streams, and did not keep them".to_owned()
        })
    }

    fn maximum_age(&self, quiet: &Cluster, pinging: &Cluster, vigil: &Vigil) -> Finding {
        let at = quiet.at.as_secs_f64();
        let same = format!(
            "{} of {} drops of quiet streams and {} of {} of pinging ones came {} after the upgrade",
            quiet.count,
            quiet.of,
            pinging.count,
            pinging.of,
            secs(quiet.at)
        );
        Finding::new(
            "maximum-age",
            format!("something on the way ends every stream {at:.1} s after its upgrade, busy or not"),
            AGE_REMEDY,
        )
        .with("age_s", at)
        .because(same)
        .because(format!(
            "a ping every {} does not help: the cluster does not move with traffic",
            secs(vigil.own_ping_interval)
        ))
    }

    /// Every stream ends within seconds: where requests and upgrades take turns over the pods, none ever meets its session.
    fn none_lives(&self, quiet: &Cluster) -> Finding {
        let (lost, of) = (self.all.len(), self.streams.len());
        let remedy =
            format!("{STICKY_REMEDY}\nIf one client straight on one pod drops as well: {AGE_REMEDY}");
        Finding::new("no-stickiness", "every upgrade succeeds, and every stream drops within seconds", remedy)
            .with("share_lost", lost as f64 / of.max(1) as f64)
            .with("age_s", quiet.at.as_secs_f64())
            .because(format!(
                "{lost} of {of} upgrades were dropped, {} after succeeding, busy or not",
                secs(quiet.at)
            ))
            .because("each upgrade came right after a sync of the same identity, with its cookies")
    }

    /// Drops within a few seconds of the upgrade.
    fn early(&self, vigil: &Vigil) -> Vec<Stream<'a>> {
        self.all.iter().filter(|drop| drop.tape.age() <= few(vigil)).copied().collect()
    }

    fn not_sticky(&self, early: &[Stream<'_>], vigil: &Vigil) -> Finding {
        let (lost, of) = (early.len(), self.streams.len());
        let mut by_pod: BTreeMap<&str, usize> = BTreeMap::new();
        early.iter().for_each(|drop| *by_pod.entry(drop.tape.server()).or_insert(0) += 1);
        let pods: Vec<String> = by_pod.iter().map(|(pod, count)| format!("{count} on {pod}")).collect();
        let latest = early.iter().map(|drop| drop.tape.age()).max().unwrap_or_default();
        Finding::new("no-stickiness", "upgrades reach pods that do not have the session", STICKY_REMEDY)
            .with("share_lost", lost as f64 / of.max(1) as f64)
            .because(format!("{lost} of {of} upgrades were dropped within {} of succeeding", secs(latest)))
            .because(format!("others live on, up to {}, quiet or not", secs(self.longest(|_| true))))
            .because(format!("dropped: {}", pods.join(", ")))
            .because(format!(
                "each upgrade came right after a sync of the same identity, with its cookies; within {} counts as seconds",
                secs(few(vigil))
            ))
    }

    /// At one moment of the wall clock, whatever their ages: somebody was restarted.
    fn together(&self, cluster: &Cluster) -> Finding {
        let mut pods: Vec<&str> = self.all.iter().map(|drop| drop.tape.server()).collect();
        pods.sort_unstable();
        pods.dedup();
        let finding = Finding::new(
            "dropped-together",
            "streams drop at one moment, whatever their age",
            "A pod or the balancer was restarted or reloaded, or lost its way to the other: see its log at that time. \
             Streams that are opened later live on.",
        );
        finding
            .because(format!(
                "{} of {} drops within {} of each other; streams of {}",
                cluster.count,
                cluster.of,
                secs(cluster.spread),
                pods.join(", ")
            ))
            .because(format!("the longest stream lived for {}", secs(self.longest(|_| true))))
    }

    fn unstable(&self) -> Finding {
        let ages = self.all.iter().map(|drop| drop.tape.age());
        let (least, most) = (ages.clone().min().unwrap_or_default(), ages.max().unwrap_or_default());
        Finding::new("unstable-network", "streams drop without a rule", NETWORK_REMEDY)
            .with("drops", self.all.len() as f64)
            .because(format!(
                "{} drops of {} streams, after {} to {}: no cluster, neither by age nor by idle time",
                self.all.len(),
                self.streams.len(),
                secs(least),
                secs(most)
            ))
    }

    fn by_ending(&self) -> String {
        let mut by: BTreeMap<String, usize> = BTreeMap::new();
        for (_, ending) in self.all.iter().filter_map(|drop| drop.tape.end.as_ref()) {
            *by.entry(ending_words(ending)).or_insert(0) += 1;
        }
        let parts: Vec<String> = by.iter().map(|(words, count)| format!("{count} by {words}")).collect();
        format!("{} drops of {} streams: {}", self.all.len(), self.streams.len(), parts.join(", "))
    }
}

/// "Within seconds": the page's word, cut for short listening.
fn few(vigil: &Vigil) -> Duration {
    (vigil.listened() / 8).min(Duration::from_secs(5))
}

/// Fewer early drops are an accident.
const EARLY_MIN: usize = 2;

/// What a timer on the way, and ours, may be late by.
const MARGIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::ear::Heard;
    use crate::probe::judgement::Outcome;
    use crate::probe::vigil::Watch;
    use crate::session::Ending;

    const UNTIL: u64 = 95_000;

    /// A stream from one moment to another (ms); `None`: to the end of listening. The last byte came at `last`.
    fn tape(from: u64, last: u64, to: Option<u64>) -> Tape {
        let at = Timestamp::from_millis;
        let mut tape = Tape::new(0, at(from));
        tape.hear(at(from), Heard::Hello(Default::default()));
        tape.hear(at(last), Heard::Other);
        match to {
            Some(to) => tape.hear(at(to), Heard::End(Ending::Eof)),
            None => tape.until = at(UNTIL + 6_000),
        }
        tape
    }

    fn judged(quiet: Vec<Vec<Tape>>, pinging: Vec<Vec<Tape>>) -> Judgement {
        let watch = |pings| move |tapes| Watch { client: 0, pings, tapes, refused: Vec::new() };
        let watches =
            quiet.into_iter().map(watch(false)).chain(pinging.into_iter().map(watch(true))).collect();
        let until = Timestamp::from_millis(UNTIL);
        let own_ping_interval = Duration::from_secs(2);
        judge(&Vigil { watches, until, own_ping_interval, ..Vigil::default() })
    }

    fn name(judgement: &Judgement) -> &'static str {
        judgement.findings.first().map_or("", |finding| finding.name)
    }

    #[test]
    fn the_rule_is_the_findings() {
        let until = Timestamp::from_millis(UNTIL);
        let rule_of = |quiet: Tape, pinging: Tape| {
            let watch = |pings, tape: &Tape| Watch {
                client: 0,
                pings,
                tapes: vec![tape.clone(); 3],
                refused: Vec::new(),
            };
            let watches = vec![watch(false, &quiet), watch(true, &pinging)];
            rule(&Vigil { watches, until, own_ping_interval: Duration::from_secs(2), ..Vigil::default() })
        };
        let live = tape(0, 94_900, None);
        assert_eq!(rule_of(live.clone(), live.clone()), Rule::None);
        let cut = tape(0, 1_000, Some(21_000));
        assert!(matches!(rule_of(cut.clone(), live), Rule::Idle(idle) if idle.at.as_millis() == 20_000));
        let pinged = tape(0, 20_900, Some(21_000));
        assert!(matches!(rule_of(cut, pinged), Rule::Age(age) if age.at.as_millis() == 21_000));
    }

    #[test]
    fn streams_that_live_are_healthy() {
        let held = || vec![tape(0, 94_000, None)];
        assert_eq!(judged(vec![held(), held()], vec![held()]).outcome(), Outcome::Healthy);
    }

    #[test]
    fn an_idle_timeout_spares_those_who_ping_and_is_measured_from_the_last_byte() {
        let quiet = |late: u64| {
            vec![tape(0, 1_500 + late, Some(21_530 + late)), tape(22_500, 22_510, Some(42_540 + late / 10))]
        };
        let pinging = vec![tape(0, 94_900, None)];
        let judgement = judged(vec![quiet(0), quiet(700), quiet(1_400)], vec![pinging]);
        assert_eq!(name(&judgement), "idle-timeout", "{judgement:?}");
        let measured = judgement.findings[0].measured["timeout_s"];
        assert!((measured - 20.03).abs() < 0.2, "{measured}");
        assert!(judgement.findings[0].remedy.contains("proxy_read_timeout 90s"));
    }

    #[test]
    fn an_idle_timeout_that_comes_late_in_the_listening_is_one_all_the_same() {
        let quiet = || vec![tape(0, 1_400, Some(91_400))];
        let judgement = judged(vec![quiet(), quiet(), quiet()], vec![vec![tape(0, 94_900, None)]]);
        assert_eq!(name(&judgement), "idle-timeout", "{judgement:?}");
    }

    #[test]
    fn a_maximum_age_spares_nobody() {
        let quiet = || vec![tape(0, 1_500, Some(20_030)), tape(21_000, 21_000, Some(41_020))];
        let pinging = || vec![tape(0, 19_900, Some(20_010)), tape(21_000, 40_900, Some(41_040))];
        let judgement = judged(vec![quiet(), quiet()], vec![pinging(), pinging()]);
        assert_eq!(name(&judgement), "maximum-age", "{judgement:?}");
        assert!((judgement.findings[0].measured["age_s"] - 20.0).abs() < 0.1);
    }

    #[test]
    fn drops_within_seconds_while_others_live_are_a_lack_of_stickiness() {
        let lost = |from| tape(from, from, Some(from + 1_010));
        let live = |from| tape(from, 94_900, None);
        let quiet = vec![vec![lost(0), live(2_000)], vec![live(0)], vec![lost(0), lost(2_000), live(4_000)]];
        let judgement = judged(quiet, vec![vec![lost(0), live(2_000)], vec![live(0)]]);
        assert_eq!(name(&judgement), "no-stickiness", "{judgement:?}");
        assert_eq!(judgement.findings[0].measured["share_lost"], 0.444);
    }

    #[test]
    fn drops_of_all_streams_within_seconds_are_so_too_and_the_other_reading_is_told() {
        let lost =
            || (0..9).map(|turn| tape(turn * 3_000, turn * 3_000, Some(turn * 3_000 + 2_010))).collect();
        let judgement = judged(vec![lost(), lost()], vec![lost()]);
        assert_eq!(name(&judgement), "no-stickiness", "{judgement:?}");
        assert_eq!(judgement.findings[0].measured["share_lost"], 1.0);
        assert!(judgement.findings[0].remedy.contains("ends connections at an age"));
    }

    #[test]
    fn one_moment_is_a_restart_and_no_rule_is_the_network() {
        let cut = |from| vec![tape(from, from, Some(40_000 + from / 100)), tape(42_000, 94_000, None)];
        let judgement = judged(vec![cut(0), cut(7_000), cut(14_000)], vec![cut(21_000)]);
        assert_eq!(name(&judgement), "dropped-together", "{judgement:?}");
        // A pod dies: its streams were silent for as long as each other, and no longer than those of other pods.
        let killed = || vec![tape(0, 1_500, Some(8_100)), tape(9_000, 94_000, None)];
        let silent = || vec![tape(0, 31_000, None)];
        let judgement =
            judged(vec![killed(), killed(), killed(), silent()], vec![vec![tape(0, 94_900, None)]]);
        assert_eq!(name(&judgement), "dropped-together", "{judgement:?}");
        let at = |age: u64| vec![tape(0, age - 100, Some(age)), tape(age + 1_000, 94_000, None)];
        let judgement = judged(vec![at(11_000), at(31_000), at(52_000)], vec![at(73_000)]);
        assert_eq!(name(&judgement), "unstable-network", "{judgement:?}");
    }

    #[test]
    fn a_path_without_streams_says_what_the_attempts_came_to() {
        let refused = vec![(Timestamp::ZERO, "upgrade: answered with HTTP 400 instead of 101".to_owned())];
        let watch = Watch { client: 0, pings: false, tapes: Vec::new(), refused };
        let judgement = judge(&Vigil { watches: vec![watch], ..Vigil::default() });
        assert_eq!(name(&judgement), "no-stream");
        assert!(judgement.findings[0].evidence[0].contains("HTTP 400"));
    }
}
