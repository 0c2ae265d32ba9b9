//! Rooms that are the harness's own: those of an earlier run where they fit, new ones otherwise.

use uuid::Uuid;

use super::super::api;
use super::super::http::Call;
use super::job::{Failed, Job, Note};
use super::remembered::{self, Remembered, Room, State};
use super::{Paces, ProvisionError};
use crate::plan::Population;
use crate::profile::RoomType;
use crate::wire::{Registered, room_id};

/// Whose rooms, of what kind, and where they are remembered.
pub(super) struct Making<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) room_type: RoomType,
    pub(super) remembered: &'a Remembered,
    /// What the server calls each client.
    pub(super) registered: &'a [Registered],
}

/// One room that is there now.
struct Opened {
    id: Box<str>,
    /// It was made by an earlier run.
    again: bool,
}

impl Making<'_> {
    /// Finds or makes every room of the plan, and lets its members enter.
    pub(super) async fn rooms(
        &self,
        paces: Paces,
        note: &mut Note<'_>,
    ) -> Result<Vec<Box<str>>, ProvisionError> {
        let population = self.job.population;
        let open = |room| self.open(room);
        let opened = self.job.all("rooms", paces.rooms, population.rooms(), note, open).await?;
        let again = opened.iter().filter(|room| room.again).count();
        if again > 0 {
            note(&format!("{again} of these rooms were made by an earlier run and are used again"));
        }
        let joins = joins(population);
        let join = |index: u32| {
            let (client, room) = joins[index as usize];
            self.join(client, room, &opened[room as usize].id)
        };
        let count = u32::try_from(joins.len()).unwrap_or(u32::MAX);
        self.job.all("memberships", paces.rooms, count, note, join).await?;
        Ok(opened.into_iter().map(|room| room.id).collect())
    }

    /// A room of an earlier run, if there is one for these members and the target still has it; else a new one.
    async fn open(&self, room: u32) -> Result<Opened, ProvisionError> {
        let Some(maker) = self.job.population.members(room).next() else {
            return Ok(Opened { id: Box::default(), again: false });
        };
        let members = members(self.job.population, self.registered, room);
        let tenant = &self.registered[maker as usize].tenant_id;
        while let Some(old) = self.remembered.take(tenant, api::room_type(self.room_type), &members) {
            let Some(id) = old.room_id.clone() else { continue };
            let path = api::join(&id);
            match self.job.try_to(maker, true, || Call::post(&path, "{}")).await {
                Ok(_) => return Ok(Opened { id: id.into(), again: true }),
                Err(failed) if failed.is_of_a_room_that_is_gone() => self.tell(State::Gone, old)?,
                Err(failed) => return Err(failed.at(format!("enter the remembered room {id}"))),
            }
        }
        let id = self.make(room, maker, tenant, members).await?;
        Ok(Opened { id, again: false })
    }

    async fn make(
        &self,
        room: u32,
        maker: u32,
        tenant: &str,
        members: String,
    ) -> Result<Box<str>, ProvisionError> {
        let wanted = Room {
            target: self.remembered.target().to_owned(),
            name: remembered::name(&self.job.run, room),
            state: State::Asked,
            tenant_id: tenant.to_owned(),
            room_type: api::room_type(self.room_type).to_owned(),
            members,
            maker: self.registered[maker as usize].participant_id.to_string(),
            room_id: None,
        };
        let topic = format!("made by wavesoak run {}", self.job.run);
        let body = api::room_body(self.room_type, &wanted.name, &topic);
        // First of all: a room of which nobody knows cannot be put away.
        self.tell(State::Asked, wanted.clone())?;
        let step = || format!("make room {room}");
        let answer = self.job.try_to(maker, false, || Call::post(api::ROOMS, body.clone())).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(failed) => {
                if matches!(failed, Failed::Refused { status: 400..500, .. }) {
                    self.tell(State::Gone, wanted)?;
                }
                return Err(failed.at(step()));
            }
        };
        let id = room_id(&answer.body);
        let id = id.map_err(|source| ProvisionError::Malformed { step: step(), source })?;
        self.tell(State::Made, Room { room_id: Some(id.to_string()), ..wanted })?;
        Ok(id)
    }

    fn tell(&self, state: State, room: Room) -> Result<(), ProvisionError> {
        let name = room.name.clone();
        if self.remembered.tell(Room { state, ..room }) {
            Ok(())
        } else {
            Err(ProvisionError::Unremembered(name))
        }
    }

    async fn join(&self, client: u32, room: u32, id: &str) -> Result<(), ProvisionError> {
        let path = api::join(id);
        let step = || format!("let {} join room {room} ({id})", self.job.who(client));
        self.job.ask(client, step, true, || Call::post(&path, "{}")).await.map(drop)
    }
}

/// Stands for the members of a room as the server knows them: a room is used again only by the very same, for whoever was
/// once let in and is not in the plan any more would hear what is not theirs.
pub(super) fn members(population: &Population, registered: &[Registered], room: u32) -> String {
    let ids = population.members(room).map(|client| &*registered[client as usize].participant_id);
    let mut ids: Vec<&str> = ids.collect();
    ids.sort_unstable();
    Uuid::new_v5(&Uuid::NAMESPACE_OID, ids.join("\n").as_bytes()).simple().to_string()
}

/// Everything that must be entered by others than its maker: (client, room).
fn joins(population: &Population) -> Vec<(u32, u32)> {
    let of_room = |room| population.members(room).skip(1).map(move |client| (client, room));
    (0..population.rooms()).flat_map(of_room).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::population;
    use super::*;

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
    fn a_room_fits_those_it_was_made_for_whatever_their_numbers() {
        let people = population(1, 4);
        let registered = |ids: [&str; 4]| {
            ids.map(|id| Registered { participant_id: id.into(), tenant_id: "t".into() }).to_vec()
        };
        let fits = |ids| members(&people, &registered(ids), 0);
        let others: Vec<u32> = (0..4).filter(|&client| people.slot_of(client, 0).is_none()).collect();
        assert_eq!((people.members_len(0), others.len()), (2, 2), "two of four are in it");
        let own: Vec<usize> = people.members(0).map(|client| client as usize).collect();
        let mut swapped = ["a", "b", "c", "d"];
        swapped.swap(own[0], own[1]);
        assert_eq!(fits(["a", "b", "c", "d"]), fits(swapped));
        swapped[own[0]] = "e";
        assert_ne!(fits(["a", "b", "c", "d"]), fits(swapped));
    }
}
