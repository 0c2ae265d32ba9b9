//! Random faults: every kind that a profile can name, each with what draws it.

use std::time::Duration;

use rand::RngExt as _;
use wavesoak::plan::Population;
use wavesoak::profile::quantity::Share;
use wavesoak::profile::{
    BalancerMode, Coordinates, Delivery, Events, Fault, FaultKind, How, Line, Metrics, Profile, Publish,
    Strange, Stream, Sync, Who,
};

use crate::random_profile::{Draw, millis};

/// Draws the faults of a plan; the rest of it has been drawn.
pub(crate) fn faults(draw: &mut Draw, profile: &mut Profile) {
    let end: f64 = profile.phases.iter().map(|phase| phase.duration.as_secs_f64()).sum();
    let weights: u32 = KINDS.iter().map(|(weight, _)| weight).sum();
    for index in 0..draw.pick(&[0, 1, 2, 3, 4, 6, 8]) {
        let mut drawn = draw.from(0, weights - 1);
        let kind = KINDS.iter().find(|(weight, _)| {
            let hit = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            hit
        });
        let Some(kind) = kind.and_then(|(_, make)| make(draw, profile)) else { continue };
        let at = millis(draw.stream().random_range(0.0..end));
        let (lasts, endless) = (draw.time(&[0.3, 1.0, 3.0, 6.0]), draw.chance(0.1));
        let (at, duration) = match &kind {
            kind if kind.is_by_coordinates() => (Duration::ZERO, None),
            kind if kind.is_instant() => (at, None),
            _ => (at, (!endless).then_some(lasts)),
        };
        profile.faults.push(Fault { name: format!("fault-{index}"), at, duration, kind });
    }
}

/// `None`: the profile has nothing that it could hit.
type Make = fn(&mut Draw, &Profile) -> Option<FaultKind>;

/// Every kind of fault with what draws it: a new kind is a new line. The number is how often it is drawn beside the
/// others.
const KINDS: &[(u32, Make)] = &[
    // What the network, or its own process, does to a client.
    (4, |draw, profile| Some(FaultKind::Line(who(draw, profile), Line::Reset))),
    (2, |draw, profile| Some(FaultKind::Line(who(draw, profile), Line::Cut))),
    (4, |draw, profile| Some(FaultKind::Line(who(draw, profile), Line::Silent))),
    (2, |draw, profile| Some(FaultKind::Line(who(draw, profile), Line::ExpireToken))),
    (2, |draw, profile| {
        let by = draw.time(&[0.2, 0.5, 2.0]);
        Some(FaultKind::Line(who(draw, profile), Line::SlowReader(by)))
    }),
    (2, |draw, profile| Some(FaultKind::Line(who(draw, profile), Line::NoPongs))),
    (3, |draw, profile| Some(FaultKind::Line(who(draw, profile), Line::Restart))),
    (1, |draw, profile| Some(FaultKind::Line(who(draw, profile), Line::SameToken))),
    (3, |draw, profile| {
        let sync = draw.chance(0.5);
        Some(FaultKind::Line(who(draw, profile), Line::Outage { sync }))
    }),
    // What the target as a whole does.
    (4, |draw, profile| Some(FaultKind::PodKill(pod(draw, profile)))),
    (2, |draw, profile| {
        let proxied = profile.target.embedded.balancer.mode == BalancerMode::Proxy;
        proxied.then(|| FaultKind::IdleTimeout(draw.time(&[0.2, 0.5, 1.0, 3.0])))
    }),
    (2, |draw, profile| {
        let proxied = profile.target.embedded.balancer.mode == BalancerMode::Proxy;
        proxied.then(|| FaultKind::MaxAge(draw.time(&[0.5, 1.0, 3.0])))
    }),
    (1, |_, _| Some(FaultKind::RefusePublishes)),
    (1, |draw, profile| Some(FaultKind::RejectTokens(who(draw, profile)))),
    (1, |draw, profile| {
        let more = draw.from(1, 9);
        let show = draw.pick(&[Metrics::Missing, Metrics::Reset, Metrics::Wrong { more }, Metrics::Absent]);
        Some(FaultKind::Metrics(pod(draw, profile), show))
    }),
    // On the way to one client.
    (6, |draw, profile| {
        let store = draw.chance(0.5);
        Some(FaultKind::Delivery(events(draw, profile), Delivery::Lose { store }))
    }),
    (2, |draw, profile| Some(FaultKind::Delivery(events(draw, profile), Delivery::Twice))),
    (2, |draw, profile| Some(FaultKind::Delivery(events(draw, profile), Delivery::BehindRoom))),
    (2, |draw, profile| Some(FaultKind::Delivery(events(draw, profile), Delivery::BehindOthers))),
    (2, |draw, profile| {
        let by = draw.time(&[0.05, 0.5, 3.0]);
        Some(FaultKind::Delivery(events(draw, profile), Delivery::Late(by)))
    }),
    (4, leak),
    (2, |draw, profile| Some(FaultKind::Delivery(events(draw, profile), Delivery::HideFromSync))),
    // Publishes.
    (2, |draw, profile| {
        let store = draw.chance(0.5);
        Some(FaultKind::Publish(events(draw, profile), Publish::DeliverRejected { store }))
    }),
    (2, |draw, profile| Some(FaultKind::Publish(events(draw, profile), Publish::Forget))),
    (2, |draw, profile| Some(FaultKind::Publish(events(draw, profile), Publish::NoAnswer))),
    (2, |draw, profile| Some(FaultKind::Publish(events(draw, profile), Publish::Twice))),
    (2, |draw, profile| {
        let by = draw.time(&[0.05, 0.5, 3.0]);
        Some(FaultKind::Publish(events(draw, profile), Publish::CommitLate(by)))
    }),
    (2, |draw, profile| {
        let back = draw.pick(&[1, 3, 20]);
        Some(FaultKind::Publish(events(draw, profile), Publish::Renumber { back }))
    }),
    // Streams.
    (2, |draw, profile| Some(FaultKind::Stream(who(draw, profile), Stream::Deaf))),
    (1, |draw, profile| Some(FaultKind::Stream(who(draw, profile), Stream::WrongTenant))),
    (2, |draw, profile| Some(FaultKind::Stream(who(draw, profile), Stream::NoHello))),
    (2, |draw, profile| {
        let by = draw.time(&[0.1, 1.0, 4.0]);
        Some(FaultKind::Stream(who(draw, profile), Stream::LateHello(by)))
    }),
    (2, |draw, profile| {
        let by = draw.time(&[0.1, 1.0, 4.0]);
        Some(FaultKind::Stream(who(draw, profile), Stream::EarlyHello(by)))
    }),
    (2, |draw, profile| Some(FaultKind::Stream(who(draw, profile), Stream::Stall))),
    (1, |draw, profile| Some(FaultKind::Stream(who(draw, profile), Stream::NoPings))),
    (2, |draw, profile| {
        let (code, reason) = draw.pick(&[
            (4001, ""),
            (4003, "ping_timeout"),
            (4003, ""),
            (4003, "duplicate_connection"),
            (1011, "shutting down"),
        ]);
        Some(FaultKind::Stream(who(draw, profile), Stream::Close { code, reason: reason.to_owned() }))
    }),
    (2, |draw, profile| {
        let how = draw.pick(&[How::Silent, How::Reset, How::Fin]);
        Some(FaultKind::Stream(who(draw, profile), Stream::Drop(how)))
    }),
    (1, |draw, profile| {
        let frame = draw.pick(&[Strange::Malformed, Strange::Unknown, Strange::Oversized, Strange::Binary]);
        Some(FaultKind::Stream(who(draw, profile), Stream::Strange(frame)))
    }),
    // Sync.
    (2, |draw, profile| Some(FaultKind::Sync(who(draw, profile), Sync::Skip))),
    (2, |draw, profile| {
        let back = draw.pick(&[1, 3, 20]);
        Some(FaultKind::Sync(who(draw, profile), Sync::Repeat { back }))
    }),
    (2, |draw, profile| {
        let back = draw.pick(&[1, 3, 20]);
        Some(FaultKind::Sync(who(draw, profile), Sync::Backwards { back }))
    }),
    (2, |draw, profile| {
        let by = draw.time(&[0.1, 1.0, 4.0]);
        Some(FaultKind::Sync(who(draw, profile), Sync::Slow(by)))
    }),
    (2, |draw, profile| {
        let status = draw.pick(&[429, 500, 503, 403]);
        Some(FaultKind::Sync(who(draw, profile), Sync::Fail { status }))
    }),
    (2, |draw, profile| {
        let keep = draw.pick(&[1, 5, 30]);
        Some(FaultKind::Sync(who(draw, profile), Sync::Retain { keep }))
    }),
];

