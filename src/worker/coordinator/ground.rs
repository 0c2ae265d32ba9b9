//! What the run takes place on: a deployment, or the embedded target.

use std::path::PathBuf;

use futures::FutureExt as _;
use tokio::sync::Mutex;

use crate::driver::api::METRICS;
use crate::driver::clock::Clock;
use crate::profile::{BalancerMode, Profile};
use crate::report::run::{RunError, RunOptions};
use crate::secret::Secret;
use crate::target::process::{Embedded, ProcessError, SpawnOptions};
use crate::target::{Config, Truth};

/// Either of the two.
pub(super) struct Ground {
    /// `None` on a deployment (somebody else's: nothing is planted in it), and when the run is over.
    embedded: Mutex<Option<Embedded>>,
    urls: Vec<String>,
    metrics: Vec<String>,
    /// One of `metrics` answers for several pods.
    partial: bool,
    key: Option<Secret>,
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
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(super) async fn enter(
        profile: &Profile,
        options: &RunOptions,
        clock: Clock,
    ) -> Result<Self, RunError> {
        let metrics = profile.target.metrics.clone();
        let Some(url) = &profile.target.url else {
            let config = Config { epoch_unix_s: clock.epoch_unix_s(), ..Config::from_profile(profile) };
            let log = profile.target.log_file.as_ref().map(PathBuf::from);
            let spawn = SpawnOptions { log, ..SpawnOptions::default() };
            let embedded = Embedded::spawn(&options.exe, &config, spawn).await;
            let embedded = embedded.map_err(RunError::preflight)?;
            return Ok(Self {
                urls: embedded.urls(),
                metrics: if metrics.is_empty() { embedded.metrics_urls() } else { metrics },
                partial: false,
                key: Some(embedded.key().clone()),
                embedded: Mutex::new(Some(embedded)),
            });
        };
        let partial = metrics.is_empty();
        let behind = format!("{}{METRICS}", url.trim_end_matches('/'));
        Ok(Self {
            embedded: Mutex::new(None),
            urls: vec![url.clone()],
            metrics: if partial { vec![behind] } else { metrics },
            partial,
            key: None,
        })
    }

    /// Lines for people: where the target is, and which faults are not planted.
    pub(super) fn notes(&self, profile: &Profile) -> Vec<String> {
        let mut notes = vec![format!("target: {}", self.urls.join(", "))];
        if profile.target.url.is_some() {
            let not_ours = profile.faults.iter().filter(|fault| fault.kind.is_target_side());
            let not_ours: Vec<&str> = not_ours.map(|fault| fault.name.as_str()).collect();
            if !not_ours.is_empty() {
                notes.push(format!("not planted, for the target is not ours: {}", not_ours.join(", ")));
            }
        }
        notes
    }

    /// It is our own: target-side faults can be planted.
    pub(super) fn is_embedded(&self) -> bool {
        self.key.is_some()
    }

    /// Where clients connect to.
    pub(super) fn urls(&self) -> &[String] {
        &self.urls
    }

    /// The URLs of `/metrics`.
    pub(super) fn metrics(&self) -> &[String] {
        &self.metrics
    }

    /// Whether one of these answers for several pods.
    pub(super) fn is_partial(&self) -> bool {
        self.partial
    }

    /// The key that signs the tokens of its identities, if it is ours.
    pub(super) fn key(&self) -> Option<Secret> {
        self.key.clone()
    }

    /// Begins or ends a target-side fault, and tells what it has hit since last told, if that can be told.
    ///
    /// # Errors
    ///
    /// When the embedded target does not answer.
    pub(super) async fn fault(&self, fault: u32, begin: bool) -> Result<Option<u64>, ProcessError> {
        match &mut *self.embedded.lock().await {
            Some(embedded) if begin => embedded.begin_fault(fault).await,
            Some(embedded) => embedded.end_fault(fault).await,
            None => Ok(None),
        }
    }

    /// Whether a part of the embedded target has ended that nobody asked to.
    pub(super) fn has_broken_down(&self) -> Option<&'static str> {
        // Busy with a command means alive, or the command will tell.
        let mut embedded = self.embedded.try_lock().ok()?;
        embedded.as_mut()?.ended().now_or_never()
    }

    /// What the planted faults have done so far; nobody knows that of a deployment.
    pub(super) async fn truth(&self) -> Option<Truth> {
        self.embedded.lock().await.as_mut()?.truth().await.ok()
    }

    /// Log lines `ws.fanout_failed`; a deployment's log is not seen.
    pub(super) async fn fanout_failed(&self) -> Option<u64> {
        self.truth().await.map(|truth| truth.fanout_failed)
    }

    /// Ends what was started for the run.
    pub(super) async fn stop(&self) {
        if let Some(embedded) = self.embedded.lock().await.take() {
            embedded.shutdown().await;
        }
    }
}
