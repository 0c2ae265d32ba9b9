//! The way to a live target, as a check takes it: ask, publish, open a stream, each counted.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use http::header::HeaderValue;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::ear::Ear;
use super::judgement::Observation;
use super::met::Met;
use super::report::Sent;
use crate::driver::api;
use crate::driver::endpoint::Endpoint;
use crate::driver::http::{Answer, Call, Pool, Trouble, TroubleKind, exchange};
use crate::driver::line::Line;
use crate::driver::provision::Provisioned;
use crate::driver::publisher::read_page;
use crate::driver::stream::Stream;
use crate::plan::Population;
use crate::profile::Profile;
use crate::secret::Secret;
use crate::session::{ConnectFailure, SyncTrouble};
use crate::time::Timestamp;
use crate::wire::{CONTENT_MIN, Created, Position, RawStamp, SyncPage, error_code, send_body};

/// The room of the identities that provoke something: even numbers.
pub const TALK: u32 = 0;
/// The room of the vigil's streams: odd numbers.
pub const QUIET: u32 = 1;

/// Identities of a probe: two thirds of the quiet half hold their streams quietly, as many as the brief symptom needs to
/// show a cluster. More are of no use, and each is a login.
pub(super) const IDENTITIES: u32 = 24;
/// With fewer than these there is nobody to provoke anything and compare with.
pub(super) const IDENTITIES_MIN: u32 = 6;

/// An access token with less of its life left than this share is refreshed before it is used (documented).
const REFRESH_AT: f64 = 0.8;

/// One identity of each kind that checks need; the others of [`Path::provokers`] are free.
pub const SPEAKER: u32 = 0;
/// The second member of [`TALK`].
pub const HEARER: u32 = 2;
/// Whose token is spoilt.
pub const KEYHOLDER: u32 = 4;
/// Who answers no ping; not there when there are few identities.
pub const MUTE: u32 = 6;
/// Whose token is used twice; likewise.
pub const TWIN: u32 = 8;

/// Who opens and cuts streams of its own for the checks of sync; when there are too few identities for it, those checks come
/// after the others and take [`HEARER`].
pub(crate) const BRIDGER: u32 = 10;
/// Whose stream is held for as long as its token lives; not there when there are few identities.
pub(crate) const KEEPER: u32 = 12;

/// A target, with everything a check needs to talk to it. One per probe.
pub struct Path {
    /// Clock, endpoint, tokens, cookies.
    pub line: Rc<Line>,
    /// The id of this probe, as it stands in stamps and in the User-Agent.
    pub run: Uuid,
    /// Deadlines are those of `[client]`.
    pub profile: Profile,
    /// Who there is, in one tenant.
    pub population: Population,
    /// Ids of rooms and participants, the tenant's id, the first position.
    pub provisioned: Provisioned,
    /// `/metrics` of the pods, or the one behind the balancer.
    pub metrics: Vec<Rc<Endpoint>>,
    /// How long streams are held.
    pub listen: Duration,
    pool: Pool,
    requests: Cell<u64>,
    publishes: Cell<u64>,
    streams: Cell<u64>,
    /// The next number in each of the two rooms.
    next: [Cell<u32>; 2],
    note: Box<dyn Fn(&str)>,
    /// Held by the check of sync that publishes in [`TALK`] right now.
    pub floor: Mutex<()>,
    met: RefCell<Met>,
    /// Rooms that a check has made beside the two, and who made them: put away at the latest when the probe ends.
    side_rooms: RefCell<Vec<(u32, Box<str>)>>,
}

/// What became of a publish.
#[derive(Clone, Debug)]
pub struct Publish {
    /// Its number in its room, as in its stamp.
    pub n: u32,
    /// When it was sent.
    pub sent: Timestamp,
    /// When that was answered, or given up.
    pub answered: Timestamp,
    /// The answer.
    pub reply: Published,
}

/// The answer to a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// 2xx
    Stored(Created),
    /// Any other status, with `error.code`.
    Refused(u16, Option<Box<str>>),
    /// None, in the words of whoever noticed.
    Unanswered(Box<str>),
}