/// One of the three ways to say which clients.
fn who(draw: &mut Draw, profile: &Profile) -> Who {
    let people = &profile.population;
    match draw.from(0, 3) {
        0 | 1 => Who::Share(Share(draw.pick(&[0.2, 0.5, 1.0]))),
        2 => Who::Tenant(draw.from(0, people.tenants - 1)),
        _ => Who::Clients(vec![draw.from(0, people.clients - 1)]),
    }
}

/// One of the two ways to say which events.
fn events(draw: &mut Draw, profile: &Profile) -> Events {
    if draw.chance(0.3) {
        return Events::Share(Share(draw.pick(&[0.02, 0.2, 1.0])));
    }
    Events::Coordinates(Coordinates {
        client: draw.from(0, profile.population.clients - 1),
        room: draw.from(0, profile.population.rooms_per_client - 1),
        first: draw.from(0, 20),
        count: draw.from(1, 30),
    })
}

/// To somebody who is not in the room, if there is anybody; a share of all events goes to whoever is drawn.
fn leak(draw: &mut Draw, profile: &Profile) -> Option<FaultKind> {
    let events = events(draw, profile);
    let people = Population::new(&profile.population);
    let room = match events {
        Events::Share(_) => None,
        Events::Coordinates(at) => people.rooms_of(at.client).nth(at.room as usize),
    };
    let is_stranger = |client: &u32| room.is_none_or(|room| people.slot_of(*client, room).is_none());
    let strangers: Vec<u32> = (0..people.clients()).filter(is_stranger).collect();
    (!strangers.is_empty()).then(|| FaultKind::Delivery(events, Delivery::Leak { to: draw.pick(&strangers) }))
}

fn pod(draw: &mut Draw, profile: &Profile) -> Option<u32> {
    draw.chance(0.5).then(|| draw.from(0, profile.target.embedded.pods - 1))
}
