//! Before the first client: every identity signed in, every room made and entered, one marker published in each.
//!
//! The highest marker position of a tenant is where its clients start (protocol.md, section 7): hello carries none, and
//! `since=0` would replay a tenant's whole history.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use futures::stream::{StreamExt as _, TryStreamExt as _, iter};
use thiserror::Error;
use tokio::time::{sleep, sleep_until};
use uuid::Uuid;

use super::api;
use super::http::{Answer, Call, Pool, Trouble, TroubleKind};
use super::line::Line;
use super::publisher::read_page;
use super::tokens::{SignInTrouble, SignedIn};
use crate::plan::Population;
use crate::profile::quantity::Rate;
use crate::wire::{
    CONTENT_MIN, Created, Position, RawStamp, Registered, ReplyError, error_code, room_id, send_body,
};

/// Connections that provisioning uses at once.
pub const CONNECTIONS: usize = 64;

/// Tries of one request that can be repeated safely.
const TRIES: u32 = 3;

/// What provisioning made and learned: the server's ids of what the plan numbers.
#[derive(Clone, Debug)]
pub struct Provisioned {
    /// Ids of rooms, by index in the plan; empty for a room without members.
    pub rooms: Rc<[Box<str>]>,
    /// Ids of participants, by number of the client.
    pub participants: Vec<Box<str>>,
    /// Ids of tenants, by index in the plan.
    pub tenants: Vec<Box<str>>,
    /// First `last_stream_position` of a tenant's clients.
    pub positions: Vec<Position>,
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
/// The first refusal, with what was refused.
pub async fn provision(
    line: &Line,
    population: &Population,
    run: Uuid,
    paces: Paces,
    note: &mut dyn FnMut(&str),
) -> Result<Provisioned, ProvisionError> {
    let pools = line
        .endpoints
        .iter()
        .map(|endpoint| Pool::new(Rc::clone(endpoint), CONNECTIONS.div_ceil(line.endpoints.len())));
    let job = Job { line, population, run: run.hyphenated().to_string(), id: run, pools: pools.collect() };

    note(&format!("signing in {} identities", population.clients()));
    let registered = job.all(paces.logins, population.clients(), |client| job.register(client)).await?;
    note_sign_ins(line.tokens.signed_in(), note);
    let tenants = tenants_of(population, &registered)?;
    let participants = registered.into_iter().map(|registered| registered.participant_id).collect();

    note(&format!("making {} rooms", population.rooms()));
    let rooms = job.all(paces.rooms, population.rooms(), |room| job.make_room(room)).await?;
    let rooms: Rc<[Box<str>]> = rooms.into();

    let joins = joins(population);
    note(&format!("entering them: {} memberships", joins.len()));
    let join = |index: u32| {
        let (client, room) = joins[index as usize];
        job.join(client, room, &rooms[room as usize])
    };
    job.all(paces.rooms, u32::try_from(joins.len()).unwrap_or(u32::MAX), join).await?;

    note("publishing one marker in each");
    let markers =
        job.all(paces.markers, population.rooms(), |room| job.mark(room, &rooms[room as usize])).await?;
    let highest = |tenant| population.rooms_of_tenant(tenant).filter_map(|room| markers[room as usize]).max();
    let positions = (0..population.tenants()).map(|tenant| highest(tenant).unwrap_or(0)).collect();
    Ok(Provisioned { rooms, participants, tenants, positions })
}

fn note_sign_ins(signed_in: SignedIn, note: &mut dyn FnMut(&str)) {
    let SignedIn { kept, by_password, given, under_way } = signed_in;
    if kept + by_password + given > 0 {
        note(&format!(
            "signed in: {kept} with refresh tokens that an earlier run kept, {by_password} by password, {given} with the \
             file's own tokens; {under_way} refreshes had been under way when that run ended"
        ));
    }
}

/// Everything that must be entered by others than its maker: (client, room).
fn joins(population: &Population) -> Vec<(u32, u32)> {
    let of_room = |room| population.members(room).skip(1).map(move |client| (client, room));
    (0..population.rooms()).flat_map(of_room).collect()
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

struct Job<'a> {
    line: &'a Line,
    population: &'a Population,
    run: String,
    id: Uuid,
    pools: Vec<Pool>,
}

impl Job<'_> {
    /// Does `step` for every number below `count`, [`CONNECTIONS`] at a time, begun no faster than `pace`; the results
    /// are in order.
    async fn all<T, F: Future<Output = Result<T, ProvisionError>>>(
        &self,
        pace: Option<Rate>,
        count: u32,
        step: impl Fn(u32) -> F,
    ) -> Result<Vec<T>, ProvisionError> {
        let begin = self.line.clock.now();
        let step = &step;
        let paced = move |number: u32| async move {
            if let Some(Rate(rate)) = pace.filter(|rate| rate.0 > 0.0) {
                let due = begin + Duration::from_secs_f64(f64::from(number) / rate);
                if due > self.line.clock.now() {
                    sleep_until(self.line.clock.instant(due)).await;
                }
            }
            step(number).await
        };
        iter(0..count).map(paced).buffered(CONNECTIONS).try_collect().await
    }

    async fn register(&self, client: u32) -> Result<Registered, ProvisionError> {
        self.sign_in(client).await?;
        let step = || format!("register client {client}");
        let answer = self.ask(client, step, true, || Call::post(api::REGISTER, "{}")).await?;
        Registered::parse(&answer.body).map_err(|source| ProvisionError::Malformed { step: step(), source })
    }

