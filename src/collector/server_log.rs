//! The server's own log, matched to what clients saw.
//!
//! Seed: `ws.connect`, `ws.disconnect` with its `reason`, `ws.fanout_failed`. That lines are JSON objects, one each, and what
//! their other keys are called is documented nowhere: taken are (ours) `event` (or `message`, `msg`) for the name, `reason`,
//! `session_id`, and `server_name` (or `pod`, `host`, `hostname`; a number n is `pod-n`) for the pod. What cannot be read is
//! counted, and no line is kept.
//!
//! A session is known by the `session_id` of its hello. The log may be ahead of the client, or behind: a line about a
//! connection that is open here waits for [`PATIENCE`] before it counts as `open`.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::collected::ServerLog;
use crate::session::{Cause, Observation};
use crate::time::Timestamp;
use crate::wire::id_hash;

/// What a client is given to notice what its server has logged.
const PATIENCE: Duration = Duration::from_secs(5);
/// Ended connections that are remembered, and lines that wait; beyond it the oldest are let go.
const KEPT: usize = 65_536;
/// Reasons and pods that are told apart; all others are "other".
const NAMES_MAX: usize = 200;
/// What is kept of a name, in bytes.
const NAME_MAX: usize = 128;

/// What a pod logs when it closes a connection for missed pongs (seed).
const PING_TIMEOUT: &str = "ping_timeout";
/// And because its token signed in again (seed).
const DUPLICATE: &str = "duplicate_connection";

/// A piece of the log: whole lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPiece {
    /// Each ends with a newline.
    pub lines: Vec<u8>,
    /// Lines that were too long to be read.
    pub too_long: u64,
    /// The last one: nobody writes any more.
    pub last: bool,
}

/// What the log has said, and the connections that it may speak of.
#[derive(Debug)]
pub(super) struct LogReader {
    counts: ServerLog,
    /// Session of each client that is connected; 0: none.
    open: Vec<u64>,
    /// The same, by session.
    clients: BTreeMap<u64, u32>,
    ended: BTreeMap<u64, (u32, Cause)>,
    /// Sessions in the order in which they ended.
    order: VecDeque<u64>,
    waiting: VecDeque<Waiting>,
}

/// Something that the log says of a client of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) kind: &'static str,
    pub(super) client: u32,
    pub(super) session: Box<str>,
    pub(super) pod: Option<Box<str>>,
}

/// A line about the end of a connection that is open here.
#[derive(Debug)]
struct Waiting {
    since: Timestamp,
    session: u64,
    text: Box<str>,
    reason: Box<str>,
    pod: Option<Box<str>>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    event: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    message: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    msg: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    session_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    server_name: Option<Pod<'a>>,
    #[serde(borrow, default)]
    pod: Option<Pod<'a>>,
    #[serde(borrow, default)]
    host: Option<Pod<'a>>,
    #[serde(borrow, default)]
    hostname: Option<Pod<'a>>,
}

