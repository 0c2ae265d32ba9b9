//! Objectives against what was collected: a three-valued outcome.

mod limit;
mod read;
mod reading;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::collector::collected::{Collected, HookEnd};
use crate::profile::{Limit, LimitUnit, Objective, Profile, Subject, TrafficMode};
use read::Absent;
use reading::Reading;

/// Judges a run, be it over or cut short: every objective of the profile, then what is always judged.
pub fn judge(profile: &Profile, collected: &Collected) -> Verdict {
    let mut bench =
        Bench { profile, collected, objectives: Vec::new(), bottleneck: false, reasons: Vec::new() };
    for objective in &profile.objectives {
        bench.judge(objective);
    }
    bench.judge_what_is_always_judged();
    bench.judge_what_only_shows_when_wrong();
    bench.verdict()
}

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

/// Where the judged objectives pile up.
struct Bench<'a> {
    profile: &'a Profile,
    collected: &'a Collected,
    objectives: Vec<Judged>,
    bottleneck: bool,
    reasons: Vec<String>,
}

impl Bench<'_> {
    /// An objective of the profile.
    fn judge(&mut self, objective: &Objective) {
        let Objective { name, limit } = objective;
        let reading = match Subject::parse(name) {
            Ok(subject) => read::read(subject, limit, self.profile, self.collected),
            Err(_) => Err(Absent::NoSuchName),
        };
        match reading {
            Ok(reading) => self.hold(name, limit, &reading),
            Err(absent) => self.without_a_number(name, limit, absent),
        }
    }

    /// Loosened only by name (design.md).
    fn judge_what_is_always_judged(&mut self) {
        for (name, limit) in [
            ("live", limit::at_least(0.99, LimitUnit::Share)),
            ("acknowledged", limit::at_least(0.99, LimitUnit::Share)),
            ("never_ready", limit::zero()),
        ] {
            self.judge_unless_named(name, limit);
        }
    }

    /// What no profile need name, and no run may do: shown only when it did, or when nobody can tell.
    fn judge_what_only_shows_when_wrong(&mut self) {
        for name in ["undecided", "auth_failed", "evicted"] {
            self.unless_passed(|bench| bench.judge_unless_named(name, limit::zero()));
        }
        for name in ["leaked", "leaked_room"] {
            // Always a failure, whatever a profile allows.
            let failed = |judged: &Judged| same(&judged.name, name) && judged.outcome == Outcome::Failed;
            if !self.objectives.iter().any(failed) {
                let never = Objective { name: name.to_owned(), limit: limit::zero() };
                self.unless_passed(|bench| bench.judge(&never));
            }
        }
        if read::traffic_planned(self.profile) {
            self.unless_passed(Self::judge_what_was_offered);
        }
        if read::traffic_planned(self.profile) || self.profile.traffic.mode == TrafficMode::Observe {
            self.unless_passed(Self::judge_what_was_owed);
        }
        if self.collected.sync_load.intended > 0 {
            for (name, reading) in read::sync_load(self.collected) {
                self.unless_passed(|bench| {
                    bench.hold(name, &limit::at_least(0.99, LimitUnit::Share), &reading);
                });
            }
        }
        self.judge_the_hooks();
        self.judge_the_end();
    }

    /// With less load than planned a pass proves nothing.
    fn judge_what_was_offered(&mut self) {
        if self.collected.publishes.intended > 0 {
            let offered = read::offered(self.collected);
            self.hold("offered", &limit::at_least(0.99, LimitUnit::Share), &offered);
        }
    }

    /// With nothing owed neither.
    fn judge_what_was_owed(&mut self) {
        let expected = self.collected.deliveries.expected as f64;
        let why = "nothing was owed to anybody, so nothing was shown";
        let owed = Reading::sure(expected).or_unseen_higher(f64::INFINITY, why);
        self.hold("deliveries.expected", &limit::at_least(1.0, LimitUnit::Count), &owed);
    }

    /// What a command was to do, or to take back, did not happen (ours: inconclusive, for the target had no part in it).
    fn judge_the_hooks(&mut self) {
        let failed = self.collected.hooks.iter().filter(|hook| hook.end != HookEnd::Done).count();
        if failed > 0 {
            let reason = format!("{failed} commands did not succeed (hooks, run.log)");
            self.objectives.push(Judged {
                name: "hooks".to_owned(),
                limit: "every command succeeds".to_owned(),
                observed: Some(failed as f64),
                unit: Unit::Count,
                outcome: Outcome::Inconclusive,
                reason: Some(reason.clone()),
            });
            self.reasons.push(reason);
        }
    }

    fn judge_the_end(&mut self) {
        let harness = &self.collected.harness;
        let early = |outcome, reason: String| Judged {
            name: "complete".to_owned(),
            limit: "runs to its end".to_owned(),
            observed: None,
            unit: Unit::Count,
            outcome,
            reason: Some(reason),
        };
        if let Some(condition) = &harness.stopped_by {
            self.objectives.push(early(Outcome::Failed, format!("stopped: {condition}")));
        } else if harness.interrupted {
            self.objectives.push(early(Outcome::Inconclusive, "interrupted".to_owned()));
            self.reasons.push("the run was interrupted".to_owned());
        }
    }

    fn judge_unless_named(&mut self, name: &str, limit: Limit) {
        if !self.objectives.iter().any(|judged| same(&judged.name, name)) {
            self.judge(&Objective { name: name.to_owned(), limit });
        }
    }

    /// Forgets what `judge` added where it passed.
    fn unless_passed(&mut self, judge: impl FnOnce(&mut Self)) {
        let before = self.objectives.len();
        judge(self);
        let mut index = 0;
        self.objectives.retain(|judged| {
            index += 1;
            index <= before || judged.outcome != Outcome::Passed
        });
    }

    fn hold(&mut self, name: &str, limit: &Limit, reading: &Reading) {
        let assessment = reading.against(limit);
        self.bottleneck |= assessment.bottleneck;
        let said: Vec<String> = reading.note.iter().chain(&assessment.decisive).cloned().collect();
        for reason in assessment.decisive {
            if !self.reasons.contains(&reason) {
                self.reasons.push(reason);
            }
        }
        self.objectives.push(Judged {
            name: name.to_owned(),
            limit: limit::text(limit),
            observed: reading.value.is_finite().then_some(reading.value),
            unit: limit::unit(limit.unit),
            outcome: assessment.outcome,
            reason: (!said.is_empty()).then(|| said.join("; ")),
        });
    }

    /// Absent is never 0 and never green, unless the profile says that it may be absent.
    fn without_a_number(&mut self, name: &str, limit: &Limit, absent: Absent) {
        let (outcome, reason) = match absent {
            Absent::NotApplicable(why) => (Outcome::Passed, why),
            Absent::Unknown(why) if limit.if_exposed => (Outcome::Passed, why),
            Absent::Unknown(why) => (Outcome::Inconclusive, why),
            Absent::NoSuchName => (Outcome::Inconclusive, "nothing is counted by this name".to_owned()),
        };
        if outcome == Outcome::Inconclusive {
            self.reasons.push(format!("{name}: {reason}"));
        }
        self.objectives.push(Judged {
            name: name.to_owned(),
            limit: limit::text(limit),
            observed: None,
            unit: limit::unit(limit.unit),
            outcome,
            reason: Some(reason),
        });
    }

    fn verdict(self) -> Verdict {
        let any = |outcome| self.objectives.iter().any(|judged| judged.outcome == outcome);
        let outcome = if any(Outcome::Failed) {
            Outcome::Failed
        } else if any(Outcome::Inconclusive) {
            Outcome::Inconclusive
        } else {
            Outcome::Passed
        };
        Verdict { outcome, objectives: self.objectives, bottleneck: self.bottleneck, reasons: self.reasons }
    }
}

/// Both names mean the same thing.
fn same(one: &str, other: &str) -> bool {
    Subject::parse(one).is_ok_and(|one| Subject::parse(other) == Ok(one))
}
