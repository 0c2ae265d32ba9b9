//! What a plan asks of a target at its busiest.

use super::{Plan, Shard};
use crate::profile::Profile;

/// The load of a run at its busiest, a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// New connections by the plan.
    pub connects: f64,
    /// Publishes, all tenants.
    pub publishes: f64,
    /// Deliveries that they cause with everybody there.
    pub deliveries: f64,
}

impl Load {
    /// Of a resolved profile.
    pub fn of(profile: &Profile) -> Self {
        let plan = Plan::new(profile, Shard::WHOLE);
        let connects = plan
            .timeline
            .phases()
            .iter()
            .filter(|phase| phase.to > phase.from)
            .map(|phase| f64::from(phase.to - phase.from) / (phase.end - phase.begin).as_secs_f64())
            .fold(0.0, f64::max);
        let busiest = profile.phases.iter().map(|phase| phase.rate.0).fold(0.0, f64::max);
        Self {
            connects,
            publishes: profile.traffic.rate.0 * busiest,
            deliveries: deliveries_a_second(&plan) * busiest,
        }
    }
}

/// With everybody there, at full rate.
pub fn deliveries_a_second(plan: &Plan) -> f64 {
    let population = &plan.population;
    (0..population.tenants())
        .map(|tenant| {
            let rooms = population.rooms_of_tenant(tenant);
            let count = rooms.len().max(1) as f64;
            let members: u64 = rooms.map(|room| u64::from(population.members_len(room))).sum();
            plan.timetable.tenant_rate(tenant) * members as f64 / count
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_load_is_that_of_the_busiest_second() {
        let load = Load::of(&sample::profile());
        assert_eq!((load.connects, load.publishes), (20.0, 50.0));
        assert!((load.deliveries - 1_250.0).abs() < 1e-6, "{load:?}");
    }
}
