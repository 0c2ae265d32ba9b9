//! Before the first client: every identity signed in, every room there and entered, one marker published in each.
//!
//! The highest marker position of a tenant is where its clients start (protocol.md, section 7): hello carries none, and
//! `since=0` would replay a tenant's whole history. Whoever publishes nothing takes the newest row of the rooms' histories.

mod away;
mod given;
mod job;
mod made;
mod remembered;

use std::rc::Rc;

use thiserror::Error;
use uuid::Uuid;

use super::api;
use super::http::{Call, Trouble};
use super::line::Line;
use super::publisher::read_page;
use crate::plan::Population;
use crate::profile::RoomType;
use crate::profile::quantity::Rate;
use crate::wire::{CONTENT_MIN, Created, Position, RawStamp, Registered, ReplyError, send_body};

use given::Using;
use job::{Failed, Job, Note};
use made::Making;

pub use away::PutAway;
pub use given::{Given, GivenError, Missing};
pub use remembered::{Remembered, Room, State};

/// Connections that provisioning uses at once.
pub const CONNECTIONS: usize = 64;

/// What provisioning made and learned: the server's ids of what the plan numbers.
#[derive(Clone, Debug)]
pub struct Provisioned {
    /// Ids of rooms, by index in the plan; empty for a room without members.
    pub rooms: Rc<[Box<str>]>,
    /// What the server calls each client, by its number.
    pub registered: Vec<Registered>,
    /// Ids of tenants, by index in the plan.
    pub tenants: Vec<Box<str>>,
    /// First `last_stream_position` of a tenant's clients.
    pub positions: Vec<Position>,
}

/// Which rooms a run takes place in.
#[derive(Clone, Copy, Debug)]
pub enum Rooms<'a> {
    /// The harness's own: those of an earlier run that fit, else new ones.
    Own {
        /// What kind of room is made.
        room_type: RoomType,
        /// What earlier runs made, and what this one makes.
        remembered: &'a Remembered,
    },
    /// Others'.
    Given {
        /// Theirs.
        given: &'a Given,
        /// Nothing may be published, markers included.
        silent: bool,
        /// Clients begin at position 0: nobody need find out another.
        from_zero: bool,
    },
}

/// How fast provisioning may go; `None`: as fast as the target answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paces {
    /// First logins a second.
    pub logins: Option<Rate>,
    /// Rooms made and entered a second.
    pub rooms: Option<Rate>,
    /// Markers a second.
    pub markers: Option<Rate>,
}

/// Why a run cannot be provisioned; completes "failed to …".
#[derive(Debug, Error)]
pub enum ProvisionError {
    /// The server said no.
    #[error("{step}: the target answered {status}{}", code.as_ref().map(|code| format!(" {code}")).unwrap_or_default())]
    Refused {
        /// What was wanted.
        step: String,
        /// The HTTP status.
        status: u16,
        /// `error.code`
        code: Option<Box<str>>,
    },
    /// There was no answer.
    #[error("{step}")]
    Unanswered {
        /// What was wanted.
        step: String,
        /// Why there is none.
        source: Trouble,
    },
    /// There was an answer that says nothing.
    #[error("{step}: read the answer")]
    Malformed {
        /// What was wanted.
        step: String,
        /// What is wrong with it.
        source: ReplyError,
    },
    /// A token file has nothing left to sign in with.
    #[error(
        "{0}: its tokens are spent: an earlier run used them, and did not live to see what they were replaced by; \
             put fresh ones into that line"
    )]
    Spent(String),
    /// Neither reply nor history tells a position.
    #[error(
        "find out the position of the marker in room {0}: neither the reply nor the room's history has it"
    )]
    NoPosition(u32),
    /// Nothing was ever published there, and nothing may be.
    #[error(
        "find out where the stream of tenant {0} stands: none of its rooms has a message, and nothing is published when \
         traffic.mode is observe; publish one by hand, or write client.start = \"zero\""
    )]
    Silent(u32),
    /// The file with the rooms.
    #[error(transparent)]
    Given(#[from] GivenError),
    /// The rooms are there, and somebody may not use them.
    #[error("use the rooms of population.rooms: {}", listed(.0))]
    Forbidden(Vec<Missing>),
    /// A room could not be written down, and what nobody knows of cannot be put away.
    #[error("write \"{0}\" into the file that remembers rooms (population.kept_rooms)")]
    Unremembered(String),
    /// One tenant of the plan is two on the server.
    #[error(
        "put client {client} into its tenant: the target says {got}, and {expected} for the others of tenant {tenant}"
    )]
    TenantSplit {
        /// Number of the client.
        client: u32,
        /// Its tenant in the plan.
        tenant: u32,
        /// What the server said of it.
        got: Box<str>,
        /// What it said of the others.
        expected: Box<str>,
    },
    /// Two tenants of the plan are one on the server.
    #[error("keep tenants {0} and {1} apart: the target says that both are {2}")]
    TenantsMixed(u32, u32, Box<str>),
}

