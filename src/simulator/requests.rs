//! Requests and their answers: sync, publish, audit, refresh.

use std::sync::Arc;
use std::time::Duration;

use super::World;
use super::happening::Happening;
use crate::session::{Input, SyncTrouble};
use crate::target::{
    ApiError, Content, Direction, Event as Stored, HistoryQuery, Mark, Page, SyncQuery, SyncReply, WaiterId,
};
use crate::time::Timestamp;
use crate::wire::{Position, RawStamp, Stamp, SyncEvent, SyncPage};
use crate::worker::conductor::{Event, Fetch, Publication, SendReply};

/// A request on its way, or being answered.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Sync { client: u32, id: u32, query: SyncQuery },
    Publish { publication: Publication, sent: Timestamp },
    Fetch { id: u64, client: u32, what: Fetch },
    Refresh { client: u32 },
}

/// What comes back.
#[derive(Debug)]
pub(super) enum Answer {
    Page(Result<Page, SyncTrouble>),
    Sent(SendReply),
    Refreshed(Result<(u64, u64), bool>),
}

impl World {
    pub(super) fn sync(&mut self, client: u32, id: u32, since: Position, limit: u32, timeout: Duration) {
        let query = SyncQuery { since, limit, timeout };
        let request = Request::Sync { client, id, query };
        let number = match self.clients[client as usize].outage {
            Some(false) => self.fail(request, Answer::Page(Err(SyncTrouble::Network))),
            _ => self.ask(request),
        };
        self.clients[client as usize].request = Some(number);
    }

    /// The network of this client is down from now on: its request breaks off.
    pub(super) fn break_request(&mut self, client: u32) {
        if let Some(number) = self.clients[client as usize].request {
            self.backend.abandon(WaiterId(number));
            self.settle_backend();
            self.answer(number, Answer::Page(Err(SyncTrouble::Network)));
        }
    }

    pub(super) fn abandon_sync(&mut self, client: u32) {
        if let Some(request) = self.clients[client as usize].request.take() {
            self.requests.remove(&request);
            self.backend.abandon(WaiterId(request));
            self.settle_backend();
        }
    }

    /// The same, asked for by the client itself: over its own network.
    pub(super) fn refresh_by_client(&mut self, client: u32) {
        if self.clients[client as usize].outage != Some(false) {
            return self.refresh(client);
        }
        if !std::mem::replace(&mut self.identities[client as usize].refreshing, true) {
            self.fail(Request::Refresh { client }, Answer::Refreshed(Err(false)));
        }
    }

    /// Single flight: session and publisher share an identity.
    pub(super) fn refresh(&mut self, client: u32) {
        if !std::mem::replace(&mut self.identities[client as usize].refreshing, true) {
            self.ask(Request::Refresh { client });
        }
    }

    pub(super) fn publish(&mut self, publication: Publication) {
        let sent = publication.first_sent.unwrap_or(self.now);
        self.ask(Request::Publish { publication, sent });
    }

    pub(super) fn fetch(&mut self, id: u64, client: u32, what: Fetch) {
        self.ask(Request::Fetch { id, client, what });
    }

    /// A blocked sync request is answered, or dies with its pod.
    pub(super) fn sync_ready(&mut self, request: u64, page: Result<Page, SyncTrouble>) {
        self.answer(request, Answer::Page(page));
    }

    fn ask(&mut self, request: Request) -> u64 {
        let number = self.take_id();
        self.requests.insert(number, request);
        let at = self.now + self.hop();
        self.agenda.at(at, Happening::Asked { request: number });
        number
    }

    /// A request that never gets beyond the client's own network.
    fn fail(&mut self, request: Request, answer: Answer) -> u64 {
        let number = self.take_id();
        self.requests.insert(number, request);
        self.answer(number, answer);
        number
    }

    fn answer(&mut self, request: u64, answer: Answer) {
        let at = self.now + self.hop();
        self.agenda.at(at, Happening::Answered { request, answer });
    }

