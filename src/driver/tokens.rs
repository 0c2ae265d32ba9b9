//! Tokens of every identity: made or got once, refreshed by one caller at a time, always the newest kept.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::FutureExt as _;
use futures::future::{LocalBoxFuture, Shared, join_all};
use http::header::HeaderValue;
use serde::Deserialize;
use tokio::sync::Notify;
use tokio::task::spawn_local;

use super::api;
use super::clock::Clock;
use super::endpoint::Endpoint;
use super::http::{Call, Trouble, TroubleKind, exchange};
use super::identities::{Identities, Kept, Told, What};
use super::minter::Minter;
use crate::plan::Population;
use crate::secret::Secret;
use crate::session::TokenLife;
use crate::time::Timestamp;
use crate::wire::{TokenReply, error_code, is_wrapped};

/// The tokens of all identities of the plan.
pub struct Tokens {
    clock: Clock,
    source: Source,
    agent: HeaderValue,
    /// Time to the answer of a login or a refresh.
    deadline: Duration,
    identities: RefCell<Vec<Identity>>,
    signed_in: Cell<SignedIn>,
    replies: Cell<Replies>,
    /// Refresh tokens that are being spent for a first sign-in, and who waits until there are none.
    spending: Cell<u32>,
    spent: Notify,
}

/// The two forms of token answers, which the documentation disagrees about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replies {
    /// Answers with the tokens in `data`.
    pub wrapped: u32,
    /// Answers with the tokens at the top.
    pub bare: u32,
}

/// Where first tokens come from (`auth.mode`).
pub enum Source {
    /// `dev-jwt`: signed here.
    Minted(Minter),
    /// `password`, `tokens`: a credentials file, and what is kept beside it.
    Identities(Identities),
    /// `mock`: any text will do, a different one for each identity.
    Mock(String),
}

/// How identities were signed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignedIn {
    /// With a refresh token that an earlier run had kept.
    pub kept: u32,
    /// By password.
    pub by_password: u32,
    /// With the access token of the file.
    pub given: u32,
    /// Of all: the earlier run ended while a refresh was under way.
    pub under_way: u32,
}

/// A refresh under way; every caller gets the same outcome.
pub type Refreshing = Shared<LocalBoxFuture<'static, Result<TokenLife, RefreshTrouble>>>;

/// Why there is no new token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshTrouble {
    /// The server refused the refresh token.
    Refused,
    /// The answer has this status, which says nothing of the token: nobody knows whether it was spent.
    Answered(u16),
    /// It did not answer, or not with a token.
    Unanswered,
}

/// Why an identity is not signed in.
#[derive(Debug)]
pub enum SignInTrouble {
    /// The server said no.
    Refused {
        /// The HTTP status.
        status: u16,
        /// `error.code`
        code: Option<Box<str>>,
    },
    /// There was no answer, or it was no token; the text never holds one.
    Unanswered(Trouble),
    /// Its tokens are spent, and there is nothing to get others with.
    Spent,
}

impl SignInTrouble {
    /// ScaiWave itself will not have this token, now or later. A 400 or 403 without its code is a proxy's, or that of
    /// something on the way that guards the target, and says nothing of a token that works once.
    fn is_final(&self) -> bool {
        match self {
            Self::Refused { status: 401, .. } | Self::Refused { status: 400 | 403, code: Some(_) } => true,
            Self::Refused { .. } | Self::Unanswered(_) | Self::Spent => false,
        }
    }
}

impl From<SignInTrouble> for RefreshTrouble {
    fn from(trouble: SignInTrouble) -> Self {
        match trouble {
            SignInTrouble::Spent => Self::Refused,
            other if other.is_final() => Self::Refused,
            SignInTrouble::Refused { status, .. } => Self::Answered(status),
            SignInTrouble::Unanswered(_) => Self::Unanswered,
        }
    }
}

/// How long an access token is good for when the reply does not say (documented).
const DEFAULT_LIFE: Duration = Duration::from_secs(3600);

/// An access token of the file with less left than this is refreshed at once (ours).
const LEAST_LEFT: Duration = Duration::from_secs(10);

impl Tokens {
    /// For `clients` identities, none of them signed in.
    pub fn new(clock: Clock, source: Source, agent: HeaderValue, deadline: Duration, clients: u32) -> Self {
        let nobody = || Identity { held: Held::Nothing, life: never(), refreshing: None };
        let identities = RefCell::new((0..clients).map(|_| nobody()).collect());
        Self {
            clock,
            source,
            agent,
            deadline,
            identities,
            signed_in: Cell::default(),
            replies: Cell::default(),
            spending: Cell::default(),
            spent: Notify::new(),
        }
    }

