//! What a run would cost (pure): computed from profile and plan, before anything leaves.

use serde::Serialize;

use crate::plan::load::deliveries_a_second;
use crate::plan::{Plan, Shard};
use crate::profile::{Fault, FaultKind, PAYLOAD_MAX, Payload, Profile, TrafficMode, TrafficStart};

/// What a whole run asks for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Cost {
    /// Clients in the plan.
    pub clients: u64,
    /// Tenants they are in.
    pub tenants: u64,
    /// First logins, one an identity.
    pub logins: u64,
    /// Rooms made; fewer where those of an earlier run can be used again.
    pub rooms: u64,
    /// Joins of rooms by their members.
    pub joins: u64,
    /// Length of the phases; the drain comes on top.
    pub duration_s: f64,
    /// At most so much longer.
    pub drain_s_max: f64,
    /// Publishes by the timetable.
    pub publishes: Count,
    /// Sync requests of `traffic.sync_rate`, beside those of the clients' own pattern.
    pub sync_requests: Count,
    /// Publishes × members that are there; null: others publish.
    pub deliveries: Option<Count>,
    /// Rows that stay in the store: publishes, one marker and one fence a room.
    pub stored_rows: Count,
    /// Bytes from harness to target, headers by estimate.
    pub bytes_sent: Count,
    /// Bytes from target to harness, envelopes by estimate; null: others publish.
    pub bytes_received: Option<Count>,
    /// Commands run on the deployment.
    pub commands: u64,
}

/// A number that is what it is, or what is to be expected.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Count {
    /// How many.
    pub count: u64,
    /// The plan has exactly so many; else the expectation.
    pub exact: bool,
}

/// Fields of a frame around its content (id, room, sender, position, time), and the frame's own head; by estimate.
const ENVELOPE_BYTES: f64 = 300.0;
/// Line and heads of a publish request with its token; by estimate.
const REQUEST_BYTES: f64 = 700.0;
/// Walking the timetable beyond so many rooms × seconds would take longer than a person waits for.
const EXACT_MAX: u64 = 1_000_000;

impl Cost {
    /// Of a resolved profile.
    pub(super) fn of(profile: &Profile) -> Self {
        let plan = Plan::new(profile, Shard::WHOLE);
        let clients = u64::from(plan.population.clients());
        let rooms = u64::from(plan.population.rooms());
        let given = profile.population.rooms.is_some();
        // What others publish, nobody knows.
        let known = profile.traffic.mode == TrafficMode::Publish;
        // One marker and one fence a room; who only listens leaves nothing.
        let marks = if known { 2 * rooms } else { 0 };
        let publishes = publishes(&plan);
        let sync_requests = sync_requests(profile, &plan);
        let content = mean_content(profile.traffic.payload);
        let deliveries = deliveries(profile, &plan);
        let scaled = |count: f64| Count { count: count.round() as u64, exact: false };
        Self {
            clients,
            tenants: u64::from(plan.population.tenants()),
            logins: clients,
            rooms: if given { 0 } else { rooms },
            joins: if given { 0 } else { clients * u64::from(plan.population.rooms_per_client()) },
            duration_s: plan.timeline.end().as_secs_f64(),
            drain_s_max: profile.drain.deadline.as_secs_f64(),
            publishes,
            sync_requests,
            deliveries: known.then(|| scaled(deliveries)),
            stored_rows: Count { count: publishes.count + marks, ..publishes },
            bytes_sent: scaled(
                publishes.count as f64 * (content + REQUEST_BYTES)
                    + sync_requests.count as f64 * REQUEST_BYTES,
            ),
            bytes_received: known.then(|| scaled(deliveries * (content + ENVELOPE_BYTES))),
            commands: profile.faults.iter().map(commands).sum(),
        }
    }
}

/// Commands of one fault, with what takes them back.
fn commands(fault: &Fault) -> u64 {
    match &fault.kind {
        FaultKind::Exec(exec) => 1 + u64::from(!exec.undo.is_empty()),
        _ => 0,
    }
}

