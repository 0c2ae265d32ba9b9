//! Objectives against what was collected: a three-valued outcome.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a run comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Failed before inconclusive before passed.
    pub outcome: Outcome,
    /// Every objective of the profile, then the always-judged ones that it does not name, then what no objective
    /// can express (a stop, a run in which nothing was owed).
    pub objectives: Vec<Judged>,
    /// The harness itself changed the outcome of an objective.
    pub bottleneck: bool,
    /// What the harness could not do, or could not see, in sentences.
    pub reasons: Vec<String>,
}

/// One objective, judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// As the profile names it.
    pub name: String,
    /// As a person would write it: `<= 500 ms`, `= 0 if exposed`.
    pub limit: String,
    /// What was seen, in `unit`; `None`: unknown, or never delivered (then `reason` says so).
    pub observed: Option<f64>,
    /// Of `observed`.
    pub unit: Unit,
    /// The result.
    pub outcome: Outcome,
    /// Why, when it is not simply met.
    pub reason: Option<String>,
}

/// What an observed number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Microseconds.
    Us,
    /// A share between 0 and 1.
    Share,
    /// A plain number.
    Count,
}

/// Passed, failed, or not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Soundly met.
    Passed,
    /// Soundly missed.
    Failed,
    /// The harness could not do its part, or could not see.
    Inconclusive,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Inconclusive => "inconclusive",
        })
    }
}
