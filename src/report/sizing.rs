//! The answer of `size pods`: one struct, as JSON, as Markdown, on a terminal.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::chart::Chart;
use super::sheet::{Cell, Mood, Section, grouped};
use super::{markdown, terminal};
use crate::sizing::answer::{Answer, Survival};
use crate::sizing::goal::{Goal, Resource};
use crate::sizing::model::{Model, Pods};
use crate::sizing::pods::{Evidence, Played, Sizing};
use crate::sizing::search::Found;
use crate::sizing::usl::Freedom;
use crate::verdict::Outcome;

/// `answer.json`; keys are only ever added.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `wavesoak.size-pods/1`
    pub schema: &'static str,
    /// Name of the profile.
    pub profile: String,
    /// Of wavesoak.
    pub version: &'static str,
    /// The load that is asked about.
    pub goal: Goal,
    /// Pods that may die.
    pub lose: u32,
    /// Seconds in which their clients must be back.
    pub recover_within_s: f64,
    /// How closely limits were found: 0.05 is 5 %.
    pub resolution: f64,
    /// Seconds for which each step held its load.
    pub window_s: f64,
    /// The fewest pods that carry the load; null: not known.
    pub pods: Option<u32>,
    /// The fewest so that `lose` may die; null: not known.
    pub pods_with_loss: Option<u32>,
    /// Pods while a rolling update replaces one after the other and none may be missing: one more.
    pub pods_in_update: Option<u32>,
    /// The resource that asks for the most pods, or of which nobody knows.
    pub binding: Resource,
    /// Why there is no number, or how far it reaches.
    pub remarks: Vec<String>,
    /// What was found, by resource.
    pub resources: Vec<ResourceReport>,
    /// What happens when pods die, for numbers of pods around the answer.
    pub survival: Vec<SurvivalReport>,
    /// Every step, with the run that shows it.
    pub steps: Vec<Played>,
}

/// One resource.
#[derive(Clone, Debug, Serialize)]
pub struct ResourceReport {
    /// Which.
    pub resource: Resource,
    /// How much of it the goal needs.
    pub demand: f64,
    /// The fewest pods that carry it; null: not known.
    pub pods: Option<u32>,
    /// `measured`, `fitted`, `more_than_measured`, `none`.
    pub pods_by: &'static str,
    /// The least that one pod carried.
    pub per_pod: Option<f64>,
    /// By pods.
    pub found: Vec<FoundReport>,
    /// The law, where there are points enough.
    pub law: Option<LawReport>,
}

/// What one number of pods carries.
#[derive(Clone, Debug, Serialize)]
pub struct FoundReport {
    /// Pods.
    pub pods: u32,
    /// What the search came to.
    #[serde(flatten)]
    pub found: Found,
    /// By the law: 5 %, best, 95 %.
    pub fitted: Option<[f64; 3]>,
}

/// The Universal Scalability Law.
#[derive(Clone, Debug, Serialize)]
pub struct LawReport {
    /// What one pod carries alone.
    pub lambda: f64,
    /// Contention.
    pub sigma: f64,
    /// Coherency.
    pub kappa: f64,
    /// There were too few points to tell coherency: it is taken as 0.
    pub coherency_fixed: bool,
    /// The largest distance of a point from the law, as a share.
    pub largest_residual: f64,
}

/// What becomes of so many pods.
#[derive(Clone, Debug, Serialize)]
pub struct SurvivalReport {
    /// Before.
    pub pods: u32,
    /// After.
    pub left: u32,
    /// Those left carry everybody, and everybody is back in time.
    pub survives: bool,
    /// Of which they have the least to spare.
    pub tightest: Resource,
    /// How much: 0.2 is a fifth more than needed; below 0 it is missing.
    pub headroom: f64,
    /// Clients that reconnect.
    pub storm: f64,
    /// Until the last is back, by the handshakes that those left carry.
    pub recovery_s: f64,
}

/// The section that the plots belong to.
const WHAT_PODS_CARRIED: &str = "What pods carried";

