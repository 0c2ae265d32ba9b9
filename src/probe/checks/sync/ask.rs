//! Asking sync and room history as clients do: a page, a walk over pages.

use std::rc::Rc;
use std::time::Duration;

use http::header::RETRY_AFTER;

use super::order::tell;
use crate::driver::http::{Answer, Trouble};
use crate::probe::judgement::{Finding, Judgement};
use crate::probe::path::{Path, trouble_words};
use crate::session::SyncTrouble;
use crate::time::Timestamp;
use crate::wire::{Position, SyncEvent, error_code};

/// Pages of one walk, at most: what a probe publishes fits into far fewer.
const PAGES_MAX: usize = 200;

/// So often a request is repeated that was one too many.
const LIMITED_MAX: u32 = 2;

/// After this time, and at the most after that, where the server advises it (ours).
const LIMITED_PAUSE: Duration = Duration::from_secs(1);
const LIMITED_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Between two looks at a history that does not have everything yet.
const HISTORY_PAUSE: Duration = Duration::from_millis(200);

/// Most events that history returns at once (documented).
const HISTORY_LIMIT: u32 = 200;

/// One event of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Row {
    /// `id`
    pub(in super::super) id: Option<Box<str>>,
    /// `stream_position`
    pub(in super::super) position: Option<Position>,
    /// Room and number, if this probe published it (no number: a marker).
    pub(in super::super) ours: Option<(u32, Option<u32>)>,
}

impl Row {
    fn of(event: &SyncEvent<'_>, run: &str) -> Self {
        let stamp = event.stamp.and_then(|stamp| stamp.of_run(run));
        Self {
            id: event.id.as_deref().map(Box::from),
            position: event.position,
            ours: stamp.map(|stamp| (stamp.room, stamp.n)),
        }
    }

    /// It is the event of this number in this room.
    pub(in super::super) fn is(&self, room: u32, n: u32) -> bool {
        self.ours == Some((room, Some(n)))
    }
}

/// One page, and how it was had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Page {
    pub(in super::super) since: Position,
    pub(in super::super) rows: Vec<Row>,
    pub(in super::super) next_cursor: Option<Position>,
    pub(in super::super) has_more: bool,
    /// From the request to the whole answer.
    pub(in super::super) took: Duration,
    /// When the answer was there.
    pub(in super::super) answered: Timestamp,
}

impl Page {
    /// Where a client is after it: one that is absent, null or below `since` leaves it where it was.
    pub(in super::super) fn cursor(&self) -> Position {
        self.next_cursor.unwrap_or(self.since).max(self.since)
    }

    /// The highest position in it.
    pub(in super::super) fn highest(&self) -> Option<Position> {
        self.rows.iter().filter_map(|row| row.position).max()
    }
}

/// Why there is no page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Refusal {
    /// An answer that says no: its status, and `error.code`.
    Status(u16, Option<Box<str>>),
    /// 2xx, and no page.
    NoPage,
    /// No answer, in a few words.
    Unanswered(String),
}

impl Refusal {
    fn of(trouble: SyncTrouble, answer: &Answer) -> Self {
        match trouble {
            SyncTrouble::Malformed if answer.is_success() => Self::NoPage,
            _ => Self::Status(answer.status, error_code(&answer.body)),
        }
    }

    /// In a few words.
    pub(in super::super) fn words(&self) -> String {
        match self {
            Self::Status(status, Some(code)) => format!("answered {status} {code}"),
            Self::Status(status, None) => format!("answered {status}"),
            Self::NoPage => "answered 2xx with something that is no page".to_owned(),
            Self::Unanswered(why) => why.clone(),
        }
    }

    /// A finding, where the server said no; else nobody can tell.
    pub(in super::super) fn judge(&self, asked: &str, judgement: &mut Judgement) {
        let finding = match self {
            Self::Unanswered(why) => return judgement.unclear(format!("{asked}: {why}")),
            Self::Status(410, _) => Finding::new(
                "sync-gone",
                "sync says that it cannot replay what was published moments ago",
                "Keep at least the longest outage that clients are to survive in what sync returns; until then a client \
                 has to load its rooms anew from /v1/rooms/{id}/messages when it is told so.",
            ),
            Self::Status(..) | Self::NoPage => Finding::new(
                "sync-refused",
                "sync refuses a client that bridges",
                "A client that cannot bridge misses what happened while it was away: look at the pod's log for this \
                 request, and, for 429, at the limits; for 502 and 504, at the balancer's.",
            ),
        };
        tell(finding, &[format!("{asked} was {}", self.words())], judgement);
    }
}

/// One `GET /v1/sync`.
pub(in super::super) async fn page(
    path: &Rc<Path>,
    client: u32,
    since: Position,
    limit: u32,
    timeout: Duration,
) -> Result<Page, Refusal> {
    let (asked, answer) = patiently(path, async || path.sync(client, since, limit, timeout).await).await;
    read(path, answer, since, asked, false)
}

/// A probe asks oftener than a client does, so "too many requests" is answered as it should be: by asking again, later. What
/// is said to patience as well is an answer. With the time at which that was asked for.
async fn patiently(
    path: &Path,
    ask: impl AsyncFn() -> Result<Answer, Trouble>,
) -> (Timestamp, Result<Answer, Trouble>) {
    let mut left = LIMITED_MAX;
    loop {
        let asked = path.now();
        let answer = ask().await;
        match &answer {
            Ok(limited) if limited.status == 429 && left > 0 => path.sleep(advised(limited)).await,
            _ => return (asked, answer),
        }
        left -= 1;
    }
}

