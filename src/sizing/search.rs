//! The search for what a fixed number of pods carries: double until an objective fails, then halve the interval.
//!
//! Pure: whoever plays the steps asks for the next load and tells what came of it. A load that failed once is played
//! again before it is believed, and one that could not be judged likewise.

use serde::{Deserialize, Serialize};

use crate::verdict::Outcome;

/// What a search has come to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "found")]
pub enum Found {
    /// The highest load that passed, and the lowest that failed twice: no further apart than the resolution.
    Between {
        /// Passed.
        carried: f64,
        /// Failed, and failed again.
        failed: f64,
    },
    /// No load failed, and no higher one could be judged (or was asked for).
    AtLeast {
        /// Passed.
        carried: f64,
        /// The load that could not be judged; `None`: the search was not to go higher.
        unjudged: Option<f64>,
    },
    /// No load failed up to what the pods carry of another resource, of which this one needs as much: that one is the
    /// limit.
    Behind {
        /// Passed.
        carried: f64,
    },
    /// Even the least load failed twice.
    LessThan {
        /// It.
        failed: f64,
    },
    /// Not even the least load could be judged.
    Nothing {
        /// It.
        unjudged: f64,
    },
}

impl Found {
    /// The highest load that passed.
    pub fn carried(self) -> Option<f64> {
        match self {
            Self::Between { carried, .. } | Self::AtLeast { carried, .. } | Self::Behind { carried } => {
                Some(carried)
            }
            Self::LessThan { .. } | Self::Nothing { .. } => None,
        }
    }

    /// Where the limit is, as far as it is known: in the middle between the highest load that passed and the lowest that
    /// failed twice, which are no further apart than the resolution.
    pub fn limit(self) -> Option<f64> {
        match self {
            Self::Between { carried, failed } => Some(f64::midpoint(carried, failed)),
            _ => None,
        }
    }

    /// Where a limit may be looked for on more pods: where it is, or where nobody could tell any more.
    pub fn hint(self) -> Option<f64> {
        match self {
            Self::AtLeast { carried, unjudged: Some(unjudged) } => Some(f64::midpoint(carried, unjudged)),
            found => found.limit(),
        }
    }

    /// It ended at a load that could not be judged.
    pub fn is_unjudged(self) -> bool {
        matches!(self, Self::AtLeast { unjudged: Some(_), .. } | Self::Nothing { .. })
    }
}

/// A search under way.
#[derive(Clone, Debug)]
pub struct Search {
    least: f64,
    most: f64,
    resolution: f64,
    /// The factor of the next step while only one side of the limit is known.
    growth: f64,
    passed: Option<f64>,
    failed: Option<f64>,
    unjudged: Option<f64>,
    next: Option<f64>,
    /// What the load at hand came to before.
    before: Option<Outcome>,
}

impl Search {
    /// Begins at `begin`, never below `least` nor above `most`; done when what failed is no more than `resolution`
    /// (0.05: 5 %) above what passed.
    pub fn new(least: f64, begin: f64, most: f64, resolution: f64) -> Self {
        let next = Some(begin.clamp(least, most));
        Self {
            least,
            most,
            resolution,
            growth: DOUBLE,
            passed: None,
            failed: None,
            unjudged: None,
            next,
            before: None,
        }
    }

    /// The same with a limit that is expected where it is: what passes and what fails is looked for just below and just
    /// above it, and further away in growing steps.
    pub fn near(least: f64, expected: f64, most: f64, resolution: f64) -> Self {
        let growth = 1.0 + resolution;
        Self { growth, ..Self::new(least, expected / growth.sqrt(), most, resolution) }
    }

    /// The load to play next; `None`: it is over.
    pub fn next(&self) -> Option<f64> {
        self.next
    }

    /// The load at hand has been played.
    pub fn tell(&mut self, outcome: Outcome) {
        let Some(load) = self.next else { return };
        let believed = match (outcome, self.before) {
            (Outcome::Passed, _) => Some(Outcome::Passed),
            (Outcome::Failed, Some(Outcome::Failed)) => Some(Outcome::Failed),
            (Outcome::Inconclusive, Some(Outcome::Inconclusive)) => Some(Outcome::Inconclusive),
            // Once neither way: the worse of the two is not believed, and whoever could not be judged did not pass.
            (_, Some(_)) => Some(Outcome::Inconclusive),
            (_, None) => None,
        };
        let Some(believed) = believed else {
            self.before = Some(outcome);
            return;
        };
        self.before = None;
        match believed {
            Outcome::Passed => self.passed = Some(load),
            Outcome::Failed => self.failed = Some(load),
            Outcome::Inconclusive => self.unjudged = Some(load),
        }
        self.next = self.choose();
        self.growth = (self.growth * self.growth).min(DOUBLE);
    }

    /// What it has come to; `None`: it is not over.
    pub fn found(&self) -> Option<Found> {
        if self.next.is_some() {
            return None;
        }
        Some(match (self.passed, self.failed, self.unjudged) {
            (Some(carried), Some(failed), None) => Found::Between { carried, failed },
            (Some(carried), _, unjudged) => Found::AtLeast { carried, unjudged },
            (None, Some(failed), None) => Found::LessThan { failed },
            (None, _, unjudged) => Found::Nothing { unjudged: unjudged.unwrap_or(self.least) },
        })
    }

