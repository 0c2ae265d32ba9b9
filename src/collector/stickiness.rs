//! Upgrades that were lost to a missing session, from what clients can see.
//!
//! Seed: without sticky sessions the upgrade reaches a pod that does not have the session, and the connection drops within
//! seconds. No code and no close frame say so. What a client sees is a connection that was said hello to and that the
//! other side ended within [`SHORT`], for none of the reasons that have a name of their own (4001, a missed pong, a
//! duplicate, silence). Whether that was a missing session is told by one of two kinds of evidence:
//!
//! - **Pods.** Where the deployment says which pod answered (`target.pod_header`, `target.pod_cookie`): the upgrade
//!   reached another pod than the last sync of its client before it. The connection of such an upgrade that is
//!   short-lived is lost; one that reached the same pod never is.
//! - **Lifetimes.** Elsewhere: a pod drops what it has no session for at one age, so that the lives of lost
//!   connections are nearly equal, while other upgrades of the same run live on. So those short lives count that lie in
//!   one [`cluster`], if it holds [`CLUSTER_SHARE`] of the short lives, and if it does not take nearly all upgrades
//!   ([`LOST_MAX`]): an idle timeout or a maximum age does that as well. Short lives that prove neither are an unknown
//!   number of lost upgrades, not zero.
//!
//! What ends while a planted fault that ends connections is under way proves nothing, and is `unjudged`. All bounds are
//! ours.

use std::ops::Range;
use std::time::Duration;

use super::collected::{Evidence, Part, Stickiness};
use crate::session::{Cause, Observation};
use crate::time::Timestamp;

/// "Within seconds" (seed): a connection that ends later has lived.
const SHORT: Duration = Duration::from_secs(10);
/// A fault that is an instant, or has just ended, ends connections for this long.
const AFTERMATH: Duration = Duration::from_millis(500);
/// Pods that are told apart; what comes beyond is not known.
const PODS_MAX: usize = 1_000;

/// Resolution of short lives.
const BUCKET: Duration = Duration::from_millis(100);
const BUCKETS: usize = 100;
/// Fewer short lives are chance.
const LIVES_MIN: u64 = 10;
/// And so it is when fewer than this share of them is in the cluster.
const CLUSTER_SHARE: f64 = 0.8;
/// Above this share of the upgrades, it is not told from what hits every connection.
const LOST_MAX: f64 = 0.95;

/// The upgrades of a stripe. Per client it keeps a few bytes.
#[derive(Debug)]
pub(super) struct Sessions {
    clients: Vec<Client>,
    pods: Vec<Box<str>>,
    /// By [`Client::refreshed`].
    counts: [Counts; 2],
    disturbed: bool,
    calm_from: Timestamp,
    /// Pods beyond [`PODS_MAX`].
    pub(super) pods_refused: u64,
}

/// An upgrade that was lost, by the evidence of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) hello: Timestamp,
    /// The upgrade was the first that stays since a refresh, or would have been.
    pub(super) after_refresh: bool,
}

/// Which pod has answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pod {
    /// None yet: who connects before it has ever synced has no session anywhere that it could miss.
    #[default]
    Nobody,
    /// The answer did not say.
    Unknown,
    /// Index among [`Sessions::pods`].
    Known(u16),
}

/// How an upgrade lies to the sync before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Unknown,
    Same,
    Moved,
}

#[derive(Clone, Copy, Debug, Default)]
struct Client {
    synced: Pod,
    upgraded: Pod,
    /// A token was refreshed, and no upgrade since then has stayed.
    refreshed: bool,
    /// The connection that is open began so.
    began_refreshed: bool,
    /// Of the connection that is open; a sync behind its hello changes nothing about it.
    place: Place,
    hello: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Counts {
    upgrades: u64,
    /// Of these: of which both pods are known.
    told: u64,
    moved: u64,
    /// By the evidence of pods.
    lost: u64,
    short: u64,
    unjudged: u64,
    /// Lives of the others that were short.
    lives: [u64; BUCKETS],
}

impl Sessions {
    pub(super) fn new(clients: u32) -> Self {
        let none =
            || Counts { upgrades: 0, told: 0, moved: 0, lost: 0, short: 0, unjudged: 0, lives: [0; BUCKETS] };
        Self {
            clients: vec![Client::default(); clients as usize],
            pods: Vec::new(),
            counts: [none(), none()],
            disturbed: false,
            calm_from: Timestamp::ZERO,
            pods_refused: 0,
        }
    }

    /// A fault that ends connections begins, or none is under way any more.
    pub(super) fn disturb(&mut self, now: Timestamp, in_force: bool) {
        self.disturbed = in_force;
        self.calm_from = now + AFTERMATH;
    }

