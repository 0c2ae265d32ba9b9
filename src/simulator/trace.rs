//! What the simulated network carried, written down when somebody asks for it ([`super::simulate_traced`]).
//!
//! It is taken where the network and the sessions meet: inputs as they are handed to a session, actions as a
//! session asks for them, publishes as they leave and their answers as they come. Nothing in it comes from the
//! ledger, from a session's own observations or from the target's truth, so that all three can be held against it.

use super::World;
use crate::plan::Population;
use crate::session::{Action, Input, Order, SyncTrouble};
use crate::target::Event as Stored;
use crate::time::Timestamp;
use crate::wire::{Frame, Position, RawStamp, Stamp, SyncPage, id_hash};
use crate::worker::conductor::{Command, Event, Fetch, SendReply};

/// A run as the network saw it.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The first `last_stream_position` of each client.
    pub positions: Vec<Position>,
    /// The server's ids of the rooms, by index in the plan.
    pub rooms: Vec<String>,
    /// In the order in which they happened.
    pub steps: Vec<Step>,
    /// What the server would still show to each client when the run was over.
    pub stores: Vec<Store>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What happened. A `link` is one connection, a `request` one sync request of a client; both are never used again.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The plan wants the client to start or to leave.
    Ordered {
        /// Who.
        client: u32,
        /// What the plan wants.
        order: Order,
    },
    /// A hello reached the client.
    Hello {
        /// Who.
        client: u32,
        /// On which connection.
        link: u64,
    },
    /// A message reached the client on the stream.
    Streamed {
        /// Who.
        client: u32,
        /// On which connection.
        link: u64,
        /// It was read late by the harness's own doing.
        late: bool,
        /// The message.
        message: Message,
    },
    /// A ping reached the client.
    Pinged {
        /// Who.
        client: u32,
        /// On which connection.
        link: u64,
        /// It was read late by the harness's own doing.
        late: bool,
    },
    /// The client's connection is over, by the other side's doing or by its own; also one that never opened.
    Ended {
        /// Who.
        client: u32,
        /// Which connection.
        link: u64,
    },
    /// The client sends a sync request.
    Asked {
        /// Who.
        client: u32,
        /// Which request.
        request: u32,
        /// Its `since`.
        since: Position,
    },
    /// A page reached the client.
    Page {
        /// Who.
        client: u32,
        /// The request that it answers.
        request: u32,
        /// Its messages.
        messages: Vec<Message>,
        /// `next_cursor`
        next_cursor: Option<Position>,
        /// `has_more`
        has_more: bool,
    },
    /// A sync request of the client failed.
    NoPage {
        /// Who.
        client: u32,
        /// The request.
        request: u32,
        /// Why.
        trouble: SyncTrouble,
    },
    /// The client no longer wants the answer to its sync request.
    Abandoned {
        /// Who.
        client: u32,
    },
    /// The client's store has this position from now on.
    Stored {
        /// Who.
        client: u32,
        /// The position.
        position: Position,
    },
    /// The client's process, which had died, is started again; its connection and its request have ended before.
    Restarted {
        /// Who.
        client: u32,
        /// The position that it begins at.
        position: Position,
    },
    /// An attempt at a publish leaves.
    Sent {
        /// One for all attempts at the same publish.
        ticket: u64,
        /// Room.
        room: u32,
        /// Sequence number; `None`: a fence.
        n: Option<u32>,
        /// Whose identity publishes.
        publisher: u32,
        /// Intended send time.
        due: Timestamp,
    },
    /// The answer to an attempt at a publish.
    Replied {
        /// As in [`What::Sent`].
        ticket: u64,
        /// First byte of the first attempt that wrote one.
        sent: Option<Timestamp>,
        /// How it went.
        reply: Reply,
    },
    /// The audit fetches a page.
    Fetching {
        /// Names the fetch.
        id: u64,
        /// Whose token is used.
        client: u32,
        /// What is fetched.
        what: Fetch,
    },
    /// The audit's page, or none.
    Fetched {
        /// As in [`What::Fetching`].
        id: u64,
        /// Its messages.
        result: Result<Vec<Message>, SyncTrouble>,
    },
    /// The run is over for the clients: what is owed to whom is settled now.
    BooksClosed,
}

/// A message, as it was carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The stamp, if it is of this run.
    pub stamp: Option<Stamp>,
    /// Position.
    pub position: Option<Position>,
    /// A hash of the id; 0: it had none.
    pub id: u64,
}

/// How one attempt at a publish went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 2xx.
    Created {
        /// A hash of the id; 0: it had none.
        id: u64,
        /// Position.
        position: Option<Position>,
    },
    /// A 4xx that says no with a code.
    Refused,
    /// 401: the first one is repeated with a new token.
    Unauthorized,
    /// No byte was written.
    NotWritten,
    /// Anything else: it may have been stored.
    Doubtful,
}

/// What the server would still show to one client.
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// By sync.
    pub sync: Vec<Message>,
    /// By history.
    pub history: Vec<Message>,
}

impl World {
    /// Whoever wants a trace gets one from here on.
    pub(super) fn trace(&mut self, positions: Vec<Position>) {
        self.trace = Some(Trace { positions, rooms: self.rooms.clone(), ..Trace::default() });
    }

