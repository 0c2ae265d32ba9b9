//! What one stream brought, from its upgrade to its end (pure).

use std::time::Duration;

use super::ear::{Greeting, Heard};
use crate::session::Ending;
use crate::time::Timestamp;

/// Of each kind so many are kept; further ones are counted. Nobody listens for long enough to need more.
const KEPT_MAX: usize = 4096;

/// One stream's story.
#[derive(Clone, Debug)]
pub struct Tape {
    /// Whose.
    pub client: u32,
    /// Which pod answered the upgrade, as its answer says.
    pub pod: Option<Box<str>>,
    /// When the upgrade was answered.
    pub opened: Timestamp,
    /// When hello came, and what it said.
    pub hello: Option<(Timestamp, Greeting)>,
    /// Protocol pings.
    pub pings: Vec<Timestamp>,
    /// JSON pings.
    pub json_pings: Vec<Timestamp>,
    /// Pings of our own, by number: when they left, and when they were answered.
    pub own_pings: Vec<(Timestamp, Option<Timestamp>)>,
    /// Events of this probe: when they came, room and number.
    pub events: Vec<(Timestamp, u32, u32)>,
    /// Frames that are none of these.
    pub others: u64,
    /// What was not kept.
    pub refused: u64,
    /// When bytes last came.
    pub last_in: Timestamp,
    /// When the server last sent something of its own accord: anything but the answer to a ping of ours.
    pub last_frame: Timestamp,
    /// When bytes last left.
    pub last_out: Timestamp,
    /// The longest time without a byte either way, and with another one after it.
    pub longest_silence: Duration,
    /// What it has survived of it, by direction.
    pub survived: Survived,
    /// When we last said something of any kind: a ping, or the answer to one.
    last_said: Timestamp,
    /// The longest time in which we said nothing, of what no byte has come after yet.
    unproven: Survived,
    /// It answers no ping.
    pub mute: bool,
    /// When and how it ended; `None`: we left, or it still goes on.
    pub end: Option<(Timestamp, Ending)>,
    /// When listening ended.
    pub until: Timestamp,
    /// When the token ends that it was opened with, as far as its client knows.
    pub token_until: Option<Timestamp>,
}

/// The longest silences that a stream has survived: a byte came after them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survived {
    /// Nothing came to us.
    pub to_client: Duration,
    /// Nothing left from us.
    pub to_server: Duration,
    /// Nothing passed at all.
    pub either_way: Duration,
}

impl Survived {
    /// The longer of each.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            to_client: self.to_client.max(other.to_client),
            to_server: self.to_server.max(other.to_server),
            either_way: self.either_way.max(other.either_way),
        }
    }
}

impl Tape {
    /// An upgrade was answered.
    pub fn new(client: u32, opened: Timestamp) -> Self {
        Self {
            client,
            pod: None,
            opened,
            hello: None,
            pings: Vec::new(),
            json_pings: Vec::new(),
            own_pings: Vec::new(),
            events: Vec::new(),
            others: 0,
            refused: 0,
            last_in: opened,
            last_frame: opened,
            last_out: opened,
            longest_silence: Duration::ZERO,
            survived: Survived::default(),
            last_said: opened,
            unproven: Survived::default(),
            mute: false,
            end: None,
            until: opened,
            token_until: None,
        }
    }

    /// Something came.
    pub fn hear(&mut self, at: Timestamp, heard: Heard) {
        self.until = self.until.max(at);
        // An end is not a byte: the silence before it is what matters.
        if !matches!(heard, Heard::End(_)) {
            self.longest_silence = self.longest_silence.max(self.silence(at));
            self.survive(at);
            self.last_in = self.last_in.max(at);
            if !matches!(heard, Heard::Pong(_)) {
                self.last_frame = self.last_frame.max(at);
            }
            if matches!(heard, Heard::Ping | Heard::JsonPing) && !self.mute {
                self.last_said = self.last_said.max(at);
            }
        }
        match heard {
            Heard::Hello(greeting) => self.hello = self.hello.take().or(Some((at, greeting))),
            Heard::Ping => keep(&mut self.pings, at, &mut self.refused),
            Heard::JsonPing => keep(&mut self.json_pings, at, &mut self.refused),
            Heard::Pong(number) => {
                if let Some((_, answer @ None)) = self.own_pings.get_mut(number as usize) {
                    *answer = Some(at);
                }
            }
            Heard::Event(event) => match event.ours {
                Some((room, Some(n))) => keep(&mut self.events, (at, room, n), &mut self.refused),
                _ => self.others += 1,
            },
            Heard::Other => self.others += 1,
            Heard::End(ending) => self.end = Some((at, ending)),
        }
    }

    /// A ping of ours leaves; its number. `None`: no more of them.
    pub fn pings(&mut self, at: Timestamp) -> Option<u32> {
        let number = u32::try_from(self.own_pings.len()).ok()?;
        (self.own_pings.len() < KEPT_MAX).then(|| {
            self.longest_silence = self.longest_silence.max(self.silence(at));
            self.unproven = self.unproven.or(self.silences(at));
            self.own_pings.push((at, None));
            (self.last_out, self.last_said) = (at, at);
            number
        })
    }

    /// Pings of either kind, in the order they came.
    pub fn all_pings(&self) -> Vec<Timestamp> {
        let mut all = [self.pings.as_slice(), self.json_pings.as_slice()].concat();
        all.sort_unstable();
        all
    }

    /// Times without a ping: from the upgrade to the first, and from each to the next.
    pub fn ping_gaps(&self) -> Vec<Duration> {
        let times: Vec<Timestamp> = std::iter::once(self.opened).chain(self.all_pings()).collect();
        times.windows(2).map(|pair| pair[1].since(pair[0])).collect()
    }

