//! What the plan does to a client: to its connection, its network, its identity, its process.

use std::rc::Rc;
use std::task::Context;

use tokio::task::spawn_local;
use tokio::time::sleep_until;

use super::{Client, Slow, Socket, open};
use crate::driver::fleet::mailbox::Tally;
use crate::driver::stream::Stream;
use crate::session::{ConnectFailure, Ending, Input};
use crate::wire::Position;
use crate::worker::conductor::LineFault;

impl Client {
    /// Does to the connection what a network would do; only a connection that is open can be hit.
    pub(super) fn suffer(&mut self, line: LineFault, tally: &Rc<Tally>, cx: &mut Context<'_>) {
        match line {
            LineFault::Outage { sync } => return self.lose_network(sync, tally, cx),
            LineFault::Restore => return self.outage = None,
            LineFault::SameToken => return self.sign_in_elsewhere(tally),
            LineFault::Kill => return self.die(tally, cx),
            // It comes with what the store has, as mail of its own.
            LineFault::Revive => return,
            LineFault::Slow(_) | LineFault::Unslow | LineFault::Mute | LineFault::Unmute => {
                return self.hamper(line, tally);
            }
            LineFault::Reset
            | LineFault::Close
            | LineFault::ExpireToken
            | LineFault::Silence
            | LineFault::Unsilence => {}
        }
        match (line, std::mem::replace(&mut self.socket, Socket::None)) {
            (LineFault::Reset, Socket::Open { stream, .. } | Socket::Silent(stream)) => {
                tally.hit();
                self.cut(stream, cx);
            }
            (LineFault::ExpireToken, Socket::Open { stream, .. } | Socket::Silent(stream)) => {
                tally.hit();
                self.fleet.line.tokens.expire(self.number);
                self.cut(stream, cx);
            }
            (LineFault::Close, Socket::Open { stream, .. } | Socket::Silent(stream)) => {
                tally.hit();
                drop(stream);
                self.feed(Input::Closed(Ending::Eof), cx);
            }
            (LineFault::Silence, Socket::Open { stream, .. }) => {
                tally.hit();
                self.socket = Socket::Silent(stream);
            }
            (LineFault::Unsilence, Socket::Silent(stream)) => {
                self.socket = Socket::Open { stream, held_back: true, slow: None };
                self.begun = true;
            }
            (_, untouched) => self.socket = untouched,
        }
    }

    /// The connection goes on, but not as it should; or does again.
    fn hamper(&mut self, line: LineFault, tally: &Tally) {
        let Socket::Open { stream, held_back, slow } = &mut self.socket else { return };
        match line {
            LineFault::Slow(by) => {
                let next = Box::pin(sleep_until(self.fleet.line.deadline(by)));
                *slow = Some(Box::new(Slow { by, next }));
            }
            LineFault::Unslow => {
                *held_back |= slow.take().is_some();
                self.begun = true;
                return;
            }
            _ => stream.mute(line == LineFault::Mute),
        }
        self.begun = true;
        if line != LineFault::Unmute {
            tally.hit();
        }
    }

    /// The network is down: streams and, with `sync` false, requests break off, and new ones fail.
    fn lose_network(&mut self, sync: bool, tally: &Tally, cx: &mut Context<'_>) {
        tally.hit();
        self.outage = Some(sync);
        if !sync {
            self.http = None;
        }
        match std::mem::replace(&mut self.socket, Socket::None) {
            Socket::None => {}
            Socket::Opening(_) => self.feed(Input::ConnectFailed(ConnectFailure::Network), cx),
            Socket::Open { stream, .. } | Socket::Silent(stream) => self.cut(stream, cx),
        }
    }

    /// Somebody else opens a stream with the same token, sees its hello and goes.
    fn sign_in_elsewhere(&self, tally: &Rc<Tally>) {
        let (fleet, number, tally) = (Rc::clone(self.fleet()), self.number, Rc::clone(tally));
        drop(spawn_local(async move {
            let Ok(mut opened) = Box::pin(open(fleet, number)).await else { return };
            if opened.stream.hears().await {
                tally.hit();
                opened.stream.leave().await;
            }
        }));
    }

    /// The process dies: the system ends its connections, and nobody reads what they still bring.
    fn die(&mut self, tally: &Tally, cx: &mut Context<'_>) {
        if !self.session.is_up() {
            return;
        }
        tally.hit();
        self.socket = Socket::None;
        self.feed(Input::Killed, cx);
        (self.http, self.sync, self.refresh) = (None, None, None);
    }

    /// It is started again; if it had not died, it has only been taken for dead.
    pub(super) fn revive(&mut self, stored: Option<Position>, cx: &mut Context<'_>) {
        let position = stored.unwrap_or(self.start);
        let token = self.fleet.line.tokens.life(self.number);
        self.feed(Input::Revived { position, token }, cx);
        self.fleet.positions.borrow_mut().starts(self.number, self.session.position());
    }

    fn cut(&mut self, stream: Stream, cx: &mut Context<'_>) {
        stream.reset();
        self.feed(Input::Closed(Ending::Reset), cx);
    }
}
