//! Streams: the connections between clients and pods, with the balancer in between.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::World;
use super::happening::Happening;
use crate::profile::Strange;
use crate::session::{ConnectFailure, Ending, Input, Oddity};
use crate::target::{ConnId, Deed, FaultTruth, Outgoing, ServerFrame, Truth};
use crate::time::Timestamp;
use crate::wire::{EventFrame, Frame, HelloFrame, RawStamp};
use crate::worker::conductor::{Event, LineFault};

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) client: u32,
    pod: u32,
    /// The upgrade has been answered, and the other side has not closed it since.
    open: bool,
    /// The client has read that answer: to it the connection is open, whatever has become of it.
    upgraded: bool,
    /// Nothing passes; what comes meanwhile waits in socket buffers.
    silent: bool,
    /// The client reads only once in this time.
    slow: Option<Duration>,
    /// Its pongs do not leave.
    muted: bool,
    held: Vec<Parcel>,
    /// Frames on their way; the pod's queue fills behind them.
    in_flight: usize,
    /// In order: nothing overtakes what was sent before it.
    last_down: Timestamp,
    last_up: Timestamp,
    opened: Timestamp,
    last_activity: Timestamp,
}

/// What goes to a client.
#[derive(Clone, Debug)]
pub(super) enum Parcel {
    Upgraded,
    Refused(ConnectFailure),
    Frame(Arc<Outgoing>),
    Ping,
    Close { code: u16, reason: Cow<'static, str> },
    Reset,
    Eof,
}

/// What goes to a pod.
#[derive(Clone, Copy, Debug)]
pub(super) enum Upward {
    Pong,
    Gone,
}

/// Frames that sockets and network hold for one connection (ours).
const WINDOW: usize = 256;

impl World {
    /// A client opens a connection.
    pub(super) fn dial(&mut self, client: u32) {
        let link = self.take_id();
        let now = self.now;
        self.links.insert(
            link,
            Link {
                client,
                pod: 0,
                open: false,
                upgraded: false,
                silent: false,
                slow: None,
                muted: false,
                held: Vec::new(),
                in_flight: 0,
                last_down: now,
                last_up: now,
                opened: now,
                last_activity: now,
            },
        );
        self.clients[client as usize].link = Some(link);
        if self.clients[client as usize].outage.is_some() {
            return self.deliver(link, Parcel::Refused(ConnectFailure::Network));
        }
        let at = now + self.hop();
        self.agenda.at(at, Happening::Dialled { link });
    }

    pub(super) fn dialled(&mut self, link: u64) {
        let Some(client) = self.links.get(&link).map(|link| link.client) else { return };
        let Ok(pod) = self.route(client) else {
            // A proxy answers for dead pods; without one nobody does.
            let failure = if self.proxied() { ConnectFailure::Status(502) } else { ConnectFailure::Network };
            return self.deliver(link, Parcel::Refused(failure));
        };
        let now = self.now;
        if let Some(state) = self.links.get_mut(&link) {
            (state.pod, state.open, state.opened, state.last_activity) = (pod, true, now, now);
        }
        self.deliver(link, Parcel::Upgraded);
        let caller = self.identities[client as usize].caller();
        self.backend.open(now, pod, ConnId(link), Ok(caller));
        self.settle_backend();
        if self.proxied() {
            let age = self.balancer.max_age();
            let first = age.map_or(self.balancer.idle_timeout(), |age| age.min(self.balancer.idle_timeout()));
            self.agenda.at(now + first, Happening::IdleCheck { link });
        }
    }

    /// Which pod this client's connection or request goes to.
    pub(super) fn route(&mut self, client: u32) -> Result<u32, ()> {
        if !self.proxied() {
            let pod = client % self.backend.pods();
            return self.backend.pod_is_up(pod).then_some(pod).ok_or(());
        }
        let cookie = self.clients[client as usize].cookie;
        // Any stable number does for a token's hash.
        let token =
            crate::wire::id_hash(&format!("{:?}", self.identities[client as usize].caller().token_id));
        let pod = self.balancer.choose(cookie, Some(token)).ok_or(())?;
        if !self.backend.pod_is_up(pod) {
            // Refused upstream: the balancer has learned it, the client gets a 502.
            self.balancer.mark(pod, false);
            return Err(());
        }
        if self.balancer.sets_cookie() {
            self.clients[client as usize].cookie = Some(pod);
        }
        Ok(pod)
    }

    pub(super) fn proxied(&self) -> bool {
        self.profile.target.embedded.balancer.mode == crate::profile::BalancerMode::Proxy
    }

    /// Sends something down a connection.
    pub(super) fn deliver(&mut self, link: u64, parcel: Parcel) {
        let hop = self.hop();
        let now = self.now;
        let Some(state) = self.links.get_mut(&link) else { return };
        state.last_down = state.last_down.max(now + hop);
        state.last_activity = now;
        state.in_flight += usize::from(matches!(parcel, Parcel::Frame(_)));
        let at = state.last_down;
        self.agenda.at(at, Happening::Arrived { link, parcel });
    }

