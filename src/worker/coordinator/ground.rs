//! What the run takes place on: a deployment, or the embedded target.

use crate::driver::clock::Clock;
use crate::profile::{BalancerMode, Profile};
use crate::report::run::{RunError, RunOptions};
use crate::secret::Secret;

/// Either of the two.
pub(super) enum Ground {
    /// Somebody else's: nothing is planted in it.
    Deployment,
}

impl Ground {
    /// How many addresses the clients will be spread over.
    pub(super) fn endpoints_planned(profile: &Profile) -> u64 {
        let embedded = &profile.target.embedded;
        match (&profile.target.url, embedded.balancer.mode) {
            (None, BalancerMode::Direct) => u64::from(embedded.pods.max(1)),
            _ => 1,
        }
    }

    /// Stands up the embedded target when the profile names no other.
    pub(super) async fn enter(
        profile: &Profile,
        options: &RunOptions,
        clock: Clock,
    ) -> Result<Self, RunError> {
        Ok(Self::Deployment)
    }

    pub(super) fn is_embedded(&self) -> bool {
        false
    }

    /// Lines for people: where the target is, and which faults are not planted.
    pub(super) fn notes(&self, profile: &Profile) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(url) = &profile.target.url {
            notes.push(format!("target: {url}"));
            let not_ours = profile.faults.iter().filter(|fault| fault.kind.is_target_side());
            let not_ours: Vec<&str> = not_ours.map(|fault| fault.name.as_str()).collect();
            if !not_ours.is_empty() {
                notes.push(format!("not planted, for the target is not ours: {}", not_ours.join(", ")));
            }
        }
        notes
    }

    /// Where clients connect to.
    pub(super) fn urls(&self, profile: &Profile) -> Vec<String> {
        profile.target.url.iter().cloned().collect()
    }

    /// The URLs of `/metrics`, and whether one of them answers for several pods.
    pub(super) fn metrics(&self, profile: &Profile) -> (Vec<String>, bool) {
        if !profile.target.metrics.is_empty() {
            return (profile.target.metrics.clone(), false);
        }
        let behind = |url: &String| format!("{}{}", url.trim_end_matches('/'), crate::driver::api::METRICS);
        (self.urls(profile).iter().map(behind).collect(), true)
    }

    /// The key that signs the tokens of its identities, if it is ours.
    pub(super) fn key(&self) -> Option<Secret> {
        None
    }

    /// Begins or ends a target-side fault, and tells what it hit meanwhile, if that can be told.
    pub(super) async fn fault(&self, _fault: u32, _begin: bool) -> Option<u64> {
        match self {
            Self::Deployment => None,
        }
    }

    /// Log lines `ws.fanout_failed`; a deployment's log is not seen.
    pub(super) async fn fanout_failed(&self) -> Option<u64> {
        match self {
            Self::Deployment => None,
        }
    }

    /// Ends what was started for the run.
    pub(super) async fn stop(&self) {}
}
