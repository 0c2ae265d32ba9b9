//! One whole visit to a target: preflight, identities and rooms, whatever is asked there, rooms put away. And the probe's:
//! the checks side by side, the report.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;
use http::header::HeaderValue;
use thiserror::Error;
use tokio::runtime::{Builder, LocalOptions};
use tokio::select;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use super::check::Check;
use super::checks;
use super::judgement::{Judgement, Observation, Outcome};
use super::path::{BRIDGER, IDENTITIES, IDENTITIES_MIN, Path};
use super::report::{CheckReport, Report, Sent};
use super::vigil::Vigil;
use crate::driver::api;
use crate::driver::clock::Clock;
use crate::driver::cookies::Cookies;
use crate::driver::endpoint::Endpoint;
use crate::driver::identities::Identities;
use crate::driver::line::{Line, NamesPods};
use crate::driver::preflight::{inspect, raise_descriptor_limit};
use crate::driver::provision::{Away, Paces, Remembered, Rooms, provision, put_away};
use crate::driver::route::{self, Route};
use crate::driver::strain::Probe as Strain;
use crate::driver::tokens::{Source, Tokens};
use crate::plan::Population;
use crate::profile::quantity::{Rate, Share};
use crate::profile::{self, AuthMode, Phase, Profile};

/// What the command line adds to a profile.
#[derive(Clone, Debug)]
pub struct ProbeOptions {
    /// How long streams are held.
    pub listen: Duration,
    /// What is asked; in any order.
    pub only: Vec<Check>,
}

/// Why there is no report; the sources complete "failed to …".
#[derive(Debug, Error)]
pub enum ProbeError {
    /// Nothing was probed: the target cannot be reached, or identities cannot be signed in.
    #[error(transparent)]
    Preflight(Box<dyn Error + Send + Sync>),
    /// The credentials file has too few rows.
    #[error(
        "probe with {found} identities: at least {IDENTITIES_MIN} of one tenant are needed, and {IDENTITIES} are best; add \
         rows to auth.credentials"
    )]
    TooFew {
        /// Rows of the first tenant.
        found: usize,
    },
    /// Our own trouble.
    #[error("set up the process")]
    Process(#[from] io::Error),
    /// A person ended it.
    #[error("interrupted")]
    Interrupted,
}

impl ProbeError {
    fn preflight(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Preflight(source.into())
    }
}

/// The pace of a probe, for the rails: identities open a stream or two each in this time.
const OPENING: Duration = Duration::from_secs(10);
/// Publishes a second, at most, all checks together, by plan.
const PUBLISHES: Rate = Rate(10.0);

/// The profile with the population and the load of a probe: of `[target]`, `[auth]`, `[client]` and `[limits]` nothing is
/// changed, everything else says nothing here.
///
/// # Errors
///
/// Too few identities in the credentials file, or a file that cannot be read.
pub(crate) fn profile_for(mut profile: Profile) -> Result<Profile, ProbeError> {
    let clients = match (profile.auth.mode, &profile.auth.credentials) {
        (mode @ (AuthMode::Password | AuthMode::Tokens), Some(path)) => {
            let found = Identities::of_first_tenant(path.as_ref(), mode).map_err(ProbeError::preflight)?;
            if found < IDENTITIES_MIN as usize {
                return Err(ProbeError::TooFew { found });
            }
            u32::try_from(found).unwrap_or(IDENTITIES).min(IDENTITIES)
        }
        _ => IDENTITIES,
    };
    profile.population = profile::Population {
        tenants: 1,
        clients,
        members_per_room: clients.div_ceil(2),
        rooms_per_tenant: Some(2),
        rooms_per_client: 1,
        room_type: profile.population.room_type,
        rooms: None,
        kept_rooms: None,
    };
    profile.phases = vec![Phase { name: "probe".to_owned(), duration: OPENING, clients, rate: Share::ALL }];
    profile.traffic.rate = PUBLISHES;
    profile.faults = Vec::new();
    Ok(profile)
}

