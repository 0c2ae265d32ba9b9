//! Everybody registered, every room made and joined, one marker in each: what provisioning does over HTTP.

use uuid::Uuid;

use super::SimulationError;
use super::identity::Identity;
use crate::collector::Names;
use crate::plan::Population;
use crate::target::{Backend, Content, Mark};
use crate::time::Timestamp;
use crate::wire::{Position, Stamp};

pub(super) struct Provisioned {
    pub(super) names: Names,
    pub(super) rooms: Vec<String>,
    /// First position of the clients of each tenant.
    pub(super) positions: Vec<Position>,
}

pub(super) fn provision(
    backend: &mut Backend,
    people: &Population,
    identities: &[Identity],
    run: Uuid,
) -> Result<Provisioned, SimulationError> {
    let refused = |error: crate::target::ApiError| SimulationError::Provision(error.message);
    let mut names = Names { tenants: vec!["".into(); people.tenants() as usize], ..Names::default() };
    for (client, identity) in (0..).zip(identities) {
        let registered = backend.register(Timestamp::ZERO, 0, &identity.caller()).map_err(refused)?;
        names.participants.push(registered.participant.to_string().into());
        names.tenants[people.tenant_of(client) as usize] = registered.tenant.to_string().into();
    }
    let mut rooms = Vec::new();
    let mut positions = vec![0; people.tenants() as usize];
    for room in 0..people.rooms() {
        let mut members = people.members(room).map(|client| &identities[client as usize]);
        let Some(creator) = members.next() else {
            rooms.push(String::new());
            continue;
        };
        let id = backend.create_room(Timestamp::ZERO, 0, &creator.caller()).map_err(refused)?.to_string();
        for member in members {
            backend.join(Timestamp::ZERO, 0, &member.caller(), &id).map_err(refused)?;
        }
        let stamp = Stamp { room, n: None, due: Timestamp::ZERO, sent: Timestamp::ZERO };
        let content = Content::marked(Mark { run, stamp }, 200);
        let marker =
            backend.send(Timestamp::ZERO, 0, &creator.caller(), &id, content, None).map_err(refused)?;
        let position = &mut positions[people.tenant_of_room(room) as usize];
        *position = marker.position.max(*position);
        rooms.push(id);
    }
    while backend.poll().is_some() {}
    names.rooms = rooms.iter().map(|id| id.as_str().into()).collect();
    Ok(Provisioned { names, rooms, positions })
}
