//! Plays a comparison: every run is judged like any other, and kept.

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use super::{Maker, Played, Variant, Ways};
use crate::collector::collected::Metric;
use crate::report::Summary;
use crate::report::run::{HookOptions, ProgressView, RunError, RunObserver, RunOptions};
use crate::sizing::kept::{Kept, KeptError};
use crate::verdict::Outcome;
use crate::worker::coordinator;

/// What is to be compared.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The profile, and what makes its storm.
    pub maker: Maker,
    /// Which ways, in order.
    pub variants: Vec<Variant>,
    /// Their settings.
    pub ways: Ways,
    /// Finished runs and their directories are kept here.
    pub out: PathBuf,
    /// The binary that embedded targets are made of.
    pub exe: PathBuf,
    /// As for `run`.
    pub shared: bool,
    /// As for `run`.
    pub hooks: HookOptions,
}

/// Why there is no comparison; completes "failed to …".
#[derive(Debug, Error)]
pub enum CompareError {
    /// A run could not be made.
    #[error("play a run")]
    Run(#[source] RunError),
    /// Finished runs could not be kept, or those that are there are of something else.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// A person ended it.
    #[error("interrupted; finished runs are kept")]
    Interrupted,
}

/// Who watches.
pub trait CompareObserver: RunObserver {
    /// A run begins, or is taken from those that are kept.
    fn begins(&mut self, variant: Variant, repeat: u32);

    /// It is over.
    fn played(&mut self, played: &Played);
}

impl Comparison {
    /// Plays every repeat of every variant, but for those that are kept in `out`.
    ///
    /// # Errors
    ///
    /// The first run that cannot be played, or kept.
    pub fn play(&self, observer: &mut dyn CompareObserver) -> Result<Vec<Played>, CompareError> {
        let mut kept: Kept<Played> = Kept::open(&self.out, &self.plan())?;
        let mut all = Vec::new();
        for repeat in 1..=self.ways.repeat {
            for &variant in &self.variants {
                observer.begins(variant, repeat);
                let same = |played: &Played| (played.variant, played.repeat) == (variant, repeat);
                let played = match kept.find(same) {
                    Some(played) => played.clone(),
                    None => kept.keep(self.run(variant, repeat, observer)?)?.clone(),
                };
                observer.played(&played);
                all.push(played);
            }
        }
        Ok(all)
    }

    /// More repeats or variants of the same may be asked for later, so that neither is part of it.
    fn plan(&self) -> String {
        let Ways { spread, jitter, .. } = self.ways;
        format!("# spread {spread:?}, jitter {jitter}\n{}", self.maker.profile.to_toml())
    }

