//! What any number of pods carries of one resource, as far as what was found says.

use super::goal::Resource;
use super::search::Found;
use super::usl::{Fit, Point};
use crate::seed::Stream;

/// Of one resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Which.
    pub resource: Resource,
    /// What each number of pods was found to carry, ascending.
    pub found: Vec<(u32, Found)>,
    /// The law, where every number of pods reached a limit of its own and there are enough of them.
    pub fit: Option<Fit>,
}

/// How many pods carry a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pods {
    /// This number was measured to, and is the least that was.
    Measured(u32),
    /// By the law; 95 of 100 resampled laws agree.
    Fitted(u32),
    /// As many as another resource asks for: up to what that one carries, this one was carried too.
    Behind(u32),
    /// More than were measured, and nothing is said about how many.
    MoreThan(u32),
    /// By the law no number of pods does.
    None,
}

impl Pods {
    /// The number, if there is one.
    pub fn number(self) -> Option<u32> {
        match self {
            Self::Measured(pods) | Self::Fitted(pods) | Self::Behind(pods) => Some(pods),
            Self::MoreThan(_) | Self::None => None,
        }
    }
}

impl Model {
    /// From what was found, by pods.
    pub fn new(resource: Resource, mut found: Vec<(u32, Found)>, stream: &mut Stream) -> Self {
        found.sort_by_key(|&(pods, _)| pods);
        let limits: Option<Vec<Point>> =
            found.iter().map(|&(pods, found)| Some(Point { pods, carried: found.limit()? })).collect();
        let fit = limits.and_then(|points| Fit::to(&points, stream));
        Self { resource, found, fit }
    }

    /// What so many pods were seen to carry.
    pub fn measured(&self, pods: u32) -> Option<f64> {
        self.found.iter().find(|&&(measured, _)| measured == pods).and_then(|(_, found)| found.carried())
    }

    /// What so many pods carry: as measured, else by the law and with 95 % of confidence; `None`: nobody knows.
    pub fn carries(&self, pods: u32) -> Option<f64> {
        self.measured(pods).or_else(|| Some(self.fit.as_ref()?.carries(pods)[0]))
    }

    /// The least that one pod of any number carried, and in which number.
    pub fn per_pod(&self) -> Option<(f64, u32)> {
        let each =
            self.found.iter().filter_map(|(pods, found)| Some((found.carried()? / f64::from(*pods), *pods)));
        each.min_by(|one, other| one.0.total_cmp(&other.0))
    }

    /// On some number of pods another resource was the limit before this one was.
    pub fn is_behind(&self) -> bool {
        self.found.iter().any(|(_, found)| matches!(found, Found::Behind { .. }))
    }

    /// The fewest pods that carry this much. A number that was measured comes before one that was not.
    pub fn pods_for(&self, load: f64) -> Pods {
        let measured =
            self.found.iter().find(|(_, found)| found.carried().is_some_and(|carried| carried >= load));
        let fitted = self.fit.as_ref().map(|fit| fit.pods_for(load)[1]);
        match (measured, fitted) {
            (Some(&(measured, _)), Some(Some(fitted))) if fitted < measured && !self.is_measured(fitted) => {
                Pods::Fitted(fitted)
            }
            (Some(&(measured, _)), _) => Pods::Measured(measured),
            (None, Some(Some(fitted))) => Pods::Fitted(fitted),
            (None, Some(None)) => Pods::None,
            (None, None) => Pods::MoreThan(self.found.last().map_or(0, |&(pods, _)| pods)),
        }
    }

    fn is_measured(&self, pods: u32) -> bool {
        self.found.iter().any(|&(measured, _)| measured == pods)
    }

    /// In no number of pods was a limit of the target's own reached.
    pub fn is_unlimited(&self) -> bool {
        !self.found.iter().any(|(_, found)| matches!(found, Found::Between { .. } | Found::LessThan { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn between(carried: f64) -> Found {
        Found::Between { carried, failed: carried * 1.02 }
    }

    fn model(found: &[(u32, Found)]) -> Model {
        Model::new(Resource::Deliveries, found.to_vec(), &mut Seed(1).stream("model", [0; 3]))
    }

    #[test]
    fn with_few_pod_counts_nothing_is_said_beyond_them() {
        let model = model(&[(2, between(190.0)), (1, between(100.0)), (3, between(270.0))]);
        assert_eq!(model.fit, None);
        assert_eq!(model.per_pod(), Some((90.0, 3)));
        assert_eq!(model.pods_for(150.0), Pods::Measured(2));
        assert_eq!((model.pods_for(271.0), model.carries(4)), (Pods::MoreThan(3), None));
    }

    #[test]
    fn with_five_the_law_speaks_for_the_others() {
        let found: Vec<(u32, Found)> = (1..6).map(|pods| (pods, between(100.0 * f64::from(pods)))).collect();
        let model = model(&found);
        assert_eq!(model.pods_for(450.0), Pods::Measured(5));
        assert_eq!(model.pods_for(1_000.0), Pods::Fitted(10));
        assert!((model.carries(10).expect("fitted") - 1_010.0).abs() < 1.0);
    }

    #[test]
    fn between_measured_numbers_the_law_may_name_a_smaller_one() {
        let counts = [1, 2, 3, 4, 8];
        let found: Vec<(u32, Found)> =
            counts.iter().map(|&pods| (pods, between(100.0 * f64::from(pods)))).collect();
        assert_eq!(model(&found).pods_for(550.0), Pods::Fitted(6));
    }

    #[test]
    fn a_limit_that_nobody_reached_is_not_fitted() {
        let mut found: Vec<(u32, Found)> =
            (1..6).map(|pods| (pods, between(100.0 * f64::from(pods)))).collect();
        found[4].1 = Found::AtLeast { carried: 400.0, unjudged: Some(450.0) };
        let model = model(&found);
        assert_eq!(model.fit, None);
        assert_eq!(model.pods_for(401.0), Pods::MoreThan(5));
        assert!(!model.is_unlimited());
    }
}
