//! The answer of `size pods`: one struct, as JSON, as Markdown, on a terminal.

mod remarks;
mod savings;
mod sections;

use std::time::Duration;

use serde::Serialize;

use self::savings::SavingsReport;
use self::sections::WHAT_PODS_CARRIED;
use super::chart::{self, Chart, ChartError};
use super::sheet::grouped;
use super::{markdown, terminal};
use crate::sizing::answer::{Answer, Survival, Test};
use crate::sizing::goal::{Goal, Resource};
use crate::sizing::model::{Model, Pods};
use crate::sizing::pods::{Evidence, Played, Sizing};
use crate::sizing::proof::{Proven, Says};
use crate::sizing::prove::Shown;
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
    /// Pods while a rolling update replaces one after the other (surge 1, unavailable 0) and a loss must still be survived:
    /// one more.
    pub pods_in_update: Option<u32>,
    /// The resource that asks for the most pods, or of which nobody knows.
    pub binding: Resource,
    /// Why there is no number, or how far it reaches.
    pub remarks: Vec<String>,
    /// What was found, by resource.
    pub resources: Vec<ResourceReport>,
    /// What happens when pods die, for numbers of pods around the answer.
    pub survival: Vec<SurvivalReport>,
    /// The load on those pods, some of which die, and on one fewer.
    pub proofs: Vec<ProofReport>,
    /// The storm of the first proof, and what other ways of coming back from it save; null: it was not played.
    pub savings: Option<SavingsReport>,
    /// Every step, with the run that shows it.
    pub steps: Vec<Played>,
    /// Seconds that the steps took, all together.
    pub took_s: f64,
}

/// One proof.
#[derive(Clone, Debug, Serialize)]
pub struct ProofReport {
    /// Pods before.
    pub pods: u32,
    /// Of these, so many died in mid-hold.
    pub lose: u32,
    /// `passed`, `failed`; null: so close that it may be either.
    pub expected: Option<Outcome>,
    /// Whether it came as expected.
    pub says: Says,
    /// What the tightest resource, or the time to recover, has to spare by the steps.
    pub margin: f64,
    /// Until the last client is back, by the steps.
    pub recovery_s_computed: f64,
    /// The same as it was measured, in the last run; null: not everybody came back.
    pub recovery_s_measured: Option<f64>,
    /// As they were played; the last one decides.
    pub runs: Vec<Proven>,
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
    /// Where the limit is: in the middle between what passed and what failed, which is no further off than half of what is
    /// between them. Null: no limit of the pods' own was reached. What pods are counted on to carry is `carried`.
    pub limit: Option<f64>,
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
    /// Until the last is back, by the handshakes and the sync pages that those left carry.
    pub recovery_s: f64,
    /// Which of the two takes the longer.
    pub recovery_by: Resource,
}

/// What is drawn, by the section that it belongs to.
#[derive(Clone, Debug, Default)]
pub struct Plots {
    /// Load against latency, and capacity against pods.
    pub steps: Vec<Chart>,
    /// How clients came back from the storm of the proof.
    pub storm: Vec<Chart>,
}

impl Plots {
    /// Each is a file of its own.
    pub fn all(&self) -> impl Iterator<Item = &Chart> {
        self.steps.iter().chain(&self.storm)
    }
}

impl Report {
    /// Everything that is said.
    pub fn new(
        sizing: &Sizing,
        evidence: &Evidence,
        models: &[Model],
        answer: &Answer,
        lose: u32,
        within: Duration,
        shown: &Shown,
    ) -> Self {
        let resilient = answer.resilient.map(|survival| survival.pods);
        Self {
            schema: "wavesoak.size-pods/1",
            profile: sizing.profile.name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            goal: sizing.goal,
            lose,
            recover_within_s: within.as_secs_f64(),
            resolution: sizing.terms.resolution,
            window_s: sizing.terms.window.as_secs_f64(),
            pods: answer.load,
            pods_with_loss: resilient,
            pods_in_update: resilient.map(|pods| pods + 1),
            binding: answer.binding,
            remarks: remarks::of(sizing, evidence, models, answer, shown),
            resources: models.iter().map(|model| resource(model, &sizing.goal, answer)).collect(),
            survival: answer.around.iter().map(|all| survival(all, within)).collect(),
            proofs: shown.proofs.iter().map(|(test, runs)| proof(test, runs, within)).collect(),
            savings: shown.weathered.as_ref().map(SavingsReport::new),
            steps: evidence.steps.clone(),
            took_s: evidence.steps.iter().map(|step| step.took_s).sum(),
        }
    }

    /// The pods of the answer did not survive when it was played.
    pub fn is_refuted(&self) -> bool {
        self.proofs
            .iter()
            .any(|proof| proof.says == Says::Contradicted && proof.expected == Some(Outcome::Passed))
    }