/// Provisions everything. `note` is called with a line for people now and then.
///
/// # Errors
///
/// The first refusal, with what was refused; of permissions in given rooms all that are missing.
pub async fn provision(
    line: &Line,
    population: &Population,
    run: Uuid,
    rooms: Rooms<'_>,
    paces: Paces,
    note: &mut dyn FnMut(&str),
) -> Result<Provisioned, ProvisionError> {
    let job = Job::new(line, population, run);
    let registered = job.sign_everybody_in(paces.logins, note).await?;
    let tenants = tenants_of(population, &registered)?;
    let (rooms, positions) = match rooms {
        Rooms::Own { room_type, remembered } => {
            let making = Making { job: &job, room_type, remembered, registered: &registered };
            let rooms = making.rooms(paces, note).await?;
            let positions = mark_all(&job, &rooms, None, paces, note).await?;
            (rooms, positions)
        }
        Rooms::Given { given, silent, from_zero } => {
            let using = Using::new(&job, given, &tenants, note)?;
            let tried = using.try_all(paces, note).await?;
            let rooms = using.ids();
            let positions = if silent {
                let known = (0..).zip(tried.newest);
                let known = known.map(|(tenant, newest)| match newest {
                    None if from_zero => Ok(0),
                    newest => newest.ok_or(ProvisionError::Silent(tenant)),
                });
                known.collect::<Result<_, _>>()?
            } else {
                mark_all(&job, &rooms, Some(&using), paces, note).await?
            };
            (rooms, positions)
        }
    };
    Ok(Provisioned { rooms: rooms.into(), registered, tenants, positions })
}

/// Rooms that are to be put away.
#[derive(Clone, Copy, Debug)]
pub struct Away<'a> {
    /// Where they are remembered.
    pub remembered: &'a Remembered,
    /// Which of those.
    pub rooms: &'a [Room],
    /// What the server calls each client; without it, everybody is signed in first.
    pub registered: Option<&'a [Registered]>,
}

/// Puts rooms away that were made on this target.
///
/// # Errors
///
/// An identity that cannot be signed in; a room that is gone and cannot be forgotten.
pub async fn put_away(
    line: &Line,
    population: &Population,
    run: Uuid,
    wanted: Away<'_>,
    paces: Paces,
    note: &mut dyn FnMut(&str),
) -> Result<PutAway, ProvisionError> {
    let job = Job::new(line, population, run);
    let signed_in;
    let registered = match wanted.registered {
        Some(registered) => registered,
        None => {
            signed_in = job.sign_everybody_in(paces.logins, note).await?;
            &signed_in
        }
    };
    away::put_away(&job, registered, wanted.remembered, wanted.rooms, paces, note).await
}

/// The server's id of every tenant, which must be a one-to-one affair.
fn tenants_of(population: &Population, registered: &[Registered]) -> Result<Vec<Box<str>>, ProvisionError> {
    let mut tenants: Vec<Box<str>> = Vec::new();
    for tenant in 0..population.tenants() {
        let mut members = population.clients_of_tenant(tenant);
        let expected = members.next().map(|first| registered[first as usize].tenant_id.clone());
        let expected = expected.unwrap_or_default();
        for client in members {
            let got = &registered[client as usize].tenant_id;
            if *got != expected {
                return Err(ProvisionError::TenantSplit { client, tenant, got: got.clone(), expected });
            }
        }
        if !expected.is_empty()
            && let Some(other) = tenants.iter().position(|other| *other == expected)
        {
            return Err(ProvisionError::TenantsMixed(other as u32, tenant, expected));
        }
        tenants.push(expected);
    }
    Ok(tenants)
}

