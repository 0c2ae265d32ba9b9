//! A deployment that is given another number of pods by a command of the user's own (`[sizing]`), and its own number back.
//!
//! The same rails as for faults of kind `exec`: nothing without `--allow-exec`, and what takes it back is in the journal
//! before the first command starts. A command that has succeeded is not believed: the deployment is waited for until it is
//! healthy and, where `target.metrics` tells one pod from another, until as many of them answer.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use http::header::HeaderValue;
use thiserror::Error;
use tokio::runtime::{Builder, LocalOptions};
use tokio::select;
use tokio::time::{sleep, timeout};

use super::super::prepare::{fresh_run_id, parse_all};
use super::super::scraper::Pods;
use super::super::signals::Signals;
use super::journal::{Entry, Journal};
use super::process::{Ran, run};
use super::{HookError, shown, take_back_what_is_left, told};
use crate::collector::collected::HookEnd;
use crate::driver::api::METRICS;
use crate::driver::clock::Clock;
use crate::driver::preflight::inspect;
use crate::driver::route::Route;
use crate::profile::Profile;
use crate::report::run::{HookOptions, RunError, RunObserver};

/// Scales one deployment. [`Scaler::take_back`] is to be called whatever happens; after a crash the next start with
/// `--allow-exec` does what it would have done.
#[derive(Debug)]
pub struct Scaler {
    profile: Profile,
    clock: Clock,
    agent: HeaderValue,
    journal: Option<Journal>,
    /// The journal's entry, once something is to be taken back.
    begun: Option<usize>,
}

/// Completes "failed to …".
#[derive(Debug, Error)]
enum ScaleError {
    #[error("run the commands of [sizing]: nobody said that it may; say --allow-exec")]
    NotAllowed,
    #[error("give the deployment {pods} pods: {argv} {end}{output}", output = .output.as_deref().unwrap_or_default())]
    Failed { pods: u32, argv: String, end: String, output: Option<String> },
    #[error(
        "see the deployment healthy with {pods} pods within {deadline:?} (sizing.deadline) after {argv}: {last}"
    )]
    NotThere { pods: u32, deadline: Duration, argv: String, last: String },
    #[error("take back what [sizing] did: {argv} {end}; the next start with --allow-exec will try again: `{path}`", path = .path.display())]
    NotUndone { argv: String, end: String, path: PathBuf },
}

impl Scaler {
    /// Takes back what killed runs have left behind, and prepares to scale.
    ///
    /// # Errors
    ///
    /// [`RunError::Preflight`]: nobody has allowed commands, there is no place for a journal, or something left behind cannot
    /// be taken back.
    pub fn begin(
        profile: &Profile,
        options: &HookOptions,
        observer: &mut dyn RunObserver,
    ) -> Result<Self, RunError> {
        if !options.allowed {
            return Err(RunError::preflight(ScaleError::NotAllowed));
        }
        let place = options.journals.as_ref().ok_or_else(|| RunError::preflight(HookError::NoPlace))?;
        block_on(take_back_what_is_left(place, true, false, observer))??;
        let journal = Journal::create(place).map_err(RunError::preflight)?;
        let agent = format!("wavesoak/{} ({})", env!("CARGO_PKG_VERSION"), fresh_run_id());
        Ok(Self {
            profile: profile.clone(),
            clock: Clock::start(),
            agent: HeaderValue::from_str(&agent).map_err(RunError::internal)?,
            journal: Some(journal),
            begun: None,
        })
    }

    /// Gives it this many pods, and waits until they are there.
    ///
    /// # Errors
    ///
    /// [`RunError::Preflight`]: the command did not succeed, or the pods are not there in time. [`RunError::Interrupted`].
    pub fn scale(&mut self, pods: u32, observer: &mut dyn RunObserver) -> Result<(), RunError> {
        self.write_down()?;
        block_on(async {
            let mut signals = Signals::catch().map_err(RunError::internal)?;
            select! {
                done = self.scale_and_wait(pods, observer) => done.map_err(RunError::preflight),
                () = signals.next() => Err(RunError::Interrupted),
            }
        })?
    }

