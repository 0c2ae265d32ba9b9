//! Everything before the first client: refuse what cannot work, stand up the target, open the outputs, provision.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use http::header::HeaderValue;
use thiserror::Error;
use uuid::Uuid;

use super::ground::Ground;
use super::hooks::Hooks;
use super::log_tail::LogTail;
use super::recorder::Recorder;
use super::rooms::{OwnRooms, RoomSource};
use super::scraper::{Pods, Scraper};
use super::stage::{Stage, Watch};
use crate::collector::Names;
use crate::driver::clock::Clock;
use crate::driver::cookies::Cookies;
use crate::driver::endpoint::Endpoint;
use crate::driver::fleet::{Birth, Fleet};
use crate::driver::line::{Line, NamesPods};
use crate::driver::preflight::{
    AUDIT_CONNECTIONS, Holding, Machine, SEND_CONNECTIONS, hold, inspect, raise_descriptor_limit,
};
use crate::driver::provision::{Paces, Provisioned, provision};
use crate::driver::publisher::{Connections, Publisher};
use crate::driver::route::{self, Route};
use crate::driver::store::{self, Store};
use crate::driver::strain::Probe;
use crate::driver::tokens::{Source, Tokens};
use crate::plan::{Population, Shard};
use crate::profile::quantity::Rate;
use crate::profile::{ClientStart, Profile, TrafficMode};
use crate::report::RunInfo;
use crate::report::directory::RunDirectory;
use crate::report::run::{RunError, RunObserver, RunOptions};
use crate::seed::Seed;
use crate::session::{Session, Settings};
use crate::wire::Position;
use crate::worker::conductor::{Conductor, Event, Setup};

/// A run that can begin at once.
pub(super) struct Prepared {
    pub(super) ground: Rc<Ground>,
    pub(super) fleet: Rc<Fleet>,
    pub(super) stage: Rc<Stage>,
    pub(super) scraper: Rc<Scraper>,
    pub(super) log: Option<LogTail>,
    pub(super) recorder: Recorder,
    pub(super) probe: Rc<Probe>,
    pub(super) loopback: bool,
    /// What was made on a deployment; existing rooms, and those of the embedded target, are nobody's to put away.
    pub(super) own_rooms: Option<OwnRooms>,
}

/// Refresh tokens that are on their way to the target before there is a run: whoever interrupts it waits for their answers,
/// which are written down, and which nobody will ever give again.
#[derive(Default)]
pub(super) struct Spending(RefCell<Option<Rc<Tokens>>>);

impl Spending {
    pub(super) fn begin(&self, tokens: &Rc<Tokens>) {
        *self.0.borrow_mut() = Some(Rc::clone(tokens));
    }

    /// No longer than the deadline of a request.
    pub(super) async fn finish(&self) {
        let tokens = self.0.borrow_mut().take();
        if let Some(tokens) = tokens {
            tokens.finish().await;
        }
    }
}