impl Report {
    /// Everything that is said.
    pub fn new(
        sizing: &Sizing,
        evidence: &Evidence,
        models: &[Model],
        answer: &Answer,
        lose: u32,
        within: Duration,
    ) -> Self {
        let resilient = answer.resilient.map(|survival| survival.pods);
        Self {
            schema: "wavesoak.size-pods/1",
            profile: sizing.profile.name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            goal: sizing.goal,
            lose,
            recover_within_s: within.as_secs_f64(),
            resolution: sizing.resolution,
            window_s: sizing.terms.window.as_secs_f64(),
            pods: answer.load,
            pods_with_loss: resilient,
            pods_in_update: resilient.map(|pods| pods + 1),
            binding: answer.binding,
            remarks: remarks(sizing, models, answer),
            resources: models.iter().map(|model| resource(model, &sizing.goal, answer)).collect(),
            survival: answer.around.iter().map(|all| survival(all, within)).collect(),
            steps: evidence.steps.clone(),
        }
    }

    /// `answer.json`
    ///
    /// # Errors
    ///
    /// A number that JSON has no word for.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        let mut json = serde_json::to_string_pretty(self)?;
        json.push('\n');
        Ok(json)
    }

    /// `answer.md`, with these plots beside it.
    pub fn markdown(&self, charts: &[Chart]) -> String {
        let mut text = format!("# {}\n", self.headline());
        for section in self.sections() {
            markdown::render_section(&section, &mut text);
            if section.title == WHAT_PODS_CARRIED {
                text.extend(charts.iter().map(Chart::markdown));
            }
        }
        text
    }

    /// For a terminal of this many columns.
    pub fn text(&self, columns: u16) -> String {
        let mut text = String::new();
        for section in self.sections() {
            terminal::render_section(&section, columns, &mut text);
        }
        let _ = writeln!(text, "\x1b[1m{}\x1b[0m", self.headline());
        text
    }

    /// One line.
    pub fn headline(&self) -> String {
        let goal = format!("{} clients of profile {}", amount(self.goal.connections), self.profile);
        match (self.pods, self.pods_with_loss) {
            (Some(pods), Some(resilient)) => format!(
                "{resilient} pods for {goal}: {pods} carry the load ({} bind), {resilient} also when {} of them die",
                self.binding, self.lose
            ),
            (Some(pods), None) => {
                format!(
                    "{pods} pods carry {goal} ({} bind); how many survive losing {} is not known",
                    self.binding, self.lose
                )
            }
            (None, _) => format!("how many pods {goal} need is not known: {} bind", self.binding),
        }
    }

    fn sections(&self) -> Vec<Section> {
        let all =
            [self.answer_section(), self.found_section(), self.survival_section(), self.steps_section()];
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
                let fitted = found.fitted.map_or_else(String::new, |[low, best, high]| {
                    format!("{} ({} to {})", amount(best), amount(low), amount(high))
                });
                vec![
                    word(resource.resource.name()),
                    number(&found.pods.to_string()),
                    number(&carried),
                    number(&failed),
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
            head: vec!["resource", "pods", "passed", "failed", "by the law"],
            rows: rows.collect(),
            lines: self.resources.iter().filter_map(law).collect(),
        }
    }

    fn survival_section(&self) -> Section {
        let rows = self.survival.iter().map(|all| {
            let verdict = if all.survives { ("survives", Mood::Good) } else { ("does not", Mood::Bad) };
            vec![
                number(&all.pods.to_string()),
                number(&all.left.to_string()),
                word(all.tightest.name()),
                number(&format!("{:+.0}%", all.headroom * 100.0)),
                number(&amount(all.storm)),
                number(&format!("{:.1} s", all.recovery_s)),
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

    fn steps_section(&self) -> Section {
        let rows = self.steps.iter().map(|step| {
            let mood = match step.outcome {
                Outcome::Passed => Mood::Good,
                Outcome::Failed => Mood::Bad,
                Outcome::Inconclusive => Mood::Open,
            };
            vec![
                number(&step.pods.to_string()),
                word(step.resource.name()),
                number(&with_unit(step.load, step.resource)),
                Cell { text: step.outcome.to_string(), number: false, mood },
                word(step.because.first().map_or("", String::as_str)),
                word(&step.run),
            ]
        });
        Section {
            title: "Steps",
            head: vec!["pods", "resource", "load", "outcome", "because", "run"],
            rows: rows.collect(),
            lines: Vec::new(),
        }
    }
}

fn resource(model: &Model, goal: &Goal, answer: &Answer) -> ResourceReport {
    let pods = answer.pods.iter().find(|(resource, _)| *resource == model.resource).map(|&(_, pods)| pods);
    let pods = pods.unwrap_or(Pods::None);
    ResourceReport {
        resource: model.resource,
        demand: goal.demand(model.resource),
        pods: pods.number(),
        pods_by: match pods {
            Pods::Measured(_) => "measured",
            Pods::Fitted(_) => "fitted",
            Pods::MoreThan(_) => "more_than_measured",
            Pods::None => "none",
        },
        per_pod: model.per_pod().map(|(each, _)| each),
        found: model
            .found
            .iter()
            .map(|&(pods, found)| FoundReport {
                pods,
                found,
                fitted: model.fit.as_ref().map(|fit| fit.carries(pods)),
            })
            .collect(),
        law: model.fit.as_ref().map(|fit| LawReport {
            lambda: fit.law.lambda,
            sigma: fit.law.sigma,
            kappa: fit.law.kappa,
            coherency_fixed: fit.freedom == Freedom::WithoutCoherency,
            largest_residual: fit.residuals.iter().map(|residual| residual.abs()).fold(0.0, f64::max),
        }),
    }
}

fn survival(all: &Survival, within: Duration) -> SurvivalReport {
    SurvivalReport {
        pods: all.pods,
        left: all.left,
        survives: all.carries && all.recovery <= within,
        tightest: all.tightest.0,
        headroom: all.tightest.1,
        storm: all.storm,
        recovery_s: all.recovery.as_secs_f64(),
    }
}

fn remarks(sizing: &Sizing, models: &[Model], answer: &Answer) -> Vec<String> {
    let mut remarks = Vec::new();
    for model in models {
        let resource = model.resource;
        let highest = model.found.iter().filter_map(|(_, found)| found.carried()).fold(0.0, f64::max);
        if model.found.iter().any(|(_, found)| found.is_generators()) {
            remarks.push(format!(
                "{resource}: at least {}, the generator was the limit",
                with_unit(highest, resource)
            ));
        }
        let pods = answer.pods.iter().find(|(other, _)| *other == resource).map(|&(_, pods)| pods);
        match pods {
            Some(Pods::MoreThan(most)) => remarks.push(format!(
                "{resource}: {} are needed, and {most} pods carry {}; nothing is said about more than were played: name \
                 further ones with --pods (five give a law)",
                with_unit(sizing.goal.demand(resource), resource),
                with_unit(highest, resource)
            )),
            Some(Pods::None) => remarks.push(format!(
                "{resource}: by the law no number of pods carries {}: they cost each other more than they add",
                with_unit(sizing.goal.demand(resource), resource)
            )),
            _ => {}
        }
        if model.fit.is_none() && !model.is_unlimited() {
            remarks.push(format!(
                "{resource}: no law (it takes four pod counts that reached a limit, five to tell coherency)"
            ));
        }
    }
    remarks.push(
        "handshakes are upgrades, each behind the sync request that the documented client makes first; measured without \
         permessage-deflate, which browsers offer and servers pay for"
            .to_owned(),
    );
    remarks
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
        Found::LessThan { failed } => (String::new(), show(failed)),
        Found::Nothing { unjudged } => (String::new(), format!("{} could not be judged", show(unjudged))),
    }
}

fn with_unit(load: f64, resource: Resource) -> String {
    format!("{}{}", amount(load), resource.unit())
}

/// Whole numbers with their thousands apart; below a hundred with a decimal.
fn amount(load: f64) -> String {
    if load < 100.0 && load.fract() != 0.0 { format!("{load:.1}") } else { grouped(load.round() as u64) }
}

fn word(text: &str) -> Cell {
    Cell { text: text.to_owned(), number: false, mood: Mood::Plain }
}

fn number(text: &str) -> Cell {
    Cell { text: text.to_owned(), number: true, mood: Mood::Plain }
}

fn open(text: &str) -> Cell {
    Cell { text: text.to_owned(), number: true, mood: Mood::Open }
}