    fn run(
        &self,
        variant: Variant,
        repeat: u32,
        observer: &mut dyn CompareObserver,
    ) -> Result<Played, CompareError> {
        let profile = variant.profile(&self.maker.profile, &self.ways, repeat);
        let options = RunOptions {
            out: self.out.clone(),
            shared: self.shared,
            cleanup: false,
            hooks: self.hooks.clone(),
            exe: self.exe.clone(),
            profile_toml: profile.to_toml(),
        };
        let seed = profile.seed;
        let outcome = coordinator::run(Arc::new(profile), &options, &mut Quiet(observer)).map_err(
            |error| match error {
                RunError::Interrupted => CompareError::Interrupted,
                error => CompareError::Run(error),
            },
        )?;
        if outcome.interrupted {
            return Err(CompareError::Interrupted);
        }
        let run = outcome.directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(played(variant, repeat, seed, &outcome.summary, run))
    }
}

/// What a summary says of its largest storm.
fn played(variant: Variant, repeat: u32, seed: u64, summary: &Summary, run: String) -> Played {
    let storm = summary.storms.iter().max_by_key(|storm| storm.clients).cloned();
    let late = summary.latency_us.get(&Metric::ReconnectLateness).and_then(|latency| latency.p99);
    let missed = summary.objectives.iter().filter(|judged| judged.outcome != Outcome::Passed);
    let missed = missed.map(|judged| match &judged.reason {
        Some(reason) => format!("{} {}: {reason}", judged.name, judged.limit),
        None => format!("{} {}", judged.name, judged.limit),
    });
    let mut played = Played {
        variant,
        repeat,
        seed,
        outcome: summary.verdict,
        because: missed.chain(summary.harness.reasons.iter().cloned()).collect(),
        doubt: None,
        storm,
        storms: summary.storms.len() as u64,
        reconnect_lateness_us_p99: late,
        missed_after_bridging: summary.deliveries.missed_after_bridging,
        missed_in_seam: summary.deliveries.missed_in_seam,
        run,
    };
    played.doubt = doubt(&played, summary);
    played
}

/// A harness that was late by more than this share of the whole recovery had its part in it (ours).
const LATE: f64 = 0.1;

fn doubt(played: &Played, summary: &Summary) -> Option<String> {
    if summary.harness.bottleneck {
        let reasons = summary.harness.reasons.join("; ");
        return Some(format!("the harness was the bottleneck: {reasons}"));
    }
    if let Some(reason) = summary.harness.reasons.first().filter(|_| played.outcome == Outcome::Inconclusive)
    {
        return Some(reason.clone());
    }
    let Some(storm) = &played.storm else {
        return Some(
            "nothing that is a storm: fewer than 10 clients, or 1 %, lost their stream in a second"
                .to_owned(),
        );
    };
    let whole = storm.recovered_s.p99?;
    let late = [
        ("began attempts", played.reconnect_lateness_us_p99),
        ("read and sent", summary.harness.own_part_us_p99),
    ];
    late.into_iter().find_map(|(what, us)| {
        let late = us? as f64 / 1e6;
        (late > LATE * whole).then(|| {
            format!(
                "the harness itself {what} {late:.3} s late (p99), and 99 % were back within {whole:.3} s"
            )
        })
    })
}

/// Lines of the runs themselves are for their run directories.
struct Quiet<'a>(&'a mut dyn CompareObserver);

impl RunObserver for Quiet<'_> {
    fn interval(&mut self, view: &ProgressView) {
        self.0.interval(view);
    }

    fn note(&mut self, _line: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::verdict::judge;

    fn told(spoil: fn(&mut Summary)) -> Played {
        let (profile, collected) = (sample::profile(), sample::collected());
        let mut summary = Summary::new(&profile, &collected, &judge(&profile, &collected), &sample::info());
        spoil(&mut summary);
        played(Variant::Spread, 2, 8, &summary, "run".to_owned())
    }

    #[test]
    fn a_run_is_told_by_its_largest_storm() {
        let played = told(|summary| {
            let small = crate::report::storms::Storm { clients: 12, ..Default::default() };
            summary.storms.insert(0, small);
        });
        assert_eq!((played.storms, played.storm.map(|storm| storm.clients)), (2, Some(33)));
        assert_eq!((played.outcome, played.missed_in_seam, played.doubt), (Outcome::Passed, 3, None));
    }

    #[test]
    fn what_the_harness_had_a_part_in_is_doubted() {
        let late = told(|summary| {
            summary.latency_us.get_mut(&Metric::ReconnectLateness).expect("there").p99 = Some(34_000);
        });
        assert!(late.doubt.is_some_and(|doubt| doubt.contains("began attempts 0.034 s late (p99)")));
        let slow = told(|summary| summary.harness.own_part_us_p99 = Some(34_000));
        assert!(slow.doubt.is_some_and(|doubt| doubt.contains("read and sent 0.034 s late (p99)")));
        let none = told(|summary| summary.storms.clear());
        assert!(none.doubt.is_some_and(|doubt| doubt.contains("nothing that is a storm")));
        let bottleneck = told(|summary| {
            summary.harness.bottleneck = true;
            summary.harness.reasons = vec!["too slow".to_owned()];
        });
        assert!(bottleneck.doubt.is_some_and(|doubt| doubt.ends_with("bottleneck: too slow")));
    }
}