    /// Signs an identity in: from now on it has tokens.
    ///
    /// # Errors
    ///
    /// When the server does not want it; with a key of the target's own there is nobody to ask.
    pub async fn sign_in(self: &Rc<Self>, client: u32, endpoint: &Rc<Endpoint>) -> Result<(), SignInTrouble> {
        match &self.source {
            Source::Minted(minter) => {
                let life = TokenLife { issued: self.clock.now(), life: minter.lifetime() };
                self.hold(client, Held::Minted, life);
            }
            Source::Mock(run) => {
                let access = Secret::new(format!("wavesoak-{run}-{client}"));
                let life = TokenLife { issued: self.clock.now(), life: Duration::from_secs(30 * 24 * 3600) };
                self.hold(client, Held::Pair(Box::new(Pair { access, refresh: None })), life);
            }
            Source::Identities(identities) => self.enter(client, identities, endpoint).await?,
        }
        Ok(())
    }

    /// How identities were signed in so far.
    pub fn signed_in(&self) -> SignedIn {
        self.signed_in.get()
    }

    /// In which form tokens were answered so far.
    pub fn replies(&self) -> Replies {
        self.replies.get()
    }

    /// Refresh tokens that could not be written down: the next run has to sign these identities in anew.
    pub fn unwritten(&self) -> u64 {
        match &self.source {
            Source::Identities(identities) => identities.unwritten(),
            Source::Minted(_) | Source::Mock(_) => 0,
        }
    }

    /// User names by number of the client; empty: those of the plan.
    pub fn usernames(&self) -> Vec<Box<str>> {
        match &self.source {
            Source::Identities(identities) => identities.usernames(),
            Source::Minted(_) | Source::Mock(_) => Vec::new(),
        }
    }

    /// What the harness calls the tenant of an identity: as the credentials file does, where there is one.
    pub fn tenant_name(&self, client: u32, population: &Population) -> String {
        match &self.source {
            Source::Identities(identities) => identities.row(client).tenant.to_string(),
            Source::Minted(_) | Source::Mock(_) => population.tenant_name(population.tenant_of(client)),
        }
    }

    /// Where in the credentials file an identity stands, for people.
    pub fn line(&self, client: u32) -> Option<u64> {
        match &self.source {
            Source::Identities(identities) => Some(identities.row(client).line),
            Source::Minted(_) | Source::Mock(_) => None,
        }
    }

    /// The newest access token.
    pub fn access(&self, client: u32) -> Secret {
        let identities = self.identities.borrow();
        let identity = &identities[client as usize];
        match (&identity.held, &self.source) {
            (Held::Pair(pair), _) => pair.access.clone(),
            (Held::Nothing | Held::Minted, Source::Minted(minter)) => {
                minter.access(client, identity.life.issued)
            }
            (Held::Nothing | Held::Minted, _) => Secret::new("nobody"),
        }
    }

    /// Whether there is anything to get the next token with.
    pub fn can_refresh(&self, client: u32) -> bool {
        self.refresh_token(client).is_some()
    }

    /// The life of the newest access token, as far as the identity knows.
    pub fn life(&self, client: u32) -> TokenLife {
        self.identities.borrow()[client as usize].life
    }

    /// Puts an expired token (one with a broken signature, where it is not ours to sign) in the place of the access
    /// token; the refresh token stays good, and nobody is told.
    pub fn expire(&self, client: u32) {
        let refresh = self.refresh_token(client);
        let access = match &self.source {
            Source::Minted(minter) => minter.expired(client, self.clock.now()),
            Source::Identities(_) | Source::Mock(_) => broken(&self.access(client)),
        };
        self.identities.borrow_mut()[client as usize].held = Held::Pair(Box::new(Pair { access, refresh }));
    }

    /// Refreshes at `endpoint`, or joins the refresh of this identity that is under way: a refresh token may work
    /// only once.
    pub fn refresh(self: &Rc<Self>, client: u32, endpoint: Rc<Endpoint>) -> Refreshing {
        if let Some(under_way) = &self.identities.borrow()[client as usize].refreshing {
            return under_way.clone();
        }
        let tokens = Rc::clone(self);
        let refreshing = async move {
            let outcome = match tokens.refresh_token(client) {
                Some(token) => tokens.renew(client, &token, &endpoint).await,
                None => Err(SignInTrouble::Spent),
            };
            tokens.identities.borrow_mut()[client as usize].refreshing = None;
            outcome.map(|()| tokens.life(client)).map_err(RefreshTrouble::from)
        };
        let refreshing = refreshing.boxed_local().shared();
        self.identities.borrow_mut()[client as usize].refreshing = Some(refreshing.clone());
        refreshing
    }