    /// A proof came otherwise than the answer has it, or came to nothing.
    pub fn is_unproven(&self) -> bool {
        let open = |proof: &ProofReport| proof.says == Says::Open && proof.expected.is_some();
        self.proofs.iter().any(|proof| proof.says == Says::Contradicted || open(proof))
    }

    /// The plots that [`Self::markdown`] shows.
    ///
    /// # Errors
    ///
    /// What cannot be drawn.
    pub fn plots(&self) -> Result<Plots, ChartError> {
        let storm = self.savings.as_ref().map_or_else(|| Ok(Vec::new()), SavingsReport::charts)?;
        Ok(Plots { steps: chart::pods::charts(&self.resources, &self.steps)?, storm })
    }

    /// `answer.md`, with these plots beside it.
    pub fn markdown(&self, plots: &Plots) -> String {
        let mut text = format!("# {}\n", self.headline());
        for section in self.sections() {
            markdown::render_section(&section, &mut text);
            let charts: &[Chart] = match section.title {
                WHAT_PODS_CARRIED => &plots.steps,
                savings::TITLE => &plots.storm,
                _ => &[],
            };
            text.extend(charts.iter().map(Chart::markdown));
        }
        text
    }

    /// For a terminal of this many columns.
    pub fn text(&self, columns: u16) -> String {
        terminal::render_answer(&self.sections(), &self.headline(), columns)
    }

    /// One line.
    pub fn headline(&self) -> String {
        let goal = format!("{} clients of profile {}", amount(self.goal.connections), self.profile);
        if self.is_refuted() {
            let pods = self.pods_with_loss.unwrap_or_default();
            return format!(
                "CONTRADICTED: by the steps {pods} pods are enough for {goal}, and when that was played they were not"
            );
        }
        if let Some(unneeded) = self.proofs.iter().find(|proof| proof.says == Says::Contradicted) {
            return format!(
                "CONTRADICTED: by the steps {} pods are too few for {goal}, and when that was played they were enough",
                unneeded.pods
            );
        }
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
            (None, _) => {
                let binds = |why: &&String| why.starts_with(self.binding.name()) && why.contains("at least");
                let why = self.remarks.iter().find(binds).map_or_else(String::new, |why| format!(" ({why})"));
                format!("how many pods {goal} need is not known: {} bind{why}", self.binding)
            }
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
            Pods::Behind(_) => "behind_sync_pages",
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
                limit: found.limit(),
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
        survives: all.survives(within),
        tightest: all.tightest.0,
        headroom: all.tightest.1,
        storm: all.storm,
        recovery_s: all.recovery.as_secs_f64(),
        recovery_by: all.slowest,
    }
}

fn proof(test: &Test, runs: &[Proven], within: Duration) -> ProofReport {
    let last = runs.last();
    let everybody = last.filter(|run| run.live_at_end >= run.clients && run.recovered > 0);
    ProofReport {
        pods: test.proof.pods,
        lose: test.proof.lose,
        expected: test.expected,
        says: Says::of(test.expected, runs),
        margin: test.computed.margin(within),
        recovery_s_computed: test.computed.recovery.as_secs_f64(),
        recovery_s_measured: everybody.and_then(|run| run.recovery_us_max).map(|most| most as f64 / 1e6),
        runs: runs.to_vec(),
    }
}

fn with_unit(load: f64, resource: Resource) -> String {
    format!("{}{}", amount(load), resource.unit())
}

