//! A stay at a target: identities signed in, two rooms made for them, something done there, and the rooms put away again,
//! however it ends.
//!
//! A signal ends what is being done; the rooms are put away all the same, for no longer than [`PARTING`], and a second
//! signal ends that too.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use http::header::HeaderValue;
use tokio::runtime::{Builder, LocalOptions};
use tokio::select;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use uuid::Uuid;

use super::course::ProbeError;
use super::path::Path;
use super::report::Sent;
use crate::driver::api;
use crate::driver::clock::Clock;
use crate::driver::cookies::Cookies;
use crate::driver::endpoint::Endpoint;
use crate::driver::line::{Line, NamesPods};
use crate::driver::preflight::{inspect, raise_descriptor_limit};
use crate::driver::provision::{Away, Paces, Provisioned, Remembered, Rooms, provision, put_away};
use crate::driver::route::{self, Route};
use crate::driver::strain::Probe as Strain;
use crate::driver::tokens::{Source, Tokens};
use crate::plan::Population;
use crate::profile::Profile;
use crate::profile::quantity::Rate;
use crate::wire::Registered;

/// How long a person who has interrupted it waits for the rooms to be put away, at most (ours).
const PARTING: Duration = Duration::from_secs(10);

/// What a stay brought.
pub(crate) struct Visit<T> {
    /// What was told by whoever was let in.
    pub(crate) told: T,
    /// In the User-Agent of every request.
    pub(crate) run_id: String,
    /// The URL.
    pub(crate) target: String,
    /// UTC, RFC 3339.
    pub(crate) started_at: String,
    /// From the first request after provisioning to the last answer.
    pub(crate) took: Duration,
    /// What was done to the target.
    pub(crate) sent: Sent,
}

/// Signs in, does `work`, and puts the rooms away that were made for it. `note` gets lines for people.
///
/// # Errors
///
/// When nothing could be entered, and [`ProbeError::Interrupted`] when a signal has ended it.
pub(crate) fn visit<T>(
    profile: Profile,
    listen: Duration,
    note: Box<dyn Fn(&str)>,
    work: impl AsyncFnOnce(&Rc<Path>) -> T,
) -> Result<Visit<T>, ProbeError> {
    let clock = Clock::start();
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(stay(profile, listen, clock, note, work))
}

async fn stay<T>(
    profile: Profile,
    listen: Duration,
    clock: Clock,
    note: Box<dyn Fn(&str)>,
    work: impl AsyncFnOnce(&Rc<Path>) -> T,
) -> Result<Visit<T>, ProbeError> {
    let mut signals = Signals::catch()?;
    let remembered = Remembered::for_this_run(profile.target.url.as_deref().unwrap_or_default());
    let gate = select! {
        gate = Gate::reach(&profile, clock, &*note) => gate?,
        () = signals.next() => return Err(ProbeError::Interrupted),
    };
    let entered = select! {
        entered = gate.enter(&profile, &remembered, &*note) => entered,
        () = signals.next() => Err(ProbeError::Interrupted),
    };
    let provisioned = match entered {
        Ok(provisioned) => provisioned,
        Err(error) => {
            // Half a stay leaves rooms as well.
            signals.part(gate.leave(&remembered, None, &*note), &*note).await;
            return Err(error);
        }
    };
    let Gate { line, metrics, run, .. } = &gate;
    let path = Path::new(Rc::clone(line), *run, profile, provisioned, metrics.clone(), listen, note);
    let path = Rc::new(path);
    let begun = path.now();
    let done = select! {
        done = work(&path) => Some(Visit::of(done, &path, path.now().since(begun))),
        () = signals.next() => None,
    };
    let leaving = async {
        path.archive_side_rooms().await;
        gate.leave(&remembered, Some(&path.provisioned.registered), &|text| path.note(text)).await;
    };
    match done {
        Some(done) => {
            // The limits set the pace, and nobody has asked for haste; a person may still.
            let left = select! {
                () = leaving => true,
                () = signals.next() => false,
            };
            if left {
                return Ok(done);
            }
            path.note("interrupted: rooms of this probe may stay");
            Err(ProbeError::Interrupted)
        }
        None => {
            path.note(&format!(
                "interrupted: putting the rooms away, for {} s at most; another signal leaves them there",
                PARTING.as_secs()
            ));
            signals.part(leaving, &|text| path.note(text)).await;
            Err(ProbeError::Interrupted)
        }
    }
}

impl<T> Visit<T> {
    fn of(told: T, path: &Path, took: Duration) -> Self {
        let started_at = jiff::Timestamp::try_from(path.line.clock.started());
        Self {
            told,
            run_id: path.run.to_string(),
            target: path.profile.target.url.clone().unwrap_or_default(),
            started_at: started_at.map_or_else(|_| String::new(), |at| format!("{at:.3}")),
            took,
            sent: path.sent(),
        }
    }
}

