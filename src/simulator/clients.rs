//! Sessions in virtual time: inputs in, actions carried out, observations handed on.

use std::sync::Arc;

use super::World;
use super::happening::Happening;
use super::network::Upward;
use crate::seed;
use crate::session::{Action, Input, Output, Session, Settings, TokenLife};
use crate::time::Timestamp;
use crate::wire::Position;

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    session: Session,
    /// The wake-up that is on the agenda.
    wake: Timestamp,
    pub(super) link: Option<u64>,
    /// The sync request under way.
    pub(super) request: Option<u64>,
    /// The balancer's cookie.
    pub(super) cookie: Option<u32>,
    /// Its network is planted to be down; `Some(true)`: for streams only.
    pub(super) outage: Option<bool>,
    /// Where it begins as long as nothing is stored of it.
    pub(super) start: Position,
}

impl Client {
    pub(super) fn new(
        settings: &Arc<Settings>,
        position: Position,
        life: TokenLife,
        random: seed::Stream,
    ) -> Self {
        let session = Session::new(settings.clone(), position, life, random);
        let (wake, start) = (Timestamp::MAX, position);
        Self { session, wake, link: None, request: None, cookie: None, outage: None, start }
    }

    /// Whether there is a process to kill.
    pub(super) fn is_up(&self) -> bool {
        self.session.is_up()
    }

    /// Whether there is one to start again.
    pub(super) fn is_dead(&self) -> bool {
        self.session.is_dead()
    }

    /// `last_stream_position`
    pub(super) fn position(&self) -> Position {
        self.session.position()
    }
}

impl World {
    /// Hands something to a session, and carries out what it wants.
    pub(super) fn feed(&mut self, client: u32, input: Input<'_>) {
        self.trace_input(client, &input);
        self.clients[client as usize].session.handle(self.now, input);
        while let Some(output) = self.clients[client as usize].session.poll() {
            match output {
                Output::Observation(fact) => self.conductor.observe(self.now, client, &fact),
                Output::Action(action) => self.act(client, action),
            }
        }
        let state = &mut self.clients[client as usize];
        self.positions.holds(client, state.session.position());
        if let Some(wake) = state.session.next_wake().filter(|&wake| wake < state.wake) {
            state.wake = wake.max(self.now);
            self.agenda.at(state.wake, Happening::ClientWake { client });
        }
    }

    pub(super) fn wake_client(&mut self, client: u32) {
        self.clients[client as usize].wake = Timestamp::MAX;
        self.feed(client, Input::Timer);
    }

    fn act(&mut self, client: u32, action: Action) {
        self.trace_action(client, action);
        match action {
            Action::Connect => self.dial(client),
            Action::Disconnect { .. } => self.hang_up(client),
            Action::Pong => {
                if let Some(link) = self.clients[client as usize].link {
                    self.send_up(link, Upward::Pong);
                }
            }
            Action::Sync { id, since, limit, timeout } => self.sync(client, id, since, limit, timeout),
            Action::AbandonSync => self.abandon_sync(client),
            Action::Refresh => self.refresh_by_client(client),
        }
    }
}