/// By walking the timetable, which is what the generator does; by expectation where that would take too long.
fn publishes(plan: &Plan) -> Count {
    let rooms = plan.population.rooms();
    if u64::from(rooms) * u64::from(plan.timetable.blocks()) > EXACT_MAX {
        let expected: f64 = (0..rooms).map(|room| plan.timetable.expected(room)).sum();
        return Count { count: expected.round() as u64, exact: false };
    }
    let mut count = 0;
    let mut due = Vec::new();
    for room in 0..rooms {
        let mut visit = crate::plan::Visit::default();
        while visit.block < plan.timetable.blocks() {
            due.clear();
            plan.timetable.walk(room, &mut visit, &mut due);
            count += due.len() as u64;
        }
    }
    Count { count, exact: true }
}

/// Exactly what the timetable has.
fn sync_requests(profile: &Profile, plan: &Plan) -> Count {
    let (rate, timetable) = (profile.traffic.sync_rate.0, &plan.timetable);
    // There is a last one, and before it there is no gap.
    let (mut low, mut high) = (0_u64, 1_u64 << 32);
    while low < high {
        let middle = u64::midpoint(low, high);
        if timetable.even_due(rate, middle).is_some() { low = middle + 1 } else { high = middle }
    }
    Count { count: low, exact: true }
}

/// Expected: the rate times the members that the timeline has there at the time. A room's members are spread over
/// the order in which clients start.
fn deliveries(profile: &Profile, plan: &Plan) -> f64 {
    let everybody = f64::from(plan.population.clients());
    let silent_first = profile.traffic.start == TrafficStart::AllLive;
    let there: f64 = plan
        .timeline
        .phases()
        .iter()
        .zip(&profile.phases)
        .enumerate()
        .filter(|(index, _)| *index > 0 || !silent_first)
        .map(|(_, (placed, phase))| {
            let seconds = (placed.end - placed.begin).as_secs_f64();
            let present = (f64::from(placed.from) + f64::from(placed.to)) / 2.0 / everybody;
            seconds * phase.rate.0 * present
        })
        .sum();
    deliveries_a_second(plan) * there
}

fn mean_content(payload: Payload) -> f64 {
    match payload {
        Payload::Fixed(bytes) => f64::from(bytes),
        Payload::Range(low, high) => (f64::from(low) + f64::from(high)) / 2.0,
        Payload::LogNormal(median, sigma) => {
            (f64::from(median) * (sigma * sigma / 2.0).exp()).min(f64::from(PAYLOAD_MAX))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Arrivals;
    use crate::profile::quantity::Rate;
    use crate::report::sample;

    #[test]
    fn a_run_costs_what_its_plan_says() {
        let mut profile = sample::profile();
        profile.traffic.arrivals = Arrivals::Even;
        let cost = Cost::of(&profile);
        assert_eq!((cost.clients, cost.tenants, cost.logins, cost.rooms, cost.joins), (100, 2, 100, 8, 200));
        // 5 s at half of 50/s, 20 s at 50/s.
        assert!(cost.publishes.exact && cost.publishes.count.abs_diff(1_125) <= 8, "{:?}", cost.publishes);
        // 25 members; half of them in the mean while the ramp lasts: 125 × 12.5 + 1,000 × 25.
        assert_eq!(cost.deliveries, Some(Count { count: 26_563, exact: false }));
        assert_eq!(cost.stored_rows.count, cost.publishes.count + 16);
        assert_eq!(cost.sync_requests.count, 0);
        profile.traffic.sync_rate = Rate(10.0);
        // 5 s at half of 10/s, 20 s at 10/s.
        assert_eq!(Cost::of(&profile).sync_requests, Count { count: 225, exact: true });
    }

    #[test]
    fn nothing_is_published_before_everybody_is_live_where_that_is_asked_for() {
        let mut profile = sample::profile();
        profile.traffic.start = TrafficStart::AllLive;
        assert_eq!(Cost::of(&profile).deliveries.map(|cost| cost.count), Some(25_000));
    }

    #[test]
    fn a_long_run_is_estimated_and_says_so() {
        let mut profile = sample::profile();
        profile.phases[1].duration = std::time::Duration::from_secs(200_000);
        let cost = Cost::of(&profile);
        assert_eq!(cost.publishes, Count { count: 10_000_125, exact: false });
        assert!(!cost.stored_rows.exact);
    }
}
