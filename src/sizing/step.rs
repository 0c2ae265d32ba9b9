//! One step of a search, as the profile of a whole run.

use std::time::Duration;

use super::goal::Resource;
use super::window::Window;
use crate::collector::collected::Metric;
use crate::plan::{Load, Plan, Shard};
use crate::profile::quantity::{Rate, Share};
use crate::profile::{
    Arrivals, Comparison, Limit, LimitUnit, Objective, Phase, Profile, Subject, TrafficStart,
};

/// One load on one number of pods.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// What is searched for.
    pub resource: Resource,
    /// Pods of the embedded target.
    pub pods: u32,
    /// How much of the resource.
    pub load: f64,
}

/// What is known by now of the pods that a step is played on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Known {
    /// Streams that there is room for.
    pub seats: Option<f64>,
    /// Upgrades a second that they carry, or are expected to by what fewer pods carried.
    pub handshakes: Option<f64>,
}

/// What all steps of one sizing have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// How long the load is held and measured, at the least.
    pub window: Duration,
    /// And at the most, where the objectives ask for longer.
    pub window_most: Duration,
    /// How closely limits are looked for: 0.05 is 5 %.
    pub resolution: f64,
    /// Upgrades a second at which clients come when handshakes are not what is searched for, and nothing is known of them
    /// yet.
    pub ramp: f64,
}

impl Step {
    /// Its run: the profile with this load and nothing else, and with the objectives that the load can miss; and how long
    /// it measures.
    pub fn profile(&self, base: &Profile, terms: &Terms, known: Known) -> (Profile, Window) {
        let mut profile = base.clone();
        profile.name = format!("{}-{}", self.resource, self.pods);
        profile.target.embedded.pods = self.pods;
        profile.faults.clear();
        profile.objectives = self.objectives(base);
        let wanted = Window::wanted(self, &profile, terms);
        let (clients, ramp) = self.clients(base, terms, known, wanted.length);
        profile.population.clients = clients;
        let phase =
            |name: &str, duration| Phase { name: name.to_owned(), duration, clients, rate: Share::ALL };
        let hold = match self.resource {
            Resource::Connections | Resource::SyncPages | Resource::Deliveries => wanted.length,
            // The window is the ramp.
            Resource::Handshakes => SETTLE,
        };
        let window = match self.resource {
            // Where there is no room for more streams, it is over sooner.
            Resource::Handshakes => wanted.cut_to(ramp),
            _ => wanted,
        };
        profile.phases = vec![phase("ramp", ramp), phase("hold", hold)];
        profile.traffic.rate = self.rate(&profile);
        profile.traffic.sync_rate = match self.resource {
            Resource::SyncPages => Rate(self.load),
            _ => Rate(0.0),
        };
        // Where not everybody can come in, traffic that waits for everybody would wait long.
        profile.traffic.start = match self.resource {
            Resource::SyncPages | Resource::Deliveries => TrafficStart::AllLive,
            Resource::Connections | Resource::Handshakes => TrafficStart::Phase,
        };
        // A step that fails is to come to its end like any other.
        profile.stops.clear();
        // A burst that chance makes is no higher load: what is searched for is the rate.
        profile.traffic.arrivals = Arrivals::Even;
        profile.drain.deadline = short_drain(&profile);
        (profile, window)
    }

    /// How many clients, and over which time they come.
    fn clients(&self, base: &Profile, terms: &Terms, known: Known, window: Duration) -> (u32, Duration) {
        // Room must not be what fails, and coming in must not be either.
        let room = known.seats.map_or(f64::INFINITY, |seats| seats * SEATS_USED);
        let ramp = known.handshakes.map_or(terms.ramp, |carried| carried * HANDSHAKES_USED);
        let least = f64::from(base.population.tenants * 2);
        let over = |clients: f64, rate: f64| Duration::from_secs_f64((clients / rate).max(1.0));
        match self.resource {
            Resource::Connections => {
                let clients = self.load.round().max(least);
                (clients as u32, over(clients, ramp))
            }
            Resource::Handshakes => {
                let clients = (self.load * window.as_secs_f64()).min(room).round().max(least);
                (clients as u32, over(clients, self.load))
            }
            Resource::SyncPages | Resource::Deliveries => {
                let clients = f64::from(base.population.clients).min(room).round().max(least);
                (clients as u32, over(clients, ramp))
            }
        }
    }

