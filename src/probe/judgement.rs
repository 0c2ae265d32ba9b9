//! What a check says in the end.

use std::collections::BTreeMap;

use serde::Serialize;

/// In one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Looked at, and nothing is wrong.
    Healthy,
    /// Something is.
    Finding,
    /// Nobody can tell.
    Inconclusive,
    /// `--only` left it out.
    NotAsked,
}

impl Outcome {
    /// A finding is one whatever else could not be told.
    pub fn of(findings: &[Finding], unclear: &[String]) -> Self {
        if !findings.is_empty() {
            Self::Finding
        } else if !unclear.is_empty() {
            Self::Inconclusive
        } else {
            Self::Healthy
        }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// For scripts; never changes its meaning.
    pub name: &'static str,
    /// For people, in one line.
    pub symptom: String,
    /// What was seen, one thing a line.
    pub evidence: Vec<String>,
    /// Figures by name, units in the name.
    pub measured: BTreeMap<&'static str, f64>,
    /// What to do, in the page's words where it has some.
    pub remedy: String,
}

impl Finding {
    /// With nothing behind it yet.
    pub fn new(name: &'static str, symptom: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            name,
            symptom: symptom.into(),
            evidence: Vec::new(),
            measured: BTreeMap::new(),
            remedy: remedy.into(),
        }
    }

    /// One thing that was seen.
    #[must_use]
    pub fn because(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }

    /// One figure; rounded to a thousandth, for nobody measures better.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: f64) -> Self {
        self.measured.insert(name, (value * 1000.0).round() / 1000.0);
        self
    }
}

/// What this deployment does where the documentation says nothing: neither right nor wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Observation {
    /// For scripts; never changes its meaning.
    pub topic: &'static str,
    /// `false`: it could not be seen, and `what` says why.
    pub seen: bool,
    /// For people, in one line.
    pub what: String,
    /// Figures by name, units in the name.
    pub measured: BTreeMap<&'static str, f64>,
}

impl Observation {
    /// It was seen.
    pub fn new(topic: &'static str, what: impl Into<String>) -> Self {
        Self { topic, seen: true, what: what.into(), measured: BTreeMap::new() }
    }

    /// It was not, and why.
    pub fn unseen(topic: &'static str, why: impl Into<String>) -> Self {
        Self { seen: false, ..Self::new(topic, why) }
    }

    /// One figure, rounded as those of a [`Finding`].
    #[must_use]
    pub fn with(mut self, name: &'static str, value: f64) -> Self {
        self.measured.insert(name, (value * 1000.0).round() / 1000.0);
        self
    }
}

/// All that one check has to say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What could not be told, and why, in sentences.
    pub unclear: Vec<String>,
    /// What was seen and is as it should be, in sentences.
    pub seen: Vec<String>,
    /// What was seen where nobody says how it should be.
    pub observed: Vec<Observation>,
}

impl Judgement {
    /// Something is wrong.
    pub fn found(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Something could not be told.
    pub fn unclear(&mut self, why: impl Into<String>) {
        self.unclear.push(why.into());
    }

    /// Something is as it should be, or is worth knowing.
    pub fn saw(&mut self, what: impl Into<String>) {
        self.seen.push(what.into());
    }

    /// Something is as it is, and the documentation says nothing about it.
    pub fn observed(&mut self, observation: Observation) {
        self.observed.push(observation);
    }

    /// In one word.
    pub fn outcome(&self) -> Outcome {
        Outcome::of(&self.findings, &self.unclear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_outweighs_what_could_not_be_told() {
        let mut judgement = Judgement::default();
        judgement.saw("twelve streams");
        assert_eq!(judgement.outcome(), Outcome::Healthy);
        judgement.unclear("nobody pinged");
        assert_eq!(judgement.outcome(), Outcome::Inconclusive);
        judgement.found(Finding::new("x", "y", "z").with("timeout_s", 20.000_4));
        assert_eq!(judgement.outcome(), Outcome::Finding);
        assert_eq!(judgement.findings[0].measured["timeout_s"], 20.0);
    }
}
