//! One whole run on one machine: preflight, target, provisioning, the conductor's commands carried out, the report.
//!
//! Everything that talks to the target is on one thread; files are written on another.

mod ground;
mod hooks;
mod log_tail;
mod prepare;
mod recorder;
mod rooms;
mod scraper;
mod signals;
mod stage;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::select;
use tokio::time::{sleep, sleep_until, timeout};

use crate::collector::collected::IntervalRow;
use crate::driver::clock::Clock;
use crate::driver::fleet::Fleet;
use crate::driver::provision::PutAway;
use crate::plan::Population;
use crate::profile::Profile;
use crate::report::run::{ProgressView, RunError, RunObserver, RunOptions, RunOutcome};
use crate::target::process::ProcessError;
use crate::time::Timestamp;
use crate::worker::conductor::Event;

use hooks::Hooks;
use log_tail::LogFollower;
use prepare::{Prepared, Spending, prepare};
use recorder::{Interval, Job, Recorder, Snapshot};
use rooms::OwnRooms;
use scraper::Scraper;
use signals::Signals;
use stage::Stage;

pub use hooks::Scaler;
pub use hooks::place as journals;

/// Runs a profile to its report. The calling thread is the worker's until then.
///
/// # Errors
///
/// [`RunError::Preflight`] when no client was started, [`RunError::Interrupted`] when a person ended it before there was
/// anything to report or asked twice, [`RunError::Internal`] when the harness itself broke.
pub fn run(
    profile: Arc<Profile>,
    options: &RunOptions,
    observer: &mut dyn RunObserver,
) -> Result<RunOutcome, RunError> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.map_err(RunError::internal)?.block_on(coordinate(profile, options, observer))
}

/// Puts away what runs with this profile have made on its target: all that is remembered, or what the runs made whose rooms'
/// names begin with `prefix`.
///
/// # Errors
///
/// [`RunError::Preflight`] when there is nothing to go by, or the target or an identity cannot be reached.
pub fn cleanup(profile: &Profile, prefix: &str, observer: &mut dyn RunObserver) -> Result<PutAway, RunError> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.map_err(RunError::internal)?.block_on(async {
        let mut signals = Signals::catch().map_err(RunError::internal)?;
        let spending = Spending::default();
        select! {
            done = rooms::cleanup(profile, prefix, &spending, observer) => done,
            () = signals.next() => Err(interrupted(&spending, &mut signals).await),
        }
    })
}

/// What [`cleanup`] would put away: lines for people, one for each run that made rooms.
///
/// # Errors
///
/// [`RunError::Preflight`] when there is nothing to go by.
pub fn remembered(profile: &Profile, prefix: &str) -> Result<Vec<String>, RunError> {
    rooms::look(profile, prefix)
}

/// Clients that leave a second at the least, on loopback.
const LEAVES_PER_S: f64 = 1000.0;
/// Everybody has left after about this long, whatever the rate.
const LEAVING: Duration = Duration::from_secs(5);
/// Off loopback, the connects that the profile allows are the pace of leaving too, but not for longer than this.
const LEAVING_REMOTE: Duration = Duration::from_secs(30);
/// How long pods are given to notice that everybody has left.
const FAREWELL: Duration = Duration::from_secs(5);

async fn coordinate(
    profile: Arc<Profile>,
    options: &RunOptions,
    observer: &mut dyn RunObserver,
) -> Result<RunOutcome, RunError> {
    let clock = Clock::start();
    let mut signals = Signals::catch().map_err(RunError::internal)?;
    let hooks = select! {
        hooks = Hooks::prepare(&profile, options, observer) => hooks?,
        () = signals.next() => return Err(RunError::Interrupted),
    };
    let outcome = play(profile, options, clock, &hooks, &mut signals, observer).await;
    if outcome.is_err() {
        // Whatever has broken, a run that came to its report has seen to it before.
        take_back(&hooks, &mut signals).await;
    }
    for line in hooks.take_lines() {
        observer.note(&line);
    }
    if let Some(journal) = hooks.close() {
        let path = journal.display();
        observer.note(&format!(
            "warning: not everything was taken back; the next run with --allow-exec will try: {path}"
        ));
    }
    outcome
}

/// Before there was anything to report. A second signal does not wait for what is on its way.
async fn interrupted(spending: &Spending, signals: &mut Signals) -> RunError {
    select! {
        () = spending.finish() => {}
        () = signals.next() => {}
    }
    RunError::Interrupted
}