/// Probes the target of a profile that [`profile_for`] has made; `note` gets lines for people.
///
/// # Errors
///
/// When nothing could be probed. What goes wrong later is in the report.
pub fn probe(
    profile: Profile,
    options: &ProbeOptions,
    note: Box<dyn Fn(&str)>,
) -> Result<Report, ProbeError> {
    let visit = visit(profile, options.listen, note, async |path: &Rc<Path>| {
        let (judged, listened) = examine_all(path, &options.only).await;
        (judged, listened, path.limits_met())
    })?;
    let (judged, listened, limits_met) = visit.told;
    let of = |check: Check| judged.iter().find(|(own, _)| *own == check).map(|(_, judged)| judged.clone());
    let checks: Vec<CheckReport> =
        Check::ALL.iter().map(|&check| CheckReport::new(check, of(check))).collect();
    let of_checks = Check::ALL.iter().filter_map(|&check| of(check)).flat_map(|judged| judged.observed);
    let mut observed: Vec<Observation> = of_checks.collect();
    if options.only.contains(&Check::Undocumented) {
        observed.extend(limits_met);
    }
    Ok(Report {
        schema: Report::SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        run_id: visit.run_id,
        target: visit.target,
        started_at: visit.started_at,
        duration_s: (visit.took.as_secs_f64() * 1000.0).round() / 1000.0,
        listened_s: (listened.as_secs_f64() * 1000.0).round() / 1000.0,
        measured_without: Report::WITHOUT,
        outcome: Report::outcome_of(&checks),
        sent: visit.sent,
        checks,
        observed,
    })
}

/// What a visit brought.
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

/// Enters the target of a profile that [`profile_for`] has made, lets somebody ask there, and puts the rooms away again,
/// also when a person ends it meanwhile; a second signal ends at once.
///
/// # Errors
///
/// When nobody could be let in, or a person ended it.
pub(crate) fn visit<T>(
    profile: Profile,
    listen: Duration,
    note: Box<dyn Fn(&str)>,
    ask: impl AsyncFnOnce(&Rc<Path>) -> T,
) -> Result<Visit<T>, ProbeError> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut signalled = async || {
            select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        let clock = Clock::start();
        let target = profile.target.url.clone().unwrap_or_default();
        let remembered = Remembered::for_this_run(&target);
        let path = select! {
            path = enter(profile, listen, clock, &remembered, note) => Rc::new(path?),
            () = signalled() => return Err(ProbeError::Interrupted),
        };
        let begun = path.now();
        let told = select! {
            told = ask(&path) => Some(told),
            () = signalled() => None,
        };
        let took = path.now().since(begun);
        if told.is_none() {
            path.note("interrupted: putting the rooms away; once more ends at once");
        }
        select! {
            () = leave(&path, &remembered) => {}
            () = signalled() => return Err(ProbeError::Interrupted),
        }
        let started_at = jiff::Timestamp::try_from(clock.started());
        Ok(Visit {
            told: told.ok_or(ProbeError::Interrupted)?,
            run_id: path.run.to_string(),
            target,
            started_at: started_at.map_or_else(|_| String::new(), |at| format!("{at:.3}")),
            took,
            sent: path.sent(),
        })
    })
}

/// Rooms are put away, and tokens that came late are written down.
async fn leave(path: &Path, remembered: &Remembered) {
    tidy_up(path, remembered).await;
    path.line.tokens.finish().await;
    if path.line.tokens.unwritten() > 0 {
        path.note("some refresh tokens could not be written down: the next run has to sign these identities in anew");
    }
}

