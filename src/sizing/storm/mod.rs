//! One storm, weathered in several ways: as documented, with the first retry spread, with jittered delays, and with both.
//! Every repeat of every way is a whole run with a run directory of its own; the ways take turns, so that what the machine
//! does meanwhile is done to all of them.
//!
//! All but `play`, which plays the runs, is pure.

#[cfg(feature = "live")]
pub mod play;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::plan::timeline::Timeline;
use crate::profile::quantity::{Share, Written as _};
use crate::profile::{Client, Fault, FaultKind, Line, Profile, Who};
use crate::report::storms::Storm;
use crate::verdict::Outcome;

/// How clients come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "live", derive(clap::ValueEnum))]
pub enum Variant {
    /// At once, then after 1, 2, 4, 8 … 30 s.
    Documented,
    /// The first retry at a moment drawn from the spread (client.first_retry_spread)
    Spread,
    /// Every delay shortened by a draw (client.jitter); the first retry has none, and stays immediate
    Jitter,
    /// Both.
    Both,
}

/// What all runs have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ways {
    /// `client.first_retry_spread` of those that spread.
    pub spread: Duration,
    /// `client.jitter` of those that jitter.
    pub jitter: f64,
    /// Runs of each way.
    pub repeat: u32,
}

/// A run that has been played.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Played {
    /// How its clients came back.
    pub variant: Variant,
    /// From 1.
    pub repeat: u32,
    /// Its seed: the same in all variants of a repeat.
    pub seed: u64,
    /// What the run came to.
    pub outcome: Outcome,
    /// Objectives that were not met, and why; what the harness could not do.
    pub because: Vec<String>,
    /// Why its numbers may be the harness's own; null: they are not.
    pub doubt: Option<String>,
    /// The storm with the most clients; null: there was none.
    pub storm: Option<Storm>,
    /// Storms in all.
    pub storms: u64,
    /// `latency_us.reconnect_lateness.p99`: how late the harness itself began attempts.
    pub reconnect_lateness_us_p99: Option<u64>,
    /// `deliveries.missed_after_bridging`
    pub missed_after_bridging: u64,
    /// `deliveries.missed_in_seam`
    pub missed_in_seam: u64,
    /// The run directory, in that of the comparison.
    pub run: String,
}

/// What makes the storm.
#[derive(Clone, Debug, PartialEq)]
pub struct Maker {
    /// The profile with it.
    pub profile: Profile,
    /// In words.
    pub told: String,
}

/// Why there can be no storm; completes "failed to …".
#[derive(Debug, Error, PartialEq)]
pub enum StormError {
    /// There is no time at which everybody is there.
    #[error(
        "plant a storm in profile {0}: it has no [[phase]] that holds its clients for 10 s or longer; add one, or a [[fault]] \
         of your own that ends connections"
    )]
    NoHold(String),
    /// Whoever is killed has nobody to go to.
    #[error(
        "kill one of the pods of profile {0}: it has only one, so that nobody could come back; set target.embedded.pods to 2 \
         or more, or add a [[fault]] of your own that ends connections"
    )]
    OnePod(String),
    /// Ten clients that lose their streams are a storm; fewer are not.
    #[error(
        "make a storm of {clients} clients: it takes 10 that lose their stream; write --clients {needed} or more"
    )]
    TooFew {
        /// That would be hit.
        clients: u32,
        /// In all.
        needed: u32,
    },
}

impl Variant {
    /// In the order in which they are played.
    pub const ALL: [Self; 4] = [Self::Documented, Self::Spread, Self::Jitter, Self::Both];