    /// A fact about a client; answers with an upgrade that was lost, if that is certain now.
    pub(super) fn observe(&mut self, now: Timestamp, client: u32, fact: &Observation) -> Option<Lost> {
        let number = client as usize;
        match fact {
            Observation::ServedBy { stream, pod } => {
                let pod = pod.as_deref().map_or(Pod::Unknown, |name| self.index(name));
                let client = &mut self.clients[number];
                *(if *stream { &mut client.upgraded } else { &mut client.synced }) = pod;
            }
            Observation::Refreshed => self.clients[number].refreshed = true,
            Observation::Hello { .. } => self.upgraded(now, number),
            Observation::Disconnected { cause, .. } => return self.ended(now, number, *cause),
            _ => {}
        }
        None
    }

    /// Everything so far.
    pub(super) fn collected(&self, now: Timestamp) -> Stickiness {
        let [otherwise, after_refresh] = &self.counts;
        let sum = |count: fn(&Counts) -> u64| count(otherwise) + count(after_refresh);
        let (upgrades, told) = (sum(|counts| counts.upgrades), sum(|counts| counts.told));
        let lives: Vec<u64> =
            otherwise.lives.iter().zip(&after_refresh.lives).map(|(one, other)| one + other).collect();
        let inferred = infer(&lives, upgrades - told);
        let part = |counts: &Counts| {
            let untold = |of: Range<usize>| counts.lives[of].iter().sum::<u64>();
            Part { upgrades: counts.upgrades, lost: inferred.clone().map(|of| counts.lost + untold(of)) }
        };
        let (after_refresh, otherwise) = (part(after_refresh), part(otherwise));
        let young = |client: &Client| client.hello.is_some_and(|hello| now.since(hello) < SHORT);
        let lost = after_refresh.lost.zip(otherwise.lost).map(|(one, other)| one + other);
        Stickiness {
            upgrades,
            upgrades_lost: lost,
            share: lost.filter(|_| upgrades > 0).map(|lost| lost as f64 / upgrades as f64),
            inferred_from: match (told, upgrades - told) {
                (0, 0) => None,
                (_, 0) => Some(Evidence::Pods),
                (0, _) => Some(Evidence::Lifetimes),
                _ => Some(Evidence::PodsAndLifetimes),
            },
            moved: (told > 0).then(|| sum(|counts| counts.moved)),
            short_lived: sum(|counts| counts.short),
            unjudged: sum(|counts| counts.unjudged)
                + self.clients.iter().filter(|client| young(client)).count() as u64,
            after_refresh,
            otherwise,
        }
    }

    fn index(&mut self, name: &str) -> Pod {
        let known = self.pods.iter().position(|known| **known == *name);
        let at = known.or_else(|| {
            if self.pods.len() >= PODS_MAX {
                self.pods_refused += 1;
                return None;
            }
            self.pods.push(name.into());
            Some(self.pods.len() - 1)
        });
        at.map_or(Pod::Unknown, |at| Pod::Known(at as u16))
    }

    fn upgraded(&mut self, now: Timestamp, number: usize) {
        let client = &mut self.clients[number];
        client.hello = Some(now);
        client.began_refreshed = std::mem::take(&mut client.refreshed);
        let counts = &mut self.counts[usize::from(client.began_refreshed)];
        counts.upgrades += 1;
        client.place = match (client.synced, std::mem::take(&mut client.upgraded)) {
            (Pod::Unknown, _) | (_, Pod::Nobody | Pod::Unknown) => Place::Unknown,
            (synced, upgraded) if synced == Pod::Nobody || synced == upgraded => Place::Same,
            _ => Place::Moved,
        };
        counts.told += u64::from(client.place != Place::Unknown);
        counts.moved += u64::from(client.place == Place::Moved);
    }

