//! Plays a comparison: every run is judged like any other, and kept.

use std::path::PathBuf;

use super::{Maker, Played, Variant, Ways};
use crate::collector::collected::Metric;
use crate::report::Summary;
use crate::report::run::{HookOptions, RunObserver};
use crate::sizing::judgement::Judgement;
use crate::sizing::kept::Kept;
use crate::sizing::run::{Finished, Place, PlayError};
use crate::verdict::Outcome;

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

/// Who watches.
pub trait CompareObserver: RunObserver {
    /// A run begins, or is taken from those that are kept.
    fn begins(&mut self, _variant: Variant, _repeat: u32) {}

    /// It is over.
    fn weathered(&mut self, _played: &Played) {}
}

impl Comparison {
    /// Plays every repeat of every variant, but for those that are kept in `out`.
    ///
    /// # Errors
    ///
    /// The first run that cannot be played, or kept.
    pub fn play(&self, observer: &mut dyn CompareObserver) -> Result<Vec<Played>, PlayError> {
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
                observer.weathered(&played);
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
    ) -> Result<Played, PlayError> {
        let profile = variant.profile(&self.maker.profile, &self.ways, repeat);
        let seed = profile.seed;
        let place = Place { out: &self.out, exe: &self.exe, shared: self.shared, hooks: self.hooks.clone() };
        let Finished { summary, run } = place.run(profile, observer)?;
        Ok(Played::of(variant, repeat, seed, &summary, run))
    }
}

impl Played {
    /// What a summary says of its largest storm.
    pub(in crate::sizing) fn of(
        variant: Variant,
        repeat: u32,
        seed: u64,
        summary: &Summary,
        run: String,
    ) -> Self {
        let storm = summary.storms.iter().max_by_key(|storm| storm.clients).cloned();
        let late = summary.latency_us.get(&Metric::ReconnectLateness).and_then(|latency| latency.p99);
        let judgement = Judgement::of(summary);
        let mut played = Self {
            variant,
            repeat,
            seed,
            outcome: judgement.outcome,
            because: judgement.because,
            doubt: None,
            storm,
            storms: summary.storms.len() as u64,
            reconnect_lateness_us_p99: late,
            missed_after_bridging: summary.deliveries.missed_after_bridging,
            missed_in_seam: summary.deliveries.missed_in_seam,
            run,
        };
        played.doubt = judgement.late.or_else(|| doubt(&played, summary));
        played
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::verdict::judge;

    fn told(spoil: fn(&mut Summary)) -> Played {
        let (profile, collected) = (sample::profile(), sample::collected());
        let mut summary = Summary::new(&profile, &collected, &judge(&profile, &collected), &sample::info());
        spoil(&mut summary);
        Played::of(Variant::Spread, 2, 8, &summary, "run".to_owned())
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
        let own_timers = told(|summary| {
            (summary.verdict, summary.harness.loop_lag_us_p99) = (Outcome::Failed, Some(600_000));
        });
        assert_eq!(own_timers.outcome, Outcome::Inconclusive, "it is not the target that failed");
        assert!(own_timers.doubt.is_some_and(|doubt| doubt.contains("its own timers by 600 ms")));
    }
}
