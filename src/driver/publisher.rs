//! Publishing, looking up and asking for pages in the name of identities, apart from their streams: bounded pools of
//! connections.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use super::api;
use super::http::{Answer, Call, Pool, Trouble, TroubleKind};
use super::line::Line;
use crate::session::{SyncTrouble, TokenLife};
use crate::time::Timestamp;
use crate::wire::{Created, RawStamp, SyncPage, error_code, send_body};
use crate::worker::conductor::{Fetch, Publication, SendReply};

/// Publishes and fetches. One run has one.
pub struct Publisher {
    line: Rc<Line>,
    /// The run's id, as it stands in every stamp.
    run: Box<str>,
    /// The server's ids of the plan's rooms.
    rooms: Rc<[Box<str>]>,
    sends: Pools,
    audits: Pools,
    loads: Pools,
}

/// How many connections there are at most.
#[derive(Clone, Copy, Debug)]
pub struct Connections {
    /// For publishing.
    pub sends: usize,
    /// For looking up.
    pub audits: usize,
    /// For the sync requests of the load.
    pub loads: usize,
}

/// How one attempt at a publish went.
#[derive(Debug)]
pub struct Published {
    /// What its stamp says; `None`: no byte of any attempt has left.
    pub sent: Option<Timestamp>,
    /// The answer.
    pub reply: SendReply,
    /// The identity's token was refreshed on the way: its session should know.
    pub refreshed: Option<TokenLife>,
}

/// What came of a fetch: the answer, and how to read it.
#[derive(Debug)]
pub struct Fetched {
    /// Pages of history have a form of their own.
    history: bool,
    answer: Result<Answer, SyncTrouble>,
    /// The identity's token was refreshed on the way: its session should know.
    pub refreshed: Option<TokenLife>,
}

impl Fetched {
    /// The page.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn page(&self) -> Result<SyncPage<'_>, SyncTrouble> {
        read_page(self.answer.as_ref().map_err(|&trouble| trouble)?, self.history)
    }
}

impl Publisher {
    /// With at most so many connections for each, evenly over the endpoints.
    pub fn new(line: Rc<Line>, run: &str, rooms: Rc<[Box<str>]>, connections: Connections) -> Self {
        let pools = |most| Pools::new(&line, most);
        let Connections { sends, audits, loads } = connections;
        let (sends, audits, loads) = (pools(sends), pools(audits), pools(loads));
        Self { line, run: run.into(), rooms, sends, audits, loads }
    }

    /// One attempt at one publish.
    pub async fn publish(&self, publication: &Publication) -> Published {
        let Publication { room, publisher, .. } = *publication;
        let stamped = Cell::new(None);
        let life = self.line.tokens.life(publisher);
        let path = api::send(&self.rooms[room as usize]);
        let pool = self.sends.of(&self.line, publisher);
        let deadline = self.line.deadline(publication.timeout);
        let answer = pool.exchange(deadline, api::ANSWER_BYTES, || {
            let sent = publication.first_sent.unwrap_or_else(|| self.line.clock.now());
            stamped.set(Some(sent));
            self.line.request(publisher, Call::post(&path, self.body(publication, sent)))
        });
        let (reply, wrote) = match answer.await {
            Ok(answer) => {
                self.line.keep_cookies(publisher, &answer.cookies);
                (reply(&answer), true)
            }
            Err(trouble) => send_trouble(&trouble),
        };
        let refreshed = match reply {
            SendReply::Unauthorized => self.refresh(publisher, life).await,
            _ => None,
        };
        let sent = if wrote { stamped.get() } else { publication.first_sent };
        Published { sent, reply, refreshed }
    }

    /// One look-up of the audit, or one request of the load. A refused token is refreshed, and the look-up repeated once.
    pub async fn fetch(&self, client: u32, what: Fetch) -> Fetched {
        let life = self.line.tokens.life(client);
        let mut answer = self.look_up(client, what).await;
        let mut refreshed = None;
        if answer.as_ref().is_ok_and(|answer| answer.status == 401) {
            refreshed = self.refresh(client, life).await;
            answer = self.look_up(client, what).await;
        }
        Fetched { history: matches!(what, Fetch::History { .. }), answer, refreshed }
    }

    async fn look_up(&self, client: u32, what: Fetch) -> Result<Answer, SyncTrouble> {
        let (path, limit) = match what {
            Fetch::Sync { since, limit } | Fetch::Load { since, limit } => {
                (api::sync(since, limit, Duration::ZERO), limit)
            }
            Fetch::History { room, from, limit } => {
                (api::history(&self.rooms[room as usize], from, limit), limit)
            }
        };
        let deadline = self.line.deadline(self.line.sync_deadline);
        let pools = if matches!(what, Fetch::Load { .. }) { &self.loads } else { &self.audits };
        let pool = pools.of(&self.line, client);
        let request = || self.line.request(client, Call::get(&path));
        let answer = pool.exchange(deadline, api::page_bytes(limit), request).await;
        answer.map_err(|trouble| sync_trouble(trouble.kind))
    }

    /// Refreshes the identity's token unless it is another one by now than the one with this life.
    async fn refresh(&self, client: u32, life: TokenLife) -> Option<TokenLife> {
        let tokens = &self.line.tokens;
        if tokens.life(client) != life {
            return None;
        }
        tokens.refresh(client, Rc::clone(self.line.endpoint(client))).await.ok()
    }