    /// `profile` has the step's clients and phases already: what one publish causes depends on them.
    fn rate(&self, profile: &Profile) -> Rate {
        match self.resource {
            Resource::Connections | Resource::SyncPages | Resource::Handshakes => QUIET,
            Resource::Deliveries => {
                let load = Load::of(profile);
                Rate((self.load * load.publishes / load.deliveries).max(LEAST_RATE))
            }
        }
    }

    /// The profile's own: all counts, and the latencies that this resource makes; where it has none of those, ours.
    fn objectives(&self, base: &Profile) -> Vec<Objective> {
        let of = |objective: &&Objective| match Subject::parse(&objective.name) {
            Ok(Subject::Latency(metric, _) | Subject::WorstTenantLatency(metric, _)) => {
                self.metrics().contains(&metric)
            }
            // Nothing is planted in a step.
            Ok(Subject::StormRecovery(_)) => false,
            // What a run without faults and without much traffic has none of cannot be missed either.
            _ => true,
        };
        let mut objectives: Vec<Objective> = base.objectives.iter().filter(of).cloned().collect();
        let is_latency = |objective: &Objective| {
            matches!(
                Subject::parse(&objective.name),
                Ok(Subject::Latency(..) | Subject::WorstTenantLatency(..))
            )
        };
        if !objectives.iter().any(is_latency) {
            objectives.extend(self.own_objectives());
        }
        objectives
    }

    fn metrics(&self) -> &'static [Metric] {
        match self.resource {
            Resource::Connections => &[],
            Resource::SyncPages => &[Metric::SyncLoad],
            Resource::Handshakes => &[Metric::Connect, Metric::Hello, Metric::SyncPage],
            Resource::Deliveries => {
                &[Metric::PublishAck, Metric::Arrival, Metric::DeliveryIntended, Metric::DeliverySent]
            }
        }
    }

    /// Half a second each (ours).
    fn own_objectives(&self) -> Vec<Objective> {
        let names: &[&str] = match self.resource {
            Resource::Connections => &[],
            Resource::SyncPages => &["sync_load.p99"],
            Resource::Handshakes => &["connect.p99", "sync_page.p99"],
            Resource::Deliveries => &["delivery_intended.p99"],
        };
        names.iter().map(|name| Objective { name: (*name).to_owned(), limit: HALF_A_SECOND }).collect()
    }

    /// Samples a second of one metric that this load makes; `None`: as many as it happens to be.
    pub(super) fn samples(&self, subject: Subject, profile: &Profile) -> Option<f64> {
        let share = match subject {
            Subject::WorstTenantLatency(..) => smallest_share(profile),
            _ => 1.0,
        };
        let metric = match subject {
            Subject::Latency(metric, _) | Subject::WorstTenantLatency(metric, _) => metric,
            _ => return None,
        };
        if !self.metrics().contains(&metric) {
            return None;
        }
        match metric {
            // One publish makes several deliveries; what it makes of the window is known when the rate is.
            Metric::PublishAck => {
                let load = Load::of(profile);
                (load.deliveries > 0.0).then(|| self.load * load.publishes / load.deliveries)
            }
            _ => Some(self.load * share),
        }
    }
}

/// A step's drain is no longer than it must be: what has not come by then has missed its objective anyway.
pub(super) fn short_drain(profile: &Profile) -> Duration {
    profile.drain.deadline.min(DRAIN.max(profile.client.lateness_bound * 2))
}

/// Of the tenant with the fewest events, even among its clients.
fn smallest_share(profile: &Profile) -> f64 {
    let plan = Plan::new(profile, Shard::WHOLE);
    let tenants = plan.population.tenants();
    let rates: Vec<f64> = (0..tenants).map(|tenant| plan.timetable.tenant_rate(tenant)).collect();
    let (least, all) = (rates.iter().copied().fold(f64::INFINITY, f64::min), rates.iter().sum::<f64>());
    if all > 0.0 { least / all } else { 1.0 / f64::from(tenants.max(1)) }
}

pub(super) const HALF_A_SECOND: Limit =
    Limit { comparison: Comparison::AtMost, bound: 500_000.0, unit: LimitUnit::Micros, if_exposed: false };

/// Publishes while something else is searched for: enough that something is owed.
const QUIET: Rate = Rate(2.0);

/// A publish in ten seconds; a rate of none would measure nothing.
const LEAST_RATE: f64 = 0.1;

/// Of the streams that there is room for, this share is used where room must not be what fails.
const SEATS_USED: f64 = 0.9;

/// Of the upgrades that pods carry, this share is used where coming in must not be what fails.
const HANDSHAKES_USED: f64 = 0.7;