    /// A request reaches its pod.
    pub(super) fn asked(&mut self, number: u64) {
        let Some(request) = self.requests.get(&number).cloned() else { return };
        let client = match &request {
            Request::Sync { client, .. } | Request::Fetch { client, .. } | Request::Refresh { client } => {
                *client
            }
            Request::Publish { publication, .. } => publication.publisher,
        };
        let pod = self.route(client);
        let proxied = self.proxied();
        let answer = match (request, pod) {
            (Request::Sync { query, .. }, Ok(pod)) => self.serve_sync(number, client, pod, query),
            (Request::Fetch { what, .. }, Ok(pod)) => self.serve_fetch(number, client, pod, what),
            (Request::Publish { publication, sent }, Ok(pod)) => {
                match self.serve_publish(pod, &publication, sent) {
                    Some(reply) => Some(Answer::Sent(reply)),
                    None => {
                        let given_up = (sent + publication.timeout).max(self.now);
                        let answer = Answer::Sent(SendReply::Unanswered);
                        self.agenda.at(given_up, Happening::Answered { request: number, answer });
                        None
                    }
                }
            }
            (Request::Refresh { .. }, Ok(pod)) => Some(Answer::Refreshed(self.serve_refresh(client, pod))),
            (Request::Publish { .. }, Err(())) if proxied => Some(Answer::Sent(SendReply::Unanswered)),
            (Request::Publish { .. }, Err(())) => Some(Answer::Sent(SendReply::NotWritten)),
            (Request::Refresh { .. }, Err(())) => Some(Answer::Refreshed(Err(false))),
            (_, Err(())) if proxied => Some(Answer::Page(Err(SyncTrouble::ServerError(502)))),
            (_, Err(())) => Some(Answer::Page(Err(SyncTrouble::Network))),
        };
        if let Some(answer) = answer {
            self.answer(number, answer);
        }
        self.settle_backend();
    }

    fn serve_sync(&mut self, number: u64, client: u32, pod: u32, query: SyncQuery) -> Option<Answer> {
        let caller = self.identities[client as usize].caller();
        match self.backend.sync(self.now, pod, WaiterId(number), &caller, query) {
            Ok(SyncReply::Page(page)) => Some(Answer::Page(Ok(page))),
            Ok(SyncReply::Waiting) => None,
            Err(error) => Some(Answer::Page(Err(trouble(error)))),
        }
    }

    fn serve_fetch(&mut self, number: u64, client: u32, pod: u32, what: Fetch) -> Option<Answer> {
        match what {
            Fetch::Sync { since, limit } | Fetch::Load { since, limit } => {
                self.serve_sync(number, client, pod, SyncQuery { since, limit, timeout: Duration::ZERO })
            }
            Fetch::History { room, from, limit } => {
                let caller = self.identities[client as usize].caller();
                let query = HistoryQuery { from: Some(from), limit, direction: Direction::Forward };
                let page = self.backend.history(self.now, pod, &caller, &self.rooms[room as usize], query);
                let page = page.map(|page| Page {
                    next_cursor: page.next_cursor.unwrap_or(from),
                    events: page.events,
                    has_more: page.has_more,
                });
                Some(Answer::Page(page.map_err(trouble)))
            }
        }
    }

    /// `None`: it is never answered.
    fn serve_publish(&mut self, pod: u32, publication: &Publication, sent: Timestamp) -> Option<SendReply> {
        let stamp = Stamp { room: publication.room, n: publication.n, due: publication.due, sent };
        let content = Content::marked(Mark { run: self.run, stamp }, publication.payload);
        let caller = self.identities[publication.publisher as usize].caller();
        let room = &self.rooms[publication.room as usize];
        let sent = self.backend.send(self.now, pod, &caller, room, content, Some(publication.event_uuid));
        Some(match sent {
            Err(ApiError::NO_ANSWER) => return None,
            Ok(created) => SendReply::Acknowledged {
                id: Some(created.id.to_string().into()),
                position: Some(created.position),
            },
            Err(error) if error.status == 401 => SendReply::Unauthorized,
            Err(error) if error.status < 500 => {
                SendReply::Refused { status: error.status, code: Some(error.code.into()) }
            }
            Err(_) => SendReply::Unanswered,
        })
    }