impl Line<'_> {
    /// Of several keys for one thing the first that is there counts.
    fn event(&self) -> Option<&str> {
        [&self.event, &self.message, &self.msg].into_iter().find_map(Option::as_deref)
    }

    fn pod(&self) -> Option<Box<str>> {
        let pods = [&self.server_name, &self.pod, &self.host, &self.hostname];
        pods.into_iter().flatten().find_map(|pod| match pod {
            Pod::Number(number) => Some(format!("pod-{number}").into()),
            Pod::Name(name) => Some(cut(name).into()),
            Pod::Other(_) => None,
        })
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Pod<'a> {
    Number(u64),
    #[serde(borrow)]
    Name(Cow<'a, str>),
    /// An object, as some log formats have it: no name, and no reason not to read the line.
    Other(IgnoredAny),
}

impl LogReader {
    pub(super) fn new(clients: u32) -> Self {
        Self {
            counts: ServerLog::default(),
            open: vec![0; clients as usize],
            clients: BTreeMap::new(),
            ended: BTreeMap::new(),
            order: VecDeque::new(),
            waiting: VecDeque::new(),
        }
    }

    /// A fact about a client.
    pub(super) fn observe(&mut self, client: u32, fact: &Observation) {
        match fact {
            Observation::Hello { info, .. } => {
                let session = info.session_id.as_deref().map_or(0, id_hash);
                self.open[client as usize] = session;
                if session != 0 {
                    self.clients.insert(session, client);
                }
            }
            Observation::Disconnected { cause, .. } => {
                let session = std::mem::take(&mut self.open[client as usize]);
                if session != 0 {
                    self.clients.remove(&session);
                    self.end(session, client, *cause);
                }
            }
            _ => {}
        }
    }

    /// Reads a piece; `over`: everybody leaves, which is not observed any more.
    pub(super) fn read(&mut self, now: Timestamp, piece: &LogPiece, over: bool) -> Vec<Word> {
        let mut words = Vec::new();
        self.counts.not_understood += piece.too_long;
        self.counts.lines += piece.too_long;
        for line in piece.lines.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            self.counts.lines += 1;
            match serde_json::from_slice::<Line<'_>>(line) {
                Ok(line) if line.event().is_some() => self.line(now, &line, &mut words),
                Ok(_) | Err(_) => self.counts.not_understood += 1,
            }
        }
        while let Some(first) = self.waiting.front() {
            let settled = self.ended.contains_key(&first.session);
            if !(settled || over || piece.last || now.since(first.since) >= PATIENCE) {
                break;
            }
            let Some(waiting) = self.waiting.pop_front() else { break };
            self.settle(&waiting, over || piece.last, &mut words);
        }
        words
    }

    pub(super) fn collected(&self) -> ServerLog {
        self.counts.clone()
    }

    fn line(&mut self, now: Timestamp, line: &Line<'_>, words: &mut Vec<Word>) {
        let pod = line.pod();
        let text = line.session_id.as_deref().map(cut);
        let session = text.map_or(0, id_hash);
        match line.event().unwrap_or_default() {
            "ws.connect" => self.counts.connects += 1,
            "ws.disconnect" => {
                let reason: Box<str> = cut(line.reason.as_deref().unwrap_or("none")).into();
                let text: Box<str> = text.unwrap_or_default().into();
                let waiting = Waiting { since: now, session, text, reason, pod };
                if session != 0 && self.clients.contains_key(&session) && self.waiting.len() < KEPT {
                    self.waiting.push_back(waiting);
                } else {
                    self.settle(&waiting, false, words);
                }
            }
            "ws.fanout_failed" => {
                let name = pod.as_deref().unwrap_or("unknown");
                *bounded(&mut self.counts.fanout_failed, name) += 1;
                let client =
                    self.clients.get(&session).or_else(|| self.ended.get(&session).map(|(client, _)| client));
                if let (Some(&client), Some(text)) = (client, text) {
                    words.push(Word { kind: "fanout_failed", client, session: text.into(), pod });
                }
            }
            _ => self.counts.other += 1,
        }
    }

    /// A line about the end of a connection, and what its client has seen of that.
    fn settle(&mut self, line: &Waiting, over: bool, words: &mut Vec<Word>) {
        let seen = self.ended.remove(&line.session);
        let (client, name) = match (seen, self.clients.get(&line.session)) {
            (Some((client, cause)), _) => (Some(client), cause.name()),
            (None, Some(&client)) => (Some(client), if over { Cause::Left.name() } else { "open" }),
            (None, None) => (None, "unknown"),
        };
        *bounded(bounded(&mut self.counts.disconnects, &line.reason), name) += 1;
        let meant = match &*line.reason {
            PING_TIMEOUT => Cause::PingTimeout.name(),
            DUPLICATE => Cause::DuplicateConnection.name(),
            _ => return,
        };
        if let Some(client) = client.filter(|_| name != meant) {
            self.counts.unseen_reasons += 1;
            let (session, pod) = (line.text.clone(), line.pod.clone());
            words.push(Word { kind: "disconnect_reason_unseen", client, session, pod });
        }
    }

    fn end(&mut self, session: u64, client: u32, cause: Cause) {
        self.ended.insert(session, (client, cause));
        self.order.push_back(session);
        if self.order.len() > KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.ended.remove(&oldest);
        }
    }
}