/// Behind a ramp that was the measurement itself.
const SETTLE: Duration = Duration::from_secs(3);

/// A step's drain is no longer than this, or than a drain must be: what has not come by then has missed its objective
/// anyway.
const DRAIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    const TERMS: Terms = Terms {
        window: Duration::from_secs(10),
        window_most: Duration::from_secs(60),
        resolution: 0.05,
        ramp: 50.0,
    };

    fn step(resource: Resource, load: f64, seats: Option<f64>) -> Profile {
        let known = Known { seats, handshakes: None };
        Step { resource, pods: 2, load }.profile(&sample::profile(), &TERMS, known).0
    }

    #[test]
    fn each_resource_is_loaded_with_what_was_asked_for() {
        let connections = step(Resource::Connections, 400.0, None);
        assert_eq!(connections.population.clients, 400);
        assert_eq!(connections.phases[0].duration, Duration::from_secs(8), "at the ramp's 50/s");
        let handshakes = step(Resource::Handshakes, 30.0, None);
        assert!((Load::of(&handshakes).connects - 30.0).abs() < 1e-9);
        assert_eq!(handshakes.population.clients, 1_000, "for the window of a p99");
        let pages = step(Resource::SyncPages, 200.0, None);
        assert_eq!(pages.traffic.sync_rate, Rate(200.0));
        assert!(Load::of(&pages).deliveries < 200.0, "and little else");
        let deliveries = step(Resource::Deliveries, 700.0, None);
        assert!((Load::of(&deliveries).deliveries - 700.0).abs() < 1.0, "{:?}", Load::of(&deliveries));
        for profile in [connections, handshakes, pages, deliveries] {
            assert_eq!((profile.target.embedded.pods, profile.faults.len()), (2, 0));
            let parsed = crate::profile::parse(&profile.to_toml(), "step.toml", &[]);
            assert!(
                parsed.is_ok(),
                "{}: {}",
                profile.name,
                parsed.err().map(|error| error.to_string()).unwrap_or_default()
            );
        }
    }

    #[test]
    fn where_streams_have_no_room_they_are_not_what_fails() {
        let handshakes = step(Resource::Handshakes, 30.0, Some(100.0));
        assert_eq!(handshakes.population.clients, 90);
        assert!((Load::of(&handshakes).connects - 30.0).abs() < 0.1, "for a shorter time");
        assert_eq!(step(Resource::Deliveries, 700.0, Some(50.0)).population.clients, 45);
    }

    #[test]
    fn clients_come_as_fast_as_the_pods_shake_hands_with_something_to_spare() {
        let known = Known { seats: None, handshakes: Some(20.0) };
        for (resource, load) in [(Resource::Deliveries, 700.0), (Resource::SyncPages, 70.0)] {
            let (profile, _) = Step { resource, pods: 2, load }.profile(&sample::profile(), &TERMS, known);
            assert!((Load::of(&profile).connects - 14.0).abs() < 1e-9, "{resource}");
        }
    }

    #[test]
    fn a_step_is_judged_by_what_its_load_can_miss() {
        let names = |resource, base: &Profile| -> Vec<String> {
            let step = Step { resource, pods: 1, load: 10.0 };
            let (profile, _) = step.profile(base, &TERMS, Known::default());
            profile.objectives.into_iter().map(|objective| objective.name).collect()
        };
        let mut base = sample::profile();
        base.objectives.retain(|objective| !objective.name.contains(".p"));
        let counts: Vec<String> = base.objectives.iter().map(|objective| objective.name.clone()).collect();
        assert_eq!(names(Resource::Connections, &base), counts);
        let with = |more: &[&str]| -> Vec<String> {
            counts.iter().cloned().chain(more.iter().map(|name| (*name).to_owned())).collect()
        };
        assert_eq!(names(Resource::Deliveries, &base), with(&["delivery_intended.p99"]));
        assert_eq!(names(Resource::Handshakes, &base), with(&["connect.p99", "sync_page.p99"]));
        assert_eq!(names(Resource::SyncPages, &base), with(&["sync_load.p99"]));
        let own = Objective { name: "arrival.p90".to_owned(), limit: HALF_A_SECOND };
        base.objectives.push(own);
        assert_eq!(names(Resource::Deliveries, &base), with(&["arrival.p90"]));
        assert_eq!(names(Resource::Handshakes, &base), with(&["connect.p99", "sync_page.p99"]));
    }
}