    fn serve_refresh(&mut self, client: u32, pod: u32) -> Result<(u64, u64), bool> {
        let caller = self.identities[client as usize].refresher();
        match self.backend.refresh(self.now, pod, &caller) {
            Ok(grant) => Ok((grant.access.as_u64_pair().0, grant.refresh.as_u64_pair().0)),
            Err(error) => Err(error.status == 401),
        }
    }

    /// An answer reaches the one who asked.
    pub(super) fn answered(&mut self, number: u64, answer: Answer) {
        let Some(request) = self.requests.remove(&number) else { return };
        match (request, answer) {
            (Request::Sync { client, id, .. }, Answer::Page(page)) => {
                self.clients[client as usize].request = None;
                match page {
                    Ok(page) => with_page(&page, |page| self.feed(client, Input::Synced { id, page })),
                    Err(trouble) => self.feed(client, Input::SyncFailed { id, trouble }),
                }
            }
            (Request::Fetch { id, .. }, Answer::Page(page)) => match page {
                Ok(page) => with_page(&page, |page| self.conduct(Event::Fetched { id, result: Ok(page) })),
                Err(trouble) => self.conduct(Event::Fetched { id, result: Err(trouble) }),
            },
            (Request::Publish { publication, sent }, Answer::Sent(reply)) => {
                let written = !matches!(reply, SendReply::NotWritten);
                let sent = written.then_some(sent).or(publication.first_sent);
                if matches!(reply, SendReply::Unauthorized) {
                    // As the driver does: what is told of is repeated at once, and needs the new token.
                    let refused = &mut self.identities[publication.publisher as usize].refused;
                    refused.push((publication.ticket, sent));
                    return self.refresh(publication.publisher);
                }
                self.conduct(Event::Published { ticket: publication.ticket, sent, reply });
            }
            (Request::Refresh { client }, Answer::Refreshed(result)) => self.refreshed(client, result),
            // An answer of another kind than its request cannot be made.
            _ => {}
        }
    }
}

impl World {
    fn refreshed(&mut self, client: u32, result: Result<(u64, u64), bool>) {
        let identity = &mut self.identities[client as usize];
        identity.refreshing = false;
        match result {
            Ok((access, refresh)) => {
                identity.renewed(self.now, access, refresh);
                let life = identity.life();
                self.feed(client, Input::Refreshed(life));
            }
            Err(refused) => self.feed(client, Input::RefreshFailed { refused }),
        }
        for (ticket, sent) in std::mem::take(&mut self.identities[client as usize].refused) {
            self.conduct(Event::Published { ticket, sent, reply: SendReply::Unauthorized });
        }
    }
}

fn trouble(error: ApiError) -> SyncTrouble {
    match error.status {
        401 => SyncTrouble::Unauthorized,
        410 => SyncTrouble::BeyondRetention,
        400..=499 => SyncTrouble::Refused(error.status),
        status => SyncTrouble::ServerError(status),
    }
}

/// The page as the wire would have shown it.
fn with_page(page: &Page, then: impl FnOnce(&SyncPage<'_>)) {
    let run_of =
        |event: &Arc<Stored>| event.content.mark().map(|mark| mark.run.to_string()).unwrap_or_default();
    let runs: Vec<String> = page.events.iter().map(run_of).collect();
    let events = page.events.iter().zip(&runs).map(|(event, run)| SyncEvent {
        id: Some(event.id.to_string().into()),
        room_id: Some(event.room.to_string().into()),
        position: Some(event.position),
        is_message: true,
        stamp: event.content.mark().map(|mark| RawStamp {
            run,
            room: mark.stamp.room,
            n: mark.stamp.n,
            due_ns: mark.stamp.due.as_nanos(),
            sent_ns: mark.stamp.sent.as_nanos(),
        }),
    });
    let (events, next_cursor) = (events.collect(), Some(page.next_cursor));
    then(&SyncPage { events, next_cursor, has_more: page.has_more, ..SyncPage::default() });
}
