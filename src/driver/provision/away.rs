//! Putting rooms away: archived, or where that is refused, left by everybody, their maker last.

use std::collections::HashMap;

use super::super::api;
use super::super::http::Call;
use super::job::{Failed, Job, Note};
use super::made::members;
use super::remembered::{Remembered, Room, State};
use super::{Paces, ProvisionError};
use crate::wire::Registered;

/// What became of the rooms.
#[derive(Debug, Default)]
pub struct PutAway {
    /// Archived.
    pub archived: usize,
    /// Archiving was refused, and everybody of the plan has left.
    pub left: usize,
    /// The target did not have them any more.
    pub gone: usize,
    /// Neither could be done: name or id, and why.
    pub refused: Vec<(String, String)>,
    /// Names of rooms that were asked for and whose answer never came: whether they exist, nothing can tell.
    pub unknown: Vec<String>,
}

/// What could be done with one room.
enum Done {
    Archived,
    Left,
    Gone,
    Refused(String),
}

impl PutAway {
    /// Lines for people: how many, and each that is still there.
    pub fn told(&self) -> Vec<String> {
        let Self { archived, left, gone, refused, unknown } = self;
        let mut lines = vec![format!(
            "rooms put away: {archived} archived, {left} left by everybody, {gone} already gone, {} refused, {} unknown",
            refused.len(),
            unknown.len()
        )];
        lines.extend(refused.iter().map(|(room, why)| format!("still there: {room}: {why}")));
        lines.extend(unknown.iter().map(|name| {
            format!("perhaps there: \"{name}\" was asked for, and the answer never came; the API cannot look it up")
        }));
        lines
    }

    /// Nothing of a run is left, as far as anybody knows.
    pub fn is_complete(&self) -> bool {
        self.refused.is_empty() && self.unknown.is_empty()
    }
}

/// Puts these rooms away, and writes down which are gone.
pub(super) async fn put_away(
    job: &Job<'_>,
    registered: &[Registered],
    remembered: &Remembered,
    rooms: &[Room],
    paces: Paces,
    note: &mut Note<'_>,
) -> Result<PutAway, ProvisionError> {
    let people = People::new(job, registered);
    let one = |index: u32| {
        let room = &rooms[index as usize];
        let people = &people;
        async move {
            match &room.room_id {
                Some(id) => Ok(Some(people.put_away(room, id).await)),
                None => Ok(None),
            }
        }
    };
    let done = job.all("putting rooms away", paces.rooms, rooms.len() as u32, note, one).await?;
    let mut put_away = PutAway::default();
    for (room, done) in rooms.iter().zip(done) {
        let named = || format!("\"{}\" ({})", room.name, room.room_id.as_deref().unwrap_or_default());
        match done {
            Some(Done::Archived) => put_away.archived += 1,
            Some(Done::Left) => put_away.left += 1,
            Some(Done::Gone) => put_away.gone += 1,
            Some(Done::Refused(why)) => {
                put_away.refused.push((named(), why));
                continue;
            }
            None => {
                put_away.unknown.push(room.name.clone());
                continue;
            }
        }
        if !remembered.tell(Room { state: State::Gone, ..room.clone() }) {
            return Err(ProvisionError::Unremembered(room.name.clone()));
        }
    }
    Ok(put_away)
}

/// The identities at hand, by what the server calls them.
struct People<'a> {
    job: &'a Job<'a>,
    by_participant: HashMap<&'a str, u32>,
    /// Rooms of the plan by those who stand for their members.
    by_members: HashMap<String, u32>,
}

impl<'a> People<'a> {
    fn new(job: &'a Job<'a>, registered: &'a [Registered]) -> Self {
        let own = (0..).zip(registered).map(|(client, own)| (&*own.participant_id, client));
        let rooms = 0..job.population.rooms();
        let by_members = rooms.map(|room| (members(job.population, registered, room), room)).collect();
        Self { job, by_participant: own.collect(), by_members }
    }

    async fn put_away(&self, room: &Room, id: &str) -> Done {
        let planned = self.by_members.get(&room.members).copied();
        let members: Vec<u32> =
            planned.map_or_else(Vec::new, |room| self.job.population.members(room).collect());
        let maker = self.by_participant.get(&*room.maker).copied().or_else(|| members.first().copied());
        let Some(maker) = maker else {
            return Done::Refused(format!(
                "nobody of this profile's identities made it: participant {} did",
                room.maker
            ));
        };
        let path = api::archive(id);
        let refused = match self.job.try_to(maker, true, || Call::post(&path, "{}")).await {
            Ok(_) => return Done::Archived,
            Err(failed) if failed.is("SW_ROOM_FROZEN") => return Done::Archived,
            Err(failed) if failed.is_of_a_room_that_is_gone() => return Done::Gone,
            Err(failed @ Failed::Unanswered(_)) => return Done::Refused(failed.to_string()),
            Err(failed) => failed,
        };
        if planned.is_none() {
            return Done::Refused(format!(
                "archiving it as {}: {refused}; and who else is in it, this profile does not say",
                self.job.who(maker)
            ));
        }
        // The maker last: until then somebody is there who may do something about the room.
        let others = members.iter().copied().filter(|&client| client != maker);
        for client in others.chain([maker]) {
            if let Err(failed) = self.leave(client, id).await {
                let who = self.job.who(client);
                return Done::Refused(format!(
                    "archiving it as {}: {refused}; leaving it as {who}: {failed}",
                    self.job.who(maker)
                ));
            }
        }
        Done::Left
    }

    async fn leave(&self, client: u32, id: &str) -> Result<(), Failed> {
        let path = api::leave(id);
        match self.job.try_to(client, true, || Call::post(&path, "{}")).await {
            Err(failed) if !failed.is("SW_NOT_MEMBER") => Err(failed),
            _ => Ok(()),
        }
    }
}
