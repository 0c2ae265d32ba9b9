//! Streams held for the listening time, each with its tapes: what most lines of the page are judged by.
//!
//! Two thirds of a probe's listeners are quiet: they answer pings and do nothing else. The others also ping by themselves,
//! often: what is cut for being idle spares them, and what is cut for its age does not. A stream that drops is opened
//! again, in the documented order (sync, then stream), for more lifetimes to compare. Events are published when all are
//! there, and when listening ends; and then every stream is asked, by a ping of ours, whether it is still there.
//!
//! Who else holds streams names a [`Party`] of its own.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use tokio::select;

use super::ear::{Ear, Heard};
use super::path::{Path, Publish, QUIET, failure_words, trouble_words};
use super::report::secs;
use super::tape::Tape;
use crate::time::Timestamp;

/// Everything that was heard.
#[derive(Clone, Debug, Default)]
pub struct Vigil {
    /// One for each listener.
    pub watches: Vec<Watch>,
    /// Publishes in [`QUIET`]: those of the beginning, then those of the end.
    pub published: Vec<Publish>,
    /// When the first stream was opened.
    pub begun: Timestamp,
    /// When listening ended: what ends later was ended by us, or does not count.
    pub until: Timestamp,
    /// Time between two pings of those that ping.
    pub own_ping_interval: Duration,
}

/// Who listens how, and what is published meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Party {
    pub(crate) listeners: Vec<(u32, Manner)>,
    pub(crate) publishes: Publishes,
}

/// What a listener does beside listening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It answers pings.
    Quiet,
    /// It pings by itself as well.
    Pings,
    /// It says nothing at all.
    Mute,
}

/// What is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Publishes {
    /// A few events in [`QUIET`], when all are there and when listening has ended.
    AtBothEnds { by: u32 },
    /// One after the other, at this distance, for as long as is listened.
    Steadily { by: u32, room: u32, every: Duration },
}

/// One listener.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Its number.
    pub client: u32,
    /// It pings by itself.
    pub pings: bool,
    /// Its streams, one after the other.
    pub tapes: Vec<Tape>,
    /// Attempts that came to no stream: when, and why.
    pub refused: Vec<(Timestamp, String)>,
}

/// Streams that one listener opens at most, so that a path that drops at once is not hammered.
const STREAMS_MAX: usize = 30;

/// Between a drop and the next attempt.
const PAUSE: Duration = Duration::from_secs(1);

/// Between the first attempts of two listeners, at the least.
const SPACING: Duration = Duration::from_millis(30);

/// Events published when all streams are there, and again when listening has ended.
const EVENTS: u32 = 3;

/// How much longer than late events need streams are held in the end: the last events are published after the other, each
/// when the one before is answered, and on a far path each of them takes its time.
const GRACE: Duration = Duration::from_secs(2);

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);

impl Vigil {
    /// Holds the streams of a probe for the listening time.
    pub(super) async fn keep(path: &Rc<Path>) -> Self {
        let clients = path.listeners();
        let manner = |index| if index % 3 == 2 { Manner::Pings } else { Manner::Quiet };
        let listeners = clients.iter().enumerate().map(|(index, &client)| (client, manner(index)));
        let publishes = Publishes::AtBothEnds { by: clients[0] };
        Self::hold(path, &Party { listeners: listeners.collect(), publishes }).await
    }

    /// Holds streams for the listening time.
    pub(crate) async fn hold(path: &Rc<Path>, party: &Party) -> Self {
        let own_ping_interval = own_ping_interval(path.listen);
        let limit = 1.0 / path.profile.limits.connects.0.max(0.1);
        let spacing = SPACING.max(Duration::from_secs_f64(limit));
        let (listeners, begun) = (&party.listeners, path.now());
        let until = begun + spacing * listeners.len() as u32 + path.listen;
        let state = State { up: Cell::new(0), first: Cell::new(0), drops: Cell::new(0) };
        let hold = |(index, (client, manner)): (usize, (u32, Manner))| {
            let (path, state) = (Rc::clone(path), &state);
            let pings = manner == Manner::Pings;
            let watch = Watch { client, pings, tapes: Vec::new(), refused: Vec::new() };
            let plan = Plan {
                begin: begun + spacing * index as u32,
                until,
                own_pings: pings.then_some(own_ping_interval),
                mute: manner == Manner::Mute,
            };
            async move { watch.hold(&path, plan, state).await }
        };
        let count = listeners.len();
        let holding = join_all(listeners.iter().copied().enumerate().map(hold));
        let publishing = publish(path, &state, party.publishes, count, until);
        let telling = tell(path, &state, count, until);
        let (watches, published, ()) = futures::join!(holding, publishing, telling);
        Self { watches, published, begun, until, own_ping_interval }
    }

    /// All tapes of all listeners.
    pub fn tapes(&self) -> impl Iterator<Item = &Tape> {
        self.watches.iter().flat_map(|watch| &watch.tapes)
    }

    /// What these listeners heard.
    pub(crate) fn of(&self, clients: &[u32]) -> Self {
        let watches = self.watches.iter().filter(|watch| clients.contains(&watch.client)).cloned().collect();
        Self { watches, published: self.published.clone(), ..*self }
    }

    /// The length of listening, as it was.
    pub fn listened(&self) -> Duration {
        self.until.since(self.begun)
    }
}

/// Often enough to spare a stream from any idle timeout that can be told from an age in the listening time, and never so
/// often that it is a load (ours).
fn own_ping_interval(listen: Duration) -> Duration {
    (listen / 40).clamp(Duration::from_millis(100), Duration::from_secs(1))
}