    /// Sends something up a connection.
    pub(super) fn send_up(&mut self, link: u64, parcel: Upward) {
        let hop = self.hop();
        let now = self.now;
        let Some(state) = self.links.get_mut(&link) else { return };
        if (state.silent || state.muted) && matches!(parcel, Upward::Pong) {
            return;
        }
        state.last_up = state.last_up.max(now + hop);
        state.last_activity = now;
        let at = state.last_up;
        self.agenda.at(at, Happening::Sent { link, parcel });
    }

    pub(super) fn received_by_pod(&mut self, link: u64, parcel: &Upward) {
        match parcel {
            Upward::Pong => self.backend.pong(ConnId(link)),
            Upward::Gone => {
                self.backend.gone(self.now, ConnId(link));
                self.links.remove(&link);
            }
        }
        self.settle_backend();
    }

    /// Takes frames from the pod's queue for as long as the sockets have room.
    pub(super) fn pull_frames(&mut self, link: u64) {
        while self.links.get(&link).is_some_and(|state| state.in_flight < WINDOW) {
            let Some(frame) = self.backend.next_frame(ConnId(link)) else { return };
            self.deliver(link, Parcel::Frame(frame));
        }
    }

    pub(super) fn arrived(&mut self, link: u64, parcel: Parcel) {
        let Some(state) = self.links.get_mut(&link) else { return };
        let client = state.client;
        if self.clients[client as usize].link != Some(link) {
            // The client has let go of it.
            return;
        }
        if state.silent || state.slow.is_some() {
            state.held.push(parcel);
            return;
        }
        self.read(link, parcel, false);
    }

    /// A slow client reads all that has come, and looks again later.
    pub(super) fn read_slowly(&mut self, link: u64) {
        let Some((by, false)) = self.links.get(&link).and_then(|state| Some((state.slow?, state.silent)))
        else {
            return;
        };
        self.read_held(link);
        self.agenda.at(self.now + by, Happening::ReadSlowly { link });
    }

    /// The client reads what was held back; all of it is late.
    fn read_held(&mut self, link: u64) {
        let held = self.links.get_mut(&link).map(|state| std::mem::take(&mut state.held));
        for parcel in held.into_iter().flatten() {
            self.read(link, parcel, true);
        }
    }

    /// The client reads something.
    fn read(&mut self, link: u64, parcel: Parcel, late: bool) {
        let Some(state) = self.links.get_mut(&link) else { return };
        let client = state.client;
        if self.clients[client as usize].link != Some(link) {
            return;
        }
        match parcel {
            Parcel::Upgraded => {
                state.upgraded = true;
                self.feed(client, Input::Opened);
            }
            Parcel::Refused(failure) => {
                self.forget_link(client, link);
                self.feed(client, Input::ConnectFailed(failure));
            }
            Parcel::Frame(frame) => {
                state.in_flight -= 1;
                self.feed_frame(client, frame.frame(), late);
                self.pull_frames(link);
            }
            Parcel::Ping => {
                self.send_up(link, Upward::Pong);
                self.feed(client, Input::Ping { late });
            }
            Parcel::Close { code, reason } => {
                self.end_link(client, link, Ending::Close { code, reason: (&*reason).into() });
            }
            Parcel::Reset => self.end_link(client, link, Ending::Reset),
            Parcel::Eof => self.end_link(client, link, Ending::Eof),
        }
    }

    fn feed_frame(&mut self, client: u32, frame: &ServerFrame, late: bool) {
        let (mut id, mut run, mut room) =
            (Uuid::encode_buffer(), Uuid::encode_buffer(), Uuid::encode_buffer());
        let parsed = match frame {
            ServerFrame::Hello(hello) => Frame::Hello(HelloFrame {
                session_id: Some(hello.session.to_string().into()),
                server_name: Some(hello.server_name().into()),
                tenant_id: Some(hello.tenant.to_string().into()),
            }),
            ServerFrame::Message(event) => Frame::Message(EventFrame {
                id: Some((&*event.id.hyphenated().encode_lower(&mut id)).into()),
                room_id: Some((&*event.room.hyphenated().encode_lower(&mut room)).into()),
                position: Some(event.position),
                stamp: event.content.mark().map(|mark| RawStamp {
                    run: mark.run.hyphenated().encode_lower(&mut run),
                    room: mark.stamp.room,
                    n: mark.stamp.n,
                    due_ns: mark.stamp.due.as_nanos(),
                    sent_ns: mark.stamp.sent.as_nanos(),
                }),
            }),
            ServerFrame::Member { .. } | ServerFrame::Typing { .. } => Frame::Known,
            ServerFrame::Strange(Strange::Malformed) => Frame::Malformed,
            ServerFrame::Strange(Strange::Unknown) => Frame::Unknown,
            ServerFrame::Strange(Strange::Binary) => {
                return self.feed(client, Input::OddFrame(Oddity::Binary));
            }
            ServerFrame::Strange(Strange::Oversized) => {
                return self.feed(client, Input::OddFrame(Oddity::Oversized));
            }
        };
        self.feed(client, Input::Frame { frame: &parsed, late });
    }

