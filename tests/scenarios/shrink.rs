//! Making a plan small while what is wrong with it stays wrong.

use std::time::Duration;

use wavesoak::profile::{
    self, BalancerMode, Coordinates, Delivery, Events, Fault, FaultKind, Profile, Sticky, TrafficStart, Who,
};

/// The smallest plan that greedy steps lead to for which `fails` still holds; at most `tries` plans are played.
pub(crate) fn shrink(profile: &Profile, tries: u32, mut fails: impl FnMut(&Profile) -> bool) -> Profile {
    let (mut best, mut left) = (profile.clone(), tries);
    loop {
        let smaller = steps(&best).into_iter().find(|smaller| {
            let goes = left > 0 && *smaller != best && is_good(smaller);
            left -= u32::from(goes);
            goes && fails(smaller)
        });
        match smaller {
            Some(smaller) => best = smaller,
            None => return best,
        }
    }
}

/// A profile that its own text brings back.
fn is_good(profile: &Profile) -> bool {
    profile::parse(&profile.to_toml(), "smaller.toml", &[]).is_ok()
}

/// Everything that makes a plan smaller in one step, the bold steps first.
fn steps(profile: &Profile) -> Vec<Profile> {
    let mut steps = Vec::new();
    let mut step = |change: &dyn Fn(&mut Profile)| {
        let mut smaller = profile.clone();
        change(&mut smaller);
        steps.push(smaller);
    };
    for index in 0..profile.faults.len() {
        step(&|smaller| drop(smaller.faults.remove(index)));
    }
    for index in (0..profile.phases.len()).rev().filter(|_| profile.phases.len() > 1) {
        step(&|smaller| drop(smaller.phases.remove(index)));
    }
    step(&|smaller| fewer_clients(smaller, smaller.population.clients / 2));
    step(&|smaller| fewer_clients(smaller, smaller.population.clients.saturating_sub(1)));
    step(&|smaller| smaller.population.tenants = 1);
    step(&|smaller| {
        smaller.population.rooms_per_client = 1;
        smaller.population.rooms_per_tenant = Some(1);
    });
    step(&|smaller| smaller.population.rooms_per_tenant = Some(smaller.population.rooms_per_client));
    step(&|smaller| smaller.target.embedded.pods = 1);
    for index in 0..profile.phases.len() {
        step(&|smaller| halve(&mut smaller.phases[index].duration));
    }
    step(&|smaller| smaller.traffic.rate.0 = (smaller.traffic.rate.0 / 2.0).max(0.5));
    for (index, fault) in profile.faults.iter().enumerate() {
        for kind in smaller_kinds(&fault.kind) {
            step(&|smaller| smaller.faults[index].kind = kind.clone());
        }
        step(&|smaller| smaller.faults[index].duration.iter_mut().for_each(halve));
    }
    plainer(profile, &mut step);
    steps
}

/// The same verb, and fewer whom it hits, or events.
fn smaller_kinds(kind: &FaultKind) -> Vec<FaultKind> {
    let one = |who: &Who| (!matches!(who, Who::Clients(_))).then(|| Who::Clients(vec![0]));
    let fewer = |events: &Events| match *events {
        Events::Share(_) => vec![Coordinates { client: 0, room: 0, first: 0, count: 20 }],
        Events::Coordinates(at) => {
            vec![
                Coordinates { count: 1, ..at },
                Coordinates { count: at.count / 2, ..at },
                Coordinates { first: 0, ..at },
            ]
        }
    };
    let fewer = |events: &Events| fewer(events).into_iter().map(Events::Coordinates);
    match kind {
        FaultKind::Line(who, line) => one(who).map(|who| FaultKind::Line(who, *line)).into_iter().collect(),
        FaultKind::RejectTokens(who) => one(who).map(FaultKind::RejectTokens).into_iter().collect(),
        FaultKind::Stream(who, verb) => {
            one(who).map(|who| FaultKind::Stream(who, verb.clone())).into_iter().collect()
        }
        FaultKind::Sync(who, verb) => one(who).map(|who| FaultKind::Sync(who, *verb)).into_iter().collect(),
        FaultKind::Delivery(events, verb) => {
            fewer(events).map(|events| FaultKind::Delivery(events, *verb)).collect()
        }
        FaultKind::Publish(events, verb) => {
            fewer(events).map(|events| FaultKind::Publish(events, *verb)).collect()
        }
        FaultKind::PodKill(_)
        | FaultKind::IdleTimeout(_)
        | FaultKind::MaxAge(_)
        | FaultKind::RefusePublishes
        | FaultKind::Metrics(..)
        | FaultKind::Exec(_) => Vec::new(),
    }
}

