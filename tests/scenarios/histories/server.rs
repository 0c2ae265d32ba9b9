//! A server that does with events what it likes.

use std::collections::{BTreeMap, VecDeque};

use wavesoak::plan::Population;
use wavesoak::simulator::trace::Message;
use wavesoak::time::Timestamp;
use wavesoak::wire::{Stamp, id_hash};

use super::World;

/// What is stored, and what is on its way to whom.
pub(super) struct Server {
    /// Next position, by tenant.
    next: Vec<u64>,
    /// Everything stored, by tenant, in order of position.
    pub(super) stored: Vec<Vec<Message>>,
    /// What waits to be written to each client's connection.
    pub(super) frames: Vec<VecDeque<Message>>,
    /// Texts of ids by their hashes.
    names: BTreeMap<u64, String>,
}

impl Server {
    pub(super) fn new(people: &Population) -> Self {
        Self {
            next: vec![2; people.tenants() as usize],
            stored: vec![Vec::new(); people.tenants() as usize],
            frames: vec![VecDeque::new(); people.clients() as usize],
            names: BTreeMap::new(),
        }
    }
}

impl Server {
    /// The text of an id.
    pub(super) fn name_of(&self, id: u64) -> &str {
        &self.names[&id]
    }
}

impl World {
    /// Stores an event and puts it in the queues of whoever is connected.
    pub(super) fn store(&mut self, room: u32, n: Option<u32>, due: Timestamp, sent: Timestamp) -> Message {
        let tenant = self.people.tenant_of_room(room) as usize;
        let skip = u64::from(self.draw.below(3) == 0);
        self.server.next[tenant] += 1 + skip;
        let name = format!("event {}", self.server.names.len());
        let id = id_hash(&name);
        self.server.names.insert(id, name);
        let stamp = Stamp { room, n, due, sent };
        let message = Message { stamp: Some(stamp), position: Some(self.server.next[tenant]), id };
        self.server.stored[tenant].push(message);
        self.fan_out(message);
        message
    }

    pub(super) fn fan_out(&mut self, message: Message) {
        let Some(stamp) = message.stamp else { return };
        for client in self.people.members(stamp.room) {
            let connected = self.clients[client as usize].is_connected();
            if connected && !self.draw.chance(self.mischief.lost) {
                self.server.frames[client as usize].push_back(message);
            }
        }
        if self.draw.chance(self.mischief.astray) {
            let client = self.draw.below(self.people.clients());
            self.server.frames[client as usize].push_back(message);
        }
    }

    /// The next frame for a client.
    pub(super) fn next_frame(&mut self, client: u32) -> Option<Message> {
        let length = self.server.frames[client as usize].len();
        let shuffled = self.draw.chance(self.mischief.shuffled);
        let at = if shuffled { self.draw.below(length as u32) as usize } else { 0 };
        let again = self.draw.chance(self.mischief.again);
        let frames = &mut self.server.frames[client as usize];
        let message = frames.remove(at)?;
        if again {
            frames.push_back(message);
        }
        Some(self.muted(message))
    }

    /// A page: messages, `next_cursor`, `has_more`.
    pub(super) fn draw_page(&mut self, client: u32, since: u64) -> (Vec<Message>, Option<u64>, bool) {
        let tenant = self.people.tenant_of(client) as usize;
        let limit = self.draw.pick(&[1, 2, 5, 50]);
        let own = |message: &&Message| {
            message.stamp.is_some_and(|stamp| self.people.slot_of(client, stamp.room).is_some())
        };
        let own: Vec<Message> = self.server.stored[tenant].iter().filter(own).copied().collect();
        let old = if self.draw.chance(self.mischief.old) { u64::from(self.draw.below(20)) } else { 0 };
        let from = since.saturating_sub(old);
        let rest: Vec<Message> = own.into_iter().filter(|message| message.position > Some(from)).collect();
        let has_more = rest.len() > limit;
        let mut page: Vec<Message> = rest.into_iter().take(limit).collect();
        let last = page.last().and_then(|message| message.position);
        page.retain(|_| !self.draw.chance(self.mischief.hole));
        if self.draw.chance(self.mischief.again) {
            page.extend(page.first().copied());
        }
        let page = page.into_iter().map(|message| self.muted(message)).collect();
        let mut cursor = Some(last.unwrap_or(since));
        if self.draw.chance(self.mischief.cursor) {
            let last = last.unwrap_or(since);
            cursor = self.draw.pick(&[
                None,
                Some(last + 1),
                Some(last + 7),
                Some(since),
                Some(since.saturating_sub(3)),
            ]);
        }
        (page, cursor, has_more)
    }

    fn muted(&mut self, mut message: Message) -> Message {
        if self.draw.chance(self.mischief.unplaced) {
            message.position = None;
        }
        if !self.draw.chance(self.mischief.mute) {
            return message;
        }
        match self.draw.below(2) {
            0 => Message { stamp: None, ..message },
            _ => Message { id: 0, ..message },
        }
    }
}