/// Why a run cannot begin, beside what preflight, tokens and provisioning say themselves; completes "failed to …".
#[derive(Debug, Error)]
enum PrepareError {
    /// The server's own log cannot be read.
    #[error("read the server's log `{path}` (target.log_file)")]
    LogFile {
        /// As in the profile.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The thread that writes files did not start.
    #[error("start the thread that writes the run directory")]
    Recorder(#[source] std::io::Error),
}

/// Prepares a run. Nothing is sent to the target before it is known to be one, and no client starts.
///
/// # Errors
///
/// [`RunError::Preflight`] with the first thing that is in the way.
pub(super) async fn prepare(
    profile: Arc<Profile>,
    options: &RunOptions,
    clock: Clock,
    hooks: &Rc<Hooks>,
    spending: &Spending,
    observer: &mut dyn RunObserver,
) -> Result<Prepared, RunError> {
    let run = fresh_run_id();
    let probe = Rc::new(Probe::new(clock.now()));
    raise_descriptor_limit().map_err(RunError::preflight)?;
    hold(&Holding::new(&profile, Ground::endpoints_planned(&profile)), &Machine::look())
        .map_err(RunError::preflight)?;

    let given = RoomSource::read(&profile).map_err(RunError::preflight)?;

    let ground = Rc::new(Ground::enter(&profile, options, clock).await?);
    for line in ground.notes(&profile).into_iter().chain(route::ignored_proxy(&profile.target)) {
        observer.note(&line);
    }
    let agent = format!("wavesoak/{} ({run})", env!("CARGO_PKG_VERSION"));
    let agent = HeaderValue::from_str(&agent).map_err(RunError::internal)?;
    let mut urls = ground.urls().iter().chain(ground.metrics());
    let with_tls = urls.any(|url| url.starts_with("https:"));
    let route = Rc::new(Route::new(&profile.target, with_tls).map_err(RunError::preflight)?);
    let endpoints = parse_all(ground.urls(), &route)?;
    let pods = Pods::find(parse_all(ground.metrics(), &route)?, ground.is_partial()).await;
    let looked = inspect(&clock, &agent, &endpoints, pods.endpoints(), options.shared).await;
    let looked = looked.map_err(RunError::preflight)?;
    let loopback = endpoints.iter().all(|endpoint| endpoint.is_loopback());
    let places = from_each_address(&route, &ground, &endpoints).await?;

    let log = server_log(&profile, ground.is_embedded()).map_err(RunError::preflight)?;

    let started = jiff::Timestamp::try_from(clock.started()).map_err(RunError::internal)?;
    let info = RunInfo::new(&profile, run, started);
    let directory =
        RunDirectory::create(&options.out, &info, &options.profile_toml).map_err(RunError::preflight)?;
    observer.note(&format!("writing to {}", directory.path().display()));
    let population = Population::new(&profile.population);
    let store = Store::begin(&directory.path().join(store::FILE), run, population.clients());
    let store = store.map_err(RunError::preflight)?;
    let recorder = Recorder::begin(directory, Arc::clone(&profile), info)
        .map_err(|source| RunError::preflight(PrepareError::Recorder(source)))?;

    let line = line_to_target(&profile, &population, run, clock, agent.clone(), places, &ground, &probe)?;
    spending.begin(&line.tokens);
    let source = RoomSource::open(&profile, given).map_err(RunError::preflight)?;
    if let Some(warning) = source.warning() {
        observer.note(warning);
    }
    let paces = paces(&profile, loopback);
    let mut note = |text: &str| observer.note(text);
    let provisioned = provision(&line, &population, run, source.rooms(&profile), paces, &mut note).await;
    let provisioned = match provisioned {
        Ok(provisioned) => provisioned,
        Err(error) => {
            source.left_behind().into_iter().for_each(|line| observer.note(&line));
            return Err(RunError::preflight(error));
        }
    };

    let Provisioned { rooms, registered, tenants, positions } = provisioned;
    let participants = registered.iter().map(|registered| registered.participant_id.clone()).collect();
    let own_rooms = source.into_own(run, registered, paces);
    let usernames = line.tokens.usernames();
    let tenant_names = (0..population.tenants())
        .filter_map(|tenant| population.clients_of_tenant(tenant).next())
        .map(|client| line.tokens.tenant_name(client, &population).into())
        .collect();
    let names = Names { tenants, rooms: rooms.to_vec(), tenant_names, participants, usernames };
    let setup = Setup {
        profile: Arc::clone(&profile),
        run,
        shard: Shard::WHOLE,
        origin: clock.now(),
        names,
        endpoints: pods.endpoints().len(),
        partial: ground.is_partial(),
        publishes_limit: (!loopback).then_some(profile.limits.publishes.0),
        sync_limit: (!loopback).then_some(profile.limits.sync_requests.0),
        embedded: ground.is_embedded(),
        starts: positions.clone(),
    };
    let sends = (profile.traffic.max_in_flight as usize).min(SEND_CONNECTIONS as usize);
    let loads = if profile.traffic.sync_rate.0 > 0.0 { sends } else { 0 };
    let connections = Connections { sends, audits: AUDIT_CONNECTIONS as usize, loads };
    let publisher = Publisher::new(Rc::clone(&line), &run.to_string(), rooms, connections);
    let scraper = Rc::new(Scraper::new(clock, agent, pods, &endpoints));
    let mut conductor = Conductor::new(setup);
    for (endpoint, text) in (0..).zip(&looked) {
        conductor.handle(clock.now(), Event::Scraped { endpoint, text: text.as_deref() });
    }
    let stage = Stage::new(clock, conductor, Rc::new(publisher), Rc::clone(&ground), Rc::clone(hooks));
    let watch = Rc::new(Watch(Rc::downgrade(&stage)));
    let (clients, flush_interval) = (population.clients(), profile.client.flush_interval);
    let birth = birth(&profile, run, population, positions);
    let fleet = Fleet::new(clients, line, watch, birth, store, flush_interval);
    stage.enter(Rc::clone(&fleet));
    Ok(Prepared { ground, fleet, stage, scraper, log, recorder, probe, loopback, own_rooms })
}

#[expect(clippy::disallowed_methods, reason = "a run's id must never follow from its seed")]
pub(super) fn fresh_run_id() -> Uuid {
    Uuid::new_v4()
}

/// Where clients connect to, in turn: each of the endpoints, from each address of this machine that they may use. A client
/// keeps to its own.
async fn from_each_address(
    route: &Route,
    ground: &Ground,
    endpoints: &[Rc<Endpoint>],
) -> Result<Vec<Rc<Endpoint>>, RunError> {
    let routes = route.from_each_address();
    if routes.len() == 1 {
        return Ok(endpoints.to_vec());
    }
    let mut places = Vec::new();
    for route in routes {
        for place in parse_all(ground.urls(), &Rc::new(route))? {
            place.resolve().await.map_err(RunError::preflight)?;
            places.push(place);
        }
    }
    Ok(places)
}

fn server_log(profile: &Profile, embedded: bool) -> Result<Option<LogTail>, PrepareError> {
    let Some(path) = &profile.target.log_file else { return Ok(None) };
    let tail = LogTail::at_end(path.as_ref(), embedded);
    tail.map(Some).map_err(|source| PrepareError::LogFile { path: path.clone(), source })
}

pub(super) fn parse_all(urls: &[String], route: &Rc<Route>) -> Result<Vec<Rc<Endpoint>>, RunError> {
    urls.iter().map(|url| Endpoint::new(url, route).map(Rc::new).map_err(RunError::preflight)).collect()
}

#[expect(
    clippy::too_many_arguments,
    reason = "each is one thing that everybody who talks to the target needs"
)]
pub(super) fn line_to_target(
    profile: &Profile,
    population: &Population,
    run: Uuid,
    clock: Clock,
    agent: HeaderValue,
    endpoints: Vec<Rc<Endpoint>>,
    ground: &Ground,
    probe: &Rc<Probe>,
) -> Result<Rc<Line>, RunError> {
    let source = Source::of(profile, population, run, clock, ground.key());
    let source = source.map_err(RunError::preflight)?;
    let tokens =
        Tokens::new(clock, source, agent.clone(), profile.client.sync_deadline, population.clients());
    Ok(Rc::new(Line {
        clock,
        agent,
        endpoints,
        tokens: Rc::new(tokens),
        probe: Rc::clone(probe),
        cookies: RefCell::new(vec![Cookies::default(); population.clients() as usize]),
        names_pods: NamesPods::of(&profile.target),
        read_buffer: RefCell::default(),
        connect_deadline: profile.client.connect_deadline,
        sync_deadline: profile.client.sync_deadline,
    }))
}

