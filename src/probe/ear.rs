//! A stream that is listened to: what comes, and when.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::path::Path;
use crate::driver::frames::Item;
use crate::driver::stream::Stream;
use crate::session::Ending;
use crate::time::Timestamp;
use crate::wire::{Frame, PONG, Position};

/// An open stream. Pings of the server are answered as they come, unless it is muted; dropping it resets nothing and says
/// no goodbye: see [`Ear::leave`].
pub struct Ear {
    path: Rc<Path>,
    /// `None`: it has ended.
    stream: Option<Stream>,
    buffer: Vec<u8>,
    heard: VecDeque<(Timestamp, Heard)>,
    /// Which pod answered it, as a header or a cookie of its answer says; `None`: the profile names none of either.
    pub pod: Option<Box<str>>,
    /// When the upgrade was answered.
    pub opened: Timestamp,
    /// When bytes last came.
    pub last_in: Timestamp,
    /// When bytes last left.
    pub last_out: Timestamp,
    muted: bool,
    /// It is we who leave: the server's close frame is the last word.
    leaving: bool,
    /// Frames that are neither hello nor messages nor pings, by their `type`; at most [`KINDS_MAX`] of those.
    pub kinds: BTreeMap<Box<str>, u64>,
}

/// Types of frames that are told apart (the documentation has eleven).
const KINDS_MAX: usize = 32;

/// What is kept while something else is done: far more than a probe publishes.
const KEPT_MAX: usize = 4096;

/// One thing that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// `hello`
    Hello(Greeting),
    /// A message.
    Event(Event),
    /// A protocol ping; it was answered.
    Ping,
    /// `{"type":"ping"}`; likewise.
    JsonPing,
    /// The answer to the ping of ours with this number.
    Pong(u32),
    /// Anything else: typing, presence, types that nobody knows, what is no text.
    Other,
    /// The end; nothing follows.
    End(Ending),
}

/// What hello says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Greeting {
    /// `tenant_id`
    pub tenant: Option<Box<str>>,
    /// `server_name`
    pub server: Option<Box<str>>,
    /// `session_id`
    pub session: Option<Box<str>>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `id`
    pub id: Option<Box<str>>,
    /// `stream_position`
    pub position: Option<Position>,
    /// Room and number, if this probe published it (no number: a marker); `None`: somebody else's.
    pub ours: Option<(u32, Option<u32>)>,
}

impl Ear {
    pub(super) fn new(path: Rc<Path>, stream: Stream) -> Self {
        let now = path.now();
        Self {
            path,
            stream: Some(stream),
            buffer: Vec::new(),
            heard: VecDeque::new(),
            pod: None,
            opened: now,
            last_in: now,
            last_out: now,
            muted: false,
            leaving: false,
            kinds: BTreeMap::new(),
        }
    }

    /// The next thing that comes, with the time of its coming; after the end, never. May be dropped and called again.
    pub async fn next(&mut self) -> (Timestamp, Heard) {
        poll_fn(|cx| {
            loop {
                if let Some(heard) = self.heard.pop_front() {
                    return Poll::Ready(heard);
                }
                ready!(self.poll_read(cx));
            }
        })
        .await
    }

    /// Does this, and goes on listening: pings are answered, and what comes is kept for [`Ear::next`] with the time of its
    /// coming. Who comes with more than anybody wants to keep has to wait.
    pub async fn meanwhile<T>(&mut self, doing: impl Future<Output = T>) -> T {
        let mut doing = pin!(doing);
        poll_fn(|cx| {
            while self.heard.len() < KEPT_MAX && self.poll_read(cx).is_ready() {}
            doing.as_mut().poll(cx)
        })
        .await
    }

    /// Sends a ping of our own with this number.
    pub async fn ping(&mut self, number: u32) {
        poll_fn(|cx| {
            if let Some(stream) = &mut self.stream {
                stream.ping(&number.to_be_bytes(), cx);
            }
            Poll::Ready(())
        })
        .await;
        self.last_out = self.path.now();
    }

    /// From now on no ping is answered.
    pub fn mute(&mut self) {
        self.muted = true;
        if let Some(stream) = &mut self.stream {
            stream.mute(true);
        }
    }

