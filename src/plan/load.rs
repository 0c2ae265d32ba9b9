//! What a plan asks of a target at its busiest.

use std::time::Duration;

use super::{Plan, Shard};
use crate::profile::{Profile, TrafficStart};

/// The load of a run at its busiest, a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// New connections by the plan.
    pub connects: f64,
    /// Publishes, all tenants.
    pub publishes: f64,
    /// Deliveries that they cause with everybody there.
    pub deliveries: f64,
    /// Sync requests of `traffic.sync_rate`.
    pub sync_load: f64,
    /// Pages of the bridges before the upgrades of the steepest ramp, and `sync_load` beside them. Who is live asks for
    /// none: a steady hour makes no others.
    pub sync_pages: f64,
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
        let bridging = bridges(profile, &plan);
        let busiest = profile.phases.iter().map(|phase| phase.rate.0).fold(0.0, f64::max);
        Self {
            connects,
            publishes: profile.traffic.rate.0 * busiest,
            deliveries: deliveries_a_second(&plan) * busiest,
            sync_load: profile.traffic.sync_rate.0 * busiest,
            sync_pages: bridging + profile.traffic.sync_rate.0 * busiest,
        }
    }
}

/// Pages that a client asks for which has missed the deliveries of this time: at least one, for every attempt begins with
/// a sync.
pub fn pages_missed(profile: &Profile, gap: Duration) -> f64 {
    let plan = Plan::new(profile, Shard::WHOLE);
    let busiest = profile.phases.iter().map(|phase| phase.rate.0).fold(0.0, f64::max);
    pages(profile, deliveries_each(&plan) * busiest * gap.as_secs_f64())
}

/// A page at the least: whether there is something to tell, a page tells.
fn pages(profile: &Profile, missed: f64) -> f64 {
    let limit = f64::from(profile.client.sync_limit.max(1));
    (missed / limit).ceil().max(1.0)
}

/// Of one client, at full rate.
fn deliveries_each(plan: &Plan) -> f64 {
    deliveries_a_second(plan) / f64::from(plan.population.clients().max(1))
}

/// Pages a second before the upgrades of the ramp that asks for the most. A new client begins at the marker: the last one
/// of a ramp has to be told all that was published to it until then.
fn bridges(profile: &Profile, plan: &Plan) -> f64 {
    let mut published = 0.0;
    let mut most: f64 = 0.0;
    let silent_first = profile.traffic.start == TrafficStart::AllLive;
    for (index, (placed, phase)) in plan.timeline.phases().iter().zip(&profile.phases).enumerate() {
        let seconds = (placed.end - placed.begin).as_secs_f64();
        if index > 0 || !silent_first {
            published += deliveries_each(plan) * phase.rate.0 * seconds;
        }
        if placed.to > placed.from {
            most = most.max(f64::from(placed.to - placed.from) / seconds * pages(profile, published));
        }
    }
    most
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

    #[test]
    fn an_upgrade_has_as_many_pages_before_it_as_its_client_has_missed() {
        // 12.5 deliveries a second and client; half of that while the ramp of 5 s lasts: 31 to the last one of it.
        let mut profile = sample::profile();
        profile.client.sync_limit = 100;
        assert!((Load::of(&profile).sync_pages - 20.0).abs() < 1e-9);
        profile.client.sync_limit = 10;
        assert!((Load::of(&profile).sync_pages - 20.0 * 4.0).abs() < 1e-9);
        profile.traffic.start = TrafficStart::AllLive;
        assert!((Load::of(&profile).sync_pages - 20.0).abs() < 1e-9, "nothing was published before");
        profile.traffic.sync_rate = crate::profile::quantity::Rate(7.0);
        assert!((Load::of(&profile).sync_pages - 27.0).abs() < 1e-9);
        assert!((pages_missed(&profile, Duration::from_secs(4)) - 5.0).abs() < 1e-9);
        assert!((pages_missed(&profile, Duration::ZERO) - 1.0).abs() < 1e-9);
    }
}
