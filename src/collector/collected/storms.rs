//! Reconnect storms, as they were counted: many clients that lost their stream at about the same time, and how they
//! came back.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Timestamp;

/// One storm. The parts that stripes counted of one storm merge into what one stripe would have counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Storm {
    /// The fault behind it, and when that began; `None`: no planted fault can have been.
    pub fault: Option<(String, Timestamp)>,
    /// The first stream was lost.
    pub began: Timestamp,
    /// The last one was.
    pub last_loss: Timestamp,
    /// Clients that lost their stream, each once.
    pub clients: u64,
    /// Of those that were live again: how many lost the new stream within 10 s.
    pub lost_again: u64,
    /// Gave up, or were taken away by the plan, before they were live again.
    pub stopped: u64,
    /// Attempts of these clients to become live, until they were.
    pub attempts: u64,
    /// Those that failed.
    pub failed: u64,
    /// Requests of these clients to sync, until their bridges were closed.
    pub syncs: u64,
    /// When each was live again; ascending.
    pub recovered: Vec<Timestamp>,
    /// How many were live again at their first attempt, their second …
    pub by_attempt: BTreeMap<u32, u64>,
    /// The same over time.
    pub series: Series,
}

/// Counts by time, in bins of [`BIN`] that are aligned to the beginning of the run, so that those of several stripes add
/// up. At most [`BINS`] of them: what comes later is in the storm's totals alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// Number of the first bin, counted from the beginning of the run.
    first: u64,
    bins: Vec<Bin>,
}

/// What happened to a storm's clients in one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bin {
    /// Streams lost.
    pub lost: u64,
    /// Attempts begun.
    pub attempts: u64,
    /// Attempts failed.
    pub failed: u64,
    /// Sync requests sent.
    pub syncs: u64,
    /// Clients live again.
    pub recovered: u64,
}

/// Width of a bin.
pub const BIN: Duration = Duration::from_millis(100);
/// Five minutes of bins for one storm.
const BINS: usize = 3_000;
/// Losses so far apart are not at about the same time.
pub const APART: Duration = Duration::from_secs(1);
/// Bins of the window that a rate is taken over: one second.
const WINDOW: usize = 10;

impl Storm {
    /// Nobody yet.
    pub fn begin(at: Timestamp) -> Self {
        Self { began: at, last_loss: at, series: Series::from(at), ..Self::default() }
    }

    /// From the first loss until this share of all who lost their stream were live again; `None`: that many never were.
    pub fn recovered_within(&self, share: f64) -> Option<Duration> {
        // 0.99 is a little more than 99 in a hundred.
        let count = (share * self.clients as f64 - 1e-6).ceil().max(1.0) as usize;
        self.recovered.get(count - 1).map(|at| at.since(self.began))
    }

    /// The most attempts in any second of ten whole bins.
    pub fn attempts_per_s_max(&self) -> u64 {
        self.series.most(|bin| bin.attempts)
    }

    /// The most sync requests in any second of ten whole bins.
    pub fn syncs_per_s_max(&self) -> u64 {
        self.series.most(|bin| bin.syncs)
    }

    /// Adds what another stripe counted of the same storm.
    pub fn merge(&mut self, other: &Self) {
        let earlier = if other.began < self.began { &other.fault } else { &self.fault };
        self.fault = earlier.clone().or_else(|| self.fault.take()).or_else(|| other.fault.clone());
        self.began = self.began.min(other.began);
        self.last_loss = self.last_loss.max(other.last_loss);
        self.clients += other.clients;
        self.lost_again += other.lost_again;
        self.stopped += other.stopped;
        self.attempts += other.attempts;
        self.failed += other.failed;
        self.syncs += other.syncs;
        self.recovered.extend(&other.recovered);
        self.recovered.sort_unstable();
        for (&attempt, &clients) in &other.by_attempt {
            *self.by_attempt.entry(attempt).or_default() += clients;
        }
        self.series.merge(&other.series);
    }
}

/// Storms that several stripes counted, each of its own clients: what overlaps is one.
pub fn together(stripes: impl IntoIterator<Item = Vec<Storm>>) -> Vec<Storm> {
    let mut all: Vec<Storm> = stripes.into_iter().flatten().collect();
    all.sort_by_key(|storm| storm.began);
    let mut whole: Vec<Storm> = Vec::new();
    for storm in all {
        match whole.last_mut().filter(|last| storm.began.since(last.last_loss) < APART) {
            Some(last) => last.merge(&storm),
            None => whole.push(storm),
        }
    }
    whole
}

impl Series {
    /// Empty, from the bin of this moment on.
    fn from(at: Timestamp) -> Self {
        Self { first: number(at), bins: Vec::new() }
    }

