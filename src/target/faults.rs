//! Planted faults: each has one verb, said at a few named points on the way of a message.
//!
//! A point asks ([`Faults::on_token`], [`Faults::on_send`], [`Faults::on_store`], [`Faults::on_deliver`]),
//! carries out the [`Verb`] and reports the effect to the fault's [`FaultTruth`]. A new defect is a new
//! [`PlantedKind`], a line at its point and, if need be, a verb.

use crate::seed::Seed;
use crate::time::Timestamp;

use super::choice::Chosen;
use super::config::{Config, PlantedFault, PlantedKind};
use super::error::ApiError;
use super::truth::FaultTruth;

/// What happens to one thing at one point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// Nothing unusual.
    Pass,
    /// It goes no further.
    Drop,
    /// The caller is told no.
    Refuse(ApiError),
}

/// Index into the faults of a [`Config`]; not the index in the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// The identities that a `RejectTokens` refuses, drawn when it first begins.
    refused: Option<Chosen>,
}

impl Faults {
    pub(super) fn new(config: &Config) -> Self {
        let planted = config.faults.iter().map(Planted::new).collect();
        Self { planted, seed: Seed(config.seed) }
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

    pub(super) fn begin(&mut self, now: Timestamp, at: FaultIx) {
        let planted = &mut self.planted[at.0];
        planted.active = true;
        planted.truth.began = Some(now);
        planted.truth.ended = None;
        if let PlantedKind::RejectTokens { share, clients } = planted.fault.kind {
            let stream = self.seed.stream("target-reject-tokens", [u64::from(planted.fault.index), 0, 0]);
            let chosen = Chosen::draw(stream, share, clients);
            planted.truth.identities_refused = u64::from(chosen.len());
            planted.refused = Some(chosen);
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
        affected - std::mem::replace(&mut planted.told, affected)
    }

    /// Point: somebody shows a token.
    pub(super) fn on_token(&mut self, username: &str) -> Verb {
        for planted in self.planted.iter_mut().filter(|planted| planted.active) {
            let Some(refused) = &planted.refused else { continue };
            if client_number(username).is_some_and(|client| refused.contains(client)) {
                planted.truth.tokens_refused += 1;
                return Verb::Refuse(ApiError::INVALID_TOKEN);
            }
        }
        Verb::Pass
    }

    /// Point: somebody publishes.
    pub(super) fn on_send(&mut self) -> Verb {
        for planted in self.planted.iter_mut().filter(|planted| planted.active) {
            if planted.fault.kind == PlantedKind::RefusePublishes {
                planted.truth.publishes_refused += 1;
                return Verb::Refuse(ApiError::NOT_MEMBER);
            }
        }
        Verb::Pass
    }

    /// Point: an event with these coordinates has been stored. The faults that will have something to say
    /// about its deliveries; almost always none.
    pub(super) fn on_event(&self, coordinates: Option<(u32, u32)>) -> Vec<FaultIx> {
        let Some((room, n)) = coordinates else { return Vec::new() };
        let hits = |planted: &Planted| {
            planted.active && matches!(&planted.fault.kind, PlantedKind::Lose(lose) if lose.matches(room, n))
        };
        (0..).zip(&self.planted).filter(|(_, planted)| hits(planted)).map(|(at, _)| FaultIx(at)).collect()
    }

    /// Point: one of [`Faults::on_event`]'s events goes to this member's streams.
    pub(super) fn on_deliver(&self, at: FaultIx, username: &str) -> Verb {
        match &self.fault(at).kind {
            PlantedKind::Lose(lose) if lose.username == username => Verb::Drop,
            _ => Verb::Pass,
        }
    }

    /// Point: one of [`Faults::on_event`]'s events becomes visible to this member in sync and history.
    pub(super) fn on_store(&self, at: FaultIx, username: &str) -> Verb {
        match &self.fault(at).kind {
            PlantedKind::Lose(lose) if lose.store && lose.username == username => Verb::Drop,
            _ => Verb::Pass,
        }
    }
}

impl Planted {
    fn new(fault: &PlantedFault) -> Self {
        let truth = FaultTruth { index: fault.index, name: fault.name.clone(), ..FaultTruth::default() };
        Self { fault: fault.clone(), active: false, truth, told: 0, refused: None }
    }
}

/// The number of a client in the plan, from its username ([`crate::plan::Population::username`]).
fn client_number(username: &str) -> Option<u32> {
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
        });
        for client in [0, 7, 999_999, 1_999_999] {
            assert_eq!(client_number(&people.username(client)), Some(client));
        }
    }

    #[test]
    fn exactly_the_share_of_the_identities_is_refused_and_the_same_ones_each_time() {
        let config = Config::with_fault(PlantedKind::RejectTokens { share: 0.4, clients: 301 }, None);
        let refused_of = |faults: &mut Faults| -> Vec<u32> {
            let refused = |client: &u32| faults.on_token(&format!("ws-{client:06}")) != Verb::Pass;
            (0..301).filter(refused).collect()
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
}