    fn ended(&mut self, now: Timestamp, number: usize, cause: Cause) -> Option<Lost> {
        let client = &mut self.clients[number];
        let hello = client.hello.take()?;
        let life = now.since(hello);
        let nameless = matches!(cause, Cause::Eof | Cause::Reset | Cause::Aborted | Cause::OtherClose);
        if life >= SHORT || !nameless {
            return None;
        }
        let counts = &mut self.counts[usize::from(client.began_refreshed)];
        if self.disturbed || now < self.calm_from {
            counts.unjudged += 1;
            return None;
        }
        // It has not stayed: the next one is as much the first after the refresh as this one was.
        client.refreshed |= client.began_refreshed;
        counts.short += 1;
        match client.place {
            Place::Unknown => {
                let bucket = (life.as_nanos() / BUCKET.as_nanos()) as usize;
                counts.lives[bucket.min(BUCKETS - 1)] += 1;
                None
            }
            Place::Same => None,
            Place::Moved => {
                counts.lost += 1;
                Some(Lost { hello, after_refresh: client.began_refreshed })
            }
        }
    }
}

/// Which short lives are lost upgrades, of so many whose pods are not known; `None`: it cannot be told.
fn infer(lives: &[u64], upgrades: u64) -> Option<Range<usize>> {
    if lives.iter().all(|&count| count == 0) {
        return Some(0..0);
    }
    let found = cluster(lives)?;
    let lost: u64 = lives[found.clone()].iter().sum();
    (lost as f64 <= LOST_MAX * upgrades as f64).then_some(found)
}

/// Lives that are nearly the same: the densest half second (a fifth of the life, if that is longer), and what touches
/// it with less than half a second between.
fn cluster(lives: &[u64]) -> Option<Range<usize>> {
    let total: u64 = lives.iter().sum();
    let window = |from: usize| from..(from + (from / 5).max(5)).min(lives.len());
    let densest = (0..lives.len())
        .max_by_key(|&from| (lives[window(from)].iter().sum::<u64>(), std::cmp::Reverse(from)))?;
    let Range { mut start, mut end } = window(densest);
    let widest = (densest / 2).max(15);
    let near = 5;
    while end - start < widest
        && let Some(next) = (end..(end + near).min(lives.len())).find(|&at| lives[at] > 0)
    {
        end = next + 1;
    }
    while end - start < widest
        && let Some(next) = (start.saturating_sub(near)..start).rev().find(|&at| lives[at] > 0)
    {
        start = next;
    }
    let held: u64 = lives[start..end].iter().sum();
    (total >= LIVES_MIN && held as f64 >= CLUSTER_SHARE * total as f64).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hundred clients, of which each is told something in turn.
    struct Bench {
        sessions: Sessions,
        now: Timestamp,
    }

    impl Bench {
        fn new() -> Self {
            Self { sessions: Sessions::new(100), now: Timestamp::from_secs(100) }
        }

        fn served(&mut self, client: u32, synced: &str, upgraded: &str) {
            for (stream, pod) in [(false, synced), (true, upgraded)] {
                let fact = Observation::ServedBy { stream, pod: Some(pod.into()) };
                self.sessions.observe(self.now, client, &fact);
            }
        }

        /// An upgrade that ends after so many milliseconds.
        fn lives(&mut self, client: u32, millis: u64, cause: Cause) -> Option<Lost> {
            let hello =
                Observation::Hello { took: Duration::from_millis(5), position: 1, info: Box::default() };
            self.sessions.observe(self.now, client, &hello);
            let end = Observation::Disconnected { cause, code: None, was_live: true };
            self.sessions.observe(self.now + Duration::from_millis(millis), client, &end)
        }

        fn collected(&self) -> Stickiness {
            self.sessions.collected(self.now + Duration::from_secs(3600))
        }
    }

    #[test]
    fn an_upgrade_on_another_pod_than_its_sync_is_lost_when_it_drops_within_seconds() {
        let mut bench = Bench::new();
        let cases = [
            ("a", "b", 2_000, Cause::Eof, true),
            ("a", "b", 2_000, Cause::OtherClose, true),
            ("a", "a", 2_000, Cause::Eof, false),
            ("a", "b", 12_000, Cause::Eof, false),
            ("a", "b", 2_000, Cause::InvalidToken, false),
            ("a", "b", 2_000, Cause::Left, false),
        ];
        for (client, (synced, upgraded, millis, cause, lost)) in (0..).zip(cases) {
            bench.served(client, synced, upgraded);
            assert_eq!(bench.lives(client, millis, cause).is_some(), lost, "{client}");
        }
        let told = bench.collected();
        assert_eq!(
            (told.upgrades, told.upgrades_lost, told.moved, told.short_lived),
            (6, Some(2), Some(5), 3)
        );
        assert_eq!(told.inferred_from, Some(Evidence::Pods));
    }

    #[test]
    fn only_the_sync_before_the_hello_counts() {
        let mut bench = Bench::new();
        let hello = Observation::Hello { took: Duration::ZERO, position: 1, info: Box::default() };
        let end = Observation::Disconnected { cause: Cause::Eof, code: None, was_live: true };
        let by = |stream, pod: &str| Observation::ServedBy { stream, pod: Some(pod.into()) };
        for fact in [by(true, "a"), hello.clone(), by(false, "a")] {
            bench.sessions.observe(bench.now, 1, &fact);
        }
        assert_eq!(
            bench.sessions.observe(bench.now + Duration::from_secs(1), 1, &end),
            None,
            "no sync before it"
        );
        for fact in [by(true, "b"), hello, by(false, "b")] {
            bench.sessions.observe(bench.now, 1, &fact);
        }
        assert!(
            bench.sessions.observe(bench.now + Duration::from_secs(1), 1, &end).is_some(),
            "the bridge came late"
        );
        assert_eq!(bench.collected().inferred_from, Some(Evidence::Pods));
    }

    #[test]
    fn without_pods_the_lives_that_are_nearly_equal_are_the_lost_ones() {
        let mut bench = Bench::new();
        for client in 0..60 {
            bench.lives(client, 2_000 + u64::from(client) * 5, Cause::Eof);
        }
        for client in 60..100 {
            bench.lives(client, 60_000, Cause::Eof);
        }
        bench.lives(7, 7_500, Cause::Reset);
        let told = bench.collected();
        assert_eq!((told.upgrades, told.upgrades_lost, told.short_lived), (101, Some(60), 61));
        assert_eq!((told.inferred_from, told.moved), (Some(Evidence::Lifetimes), None));
    }

    #[test]
    fn short_lives_that_prove_nothing_are_an_unknown_number_and_none_at_all_is_zero() {
        let mut spread = Bench::new();
        for client in 0..100 {
            spread.lives(client, u64::from(client) * 99, Cause::Reset);
            spread.lives(client, 60_000, Cause::Reset);
        }
        assert_eq!(spread.collected().upgrades_lost, None, "an unstable network");
        let mut all = Bench::new();
        for client in 0..100 {
            all.lives(client, 3_000, Cause::Eof);
        }
        assert_eq!(all.collected().upgrades_lost, None, "an idle timeout hits everybody");
        let mut few = Bench::new();
        (0..9).for_each(|client| assert_eq!(few.lives(client, 3_000, Cause::Eof), None));
        (9..99).for_each(|client| assert_eq!(few.lives(client, 30_000, Cause::Eof), None));
        assert_eq!(few.collected().upgrades_lost, None, "chance");
        let mut none = Bench::new();
        (9..99).for_each(|client| assert_eq!(none.lives(client, 30_000, Cause::Eof), None));
        assert_eq!(none.collected().upgrades_lost, Some(0));
        assert_eq!(Bench::new().collected().inferred_from, None);
    }

    #[test]
    fn what_follows_a_refresh_is_told_apart_until_an_upgrade_stays() {
        let mut bench = Bench::new();
        bench.served(1, "a", "a");
        bench.lives(1, 60_000, Cause::Reset);
        bench.sessions.observe(bench.now, 1, &Observation::Refreshed);
        bench.served(1, "a", "b");
        assert_eq!(bench.lives(1, 500, Cause::Eof).map(|lost| lost.after_refresh), Some(true));
        bench.served(1, "a", "b");
        assert_eq!(bench.lives(1, 500, Cause::Eof).map(|lost| lost.after_refresh), Some(true));
        bench.served(1, "b", "b");
        bench.lives(1, 60_000, Cause::Reset);
        bench.served(1, "b", "b");
        bench.lives(1, 60_000, Cause::Reset);
        let told = bench.collected();
        assert_eq!((told.after_refresh.upgrades, told.after_refresh.lost), (3, Some(2)));
        assert_eq!((told.otherwise.upgrades, told.otherwise.lost), (2, Some(0)));
    }

    #[test]
    fn what_ends_in_a_fault_and_what_is_young_at_the_end_is_not_judged() {
        let mut bench = Bench::new();
        bench.sessions.disturb(bench.now, true);
        bench.served(1, "a", "b");
        assert_eq!(bench.lives(1, 2_000, Cause::Reset), None);
        bench.sessions.disturb(bench.now, false);
        bench.served(1, "a", "b");
        assert_eq!(bench.lives(1, 400, Cause::Reset), None, "its aftermath");
        bench.served(1, "a", "b");
        assert!(bench.lives(1, 600, Cause::Reset).is_some());
        assert_eq!(bench.collected().unjudged, 2);
        let hello = Observation::Hello { took: Duration::ZERO, position: 1, info: Box::default() };
        bench.sessions.observe(bench.now, 2, &hello);
        assert_eq!(bench.sessions.collected(bench.now + Duration::from_secs(9)).unjudged, 3);
    }

    #[test]
    fn a_cluster_may_be_wide_but_not_everything() {
        let lives = |at: &[(usize, u64)]| {
            let mut lives = vec![0; BUCKETS];
            at.iter().for_each(|&(bucket, count)| lives[bucket] = count);
            cluster(&lives)
        };
        let stalled = lives(&[(20, 40), (22, 3), (27, 1)]).expect("a stall of half a second");
        assert!(stalled.contains(&20) && stalled.end == 28, "{stalled:?}");
        assert_eq!(lives(&[(20, 40), (50, 20)]), None);
        assert_eq!(lives(&[(0, 40)]), Some(0..5));
        assert_eq!(lives(&[(99, 40)]).map(|found| found.contains(&99)), Some(true));
    }
}