/// SIGINT and SIGTERM, which mean the same.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on they no longer end the process by themselves.
    fn catch() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Lets this be done, unless it takes too long or the next signal comes.
    async fn part(&mut self, parting: impl Future<Output = ()>, note: &dyn Fn(&str)) {
        select! {
            parted = timeout(PARTING, parting) => if parted.is_err() {
                note("the rooms of this probe stay: they could not be put away in time");
            },
            () = self.next() => {}
        }
    }
}

/// A target that is known to be a ScaiWave, and a way to it; nobody is signed in yet.
struct Gate {
    line: Rc<Line>,
    metrics: Vec<Rc<Endpoint>>,
    population: Population,
    run: Uuid,
    paces: Paces,
}

impl Gate {
    /// Nothing is sent but questions that need no identity.
    async fn reach(profile: &Profile, clock: Clock, note: &dyn Fn(&str)) -> Result<Self, ProbeError> {
        let run = fresh_run_id();
        raise_descriptor_limit().map_err(ProbeError::preflight)?;
        if let Some(line) = route::ignored_proxy(&profile.target) {
            note(&line);
        }
        let agent = format!("wavesoak/{} ({run})", env!("CARGO_PKG_VERSION"));
        let agent = HeaderValue::from_str(&agent).map_err(ProbeError::preflight)?;
        let url = profile.target.url.clone().unwrap_or_default();
        let behind = format!("{}{}", url.trim_end_matches('/'), api::METRICS);
        let pages = &profile.target.metrics;
        let pages = if pages.is_empty() { std::slice::from_ref(&behind) } else { pages };
        let with_tls =
            pages.iter().chain([&url]).any(|url| url.starts_with("https:") || url.starts_with("wss:"));
        let route = Rc::new(Route::new(&profile.target, with_tls).map_err(ProbeError::preflight)?);
        let endpoint = |url: &String| Endpoint::new(url, &route).map(Rc::new).map_err(ProbeError::preflight);
        let endpoints = vec![endpoint(&url)?];
        let metrics = pages.iter().map(endpoint).collect::<Result<Vec<_>, _>>()?;
        // Few streams and few publishes: others on the target are no reason to refuse a probe.
        inspect(&clock, &agent, &endpoints, &metrics, true).await.map_err(ProbeError::preflight)?;
        let paces = paces(profile, endpoints.iter().all(|endpoint| endpoint.is_loopback()));
        let population = Population::new(&profile.population);
        let source = Source::of(profile, &population, run, clock, None).map_err(ProbeError::preflight)?;
        let tokens =
            Tokens::new(clock, source, agent.clone(), profile.client.sync_deadline, population.clients());
        let line = Rc::new(Line {
            clock,
            agent,
            endpoints,
            tokens: Rc::new(tokens),
            probe: Rc::new(Strain::new(clock.now())),
            cookies: RefCell::new(vec![Cookies::default(); population.clients() as usize]),
            names_pods: NamesPods::of(&profile.target),
            read_buffer: RefCell::default(),
            connect_deadline: profile.client.connect_deadline,
            sync_deadline: profile.client.sync_deadline,
        });
        Ok(Self { line, metrics, population, run, paces })
    }

    /// Signs identities in and makes their two rooms.
    async fn enter(
        &self,
        profile: &Profile,
        remembered: &Remembered,
        note: &dyn Fn(&str),
    ) -> Result<Provisioned, ProbeError> {
        let rooms = Rooms::Own { room_type: profile.population.room_type, remembered };
        let Self { line, population, run, paces, .. } = self;
        let provisioned = provision(line, population, *run, rooms, *paces, &mut |text| note(text)).await;
        provisioned.map_err(ProbeError::preflight)
    }

    /// Puts the rooms away that were made, and waits for tokens that are on their way, which the next run could not use
    /// otherwise; what stays is told.
    async fn leave(&self, remembered: &Remembered, registered: Option<&[Registered]>, note: &dyn Fn(&str)) {
        let rooms = async {
            let made = remembered.rooms(true);
            if made.is_empty() {
                return;
            }
            let Self { line, population, run, paces, .. } = self;
            let wanted = Away { remembered, rooms: &made, registered };
            match put_away(line, population, *run, wanted, *paces, &mut |text| note(text)).await {
                Ok(put_away) => put_away.told().iter().for_each(|line| note(line)),
                Err(error) => note(&format!("the rooms of this probe stay: {error}")),
            }
        };
        futures::join!(rooms, self.line.tokens.finish());
        if self.line.tokens.unwritten() > 0 {
            note(
                "some refresh tokens could not be written down: the next run has to sign these identities in anew",
            );
        }
    }
}

/// Off loopback, what is done before and after the probe keeps to the limits.
fn paces(profile: &Profile, loopback: bool) -> Paces {
    let (login_rate, limits) = (profile.auth.login_rate, &profile.limits);
    if loopback {
        return Paces { logins: Some(login_rate), ..Paces::default() };
    }
    let logins = Rate(login_rate.0.min(limits.logins.0));
    Paces { logins: Some(logins), rooms: Some(limits.connects), markers: Some(limits.publishes) }
}

#[expect(clippy::disallowed_methods, reason = "the id of a probe is its own each time")]
fn fresh_run_id() -> Uuid {
    Uuid::new_v4()
}
