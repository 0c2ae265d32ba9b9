//! What was observed, as the range in which the truth lies once everything in doubt is allowed for.
//!
//! A limit that the whole range keeps is met, one that no part of it keeps is missed, anything else is not
//! known. Each rule about the harness's own part is one [`Doubt`] that widens the range.

use super::Outcome;
use super::limit::{kept_by_all, kept_by_some};
use crate::profile::Limit;

/// One observed number and what is in doubt about it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reading {
    /// The number; +∞ for the latency of what never arrived.
    pub value: f64,
    /// Something to say about it, whatever the outcome: "not delivered", which tenant, which hold.
    pub note: Option<String>,
    /// What is in doubt.
    pub doubts: Vec<Doubt>,
}

/// One reason why the truth may be elsewhere than at the observed number.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Doubt {
    /// As low as this.
    pub low: f64,
    /// As high as this.
    pub high: f64,
    /// The harness itself was short of something; else it could only not see.
    pub by_harness: bool,
    /// The reason, a sentence without a full stop.
    pub why: String,
}

/// A reading held against its limit.
pub(super) struct Assessment {
    /// The result.
    pub outcome: Outcome,
    /// The doubts that made it inconclusive.
    pub decisive: Vec<String>,
    /// Without the harness's own shortcomings the outcome would have been another.
    pub bottleneck: bool,
}

impl Reading {
    /// A number beyond doubt.
    pub(super) fn sure(value: f64) -> Self {
        Self { value, note: None, doubts: Vec::new() }
    }

    /// The same with a remark.
    pub(super) fn noted(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// The truth may be lower, by the harness's own doing.
    pub(super) fn or_lower(self, low: f64, why: impl Into<String>) -> Self {
        let high = self.value;
        self.doubted(Doubt { low, high, by_harness: true, why: why.into() })
    }

    /// The truth may be higher, by the harness's own doing.
    pub(super) fn or_higher(self, high: f64, why: impl Into<String>) -> Self {
        let low = self.value;
        self.doubted(Doubt { low, high, by_harness: true, why: why.into() })
    }

    /// The truth may be higher: nobody could look.
    pub(super) fn or_unseen_higher(self, high: f64, why: impl Into<String>) -> Self {
        let low = self.value;
        self.doubted(Doubt { low, high, by_harness: false, why: why.into() })
    }

    /// The truth may be lower: nobody could look.
    pub(super) fn or_unseen_lower(self, low: f64, why: impl Into<String>) -> Self {
        let high = self.value;
        self.doubted(Doubt { low, high, by_harness: false, why: why.into() })
    }

    /// Takes over the doubts that reach above its own number, each reason once.
    pub(super) fn widen_by_higher(&mut self, doubts: impl Iterator<Item = Doubt>) {
        for doubt in doubts.filter(|doubt| doubt.high > self.value) {
            if !self.doubts.iter().any(|own| own.why == doubt.why && own.high >= doubt.high) {
                self.doubts.push(Doubt { low: self.value, ..doubt });
            }
        }
    }

    /// Holds the reading against its limit.
    pub(super) fn against(&self, limit: &Limit) -> Assessment {
        let outcome = self.outcome(limit, |_| true);
        let decisive = if outcome == Outcome::Inconclusive { self.decisive(limit) } else { Vec::new() };
        let bottleneck = outcome != self.outcome(limit, |doubt| !doubt.by_harness);
        Assessment { outcome, decisive, bottleneck }
    }

    /// The doubts of which each alone leaves the outcome open; all of them when only together they do.
    fn decisive(&self, limit: &Limit) -> Vec<String> {
        let alone = |doubt: &&Doubt| self.outcome(limit, |other| other == *doubt) == Outcome::Inconclusive;
        let why = |doubt: &Doubt| doubt.why.clone();
        let deciding: Vec<String> = self.doubts.iter().filter(alone).map(why).collect();
        if deciding.is_empty() { self.doubts.iter().map(why).collect() } else { deciding }
    }

    fn doubted(mut self, doubt: Doubt) -> Self {
        self.doubts.push(doubt);
        self
    }

    fn outcome(&self, limit: &Limit, counts: impl Fn(&Doubt) -> bool) -> Outcome {
        let counting = || self.doubts.iter().filter(|doubt| counts(doubt));
        let low = counting().fold(self.value, |low, doubt| low.min(doubt.low));
        let high = counting().fold(self.value, |high, doubt| high.max(doubt.high));
        if kept_by_all(limit, low, high) {
            Outcome::Passed
        } else if kept_by_some(limit, low, high) {
            Outcome::Inconclusive
        } else {
            Outcome::Failed
        }
    }
}
