//! Which rooms a run takes place in, and the putting away of those that runs have made.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use http::header::HeaderValue;
use thiserror::Error;
use uuid::Uuid;

use super::ground::Ground;
use super::prepare::{Spending, fresh_run_id, line_to_target, paces, parse_all};
use crate::driver::PrivateFileError;
use crate::driver::clock::Clock;
use crate::driver::line::Line;
use crate::driver::preflight::inspect;
use crate::driver::provision::{
    Away, Given, GivenError, Paces, PutAway, Remembered, Room, Rooms, State, put_away,
};
use crate::driver::route::Route;
use crate::driver::strain::Probe;
use crate::plan::Population;
use crate::profile::{ClientStart, Profile, TrafficMode};
use crate::report::run::{HookOptions, RunError, RunObserver, RunOptions};
use crate::wire::Registered;

/// Where the rooms of a run come from.
pub(super) enum RoomSource {
    /// `population.rooms`
    Given(Given),
    /// The embedded target's, which end with it.
    Embedded(Remembered),
    /// A deployment's, made by runs; `None`: nothing says where to remember them.
    Own(Remembered, Option<PathBuf>),
}

/// Rooms of this run that are the harness's own, on a deployment.
pub(super) struct OwnRooms {
    remembered: Remembered,
    run: Uuid,
    registered: Vec<Registered>,
    paces: Paces,
}

/// Why there is nothing to put away; completes "failed to …".
#[derive(Debug, Error)]
enum CleanupError {
    #[error("put rooms away: the embedded target ends with its rooms; name a deployment with --target")]
    Embedded,
    #[error("put rooms away: population.rooms names existing ones, and nothing is ever made")]
    Given,
    #[error(
        "find out which rooms were made: name the file that remembers them in population.kept_rooms (without it, it is beside \
         auth.credentials or auth.key_file, and this profile names neither)"
    )]
    Nowhere,
}

impl RoomSource {
    /// The existing rooms that the profile names, before anything is sent.
    ///
    /// # Errors
    ///
    /// A wrong row.
    pub(super) fn read(profile: &Profile) -> Result<Option<Given>, GivenError> {
        profile.population.rooms.as_ref().map(|path| Given::load(Path::new(path))).transpose()
    }

    /// Those, or else the file that remembers what was made: it is held from now on. Whoever uses the same credentials at the
    /// same time has been told so by then.
    ///
    /// # Errors
    ///
    /// A file that cannot be held.
    pub(super) fn open(profile: &Profile, given: Option<Given>) -> Result<Self, PrivateFileError> {
        if let Some(given) = given {
            return Ok(Self::Given(given));
        }
        let Some(url) = &profile.target.url else { return Ok(Self::Embedded(Remembered::for_this_run(""))) };
        let path = kept_path(profile);
        let remembered = match &path {
            Some(path) => Remembered::open(path, url)?,
            None => Remembered::for_this_run(url),
        };
        Ok(Self::Own(remembered, path))
    }

    /// What people should know before rooms are made.
    pub(super) fn warning(&self) -> Option<&'static str> {
        matches!(self, Self::Own(_, None)).then_some(
            "rooms made now are not remembered: population.kept_rooms names no file, and there is neither auth.credentials \
             nor auth.key_file to put one beside; --cleanup puts them away at the end",
        )
    }

    /// The rooms, for provisioning.
    pub(super) fn rooms(&self, profile: &Profile) -> Rooms<'_> {
        match self {
            Self::Given(given) => Rooms::Given {
                given,
                silent: profile.traffic.mode == TrafficMode::Observe,
                from_zero: profile.client.start == ClientStart::Zero,
            },
            Self::Embedded(remembered) | Self::Own(remembered, _) => {
                Rooms::Own { room_type: profile.population.room_type, remembered }
            }
        }
    }

    /// What a run that could not begin leaves on a deployment.
    pub(super) fn left_behind(&self) -> Option<String> {
        let Self::Own(remembered, path) = self else { return None };
        let rooms = remembered.rooms(true);
        let prefix = rooms.first()?.prefix().to_owned();
        Some(match path {
            Some(path) => format!(
                "{} rooms (\"{prefix} …\") are remembered in `{}`: the next run uses them, `wavesoak cleanup` puts them away",
                rooms.len(),
                path.display()
            ),
            None => format!("{} rooms (\"{prefix} …\") are left behind", rooms.len()),
        })
    }

    /// For putting them away at the end.
    pub(super) fn into_own(self, run: Uuid, registered: Vec<Registered>, paces: Paces) -> Option<OwnRooms> {
        match self {
            Self::Own(remembered, _) => Some(OwnRooms { remembered, run, registered, paces }),
            Self::Given(_) | Self::Embedded(_) => None,
        }
    }
}