    /// As the options have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Documented => "documented",
            Self::Spread => "spread",
            Self::Jitter => "jitter",
            Self::Both => "both",
        }
    }

    fn spreads(self) -> bool {
        matches!(self, Self::Spread | Self::Both)
    }

    fn jitters(self) -> bool {
        matches!(self, Self::Jitter | Self::Both)
    }

    /// That of clients with these settings.
    pub fn of(client: &Client) -> Self {
        match (client.first_retry_spread > Duration::ZERO, client.jitter > 0.0) {
            (false, false) => Self::Documented,
            (true, false) => Self::Spread,
            (false, true) => Self::Jitter,
            (true, true) => Self::Both,
        }
    }

    /// With its settings.
    pub fn told(self, ways: &Ways) -> String {
        let (spread, jitter) = (ways.spread.show(), ways.jitter);
        match self {
            Self::Documented => "documented".to_owned(),
            Self::Spread => format!("spread {spread}"),
            Self::Jitter => format!("jitter {jitter}"),
            Self::Both => format!("spread {spread}, jitter {jitter}"),
        }
    }

    /// Over which time its first retries are spread.
    pub fn spread(self, ways: &Ways) -> Duration {
        if self.spreads() { ways.spread } else { Duration::ZERO }
    }

    /// The run of one repeat.
    pub fn profile(self, base: &Profile, ways: &Ways, repeat: u32) -> Profile {
        let mut profile = base.clone();
        profile.name = format!("{}-{}", base.name, self.name());
        profile.seed = base.seed.wrapping_add(u64::from(repeat) - 1);
        profile.client.first_retry_spread = self.spread(ways);
        profile.client.jitter = if self.jitters() { ways.jitter } else { 0.0 };
        profile
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// How long everybody is left alone before the storm, at the most.
const CALM: Duration = Duration::from_secs(10);
/// How long the pod stays away.
const AWAY: Duration = Duration::from_secs(10);
/// A storm, at the least (see the collector).
const LEAST: u32 = 10;

impl Maker {
    /// The profile's own faults, where it has one that ends connections; else, a pod of the embedded target dies, or, against
    /// a deployment, this share of the clients lose their streams.
    ///
    /// # Errors
    /// Where nothing can be planted.
    pub fn of(base: &Profile, share: Share) -> Result<Self, StormError> {
        let ours = base.target.url.is_none();
        let makes = |fault: &&Fault| fault.kind.ends_connections() && (ours || !fault.kind.is_target_side());
        let own: Vec<&str> = base.faults.iter().filter(makes).map(|fault| fault.name.as_str()).collect();
        if !own.is_empty() {
            let told = format!("the profile's own: {}", own.join(", "));
            return Ok(Self { profile: base.clone(), told });
        }
        let at = calm(base).ok_or_else(|| StormError::NoHold(base.name.clone()))?;
        let pods = base.target.embedded.pods;
        if ours && pods < 2 {
            return Err(StormError::OnePod(base.name.clone()));
        }
        let (kind, duration, hit, told) = if ours {
            let told = format!("one of {pods} pods dies at {} for {}", at.show(), AWAY.show());
            (FaultKind::PodKill(None), Some(AWAY), 1.0 / f64::from(pods), told)
        } else {
            let told = format!("{} of the clients lose their streams at {} (reset)", share.show(), at.show());
            (FaultKind::Line(Who::Share(share), Line::Reset), None, share.0, told)
        };
        let clients = (f64::from(base.population.clients) * hit + 1e-6).floor() as u32;
        if clients < LEAST {
            let needed = (f64::from(LEAST) / hit - 1e-6).ceil() as u32;
            return Err(StormError::TooFew { clients, needed });
        }
        let mut profile = base.clone();
        profile.faults.push(Fault { name: "storm".to_owned(), at, duration, kind });
        Ok(Self { profile, told })
    }
}

/// A moment in the first hold at which everybody is there, and time is left for what follows.
fn calm(profile: &Profile) -> Option<Duration> {
    let timeline = Timeline::new(&profile.phases);
    let hold = timeline
        .phases()
        .iter()
        .find(|phase| phase.is_hold() && phase.to > 0 && phase.end.saturating_sub(phase.begin) >= CALM)?;
    Some(hold.begin + ((hold.end - hold.begin) / 4).min(CALM))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    const WAYS: Ways = Ways { spread: Duration::from_secs(10), jitter: 0.5, repeat: 3 };

    #[test]
    fn variants_differ_in_their_two_settings_and_repeats_in_their_seed_alone() {
        let mut base = sample::profile();
        base.client.jitter = 0.25;
        let settings = Variant::ALL.map(|variant| {
            let client = variant.profile(&base, &WAYS, 1).client;
            (client.first_retry_spread.as_secs(), client.jitter)
        });
        assert_eq!(settings, [(0, 0.0), (10, 0.0), (0, 0.5), (10, 0.5)]);
        for variant in Variant::ALL {
            assert_eq!(Variant::of(&variant.profile(&base, &WAYS, 1).client), variant);
        }
        let third = Variant::Both.profile(&base, &WAYS, 3);
        assert_eq!((third.seed, third.name.as_str()), (base.seed + 2, "sample-both"));
        let first = Profile { seed: third.seed, ..Variant::Both.profile(&base, &WAYS, 1) };
        assert_eq!(first, third);
    }

    #[test]
    fn a_profile_that_has_a_storm_keeps_it() {
        let base = sample::profile();
        let maker = Maker::of(&base, Share(0.3)).expect("it kills a pod");
        assert_eq!((maker.profile, maker.told.as_str()), (base, "the profile's own: pod-kill"));
    }

    #[test]
    fn without_one_a_pod_dies_and_on_a_deployment_clients_lose_their_streams() {
        let mut base = sample::profile();
        base.faults.clear();
        let planted = Maker::of(&base, Share(0.3)).expect("three pods").profile.faults.remove(0);
        assert_eq!((planted.kind, planted.at), (FaultKind::PodKill(None), Duration::from_secs(10)));

        base.target.url = Some("https://chat.example.com".to_owned());
        base.faults = sample::profile().faults;
        let maker = Maker::of(&base, Share(0.3)).expect("a third of a hundred");
        assert_eq!(maker.profile.faults[1].kind, FaultKind::Line(Who::Share(Share(0.3)), Line::Reset));
        assert_eq!(maker.told, "30% of the clients lose their streams at 10s (reset)");
    }

    #[test]
    fn what_can_be_no_storm_says_what_it_takes() {
        let refused = |spoil: fn(&mut Profile)| {
            let mut base = sample::profile();
            base.faults.clear();
            spoil(&mut base);
            Maker::of(&base, Share(0.3)).expect_err("nothing to plant").to_string()
        };
        type Spoil = fn(&mut Profile);
        let all: [(Spoil, &str); 3] = [
            (|base| base.phases.truncate(1), "no [[phase]] that holds"),
            (|base| base.target.embedded.pods = 1, "target.embedded.pods to 2"),
            (|base| base.population.clients = 29, "write --clients 30"),
        ];
        for (spoil, says) in all {
            assert!(refused(spoil).contains(says), "{says}: {}", refused(spoil));
        }
    }
}