impl Publish {
    /// It was acknowledged.
    pub fn is_stored(&self) -> bool {
        matches!(self.reply, Published::Stored(_))
    }
}

impl Path {
    /// Of identities that are signed in and have their rooms.
    pub(super) fn new(
        line: Rc<Line>,
        run: Uuid,
        profile: Profile,
        provisioned: Provisioned,
        metrics: Vec<Rc<Endpoint>>,
        listen: Duration,
        note: Box<dyn Fn(&str)>,
    ) -> Self {
        let population = Population::new(&profile.population);
        let pool = Pool::new(Rc::clone(&line.endpoints[0]), 8);
        let (requests, publishes, streams) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let next = [Cell::new(0), Cell::new(0)];
        Self {
            line,
            run,
            profile,
            population,
            provisioned,
            metrics,
            listen,
            pool,
            requests,
            publishes,
            streams,
            next,
            note,
            floor: Mutex::default(),
            met: RefCell::default(),
            side_rooms: RefCell::default(),
        }
    }

    /// The time on the probe's clock.
    pub fn now(&self) -> Timestamp {
        self.line.clock.now()
    }

    /// Waits until then.
    pub async fn sleep_until(&self, at: Timestamp) {
        tokio::time::sleep_until(self.line.clock.instant(at)).await;
    }

    /// Waits for so long.
    pub async fn sleep(&self, time: Duration) {
        self.sleep_until(self.now() + time).await;
    }

    /// A line for people, on stderr.
    pub fn note(&self, line: &str) {
        (self.note)(line);
    }

    /// What was done to the target so far.
    pub fn sent(&self) -> Sent {
        Sent {
            identities: self.population.clients(),
            requests: self.requests.get(),
            publishes: self.publishes.get(),
            streams: self.streams.get(),
        }
    }

    /// The identities in [`TALK`].
    pub fn provokers(&self) -> Vec<u32> {
        self.population.members(TALK).collect()
    }

    /// The identities in [`QUIET`].
    pub fn listeners(&self) -> Vec<u32> {
        self.population.members(QUIET).collect()
    }

    /// Whether there is an identity of this number.
    pub fn has(&self, client: u32) -> bool {
        client < self.population.clients()
    }

    /// The tenant that identities are registered in.
    pub fn tenant(&self) -> &str {
        &self.provisioned.tenants[0]
    }

    /// What has not come after this is missing.
    pub fn lateness_bound(&self) -> Duration {
        self.profile.client.lateness_bound
    }

    /// One request in the name of an identity, with its newest token and its cookies.
    ///
    /// # Errors
    ///
    /// When there is no whole answer in time.
    pub async fn ask(&self, client: u32, call: Call<'_>, limit: usize) -> Result<Answer, Trouble> {
        self.ask_within(client, call, limit, self.profile.client.sync_deadline).await
    }

    /// The same, with a deadline of its own.
    ///
    /// # Errors
    ///
    /// As [`Path::ask`].
    pub async fn ask_within(
        &self,
        client: u32,
        call: Call<'_>,
        limit: usize,
        patience: Duration,
    ) -> Result<Answer, Trouble> {
        self.keep_fresh(client).await;
        self.requests.set(self.requests.get() + 1);
        let request = || self.line.request(client, call);
        let answer = self.pool.exchange(self.line.deadline(patience), limit, request).await?;
        self.line.keep_cookies(client, &answer.cookies);
        self.met.borrow_mut().answered(&answer);
        Ok(answer)
    }

    /// The same on a connection of its own and without the identity's cookies: to whatever pod the path chooses.
    ///
    /// # Errors
    ///
    /// As [`Path::ask`].
    pub async fn ask_anew(&self, client: u32, call: Call<'_>, limit: usize) -> Result<Answer, Trouble> {
        self.requests.set(self.requests.get() + 1);
        let (endpoint, token) = (self.line.endpoint(client), self.line.tokens.access(client));
        let deadline = self.line.deadline(self.profile.client.sync_deadline);
        let call = Call { token: Some(&token), ..call };
        let request = || call.to_request(endpoint, &self.line.agent);
        let answer = exchange(&mut None, endpoint, deadline, limit, request).await?;
        self.met.borrow_mut().answered(&answer);
        Ok(answer)
    }