impl OwnRooms {
    /// Puts the rooms of this run away; what is to be said of it.
    pub(super) async fn put_away(
        &self,
        line: &Line,
        population: &Population,
        note: &mut dyn FnMut(&str),
    ) -> Vec<String> {
        let rooms = self.remembered.rooms(true);
        let registered = Some(self.registered.as_slice());
        let away = Away { remembered: &self.remembered, rooms: &rooms, registered };
        match put_away(line, population, self.run, away, self.paces, note).await {
            Ok(put_away) => put_away.told(),
            Err(error) => vec![format!("failed to {error}")],
        }
    }
}

/// `population.kept_rooms`, or beside what says who the clients are.
fn kept_path(profile: &Profile) -> Option<PathBuf> {
    let auth = &profile.auth;
    let beside = || auth.credentials.as_ref().or(auth.key_file.as_ref()).map(|path| format!("{path}.rooms"));
    profile.population.kept_rooms.clone().or_else(beside).map(PathBuf::from)
}

/// `wavesoak cleanup --dry-run`
pub(super) fn look(profile: &Profile, prefix: &str) -> Result<Vec<String>, RunError> {
    let (path, url) = place(profile).map_err(RunError::preflight)?;
    let mut rooms = Remembered::look(&path, &url).map_err(RunError::preflight)?;
    rooms.retain(|room| room.name.starts_with(prefix));
    Ok(listed(&rooms, &path))
}

/// `wavesoak cleanup`
pub(super) async fn cleanup(
    profile: &Profile,
    prefix: &str,
    spending: &Spending,
    observer: &mut dyn RunObserver,
) -> Result<PutAway, RunError> {
    let (path, url) = place(profile).map_err(RunError::preflight)?;
    let remembered = Remembered::open(&path, &url).map_err(RunError::preflight)?;
    let mut rooms = remembered.rooms(false);
    rooms.retain(|room| room.name.starts_with(prefix));
    for line in listed(&rooms, &path) {
        observer.note(&line);
    }
    if rooms.is_empty() {
        return Ok(PutAway::default());
    }
    let (run, clock) = (fresh_run_id(), Clock::start());
    let agent = format!("wavesoak/{} ({run})", env!("CARGO_PKG_VERSION"));
    let agent = HeaderValue::from_str(&agent).map_err(RunError::internal)?;
    let ground_options = RunOptions {
        out: PathBuf::new(),
        shared: true,
        exe: PathBuf::new(),
        hooks: HookOptions::default(),
        cleanup: true,
        profile_toml: String::new(),
    };
    let profile = Arc::new(profile.clone());
    let ground = Ground::enter(&profile, &ground_options, clock).await?;
    let with_tls = ground.urls().iter().any(|url| url.starts_with("https:"));
    let route = Rc::new(Route::new(&profile.target, with_tls).map_err(RunError::preflight)?);
    let endpoints = parse_all(ground.urls(), &route)?;
    inspect(&clock, &agent, &endpoints, &[], true).await.map_err(RunError::preflight)?;
    let loopback = endpoints.iter().all(|endpoint| endpoint.is_loopback());
    let population = Population::new(&profile.population);
    let probe = Rc::new(Probe::new(clock.now()));
    let line = line_to_target(&profile, &population, run, clock, agent, endpoints, &ground, &probe)?;
    spending.begin(&line.tokens);
    let away = Away { remembered: &remembered, rooms: &rooms, registered: None };
    let mut note = |text: &str| observer.note(text);
    let done = put_away(&line, &population, run, away, paces(&profile, loopback), &mut note).await;
    done.map_err(RunError::preflight)
}

/// The file, and the target whose rooms are wanted.
fn place(profile: &Profile) -> Result<(PathBuf, String), CleanupError> {
    let url = profile.target.url.clone().ok_or(CleanupError::Embedded)?;
    if profile.population.rooms.is_some() {
        return Err(CleanupError::Given);
    }
    Ok((kept_path(profile).ok_or(CleanupError::Nowhere)?, url))
}

/// How many rooms of which run.
fn listed(rooms: &[Room], path: &Path) -> Vec<String> {
    if rooms.is_empty() {
        return vec![format!("`{}` remembers no such rooms of this target", path.display())];
    }
    let mut prefixes: Vec<&str> = rooms.iter().map(Room::prefix).collect();
    prefixes.dedup();
    let of = |prefix: &str| {
        let own: Vec<&Room> = rooms.iter().filter(|room| room.prefix() == prefix).collect();
        let asked = own.iter().filter(|room| room.state == State::Asked).count();
        let asked =
            if asked > 0 { format!(", {asked} of them asked for and never answered") } else { String::new() };
        format!("\"{prefix}\": {} rooms{asked}", own.len())
    };
    prefixes.into_iter().map(of).collect()
}