    pub(super) fn trace_input(&mut self, client: u32, input: &Input<'_>) {
        if self.trace.is_none() {
            return;
        }
        let run = self.run.to_string();
        let link = self.clients[client as usize].link.unwrap_or(0);
        let what = match *input {
            Input::Order(order) => What::Ordered { client, order },
            Input::Frame { frame: Frame::Hello(_), .. } => What::Hello { client, link },
            Input::Frame { frame: Frame::Message(event), late } => {
                let message = message(event.stamp, event.position, event.id.as_deref(), &run);
                What::Streamed { client, link, late, message }
            }
            Input::Frame { frame: Frame::Ping, late } | Input::Ping { late } => {
                What::Pinged { client, link, late }
            }
            // The network has let go of the connection before it tells the session.
            Input::Closed(_) | Input::ConnectFailed(_) => What::Ended { client, link },
            Input::Synced { id, page } => {
                let (messages, next_cursor, has_more) =
                    (messages(page, &run), page.next_cursor, page.has_more);
                What::Page { client, request: id, messages, next_cursor, has_more }
            }
            Input::SyncFailed { id, trouble } => What::NoPage { client, request: id, trouble },
            Input::Revived { position, .. } if self.clients[client as usize].is_dead() => {
                What::Restarted { client, position }
            }
            _ => return,
        };
        self.note(what);
    }

    pub(super) fn trace_action(&mut self, client: u32, action: Action) {
        let link = self.clients[client as usize].link.unwrap_or(0);
        match action {
            Action::Disconnect { .. } => self.note(What::Ended { client, link }),
            Action::Sync { id, since, .. } => self.note(What::Asked { client, request: id, since }),
            Action::AbandonSync => self.note(What::Abandoned { client }),
            Action::Connect | Action::Pong | Action::Refresh => {}
        }
    }

    pub(super) fn trace_stored(&mut self, client: u32, position: Position) {
        self.note(What::Stored { client, position });
    }

    pub(super) fn trace_command(&mut self, command: &Command) {
        match command {
            Command::Publish(publication) => {
                let (ticket, room, n) = (publication.ticket, publication.room, publication.n);
                let (publisher, due) = (publication.publisher, publication.due);
                self.note(What::Sent { ticket, room, n, publisher, due });
            }
            Command::Fetch { id, client, what } => {
                self.note(What::Fetching { id: *id, client: *client, what: *what });
            }
            _ => {}
        }
    }

    pub(super) fn trace_event(&mut self, event: &Event<'_>) {
        if self.trace.is_none() {
            return;
        }
        match event {
            Event::Published { ticket, sent, reply } => {
                let reply = match reply {
                    SendReply::Acknowledged { id, position } => {
                        Reply::Created { id: id.as_deref().map_or(0, id_hash), position: *position }
                    }
                    SendReply::Unauthorized => Reply::Unauthorized,
                    SendReply::Refused { code: Some(_), .. } => Reply::Refused,
                    SendReply::NotWritten => Reply::NotWritten,
                    SendReply::Refused { code: None, .. } | SendReply::Unanswered => Reply::Doubtful,
                };
                self.note(What::Replied { ticket: *ticket, sent: *sent, reply });
            }
            Event::Fetched { id, result } => {
                let run = self.run.to_string();
                self.note(What::Fetched { id: *id, result: result.map(|page| messages(page, &run)) });
            }
            _ => {}
        }
    }

    /// To be called after everything that is told to the conductor: have the books been closed?
    pub(super) fn trace_end(&mut self) {
        if self.conductor.books_are_closed() && !std::mem::replace(&mut self.books_closed, true) {
            self.note(What::BooksClosed);
        }
    }

    /// The trace, with what is stored at the end.
    pub(super) fn take_trace(&mut self) -> Option<Trace> {
        let mut trace = self.trace.take()?;
        let people = Population::new(&self.profile.population);
        let run = self.run.to_string();
        trace.stores = (0..people.clients())
            .map(|client| {
                let tenant = people.tenant_name(people.tenant_of(client));
                let contents = self.backend.contents(&tenant, &people.username(client));
                let shown = |events: &[std::sync::Arc<Stored>]| {
                    events.iter().map(|event| stored(event, &run)).collect()
                };
                Store { sync: shown(&contents.sync), history: shown(&contents.history) }
            })
            .collect();
        Some(trace)
    }

    fn note(&mut self, what: What) {
        let at = self.now;
        if let Some(trace) = &mut self.trace {
            trace.steps.push(Step { at, what });
        }
    }
}

fn messages(page: &SyncPage<'_>, run: &str) -> Vec<Message> {
    let events = page.events.iter().filter(|event| event.is_message);
    events.map(|event| message(event.stamp, event.position, event.id.as_deref(), run)).collect()
}

fn message(stamp: Option<RawStamp<'_>>, position: Option<Position>, id: Option<&str>, run: &str) -> Message {
    Message { stamp: stamp.and_then(|stamp| stamp.of_run(run)), position, id: id.map_or(0, id_hash) }
}

fn stored(event: &Stored, run: &str) -> Message {
    let mark = event.content.mark().filter(|mark| mark.run.to_string() == run);
    Message {
        stamp: mark.map(|mark| mark.stamp),
        position: Some(event.position),
        id: id_hash(&event.id.to_string()),
    }
}