/// How it goes, for progress and for whoever waits for the first streams.
struct State {
    up: Cell<usize>,
    /// Listeners whose first attempt is over, well or badly.
    first: Cell<usize>,
    drops: Cell<usize>,
}

#[derive(Clone, Copy)]
struct Plan {
    begin: Timestamp,
    until: Timestamp,
    own_pings: Option<Duration>,
    mute: bool,
}

impl Watch {
    async fn hold(mut self, path: &Rc<Path>, plan: Plan, state: &State) -> Self {
        path.sleep_until(plan.begin).await;
        let mut is_first = true;
        while path.now() < plan.until && self.tapes.len() + self.refused.len() < STREAMS_MAX {
            match self.enter(path).await {
                Ok(mut ear) => {
                    let mut tape = Tape::new(self.client, ear.opened);
                    tape.pod = ear.pod.clone();
                    let token = path.line.tokens.life(self.client);
                    tape.token_until = Some(token.issued + token.life);
                    if plan.mute {
                        ear.mute();
                        tape.mute = true;
                    }
                    let greeted = || {
                        if std::mem::take(&mut is_first) {
                            state.first.set(state.first.get() + 1);
                        }
                    };
                    state.up.set(state.up.get() + 1);
                    listen(path, ear, &mut tape, plan, greeted).await;
                    state.up.set(state.up.get() - 1);
                    state.drops.set(state.drops.get() + usize::from(tape.end.is_some()));
                    self.tapes.push(tape);
                }
                Err(why) => self.refused.push((path.now(), why)),
            }
            if std::mem::take(&mut is_first) {
                state.first.set(state.first.get() + 1);
            }
            path.sleep_until((path.now() + PAUSE).min(plan.until)).await;
        }
        self
    }

    /// The documented order: sync, then stream.
    async fn enter(&self, path: &Rc<Path>) -> Result<Ear, String> {
        let since = path.provisioned.positions[0];
        match path.sync(self.client, since, 1, Duration::ZERO).await {
            Ok(answer) if answer.is_success() => {}
            Ok(answer) => return Err(format!("sync is answered with HTTP {}", answer.status)),
            Err(trouble) => return Err(format!("sync: {}", trouble_words(&trouble))),
        }
        path.open(self.client).await.map_err(|failure| format!("upgrade: {}", failure_words(failure)))
    }
}

/// Until the end of the stream, or until listening has ended and late events have had their time.
async fn listen(path: &Rc<Path>, mut ear: Ear, tape: &mut Tape, plan: Plan, mut greeted: impl FnMut()) {
    // Asked again when the last events have had their time: an answer then proves that they could have come.
    let last_ping = plan.until + path.lateness_bound() + GRACE;
    // The answer has as much time as an event: a far path, or one that has to send it twice, is no dead one.
    let leave = last_ping + path.lateness_bound();
    let mut last = None;
    let mut next_ping = plan.own_pings.map_or(plan.until, |every| (ear.opened + every).min(plan.until));
    loop {
        select! {
            (at, heard) = ear.next() => {
                let over = matches!(heard, Heard::End(_));
                if matches!(heard, Heard::Hello(_)) {
                    greeted();
                }
                let answered = matches!(heard, Heard::Pong(number) if last == Some(number));
                tape.hear(at, heard);
                if over {
                    return;
                }
                if answered {
                    break;
                }
            }
            () = path.sleep_until(next_ping.min(leave)) => {
                let now = path.now();
                if now >= leave {
                    break;
                }
                if let Some(number) = tape.pings(now) {
                    ear.ping(number).await;
                    if now >= last_ping {
                        last = Some(number);
                    }
                }
                next_ping = match plan.own_pings {
                    _ if now >= last_ping => leave,
                    _ if now >= plan.until => last_ping,
                    Some(every) => (now + every).min(plan.until),
                    None => plan.until,
                };
            }
        }
    }
    tape.until = path.now();
    ear.leave().await;
}

/// Publishes from when everybody's first attempt is over.
async fn publish(
    path: &Rc<Path>,
    state: &State,
    publishes: Publishes,
    count: usize,
    until: Timestamp,
) -> Vec<Publish> {
    let latest = (path.now() + path.profile.client.hello_deadline * 2).min(until);
    while state.first.get() < count && path.now() < latest {
        path.sleep(Duration::from_millis(20)).await;
    }
    let mut published = Vec::new();
    match publishes {
        Publishes::AtBothEnds { by } => {
            for _ in 0..EVENTS {
                published.push(path.publish(by, QUIET).await);
            }
            path.sleep_until(until).await;
            for _ in 0..EVENTS {
                published.push(path.publish(by, QUIET).await);
            }
        }
        Publishes::Steadily { by, room, every } => {
            let mut next = path.now();
            while next < until {
                path.sleep_until(next).await;
                published.push(path.publish(by, room).await);
                // What a slow answer has cost is not caught up with: that would be another load than was asked for.
                next = (next + every).max(path.now());
            }
        }
    }
    published
}

async fn tell(path: &Rc<Path>, state: &State, count: usize, until: Timestamp) {
    loop {
        path.sleep_until((path.now() + PROGRESS).min(until)).await;
        let now = path.now();
        if now >= until {
            return;
        }
        path.note(&format!(
            "listening: {} of {count} streams are up, {} drops so far, {} to go",
            state.up.get(),
            state.drops.get(),
            secs(until.since(now))
        ));
    }
}
