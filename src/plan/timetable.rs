//! What is published when: per room and block of one second, with random access.
//!
//! The events of a room in a block follow from (seed, room, block) alone; their sequence numbers are a prefix sum
//! over the blocks before. A [`Visit`] walks the blocks of one room in order and keeps that sum.

use std::time::Duration;

use rand::RngExt as _;
use rand_distr::{Distribution as _, Poisson};

use super::Population;
use crate::profile::{Arrivals, Profile, TenantShares, TrafficStart};
use crate::seed::Seed;

/// Length of a block.
pub const BLOCK: Duration = Duration::from_secs(1);

/// The timetable of a run.
#[derive(Clone, Debug)]
pub struct Timetable {
    seed: Seed,
    arrivals: Arrivals,
    /// Events a second in one room of each tenant, at full rate.
    room_rates: Vec<f64>,
    rooms_per_tenant: u32,
    /// (begin, end, share of the rate), seconds of plan time.
    segments: Vec<(f64, f64, f64)>,
    end: Duration,
}

/// A place in one room's timetable: the next block and the sequence number that it begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visit {
    /// Number of the next block.
    pub block: u32,
    /// Sequence number of its first event.
    pub first_n: u32,
}

impl Timetable {
    /// From a resolved profile.
    pub fn new(profile: &Profile, population: &Population, seed: Seed) -> Self {
        let rooms_per_tenant = population.rooms() / population.tenants();
        let shares = tenant_shares(profile.traffic.tenant_shares, population.tenants());
        let room_rates =
            shares.iter().map(|share| profile.traffic.rate.0 * share / f64::from(rooms_per_tenant)).collect();
        let (mut begin, mut segments) = (0.0, Vec::new());
        for (index, phase) in profile.phases.iter().enumerate() {
            let end = begin + phase.duration.as_secs_f64();
            let silent = index == 0 && profile.traffic.start == TrafficStart::AllLive;
            segments.push((begin, end, if silent { 0.0 } else { phase.rate.0 }));
            begin = end;
        }
        let end = profile.phases.iter().map(|phase| phase.duration).sum();
        Self { seed, arrivals: profile.traffic.arrivals, room_rates, rooms_per_tenant, segments, end }
    }

    /// Number of blocks; after the last one nothing is published.
    pub fn blocks(&self) -> u32 {
        self.end.as_secs_f64().ceil() as u32
    }

    /// Planned events a second of one tenant, at full rate.
    pub fn tenant_rate(&self, tenant: u32) -> f64 {
        self.room_rates[tenant as usize] * f64::from(self.rooms_per_tenant)
    }

    /// Expected number of events of one room over the whole run.
    pub fn expected(&self, room: u32) -> f64 {
        self.rate(room) * self.weight_before(self.end.as_secs_f64())
    }

    /// When number `k` of what comes evenly at this rate is due (plan time), by the phases' shares of it; `None`: there are
    /// not so many.
    pub fn even_due(&self, rate: f64, k: u64) -> Option<Duration> {
        // In the middle of its share of time: nothing is due with the first moment of a phase.
        let weight = (k as f64 + 0.5) / rate;
        let within = rate > 0.0 && weight < self.weight_before(self.end.as_secs_f64());
        within.then(|| Duration::from_secs_f64(self.second_at_weight(weight)))
    }

    /// Appends the due times (plan time, ascending) of the room's events in the visit's block, and moves the visit
    /// to the next one.
    pub fn walk(&self, room: u32, visit: &mut Visit, due: &mut Vec<Duration>) {
        let before = due.len();
        let (begin, end) =
            (f64::from(visit.block), (f64::from(visit.block) + 1.0).min(self.end.as_secs_f64()));
        if begin < end {
            match self.arrivals {
                Arrivals::Even => self.even(room, begin, end, due),
                Arrivals::Poisson => self.poisson(room, visit.block, begin, end, due),
            }
        }
        visit.first_n += (due.len() - before) as u32;
        visit.block += 1;
    }

    /// Event k of the room is due where the integral of its rate reaches k + an offset drawn once a room.
    fn even(&self, room: u32, begin: f64, end: f64, due: &mut Vec<Duration>) {
        let rate = self.rate(room);
        if rate <= 0.0 {
            return;
        }
        let offset: f64 = self.seed.stream("arrival offset", [u64::from(room), 0, 0]).random();
        let (low, high) = (rate * self.weight_before(begin), rate * self.weight_before(end));
        let mut k = (low - offset).ceil().max(0.0);
        while k + offset < high {
            let at = self.second_at_weight((k + offset) / rate).clamp(begin, end);
            due.push(Duration::from_secs_f64(at));
            k += 1.0;
        }
    }

