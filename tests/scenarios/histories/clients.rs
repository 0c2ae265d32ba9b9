//! Sessions of a history: whatever they may do by their contract, in any order.

use std::time::Duration;

use wavesoak::profile::BridgeOrder;
use wavesoak::session::{Arrival, Cause, Channel, Observation, Order, StopReason, SyncTrouble};
use wavesoak::simulator::trace::{Message, What};
use wavesoak::time::Timestamp;

use super::World;

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    state: State,
    position: u64,
    /// Of that, what its store has; 0: nothing.
    stored: u64,
    /// Where it begins as long as nothing is stored.
    start: u64,
    /// Highest position on the stream while a bridge is open beside it.
    waiting: u64,
    /// The bridge that is open: is it a poll?
    bridge: Option<bool>,
    requests: u32,
    pub(super) leaves_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Away,
    /// Between two attempts.
    Down,
    /// A bridge or poll without a connection is under way.
    Syncing,
    /// The bridge is over, hello is waited for.
    Connecting,
    Live,
}

impl Client {
    pub(super) fn at(position: u64) -> Self {
        Self {
            state: State::Away,
            position,
            stored: 0,
            start: position,
            waiting: 0,
            bridge: None,
            requests: 0,
            leaves_at: None,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.state == State::Live
    }
}

impl World {
    /// The client does something that it may do now.
    pub(super) fn client_goes_on(&mut self, client: u32) {
        let drawn = self.draw.below(100);
        if drawn == 0 && self.clients[client as usize].state != State::Away {
            return self.restart(client);
        }
        match self.clients[client as usize].state {
            State::Away if drawn < 50 => self.start(client),
            State::Away => {}
            State::Down if drawn < 20 => self.begin_bridge(client, true),
            State::Down if self.profile.client.bridge == BridgeOrder::SyncFirst => {
                self.begin_bridge(client, false)
            }
            State::Down => self.hello(client),
            State::Syncing if drawn < 85 => self.page(client),
            State::Syncing => self.no_page(client),
            State::Connecting if drawn < 80 => self.hello(client),
            State::Connecting => self.clients[client as usize].state = State::Down,
            State::Live if self.clients[client as usize].bridge.is_some() && drawn < 35 => self.page(client),
            State::Live if self.clients[client as usize].bridge.is_some() && drawn < 40 => {
                self.no_page(client)
            }
            State::Live if drawn < 84 => self.frames(client),
            State::Live if drawn < 96 => self.ping(client),
            State::Live => self.disconnect(client, Cause::Reset),
        }
    }

    pub(super) fn leave(&mut self, client: u32) {
        self.order(client, Order::Leave);
        self.break_bridge(client);
        if self.clients[client as usize].state == State::Live {
            self.line_lost(client, Cause::Left);
        }
        self.observe(client, &Observation::Stopped(StopReason::Left));
        let state = &mut self.clients[client as usize];
        (state.state, state.leaves_at) = (State::Away, None);
    }

    /// Some of the clients' positions become durable; some as they were a while ago, when the flush began.
    pub(super) fn flush(&mut self) {
        for client in 0..self.people.clients() {
            let state = &mut self.clients[client as usize];
            if state.position > state.stored && self.draw.chance(0.7) {
                let lag = (state.position - state.stored).min(4) as u32;
                state.stored = state.position - u64::from(self.draw.below(lag));
                let position = state.stored;
                self.note(What::Stored { client, position });
                self.ledger.stored(client, position);
            }
        }
    }

    /// Its process dies, wherever it is in its pattern, and is started again with what is stored.
    fn restart(&mut self, client: u32) {
        self.break_bridge(client);
        if self.clients[client as usize].state == State::Live {
            self.line_lost(client, Cause::Killed);
        }
        let state = &mut self.clients[client as usize];
        state.position = if state.stored > 0 { state.stored } else { state.start };
        (state.state, state.waiting) = (State::Down, 0);
        let position = state.position;
        self.note(What::Restarted { client, position });
        self.observe(client, &Observation::Restarted { position });
    }

    fn start(&mut self, client: u32) {
        self.order(client, Order::Start);
        let stays = Duration::from_millis(self.draw.pick(&[500, 2_000, 6_000]));
        let leaves = self.draw.chance(0.5);
        let state = &mut self.clients[client as usize];
        (state.state, state.leaves_at) = (State::Down, leaves.then_some(self.now + stays));
    }

    fn hello(&mut self, client: u32) {
        if !self.draw.chance(self.mischief.again) {
            self.server.frames[client as usize].clear();
        }
        let position = self.clients[client as usize].position;
        self.note(What::Hello { client, link: 0 });
        self.observe(client, &Observation::Hello { took: Duration::ZERO, position, info: Box::default() });
        self.clients[client as usize].state = State::Live;
        match self.profile.client.bridge {
            BridgeOrder::SyncFirst => self.observe(client, &Observation::Ready),
            BridgeOrder::StreamFirst => self.begin_bridge(client, false),
        }
    }