    /// The connection is gone, as the client sees it.
    fn end_link(&mut self, client: u32, link: u64, ending: Ending) {
        self.forget_link(client, link);
        self.feed(client, Input::Closed(ending));
    }

    /// The network ends the connection, whether or not there was one already: what counts is what the client has read.
    fn break_link(&mut self, client: u32, link: u64, ending: Ending) {
        if self.links.get(&link).is_some_and(|state| state.upgraded) {
            return self.end_link(client, link, ending);
        }
        self.forget_link(client, link);
        self.feed(client, Input::ConnectFailed(ConnectFailure::Network));
    }

    fn forget_link(&mut self, client: u32, link: u64) {
        self.clients[client as usize].link = None;
        self.send_up(link, Upward::Gone);
    }

    /// The client lets go of its connection.
    pub(super) fn hang_up(&mut self, client: u32) {
        if let Some(link) = self.clients[client as usize].link.take() {
            self.send_up(link, Upward::Gone);
        }
    }

    pub(super) fn idle_check(&mut self, link: u64) {
        let Some(state) = self.links.get(&link).filter(|state| state.open) else { return };
        let idle = state.last_activity + self.balancer.idle_timeout();
        let old = self.balancer.max_age().map_or(Timestamp::MAX, |age| state.opened + age);
        let due = idle.min(old);
        if due > self.now {
            return self.agenda.at(due, Happening::IdleCheck { link });
        }
        self.deliver(link, Parcel::Eof);
        self.backend.gone(self.now, ConnId(link));
        self.settle_backend();
        if let Some(state) = self.links.get_mut(&link) {
            state.open = false;
        }
        self.balancers.streams_cut += 1;
        if let Some(fault) = if old <= self.now { self.age_fault } else { self.idle_fault } {
            let name = self.profile.faults[fault as usize].name.clone();
            let deeds = [(Deed::StreamCut, 1)].into();
            let cut = FaultTruth { index: fault, name, deeds, ..FaultTruth::default() };
            self.balancers.merge(&Truth { faults: vec![cut], ..Truth::default() });
            self.conduct(Event::Planted { fault, affected: 1 });
        }
    }

    /// What the plan does to the connections of these clients.
    pub(super) fn plant(&mut self, fault: u32, clients: &[u32], line: LineFault) {
        let hit = clients.iter().filter(|&&client| self.suffer(client, line)).count();
        let ends = matches!(
            line,
            LineFault::Unsilence
                | LineFault::Unslow
                | LineFault::Unmute
                | LineFault::Restore
                | LineFault::Revive
        );
        let affected = if ends { 0 } else { hit as u64 };
        self.tell(Event::Planted { fault, affected });
    }

    /// Says whether there was something to hit.
    fn suffer(&mut self, client: u32, line: LineFault) -> bool {
        let state = &mut self.clients[client as usize];
        match line {
            LineFault::Outage { sync } => {
                state.outage = Some(sync);
                self.lose_network(client, sync);
                return true;
            }
            LineFault::Restore => {
                state.outage = None;
                return true;
            }
            LineFault::Kill => return self.kill(client),
            LineFault::Revive => {
                self.revive(client);
                return true;
            }
            _ => {}
        }
        let Some(link) = state.link else { return false };
        let Some(connection) = self.links.get_mut(&link) else { return false };
        match line {
            LineFault::Reset => self.break_link(client, link, Ending::Reset),
            LineFault::Close => self.break_link(client, link, Ending::Eof),
            LineFault::ExpireToken => {
                self.identities[client as usize].spoil();
                self.break_link(client, link, Ending::Reset);
            }
            LineFault::SameToken => self.sign_in_elsewhere(client),
            LineFault::Silence => connection.silent = true,
            LineFault::Unsilence => {
                if std::mem::take(&mut connection.silent) {
                    self.read_held(link);
                }
            }
            LineFault::Slow(by) => {
                connection.slow = Some(by);
                self.agenda.at(self.now + by, Happening::ReadSlowly { link });
            }
            LineFault::Unslow => {
                if connection.slow.take().is_some() && !connection.silent {
                    self.read_held(link);
                }
            }
            LineFault::Mute => connection.muted = true,
            LineFault::Unmute => connection.muted = false,
            LineFault::Outage { .. } | LineFault::Restore | LineFault::Kill | LineFault::Revive => {}
        }
        true
    }

    fn lose_network(&mut self, client: u32, sync: bool) {
        if let Some(link) = self.clients[client as usize].link {
            self.break_link(client, link, Ending::Reset);
        }
        if !sync {
            self.break_request(client);
        }
    }

    /// Somebody else opens a stream with the same token, sees its hello and goes.
    fn sign_in_elsewhere(&mut self, client: u32) {
        let Ok(pod) = self.route(client) else { return };
        let (other, caller) = (ConnId(self.take_id()), self.identities[client as usize].caller());
        self.backend.open(self.now, pod, other, Ok(caller));
        self.settle_backend();
        self.backend.gone(self.now, other);
        self.settle_backend();
    }
}
