//! Tokens of every identity: made or got once, refreshed by one caller at a time, always the newest kept.

mod sign_in;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{LocalBoxFuture, Shared, join_all};
use http::header::HeaderValue;
use tokio::sync::Notify;

use super::api;
use super::clock::Clock;
use super::endpoint::Endpoint;
use super::http::{Call, Trouble, TroubleKind, exchange};
use super::identities::{Identities, Told};
use super::minter::Minter;
use crate::plan::Population;
use crate::secret::Secret;
use crate::session::TokenLife;
use crate::time::Timestamp;
use crate::wire::{TokenReply, error_code, is_wrapped};

pub use sign_in::{SignInTrouble, SignedIn};

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

/// How long an access token is good for when the reply does not say (documented).
const DEFAULT_LIFE: Duration = Duration::from_secs(3600);

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
mod tests;