    /// The lowest load that is known not to be carried, or not to be judged.
    fn ceiling(&self) -> Option<f64> {
        [self.failed, self.unjudged].into_iter().flatten().min_by(f64::total_cmp)
    }

    fn choose(&self) -> Option<f64> {
        match (self.passed, self.ceiling()) {
            (Some(passed), None) => (passed < self.most).then(|| (passed * self.growth).min(self.most)),
            (Some(passed), Some(ceiling)) => {
                (ceiling > passed * (1.0 + self.resolution)).then(|| f64::midpoint(passed, ceiling))
            }
            (None, Some(ceiling)) => (ceiling > self.least).then(|| (ceiling / self.growth).max(self.least)),
            (None, None) => Some(self.least),
        }
    }
}

/// The largest step while only one side of the limit is known.
const DOUBLE: f64 = 2.0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Plays against something that carries exactly `capacity` and can be judged up to `sight`.
    fn play(mut search: Search, capacity: f64, sight: f64) -> (Found, usize) {
        let mut steps = 0;
        while let Some(load) = search.next() {
            steps += 1;
            assert!(steps < 1000, "it ends");
            search.tell(match () {
                () if load > sight => Outcome::Inconclusive,
                () if load > capacity => Outcome::Failed,
                () => Outcome::Passed,
            });
        }
        (search.found().expect("over"), steps)
    }

    #[test]
    fn loads_are_doubled_and_then_the_interval_is_halved() {
        let mut search = Search::new(1.0, 10.0, 1e6, 0.2);
        let mut played = Vec::new();
        while let Some(load) = search.next() {
            played.push(load);
            search.tell(if load > 33.0 { Outcome::Failed } else { Outcome::Passed });
        }
        assert_eq!(played, [10.0, 20.0, 40.0, 40.0, 30.0, 35.0, 35.0]);
        assert_eq!(search.found(), Some(Found::Between { carried: 30.0, failed: 35.0 }));
    }

    #[test]
    fn a_limit_that_is_where_it_was_expected_takes_three_steps() {
        let (found, steps) = play(Search::near(1.0, 100.0, 1e6, 0.05), 100.0, 1e9);
        let Found::Between { carried, failed } = found else { panic!("{found:?}") };
        assert!(carried < 100.0 && 100.0 < failed && failed <= carried * 1.05 * (1.0 + 1e-9), "{found:?}");
        assert_eq!(steps, 3);
        assert!((found.limit().expect("between") - 100.0).abs() < 2.5);
    }

    #[test]
    fn a_failure_is_believed_when_it_comes_again_and_not_before() {
        let mut search = Search::new(1.0, 10.0, 20.0, 0.1);
        for outcome in [Outcome::Failed, Outcome::Passed, Outcome::Passed] {
            search.tell(outcome);
        }
        assert_eq!(search.found(), Some(Found::AtLeast { carried: 20.0, unjudged: None }));
    }

    #[test]
    fn what_cannot_be_judged_is_no_limit_of_the_target() {
        let (found, _) = play(Search::new(1.0, 10.0, 1e6, 0.05), f64::INFINITY, 170.0);
        let Found::AtLeast { carried, unjudged: Some(unjudged) } = found else { panic!("{found:?}") };
        assert!(carried <= 170.0 && unjudged > 170.0 && unjudged <= carried * 1.05);
        assert_eq!(play(Search::new(50.0, 100.0, 1e6, 0.05), 1e9, 10.0).0, Found::Nothing { unjudged: 50.0 });
    }

    #[test]
    fn a_target_that_carries_not_even_the_least_is_told_so() {
        assert_eq!(play(Search::new(8.0, 100.0, 1e6, 0.05), 3.0, 1e9).0, Found::LessThan { failed: 8.0 });
    }

    proptest! {
        #[test]
        fn a_capacity_is_found_to_the_resolution_in_few_steps(
            capacity in 10.0..1e6_f64,
            begin in 10.0..1e6_f64,
            resolution in 0.01..0.3_f64,
        ) {
            let (found, steps) = play(Search::new(10.0, begin, 1e7, resolution), capacity, f64::INFINITY);
            let Found::Between { carried, failed } = found else { panic!("{found:?}") };
            prop_assert!(carried <= capacity && capacity < failed);
            prop_assert!(failed <= carried * (1.0 + resolution));
            prop_assert!(steps < 64, "{steps}");
            let middle = found.limit().expect("between");
            prop_assert!((middle / capacity - 1.0).abs() <= resolution, "{middle} for {capacity}");
        }

        #[test]
        fn a_limit_that_is_not_where_it_was_expected_is_found_all_the_same(
            capacity in 10.0..1e6_f64,
            expected in 10.0..1e6_f64,
            resolution in 0.01..0.3_f64,
        ) {
            let (found, steps) = play(Search::near(10.0, expected, 1e7, resolution), capacity, f64::INFINITY);
            let Found::Between { carried, failed } = found else { panic!("{found:?}") };
            prop_assert!(carried <= capacity && capacity < failed);
            prop_assert!(failed <= carried * (1.0 + resolution) * (1.0 + 1e-9));
            prop_assert!(steps < 80, "{steps}");
        }
    }
}
