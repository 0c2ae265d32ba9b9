//! "Connects, drops every few seconds": a proxy's idle timeout, a maximum age, no stickiness, or the network.
//!
//! The rule that cut a stream shows in when it does: for being idle, always after the same time since the last byte, and
//! never a stream that pings; for its age, always after the same time since the upgrade, pings or not. Drops within
//! seconds of the upgrade while other streams live are the page's "routed to a pod that doesn't have the session".

mod connecting;
mod told;

use std::time::Duration;

use super::pings;
use crate::probe::judgement::{Finding, Judgement};
use crate::probe::lifetimes::Cluster;
use crate::probe::report::secs;
use crate::probe::tape::Tape;
use crate::probe::vigil::Vigil;
use crate::time::Timestamp;
use crate::wire::{CLOSE_ABORTED, CLOSE_INVALID_TOKEN};

/// What the ends of streams say.
pub(crate) fn judge(vigil: &Vigil) -> Judgement {
    let mut judgement = Judgement::default();
    if vigil.tapes().next().is_none() {
        connecting::judge_nothing_opened(vigil, &mut judgement);
        return judgement;
    }
    let drops = Drops::of(vigil);
    if drops.all.is_empty() {
        drops.judge_none(vigil, &mut judgement);
    } else {
        judgement.found(drops.finding(vigil).because(drops.by_ending()));
    }
    connecting::judge(vigil, &mut judgement);
    judgement
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
    /// By none that has a time: a restart, no stickiness, the network; or too few ended to tell.
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
        Cause::NoneLives(_) | Cause::Together(_) | Cause::NotSticky(_) | Cause::Few | Cause::Unstable => {
            Rule::Other
        }
    }
}

/// What explains the drops best.
enum Cause<'a> {
    Idle(Cluster),
    Age { quiet: Cluster, pinging: Cluster },
    NoneLives(Cluster),
    Together(Cluster),
    NotSticky(Vec<Stream<'a>>),
    Few,
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

    /// Nothing dropped. What nobody was silent for long enough to meet has not been looked for.
    fn judge_none(&self, vigil: &Vigil, judgement: &mut Judgement) {
        judgement.saw(format!(
            "{} streams were held for up to {} and none dropped",
            self.streams.len(),
            secs(self.longest(|_| true))
        ));
        let quiet = self.streams.iter().filter(|stream| !stream.pings);
        let survived = quiet.map(|stream| stream.tape.longest_silence.max(stream.tape.idle())).max();
        let survived = survived.unwrap_or_default();
        let interval = pings::interval(vigil);
        // A silence that a ping ends is as long as any that clients meet.
        if survived >= interval.map_or(UNPINGED_ENOUGH, |interval| interval.mul_f64(0.8)) {
            return;
        }
        judgement.unclear(match interval {
            Some(interval) => format!(
                "no stream was silent for more than {}, because frames came all the time: an idle timeout between that and the \
                 server's ping interval of {} shows only with identities of a tenant that is quiet meanwhile",
                secs(survived),
                secs(interval)
            ),
            None => format!(
                "no stream was silent for more than {}, and no ping of the server came: an idle timeout above that would not \
                 have shown; listen for 95 s (--listen 95s)",
                secs(survived)
            ),
        });
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
            Cause::Few => self.few(),
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
        match self.moment() {
            Some(moment) => Cause::Together(moment),
            None if self.all.len() < RULE_MIN => Cause::Few,
            None => Cause::Unstable,
        }
    }

    /// Pinging streams lived on for long enough to have been cut, and none was, or (on a path that also drops by chance)
    /// fewer than lived on, while every quiet one was cut. No stream that was cut had been silent for longer before; others
    /// may have been (another way, another rule) if the cuts were no single event.
    fn spares_pinging(&self, idle: &Cluster) -> bool {
        let mut ages: Vec<Duration> =
            self.all.iter().filter(|drop| !drop.pings).map(|drop| drop.tape.age()).collect();
        ages.sort_unstable();
        let long = ages.get(ages.len() / 2).copied().unwrap_or(idle.at).max(idle.at) + MARGIN;
        let outlived = self.streams.iter().filter(|stream| stream.pings && stream.tape.age() > long).count();
        let early = self.all.iter().filter(|drop| drop.pings && drop.tape.age() <= long).count();
        let longer = longer_than(idle);
        let disproved = self.all.iter().any(|drop| !drop.pings && drop.tape.longest_silence > longer);
        let by_chance = early < outlived && self.more_silent(idle) == 0;
        // An event finds all streams in the same silence when the server pings them all at once: one that has borne as much
        // before is enough to tell it from a rule.
        let is_event = self.moment().is_some() && self.more_silent_than(idle.at) > 0;
        outlived > 0 && (early == 0 || by_chance) && !disproved && !is_event
    }

    /// Quiet streams that were silent for longer than that, and then went on.
    fn more_silent(&self, idle: &Cluster) -> usize {
        self.more_silent_than(longer_than(idle))
    }

    fn more_silent_than(&self, silence: Duration) -> usize {
        self.streams.iter().filter(|stream| !stream.pings && stream.tape.longest_silence > silence).count()
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

    /// Drops within a few seconds of the upgrade.
    fn early(&self, vigil: &Vigil) -> Vec<Stream<'a>> {
        self.all.iter().filter(|drop| drop.tape.age() <= few(vigil)).copied().collect()
    }
}