/// Whole numbers with their thousands apart; below a hundred with a decimal.
fn amount(load: f64) -> String {
    if load < 100.0 && load.fract() != 0.0 { format!("{load:.1}") } else { grouped(load.round() as u64) }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::Value;

    use super::*;
    use crate::report::run::HookOptions;
    use crate::report::sample;
    use crate::seed::Seed;
    use crate::sizing::step::Terms;

    fn sizing() -> Sizing {
        let profile = sample::profile();
        Sizing {
            goal: Goal::of(&profile, None, Duration::from_secs(30)),
            profile,
            pods: vec![1, 2, 3],
            resources: Resource::ALL.to_vec(),
            terms: Terms {
                window: Duration::from_secs(10),
                window_most: Duration::from_secs(60),
                resolution: 0.05,
                ramp: 20.0,
            },
            out: PathBuf::new(),
            exe: PathBuf::new(),
            hooks: HookOptions::default(),
            shared: false,
            limits: None,
        }
    }

    /// A pod carries 60 % of the goal of everything, as far as three pods; of five there is a law.
    fn report(sizing: &Sizing, pods: u32, shown: impl FnOnce(&Answer) -> Shown) -> Report {
        let within = Duration::from_secs(30);
        let model = |resource: Resource| {
            let found = (1..=pods).map(|pods| {
                let carried = sizing.goal.demand(resource) * 0.6 * f64::from(pods);
                (pods, Found::Between { carried, failed: carried * 1.05 })
            });
            Model::new(resource, found.collect(), &mut Seed(1).stream("report", [0; 3]))
        };
        let models: Vec<Model> = Resource::ALL.map(model).into();
        let answer = Answer::new(&sizing.goal, &models, 1, within);
        let mut evidence = Evidence::default();
        evidence.found.extend(models.iter().map(|model| (model.resource, model.found.clone())));
        evidence.steps.push(
            serde_json::from_value(serde_json::json!({
                "resource": "deliveries", "pods": 1, "load": 9.5, "again": 0, "because": ["p99"], "run": "run",
                "outcome": "failed", "latency_us_p99": { "delivery_intended": 900 },
            }))
            .expect("a step"),
        );
        Report::new(sizing, &evidence, &models, &answer, 1, within, &shown(&answer))
    }

    /// The proof of the answer, and the storm of it.
    fn shown(answer: &Answer) -> Shown {
        let computed = answer.resilient.expect("known");
        let weathered = savings::tests::weathered(30);
        let documented = weathered.runs[0].1.clone().expect("played");
        let proof = weathered.proof;
        let proven = Proven {
            pods: proof.pods,
            lose: proof.lose,
            within_s: 30.0,
            again: 0,
            outcome: Outcome::Passed,
            because: Vec::new(),
            bottleneck: false,
            clients: 100,
            live_at_end: 100,
            recovered: 33,
            recovery_us_p99: Some(2_500_000),
            recovery_us_max: Some(2_600_000),
            run: Some(documented.run.clone()),
            storm: Some(documented),
        };
        let test = Test { proof, expected: Some(Outcome::Passed), computed };
        Shown { proofs: vec![(test, vec![proven])], weathered: Some(weathered) }
    }

    #[test]
    fn an_answer_has_what_spread_and_jitter_save_beside_its_proof_and_its_plots() {
        let report = report(&sizing(), 3, shown);
        let page = report.markdown(&report.plots().expect("drawn"));
        let place = |words: &str| page.find(words).unwrap_or_else(|| panic!("{words}\n{page}"));
        let order = [
            "## What pods carried",
            "](capacity-deliveries.svg)",
            "## Proof",
            "## What spread and jitter would save",
            "](storm-recovery.svg)",
            "](storm-reconnects.svg)",
            "## Steps",
        ];
        assert!(order.map(place).is_sorted(), "{page}");
        assert!(!page.contains("is not known: it takes the proof"), "{page}");
        assert_eq!((report.pods, report.pods_with_loss), (Some(2), Some(3)));
    }

    #[test]
    fn without_a_proof_nobody_knows_what_they_save_and_that_is_said() {
        let report = report(&sizing(), 3, |_| Shown::default());
        let page = report.markdown(&report.plots().expect("drawn"));
        assert!(
            page.contains("what spread and jitter would save is not known: it takes the proof"),
            "{page}"
        );
        assert!(!page.contains("## What spread") && !page.contains("storm-recovery"), "{page}");
        assert_eq!(
            report.savings.is_none(),
            serde_json::to_value(&report).expect("JSON")["savings"].is_null()
        );
    }

    #[test]
    fn what_is_inconclusive_about_the_savings_makes_the_answer_neither_refuted_nor_unproven() {
        let report = report(&sizing(), 3, |answer| {
            let mut shown = shown(answer);
            let weathered = shown.weathered.as_mut().expect("played");
            weathered.runs[1].1 = Err("failed to find room".to_owned());
            shown
        });
        assert!(report.savings.as_ref().is_some_and(|savings| !savings.conclusive));
        assert!(!report.is_refuted() && !report.is_unproven());
        assert!(report.text(110).contains("INCONCLUSIVE, spread 10s"), "{}", report.text(110));
    }

    /// Real output against `reports/size-pods.schema.json`, which allows no key that it does not know.
    #[test]
    fn real_output_keeps_to_its_schema() {
        let schema = include_str!("../../reports/size-pods.schema.json");
        let schema = serde_json::from_str(schema).expect("the schema is JSON");
        let validator = jsonschema::validator_for(&schema).expect("the schema is one");
        let broken = |answer: &Answer| {
            let mut shown = shown(answer);
            let proven = &mut shown.proofs[0].1[0];
            (proven.recovery_us_max, proven.storm, proven.run) = (None, None, None);
            let weathered = shown.weathered.as_mut().expect("played");
            weathered.runs[1].1 = Err("failed to find room".to_owned());
            let run = weathered.runs[2].1.as_mut().expect("played");
            (run.storm, run.doubt) = (None, Some("no storm".to_owned()));
            shown
        };
        let sizing = sizing();
        let mut values: Vec<Value> = Vec::new();
        for report in
            [report(&sizing, 3, shown), report(&sizing, 5, broken), report(&sizing, 1, |_| Shown::default())]
        {
            values.push(serde_json::to_value(&report).expect("JSON"));
        }
        for value in &values {
            let errors: Vec<String> = validator
                .iter_errors(value)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{errors:#?}");
        }
        values[0]["savings"]["ways"][1]["seconds"] = 1.into();
        assert!(!validator.is_valid(&values[0]), "a key that nobody knows");
    }
}