    /// From the upgrade to the end, or to the end of listening.
    pub fn age(&self) -> Duration {
        self.end.as_ref().map_or(self.until, |(at, _)| *at).since(self.opened)
    }

    /// From the last byte, either way, to the end, or to the end of listening.
    pub fn idle(&self) -> Duration {
        let end = self.end.as_ref().map_or(self.until, |(at, _)| *at);
        self.silence(end)
    }

    /// From when we last said anything to the end, or to the end of listening.
    pub fn unsaid(&self) -> Duration {
        self.end.as_ref().map_or(self.until, |(at, _)| *at).since(self.last_said)
    }

    fn silence(&self, at: Timestamp) -> Duration {
        at.since(self.last_in.max(self.last_out))
    }

    /// What has been silent until now.
    fn silences(&self, at: Timestamp) -> Survived {
        Survived {
            to_client: at.since(self.last_in),
            to_server: at.since(self.last_said),
            either_way: at.since(self.last_in.max(self.last_said)),
        }
    }

    /// A byte has come: all silence before it was survived, also what a word of ours had ended.
    fn survive(&mut self, at: Timestamp) {
        let ended = std::mem::take(&mut self.unproven);
        self.survived = self.survived.or(ended).or(self.silences(at));
    }

    /// Its pod, for people: `server_name` of hello, else what the answer to the upgrade says.
    pub fn server(&self) -> &str {
        let hello = self.hello.as_ref().and_then(|(_, hello)| hello.server.as_deref());
        hello.or(self.pod.as_deref()).unwrap_or("an unnamed pod")
    }

    /// The code of its close frame, if it ended by one.
    pub fn close_code(&self) -> Option<u16> {
        match &self.end {
            Some((_, Ending::Close { code, .. })) => Some(*code),
            _ => None,
        }
    }
}

/// How a stream ended, in a few words.
pub(crate) fn ending_words(ending: &Ending) -> String {
    match ending {
        Ending::Close { code: 1005, .. } => "a close frame without a code".to_owned(),
        Ending::Close { code, reason } if reason.is_empty() => format!("close {code}"),
        Ending::Close { code, reason } => format!("close {code} {reason:?}"),
        Ending::Eof => "FIN, no close frame".to_owned(),
        Ending::Reset => "reset".to_owned(),
        Ending::Protocol => "broken WebSocket frames".to_owned(),
    }
}

fn keep<T>(kept: &mut Vec<T>, new: T, refused: &mut u64) {
    if kept.len() < KEPT_MAX {
        kept.push(new);
    } else {
        *refused += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn age_runs_from_the_upgrade_and_idle_time_from_the_last_byte_either_way() {
        let mut tape = Tape::new(1, at(10));
        tape.hear(at(11), Heard::Hello(Greeting::default()));
        assert_eq!(tape.pings(at(15)), Some(0));
        tape.hear(at(16), Heard::Pong(0));
        assert_eq!(tape.own_pings, [(at(15), Some(at(16)))]);
        assert_eq!(tape.pings(at(18)), Some(1));
        tape.hear(at(38), Heard::End(Ending::Eof));
        assert_eq!((tape.age(), tape.idle()), (Duration::from_secs(28), Duration::from_secs(20)));
    }

    #[test]
    fn a_pod_goes_by_what_hello_says_and_else_by_what_the_upgrade_said() {
        let mut tape = Tape::new(1, at(0));
        assert_eq!(tape.server(), "an unnamed pod");
        tape.pod = Some("pod-2".into());
        assert_eq!(tape.server(), "pod-2");
        let server = Some("scaiwave-1".into());
        tape.hear(at(0), Heard::Hello(Greeting { server, ..Greeting::default() }));
        assert_eq!(tape.server(), "scaiwave-1");
    }

    #[test]
    fn a_silence_is_survived_when_a_byte_comes_after_it_and_not_before() {
        let secs = |times: [u64; 3]| {
            let [to_client, to_server, either_way] = times.map(Duration::from_secs);
            Survived { to_client, to_server, either_way }
        };
        let mut tape = Tape::new(1, at(0));
        tape.hear(at(0), Heard::Hello(Greeting::default()));
        tape.pings(at(20));
        assert_eq!(tape.survived, secs([0, 0, 0]), "our own word proves nothing");
        tape.hear(at(21), Heard::Pong(0));
        assert_eq!(tape.survived, secs([21, 20, 20]));
        tape.hear(at(61), Heard::End(Ending::Eof));
        assert_eq!(tape.survived, secs([21, 20, 20]), "an end is no byte");
        assert_eq!(tape.unsaid(), Duration::from_secs(41));
    }

    #[test]
    fn who_answers_no_ping_says_nothing_and_who_answers_does() {
        let told = |mute| {
            let mut tape = Tape::new(1, at(0));
            tape.mute = mute;
            [30, 60, 90].into_iter().for_each(|time| tape.hear(at(time), Heard::Ping));
            (tape.survived.to_server.as_secs(), tape.survived.to_client.as_secs(), tape.ping_gaps().len())
        };
        assert_eq!((told(false), told(true)), ((30, 30, 3), (90, 30, 3)));
    }

    #[test]
    fn what_is_not_kept_is_counted() {
        let mut tape = Tape::new(1, at(0));
        for _ in 0..KEPT_MAX + 3 {
            tape.hear(at(1), Heard::Ping);
        }
        assert_eq!((tape.pings.len(), tape.refused), (KEPT_MAX, 3));
    }
}