/// "Within seconds": the page's word, cut for short listening.
fn few(vigil: &Vigil) -> Duration {
    (vigil.listened() / 8).min(Duration::from_secs(5))
}

/// Fewer early drops are an accident.
const EARLY_MIN: usize = 2;

/// Fewer drops can have no cluster.
const RULE_MIN: usize = 3;

/// Silence on a stream that the server did not ping: the page's "60+ seconds".
const UNPINGED_ENOUGH: Duration = Duration::from_secs(60);

/// Longer than the cluster by more than its own timers are late by.
fn longer_than(idle: &Cluster) -> Duration {
    idle.at + MARGIN.min(idle.at / 10)
}

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
    fn streams_that_live_are_healthy() {
        let held = || vec![tape(0, 94_000, None)];
        assert_eq!(judged(vec![held(), held()], vec![held()]).outcome(), Outcome::Healthy);
    }

    /// A stream that the server pinged so often (ms), all the time.
    fn pinged(every: u64) -> Tape {
        let mut tape = Tape::new(0, Timestamp::ZERO);
        (1..=UNTIL / every).for_each(|turn| tape.hear(Timestamp::from_millis(turn * every), Heard::Ping));
        tape.until = Timestamp::from_millis(UNTIL + 6_000);
        tape
    }

    #[test]
    fn streams_that_were_never_silent_for_long_say_nothing_of_idle_timeouts() {
        let brief = || {
            let mut tape = tape(0, 9_000, None);
            tape.until = Timestamp::from_millis(12_000);
            vec![tape]
        };
        let judgement = judged(vec![brief(), brief()], vec![brief()]);
        assert_eq!(judgement.outcome(), Outcome::Inconclusive, "{judgement:?}");
        assert!(judgement.unclear[0].contains("--listen 95s"), "{judgement:?}");
        // A tenant in which somebody speaks every 2 s, and a server that pings every 30 s.
        let busy = || {
            let mut tape = pinged(30_000);
            tape.longest_silence = Duration::from_secs(2);
            vec![tape]
        };
        let judgement = judged(vec![busy(), busy()], vec![busy()]);
        assert_eq!(judgement.outcome(), Outcome::Inconclusive, "{judgement:?}");
        assert!(judgement.unclear[0].contains("a tenant that is quiet"), "{judgement:?}");
        assert_eq!(judged(vec![vec![pinged(30_000)]], vec![]).outcome(), Outcome::Healthy);
        assert_eq!(judged(vec![vec![pinged(1_000)]], vec![]).outcome(), Outcome::Healthy);
    }

    #[test]
    fn an_event_that_comes_just_before_the_next_ping_is_no_idle_timeout() {
        let pinged = |from: u64, to: u64, end: Option<u64>| {
            let at = Timestamp::from_millis;
            let mut tape = Tape::new(0, at(from));
            (from / 30_000 + 1..=to / 30_000).for_each(|turn| tape.hear(at(turn * 30_000), Heard::Ping));
            match end {
                Some(end) => tape.hear(at(end), Heard::End(Ending::Eof)),
                None => tape.until = at(UNTIL + 6_000),
            }
            tape
        };
        let cut = || vec![pinged(0, 30_000, Some(58_900)), pinged(59_000, UNTIL, None)];
        let held = || vec![pinged(0, UNTIL, None)];
        let judgement = judged(vec![cut(), cut(), cut(), held(), held()], vec![held(), held()]);
        assert_eq!(name(&judgement), "dropped-together", "{judgement:?}");
    }

    #[test]
    fn an_idle_timeout_is_found_though_the_network_drops_a_stream_that_pings_as_well() {
        let quiet = || vec![tape(0, 1_500, Some(21_500)), tape(22_500, 22_510, Some(42_510))];
        let unlucky = vec![tape(0, 14_900, Some(15_000)), tape(16_000, 94_900, None)];
        let lucky = || vec![tape(0, 94_900, None)];
        let judgement = judged(vec![quiet(), quiet(), quiet()], vec![unlucky, lucky(), lucky()]);
        assert_eq!(name(&judgement), "idle-timeout", "{judgement:?}");
    }

    #[test]
    fn the_remedy_of_an_idle_timeout_goes_by_the_interval_that_was_measured() {
        let quiet = || vec![tape(0, 1_500, Some(21_500)), tape(22_500, 22_510, Some(42_510))];
        let of = |every| judged(vec![quiet(), quiet()], vec![vec![pinged(every)]]).findings.remove(0);
        let documented = of(30_000);
        assert!(!documented.remedy.contains("instead of 90s"), "{documented:?}");
        assert!(documented.evidence.iter().any(|line| line.contains("every 30.00 s: the timeout is below")));
        let rare = of(45_000);
        assert!(rare.remedy.contains("every 45.00 s only: 113s or more instead of 90s"), "{rare:?}");
    }

    #[test]
    fn two_drops_are_told_one_by_one_and_called_nothing() {
        let at = |age: u64| vec![tape(0, age - 100, Some(age)), tape(age + 1_000, 94_000, None)];
        let judgement = judged(vec![at(11_000), at(31_000)], vec![vec![tape(0, 94_000, None)]]);
        assert_eq!(name(&judgement), "drops-unexplained", "{judgement:?}");
        assert!(judgement.findings[0].evidence[0].contains("11.00 s after its upgrade"), "{judgement:?}");
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
}
