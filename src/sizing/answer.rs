//! From what pods carry to how many there should be.

use std::time::Duration;

use super::goal::{Goal, Resource};
use super::model::{Model, Pods};
use super::proof::Proof;
use super::usl::MOST_PODS;
use crate::verdict::Outcome;

/// How many pods the goal needs, and what happens when some of them die.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Of each resource: the pods that carry the goal's share of it.
    pub pods: Vec<(Resource, Pods)>,
    /// The fewest that carry the load, if everything is known that it takes.
    pub load: Option<u32>,
    /// The resource that asks for the most pods, or of which nobody knows.
    pub binding: Resource,
    /// The fewest of which some may die.
    pub resilient: Option<Survival>,
    /// That number and its neighbours: what a pod more or less changes.
    pub around: Vec<Survival>,
}

/// What becomes of so many pods when some of them die at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Survival {
    /// Pods before.
    pub pods: u32,
    /// Pods after.
    pub left: u32,
    /// Those left carry the streams and the deliveries of everybody.
    pub carries: bool,
    /// The resource of which they have the least to spare, and how much: 0.2 is a fifth more than is needed.
    pub tightest: (Resource, f64),
    /// Clients that reconnect.
    pub storm: f64,
    /// Until the last of them is back, by the handshakes and the sync pages that those left carry.
    pub recovery: Duration,
    /// Which of the two takes the longer.
    pub slowest: Resource,
}

impl Survival {
    /// Of `lose` out of `pods`; `None`: not known, or nobody is left.
    fn of(pods: u32, lose: u32, goal: &Goal, models: &[Model]) -> Option<Self> {
        let left = pods.checked_sub(lose).filter(|&left| left > 0)?;
        let carries = |resource| carries(resource, left, models);
        let spare = |resource| Some((resource, carries(resource)? / goal.demand(resource) - 1.0));
        let spares = [spare(Resource::Connections)?, spare(Resource::Deliveries)?];
        let tightest = spares.into_iter().min_by(|one, other| one.1.total_cmp(&other.1))?;
        let storm = goal.connections * f64::from(lose) / f64::from(pods);
        let shaking = (Resource::Handshakes, storm / carries(Resource::Handshakes)?);
        let syncing = (Resource::SyncPages, storm * goal.pages_per_reconnect / carries(Resource::SyncPages)?);
        let (slowest, seconds) = if syncing.1 > shaking.1 { syncing } else { shaking };
        let recovery = Duration::try_from_secs_f64(seconds).ok()?;
        Some(Self { pods, left, carries: tightest.1 >= 0.0, tightest, storm, recovery, slowest })
    }

    /// Everybody is carried, and back in time.
    pub fn survives(&self, within: Duration) -> bool {
        self.carries && self.recovery <= within
    }

    /// How far these pods are from the other answer: by what share the tightest resource, or the time that recovery takes,
    /// would have to change. Above 0 they survive, below 0 they do not.
    pub fn margin(&self, within: Duration) -> f64 {
        let time = within.as_secs_f64() / self.recovery.as_secs_f64().max(1e-9) - 1.0;
        self.tightest.1.min(time)
    }
}

/// What so many pods carry. Where another resource was the limit of handshakes, its law is theirs: each has a page before it.
fn carries(resource: Resource, pods: u32, models: &[Model]) -> Option<f64> {
    let model = models.iter().find(|model| model.resource == resource)?;
    let other = || match resource {
        Resource::Handshakes if model.is_behind() => carries(Resource::SyncPages, pods, models),
        _ => None,
    };
    model.carries(pods).or_else(other)
}

impl Answer {
    /// For pods of which `lose` may die, and whose clients must all be back `within` this time.
    pub fn new(goal: &Goal, models: &[Model], lose: u32, within: Duration) -> Self {
        let pods_for = |model: &Model| model.pods_for(goal.demand(model.resource));
        let pages = models.iter().find(|model| model.resource == Resource::SyncPages).map(pods_for);
        let pods: Vec<(Resource, Pods)> = models
            .iter()
            .map(|model| match (pods_for(model), pages.and_then(Pods::number)) {
                (Pods::MoreThan(_), Some(pages)) if model.is_behind() => {
                    (model.resource, Pods::Behind(pages))
                }
                (pods, _) => (model.resource, pods),
            })
            .collect();
        // Nobody knows how many: more than any number. Of two that ask for as many, the one with less to spare binds.
        let most = |&&(resource, pods): &&(Resource, Pods)| {
            let number = pods.number().unwrap_or(u32::MAX);
            let spare = carries(resource, number, models).map(|carried| goal.demand(resource) / carried);
            let behind = models.iter().any(|model| model.resource == resource && model.is_behind());
            (number, !behind, spare.map_or(0, |share| (share * 1e6) as u64))
        };
        let binding = pods.iter().max_by_key(most).map_or(Resource::Connections, |&(resource, _)| resource);
        let numbers: Option<Vec<u32>> = pods.iter().map(|(_, pods)| pods.number()).collect();
        let load = numbers.and_then(|numbers| numbers.into_iter().max());
        let survives =
            |&pods: &u32| Survival::of(pods, lose, goal, models).is_some_and(|all| all.survives(within));
        let resilient = load.and_then(|load| (load..=MOST_PODS).find(survives));
        let neighbours = resilient.or(load).map(|pods| pods.saturating_sub(2)..=pods + 2);
        let around =
            neighbours.into_iter().flatten().filter_map(|pods| Survival::of(pods, lose, goal, models));
        Self {
            load,
            binding,
            resilient: resilient.and_then(|pods| Survival::of(pods, lose, goal, models)),
            around: around.collect(),
            pods,
        }
    }
}