    /// The number is Poisson; the times are uniform in weight, so that a phase border in the block is honoured.
    fn poisson(&self, room: u32, block: u32, begin: f64, end: f64, due: &mut Vec<Duration>) {
        let (low, high) = (self.weight_before(begin), self.weight_before(end));
        let mean = self.rate(room) * (high - low);
        let Ok(counts) = Poisson::new(mean) else { return };
        let mut stream = self.seed.stream("arrivals", [u64::from(room), u64::from(block), 0]);
        let count = counts.sample(&mut stream) as u32;
        let from = due.len();
        for _ in 0..count {
            let weight = low + (high - low) * stream.random::<f64>();
            due.push(Duration::from_secs_f64(self.second_at_weight(weight).clamp(begin, end)));
        }
        due[from..].sort_unstable();
    }

    fn rate(&self, room: u32) -> f64 {
        self.room_rates[(room / self.rooms_per_tenant) as usize]
    }

    /// Integral of the rate's share from 0 to `at`.
    fn weight_before(&self, at: f64) -> f64 {
        self.segments.iter().map(|&(begin, end, share)| (at.min(end) - begin).max(0.0) * share).sum()
    }

    /// Where [`Self::weight_before`] reaches `weight`.
    fn second_at_weight(&self, weight: f64) -> f64 {
        let mut left = weight;
        for &(begin, end, share) in &self.segments {
            let here = (end - begin) * share;
            if left <= here && share > 0.0 {
                return begin + left / share;
            }
            left -= here;
        }
        self.end.as_secs_f64()
    }
}

/// The share of each tenant; they add up to 1.
fn tenant_shares(shares: TenantShares, tenants: u32) -> Vec<f64> {
    let weights: Vec<f64> = match shares {
        TenantShares::Even => vec![1.0; tenants as usize],
        TenantShares::Zipf(s) => (1..=tenants).map(|k| f64::from(k).powf(-s)).collect(),
    };
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn table(arrivals: Arrivals, phases: &[(f64, f64)]) -> Timetable {
        let (mut begin, mut segments) = (0.0, Vec::new());
        for &(secs, share) in phases {
            segments.push((begin, begin + secs, share));
            begin += secs;
        }
        Timetable {
            seed: Seed(7),
            arrivals,
            room_rates: tenant_shares(TenantShares::Zipf(1.0), 2)
                .iter()
                .map(|share| share * 30.0 / 2.0)
                .collect(),
            rooms_per_tenant: 2,
            segments,
            end: Duration::from_secs_f64(begin),
        }
    }

    fn all(table: &Timetable, room: u32) -> Vec<Duration> {
        let (mut visit, mut due) = (Visit::default(), Vec::new());
        for _ in 0..table.blocks() {
            table.walk(room, &mut visit, &mut due);
        }
        assert_eq!(visit.first_n as usize, due.len());
        due
    }

    #[test]
    fn even_events_keep_their_distance_across_blocks() {
        let due = all(&table(Arrivals::Even, &[(10.0, 1.0)]), 0);
        assert_eq!(due.len(), 100);
        for pair in due.windows(2) {
            assert!(((pair[1] - pair[0]).as_secs_f64() - 0.1).abs() < 1e-6);
        }
    }

    #[test]
    fn poisson_events_have_the_planned_mean_and_ascend() {
        let table = table(Arrivals::Poisson, &[(1000.0, 1.0)]);
        let due = all(&table, 0);
        assert!((9_500..10_500).contains(&due.len()), "{}", due.len());
        assert!(due.is_sorted());
        assert!((table.expected(0) - 10_000.0).abs() < 1e-6);
    }

    #[test]
    fn a_phase_scales_the_rate_and_nothing_is_due_after_the_end() {
        let due = all(&table(Arrivals::Even, &[(10.5, 1.0), (10.0, 0.0), (10.2, 0.5)]), 0);
        let between =
            |from: f64, to: f64| due.iter().filter(|at| (from..to).contains(&at.as_secs_f64())).count();
        assert!((104..=106).contains(&between(0.0, 10.5)));
        assert_eq!(between(10.6, 20.4), 0);
        assert!((50..=52).contains(&between(20.5, 31.0)));
        assert!(due.iter().all(|at| at.as_secs_f64() <= 30.7));
    }

    #[test]
    fn what_comes_evenly_follows_the_phases_and_ends_with_them() {
        let table = table(Arrivals::Poisson, &[(2.0, 1.0), (10.0, 0.0), (4.0, 0.5)]);
        let due: Vec<f64> = (0..).map_while(|k| table.even_due(2.0, k)).map(|at| at.as_secs_f64()).collect();
        assert_eq!(due, [0.25, 0.75, 1.25, 1.75, 12.5, 13.5, 14.5, 15.5]);
        assert_eq!(table.even_due(0.0, 0), None);
    }

    #[test]
    fn a_block_does_not_depend_on_the_blocks_before_it() {
        let table = table(Arrivals::Poisson, &[(100.0, 1.0)]);
        let (mut alone, mut walked) = (Vec::new(), Vec::new());
        table.walk(1, &mut Visit { block: 42, first_n: 0 }, &mut alone);
        let mut visit = Visit::default();
        for _ in 0..=42 {
            walked.clear();
            table.walk(1, &mut visit, &mut walked);
        }
        assert_eq!(alone, walked);
    }
}
