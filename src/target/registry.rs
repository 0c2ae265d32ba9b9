//! Who exists: tenants, participants, rooms, and who is a member of what.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use crate::wire::Position;

use super::connection::ConnId;
use super::faults::{FaultIx, client_number};
use super::ids::Ids;
use super::log::TenantLog;
use super::page::WaiterId;

/// Index of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TenantIx(pub(super) usize);

/// Index of a participant, over all tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ParticipantIx(pub(super) usize);

/// Index of a room, over all tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RoomIx(pub(super) usize);

/// Everything that is shared by all pods and survives a pod: the database, so to speak.
///
/// Its size is bounded by what exists (tenants, identities, rooms) and by the retention of the logs.
#[derive(Debug, Default)]
pub(super) struct Registry {
    tenants: Vec<Tenant>,
    participants: Vec<Participant>,
    rooms: Vec<Room>,
    by_name: HashMap<Arc<str>, TenantIx>,
    by_room_id: HashMap<Uuid, RoomIx>,
    /// Clients of the plan by their numbers, for faults that name them.
    by_number: BTreeMap<u32, ParticipantIx>,
}

impl Registry {
    /// The tenant of this name, made on first sight.
    pub(super) fn tenant_named(&mut self, name: &Arc<str>, ids: &Ids, retention: u32) -> TenantIx {
        if let Some(&tenant) = self.by_name.get(name) {
            return tenant;
        }
        let tenant = TenantIx(self.tenants.len());
        let id = ids.of_tenant(name);
        self.tenants.push(Tenant { id, log: TenantLog::new(retention), by_username: HashMap::new() });
        self.by_name.insert(Arc::clone(name), tenant);
        tenant
    }

    /// The participant of this name in this tenant, made on first sight.
    pub(super) fn participant_named(
        &mut self,
        tenant: TenantIx,
        username: &Arc<str>,
        ids: &mut Ids,
    ) -> ParticipantIx {
        let by_username = &mut self.tenants[tenant.0].by_username;
        *by_username.entry(Arc::clone(username)).or_insert_with(|| {
            let participant = ParticipantIx(self.participants.len());
            let number = client_number(username);
            if let Some(number) = number {
                self.by_number.insert(number, participant);
            }
            self.participants.push(Participant {
                id: ids.uuid(),
                tenant,
                username: Arc::clone(username),
                number,
                memberships: Vec::new(),
                connections: Vec::new(),
                waiters: Vec::new(),
                hidden: Vec::new(),
                hidden_from_sync: Vec::new(),
                cursor: 0,
                late_commits: Vec::new(),
                gone: 0,
                walk: None,
                bridged: false,
                seam: Vec::new(),
                session_on: None,
                used_refresh: VecDeque::new(),
            });
            participant
        })
    }

    /// The participant of this name in this tenant, if there is one.
    pub(super) fn find_participant(&self, tenant: &str, username: &str) -> Option<ParticipantIx> {
        let tenant = *self.by_name.get(tenant)?;
        self.tenant(tenant).by_username.get(username).copied()
    }

    pub(super) fn add_room(&mut self, tenant: TenantIx, id: Uuid) -> RoomIx {
        let index = RoomIx(self.rooms.len());
        self.rooms.push(Room {
            id,
            tenant,
            archived: false,
            members: Vec::new(),
            positions: VecDeque::new(),
            high: 0,
            published: HashMap::new(),
        });
        self.by_room_id.insert(id, index);
        index
    }

    /// The room of this id, if it is one of this tenant.
    pub(super) fn find_room(&self, tenant: TenantIx, id: &str) -> Option<RoomIx> {
        let room = *self.by_room_id.get(&Uuid::try_parse(id).ok()?)?;
        (self.room(room).tenant == tenant).then_some(room)
    }

    /// The client of the plan with this number, once it is known.
    pub(super) fn client(&self, number: u32) -> Option<ParticipantIx> {
        self.by_number.get(&number).copied()
    }

    /// All clients of the plan that are known, by their numbers.
    pub(super) fn clients(&self) -> impl Iterator<Item = ParticipantIx> + '_ {
        self.by_number.values().copied()
    }

    pub(super) fn tenant(&self, tenant: TenantIx) -> &Tenant {
        &self.tenants[tenant.0]
    }

    pub(super) fn tenant_mut(&mut self, tenant: TenantIx) -> &mut Tenant {
        &mut self.tenants[tenant.0]
    }

    pub(super) fn participant(&self, participant: ParticipantIx) -> &Participant {
        &self.participants[participant.0]
    }

    #[cfg(test)]
    pub(super) fn participants_len(&self) -> usize {
        self.participants.len()
    }

    pub(super) fn participant_mut(&mut self, participant: ParticipantIx) -> &mut Participant {
        &mut self.participants[participant.0]
    }

    pub(super) fn room(&self, room: RoomIx) -> &Room {
        &self.rooms[room.0]
    }

    pub(super) fn room_mut(&mut self, room: RoomIx) -> &mut Room {
        &mut self.rooms[room.0]
    }
}

