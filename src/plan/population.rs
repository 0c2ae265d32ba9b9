//! Tenants, rooms, members, clients: who exists and who belongs where.
//!
//! Client c is in tenant c mod tenants. Inside a tenant, client number j (from 0) has `rooms_per_client` slots;
//! slot s = j × rooms_per_client + i puts it in the tenant's room s mod rooms. Every room so has the same number
//! of members, give or take one.

use crate::profile;

/// The population of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Population {
    tenants: u32,
    clients: u32,
    rooms_per_tenant: u32,
    rooms_per_client: u32,
}

impl Population {
    /// From `[population]`; the profile is resolved, so nothing here can fail.
    pub fn new(shape: &profile::Population) -> Self {
        let biggest_tenant = shape.clients.div_ceil(shape.tenants);
        let by_members = (biggest_tenant * shape.rooms_per_client).div_ceil(shape.members_per_room.max(1));
        let rooms_per_tenant =
            shape.rooms_per_tenant.unwrap_or(by_members).max(shape.rooms_per_client).max(1);
        Self {
            tenants: shape.tenants,
            clients: shape.clients,
            rooms_per_tenant,
            rooms_per_client: shape.rooms_per_client,
        }
    }

    /// Tenants.
    pub fn tenants(&self) -> u32 {
        self.tenants
    }

    /// Clients, all tenants together.
    pub fn clients(&self) -> u32 {
        self.clients
    }

    /// Rooms, all tenants together.
    pub fn rooms(&self) -> u32 {
        self.tenants * self.rooms_per_tenant
    }

    /// Rooms that each client is in.
    pub fn rooms_per_client(&self) -> u32 {
        self.rooms_per_client
    }

    /// The tenant of a client.
    pub fn tenant_of(&self, client: u32) -> u32 {
        client % self.tenants
    }

    /// The tenant of a room.
    pub fn tenant_of_room(&self, room: u32) -> u32 {
        room / self.rooms_per_tenant
    }

    /// The rooms of a tenant.
    pub fn rooms_of_tenant(&self, tenant: u32) -> std::ops::Range<u32> {
        tenant * self.rooms_per_tenant..(tenant + 1) * self.rooms_per_tenant
    }

    /// The clients of a tenant.
    pub fn clients_of_tenant(&self, tenant: u32) -> impl ExactSizeIterator<Item = u32> + use<> {
        (tenant..self.clients).step_by(self.tenants as usize)
    }

    /// The rooms of a client; its i-th room is slot i.
    pub fn rooms_of(&self, client: u32) -> impl ExactSizeIterator<Item = u32> + use<> {
        let first = self.tenant_of(client) * self.rooms_per_tenant;
        let slot = u64::from(client / self.tenants) * u64::from(self.rooms_per_client);
        let rooms = u64::from(self.rooms_per_tenant);
        (0..self.rooms_per_client).map(move |i| first + ((slot + u64::from(i)) % rooms) as u32)
    }

    /// Which of its slots puts a client in this room.
    pub fn slot_of(&self, client: u32, room: u32) -> Option<usize> {
        self.rooms_of(client).position(|own| own == room)
    }

    /// The place of a client among the members of a room.
    pub fn member_index(&self, client: u32, room: u32) -> Option<usize> {
        let slot = u64::from(client / self.tenants) * u64::from(self.rooms_per_client)
            + self.slot_of(client, room)? as u64;
        Some((slot / u64::from(self.rooms_per_tenant)) as usize)
    }

    /// The members of a room, ascending.
    pub fn members(&self, room: u32) -> impl Iterator<Item = u32> + use<> {
        let tenant = self.tenant_of_room(room);
        let local = u64::from(room % self.rooms_per_tenant);
        let (rooms, per_client) = (u64::from(self.rooms_per_tenant), u64::from(self.rooms_per_client));
        let slots = self.clients_of_tenant(tenant).len() as u64 * per_client;
        let tenants = self.tenants;
        (local..slots).step_by(rooms as usize).map(move |slot| tenant + (slot / per_client) as u32 * tenants)
    }

    /// How many members a room has.
    pub fn members_len(&self, room: u32) -> u32 {
        let slots = self.clients_of_tenant(self.tenant_of_room(room)).len() as u32 * self.rooms_per_client;
        let local = room % self.rooms_per_tenant;
        if slots > local { (slots - local).div_ceil(self.rooms_per_tenant) } else { 0 }
    }

    /// The name that a client's identity signs in with.
    pub fn username(&self, client: u32) -> String {
        format!("ws-{client:06}")
    }

    /// The tenant name that the harness puts in the tokens of a `dev-jwt` target.
    pub fn tenant_name(&self, tenant: u32) -> String {
        format!("tenant-{tenant:04}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn population(tenants: u32, clients: u32, members: u32, per_client: u32) -> Population {
        Population::new(&profile::Population {
            tenants,
            clients,
            members_per_room: members,
            rooms_per_tenant: None,
            rooms_per_client: per_client,
            ..profile::Population::default()
        })
    }

    #[test]
    fn members_and_rooms_are_each_others_inverse() {
        for (tenants, clients, members, per_client) in
            [(6, 300, 50, 2), (3, 10, 4, 3), (1, 1, 50, 2), (7, 5, 9, 1)]
        {
            let people = population(tenants, clients, members, per_client);
            for room in 0..people.rooms() {
                let of_room: Vec<u32> = people.members(room).collect();
                let by_client: Vec<u32> =
                    (0..clients).filter(|&client| people.rooms_of(client).any(|own| own == room)).collect();
                assert_eq!(of_room, by_client, "room {room}");
                assert_eq!(people.members_len(room) as usize, of_room.len());
                let places: Vec<_> =
                    of_room.iter().map(|&client| people.member_index(client, room)).collect();
                assert_eq!(places, (0..of_room.len()).map(Some).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_client_is_in_distinct_rooms_of_its_own_tenant() {
        let people = population(6, 300, 50, 2);
        for client in 0..300 {
            let rooms: Vec<u32> = people.rooms_of(client).collect();
            assert_eq!(rooms.len(), 2);
            assert_ne!(rooms[0], rooms[1]);
            assert!(rooms.iter().all(|&room| people.tenant_of_room(room) == people.tenant_of(client)));
        }
    }

    #[test]
    fn rooms_have_about_the_members_asked_for() {
        let people = population(6, 300, 50, 2);
        assert_eq!(people.rooms(), 12);
        assert!((0..12).all(|room| people.members_len(room) == 50));
    }
}