    /// One long poll of sync on a connection of its own, with the identity's cookies; and the time from the first byte out
    /// to whatever came. `timeout` absent: it is not said. Given up `patience` after the time that it may be held.
    pub(crate) async fn poll_alone(
        &self,
        client: u32,
        since: Position,
        timeout: Option<Duration>,
        held: Duration,
        patience: Duration,
    ) -> (Duration, Result<Answer, Trouble>) {
        self.keep_fresh(client).await;
        self.requests.set(self.requests.get() + 1);
        let way = match timeout {
            Some(timeout) => api::sync(since, 1, timeout),
            None => format!("/v1/sync?since={since}&limit=1"),
        };
        let sent = Cell::new(self.now());
        let request = || {
            sent.set(self.now());
            self.line.request(client, Call::get(&way))
        };
        let (endpoint, deadline) = (self.line.endpoint(client), self.line.deadline(held + patience));
        let answer = exchange(&mut None, endpoint, deadline, api::page_bytes(1), request).await;
        let took = self.now().since(sent.get());
        if let Ok(answer) = &answer {
            self.line.keep_cookies(client, &answer.cookies);
            self.met.borrow_mut().answered(answer);
        }
        (took, answer)
    }

    /// One publish of a check's own making is about to be sent: counted.
    pub fn count_publish(&self) {
        self.publishes.set(self.publishes.get() + 1);
    }

    /// A check has made a room of its own.
    pub fn made_side_room(&self, maker: u32, room: Box<str>) {
        self.side_rooms.borrow_mut().push((maker, room));
    }

    /// Archives what [`Path::made_side_room`] was told of; what stays is told.
    pub async fn archive_side_rooms(&self) {
        // Each is taken out when it is gone: whoever is interrupted here begins again with those that are left.
        while let Some((maker, room)) = { self.side_rooms.borrow().last().cloned() } {
            let way = api::archive(&room);
            let why = match self.ask(maker, Call::post(&way, "{}"), api::ANSWER_BYTES).await {
                Ok(answer) if answer.is_success() => None,
                Ok(answer) => Some(format!("answered {}", answer.status)),
                Err(trouble) => Some(trouble_words(&trouble)),
            };
            self.side_rooms.borrow_mut().retain(|(_, own)| *own != room);
            if let Some(why) = why {
                self.note(&format!("the room {room}, made by a check, could not be archived: {why}"));
            }
        }
    }

    /// Limits that were met so far.
    pub fn limits_met(&self) -> Vec<Observation> {
        self.met.borrow().observations(self.sent())
    }

    /// One request in nobody's name, to this endpoint.
    ///
    /// # Errors
    ///
    /// As [`Path::ask`].
    pub async fn look(&self, endpoint: &Endpoint, path: &str) -> Result<Answer, Trouble> {
        self.requests.set(self.requests.get() + 1);
        let deadline = self.line.deadline(self.profile.client.sync_deadline);
        let request = || Call::get(path).to_request(endpoint, &self.line.agent);
        exchange(&mut None, endpoint, deadline, api::METRICS_BYTES, request).await
    }

    /// `GET /v1/sync`: the answer, for [`Path::page`].
    ///
    /// # Errors
    ///
    /// As [`Path::ask`]; the deadline is on top of `timeout`.
    pub async fn sync(
        &self,
        client: u32,
        since: Position,
        limit: u32,
        timeout: Duration,
    ) -> Result<Answer, Trouble> {
        let (path, patience) =
            (api::sync(since, limit, timeout), timeout + self.profile.client.sync_deadline);
        self.ask_within(client, Call::get(&path), api::page_bytes(limit), patience).await
    }

    /// `GET /v1/rooms/{id}/messages`, forward from a position.
    ///
    /// # Errors
    ///
    /// As [`Path::ask`].
    pub async fn history(
        &self,
        client: u32,
        room: u32,
        from: Position,
        limit: u32,
    ) -> Result<Answer, Trouble> {
        let path = api::history(&self.provisioned.rooms[room as usize], from, limit);
        self.ask(client, Call::get(&path), api::page_bytes(limit)).await
    }

