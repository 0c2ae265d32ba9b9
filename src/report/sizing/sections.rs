//! The answer of `size pods` as people read it: its sections, for Markdown and for a terminal.

use super::savings::SavingsReport;
use super::{ProofReport, Report, ResourceReport, amount, with_unit};
use crate::report::sheet::{Cell, Mood, Section};
use crate::sizing::goal::Resource;
use crate::sizing::proof::Says;
use crate::sizing::search::Found;
use crate::verdict::Outcome;

/// The section that the plots of the steps belong to.
pub(super) const WHAT_PODS_CARRIED: &str = "What pods carried";

impl Report {
    pub(super) fn sections(&self) -> Vec<Section> {
        let all = [
            self.answer_section(),
            self.found_section(),
            self.survival_section(),
            self.proof_section(),
            self.savings.as_ref().map(SavingsReport::section).unwrap_or_default(),
            self.steps_section(),
        ];
        all.into_iter().filter(|section| !section.rows.is_empty() || !section.lines.is_empty()).collect()
    }

    fn answer_section(&self) -> Section {
        let rows = self.resources.iter().map(|resource| {
            let pods = resource.pods.map_or_else(|| open("not known"), |pods| number(&pods.to_string()));
            vec![
                word(resource.resource.name()),
                number(&with_unit(resource.demand, resource.resource)),
                resource
                    .per_pod
                    .map_or_else(|| open("not known"), |each| number(&with_unit(each, resource.resource))),
                pods,
                word(&resource.pods_by.replace('_', " ")),
            ]
        });
        Section {
            title: "Pods by resource",
            head: vec!["resource", "needed", "least per pod", "pods", "by"],
            rows: rows.collect(),
            lines: self.remarks.clone(),
        }
    }

    fn found_section(&self) -> Section {
        let rows = self.resources.iter().flat_map(|resource| {
            resource.found.iter().map(|found| {
                let (carried, failed) = told(&found.found, resource.resource);
                let limit = found.limit.map_or_else(String::new, |limit| with_unit(limit, resource.resource));
                let fitted = found.fitted.map_or_else(String::new, |[low, best, high]| {
                    format!("{} ({} to {})", amount(best), amount(low), amount(high))
                });
                vec![
                    word(resource.resource.name()),
                    number(&found.pods.to_string()),
                    number(&carried),
                    number(&failed),
                    number(&limit),
                    number(&fitted),
                ]
            })
        });
        let law = |resource: &ResourceReport| {
            let law = resource.law.as_ref()?;
            let coherency = if law.coherency_fixed {
                ", coherency taken as 0: four pod counts cannot tell it"
            } else {
                ""
            };
            Some(format!(
                "{}: {} per pod alone, contention {:.4}, coherency {:.5}{coherency}; no point is further than {:.1}% off",
                resource.resource,
                with_unit(law.lambda, resource.resource),
                law.sigma,
                law.kappa,
                law.largest_residual * 100.0
            ))
        };
        Section {
            title: WHAT_PODS_CARRIED,
            head: vec!["resource", "pods", "passed", "failed", "limit", "by the law"],
            rows: rows.collect(),
            lines: self.resources.iter().filter_map(law).collect(),
        }
    }

    fn survival_section(&self) -> Section {
        let rows = self.survival.iter().map(|all| {
            let recovery = format!("{:.1} s ({})", all.recovery_s, all.recovery_by);
            let verdict = if all.survives { ("survives", Mood::Good) } else { ("does not", Mood::Bad) };
            vec![
                number(&all.pods.to_string()),
                number(&all.left.to_string()),
                word(all.tightest.name()),
                number(&format!("{:+.0}%", all.headroom * 100.0)),
                number(&amount(all.storm)),
                number(&recovery),
                Cell { text: verdict.0.to_owned(), number: false, mood: verdict.1 },
            ]
        });
        Section {
            title: "When pods die",
            head: vec!["pods", "left", "tightest", "headroom", "reconnect", "all back after", ""],
            rows: rows.collect(),
            lines: Vec::new(),
        }
    }

