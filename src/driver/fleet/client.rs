//! The task of one client: it feeds its session with what socket, requests, timer and mailbox bring, and carries out
//! what the session asks for.
//!
//! What lives as long as the client is kept small; what is large is short-lived and boxed (connecting, requests).

mod suffer;

use std::future::{Future, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::LocalBoxFuture;
use tokio::time::{Sleep, sleep_until};

use super::mailbox::{Mail, Mailbox};
use super::{Alive, Fleet};
use crate::driver::api;
use crate::driver::frames::Item;
use crate::driver::http::{Answer, Call, Connection, Trouble, exchange};
use crate::driver::publisher::{read_page, sync_trouble};
use crate::driver::stream::{Opened, Stream};
use crate::driver::tokens::{RefreshTrouble, Refreshing};
use crate::session::{Action, ConnectFailure, Ending, Input, Observation, Output, Session, SyncTrouble};
use crate::time::Timestamp;
use crate::wire::{Frame, PONG, Position};

/// Reads in one turn before others get theirs.
const READS_PER_TURN: usize = 4;

/// One client.
pub(super) struct Client {
    fleet: Alive,
    mailbox: Rc<Mailbox>,
    number: u32,
    session: Session,
    /// Where it begins as long as nothing is stored of it.
    start: Position,
    socket: Socket,
    /// The connection for requests: its own, as a browser's; kept for the pages of one bridge or the polls of one
    /// outage.
    http: Option<Connection>,
    sync: Option<LocalBoxFuture<'static, Synced>>,
    /// Id of the sync request that was made last.
    asked: u32,
    refresh: Option<Refreshing>,
    timer: Option<Pin<Box<Sleep>>>,
    /// When the timer is due; it may be earlier than the session needs, never later.
    armed: Timestamp,
    /// A planted outage: no stream opens; with `false`, no request gets through either.
    outage: Option<bool>,
    /// Something was begun that has not been polled yet.
    begun: bool,
    ended: bool,
}

enum Socket {
    None,
    Opening(LocalBoxFuture<'static, Result<Opened, ConnectFailure>>),
    Open {
        stream: Stream,
        /// What comes out first was held back by a silence that we planted.
        held_back: bool,
        /// A planted slow reader.
        slow: Option<Box<Slow>>,
    },
    /// A planted black hole: open, and nobody reads or writes.
    Silent(Stream),
}

/// Somebody who reads only once in a while; what is read then is late.
struct Slow {
    by: Duration,
    /// When it reads next.
    next: Pin<Box<Sleep>>,
}

/// The outcome of a sync request, and its connection if that is still good.
struct Synced {
    id: u32,
    answer: Result<Answer, Trouble>,
    http: Option<Connection>,
}

impl Client {
    pub(super) fn new(fleet: Alive, mailbox: Rc<Mailbox>, number: u32, session: Session) -> Self {
        Self {
            fleet,
            mailbox,
            number,
            start: session.position(),
            session,
            socket: Socket::None,
            http: None,
            sync: None,
            asked: 0,
            refresh: None,
            timer: None,
            armed: Timestamp::MAX,
            outage: None,
            begun: false,
            ended: false,
        }
    }

    fn fleet(&self) -> &Rc<Fleet> {
        &self.fleet
    }

    fn deliver(&mut self, mail: Mail, cx: &mut Context<'_>) {
        match mail {
            Mail::Order(order) => self.feed(Input::Order(order), cx),
            Mail::Refreshed(life) if self.refresh.is_none() => self.feed(Input::Refreshed(life), cx),
            // Our own refresh is under way: its outcome comes by itself, and is this very one.
            Mail::Refreshed(_) => {}
            Mail::Fault(line, tally) => self.suffer(line, &tally, cx),
            Mail::Revive(stored) => self.revive(stored, cx),
            Mail::End => self.end(),
        }
    }

    fn end(&mut self) {
        if let Socket::Open { stream, .. } = std::mem::replace(&mut self.socket, Socket::None) {
            self.fleet().part(stream);
        }
        self.ended = true;
    }

    fn feed(&mut self, input: Input<'_>, cx: &mut Context<'_>) {
        let now = self.fleet.line.clock.now();
        self.feed_at(now, input, cx);
    }

    fn feed_at(&mut self, now: Timestamp, input: Input<'_>, cx: &mut Context<'_>) {
        self.session.handle(now, input);
        self.fleet.positions.borrow_mut().holds(self.number, self.session.position());
        while let Some(output) = self.session.poll() {
            match output {
                Output::Action(action) => self.act(action, cx),
                Output::Observation(observation) => {
                    self.fleet.watcher.observe(now, self.number, &observation);
                    // Its page is taken: between bridges a client holds one descriptor, not two.
                    if matches!(
                        observation,
                        Observation::BridgeEnded { poll: false, .. }
                            | Observation::Ready
                            | Observation::Disconnected { .. }
                    ) {
                        self.http = None;
                    }
                }
            }
        }
    }

    fn act(&mut self, action: Action, cx: &mut Context<'_>) {
        match action {
            Action::Connect => {
                self.socket = Socket::Opening(match self.outage {
                    Some(_) => Box::pin(ready(Err(ConnectFailure::Network))),
                    None => Box::pin(open(Rc::clone(self.fleet()), self.number)),
                });
                self.begun = true;
            }
            Action::Disconnect { polite } => {
                if let (Socket::Open { stream, .. }, true) =
                    (std::mem::replace(&mut self.socket, Socket::None), polite)
                {
                    self.fleet().part(stream);
                }
            }
            Action::Pong => {
                if let Socket::Open { stream, .. } = &mut self.socket {
                    stream.send_text(PONG, cx);
                }
            }
            Action::Sync { id, since, limit, timeout } => {
                let request = SyncRequest { client: self.number, id, since, limit, timeout };
                self.asked = id;
                self.sync = Some(Box::pin(sync(Rc::clone(self.fleet()), self.http.take(), request)));
                self.begun = true;
            }
            Action::AbandonSync => self.sync = None,
            Action::Refresh => {
                let line = &self.fleet.line;
                self.refresh = Some(line.tokens.refresh(self.number, Rc::clone(line.endpoint(self.number))));
                self.begun = true;
            }
        }
    }

    /// Reads what the socket has, up to a bound; `false`: there may be more.
    fn poll_socket(&mut self, cx: &mut Context<'_>) -> bool {
        for _ in 0..READS_PER_TURN {
            match &mut self.socket {
                Socket::None | Socket::Silent(_) => return true,
                Socket::Opening(opening) => match opening.as_mut().poll(cx) {
                    Poll::Pending => return true,
                    Poll::Ready(outcome) => self.opened(outcome, cx),
                },
                Socket::Open { .. } => {
                    let mut buffer = self.fleet.line.read_buffer.take();
                    let read = self.read(&mut buffer, cx);
                    self.fleet.line.read_buffer.replace(buffer);
                    if read.is_pending() {
                        return true;
                    }
                }
            }
        }
        false
    }

    /// One read, and all that it brought.
    fn read(&mut self, buffer: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<()> {
        let Socket::Open { stream, held_back, slow } = &mut self.socket else { return Poll::Ready(()) };
        if slow.as_mut().is_some_and(|slow| slow.next.as_mut().poll(cx).is_pending()) {
            return Poll::Pending;
        }
        let filled = stream.poll_fill(cx, buffer);
        let now = self.fleet.line.clock.now();
        let late = *held_back || slow.is_some() || self.fleet.line.probe.is_late(now);
        let piece = match filled {
            Poll::Ready(Ok(filled)) => &buffer[..filled],
            Poll::Ready(Err(ending)) => {
                self.socket = Socket::None;
                self.feed_at(now, Input::Closed(ending), cx);
                return Poll::Ready(());
            }
            Poll::Pending => {
                *held_back = false;
                if let Some(slow) = slow {
                    slow.next.as_mut().reset(self.fleet.line.deadline(slow.by));
                    // Again now, so that it wakes us.
                    return slow.next.as_mut().poll(cx);
                }
                return Poll::Pending;
            }
        };
        let mut at = 0;
        // The session may let go of the connection at any frame: what came behind that one is nobody's.
        while let Socket::Open { stream, .. } = &mut self.socket {
            let Some(item) = stream.next(piece, &mut at) else {
                stream.keep(&piece[at..]);
                break;
            };
            if let Item::Ping(payload) = item {
                stream.pong(payload, cx);
            }
            self.received(now, &item, late, cx);
        }
        Poll::Ready(())
    }

    fn opened(&mut self, outcome: Result<Opened, ConnectFailure>, cx: &mut Context<'_>) {
        match outcome {
            Ok(opened) => {
                self.fleet.line.keep_cookies(self.number, &opened.cookies);
                self.served_by(true, opened.pod);
                if let Some(address) = opened.stream.local_address() {
                    let fact = Observation::ConnectedFrom { address };
                    self.fleet.watcher.observe(self.fleet.line.clock.now(), self.number, &fact);
                }
                self.socket = Socket::Open { stream: opened.stream, held_back: false, slow: None };
                self.feed(Input::Opened, cx);
            }
            Err(failure) => {
                self.socket = Socket::None;
                self.feed(Input::ConnectFailed(failure), cx);
            }
        }
    }

    fn received(&mut self, now: Timestamp, item: &Item<'_>, late: bool, cx: &mut Context<'_>) {
        match item {
            Item::Text(text) => {
                let frame = Frame::parse(text);
                self.feed_at(now, Input::Frame { frame: &frame, late }, cx);
            }
            Item::Ping(_) => self.feed_at(now, Input::Ping { late }, cx),
            Item::Pong(_) => {}
            Item::Odd(oddity) => self.feed_at(now, Input::OddFrame(*oddity), cx),
            Item::Close(code, reason) => {
                if let Socket::Open { stream, .. } = std::mem::replace(&mut self.socket, Socket::None) {
                    stream.answer_close(*code, cx);
                }
                let ending = Ending::Close { code: *code, reason: (*reason).into() };
                self.feed_at(now, Input::Closed(ending), cx);
            }
            Item::Broken => {
                self.socket = Socket::None;
                self.feed_at(now, Input::Closed(Ending::Protocol), cx);
            }
        }
    }

    fn poll_requests(&mut self, cx: &mut Context<'_>) {
        if self.outage == Some(false) {
            return self.break_requests(cx);
        }
        if let Some(sync) = &mut self.sync
            && let Poll::Ready(synced) = sync.as_mut().poll(cx)
        {
            self.sync = None;
            self.http = synced.http;
            self.synced(synced.id, synced.answer, cx);
        }
        if let Some(refresh) = &mut self.refresh
            && let Poll::Ready(outcome) = Pin::new(refresh).poll(cx)
        {
            self.refresh = None;
            let input = match outcome {
                Ok(life) => Input::Refreshed(life),
                Err(trouble) => Input::RefreshFailed { refused: trouble == RefreshTrouble::Refused },
            };
            self.feed(input, cx);
        }
    }

    /// No request gets through.
    fn break_requests(&mut self, cx: &mut Context<'_>) {
        if self.sync.take().is_some() {
            self.feed(Input::SyncFailed { id: self.asked, trouble: SyncTrouble::Network }, cx);
        }
        if self.refresh.take().is_some() {
            self.feed(Input::RefreshFailed { refused: false }, cx);
        }
    }

    fn synced(&mut self, id: u32, answer: Result<Answer, Trouble>, cx: &mut Context<'_>) {
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(trouble) => {
                let trouble = sync_trouble(trouble.kind);
                return self.feed(Input::SyncFailed { id, trouble }, cx);
            }
        };
        self.fleet.line.keep_cookies(self.number, &answer.cookies);
        if answer.is_success() {
            self.served_by(false, answer.pod.take());
        }
        match read_page(&answer, false) {
            Ok(page) => self.feed(Input::Synced { id, page: &page }, cx),
            Err(trouble) => {
                if let Some(after) = answer.retry_after() {
                    self.feed(Input::RetryAfter { id, after }, cx);
                }
                self.feed(Input::SyncFailed { id, trouble }, cx);
            }
        }
    }

    /// Tells which pod has answered, where that can be told.
    fn served_by(&self, stream: bool, header: Option<Box<str>>) {
        if let Some(pod) = self.fleet.line.pod(self.number, header) {
            let fact = Observation::ServedBy { stream, pod };
            self.fleet.watcher.observe(self.fleet.line.clock.now(), self.number, &fact);
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) {
        while let Some(wake) = self.session.next_wake() {
            if self.timer.is_none() || wake < self.armed {
                self.arm(wake);
            }
            let Some(timer) = &mut self.timer else { return };
            if timer.as_mut().poll(cx).is_pending() {
                return;
            }
            let now = self.fleet.line.clock.now();
            self.armed = Timestamp::MAX;
            if now >= wake {
                self.feed_at(now, Input::Timer, cx);
            }
        }
    }

    fn arm(&mut self, wake: Timestamp) {
        let at = self.fleet.line.clock.instant(wake);
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(at),
            None => self.timer = Some(Box::pin(sleep_until(at))),
        }
        self.armed = wake;
    }
}

impl Future for Client {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let client = &mut *self;
        for mail in client.mailbox.collect(cx.waker()) {
            client.deliver(mail, cx);
        }
        loop {
            if client.ended {
                return Poll::Ready(());
            }
            client.begun = false;
            let dry = client.poll_socket(cx);
            client.poll_requests(cx);
            client.poll_timer(cx);
            if !dry {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !client.begun {
                return Poll::Pending;
            }
        }
    }
}

struct SyncRequest {
    client: u32,
    id: u32,
    since: Position,
    limit: u32,
    timeout: Duration,
}

async fn open(fleet: Rc<Fleet>, client: u32) -> Result<Opened, ConnectFailure> {
    let line = &fleet.line;
    let (token, cookie) = (line.tokens.access(client), line.cookie(client));
    let deadline = line.deadline(line.connect_deadline);
    Stream::open(line.endpoint(client), &token, cookie.as_deref(), &line.agent, deadline).await
}

async fn sync(fleet: Rc<Fleet>, mut http: Option<Connection>, request: SyncRequest) -> Synced {
    let SyncRequest { client, id, since, limit, timeout } = request;
    let line = &fleet.line;
    let deadline = line.deadline(timeout + line.sync_deadline);
    let path = api::sync(since, limit, timeout);
    let request = || line.request(client, Call::get(&path));
    let answer = exchange(&mut http, line.endpoint(client), deadline, api::page_bytes(limit), request).await;
    Synced { id, answer, http }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lives_as_long_as_a_client_stays_small() {
        // With the read buffer, the socket's registration and the ledger, a client has 3 KiB (performance.md).
        assert!(size_of::<Client>() <= 1024, "{} bytes", size_of::<Client>());
    }
}