/// The entry of this name, or of "other" when there are too many.
fn bounded<'a, T: Default>(counts: &'a mut BTreeMap<String, T>, name: &str) -> &'a mut T {
    let known = counts.contains_key(name) || counts.len() < NAMES_MAX;
    counts.entry(if known { name.to_owned() } else { "other".to_owned() }).or_default()
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(NAME_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::ConnectionInfo;

    fn hello(session: &str) -> Observation {
        let info = ConnectionInfo { session_id: Some(session.into()), ..ConnectionInfo::default() };
        Observation::Hello { took: Duration::ZERO, position: 1, info: Box::new(info) }
    }

    fn end(cause: Cause) -> Observation {
        Observation::Disconnected { cause, code: None, was_live: true }
    }

    fn piece(lines: &str) -> LogPiece {
        LogPiece { lines: lines.as_bytes().to_vec(), ..LogPiece::default() }
    }

    fn gone(session: &str, reason: &str) -> String {
        format!(
            "{{\"event\":\"ws.disconnect\",\"reason\":\"{reason}\",\"session_id\":\"{session}\",\"pod\":2}}\n"
        )
    }

    const NOW: Timestamp = Timestamp::from_secs(100);

    #[test]
    fn a_reason_is_held_against_what_the_client_saw() {
        let mut log = LogReader::new(4);
        for (client, cause) in [(0, Cause::PingTimeout), (1, Cause::Reset), (2, Cause::Eof)] {
            log.observe(client, &hello(&format!("s{client}")));
            log.observe(client, &end(cause));
        }
        let text = gone("s0", "ping_timeout") + &gone("s1", "ping_timeout") + &gone("s2", "client_gone");
        let words = log.read(NOW, &piece(&(text + &gone("stranger", "ping_timeout"))), false);
        let wanted = Word {
            kind: "disconnect_reason_unseen",
            client: 1,
            session: "s1".into(),
            pod: Some("pod-2".into()),
        };
        assert_eq!(words, [wanted]);
        let counts = log.collected();
        let of =
            |reason: &str| counts.disconnects[reason].iter().map(|(seen, n)| (seen.as_str(), *n)).collect();
        let pings: Vec<(&str, u64)> = of("ping_timeout");
        assert_eq!(pings, [("ping_timeout", 1), ("reset", 1), ("unknown", 1)]);
        let others: Vec<(&str, u64)> = of("client_gone");
        assert_eq!(others, [("eof", 1)]);
        assert_eq!((counts.lines, counts.unseen_reasons), (4, 1));
    }

    #[test]
    fn a_client_is_given_time_to_see_what_its_server_has_logged() {
        let mut log = LogReader::new(2);
        log.observe(0, &hello("s0"));
        log.observe(1, &hello("s1"));
        let text = gone("s0", "duplicate_connection") + &gone("s1", "ping_timeout");
        assert_eq!(log.read(NOW, &piece(&text), false), []);
        log.observe(0, &end(Cause::DuplicateConnection));
        assert_eq!(log.read(NOW + Duration::from_secs(4), &piece(""), false), []);
        let words = log.read(NOW + Duration::from_secs(5), &piece(""), false);
        assert_eq!(words.iter().map(|word| word.client).collect::<Vec<_>>(), [1], "a half-open path");
        let counts = log.collected().disconnects;
        assert_eq!(counts["duplicate_connection"]["duplicate_connection"], 1);
        assert_eq!(counts["ping_timeout"]["open"], 1);
    }

    #[test]
    fn who_leaves_at_the_end_is_not_observed_any_more() {
        let mut log = LogReader::new(1);
        log.observe(0, &hello("s0"));
        log.read(NOW, &piece(&gone("s0", "client_gone")), true);
        assert_eq!(log.collected().disconnects["client_gone"]["left"], 1);
    }

    #[test]
    fn fan_out_that_failed_is_counted_by_pod_and_told_of_our_clients() {
        let mut log = LogReader::new(2);
        log.observe(1, &hello("s1"));
        let line = |keys: &str| format!("{{\"event\":\"ws.fanout_failed\"{keys}}}\n");
        let text = line(",\"server_name\":\"pod-3\",\"session_id\":\"s1\"")
            + &line(",\"hostname\":\"pod-3\"")
            + &line(",\"session_id\":\"x\",\"host\":{\"name\":\"pod-3\"}");
        let words = log.read(NOW, &piece(&text), false);
        assert_eq!(words.len(), 1);
        assert_eq!(
            (words[0].kind, words[0].client, words[0].pod.as_deref()),
            ("fanout_failed", 1, Some("pod-3"))
        );
        let counts = log.collected();
        assert_eq!((counts.fanout_failed["pod-3"], counts.fanout_failed["unknown"]), (2, 1));
        assert_eq!((counts.fanout_failed_total(), counts.not_understood), (Some(3), 0));
    }

    #[test]
    fn what_is_not_understood_is_counted_and_nothing_more() {
        let mut log = LogReader::new(1);
        let mut text = b"INFO: started\n{\"level\":\"info\"}\n\n{\"event\":\"http.request\"}\n[]\n".to_vec();
        text.extend(b"{\"event\":\"ws.connect\"}\r\n\xff\xfe\n{\"msg\":\"ws.disconnect\"}\n");
        log.read(NOW, &LogPiece { lines: text, too_long: 2, last: false }, false);
        let counts = log.collected();
        assert_eq!((counts.lines, counts.not_understood, counts.other, counts.connects), (9, 6, 1, 1));
        assert_eq!(counts.fanout_failed_total(), Some(0), "it speaks of streams, and of none that failed");
        assert_eq!(counts.disconnects["none"]["unknown"], 1);
        for n in 0..300 {
            log.read(NOW, &piece(&gone("x", &format!("reason {n}"))), false);
        }
        assert_eq!(log.collected().disconnects.len(), NAMES_MAX + 1);
        assert_eq!(log.collected().disconnects["other"]["unknown"], 101);
    }

    #[test]
    fn a_log_that_never_speaks_of_streams_does_not_say_that_nothing_failed() {
        let mut log = LogReader::new(1);
        log.read(NOW, &piece("INFO started\n{\"event\":\"http.request\"}\n"), false);
        assert_eq!(log.collected().fanout_failed_total(), None);
    }

    #[test]
    fn only_so_many_ended_connections_are_remembered() {
        let mut log = LogReader::new(1);
        for n in 0..=KEPT {
            log.observe(0, &hello(&format!("s{n}")));
            log.observe(0, &end(Cause::Reset));
        }
        assert_eq!((log.ended.len(), log.order.len(), log.clients.len()), (KEPT, KEPT, 0));
        log.read(NOW, &piece(&(gone("s0", "ping_timeout") + &gone("s1", "ping_timeout"))), false);
        let counts = log.collected().disconnects;
        assert_eq!((counts["ping_timeout"]["unknown"], counts["ping_timeout"]["reset"]), (1, 1));
    }
}