    /// Gives it back what it had.
    ///
    /// # Errors
    ///
    /// [`RunError::Preflight`]: the command did not succeed; it stays in the journal.
    pub fn take_back(&mut self, observer: &mut dyn RunObserver) -> Result<(), RunError> {
        let Some(mut journal) = self.journal.take() else { return Ok(()) };
        if let Some(index) = self.begun.take() {
            let argv = self.profile.sizing.undo_argv();
            observer.note(&format!("taking back the number of pods: {}", shown(&argv)));
            let ran = block_on(run(&argv, self.profile.sizing.timeout, &self.names("")))?;
            if ran.end != HookEnd::Done {
                let path = journal.path().to_owned();
                let (argv, end) = (shown(&argv), told(&ran));
                return Err(RunError::preflight(ScaleError::NotUndone { argv, end, path }));
            }
            journal.undone(index).map_err(RunError::internal)?;
        }
        journal.close();
        Ok(())
    }

    /// Before the first command starts.
    fn write_down(&mut self) -> Result<(), RunError> {
        let (None, Some(journal)) = (self.begun, &mut self.journal) else { return Ok(()) };
        let entry = Entry {
            fault: "sizing.scale".to_owned(),
            profile: self.profile.name.clone(),
            argv: self.profile.sizing.undo_argv(),
            timeout: self.profile.sizing.timeout,
        };
        self.begun = Some(journal.begin(entry).map_err(RunError::preflight)?);
        Ok(())
    }

    async fn scale_and_wait(&self, pods: u32, observer: &mut dyn RunObserver) -> Result<(), ScaleError> {
        let sizing = &self.profile.sizing;
        let argv = sizing.scale_argv(pods);
        observer.note(&format!("scaling to {pods} pods: {}", shown(&argv)));
        let ran = run(&argv, sizing.timeout, &self.names(&pods.to_string())).await;
        let argv = shown(&argv);
        if ran.end != HookEnd::Done {
            return Err(ScaleError::Failed { pods, argv, end: told(&ran), output: first_line(&ran) });
        }
        let mut last = "it was not asked yet".to_owned();
        let there = timeout(sizing.deadline, async {
            loop {
                match self.look(pods).await {
                    Ok(counted) => return counted,
                    Err(why) => last = why,
                }
                sleep(BETWEEN_LOOKS).await;
            }
        });
        match there.await {
            Ok(true) => {}
            Ok(false) => observer.note(&format!(
                "healthy; whether it has {pods} pods cannot be seen: target.metrics names none of them"
            )),
            Err(_) => {
                let deadline = sizing.deadline;
                return Err(ScaleError::NotThere { pods, deadline, argv, last });
            }
        }
        sleep(sizing.settle).await;
        Ok(())
    }

    /// Whether the pods could be counted; an error: it is not as it should be, and why.
    async fn look(&self, pods: u32) -> Result<bool, String> {
        let target = &self.profile.target;
        let url = target.url.clone().unwrap_or_default();
        let counted = !target.metrics.is_empty();
        let metrics = if counted {
            target.metrics.clone()
        } else {
            vec![format!("{}{METRICS}", url.trim_end_matches('/'))]
        };
        let with_tls = metrics.iter().chain([&url]).any(|url| url.starts_with("https:"));
        // Made anew for every look: names are looked up again.
        let route = Rc::new(Route::new(target, with_tls).map_err(|error| error.to_string())?);
        let endpoints = parse_all(&[url], &route).map_err(|error| error.told())?;
        let named = parse_all(&metrics, &route).map_err(|error| error.told())?;
        let seen = Pods::find(named, !counted).await;
        let texts = inspect(&self.clock, &self.agent, &endpoints, seen.endpoints(), true).await;
        let texts = texts.map_err(|error| format!("failed to {error}"))?;
        let answering = texts.iter().flatten().count();
        if counted && answering != pods as usize {
            return Err(format!("{answering} pods answer in target.metrics"));
        }
        Ok(counted)
    }

    fn names<'a>(&'a self, pods: &'a str) -> [(&'static str, &'a str); 2] {
        [("WAVESOAK_PROFILE", &self.profile.name), ("WAVESOAK_PODS", pods)]
    }
}

/// Time between two looks at a deployment that is being scaled (ours).
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, RunError> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    Ok(runtime.map_err(RunError::internal)?.block_on(work))
}

/// What a command said about why it failed.
fn first_line(ran: &Ran) -> Option<String> {
    let output = String::from_utf8_lossy(&ran.output);
    let line = output.lines().find(|line| !line.trim().is_empty())?;
    Some(format!(": {}", line.trim()))
}