    fn disconnect(&mut self, client: u32, cause: Cause) {
        self.break_bridge(client);
        self.line_lost(client, cause);
    }

    fn line_lost(&mut self, client: u32, cause: Cause) {
        self.note(What::Ended { client, link: 0 });
        self.observe(client, &Observation::Disconnected { cause, code: None, was_live: true });
        self.clients[client as usize].state = State::Down;
    }

    fn frames(&mut self, client: u32) {
        for _ in 0..=self.draw.below(4) {
            let Some(message) = self.next_frame(client) else { return };
            let late = self.draw.chance(self.mischief.late);
            self.note(What::Streamed { client, link: 0, late, message });
            let state = &mut self.clients[client as usize];
            let mark = if state.bridge.is_some() { &mut state.waiting } else { &mut state.position };
            *mark = message.position.unwrap_or(0).max(*mark);
            self.arrived(client, &message, Channel::Stream { late });
        }
    }

    fn ping(&mut self, client: u32) {
        let late = self.draw.chance(self.mischief.late);
        self.note(What::Pinged { client, link: 0, late });
        self.observe(client, &Observation::Ping { json: false, late });
    }

    fn begin_bridge(&mut self, client: u32, poll: bool) {
        let state = &mut self.clients[client as usize];
        if state.state != State::Live {
            state.state = State::Syncing;
        }
        (state.bridge, state.waiting) = (Some(poll), 0);
        let position = state.position;
        self.observe(client, &Observation::BridgeBegan { position, poll });
        self.request(client);
    }

    fn request(&mut self, client: u32) {
        let state = &mut self.clients[client as usize];
        state.requests += 1;
        let (since, request) = (state.position, state.requests);
        self.observe(client, &Observation::SyncSent { since });
        self.note(What::Asked { client, request, since });
    }

    fn page(&mut self, client: u32) {
        let Client { position: since, requests: request, .. } = self.clients[client as usize];
        let (messages, next_cursor, has_more) = self.draw_page(client, since);
        self.note(What::Page { client, request, messages: messages.clone(), next_cursor, has_more });
        let regressed = next_cursor.is_some_and(|cursor| cursor < since);
        self.observe(client, &Observation::SyncPage { took: Duration::ZERO, next_cursor, regressed });
        for message in &messages {
            self.arrived(client, message, Channel::Sync { since });
        }
        let state = &mut self.clients[client as usize];
        state.position = state.position.max(next_cursor.unwrap_or(0));
        match has_more {
            false => self.bridged(client, true),
            true if self.clients[client as usize].position > since => self.request(client),
            true => self.bridge_failed(client),
        }
    }

    fn no_page(&mut self, client: u32) {
        let trouble = self.draw.pick(&[SyncTrouble::Network, SyncTrouble::BeyondRetention]);
        let request = self.clients[client as usize].requests;
        self.note(What::NoPage { client, request, trouble });
        self.observe(client, &Observation::SyncFailed(trouble));
        if trouble == SyncTrouble::BeyondRetention {
            self.bridged(client, false)
        } else {
            self.bridge_failed(client)
        }
    }

    fn bridged(&mut self, client: u32, complete: bool) {
        let Some(poll) = self.clients[client as usize].bridge.take() else { return };
        self.observe(client, &Observation::BridgeEnded { complete, took: Duration::ZERO, poll });
        let state = &mut self.clients[client as usize];
        match state.state {
            State::Live => {
                state.position = state.position.max(state.waiting);
                self.observe(client, &Observation::Ready);
            }
            _ if poll => state.state = State::Down,
            _ => state.state = State::Connecting,
        }
    }

    fn bridge_failed(&mut self, client: u32) {
        let Some(poll) = self.clients[client as usize].bridge.take() else { return };
        self.observe(client, &Observation::BridgeEnded { complete: false, took: Duration::ZERO, poll });
        match self.clients[client as usize].state {
            State::Live => self.line_lost(client, Cause::BridgeFailed),
            _ => self.clients[client as usize].state = State::Down,
        }
    }

    fn break_bridge(&mut self, client: u32) {
        if let Some(poll) = self.clients[client as usize].bridge.take() {
            self.note(What::Abandoned { client });
            self.observe(client, &Observation::BridgeEnded { complete: false, took: Duration::ZERO, poll });
        }
    }

    fn arrived(&mut self, client: u32, message: &Message, channel: Channel) {
        let client_position = self.clients[client as usize].position;
        let Message { stamp, position, id } = *message;
        let arrival = Arrival { channel, stamp, position, id, room: 0, client_position };
        self.ledger.arrived(self.now, client, &arrival);
    }
}
