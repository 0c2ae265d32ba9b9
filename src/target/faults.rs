//! Planted faults: each has one verb, said at a few named points on the way of a message.
//!
//! A point asks (`on_token`, `on_send`, `on_publish`, `on_event` and `on_deliver`, `on_open`, `on_sync`,
//! `on_scrape`), carries out the verb and reports the effect to the fault's [`FaultTruth`]. A new defect is a verb in
//! `profile::fault` and what its point makes of it.

use rand::Rng as _;

use crate::profile::{Delivery, Metrics, Publish, Stream, Sync};
use crate::seed::Seed;
use crate::time::Timestamp;

use super::choice::Chosen;
use super::config::Config;
use super::error::ApiError;
use super::planted::{Cohort, PlantedFault, PlantedKind, Which};
use super::truth::{Deed, FaultTruth};

/// Index into the faults of a [`Config`]; not the index in the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FaultIx(usize);

/// All target-side faults of a run, active or not.
#[derive(Debug)]
pub(super) struct Faults {
    planted: Vec<Planted>,
    seed: Seed,
}

#[derive(Debug)]
struct Planted {
    fault: PlantedFault,
    active: bool,
    truth: FaultTruth,
    /// What [`Faults::take_affected`] has told already.
    told: u64,
    /// Whom it hits, where it hits clients.
    who: Option<Members>,
}

impl Faults {
    pub(super) fn new(config: &Config) -> Self {
        let seed = Seed(config.seed);
        Self { planted: config.faults.iter().map(|fault| Planted::new(fault, seed)).collect(), seed }
    }

    /// The fault with this index in the profile.
    pub(super) fn find(&self, index: u32) -> Option<FaultIx> {
        self.planted.iter().position(|planted| planted.fault.index == index).map(FaultIx)
    }

    pub(super) fn fault(&self, at: FaultIx) -> &PlantedFault {
        &self.planted[at.0].fault
    }

    pub(super) fn is_active(&self, at: FaultIx) -> bool {
        self.planted[at.0].active
    }

    /// Whether the fault hits this client.
    pub(super) fn hits(&self, at: FaultIx, client: Option<u32>) -> bool {
        self.planted[at.0].hits(client)
    }

    pub(super) fn begin(&mut self, now: Timestamp, at: FaultIx) {
        let planted = &mut self.planted[at.0];
        planted.active = true;
        planted.truth.began = Some(now);
        planted.truth.ended = None;
        if let (PlantedKind::RejectTokens { .. }, Some(Members::Chosen(chosen))) =
            (&planted.fault.kind, &planted.who)
        {
            planted.truth.deeds.insert(Deed::IdentityRefused, u64::from(chosen.len()));
        }
    }

    pub(super) fn end(&mut self, now: Timestamp, at: FaultIx) {
        let planted = &mut self.planted[at.0];
        if std::mem::replace(&mut planted.active, false) {
            planted.truth.ended = Some(now);
        }
    }

    pub(super) fn truth_mut(&mut self, at: FaultIx) -> &mut FaultTruth {
        &mut self.planted[at.0].truth
    }

    pub(super) fn truths(&self) -> Vec<FaultTruth> {
        self.planted.iter().map(|planted| planted.truth.clone()).collect()
    }

    /// How much a fault has hit since this was last asked.
    pub(super) fn take_affected(&mut self, at: FaultIx) -> u64 {
        let planted = &mut self.planted[at.0];
        let affected = planted.truth.affected();
        // What was taken back in between was told already, and cannot be told back.
        let new = affected.saturating_sub(planted.told);
        planted.told = planted.told.max(affected);
        new
    }

    /// Point: somebody shows a token.
    pub(super) fn on_token(&mut self, client: Option<u32>) -> Result<(), ApiError> {
        for planted in self.planted.iter_mut().filter(|planted| planted.active) {
            if matches!(planted.fault.kind, PlantedKind::RejectTokens { .. }) && planted.hits(client) {
                planted.truth.add(Deed::TokenRefused, 1);
                return Err(ApiError::INVALID_TOKEN);
            }
        }
        Ok(())
    }

    /// Point: somebody publishes.
    pub(super) fn on_send(&mut self) -> Result<(), ApiError> {
        for planted in self.planted.iter_mut().filter(|planted| planted.active) {
            if planted.fault.kind == PlantedKind::RefusePublishes {
                planted.truth.add(Deed::PublishRefused, 1);
                return Err(ApiError::NOT_MEMBER);
            }
        }
        Ok(())
    }