    /// Waits for the refreshes that nobody waits for any more, because whoever asked has left, or was interrupted: an answer
    /// that is not taken in is a token that the next run cannot use. No longer than the deadline of a request.
    pub async fn finish(&self) {
        let under_way: Vec<Refreshing> =
            self.identities.borrow().iter().filter_map(|identity| identity.refreshing.clone()).collect();
        join_all(under_way).await;
        while self.spending.get() > 0 {
            self.spent.notified().await;
        }
    }

    /// First tokens of an identity of the file: what an earlier run kept, else what the file says.
    async fn enter(
        self: &Rc<Self>,
        client: u32,
        identities: &Identities,
        endpoint: &Rc<Endpoint>,
    ) -> Result<(), SignInTrouble> {
        let kept = identities.kept(client);
        self.count(|signed_in| signed_in.under_way += u32::from(matches!(kept, Some(Kept::UnderWay(_)))));
        let what = &identities.row(client).what;
        match (kept, what) {
            // Spent or not: a password does not have to find out.
            (Some(Kept::Unused(token)), _) | (Some(Kept::UnderWay(token)), What::Tokens { .. }) => {
                match self.spend(client, token, endpoint).await {
                    Err(trouble) if trouble.is_final() => {}
                    // A login asks for nothing that could be lost.
                    Err(SignInTrouble::Refused { status: 400 | 403, .. })
                        if matches!(what, What::Password { .. }) => {}
                    outcome => {
                        self.count(|signed_in| signed_in.kept += u32::from(outcome.is_ok()));
                        return outcome;
                    }
                }
            }
            (None | Some(Kept::UnderWay(_) | Kept::Refused), _) => {}
        }
        match what {
            What::Password { username, password } => {
                let reply =
                    self.ask(endpoint, Call::form(api::TOKEN, api::login_body(username, password))).await?;
                self.count(|signed_in| signed_in.by_password += 1);
                self.settle(client, None, reply);
                Ok(())
            }
            What::Tokens { access, refresh } => {
                self.present(client, access, refresh.as_ref(), identities, endpoint).await
            }
        }
    }

    /// The tokens of the file themselves, unless they were used up by an earlier run.
    async fn present(
        self: &Rc<Self>,
        client: u32,
        access: &Secret,
        refresh: Option<&Secret>,
        identities: &Identities,
        endpoint: &Rc<Endpoint>,
    ) -> Result<(), SignInTrouble> {
        let untouched = identities.kept(client).is_none();
        let left = expiry(access).map(|unix_s| Duration::from_secs(unix_s.saturating_sub(self.unix_s())));
        // Of a token that does not tell when it expires, and has no other to take its place, only the server knows.
        if left.map_or(refresh.is_none(), |left| left >= LEAST_LEFT) {
            // Of a pair that an earlier run has refreshed, the refresh token is spent; the access token is not.
            let refresh = refresh.filter(|_| untouched).cloned();
            let life = TokenLife { issued: self.clock.now(), life: left.unwrap_or(DEFAULT_LIFE) };
            self.hold(client, Held::Pair(Box::new(Pair { access: access.clone(), refresh })), life);
            self.count(|signed_in| signed_in.given += 1);
            return Ok(());
        }
        match refresh.filter(|_| untouched) {
            Some(refresh) => {
                self.spend(client, refresh.clone(), endpoint).await?;
                self.count(|signed_in| signed_in.given += 1);
                Ok(())
            }
            None => Err(SignInTrouble::Spent),
        }
    }

    /// The same as [`Tokens::renew`], on a task of its own: whoever waits for it may be interrupted, and the answer is taken in
    /// all the same.
    async fn spend(
        self: &Rc<Self>,
        client: u32,
        token: Secret,
        endpoint: &Rc<Endpoint>,
    ) -> Result<(), SignInTrouble> {
        let (tokens, endpoint) = (Rc::clone(self), Rc::clone(endpoint));
        self.spending.set(self.spending.get() + 1);
        let renewing = spawn_local(async move {
            let outcome = tokens.renew(client, &token, &endpoint).await;
            tokens.spending.set(tokens.spending.get() - 1);
            tokens.spent.notify_one();
            outcome
        });
        let never = |_| {
            let detail = "the harness ended in its middle".into();
            Err(SignInTrouble::Unanswered(Trouble { kind: TroubleKind::Local, detail, reset: false }))
        };
        renewing.await.unwrap_or_else(never)
    }

