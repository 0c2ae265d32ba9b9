//! `junit.xml`: one case per objective, for the CI systems that read it.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::{Summary, sheet};
use crate::verdict::{Judged, Outcome};

/// A summary as JUnit XML. An inconclusive objective is an error, not a skipped case: most CI systems show a
/// skipped case as green, and not knowing is not green.
///
/// # Errors
///
/// None that a summary could cause.
pub fn render(summary: &Summary) -> Result<String, SerializeError> {
    let mut suite = TestSuite::new(format!("wavesoak {}", summary.profile));
    suite.set_time(Duration::try_from_secs_f64(summary.duration_s).unwrap_or_default());
    for (name, value) in [
        ("run_id", summary.run_id.clone()),
        ("seed", summary.seed.to_string()),
        ("target", summary.target.clone()),
        ("version", summary.version.clone()),
    ] {
        suite.add_property((name, value.as_str()));
    }
    suite.add_test_cases(summary.objectives.iter().map(case));
    let mut report = Report::new("wavesoak");
    report.add_test_suite(suite);
    report.to_string()
}

fn case(judged: &Judged) -> TestCase {
    let told = format!("{}: limit {}, observed {}", judged.outcome, judged.limit, sheet::observed(judged));
    let status = match judged.outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Failed => non_success(NonSuccessKind::Failure, judged, &told),
        Outcome::Inconclusive => non_success(NonSuccessKind::Error, judged, &told),
    };
    let mut case = TestCase::new(judged.name.as_str(), status);
    case.set_classname("objectives").set_system_out(told);
    case
}

fn non_success(kind: NonSuccessKind, judged: &Judged, told: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(judged.outcome.to_string()).set_message(told);
    if let Some(reason) = &judged.reason {
        status.set_description(reason.as_str());
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::verdict::judge;

    #[test]
    fn a_missed_objective_is_a_failure_and_an_open_one_an_error() {
        let (profile, mut collected) = (sample::profile(), sample::collected());
        collected.clients.never_ready = 1;
        collected.deliveries.unaudited = 1;
        let summary = Summary::new(&profile, &collected, &judge(&profile, &collected), &sample::info());
        let text = render(&summary).expect("XML");
        let report = Report::deserialize_from_str(&text).expect("reads back");
        assert_eq!((report.tests, report.failures, report.errors), (6, 1, 1), "{text}");
        assert!(text.contains("inconclusive: limit = 0, observed 0"), "{text}");
    }
}