    /// Signs an identity in; a busy server is asked again.
    async fn sign_in(&self, client: u32) -> Result<(), ProvisionError> {
        let tokens = &self.line.tokens;
        let step = || match tokens.line(client) {
            Some(line) => format!("sign in client {client} (line {line} of auth.credentials)"),
            None => format!("sign in client {client}"),
        };
        let mut tries = 1;
        loop {
            let (error, again) = match tokens.sign_in(client, self.line.endpoint(client)).await {
                Ok(()) => return Ok(()),
                Err(SignInTrouble::Refused { status, code }) => {
                    let again = status == 429 || status >= 500;
                    (ProvisionError::Refused { step: step(), status, code }, again)
                }
                Err(SignInTrouble::Unanswered(source)) => {
                    (ProvisionError::Unanswered { step: step(), source }, true)
                }
                Err(SignInTrouble::Spent) => return Err(ProvisionError::Spent(step())),
            };
            if !again || tries == TRIES {
                return Err(error);
            }
            sleep(Duration::from_millis(500) * tries).await;
            tries += 1;
        }
    }

    async fn make_room(&self, room: u32) -> Result<Box<str>, ProvisionError> {
        let Some(maker) = self.population.members(room).next() else { return Ok(Box::default()) };
        let step = || format!("make room {room}");
        let name = format!("wavesoak {} room {room}", &self.run[..8]);
        let body = api::room_body(&name, &format!("made by wavesoak run {}", self.run));
        let answer = self.ask(maker, step, false, || Call::post(api::ROOMS, body.clone())).await?;
        room_id(&answer.body).map_err(|source| ProvisionError::Malformed { step: step(), source })
    }

    async fn join(&self, client: u32, room: u32, id: &str) -> Result<(), ProvisionError> {
        let path = api::join(id);
        let step = || format!("let client {client} join room {room}");
        self.ask(client, step, true, || Call::post(&path, "{}")).await.map(drop)
    }

    /// Publishes the marker of a room and finds out its position; a room without members has none.
    async fn mark(&self, room: u32, id: &str) -> Result<Option<Position>, ProvisionError> {
        let Some(publisher) = self.population.members(room).next() else { return Ok(None) };
        let now = self.line.clock.now().as_nanos();
        let stamp = RawStamp { run: &self.run, room, n: None, due_ns: now, sent_ns: now };
        let event = Uuid::new_v5(&self.id, format!("marker/{room}").as_bytes());
        let mut body = String::new();
        send_body(&stamp, event, CONTENT_MIN, &mut body);
        let path = api::send(id);
        let step = || format!("publish the marker of room {room}");
        let answer = self.ask(publisher, step, true, || Call::post(&path, body.clone())).await?;
        if let Some(position) = Created::parse(&answer.body).position {
            return Ok(Some(position));
        }
        let path = api::newest(id);
        let step = || format!("read the history of room {room}");
        let answer = self.ask(publisher, step, true, || Call::get(&path)).await?;
        let newest = read_page(&answer, true).ok().and_then(|page| page.events.first()?.position);
        newest.map(Some).ok_or(ProvisionError::NoPosition(room))
    }

    /// One request in the name of a client; repeated when that is safe and may help.
    async fn ask<'a>(
        &self,
        client: u32,
        step: impl Fn() -> String,
        repeatable: bool,
        call: impl Fn() -> Call<'a>,
    ) -> Result<Answer, ProvisionError> {
        let pool = &self.pools[self.line.endpoint_index(client)];
        let mut tries = 1;
        loop {
            let deadline = self.line.deadline(self.line.sync_deadline);
            let request = || self.line.request(client, call());
            let answer = pool.exchange(deadline, api::ANSWER_BYTES, request).await;
            let (error, again) = match answer {
                Ok(answer) if answer.is_success() => {
                    self.line.keep_cookies(client, &answer.cookies);
                    return Ok(answer);
                }
                Ok(Answer { status, body, .. }) => {
                    let again = status == 429 || (status >= 500 && repeatable);
                    (ProvisionError::Refused { step: step(), status, code: error_code(&body) }, again)
                }
                Err(source) => {
                    let again = repeatable || source.kind == TroubleKind::NotWritten;
                    (ProvisionError::Unanswered { step: step(), source }, again)
                }
            };
            if !again || tries == TRIES {
                return Err(error);
            }
            sleep(Duration::from_millis(500) * tries).await;
            tries += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;

    fn population(tenants: u32, clients: u32) -> Population {
        Population::new(&profile::Population {
            tenants,
            clients,
            members_per_room: 2,
            rooms_per_tenant: None,
            rooms_per_client: 2,
        })
    }

    fn registered(tenants: &[&str]) -> Vec<Registered> {
        let of = |&tenant: &&str| Registered { participant_id: "p".into(), tenant_id: tenant.into() };
        tenants.iter().map(of).collect()
    }

    #[test]
    fn makers_and_joins_together_are_every_membership_once() {
        let people = population(2, 9);
        let mut entered = joins(&people);
        entered.extend((0..people.rooms()).filter_map(|room| Some((people.members(room).next()?, room))));
        entered.sort_unstable();
        let mut planned: Vec<(u32, u32)> =
            (0..9).flat_map(|client| people.rooms_of(client).map(move |room| (client, room))).collect();
        planned.sort_unstable();
        assert_eq!(entered, planned);
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