/// Publishes one marker in each room; the highest position of each tenant. Where the rooms are `given`, all that may not be
/// published in are told.
async fn mark_all(
    job: &Job<'_>,
    rooms: &[Box<str>],
    given: Option<&Using<'_>>,
    paces: Paces,
    note: &mut Note<'_>,
) -> Result<Vec<Position>, ProvisionError> {
    let population = job.population;
    let mark = |room| async move {
        match (mark(job, room, &rooms[room as usize]).await, given) {
            (Err(Unmarked { publisher, failed: Some(failed), .. }), Some(using)) => {
                Ok(Err(using.missing(publisher, room, "publish in it", failed)))
            }
            (Err(Unmarked { failed: Some(failed), .. }), None) => {
                Err(failed.at(format!("publish the marker of room {room}")))
            }
            (Err(Unmarked { failed: None, .. }), _) => Err(ProvisionError::NoPosition(room)),
            (Ok(position), _) => Ok(Ok(position)),
        }
    };
    let marked = job.all("markers", paces.markers, population.rooms(), note, mark).await?;
    let (mut markers, mut missing) = (Vec::new(), Vec::new());
    for marked in marked {
        match marked {
            Ok(position) => markers.push(position),
            Err(one) => missing.push(one),
        }
    }
    if !missing.is_empty() {
        return Err(ProvisionError::Forbidden(missing));
    }
    let highest = |tenant| population.rooms_of_tenant(tenant).filter_map(|room| markers[room as usize]).max();
    Ok((0..population.tenants()).map(|tenant| highest(tenant).unwrap_or(0)).collect())
}

/// Why a room has no marker.
struct Unmarked {
    publisher: u32,
    /// `None`: it was published, and nothing tells where.
    failed: Option<Failed>,
}

/// Publishes the marker of a room and finds out its position; a room without members has none.
async fn mark(job: &Job<'_>, room: u32, id: &str) -> Result<Option<Position>, Unmarked> {
    let Some(publisher) = job.population.members(room).next() else { return Ok(None) };
    let failed = |failed| Unmarked { publisher, failed: Some(failed) };
    let now = job.line.clock.now().as_nanos();
    let stamp = RawStamp { run: &job.run, room, n: None, due_ns: now, sent_ns: now };
    let event = Uuid::new_v5(&job.id, format!("marker/{room}").as_bytes());
    let mut body = String::new();
    send_body(&stamp, event, CONTENT_MIN, &mut body);
    let path = api::send(id);
    let answer = job.try_to(publisher, true, || Call::post(&path, body.clone())).await.map_err(failed)?;
    if let Some(position) = Created::parse(&answer.body).position {
        return Ok(Some(position));
    }
    let path = api::newest(id);
    let answer = job.try_to(publisher, true, || Call::get(&path)).await.map_err(failed)?;
    let newest = read_page(&answer, true).ok().and_then(|page| page.events.first()?.position);
    newest.map(Some).ok_or(Unmarked { publisher, failed: None })
}

/// One on a line each, as many as anybody reads.
fn listed(missing: &[Missing]) -> String {
    const LISTED: usize = 20;
    let shown = missing.iter().take(LISTED).map(|one| format!("\n  {one}"));
    let more = missing.len().saturating_sub(LISTED);
    let known = missing.iter().filter(|one| one.is_known()).count();
    let unknown = missing.len() - known;
    let unknown = if unknown > 0 { format!(", {unknown} could not be tried") } else { String::new() };
    let count = format!("{known} permissions are missing{unknown}");
    let more = (more > 0).then(|| format!("\n  and {more} more"));
    std::iter::once(count).chain(shown).chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;

    pub(super) fn population(tenants: u32, clients: u32) -> Population {
        Population::new(&profile::Population {
            tenants,
            clients,
            members_per_room: 2,
            rooms_per_tenant: None,
            rooms_per_client: 2,
            ..profile::Population::default()
        })
    }

    fn registered(tenants: &[&str]) -> Vec<Registered> {
        let of = |&tenant: &&str| Registered { participant_id: "p".into(), tenant_id: tenant.into() };
        tenants.iter().map(of).collect()
    }

    #[test]
    fn tenants_must_be_one_to_one() {
        let people = population(2, 4);
        let fine = tenants_of(&people, &registered(&["a", "b", "a", "b"])).expect("one to one");
        assert_eq!(fine, ["a".into(), "b".into()]);
        let split = tenants_of(&people, &registered(&["a", "b", "c", "b"])).expect_err("split");
        assert!(matches!(split, ProvisionError::TenantSplit { client: 2, tenant: 0, .. }), "{split}");
        let mixed = tenants_of(&people, &registered(&["a", "a", "a", "a"])).expect_err("mixed");
        assert!(matches!(mixed, ProvisionError::TenantsMixed(0, 1, _)), "{mixed}");
    }
}