/// `Retry-After` in seconds, where it says so, and no longer than anybody waits.
fn advised(answer: &Answer) -> Duration {
    let value = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    value.map_or(LIMITED_PAUSE, Duration::from_secs).clamp(LIMITED_PAUSE, LIMITED_PAUSE_MAX)
}

/// The page of an answer that came just now.
pub(in super::super) fn read(
    path: &Path,
    answer: Result<Answer, Trouble>,
    since: Position,
    asked: Timestamp,
    history: bool,
) -> Result<Page, Refusal> {
    let answered = path.now();
    let answer = answer.map_err(|trouble| Refusal::Unanswered(trouble_words(&trouble)))?;
    let page = Path::page(&answer, history).map_err(|trouble| Refusal::of(trouble, &answer))?;
    let run = path.run.hyphenated().to_string();
    Ok(Page {
        since,
        rows: page.events.iter().map(|event| Row::of(event, &run)).collect(),
        next_cursor: page.next_cursor,
        has_more: page.has_more,
        took: answered.since(asked),
        answered,
    })
}

/// Page after page, by `next_cursor`, as the documented client does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Walk {
    /// Events a page, as asked for.
    pub(in super::super) limit: u32,
    pub(in super::super) pages: Vec<Page>,
    pub(in super::super) end: End,
}

/// How a walk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum End {
    /// `has_more` was false.
    Done,
    /// There was more, and the cursor did not move.
    Stuck,
    /// More pages than anything that a probe made.
    TooLong,
    Refused(Refusal),
}

impl Walk {
    /// All events, in the order they came.
    pub(in super::super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.pages.iter().flat_map(|page| &page.rows)
    }

    /// Where the client is after it.
    pub(in super::super) fn cursor(&self) -> Option<Position> {
        self.pages.last().map(Page::cursor)
    }

    /// It brought the event of this number.
    pub(in super::super) fn has(&self, room: u32, n: u32) -> bool {
        self.rows().any(|row| row.is(room, n))
    }
}

/// Walks from `since` until there is no more.
pub(in super::super) async fn walk(path: &Rc<Path>, client: u32, since: Position, limit: u32) -> Walk {
    walk_to(path, client, since, limit, Position::MAX).await
}

/// Likewise, but no further than to the page that brings this position: where others publish as fast as small pages are read,
/// there is always more.
pub(in super::super) async fn walk_to(
    path: &Rc<Path>,
    client: u32,
    since: Position,
    limit: u32,
    last: Position,
) -> Walk {
    let (mut cursor, mut pages) = (since, Vec::new());
    while pages.len() < PAGES_MAX {
        match page(path, client, cursor, limit, Duration::ZERO).await {
            Ok(own) => {
                let more = own.has_more && own.highest() < Some(last);
                let next = own.cursor();
                pages.push(own);
                if !more {
                    return Walk { limit, pages, end: End::Done };
                }
                if next == cursor {
                    return Walk { limit, pages, end: End::Stuck };
                }
                cursor = next;
            }
            Err(refusal) => return Walk { limit, pages, end: End::Refused(refusal) },
        }
    }
    Walk { limit, pages, end: End::TooLong }
}

/// What a room's history has above a position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct History {
    pub(in super::super) rows: Vec<Row>,
    /// Why there is no more of it than that.
    pub(in super::super) refusal: Option<Refusal>,
}

impl History {
    /// Reads it forward, by the highest position received.
    pub(in super::super) async fn read(path: &Rc<Path>, client: u32, room: u32, from: Position) -> Self {
        let (mut own, mut from) = (Self::default(), from);
        for _ in 0..PAGES_MAX {
            let (asked, answer) =
                patiently(path, async || path.history(client, room, from, HISTORY_LIMIT).await).await;
            let page = match read(path, answer, from, asked, true) {
                Ok(page) => page,
                Err(refusal) => {
                    own.refusal = Some(refusal);
                    return own;
                }
            };
            let highest = page.highest();
            own.rows.extend(page.rows);
            match highest {
                Some(highest) if page.has_more && highest > from => from = highest,
                _ => return own,
            }
        }
        own
    }

    /// Reads it until it has all of these, for no longer than late events may take: a history that is written behind the
    /// log is late, and leaves nothing out.
    pub(in super::super) async fn read_with(
        path: &Rc<Path>,
        client: u32,
        room: u32,
        from: Position,
        wanted: &[u32],
    ) -> Self {
        let until = path.now() + path.lateness_bound();
        loop {
            let own = Self::read(path, client, room, from).await;
            let whole = wanted.iter().all(|&n| own.has(room, n));
            if whole || own.refusal.is_some() || path.now() >= until {
                return own;
            }
            path.sleep(HISTORY_PAUSE).await;
        }
    }

    /// It has the event of this number.
    pub(in super::super) fn has(&self, room: u32, n: u32) -> bool {
        self.rows.iter().any(|row| row.is(room, n))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    #[test]
    fn a_server_that_says_when_to_come_again_is_believed_within_reason() {
        let of = |value: Option<&'static str>| {
            let headers = value.map(|value| (RETRY_AFTER, value.parse().expect("a value")));
            let headers = HeaderMap::from_iter(headers);
            let answer = Answer { status: 429, body: Bytes::new(), cookies: Vec::new(), pod: None, headers };
            advised(&answer).as_secs()
        };
        let said = [None, Some("0"), Some("3"), Some("3600"), Some("Thu, 01 Jan 2026 00:00:00 GMT")];
        assert_eq!(said.map(of), [1, 1, 3, 5, 1]);
    }
}