    /// The page of an answer to [`Path::sync`], or (`history`) to [`Path::history`].
    ///
    /// # Errors
    ///
    /// Why it is none.
    pub fn page(answer: &Answer, history: bool) -> Result<SyncPage<'_>, SyncTrouble> {
        read_page(answer, history)
    }

    /// Publishes the next number of a room, once.
    pub async fn publish(&self, client: u32, room: u32) -> Publish {
        let number = &self.next[room as usize];
        let n = number.replace(number.get() + 1);
        let (run, sent) = (self.run.hyphenated().to_string(), self.now());
        let stamp =
            RawStamp { run: &run, room, n: Some(n), due_ns: sent.as_nanos(), sent_ns: sent.as_nanos() };
        let event = Uuid::new_v5(&self.run, format!("probe/{room}/{n}").as_bytes());
        let mut body = String::new();
        send_body(&stamp, event, CONTENT_MIN, &mut body);
        let path = api::send(&self.provisioned.rooms[room as usize]);
        self.publishes.set(self.publishes.get() + 1);
        let answer = self.ask(client, Call::post(&path, body), api::ANSWER_BYTES).await;
        let reply = match answer {
            Ok(answer) if answer.is_success() => Published::Stored(Created::parse(&answer.body)),
            Ok(answer) => Published::Refused(answer.status, error_code(&answer.body)),
            Err(trouble) => Published::Unanswered(trouble.detail),
        };
        Publish { n, sent, answered: self.now(), reply }
    }

    /// Opens a stream as an identity, as the documented client does it: with its newest token and its cookies.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn open(self: &Rc<Self>, client: u32) -> Result<Ear, ConnectFailure> {
        self.keep_fresh(client).await;
        let token = self.line.tokens.access(client);
        self.open_with(client, &token).await
    }

    /// The same with another token.
    ///
    /// # Errors
    ///
    /// As [`Path::open`].
    pub async fn open_with(self: &Rc<Self>, client: u32, token: &Secret) -> Result<Ear, ConnectFailure> {
        self.streams.set(self.streams.get() + 1);
        let (endpoint, cookie) = (self.line.endpoint(client), self.line.cookie(client));
        let agent: &HeaderValue = &self.line.agent;
        let deadline = self.line.deadline(self.line.connect_deadline);
        let opened = Box::pin(Stream::open(endpoint, token, cookie.as_deref(), agent, deadline)).await;
        let opened = opened.inspect_err(|&failure| self.met.borrow_mut().refused(failure))?;
        self.line.keep_cookies(client, &opened.cookies);
        let mut ear = Ear::new(Rc::clone(self), opened.stream);
        ear.pod = self.line.pod(client, opened.pod).flatten();
        Ok(ear)
    }

    /// A token that is due is refreshed; one that cannot be is used as it is, and whoever takes it will say so.
    pub async fn keep_fresh(&self, client: u32) {
        let life = self.line.tokens.life(client);
        if self.now() >= life.issued + life.life.mul_f64(REFRESH_AT) {
            let _ = self.line.tokens.refresh(client, Rc::clone(self.line.endpoint(client))).await;
        }
    }
}

/// Why there is no answer, in a few words.
pub(super) fn trouble_words(trouble: &Trouble) -> String {
    match trouble.kind {
        TroubleKind::TimedOut { .. } => "no answer in time".to_owned(),
        _ => trouble.detail.to_string(),
    }
}

/// Why there is no stream, in a few words.
pub(super) fn failure_words(failure: ConnectFailure) -> String {
    match failure {
        ConnectFailure::Network => "refused, reset or unreachable".to_owned(),
        ConnectFailure::Status(status) => format!("answered with HTTP {status} instead of 101"),
        ConnectFailure::Timeout => "no answer in time".to_owned(),
        ConnectFailure::Local => "this machine could not".to_owned(),
    }
}