    /// Point: a publish with these coordinates may be stored. The first fault that has something to say about it.
    pub(super) fn on_publish(&self, coordinates: Option<(u32, u32)>) -> Option<(FaultIx, Publish)> {
        let (room, n) = coordinates?;
        self.active().find_map(|(at, planted)| match planted.fault.kind {
            PlantedKind::Publish { which, verb } if self.draws(planted, which, room, n, None) => {
                Some((at, verb))
            }
            _ => None,
        })
    }

    /// Point: an event with these coordinates has been stored. The faults that may have something to say about
    /// its deliveries; almost always none.
    pub(super) fn on_event(&self, coordinates: Option<(u32, u32)>) -> Vec<FaultIx> {
        let Some((room, n)) = coordinates else { return Vec::new() };
        let may_hit = |planted: &Planted| matches!(planted.fault.kind, PlantedKind::Delivery { which, .. } if which.may_match(room, n));
        self.active().filter(|(_, planted)| may_hit(planted)).map(|(at, _)| at).collect()
    }

    /// Point: one of [`Faults::on_event`]'s events goes to this client.
    pub(super) fn on_deliver(
        &self,
        at: FaultIx,
        (room, n): (u32, u32),
        client: Option<u32>,
    ) -> Option<Delivery> {
        let planted = &self.planted[at.0];
        let PlantedKind::Delivery { which, verb } = planted.fault.kind else { return None };
        let goes_there = match which {
            Which::Coordinates { client: own, .. } => client == Some(own),
            Which::Share(_) => true,
        };
        let leaks = matches!(verb, Delivery::Leak { .. });
        let hit = !leaks && goes_there && self.draws(planted, which, room, n, client);
        hit.then_some(verb)
    }

    /// Point: one of [`Faults::on_event`]'s events has been delivered to all it should. To whom else?
    pub(super) fn on_delivered(&self, at: FaultIx, (room, n): (u32, u32)) -> Option<u32> {
        let planted = &self.planted[at.0];
        let PlantedKind::Delivery { which, verb: Delivery::Leak { to } } = planted.fault.kind else {
            return None;
        };
        self.draws(planted, which, room, n, Some(to)).then_some(to)
    }

    /// Point: a stream is open. All that is said about it.
    pub(super) fn on_open(&self, client: Option<u32>) -> Vec<(FaultIx, Stream)> {
        let said = self.active().filter_map(|(at, planted)| match &planted.fault.kind {
            PlantedKind::Stream { verb, .. } if planted.hits(client) => Some((at, verb.clone())),
            _ => None,
        });
        said.collect()
    }

    /// Point: somebody syncs. All that is said about it.
    pub(super) fn on_sync(&self, client: Option<u32>) -> Vec<(FaultIx, Sync)> {
        let said = self.active().filter_map(|(at, planted)| match planted.fault.kind {
            PlantedKind::Sync { verb, .. } if planted.hits(client) => Some((at, verb)),
            _ => None,
        });
        said.collect()
    }

    /// Point: a pod is scraped. The first fault that has something to say about it.
    pub(super) fn on_scrape(&self, pod: u32) -> Option<(FaultIx, Metrics)> {
        self.active().find_map(|(at, planted)| match planted.fault.kind {
            // It says what is, as far as it knows.
            PlantedKind::Metrics { verb: Metrics::Leak, .. } => None,
            PlantedKind::Metrics { pod: own, verb } if own.is_none_or(|own| own == pod) => Some((at, verb)),
            _ => None,
        })
    }

    /// Point: a stream of this pod ends. Does it stay in the gauge?
    pub(super) fn on_end(&self, pod: u32) -> Option<FaultIx> {
        self.active().find_map(|(at, planted)| match planted.fault.kind {
            PlantedKind::Metrics { pod: own, verb: Metrics::Leak } if own.is_none_or(|own| own == pod) => {
                Some(at)
            }
            _ => None,
        })
    }

    fn active(&self) -> impl Iterator<Item = (FaultIx, &Planted)> {
        (0..).map(FaultIx).zip(&self.planted).filter(|(_, planted)| planted.active)
    }

    /// Whether the event is one of those meant; of a share, by a draw that depends on nothing but seed, fault and
    /// coordinates, so that it is the same on every engine.
    fn draws(&self, planted: &Planted, which: Which, room: u32, n: u32, client: Option<u32>) -> bool {
        let Which::Share(share) = which else { return which.may_match(room, n) };
        let event = u64::from(room) << 32 | u64::from(n);
        let client = client.map_or(u64::MAX, u64::from);
        let at = [u64::from(planted.fault.index), event, client];
        let drawn = self.seed.stream("target-fault-share", at).next_u64();
        (drawn as f64) < share * u64::MAX as f64
    }
}

