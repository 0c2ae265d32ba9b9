//! From what pods carry to how many there should be.

use std::time::Duration;

use super::goal::{Goal, Resource};
use super::model::{Model, Pods};
use super::usl::MOST_PODS;

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
    /// Until the last of them is back.
    pub recovery: Duration,
}

impl Survival {
    /// Of `lose` out of `pods`; `None`: not known, or nobody is left.
    fn of(pods: u32, lose: u32, goal: &Goal, models: &[Model]) -> Option<Self> {
        let left = pods.checked_sub(lose).filter(|&left| left > 0)?;
        let carries = |resource| {
            models.iter().find(|model| model.resource == resource).and_then(|model| model.carries(left))
        };
        let spare = |resource| Some((resource, carries(resource)? / goal.demand(resource) - 1.0));
        let spares = [spare(Resource::Connections)?, spare(Resource::Deliveries)?];
        let tightest = spares.into_iter().min_by(|one, other| one.1.total_cmp(&other.1))?;
        let storm = goal.connections * f64::from(lose) / f64::from(pods);
        let recovery = Duration::try_from_secs_f64(storm / carries(Resource::Handshakes)?).ok()?;
        Some(Self { pods, left, carries: tightest.1 >= 0.0, tightest, storm, recovery })
    }
}

impl Answer {
    /// For pods of which `lose` may die, and whose clients must all be back `within` this time.
    pub fn new(goal: &Goal, models: &[Model], lose: u32, within: Duration) -> Self {
        let pods: Vec<(Resource, Pods)> = models
            .iter()
            .map(|model| (model.resource, model.pods_for(goal.demand(model.resource))))
            .collect();
        // Nobody knows how many: more than any number.
        let most = |&&(_, pods): &&(Resource, Pods)| pods.number().unwrap_or(u32::MAX);
        let binding = pods.iter().max_by_key(most).map_or(Resource::Connections, |&(resource, _)| resource);
        let numbers: Option<Vec<u32>> = pods.iter().map(|(_, pods)| pods.number()).collect();
        let load = numbers.and_then(|numbers| numbers.into_iter().max());
        let survives = |&pods: &u32| {
            Survival::of(pods, lose, goal, models).is_some_and(|all| all.carries && all.recovery <= within)
        };
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

    const GOAL: Goal = Goal { connections: 1_000.0, handshakes: 50.0, deliveries: 4_000.0 };

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