    /// The bin of this moment; `None`: it lies outside what is kept.
    pub fn bin(&mut self, at: Timestamp) -> Option<&mut Bin> {
        let index =
            usize::try_from(number(at).checked_sub(self.first)?).ok().filter(|&index| index < BINS)?;
        if index >= self.bins.len() {
            self.bins.resize(index + 1, Bin::default());
        }
        self.bins.get_mut(index)
    }

    /// When its first bin begins.
    pub fn begins(&self) -> Timestamp {
        Timestamp::ZERO + BIN * u32::try_from(self.first).unwrap_or(u32::MAX)
    }

    /// Up to the last bin in which something happened.
    pub fn bins(&self) -> &[Bin] {
        &self.bins
    }

    fn most(&self, what: impl Fn(&Bin) -> u64) -> u64 {
        let counts: Vec<u64> = self.bins.iter().map(what).collect();
        let whole = counts.windows(WINDOW).map(|window| window.iter().sum()).max();
        // Shorter than a window: all of it is in one.
        whole.unwrap_or_else(|| counts.iter().sum())
    }

    fn merge(&mut self, other: &Self) {
        if other.first < self.first {
            let missing = usize::try_from(self.first - other.first).unwrap_or(BINS).min(BINS);
            self.bins.splice(0..0, std::iter::repeat_n(Bin::default(), missing));
            self.bins.truncate(BINS);
            self.first = other.first;
        }
        let offset = usize::try_from(other.first - self.first).unwrap_or(BINS);
        for (index, bin) in (offset..BINS).zip(&other.bins) {
            if index >= self.bins.len() {
                self.bins.resize(index + 1, Bin::default());
            }
            self.bins[index].add(bin);
        }
    }
}

impl Bin {
    fn add(&mut self, other: &Self) {
        self.lost += other.lost;
        self.attempts += other.attempts;
        self.failed += other.failed;
        self.syncs += other.syncs;
        self.recovered += other.recovered;
    }
}

fn number(at: Timestamp) -> u64 {
    at.since(Timestamp::ZERO).as_millis() as u64 / BIN.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Ten clients, of which nine are back, a second after one another.
    fn storm() -> Storm {
        let recovered = (1..10).map(|second| at(5_000 + second * 1_000)).collect();
        Storm { clients: 10, recovered, ..Storm::begin(at(5_000)) }
    }

    #[test]
    fn a_share_is_back_when_the_last_of_so_many_is_and_null_stays_null() {
        let within = [0.05, 0.5, 0.51, 0.9, 0.91, 1.0].map(|share| storm().recovered_within(share));
        let secs = [Some(1), Some(5), Some(6), Some(9), None, None];
        assert_eq!(within, secs.map(|secs| secs.map(Duration::from_secs)));
        assert_eq!(Storm::default().recovered_within(0.5), None);
    }

    #[test]
    fn a_rate_is_the_most_in_a_second_wherever_that_lies() {
        let mut storm = storm();
        for (millis, attempts) in [(5_000, 3), (5_600, 4), (6_500, 5), (6_599, 1), (6_600, 20), (9_000, 2)] {
            storm.series.bin(at(millis)).expect("kept").attempts += attempts;
        }
        // From 5.7 s to 6.7 s: the four at 5.6 s are just outside.
        assert_eq!(storm.attempts_per_s_max(), 26);
        assert_eq!(storm.syncs_per_s_max(), 0);
    }

    #[test]
    fn bins_end_after_five_minutes_and_before_them_there_are_none() {
        let mut series = Series::from(at(60_050));
        assert!(series.bin(at(59_999)).is_none());
        assert!(series.bin(at(60_000)).is_some() && series.bin(at(360_000 - 1)).is_some());
        assert!(series.bin(at(360_000)).is_none());
        assert_eq!((series.bins().len(), series.begins()), (BINS, at(60_000)));
    }

    #[test]
    fn parts_of_a_storm_merge_into_the_whole_whichever_comes_first() {
        let fault = |name: &str| Some((name.to_owned(), at(4_990)));
        let mut one = Storm { clients: 2, recovered: vec![at(5_300)], ..Storm::begin(at(5_250)) };
        one.series.bin(at(5_300)).expect("kept").recovered += 1;
        let mut two = Storm { clients: 1, recovered: vec![at(5_100)], ..Storm::begin(at(5_050)) };
        two.fault = fault("pod-dies");
        two.series.bin(at(5_100)).expect("kept").recovered += 1;
        let (mut left, mut right) = (one.clone(), two.clone());
        left.merge(&two);
        right.merge(&one);
        assert_eq!(left, right);
        assert_eq!(
            (left.began, left.clients, left.recovered.clone()),
            (at(5_050), 3, vec![at(5_100), at(5_300)])
        );
        let recovered: Vec<u64> = left.series.bins().iter().map(|bin| bin.recovered).collect();
        assert_eq!((left.series.begins(), recovered), (at(5_000), vec![0, 1, 0, 1]));
        assert_eq!(left.fault, fault("pod-dies"));
    }
}