/// One tenant.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) id: Uuid,
    pub(super) log: TenantLog,
    by_username: HashMap<Arc<str>, ParticipantIx>,
}

/// One identity in its tenant.
#[derive(Debug)]
pub(super) struct Participant {
    pub(super) id: Uuid,
    pub(super) tenant: TenantIx,
    pub(super) username: Arc<str>,
    /// Its number in the plan, if it is in one.
    pub(super) number: Option<u32>,
    /// Rooms it is or was in, in the order it first entered them.
    pub(super) memberships: Vec<Membership>,
    /// Its open connections, on whatever pod, oldest first.
    pub(super) connections: Vec<ConnId>,
    /// Its blocked sync requests.
    pub(super) waiters: Vec<WaiterId>,
    /// Positions that a planted fault hides from it, ascending.
    pub(super) hidden: Vec<Position>,
    /// Positions that a planted fault hides from it in sync alone, ascending; `true`: a page has passed over it.
    pub(super) hidden_from_sync: Vec<(Position, FaultIx, bool)>,
    /// The highest position that a sync request of it used or a page gave it.
    pub(super) cursor: Position,
    /// Positions that became visible late, while it was away; forgotten when it comes back.
    pub(super) late_commits: Vec<(Position, FaultIx)>,
    /// What it was told that it cannot have ends here.
    pub(super) gone: Position,
    /// `next_cursor` of its last page, if there was more.
    pub(super) walk: Option<Position>,
    /// It has been given a page of sync since its last hello.
    pub(super) bridged: bool,
    /// What became visible between its last page of sync and the hello after it, ascending; see
    /// [`Truth::in_seam`](super::truth::Truth::in_seam).
    pub(super) seam: Vec<Position>,
    /// The pod that has its session; see [`super::backend::Backend::sync`].
    pub(super) session_on: Option<u32>,
    /// The refresh tokens it used last.
    pub(super) used_refresh: VecDeque<u64>,
}

impl Participant {
    pub(super) fn membership(&self, room: RoomIx) -> Option<&Membership> {
        self.memberships.iter().find(|membership| membership.room == room)
    }

    /// What the participant may see of a room: all of it while it is a member, and up to its leave afterwards
    /// (documented is only that rooms the caller has left are visible; where they end is ours).
    pub(super) fn sees(&self, membership: &Membership, position: Position) -> bool {
        membership.left_at.is_none_or(|left| position <= left)
            && self.hidden.binary_search(&position).is_err()
    }

    /// The same, in sync.
    pub(super) fn sees_in_sync(&self, membership: &Membership, position: Position) -> bool {
        let hidden = || self.hidden_from_sync.binary_search_by_key(&position, |hidden| hidden.0).is_ok();
        self.sees(membership, position) && (self.hidden_from_sync.is_empty() || !hidden())
    }

    /// Hides a position in sync and history. `retained`: as many are kept, older ones are forgotten by the log.
    pub(super) fn hide(&mut self, position: Position, retained: u32) {
        let at = self.hidden.partition_point(|&hidden| hidden < position);
        self.hidden.insert(at, position);
        if self.hidden.len() > retained as usize {
            self.hidden.remove(0);
        }
    }

    /// The same, in sync alone.
    pub(super) fn hide_from_sync(&mut self, position: Position, fault: FaultIx, retained: u32) {
        let at = self.hidden_from_sync.partition_point(|hidden| hidden.0 < position);
        self.hidden_from_sync.insert(at, (position, fault, false));
        if self.hidden_from_sync.len() > retained as usize {
            self.hidden_from_sync.remove(0);
        }
    }
}

/// A room that somebody is or was in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) room: RoomIx,
    /// The tenant's newest position when it left; `None`: it is a member.
    pub(super) left_at: Option<Position>,
}

/// One room.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) id: Uuid,
    pub(super) tenant: TenantIx,
    pub(super) archived: bool,
    /// In the order they came.
    pub(super) members: Vec<ParticipantIx>,
    /// Positions of its retained events, ascending.
    pub(super) positions: VecDeque<Position>,
    /// The highest position that one of its events says it has.
    pub(super) high: Position,
    /// Position of each retained event that had an `event_uuid`.
    pub(super) published: HashMap<Uuid, Position>,
}
