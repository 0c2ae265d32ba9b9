//! Findings: one line for each thing that should not be, with every id that is known. Capped per kind.

use std::collections::BTreeMap;
use std::iter;

use super::audit::Item;
use super::collected::Finding;
use super::ledger::Missed;
use super::server_log::Word;
use super::stickiness::Lost;
use crate::plan::Population;
use crate::time::Timestamp;
use crate::wire::Position;

/// The server's own ids, as provisioning learned them; empty where it did not.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// By index of the tenant.
    pub tenants: Vec<Box<str>>,
    /// By index of the room.
    pub rooms: Vec<Box<str>>,
    /// By index of the tenant: what the credentials call it, or the plan, where there are none.
    pub tenant_names: Vec<Box<str>>,
    /// By number of the client.
    pub participants: Vec<Box<str>>,
    /// By number of the client; empty: those of the plan.
    pub usernames: Vec<Box<str>>,
}

impl Names {
    /// All that each tenant is called, its id first.
    pub fn of_tenants(&self) -> Vec<Vec<Box<str>>> {
        let name = |tenant: usize| self.tenant_names.get(tenant).cloned();
        self.tenants
            .iter()
            .enumerate()
            .map(|(at, id)| iter::once(id.clone()).chain(name(at)).collect())
            .collect()
    }

    fn username(&self, client: u32, people: &Population) -> String {
        let own = self.usernames.get(client as usize).map(|name| name.to_string());
        own.unwrap_or_else(|| people.username(client))
    }

    pub(super) fn tenant(&self, tenant: u32) -> Option<&str> {
        self.tenants.get(tenant as usize).map(|id| &**id)
    }
}

#[derive(Debug)]
pub(super) struct Findings {
    per_kind: usize,
    counts: BTreeMap<&'static str, usize>,
    pub(super) names: Names,
    ready: Vec<Finding>,
    /// Missed events that wait for the audit's word.
    waiting: BTreeMap<(u32, u32, u32), Missed>,
}

impl Findings {
    pub(super) fn new(per_kind: usize, names: Names) -> Self {
        Self { per_kind, counts: BTreeMap::new(), names, ready: Vec::new(), waiting: BTreeMap::new() }
    }

    pub(super) fn take(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.ready)
    }

    /// Findings beyond the cap of their kind.
    pub(super) fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.counts
            .iter()
            .filter(|(_, count)| **count > self.per_kind)
            .map(|(kind, count)| (*kind, (count - self.per_kind) as u64))
    }

    /// The line is written when the store is known.
    pub(super) fn missed(&mut self, now: Timestamp, missed: Missed) {
        let _ = now;
        if self.counts.get("missed").copied().unwrap_or(0) + self.waiting.len() < self.per_kind {
            self.waiting.insert((missed.client, missed.room, missed.n), missed);
        }
    }

    /// The audit's word on a missed event.
    pub(super) fn stored(
        &mut self,
        now: Timestamp,
        item: Item,
        store: &'static str,
        (position, id): (Option<Position>, Option<Box<str>>),
        people: &Population,
    ) {
        let missed = self.waiting.remove(&(item.client, item.room, item.n));
        let mut line = self.line(now, "missed", item.client, people);
        line.room_id = self.room(item.room);
        (line.n, line.store) = (Some(item.n), Some(store));
        line.position = position.or((item.low == item.high).then_some(item.low));
        line.event_id = id.map(String::from);
        if let Some(missed) = missed {
            line.place = Some(missed.place.name());
            line.event_id = line.event_id.or(missed.event_id.map(String::from));
            line.connected_ns = missed.connected_at.map(Timestamp::as_nanos);
            line.disconnected_ns = missed.disconnected_at.map(Timestamp::as_nanos);
            if let Some(info) = missed.info {
                line.session_id = info.session_id.map(String::from);
                line.server_name = info.server_name.map(String::from);
            }
        }
        self.add(line);
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one line")]
    pub(super) fn stray(
        &mut self,
        now: Timestamp,
        kind: &'static str,
        client: u32,
        room: u32,
        n: Option<u32>,
        position: Option<Position>,
        people: &Population,
    ) {
        let mut line = self.line(now, kind, client, people);
        line.room_id = self.room(room);
        (line.n, line.position) = (n, position);
        self.add(line);
    }

    /// An upgrade that was lost to a missing session, by the pods that answered.
    pub(super) fn upgrade_lost(&mut self, now: Timestamp, client: u32, lost: Lost, people: &Population) {
        let kind = if lost.after_refresh { "upgrade_lost_after_refresh" } else { "upgrade_lost" };
        let mut line = self.line(now, kind, client, people);
        line.connected_ns = Some(lost.hello.as_nanos());
        line.disconnected_ns = Some(now.as_nanos());
        self.add(line);
    }

    /// Something that the server's log says of a client.
    pub(super) fn logged(&mut self, now: Timestamp, word: Word, people: &Population) {
        let mut line = self.line(now, word.kind, word.client, people);
        line.session_id = Some(word.session.into());
        line.server_name = word.pod.map(String::from);
        self.add(line);
    }

    pub(super) fn about_client(
        &mut self,
        now: Timestamp,
        kind: &'static str,
        client: u32,
        people: &Population,
    ) {
        let line = self.line(now, kind, client, people);
        self.add(line);
    }

    fn line(&self, now: Timestamp, kind: &'static str, client: u32, people: &Population) -> Finding {
        Finding {
            at_ns: now.as_nanos(),
            kind,
            client: Some(client),
            username: Some(self.names.username(client, people)),
            participant_id: self.names.participants.get(client as usize).map(|id| id.to_string()),
            tenant_id: self.names.tenant(people.tenant_of(client)).map(str::to_owned),
            ..Finding::default()
        }
    }

    fn room(&self, room: u32) -> Option<String> {
        self.names.rooms.get(room as usize).map(|id| id.to_string())
    }

    fn add(&mut self, line: Finding) {
        let count = self.counts.entry(line.kind).or_default();
        *count += 1;
        if *count <= self.per_kind {
            self.ready.push(line);
        }
    }
}