    fn body(&self, publication: &Publication, sent: Timestamp) -> Bytes {
        let stamp = RawStamp {
            run: &self.run,
            room: publication.room,
            n: publication.n,
            due_ns: publication.due.as_nanos(),
            sent_ns: sent.as_nanos(),
        };
        let mut body = String::new();
        send_body(&stamp, publication.event_uuid, publication.payload as usize, &mut body);
        body.into()
    }
}

/// The page of an answer, or why it is none. 410 for "too old" is our reading: the documentation has no such error.
///
/// # Errors
///
/// Why there is none.
pub fn read_page(answer: &Answer, history: bool) -> Result<SyncPage<'_>, SyncTrouble> {
    match answer.status {
        200..=299 => {
            let page =
                if history { SyncPage::parse_history(&answer.body) } else { SyncPage::parse(&answer.body) };
            page.map_err(|_| SyncTrouble::Malformed)
        }
        401 => Err(SyncTrouble::Unauthorized),
        410 => Err(SyncTrouble::BeyondRetention),
        status @ 400..=499 => Err(SyncTrouble::Refused(status)),
        status @ 500..=599 => Err(SyncTrouble::ServerError(status)),
        _ => Err(SyncTrouble::Malformed),
    }
}

/// What a failed exchange is to whoever wanted a page.
pub fn sync_trouble(kind: TroubleKind) -> SyncTrouble {
    match kind {
        TroubleKind::Local => SyncTrouble::Local,
        TroubleKind::NotWritten | TroubleKind::Broken => SyncTrouble::Network,
        TroubleKind::TimedOut { .. } => SyncTrouble::Timeout,
        TroubleKind::TooLarge => SyncTrouble::Malformed,
    }
}

/// One pool for each endpoint.
struct Pools(Vec<Pool>);

impl Pools {
    fn new(line: &Line, connections: usize) -> Self {
        let each = connections.div_ceil(line.endpoints.len());
        Self(line.endpoints.iter().map(|endpoint| Pool::new(Rc::clone(endpoint), each)).collect())
    }

    fn of(&self, line: &Line, client: u32) -> &Pool {
        &self.0[line.endpoint_index(client)]
    }
}

fn reply(answer: &Answer) -> SendReply {
    match answer.status {
        200..=299 => {
            let Created { id, position } = Created::parse(&answer.body);
            SendReply::Acknowledged { id, position }
        }
        401 => SendReply::Unauthorized,
        status @ 400..=499 => SendReply::Refused { status, code: error_code(&answer.body) },
        _ => SendReply::Unanswered,
    }
}

/// The reply that a failed exchange amounts to, and whether a byte may have left.
fn send_trouble(trouble: &Trouble) -> (SendReply, bool) {
    match trouble.kind {
        TroubleKind::Local | TroubleKind::NotWritten | TroubleKind::TimedOut { written: false } => {
            (SendReply::NotWritten, false)
        }
        TroubleKind::TimedOut { written: true } | TroubleKind::Broken | TroubleKind::TooLarge => {
            (SendReply::Unanswered, true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            body: Bytes::copy_from_slice(body.as_bytes()),
            cookies: Vec::new(),
            pod: None,
            headers: http::HeaderMap::new(),
        }
    }

    #[test]
    fn an_answer_decides_what_a_publish_became() {
        let created = answer(201, r#"{"data":{"id":"e1","stream_position":7}}"#);
        assert_eq!(reply(&created), SendReply::Acknowledged { id: Some("e1".into()), position: Some(7) });
        assert_eq!(reply(&answer(200, "")), SendReply::Acknowledged { id: None, position: None });
        assert_eq!(reply(&answer(401, "")), SendReply::Unauthorized);
        let limited = answer(429, r#"{"error":{"code":"SW_RATE_LIMIT_EXCEEDED"}}"#);
        let code = Some("SW_RATE_LIMIT_EXCEEDED".into());
        assert_eq!(reply(&limited), SendReply::Refused { status: 429, code });
        assert_eq!(reply(&answer(404, "<html>")), SendReply::Refused { status: 404, code: None });
        assert_eq!(reply(&answer(502, "")), SendReply::Unanswered);
    }

    #[test]
    fn only_an_attempt_that_wrote_nothing_is_not_written() {
        for (kind, wrote) in [
            (TroubleKind::Local, false),
            (TroubleKind::NotWritten, false),
            (TroubleKind::TimedOut { written: false }, false),
            (TroubleKind::TimedOut { written: true }, true),
            (TroubleKind::Broken, true),
            (TroubleKind::TooLarge, true),
        ] {
            let (reply, left) = send_trouble(&Trouble { kind, detail: "".into(), reset: false });
            assert_eq!((reply == SendReply::Unanswered, left), (wrote, wrote), "{kind:?}");
        }
    }

    #[test]
    fn an_answer_that_is_no_page_says_why() {
        let page = answer(200, r#"{"data":{"events":[],"next_cursor":5,"has_more":false}}"#);
        assert_eq!(read_page(&page, false).expect("a page").next_cursor, Some(5));
        assert_eq!(read_page(&page, true), Err(SyncTrouble::Malformed));
        assert_eq!(read_page(&answer(401, ""), false), Err(SyncTrouble::Unauthorized));
        assert_eq!(read_page(&answer(410, ""), false), Err(SyncTrouble::BeyondRetention));
        assert_eq!(read_page(&answer(403, ""), true), Err(SyncTrouble::Refused(403)));
        assert_eq!(read_page(&answer(502, ""), true), Err(SyncTrouble::ServerError(502)));
        assert_eq!(read_page(&answer(200, "<html>"), true), Err(SyncTrouble::Malformed));
    }
}