impl Planted {
    fn new(fault: &PlantedFault, seed: Seed) -> Self {
        let truth = FaultTruth { index: fault.index, name: fault.name.clone(), ..FaultTruth::default() };
        let who = match &fault.kind {
            PlantedKind::RejectTokens { who }
            | PlantedKind::Stream { who, .. }
            | PlantedKind::Sync { who, .. } => Some(Members::new(who, fault.index, seed)),
            _ => None,
        };
        Self { fault: fault.clone(), active: false, truth, told: 0, who }
    }

    /// Somebody who is no client of the plan is never hit.
    fn hits(&self, client: Option<u32>) -> bool {
        self.who.as_ref().zip(client).is_some_and(|(who, client)| who.contains(client))
    }
}

/// A cohort, drawn.
#[derive(Debug)]
enum Members {
    Chosen(Chosen),
    Tenant { tenant: u32, tenants: u32 },
    Clients(Vec<u32>),
}

impl Members {
    fn new(who: &Cohort, index: u32, seed: Seed) -> Self {
        match who {
            Cohort::Share { share, clients } => {
                let stream = seed.stream("target-fault-clients", [u64::from(index), 0, 0]);
                Self::Chosen(Chosen::draw(stream, *share, *clients))
            }
            Cohort::Tenant { tenant, tenants } => {
                Self::Tenant { tenant: *tenant, tenants: (*tenants).max(1) }
            }
            Cohort::Clients(clients) => Self::Clients(clients.clone()),
        }
    }

    fn contains(&self, client: u32) -> bool {
        match self {
            Self::Chosen(chosen) => chosen.contains(client),
            Self::Tenant { tenant, tenants } => client % tenants == *tenant,
            Self::Clients(clients) => clients.contains(&client),
        }
    }
}

/// The number of a client in the plan, from its username ([`crate::plan::Population::username`]).
pub(super) fn client_number(username: &str) -> Option<u32> {
    username.strip_prefix("ws-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use crate::plan::Population;
    use crate::profile;

    use super::*;

    #[test]
    fn a_client_is_known_by_its_username() {
        let people = Population::new(&profile::Population {
            tenants: 1,
            clients: 2_000_000,
            members_per_room: 50,
            rooms_per_tenant: None,
            rooms_per_client: 1,
            ..profile::Population::default()
        });
        for client in [0, 7, 999_999, 1_999_999] {
            assert_eq!(client_number(&people.username(client)), Some(client));
        }
    }

    #[test]
    fn exactly_the_share_of_the_identities_is_refused_and_the_same_ones_each_time() {
        let who = Cohort::Share { share: 0.4, clients: 301 };
        let config = Config::with_fault(PlantedKind::RejectTokens { who }, None);
        let refused_of = |faults: &mut Faults| -> Vec<u32> {
            (0..301).filter(|&client| faults.on_token(Some(client)).is_err()).collect()
        };
        let mut faults = Faults::new(&config);
        assert!(refused_of(&mut faults).is_empty(), "not before it begins");
        let at = faults.find(0).expect("the only one");
        faults.begin(Timestamp::ZERO, at);
        let first = refused_of(&mut faults);
        assert_eq!(first.len(), 120);
        assert_eq!(refused_of(&mut faults), first);
        assert_eq!(faults.take_affected(at), 240);
        assert_eq!(faults.take_affected(at), 0);
        faults.end(Timestamp::from_secs(1), at);
        assert!(refused_of(&mut faults).is_empty(), "not after it has ended");
    }

    #[test]
    fn a_share_of_the_events_is_drawn_by_their_coordinates_alone() {
        let kind = PlantedKind::Delivery { which: Which::Share(0.1), verb: Delivery::Lose { store: false } };
        let config = Config::with_fault(kind, None);
        let lost = |order: &mut dyn Iterator<Item = u32>| -> Vec<u32> {
            let mut faults = Faults::new(&config);
            faults.begin(Timestamp::ZERO, FaultIx(0));
            let mut lost: Vec<u32> =
                order.filter(|&n| faults.on_deliver(FaultIx(0), (3, n), Some(7)).is_some()).collect();
            lost.sort_unstable();
            lost
        };
        let forwards = lost(&mut (0..2000));
        assert!((150..250).contains(&forwards.len()), "{}", forwards.len());
        assert_eq!(lost(&mut (0..2000).rev()), forwards);
    }

    #[test]
    fn a_cohort_is_a_tenant_or_a_list() {
        let members = |who| Members::new(&who, 0, Seed(1));
        let tenant = members(Cohort::Tenant { tenant: 1, tenants: 3 });
        assert_eq!((0..9).filter(|&client| tenant.contains(client)).collect::<Vec<_>>(), [1, 4, 7]);
        let list = members(Cohort::Clients(vec![2, 5]));
        assert_eq!((0..9).filter(|&client| list.contains(client)).collect::<Vec<_>>(), [2, 5]);
    }
}