    /// Spends this refresh token for a new pair.
    async fn renew(&self, client: u32, token: &Secret, endpoint: &Endpoint) -> Result<(), SignInTrouble> {
        self.tell(client, Told::Asking(token));
        match self.ask(endpoint, Call::post(api::REFRESH, api::refresh_body(token))).await {
            Ok(reply) => {
                self.settle(client, Some(token), reply);
                Ok(())
            }
            Err(trouble) => {
                if trouble.is_final() {
                    self.tell(client, Told::Refused);
                }
                Err(trouble)
            }
        }
    }

    async fn ask(&self, endpoint: &Endpoint, call: Call<'_>) -> Result<TokenReply, SignInTrouble> {
        let deadline = self.clock.instant(self.clock.now() + self.deadline);
        let request = || call.to_request(endpoint, &self.agent);
        let answer = exchange(&mut None, endpoint, deadline, api::ANSWER_BYTES, request)
            .await
            .map_err(SignInTrouble::Unanswered)?;
        if !answer.is_success() {
            let code = error_code(&answer.body);
            return Err(SignInTrouble::Refused { status: answer.status, code });
        }
        let reply = TokenReply::parse(&answer.body).map_err(|error| {
            let detail = format!("the answer is no token: {error}").into();
            SignInTrouble::Unanswered(Trouble { kind: TroubleKind::Broken, detail, reset: false })
        })?;
        let mut replies = self.replies.get();
        let form = if is_wrapped(&answer.body) { &mut replies.wrapped } else { &mut replies.bare };
        *form += 1;
        self.replies.set(replies);
        Ok(reply)
    }

    /// Takes in a new pair; `spent` stays in use when the server does not rotate. What arrived is written down first.
    fn settle(&self, client: u32, spent: Option<&Secret>, reply: TokenReply) {
        let life = TokenLife { issued: self.clock.now(), life: reply.life.unwrap_or(DEFAULT_LIFE) };
        let refresh = reply.refresh.or_else(|| spent.cloned());
        if let Some(refresh) = &refresh {
            self.tell(client, Told::Got(refresh));
        }
        self.hold(client, Held::Pair(Box::new(Pair { access: reply.access, refresh })), life);
    }

    fn hold(&self, client: u32, held: Held, life: TokenLife) {
        let mut identities = self.identities.borrow_mut();
        let identity = &mut identities[client as usize];
        (identity.held, identity.life) = (held, life);
    }

    fn refresh_token(&self, client: u32) -> Option<Secret> {
        let identities = self.identities.borrow();
        let identity = &identities[client as usize];
        match (&identity.held, &self.source) {
            (Held::Pair(pair), _) => pair.refresh.clone(),
            (Held::Nothing | Held::Minted, Source::Minted(minter)) => {
                Some(minter.refresh(client, identity.life.issued))
            }
            (Held::Nothing | Held::Minted, _) => None,
        }
    }

    fn tell(&self, client: u32, told: Told<'_>) {
        if let Source::Identities(identities) = &self.source {
            identities.tell(client, told);
        }
    }

    fn count(&self, add: impl FnOnce(&mut SignedIn)) {
        let mut signed_in = self.signed_in.get();
        add(&mut signed_in);
        self.signed_in.set(signed_in);
    }

    fn unix_s(&self) -> u64 {
        self.clock.epoch_unix_s() + self.clock.now().as_nanos() / 1_000_000_000
    }
}

struct Identity {
    held: Held,
    life: TokenLife,
    refreshing: Option<Refreshing>,
}

enum Held {
    /// Not signed in.
    Nothing,
    /// What the minter makes for this identity and moment of issue: made again whenever it is needed, so that a
    /// fleet of identities holds no megabytes of tokens.
    Minted,
    /// Got from the server.
    Pair(Box<Pair>),
}

struct Pair {
    access: Secret,
    /// None: this identity cannot be refreshed.
    refresh: Option<Secret>,
}