/// Off loopback, what provisioning does for itself keeps to the profile's limits.
pub(super) fn paces(profile: &Profile, loopback: bool) -> Paces {
    let (logins, limits) = (profile.auth.login_rate, &profile.limits);
    if loopback {
        return Paces { logins: Some(logins), rooms: None, markers: None };
    }
    Paces {
        logins: Some(Rate(logins.0.min(limits.logins.0))),
        rooms: Some(limits.connects),
        markers: Some(limits.publishes),
    }
}

/// How a client's session is made when it starts for the first time.
fn birth(profile: &Arc<Profile>, run: Uuid, population: Population, positions: Vec<Position>) -> Birth {
    let observe = profile.traffic.mode == TrafficMode::Observe;
    let settings = Arc::new(Settings::new(profile.client.clone(), run.to_string()).observing(observe));
    let (seed, start) = (Seed(profile.seed), profile.client.start);
    Box::new(move |client, life| {
        let position = match start {
            ClientStart::Marker => positions[population.tenant_of(client) as usize],
            ClientStart::Zero => 0,
        };
        Session::new(Arc::clone(&settings), position, life, seed.stream("session", [u64::from(client), 0, 0]))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::session::TokenLife;

    #[test]
    fn a_client_starts_behind_the_highest_marker_of_its_tenant_or_at_zero() {
        let text = "name = \"t\"\n[population]\ntenants = 2\nclients = 4\n\
                    [[phase]]\nname = \"ramp\"\nduration = \"1s\"\nclients = \"100%\"\n";
        let mut profile = crate::profile::parse(text, "test.toml", &[]).expect("a good profile").profile;
        for (start, expected) in [(ClientStart::Marker, [7, 9, 7, 9]), (ClientStart::Zero, [0; 4])] {
            profile.client.start = start;
            let (people, shared) = (Population::new(&profile.population), Arc::new(profile.clone()));
            let birth = birth(&shared, Uuid::nil(), people, vec![7, 9]);
            let life = TokenLife { issued: crate::time::Timestamp::ZERO, life: Duration::from_secs(60) };
            assert_eq!([0, 1, 2, 3].map(|client| birth(client, life).position()), expected);
        }
    }
}
