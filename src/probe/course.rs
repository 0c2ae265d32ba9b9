//! One whole probe: the checks side by side, the report.

use std::cell::Cell;
use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;
use thiserror::Error;

use super::check::Check;
use super::checks;
use super::judgement::{Judgement, Observation, Outcome};
use super::path::{BRIDGER, IDENTITIES, IDENTITIES_MIN, Path};
use super::report::{CheckReport, Report};
use super::vigil::Vigil;
use super::visit::visit;
use crate::driver::identities::Identities;
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
        "find {IDENTITIES_MIN} identities of one tenant in `{path}` (auth.credentials): its first tenant has {found}, and \
         {IDENTITIES} are best; add rows of that tenant", path = .path.display()
    )]
    TooFew {
        /// The credentials file.
        path: PathBuf,
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
    pub(super) fn preflight(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
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
                return Err(ProbeError::TooFew { path: path.into(), found });
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