/// When a JWT expires, Unix seconds; its signature is not ours to check.
fn expiry(token: &Secret) -> Option<u64> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.expose().split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Claims>(&claims).ok().map(|claims| claims.exp as u64)
}

/// The same token with another last character but one: nobody's signature.
fn broken(token: &Secret) -> Secret {
    let mut text = token.expose().to_owned();
    let last = text.pop().unwrap_or('x');
    text.pop();
    text.push_str(if last == 'A' { "BB" } else { "AA" });
    Secret::new(text)
}

fn never() -> TokenLife {
    TokenLife { issued: Timestamp::ZERO, life: Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::runtime::{Builder, LocalOptions};
    use tokio::task::spawn_local;
    use uuid::Uuid;

    use super::*;
    use crate::plan::Population;
    use crate::profile::{self, AuthMode};

    fn tokens() -> Rc<Tokens> {
        let clock = Clock::start();
        let population = Population::new(&profile::Population {
            tenants: 1,
            clients: 2,
            members_per_room: 2,
            rooms_per_tenant: None,
            rooms_per_client: 1,
            ..profile::Population::default()
        });
        let (key, life) = (Secret::new("key"), Duration::from_secs(3600));
        let minter = Minter::new(&key, Uuid::nil(), population, clock.epoch_unix_s(), life);
        let agent = HeaderValue::from_static("wavesoak/0 (test)");
        Rc::new(Tokens::new(clock, Source::Minted(minter), agent, Duration::from_secs(60), 2))
    }

    fn sign_in(tokens: &Rc<Tokens>) {
        let endpoint = Rc::new(Endpoint::parse("http://127.0.0.1:9").expect("a good URL"));
        let signed_in = tokens.sign_in(0, &endpoint).now_or_never().expect("nobody to ask");
        signed_in.expect("nobody to refuse");
    }

    /// Against a server that answers one request and takes no second.
    fn with_server<R>(answer: &'static str, play: impl AsyncFnOnce(Rc<Endpoint>) -> R) -> R {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        runtime.expect("a runtime").block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("bound");
            let endpoint = Rc::new(Endpoint::parse(&format!("http://{address}")).expect("a good URL"));
            endpoint.resolve().await.expect("an address");
            spawn_local(async move {
                let (mut socket, _) = listener.accept().await.expect("a connection");
                drop(listener);
                let mut request = [0; 4096];
                assert!(socket.read(&mut request).await.expect("a request") > 0);
                socket.write_all(answer.as_bytes()).await.expect("an open connection");
            });
            play(endpoint).await
        })
    }

    /// Asks for two refreshes of client 0 at once.
    fn refreshed_twice(tokens: &Rc<Tokens>, answer: &'static str) -> [Result<TokenLife, RefreshTrouble>; 2] {
        with_server(answer, async |endpoint| {
            let (one, two) = (tokens.refresh(0, Rc::clone(&endpoint)), tokens.refresh(0, endpoint));
            let (one, two) = futures::join!(one, two);
            [one, two]
        })
    }

    /// The answer of a server that gives the tokens `new` and `newer`.
    fn new_pair() -> &'static str {
        let body = r#"{"data":{"access_token":"new","refresh_token":"newer","expires_in":60}}"#;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        Box::leak(answer.into_boxed_str())
    }

    #[test]
    fn two_who_ask_at_once_are_answered_by_one_refresh() {
        let tokens = tokens();
        sign_in(&tokens);
        let before = tokens.access(0);
        assert_eq!(before.expose(), tokens.access(0).expose(), "the token in hand stays the same");
        let [one, two] = refreshed_twice(&tokens, new_pair());
        assert_eq!(one, two);
        assert_eq!(one.expect("refreshed").life, Duration::from_secs(60));
        assert_eq!(tokens.access(0).expose(), "new");
        assert_ne!(tokens.access(1).expose(), "new", "another identity's");
    }

    #[test]
    fn the_answer_to_someone_who_has_left_is_taken_in_all_the_same() {
        let tokens = tokens();
        sign_in(&tokens);
        with_server(new_pair(), async |endpoint| {
            let left = tokens.refresh(0, endpoint);
            assert!(left.clone().now_or_never().is_none(), "asked, and not answered at once");
            drop(left);
            tokens.finish().await;
        });
        assert_eq!(tokens.access(0).expose(), "new");
    }

    /// One identity of a file of this mode and row.
    fn from_file(place: &std::path::Path, mode: AuthMode, row: &str) -> Rc<Tokens> {
        let path = place.join("people.csv");
        let head = match mode {
            AuthMode::Tokens => "tenant_id,access_token,refresh_token",
            _ => "tenant_id,username,password",
        };
        #[expect(clippy::disallowed_methods, reason = "credentials are a file")]
        std::fs::write(&path, format!("{head}\n{row}\n")).expect("written");
        let population = Population::new(&profile::Population {
            tenants: 1,
            clients: 1,
            members_per_room: 1,
            rooms_per_tenant: None,
            rooms_per_client: 1,
            ..profile::Population::default()
        });
        let identities = Identities::load(&path, mode, &population).expect("one row");
        let agent = HeaderValue::from_static("wavesoak/0 (test)");
        let source = Source::Identities(identities);
        Rc::new(Tokens::new(Clock::start(), source, agent, Duration::from_secs(60), 1))
    }

    fn kept(tokens: &Tokens) -> Option<Kept> {
        let Source::Identities(identities) = &tokens.source else { panic!("of a file") };
        identities.kept(0)
    }

    #[test]
    fn who_is_interrupted_while_signing_in_keeps_the_token_that_comes() {
        let place = tempfile::tempdir().expect("a place");
        let tokens = from_file(place.path(), AuthMode::Tokens, "acme,expired,old");
        with_server(new_pair(), async |endpoint| {
            let mut signing_in = Box::pin(tokens.sign_in(0, &endpoint));
            assert!((&mut signing_in).now_or_never().is_none(), "asked, and not answered at once");
            drop(signing_in);
            tokens.finish().await;
        });
        let Some(Kept::Unused(token)) = kept(&tokens) else { panic!("it was spent for nothing") };
        assert_eq!(token.expose(), "newer");
    }

    #[test]
    fn a_token_that_something_on_the_way_has_refused_is_not_given_up() {
        let forbidden = "HTTP/1.1 403 No\r\nContent-Length: 13\r\n\r\n<html></html>";
        let refused = "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n";
        for (answer, still) in [(forbidden, true), (refused, false)] {
            let place = tempfile::tempdir().expect("a place");
            let tokens = from_file(place.path(), AuthMode::Tokens, "acme,expired,old");
            with_server(answer, async |endpoint| tokens.sign_in(0, &endpoint).await.expect_err("refused"));
            assert_eq!(matches!(kept(&tokens), Some(Kept::UnderWay(_))), still, "{answer}");
        }
    }

    #[test]
    fn an_access_token_that_tells_no_end_is_used_where_there_is_no_other() {
        let place = tempfile::tempdir().expect("a place");
        let tokens = from_file(place.path(), AuthMode::Tokens, "acme,opaque,");
        sign_in(&tokens);
        assert_eq!((tokens.access(0).expose(), tokens.life(0).life), ("opaque", DEFAULT_LIFE));
        assert_eq!(tokens.signed_in(), SignedIn { given: 1, ..SignedIn::default() });
    }

    #[test]
    fn a_refused_refresh_is_told_from_an_unanswered_one() {
        for (answer, trouble) in [
            ("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", RefreshTrouble::Refused),
            (
                "HTTP/1.1 403 No\r\nContent-Length: 42\r\n\r\n{\"error\":{\"code\":\"SW_AUTH_INVALID_TOKEN\"}}",
                RefreshTrouble::Refused,
            ),
            // Whatever guards the way has said this, and not ScaiWave.
            ("HTTP/1.1 403 No\r\nContent-Length: 13\r\n\r\n<html></html>", RefreshTrouble::Answered(403)),
            ("HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n", RefreshTrouble::Answered(502)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", RefreshTrouble::Unanswered),
            ("", RefreshTrouble::Unanswered),
        ] {
            let tokens = tokens();
            sign_in(&tokens);
            let before = tokens.access(0);
            assert_eq!(refreshed_twice(&tokens, answer), [Err(trouble), Err(trouble)], "{answer:?}");
            assert_eq!(tokens.access(0).expose(), before.expose(), "the old one is kept");
        }
    }

    #[test]
    fn an_expired_token_is_expired_and_nobody_is_told() {
        let tokens = tokens();
        sign_in(&tokens);
        let (life, good) = (tokens.life(0), expiry(&tokens.access(0)).expect("a JWT"));
        tokens.expire(0);
        let now = tokens.clock.epoch_unix_s();
        assert!(expiry(&tokens.access(0)).expect("a JWT") < now && good > now);
        assert_eq!(tokens.life(0), life);
    }
}
