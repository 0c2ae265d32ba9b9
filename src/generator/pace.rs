//! The safety ceiling on publishing. The timetable decides when; this only keeps a harness that fell behind, or a
//! profile that was mistaken, from flooding a server.
//!
//! Ours: twice the planned rate, overall and per tenant, with two seconds' worth of burst (at least 20), and never
//! above `limits.publishes` where limits are enforced.

use std::num::NonZeroU32;

use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::plan::Plan;
use crate::time::{Timestamp, ToldClock};

type Limiter = RateLimiter<NotKeyed, InMemoryState, ToldClock, NoOpMiddleware<Timestamp>>;

/// A ceiling of so many a second, on told time.
pub struct Ceiling {
    clock: ToldClock,
    limiter: Limiter,
}

impl std::fmt::Debug for Ceiling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ceiling").finish_non_exhaustive()
    }
}

impl Ceiling {
    /// So many a second, of which `burst` may come at once.
    pub fn new(per_second: f64, burst: u32) -> Self {
        let clock = ToldClock::default();
        let period = std::time::Duration::from_secs_f64(1.0 / per_second.clamp(1e-3, 1e8));
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(period).expect("a positive period").allow_burst(burst);
        Self { limiter: RateLimiter::direct_with_clock(quota, clock.clone()), clock }
    }

    /// Takes one, or says when to ask again.
    pub fn take(&self, now: Timestamp) -> Result<(), Timestamp> {
        self.clock.tell(now);
        self.limiter.check().map_err(|not_until| not_until.earliest_possible())
    }
}

/// The ceilings on publishing.
#[derive(Debug)]
pub struct Pace {
    overall: Ceiling,
    tenants: Vec<Ceiling>,
}

impl Pace {
    /// From the plan's rates; `enforced`: `limits.publishes`, where it is enforced.
    pub fn new(plan: &Plan, enforced: Option<f64>) -> Self {
        let ceiling = |rate: f64| {
            let per_second = (2.0 * rate).max(10.0);
            Ceiling::new(per_second, (2.0 * per_second).ceil() as u32)
        };
        let tenants: Vec<f64> =
            (0..plan.population.tenants()).map(|t| plan.timetable.tenant_rate(t)).collect();
        let overall = match enforced {
            Some(limit) => Ceiling::new(limit, limit.ceil().max(1.0) as u32),
            None => ceiling(tenants.iter().sum()),
        };
        Self { overall, tenants: tenants.into_iter().map(ceiling).collect() }
    }

    /// Whether a publish of this tenant may leave now, or when to ask again. A tenant at its ceiling holds up the
    /// queue behind it; the ceilings are so far above the plan that this is a state of emergency.
    pub fn take(&self, now: Timestamp, tenant: u32) -> Result<(), Timestamp> {
        self.tenants[tenant as usize].take(now)?;
        self.overall.take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ceiling_lets_the_burst_through_and_then_its_rate() {
        let ceiling = Ceiling::new(10.0, 3);
        let start = Timestamp::from_secs(5);
        assert_eq!((0..5).filter(|_| ceiling.take(start).is_ok()).count(), 3);
        let retry = ceiling.take(start).unwrap_err();
        assert!(retry > start && ceiling.take(retry).is_ok());
        assert_eq!(
            (0..100).filter(|i| ceiling.take(Timestamp::from_millis(6000 + i * 10)).is_ok()).count(),
            12
        );
    }
}
