//! Tells runs as they come and go: steps of a search, proofs, and storms.

use crate::cli::progress::Progress;
use crate::report::run::{ProgressView, RunObserver};
use crate::report::storms::spoken;
use crate::sizing::pods::{Played, SizingObserver};
use crate::sizing::proof::{Proof, Proven};
use crate::sizing::step::Step;
use crate::sizing::storm::play::CompareObserver;
use crate::sizing::storm::{self, Variant};
use crate::verdict::Outcome;

/// On stderr.
pub(super) struct Watch {
    progress: Progress,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { progress: Progress::new() }
    }

    /// What follows starts on a clean line.
    pub(super) fn finish(&mut self) {
        self.progress.finish();
    }

    fn over(&mut self, outcome: Outcome, because: &[String]) {
        let because = because.first().map_or_else(String::new, |because| format!(": {because}"));
        self.progress.note(&format!("  {outcome}{because}"));
    }
}

impl SizingObserver for Watch {
    fn step(&mut self, step: &Step, again: u32) {
        let Step { resource, pods, load } = step;
        let again = if again == 0 { "" } else { ", again" };
        self.progress.note(&format!("{pods} pods: {load:.0} {resource}{}{again}", resource.unit()));
    }

    fn played(&mut self, played: &Played) {
        self.over(played.outcome, &played.because);
    }

    fn proof(&mut self, proof: &Proof, again: u32) {
        let Proof { pods, lose, .. } = proof;
        let again = if again == 0 { "" } else { ", again" };
        self.progress.note(&format!("proof: the whole load on {pods} pods, {lose} of which die{again}"));
    }

    fn proven(&mut self, proven: &Proven) {
        self.over(proven.outcome, &proven.because);
    }
}

impl CompareObserver for Watch {
    fn begins(&mut self, variant: Variant, repeat: u32) {
        self.progress.note(&format!("storm: {variant}, repeat {repeat}"));
    }

    fn weathered(&mut self, played: &storm::Played) {
        let told = match &played.storm {
            None => "no storm".to_owned(),
            Some(storm) => {
                let within = storm.recovered_s.p99.map_or_else(|| "never".to_owned(), spoken);
                let (clients, peak) = (storm.clients, storm.attempts_per_s_max);
                format!("{clients} lost their stream; {peak} reconnects/s at most; 99% back: {within}")
            }
        };
        let doubt = played.doubt.as_ref().map_or_else(String::new, |doubt| format!("; open: {doubt}"));
        self.progress.note(&format!("  {}: {told}{doubt}", played.outcome));
    }
}

impl RunObserver for Watch {
    /// A line a second and run would bury what matters; on a terminal the one line is redrawn.
    fn interval(&mut self, view: &ProgressView) {
        self.progress.redraw(view);
    }

    fn note(&mut self, line: &str) {
        self.progress.note(line);
    }
}