/// One of the runs that prove an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Test {
    /// What is played.
    pub proof: Proof,
    /// What it must come to; `None`: the pods are so close to enough that it may be either.
    pub expected: Option<Outcome>,
    /// What was computed of these pods.
    pub computed: Survival,
}

impl Answer {
    /// Those pods must survive the loss, and one fewer must not, where that one is missing by more than the resolution.
    /// Empty: nobody knows how many survive. One: of one fewer nobody would be left.
    pub fn tests(
        &self,
        goal: &Goal,
        models: &[Model],
        lose: u32,
        within: Duration,
        resolution: f64,
    ) -> Vec<Test> {
        let Some(enough) = self.resilient else { return Vec::new() };
        let test = |computed: Survival, expected| Test {
            proof: Proof { pods: computed.pods, lose, within },
            expected,
            computed,
        };
        let fewer = Survival::of(enough.pods - 1, lose, goal, models).map(|fewer| {
            let lacks = fewer.margin(within) < -resolution;
            test(fewer, lacks.then_some(Outcome::Failed))
        });
        std::iter::once(test(enough, Some(Outcome::Passed))).chain(fewer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::search::Found;
    use super::*;
    use crate::seed::Seed;

    /// Pods that neither hinder nor help each other.
    fn models(connections: f64, handshakes: f64, deliveries: f64) -> Vec<Model> {
        let all = [
            (Resource::Connections, connections),
            (Resource::Handshakes, handshakes),
            (Resource::Deliveries, deliveries),
            (Resource::SyncPages, 1_000.0),
        ];
        let model = |(resource, each): (Resource, f64)| {
            let found = (1..6).map(|pods| {
                let carried = each * f64::from(pods);
                (pods, Found::Between { carried, failed: carried * 1.001 })
            });
            Model::new(resource, found.collect(), &mut Seed(1).stream("answer", [0; 3]))
        };
        all.map(model).into()
    }

    const GOAL: Goal = Goal {
        connections: 1_000.0,
        handshakes: 50.0,
        deliveries: 4_000.0,
        sync_pages: 50.0,
        pages_per_reconnect: 1.0,
    };

    #[test]
    fn the_resource_that_asks_for_the_most_pods_binds() {
        let answer = Answer::new(&GOAL, &models(400.0, 100.0, 2_100.0), 1, Duration::from_secs(60));
        assert_eq!((answer.load, answer.binding), (Some(3), Resource::Connections));
        let answer = Answer::new(&GOAL, &models(400.0, 100.0, 900.0), 1, Duration::from_secs(60));
        assert_eq!((answer.load, answer.binding), (Some(5), Resource::Deliveries));
    }

    #[test]
    fn those_left_must_carry_the_load_and_take_the_others_clients_back_in_time() {
        // Three carry the load: of four one may die.
        let easy = Answer::new(&GOAL, &models(400.0, 100.0, 2_100.0), 1, Duration::from_secs(60));
        let survival = easy.resilient.expect("known");
        assert_eq!((survival.pods, survival.left, survival.storm), (4, 3, 250.0));
        assert!((survival.recovery.as_secs_f64() - 250.0 / 300.0).abs() < 1e-3, "{survival:?}");
        // 5 handshakes a second and pod: 1000 / n clients over n − 1 pods within 10 s takes six.
        let slow = Answer::new(&GOAL, &models(400.0, 5.0, 2_100.0), 1, Duration::from_secs(10));
        assert_eq!(slow.load, Some(10), "and 50 a second take ten to begin with");
        let idle = Goal { handshakes: 1.0, ..GOAL };
        let slow = Answer::new(&idle, &models(400.0, 5.0, 2_100.0), 1, Duration::from_secs(10));
        assert_eq!((slow.load, slow.resilient.map(|all| all.pods)), (Some(3), Some(5)));
        let around: Vec<(u32, bool)> =
            slow.around.iter().map(|all| (all.pods, all.recovery <= Duration::from_secs(10))).collect();
        assert_eq!(around, [(3, false), (4, false), (5, true), (6, true), (7, true)]);
    }

    #[test]
    fn a_reconnect_takes_the_pages_of_its_bridge_too() {
        // Of four pods one dies: 250 clients, 4 pages each, on three pods with 20 pages a second each.
        let goal = Goal { pages_per_reconnect: 4.0, ..GOAL };
        let mut models = models(400.0, 100.0, 2_100.0);
        let found = (1..6).map(|pods| {
            let carried = 20.0 * f64::from(pods);
            (pods, Found::Between { carried, failed: carried * 1.001 })
        });
        let mut stream = Seed(1).stream("answer", [0; 3]);
        models[3] = Model::new(Resource::SyncPages, found.collect(), &mut stream);
        let answer = Answer::new(&goal, &models, 1, Duration::from_secs(60));
        let survival = answer.resilient.expect("known");
        assert_eq!((survival.pods, survival.slowest), (4, Resource::SyncPages));
        assert!((survival.recovery.as_secs_f64() - 1_000.0 / 60.0).abs() < 1e-3, "{survival:?}");
        assert!((survival.margin(Duration::from_secs(60)) - 0.2).abs() < 1e-9, "connections: {survival:?}");
        assert!(survival.margin(Duration::from_secs(10)) < -0.3, "{survival:?}");
    }

    #[test]
    fn handshakes_that_were_never_the_limit_need_as_many_pods_as_the_pages_before_them() {
        // 10 pages a second and pod, and handshakes passed at all that the pages allow.
        let mut models = models(400.0, 100.0, 2_100.0);
        let behind = (1..6).map(|pods| (pods, Found::Behind { carried: 10.0 * f64::from(pods) }));
        let pages = (1..6).map(|pods| {
            let carried = 10.0 * f64::from(pods);
            (pods, Found::Between { carried, failed: carried * 1.001 })
        });
        let mut stream = Seed(1).stream("answer", [0; 3]);
        models[1] = Model::new(Resource::Handshakes, behind.collect(), &mut stream);
        models[3] = Model::new(Resource::SyncPages, pages.collect(), &mut stream);
        let goal = Goal { handshakes: 75.0, sync_pages: 75.0, ..GOAL };
        let answer = Answer::new(&goal, &models, 1, Duration::from_secs(60));
        assert_eq!((answer.load, answer.binding), (Some(8), Resource::SyncPages));
        assert!(answer.pods.contains(&(Resource::Handshakes, Pods::Behind(8))), "{:?}", answer.pods);
        assert!(answer.resilient.is_some());
        let answer = Answer::new(&GOAL, &models, 1, Duration::from_secs(60));
        assert_eq!((answer.load, answer.binding), (Some(5), Resource::SyncPages), "50/s: both were measured");
        let found = vec![(1, Found::Between { carried: 10.0, failed: 10.4 })];
        models[3] = Model::new(Resource::SyncPages, found, &mut stream);
        models[1] = Model::new(Resource::Handshakes, vec![(1, Found::Behind { carried: 10.0 })], &mut stream);
        let answer = Answer::new(&GOAL, &models, 1, Duration::from_secs(60));
        assert_eq!((answer.load, answer.binding), (None, Resource::SyncPages), "nobody knows of either");
    }

    #[test]
    fn the_pods_of_an_answer_must_survive_and_one_fewer_must_not_where_it_lacks_enough() {
        let within = Duration::from_secs(60);
        let tests = |connections: f64, lose| {
            let models = models(connections, 100.0, 2_100.0);
            let answer = Answer::new(&GOAL, &models, lose, within);
            let tests = answer.tests(&GOAL, &models, lose, within, 0.05);
            tests.into_iter().map(|test| (test.proof.pods, test.expected)).collect::<Vec<_>>()
        };
        let (pass, fail) = (Some(Outcome::Passed), Some(Outcome::Failed));
        assert_eq!(tests(400.0, 1), [(4, pass), (3, fail)]);
        // Two pods carry 990 of 1,000: too close to call.
        assert_eq!(tests(495.0, 1), [(4, pass), (3, None)]);
        assert_eq!(tests(1_200.0, 1), [(3, pass), (2, fail)], "deliveries");
        let alone = Goal { deliveries: 100.0, ..GOAL };
        let models = models(1_200.0, 100.0, 2_100.0);
        let answer = Answer::new(&alone, &models, 1, within);
        let tests = answer.tests(&alone, &models, 1, within, 0.05);
        assert_eq!(tests.len(), 1, "of one pod nobody would be left");
    }

    #[test]
    fn what_nobody_knows_is_not_answered() {
        let mut models = models(400.0, 100.0, 2_100.0);
        models[2] = Model::new(
            Resource::Deliveries,
            vec![(1, Found::AtLeast { carried: 900.0, unjudged: Some(950.0) })],
            &mut Seed(1).stream("answer", [0; 3]),
        );
        let answer = Answer::new(&GOAL, &models, 1, Duration::from_secs(60));
        assert_eq!((answer.load, answer.resilient), (None, None));
        assert_eq!(answer.binding, Resource::Deliveries);
        assert_eq!(answer.pods[2].1, Pods::MoreThan(1));
    }
}