/// All that were asked for: side by side, then those that would disturb the others.
async fn examine_all(path: &Rc<Path>, only: &[Check]) -> (Vec<(Check, Judgement)>, Duration) {
    let vigil = {
        let path = Rc::clone(path);
        async move { Rc::new(Vigil::keep(&path).await) }.boxed_local().shared()
    };
    let listens = Check::ALL.iter().any(|check| only.contains(check) && check.needs_vigil());
    if listens {
        path.note(&format!("listening for {:.0} s", path.listen.as_secs_f64()));
    }
    let listened = Cell::new(Duration::ZERO);
    let examine = async |check: Check| {
        let vigil = async {
            if !listens {
                return None;
            }
            let vigil = vigil.clone().await;
            listened.set(vigil.listened());
            Some(vigil)
        };
        let judgement = checks::examine(check, path, vigil).await;
        let word = match judgement.outcome() {
            Outcome::Finding => "finding",
            Outcome::Inconclusive => "inconclusive",
            Outcome::Healthy | Outcome::NotAsked => "healthy",
        };
        path.note(&format!("{check}: {word}"));
        (check, judgement)
    };
    let asked = |check: &&Check| only.contains(check);
    // Whoever shares an identity with another check comes after it.
    let later = |check: &&Check| check.disturbs() || (check.asks_sync() && !path.has(BRIDGER));
    let beside = Check::ALL.iter().filter(asked).filter(|check| !later(check));
    let mut judged = join_all(beside.map(|&check| examine(check))).await;
    for &check in Check::ALL.iter().filter(asked).filter(later) {
        judged.push(examine(check).await);
    }
    (judged, listened.into_inner())
}

/// Signs identities in and makes their two rooms. Nothing is sent before the target is known to be a ScaiWave.
async fn enter(
    profile: Profile,
    listen: Duration,
    clock: Clock,
    remembered: &Remembered,
    note: Box<dyn Fn(&str)>,
) -> Result<Path, ProbeError> {
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
    let with_tls = pages.iter().chain([&url]).any(|url| url.starts_with("https:") || url.starts_with("wss:"));
    let route = Rc::new(Route::new(&profile.target, with_tls).map_err(ProbeError::preflight)?);
    let endpoint = |url: &String| Endpoint::new(url, &route).map(Rc::new).map_err(ProbeError::preflight);
    let endpoints = vec![endpoint(&url)?];
    let metrics = pages.iter().map(endpoint).collect::<Result<Vec<_>, _>>()?;
    // Few streams and few publishes: others on the target are no reason to refuse a probe.
    inspect(&clock, &agent, &endpoints, &metrics, true).await.map_err(ProbeError::preflight)?;
    let loopback = endpoints.iter().all(|endpoint| endpoint.is_loopback());

    let population = Population::new(&profile.population);
    let source = Source::of(&profile, &population, run, clock, None).map_err(ProbeError::preflight)?;
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
    let rooms = Rooms::Own { room_type: profile.population.room_type, remembered };
    let paces = paces(&profile, loopback);
    let provisioned = provision(&line, &population, run, rooms, paces, &mut |text| note(text)).await;
    let provisioned = provisioned.map_err(ProbeError::preflight)?;
    Ok(Path::new(line, run, profile, provisioned, metrics, listen, note))
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

/// Puts the probe's rooms away again; what stays is told.
async fn tidy_up(path: &Path, remembered: &Remembered) {
    let made = remembered.rooms(true);
    let wanted = Away { remembered, rooms: &made, registered: Some(&path.provisioned.registered) };
    let paces = paces(&path.profile, path.line.endpoint(0).is_loopback());
    let mut note = |text: &str| path.note(text);
    match put_away(&path.line, &path.population, path.run, wanted, paces, &mut note).await {
        Ok(put_away) => put_away.told().iter().for_each(|line| path.note(line)),
        Err(error) => path.note(&format!("the rooms of this probe stay: {error}")),
    }
}

#[expect(clippy::disallowed_methods, reason = "the id of a probe is its own each time")]
fn fresh_run_id() -> Uuid {
    Uuid::new_v4()
}
