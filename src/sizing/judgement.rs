//! What a run says of its target, as a sizing takes it: the same of a step, of a proof, and of a storm.

use crate::report::Summary;
use crate::verdict::Outcome;

/// The verdict of a run, and what it rests on.
pub(super) struct Judgement {
    pub outcome: Outcome,
    /// Objectives that were not met, and what the harness says of itself.
    pub because: Vec<String>,
    /// The harness itself changed the outcome.
    pub bottleneck: bool,
    /// How late the harness was, where that is why there is no verdict.
    pub late: Option<String>,
}

impl Judgement {
    /// Whoever is served late by its own machine cannot tell what a target has failed to do in time, whatever the objective
    /// is about (ours): such a failure is nobody's. Lag only ever adds to a latency, so that what passed has passed.
    pub(super) fn of(summary: &Summary) -> Self {
        let missed = summary.objectives.iter().filter(|judged| judged.outcome != Outcome::Passed);
        let missed = missed.map(|judged| match &judged.reason {
            Some(reason) => format!("{} {}: {reason}", judged.name, judged.limit),
            None => format!("{} {}", judged.name, judged.limit),
        });
        let lag = summary.harness.loop_lag_us_p99.unwrap_or(0);
        let late = (summary.verdict == Outcome::Failed && lag >= LAG_MOST_US)
            .then(|| format!("the harness itself was late: its own timers by {} ms (p99)", lag / 1_000));
        let because =
            late.clone().into_iter().chain(missed).chain(summary.harness.reasons.iter().cloned()).collect();
        Self {
            outcome: if late.is_some() { Outcome::Inconclusive } else { summary.verdict },
            because,
            bottleneck: late.is_some() || summary.harness.bottleneck,
            late,
        }
    }
}

/// See [`Judgement::of`].
const LAG_MOST_US: u64 = 250_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::verdict;

    #[test]
    fn what_fails_while_the_harness_itself_is_late_is_not_the_targets_failure() {
        let (profile, collected) = (sample::profile(), sample::collected());
        let verdict = verdict::judge(&profile, &collected);
        let mut summary = Summary::new(&profile, &collected, &verdict, &sample::info());
        let mut judged = |outcome, lag| {
            (summary.verdict, summary.harness.loop_lag_us_p99) = (outcome, Some(lag));
            let judgement = Judgement::of(&summary);
            (judgement.outcome, judgement.because.first().is_some_and(|why| why.contains("600 ms")))
        };
        assert_eq!(judged(Outcome::Failed, 600_000), (Outcome::Inconclusive, true));
        assert_eq!(judged(Outcome::Failed, 20_000), (Outcome::Failed, false));
        assert_eq!(judged(Outcome::Passed, 600_000), (Outcome::Passed, false), "lag only adds");
    }
}
