//! How a long poll ended, and who ended it (pure).
//!
//! Only what came by itself may say anything about the path: a poll that ran into our own deadline is unanswered, and no
//! more than that.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// What came of one long poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// A page of sync.
    Page {
        /// Events in it.
        events: usize,
    },
    /// 2xx, and no page.
    NoPage,
    /// Another status.
    Status {
        /// Which.
        status: u16,
        /// `error.code` of the body: a ScaiWave has written it.
        code: Option<Box<str>>,
        /// The header `Server`, for naming the hop.
        server: Option<Box<str>>,
    },
    /// The connection ended before the answer was whole.
    Broken {
        /// By a reset; else by a FIN.
        reset: bool,
    },
    /// Nothing before our own deadline, which is later than what was asked for.
    Nothing,
    /// The request could not be sent: refused, unreachable, or this machine could not.
    Unsent,
}

/// One long poll of a room in which nobody publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    /// `timeout`
    pub asked: Duration,
    /// From the first byte out to what came.
    pub took: Duration,
    /// What came.
    pub came: Came,
    /// How often it was begun anew, because somebody's event had ended it.
    pub woken: u32,
}

/// What that says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// An empty page, when it was asked for or later: the path has borne the silence.
    Held,
    /// An empty page before that: the server holds no poll for longer.
    Capped,
    /// A page with events, though it was begun anew as often as it may be.
    Woken,
    /// Ended before its answer, by something on the way.
    Cut,
    /// The server said no.
    Refused,
    /// Nothing came, and we gave up.
    Unanswered,
    /// Whatever this was, time has not done it.
    Odd,
}

/// Who ended something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Party {
    /// ScaiWave itself.
    Server,
    /// Something on the way to it.
    Intermediary,
    /// Nobody can tell.
    Unknown,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "the server",
            Self::Intermediary => "an intermediary",
            Self::Unknown => "nobody can tell who",
        })
    }
}

/// What fails sooner was not cut for its time (ours): refusals and dead pods answer in no time.
const AT_ONCE: Duration = Duration::from_millis(250);

impl Poll {
    /// What it says.
    pub fn end(&self) -> End {
        match &self.came {
            Came::Page { events: 0 } if self.took + early(self.asked) >= self.asked => End::Held,
            Came::Page { events: 0 } => End::Capped,
            Came::Page { .. } => End::Woken,
            Came::Status { code: Some(_), .. } => End::Refused,
            Came::Status { status: 408 | 502 | 504, .. } | Came::Broken { .. } if self.took >= AT_ONCE => {
                End::Cut
            }
            Came::Nothing => End::Unanswered,
            Came::Status { .. } | Came::Broken { .. } | Came::NoPage | Came::Unsent => End::Odd,
        }
    }

    /// Who ended it.
    pub fn party(&self) -> Party {
        match self.end() {
            End::Held | End::Capped | End::Woken | End::Refused => Party::Server,
            End::Cut => Party::Intermediary,
            End::Unanswered | End::Odd => Party::Unknown,
        }
    }

    /// How it ended, in a few words.
    pub fn words(&self) -> String {
        match &self.came {
            Came::Page { events: 0 } => "an empty page".to_owned(),
            Came::Page { events } => format!("a page with {events} events"),
            Came::NoPage => "2xx with something that is no page".to_owned(),
            Came::Status { status, code: Some(code), .. } => format!("{status} {code}"),
            Came::Status { status, server: Some(server), .. } => format!("{status} (Server: {server})"),
            Came::Status { status, .. } => format!("{status} without a word of ScaiWave"),
            Came::Broken { reset: true } => "reset".to_owned(),
            Came::Broken { reset: false } => "FIN before the answer".to_owned(),
            Came::Nothing => "nothing before our own deadline".to_owned(),
            Came::Unsent => "could not be sent".to_owned(),
        }
    }

    /// By how much the page was later than asked for.
    pub fn late(&self) -> Duration {
        if self.end() == End::Held { self.took.saturating_sub(self.asked) } else { Duration::ZERO }
    }
}

/// So much before its time an answer still is on time: servers count in milliseconds of their own clock (ours).
fn early(asked: Duration) -> Duration {
    (asked / 100).max(Duration::from_millis(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(took_ms: u64, came: Came) -> Poll {
        Poll { asked: Duration::from_secs(30), took: Duration::from_millis(took_ms), came, woken: 0 }
    }

    fn status(status: u16, code: Option<&str>) -> Came {
        Came::Status { status, code: code.map(Box::from), server: None }
    }

    #[test]
    fn an_empty_page_in_time_was_held_and_one_before_its_time_is_the_servers_cap() {
        let end = |took| poll(took, Came::Page { events: 0 }).end();
        assert_eq!((end(30_000), end(29_800), end(38_000)), (End::Held, End::Held, End::Held));
        assert_eq!(end(20_000), End::Capped);
        assert_eq!(poll(20_000, Came::Page { events: 0 }).party(), Party::Server);
        assert_eq!(poll(31_500, Came::Page { events: 0 }).late(), Duration::from_millis(1500));
    }

    #[test]
    fn who_answers_with_a_word_of_scaiwave_is_the_server_whatever_the_status() {
        let said = poll(20_000, status(504, Some("SW_TIMEOUT")));
        assert_eq!((said.end(), said.party()), (End::Refused, Party::Server));
        for came in [status(504, None), status(502, None), status(408, None), Came::Broken { reset: true }] {
            let cut = poll(20_000, came);
            assert_eq!((cut.end(), cut.party()), (End::Cut, Party::Intermediary), "{cut:?}");
        }
    }

    #[test]
    fn our_own_deadline_and_what_fails_at_once_are_no_timeout_of_the_path() {
        assert_eq!(poll(40_000, Came::Nothing).end(), End::Unanswered);
        assert_eq!(poll(3, status(502, None)).end(), End::Odd);
        assert_eq!(poll(3, Came::Broken { reset: false }).end(), End::Odd);
        assert_eq!(poll(20_000, status(500, None)).end(), End::Odd);
        assert_eq!(poll(20_000, Came::NoPage).end(), End::Odd);
    }

    #[test]
    fn the_hop_that_names_itself_is_named() {
        let came = Came::Status { status: 504, code: None, server: Some("nginx".into()) };
        assert_eq!(poll(20_000, came).words(), "504 (Server: nginx)");
    }
}