    fn proof_section(&self) -> Section {
        let rows = self.proofs.iter().flat_map(|proof| {
            let expected = proof.expected.map_or_else(|| "either".to_owned(), |outcome| outcome.to_string());
            proof.runs.iter().map(move |run| {
                let measured = match run.recovery_us_max {
                    Some(_) if run.live_at_end < run.clients => open("not all are back"),
                    Some(most) => number(&format!("{:.1} s", most as f64 / 1e6)),
                    None => open("not known"),
                };
                vec![
                    number(&run.pods.to_string()),
                    number(&run.lose.to_string()),
                    number(&format!("{:+.0}%", proof.margin * 100.0)),
                    word(&expected),
                    outcome(run.outcome),
                    number(&format!("{} of {}", run.live_at_end, run.clients)),
                    number(&format!("{:.1} s", proof.recovery_s_computed)),
                    measured,
                    word(run.because.first().map_or("", String::as_str)),
                    word(run.run.as_deref().unwrap_or("not played")),
                ]
            })
        });
        Section {
            title: "Proof: the whole load, and pods die in mid-hold",
            head: vec![
                "pods",
                "lost",
                "to spare",
                "expected",
                "outcome",
                "live at the end",
                "all back, computed",
                "measured",
                "because",
                "run",
            ],
            lines: self.proofs.iter().map(said).collect(),
            rows: rows.collect(),
        }
    }

    fn steps_section(&self) -> Section {
        let rows = self.steps.iter().map(|step| {
            vec![
                number(&step.pods.to_string()),
                word(step.resource.name()),
                number(&with_unit(step.load, step.resource)),
                outcome(step.outcome),
                number(&format!("{:.0} s", step.window_s)),
                word(step.because.first().map_or("", String::as_str)),
                word(&step.run),
            ]
        });
        Section {
            title: "Steps",
            head: vec!["pods", "resource", "load", "outcome", "window", "because", "run"],
            rows: rows.collect(),
            lines: vec![format!("{} steps, {:.0} s", self.steps.len(), self.took_s)],
        }
    }
}

/// What the runs of a proof come to.
fn said(proof: &ProofReport) -> String {
    match (proof.says, proof.expected) {
        (Says::Confirmed, Some(Outcome::Passed)) => {
            format!("{} pods survive losing {}: shown", proof.pods, proof.lose)
        }
        (Says::Confirmed, _) => format!("{} pods do not: shown", proof.pods),
        (Says::Contradicted, Some(Outcome::Passed)) => format!(
            "{} pods do NOT survive losing {}, twice: the steps, each with one resource, say otherwise; believe the proof",
            proof.pods, proof.lose
        ),
        (Says::Contradicted, _) => format!(
            "{} pods survive losing {} as well, twice: the answer asks for more than it takes",
            proof.pods, proof.lose
        ),
        (Says::Open, None) => format!(
            "{} pods lack less than the resolution: the run shows what came of it, and proves nothing",
            proof.pods
        ),
        (Says::Open, Some(_)) => format!("of {} pods it could not be shown", proof.pods),
        (Says::NotPlayed, _) => {
            format!("with {} pods it was not played: this machine cannot hold the load", proof.pods)
        }
    }
}

/// Passed and failed, as people read it.
fn told(found: &Found, resource: Resource) -> (String, String) {
    let show = |load: f64| with_unit(load, resource);
    match *found {
        Found::Between { carried, failed } => (show(carried), show(failed)),
        Found::AtLeast { carried, unjudged: None } => (format!("at least {}", show(carried)), String::new()),
        Found::AtLeast { carried, unjudged: Some(unjudged) } => {
            (format!("at least {}", show(carried)), format!("{} could not be judged", show(unjudged)))
        }
        Found::Behind { carried } => (show(carried), "no more sync pages".to_owned()),
        Found::LessThan { failed } => (String::new(), show(failed)),
        Found::Nothing { unjudged } => (String::new(), format!("{} could not be judged", show(unjudged))),
    }
}

pub(super) fn outcome(outcome: Outcome) -> Cell {
    let mood = match outcome {
        Outcome::Passed => Mood::Good,
        Outcome::Failed => Mood::Bad,
        Outcome::Inconclusive => Mood::Open,
    };
    Cell { text: outcome.to_string(), number: false, mood }
}

fn word(text: &str) -> Cell {
    Cell { text: text.to_owned(), number: false, mood: Mood::Plain }
}

fn number(text: &str) -> Cell {
    Cell { text: text.to_owned(), number: true, mood: Mood::Plain }
}

pub(super) fn open(text: &str) -> Cell {
    Cell { text: text.to_owned(), number: true, mood: Mood::Open }
}
