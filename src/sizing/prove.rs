//! Plays the proof of an answer, and its storm once more with other ways of coming back.

use std::path::PathBuf;

use super::answer::{Survival, Test};
use super::judgement::Judgement;
use super::kept::Kept;
use super::pods::{Sizing, SizingObserver};
use super::proof::{Proof, Proven};
use super::run::{Finished, PlayError};
use super::storm::play::Comparison;
use super::storm::{Maker, Played, Variant, Ways};
use crate::collector::collected::Metric;
use crate::profile::Profile;
use crate::profile::quantity::Written as _;
use crate::report::run::{HookOptions, RunError};
use crate::verdict::Outcome;

/// What was played to show that an answer is one.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The pods of the answer, and one fewer; empty: no proof was wanted, or there is nothing to prove.
    pub proofs: Vec<(Test, Vec<Proven>)>,
    /// The storm of the first of them; `None`: it was not played.
    pub weathered: Option<Weathered>,
}

/// The storm of a proof, and how its clients came back from it.
#[derive(Clone, Debug)]
pub struct Weathered {
    /// Its load, its pods and its loss.
    pub proof: Proof,
    /// What the steps say of that.
    pub computed: Survival,
    /// What the variants have in common.
    pub ways: Ways,
    /// Each variant; one that this machine could not play says why.
    pub runs: Vec<(Variant, Result<Played, String>)>,
}

/// What is held side by side. Both settings at once are for `size storm`: each alone says what it saves.
const WAYS: [Variant; 3] = [Variant::Documented, Variant::Spread, Variant::Jitter];

impl Sizing {
    /// Plays a load on pods of which some die. What agrees with what is `expected` is believed at once, anything else is
    /// played again. A proof that this machine cannot hold says so instead.
    ///
    /// # Errors
    ///
    /// It cannot be kept, or a person ended it.
    pub fn prove(
        &self,
        proof: &Proof,
        expected: Option<Outcome>,
        observer: &mut dyn SizingObserver,
    ) -> Result<Vec<Proven>, PlayError> {
        let mut kept: Kept<Proven> = Kept::read(self.out.join(PROOFS))?;
        let mut all: Vec<Proven> = Vec::new();
        for again in 0..2 {
            observer.proof(proof, again);
            let proven = match kept.find(|proven| proven.is_of(proof, again)) {
                Some(proven) => proven.clone(),
                None => {
                    let proven = self.run_proof(proof, again, observer)?;
                    if proven.run.is_some() {
                        kept.keep(proven.clone())?;
                    }
                    proven
                }
            };
            observer.proven(&proven);
            let enough = proven.run.is_none() || expected.is_none_or(|expected| proven.outcome == expected);
            all.push(proven);
            if enough {
                break;
            }
        }
        Ok(all)
    }

    /// The storm of a proof that was played, with its clients coming back in other ways: each in one run, with the seed of
    /// the proof. The way in which the proof itself was played is not played again: its last run stands for it. `None`: the
    /// proof was not played.
    ///
    /// # Errors
    ///
    /// A run that cannot be kept, or a person ended it. One that this machine cannot hold is none.
    pub fn weather(
        &self,
        test: &Test,
        proven: &[Proven],
        ways: &Ways,
        observer: &mut dyn SizingObserver,
    ) -> Result<Option<Weathered>, PlayError> {
        let Some(own) = proven.last().and_then(|last| last.storm.as_ref()) else { return Ok(None) };
        let ways = Ways { repeat: 1, ..*ways };
        let profile = test.proof.profile(&self.profile, &self.goal, &self.terms);
        let mut comparison = self.comparison(&test.proof, profile, ways);
        let mut runs = Vec::new();
        for variant in WAYS {
            let base = &comparison.maker.profile;
            let played = if variant.profile(base, &ways, 1).client == base.client {
                Ok(Played { variant, ..own.clone() })
            } else {
                comparison.variants = vec![variant];
                one_of(&comparison, observer)?
            };
            runs.push((variant, played));
        }
        Ok(Some(Weathered { proof: test.proof, computed: test.computed, ways, runs }))
    }

    /// In a directory of its own, which nothing but the same storm and the same ways can have.
    fn comparison(&self, proof: &Proof, profile: Profile, ways: Ways) -> Comparison {
        let Proof { pods, lose, within } = proof;
        let Ways { spread, jitter, .. } = ways;
        let name =
            format!("storm-{pods}-less-{lose}-in-{}-spread-{}-jitter-{jitter}", within.show(), spread.show());
        Comparison {
            maker: Maker { profile, told: format!("{lose} of {pods} pods die") },
            variants: Vec::new(),
            ways,
            out: self.out.join(name),
            exe: self.exe.clone(),
            shared: self.shared,
            hooks: HookOptions::default(),
        }
    }

    fn run_proof(
        &self,
        proof: &Proof,
        again: u32,
        observer: &mut dyn SizingObserver,
    ) -> Result<Proven, PlayError> {
        let profile = proof.profile(&self.profile, &self.goal, &self.terms);
        let Proof { pods, lose, within } = *proof;
        let clients = u64::from(profile.population.clients);
        let not_played = Proven {
            pods,
            lose,
            within_s: within.as_secs_f64(),
            again,
            outcome: Outcome::Inconclusive,
            because: Vec::new(),
            bottleneck: false,
            clients,
            live_at_end: 0,
            recovered: 0,
            recovery_us_p99: None,
            recovery_us_max: None,
            storm: None,
            run: None,
        };
        let (variant, seed) = (Variant::of(&profile.client), profile.seed);
        let Finished { summary, run } = match self.run(profile, observer) {
            Ok(finished) => finished,
            Err(PlayError::Run(RunError::Preflight(error))) => {
                return Ok(Proven { because: vec![format!("not played: failed to {error}")], ..not_played });
            }
            Err(error) => return Err(error),
        };
        let judgement = Judgement::of(&summary);
        let recovery = summary.latency_us.get(&Metric::Recovery).copied().unwrap_or_default();
        Ok(Proven {
            outcome: judgement.outcome,
            because: judgement.because,
            bottleneck: judgement.bottleneck,
            live_at_end: summary.clients.live_at_end,
            recovered: recovery.count,
            recovery_us_p99: recovery.p99,
            recovery_us_max: recovery.max,
            storm: Some(Played::of(variant, 1, seed, &summary, run.clone())),
            run: Some(run),
            ..not_played
        })
    }
}

/// The only run of a comparison, its directory as the sizing has it. The answer is known by now, and is not to be lost
/// because the machine has become too small for one run more.
fn one_of(
    comparison: &Comparison,
    observer: &mut dyn SizingObserver,
) -> Result<Result<Played, String>, PlayError> {
    let mut played = match comparison.play(observer) {
        Ok(played) => played,
        Err(PlayError::Run(RunError::Preflight(error))) => return Ok(Err(format!("failed to {error}"))),
        Err(error) => return Err(error),
    };
    let mut played = played.pop().expect("one variant, once");
    let directory = comparison.out.file_name().map(PathBuf::from).unwrap_or_default();
    played.run = directory.join(&played.run).display().to_string();
    Ok(Ok(played))
}

/// One line of JSON a finished proof, beside the steps.
const PROOFS: &str = "proofs.jsonl";