/// Settings back to what the documentation says.
fn plainer(profile: &Profile, step: &mut impl FnMut(&dyn Fn(&mut Profile))) {
    let plain = crate::play::parse(PLAIN);
    step(&|smaller| smaller.target.embedded.balancer.mode = BalancerMode::Direct);
    step(&|smaller| smaller.target.embedded.balancer.sticky = Sticky::None);
    step(&|smaller| smaller.target.embedded.balancer.clone_from(&plain.target.embedded.balancer));
    step(&|smaller| smaller.target.embedded.token_lifetime = plain.target.embedded.token_lifetime);
    step(&|smaller| smaller.target.embedded.send_queue = plain.target.embedded.send_queue);
    step(&|smaller| smaller.target.embedded.send_limit = None);
    step(&|smaller| smaller.target.embedded.retention = plain.target.embedded.retention);
    step(&|smaller| smaller.traffic.start = TrafficStart::Phase);
    step(&|smaller| {
        smaller.traffic = profile::Traffic { rate: smaller.traffic.rate, ..plain.traffic.clone() }
    });
    step(&|smaller| smaller.client.bridge_timeout = plain.client.bridge_timeout);
    step(&|smaller| smaller.client.poll_timeout = plain.client.poll_timeout);
    step(&|smaller| smaller.client.sync_limit = plain.client.sync_limit);
    step(&|smaller| smaller.client.sync_deadline = plain.client.sync_deadline);
    step(&|smaller| smaller.client.first_retry_spread = Duration::ZERO);
    step(&|smaller| smaller.client.jitter = 0.0);
    step(&|smaller| smaller.client.backoff_reset_after = plain.client.backoff_reset_after);
    step(&|smaller| smaller.client.hello_deadline = plain.client.hello_deadline);
    step(&|smaller| smaller.client.connect_deadline = plain.client.connect_deadline);
    step(&|smaller| smaller.client.offline_after = plain.client.offline_after);
    step(&|smaller| smaller.drain = plain.drain.clone());
    step(&|smaller| smaller.audit = plain.audit.clone());
    for index in 0..profile.phases.len() {
        step(&|smaller| smaller.phases[index].rate.0 = 1.0);
    }
}

const PLAIN: &str = "name = \"plain\"\n[[phase]]\nname = \"only\"\nduration = \"1s\"\nclients = \"100%\"\n";

fn fewer_clients(profile: &mut Profile, clients: u32) {
    let people = &mut profile.population;
    people.clients = clients.max(1);
    people.tenants = people.tenants.min(people.clients);
    let memberships = people.clients / people.tenants * people.rooms_per_client;
    people.rooms_per_tenant = people.rooms_per_tenant.map(|rooms| rooms.min(memberships));
    for phase in &mut profile.phases {
        phase.clients = phase.clients.min(people.clients);
    }
    let (clients, tenants) = (people.clients, people.tenants);
    profile.faults.iter_mut().for_each(|fault| fit(fault, clients, tenants));
}

/// Whom a fault names must be there.
fn fit(fault: &mut Fault, clients: u32, tenants: u32) {
    match &mut fault.kind {
        FaultKind::Line(who, _)
        | FaultKind::RejectTokens(who)
        | FaultKind::Stream(who, _)
        | FaultKind::Sync(who, _) => match who {
            Who::Share(_) => {}
            Who::Tenant(tenant) => *tenant = (*tenant).min(tenants - 1),
            Who::Clients(named) => named.iter_mut().for_each(|client| *client = (*client).min(clients - 1)),
        },
        FaultKind::Delivery(events, verb) => {
            if let Events::Coordinates(at) = events {
                at.client = at.client.min(clients - 1);
            }
            if let Delivery::Leak { to } = verb {
                *to = (*to).min(clients - 1);
            }
        }
        FaultKind::Publish(Events::Coordinates(at), _) => at.client = at.client.min(clients - 1),
        _ => {}
    }
}

fn halve(duration: &mut Duration) {
    *duration = Duration::from_millis(duration.as_millis() as u64 / 2).max(Duration::from_millis(100));
}