/// A person may not want to wait for it: what is left then is in the journal.
async fn take_back(hooks: &Hooks, signals: &mut Signals) {
    select! {
        () = hooks.take_back_all() => {}
        () = signals.next() => {}
    }
}

async fn play(
    profile: Arc<Profile>,
    options: &RunOptions,
    clock: Clock,
    hooks: &Rc<Hooks>,
    signals: &mut Signals,
    observer: &mut dyn RunObserver,
) -> Result<RunOutcome, RunError> {
    let spending = Spending::default();
    let prepared = select! {
        prepared = prepare(Arc::clone(&profile), options, clock, hooks, &spending, observer) => prepared?,
        () = signals.next() => return Err(interrupted(&spending, signals).await),
    };
    let Prepared { ground, fleet, stage, scraper, log, mut recorder, probe, loopback, own_rooms } = prepared;
    let mut log = log.map(|tail| LogFollower::begin(tail, &stage));
    let mut course = Course {
        profile: &profile,
        stage: &stage,
        scraper: &scraper,
        recorder: &mut recorder,
        observer,
        told: IntervalRow::default(),
    };
    course.play(&probe, signals).await?;
    take_back(hooks, signals).await;
    course.log_hooks();

    // Before anyone leaves: what an open connection has not been seen to read, it may still read.
    let truth = ground.truth().await;

    course.observer.note("everyone leaves");
    let hurried = select! {
        () = disband(&profile, &stage, &fleet, loopback) => false,
        () = signals.next() => true,
    };
    let expected = stage.ask(|now, conductor| conductor.collected(now).server.ws_connections.before);
    // What was seen while they were there, or is still on its way from then, says nothing about those who are left.
    scraper.begin_anew();
    stage.tell(Event::Emptied);
    // The gauge of a pod may lag behind the last close frame.
    let _ = timeout(FAREWELL, async {
        loop {
            let whole = scraper.scrape_all(&stage).await;
            let after = stage.ask(|now, conductor| conductor.collected(now).server.ws_connections.after);
            if whole && after.unwrap_or(0) <= expected.unwrap_or(0) {
                break;
            }
            sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    stage.tell(Event::Deserted);

    if let Some(own) = own_rooms.filter(|_| options.cleanup) {
        select! {
            () = tidy_up(&own, &fleet, &profile, &mut course) => {}
            () = signals.next() => course.observer.note("interrupted: rooms are left as they are"),
        }
    }

    // A fault without an end has gone on until now; what it did is not told before it is asked for.
    for (fault, planted) in (0..).zip(&profile.faults) {
        if planted.kind.is_target_side()
            && planted.duration.is_none()
            && let Ok(Some(affected)) = ground.fault(fault, false).await
        {
            stage.tell(Event::Planted { fault, affected });
        }
    }
    if let Some(log) = log.take() {
        log.finish(&stage).await;
    }
    let mut last = course.snapshot();
    last.collected.hooks = hooks.records();
    let unwritten = fleet.line().tokens.unwritten();
    if unwritten > 0 {
        last.collected.harness.refused.insert("refresh_tokens_unwritten", unwritten);
    }
    if let Some(failed) = ground.fanout_failed().await {
        last.collected.server.fanout_failed = Some(failed);
    }
    ground.stop().await;
    let findings = stage.ask(|_, conductor| conductor.take_findings());
    let interrupted = hurried || last.collected.harness.interrupted;
    let (summary, directory) = recorder.finish(findings, &last).map_err(RunError::internal)?;
    Ok(RunOutcome { summary, directory, interrupted, truth })
}

/// `run --cleanup`: whoever made a room is in it to the end of the audit, and nobody is connected any more.
async fn tidy_up(own: &OwnRooms, fleet: &Fleet, profile: &Profile, course: &mut Course<'_>) {
    let population = Population::new(&profile.population);
    let told = own.put_away(fleet.line(), &population, &mut |line| course.observer.note(line)).await;
    for line in told {
        course.observer.note(&line);
        course.recorder.log("rooms", line);
    }
}

async fn disband(profile: &Profile, stage: &Rc<Stage>, fleet: &Rc<Fleet>, loopback: bool) {
    drop(stage.leave());
    let clients = f64::from(profile.population.clients);
    let rate = if loopback {
        LEAVES_PER_S.max(clients / LEAVING.as_secs_f64())
    } else {
        profile.limits.connects.0.max(clients / LEAVING_REMOTE.as_secs_f64())
    };
    fleet.leave(rate).await;
    fleet.line().tokens.finish().await;
}

/// From the first order to the last answer of the audit.
struct Course<'a> {
    profile: &'a Arc<Profile>,
    stage: &'a Rc<Stage>,
    scraper: &'a Rc<Scraper>,
    recorder: &'a mut Recorder,
    observer: &'a mut dyn RunObserver,
    /// The row that `run.log` last spoke of.
    told: IntervalRow,
}

impl Course<'_> {
    async fn play(
        &mut self,
        probe: &crate::driver::strain::Probe,
        signals: &mut Signals,
    ) -> Result<(), RunError> {
        let stage = Rc::clone(self.stage);
        let clock = stage.clock;
        let mut interrupted = false;
        let mut last_row = clock.now();
        let mut next_row = last_row + self.profile.report.interval;
        let mut next_look = clock.now();
        probe.begin(clock.now());
        stage.tell(Event::Timer);
        while !stage.is_finished() {
            if let Some(error) = stage.failure() {
                return Err(RunError::internal(error));
            }
            let wake = stage.ask(|_, conductor| conductor.next_wake()).unwrap_or(Timestamp::MAX);
            select! {
                biased;
                () = signals.next() => {
                    if interrupted {
                        return Err(RunError::Interrupted);
                    }
                    interrupted = true;
                    self.observer.note("interrupted: a short drain, then the report (again: end at once)");
                    self.recorder.log("signal", "interrupted");
                    stage.tell(Event::Interrupted);
                }
                () = sleep_until(clock.instant(wake)) => stage.tell(Event::Timer),
                () = sleep_until(clock.instant(probe.due())) => {
                    let strain = probe.look(clock.now());
                    stage.tell(Event::Strain(strain));
                }
                () = sleep_until(clock.instant(next_look)) => {
                    next_look = after(next_look, self.profile.target.scrape_interval, clock);
                    self.scraper.look(&stage);
                    if let Some(part) = stage.ground.has_broken_down() {
                        stage.fail(ProcessError::Gone { part });
                    }
                }
                () = sleep_until(clock.instant(next_row)) => {
                    next_row = after(next_row, self.profile.report.interval, clock);
                    last_row = self.end_interval(last_row);
                }
                () = stage.rearmed() => {}
            }
        }
        self.end_interval(last_row);
        Ok(())
    }

    /// Writes and shows what happened since `begun`, and returns when the next interval begins.
    fn end_interval(&mut self, begun: Timestamp) -> Timestamp {
        let (now, row, latencies, findings, progress) = self.stage.ask(|now, conductor| {
            let (row, latencies) = conductor.turn(now);
            (now, row, latencies, conductor.take_findings(), conductor.progress(now))
        });
        let length = now.since(begun);
        self.observer.interval(&ProgressView::from_row(&row, length, progress.time_left, progress.missed));
        self.log_changes(&row);
        let so_far = self.snapshot();
        self.recorder.record(Job::Interval(Box::new(Interval { row, length, latencies, findings, so_far })));
        now
    }

    /// What commands have said.
    fn log_hooks(&mut self) {
        for line in self.stage.hooks.take_lines() {
            self.recorder.log("hook", line);
        }
    }

    /// What a person would look for in `run.log`: when a phase or a fault began, when connections were lost.
    fn log_changes(&mut self, row: &IntervalRow) {
        self.log_hooks();
        if let Some(told) = self.stage.take_told() {
            self.recorder.log("positions", told);
        }
        let (live, wanted) = (row.clients_live, row.clients_wanted);
        if row.phase != self.told.phase {
            self.recorder.log("phase", format!("{}: {live} of {wanted} clients live", row.phase));
        }
        if row.faults != self.told.faults {
            let faults = if row.faults.is_empty() { "none" } else { &row.faults };
            self.recorder.log("faults", format!("in force: {faults}"));
        }
        if row.disconnects > 0 || row.connect_failures > 0 {
            let (lost, failed, back) = (row.disconnects, row.connect_failures, row.reconnects);
            let line = format!(
                "{lost} disconnects, {failed} failed attempts, {back} reconnects; {live} of {wanted} live"
            );
            self.recorder.log("connections", line);
        }
        if row.missed_after_bridging > 0 {
            self.recorder.log("missed", format!("{} events missed for good", row.missed_after_bridging));
        }
        self.told = row.clone();
    }

    fn snapshot(&self) -> Snapshot {
        self.stage.ask(|now, conductor| Snapshot {
            collected: conductor.collected(now),
            duration: now.since(Timestamp::ZERO),
        })
    }
}

/// The next point of a timetable that is still ahead.
fn after(last: Timestamp, step: Duration, clock: Clock) -> Timestamp {
    let (next, now) = (last + step, clock.now());
    if next > now { next } else { now + step }
}