    /// Says close 1000 and goes on listening: how does the server answer?
    pub async fn goodbye(&mut self) {
        self.leaving = true;
        poll_fn(|cx| {
            if let Some(stream) = &mut self.stream {
                stream.goodbye(cx);
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Says goodbye: close frame 1000.
    pub async fn leave(mut self) {
        if let Some(stream) = self.stream.take() {
            stream.leave().await;
        }
    }

    /// Drops the connection with a reset, as a network would.
    pub fn reset(mut self) {
        if let Some(stream) = self.stream.take() {
            stream.reset();
        }
    }

    /// One read, and all that came out of it into `heard`.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(stream) = &mut self.stream else { return Poll::Pending };
        let filled = match ready!(stream.poll_fill(cx, &mut self.buffer)) {
            Ok(filled) => filled,
            Err(ending) => {
                self.end(ending);
                return Poll::Ready(());
            }
        };
        let now = self.path.now();
        self.last_in = now;
        let run = self.path.run.hyphenated().to_string();
        let mut at = 0;
        while let Some(stream) = &mut self.stream {
            let Some(item) = stream.next(&self.buffer[..filled], &mut at) else {
                stream.keep(&self.buffer[at..filled]);
                break;
            };
            let heard = match item {
                Item::Text(text) => {
                    let heard = Heard::of(&Frame::parse(&text), &run);
                    if heard == Heard::Other {
                        count_kind(&mut self.kinds, &text);
                    }
                    heard
                }
                Item::Ping(payload) => {
                    stream.pong(payload, cx);
                    Heard::Ping
                }
                Item::Pong(payload) => {
                    payload.try_into().map_or(Heard::Other, |number| Heard::Pong(u32::from_be_bytes(number)))
                }
                Item::Odd(_) => Heard::Other,
                Item::Close(code, reason) => {
                    let ending = Ending::Close { code, reason: reason.into() };
                    if let Some(stream) = self.stream.take()
                        && !self.leaving
                    {
                        stream.answer_close(code, cx);
                    }
                    self.end(ending);
                    break;
                }
                Item::Broken => {
                    self.end(Ending::Protocol);
                    break;
                }
            };
            match heard {
                Heard::JsonPing => stream.send_text(PONG, cx),
                Heard::Ping => {}
                _ => {
                    self.heard.push_back((now, heard));
                    continue;
                }
            }
            if !self.muted {
                self.last_out = now;
            }
            self.heard.push_back((now, heard));
        }
        Poll::Ready(())
    }

    fn end(&mut self, ending: Ending) {
        self.stream = None;
        self.heard.push_back((self.path.now(), Heard::End(ending)));
    }
}

fn count_kind(kinds: &mut BTreeMap<Box<str>, u64>, text: &str) {
    /// Of any frame.
    #[derive(serde::Deserialize)]
    struct Kind<'a> {
        #[serde(rename = "type", borrow)]
        kind: std::borrow::Cow<'a, str>,
    }
    let kind = serde_json::from_str::<Kind<'_>>(text).map_or("no type".into(), |own| own.kind);
    let kind = &kind[..kind.floor_char_boundary(64)];
    if kinds.len() < KINDS_MAX || kinds.contains_key(kind) {
        *kinds.entry(kind.into()).or_default() += 1;
    }
}

impl Heard {
    fn of(frame: &Frame<'_>, run: &str) -> Self {
        match frame {
            Frame::Hello(hello) => {
                let own = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map(Box::from);
                Self::Hello(Greeting {
                    tenant: own(&hello.tenant_id),
                    server: own(&hello.server_name),
                    session: own(&hello.session_id),
                })
            }
            Frame::Message(event) => Self::Event(Event {
                id: event.id.as_deref().map(Box::from),
                position: event.position,
                ours: event.stamp.and_then(|stamp| stamp.of_run(run)).map(|stamp| (stamp.room, stamp.n)),
            }),
            Frame::Ping => Self::JsonPing,
            Frame::Known | Frame::Unknown | Frame::Malformed => Self::Other,
        }
    }
}
