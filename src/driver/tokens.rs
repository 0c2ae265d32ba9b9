//! Tokens of every identity: made or got once, refreshed by one caller at a time, always the newest kept.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{LocalBoxFuture, Shared};
use http::header::HeaderValue;

use super::api;
use super::clock::Clock;
use super::endpoint::Endpoint;
use super::http::{Call, Trouble, exchange};
use super::minter::Minter;
use crate::secret::Secret;
use crate::session::TokenLife;
use crate::time::Timestamp;
use crate::wire::TokenReply;

/// The tokens of all identities of the plan.
pub struct Tokens {
    clock: Clock,
    minter: Minter,
    agent: HeaderValue,
    /// Time to the answer of a refresh.
    deadline: Duration,
    identities: RefCell<Vec<Identity>>,
}

/// A refresh under way; every caller gets the same outcome.
pub type Refreshing = Shared<LocalBoxFuture<'static, Result<TokenLife, RefreshTrouble>>>;

/// Why there is no new token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshTrouble {
    /// The server refused the refresh token.
    Refused,
    /// It did not answer, or not with a token.
    Unanswered,
}

/// How long an access token is good for when the reply does not say (documented).
const DEFAULT_LIFE: Duration = Duration::from_secs(3600);

impl Tokens {
    /// For `clients` identities, none of them signed in.
    pub fn new(clock: Clock, minter: Minter, agent: HeaderValue, deadline: Duration, clients: u32) -> Self {
        let nobody = || Identity { held: Held::Nothing, life: never(), refreshing: None };
        let identities = RefCell::new((0..clients).map(|_| nobody()).collect());
        Self { clock, minter, agent, deadline, identities }
    }

    /// Signs an identity in: from now on it has tokens.
    pub fn sign_in(&self, client: u32) {
        let mut identities = self.identities.borrow_mut();
        let identity = &mut identities[client as usize];
        identity.life = TokenLife { issued: self.clock.now(), life: self.minter.lifetime() };
        identity.held = Held::Minted;
    }

    /// The newest access token.
    pub fn access(&self, client: u32) -> Secret {
        let identities = self.identities.borrow();
        let identity = &identities[client as usize];
        match &identity.held {
            Held::Nothing | Held::Minted => self.minter.access(client, identity.life.issued),
            Held::Pair(pair) => pair.access.clone(),
        }
    }

    /// The life of the newest access token, as far as the identity knows.
    pub fn life(&self, client: u32) -> TokenLife {
        self.identities.borrow()[client as usize].life
    }

    /// Puts an expired token in the place of the access token; the refresh token stays good, and nobody is told.
    pub fn expire(&self, client: u32) {
        let mut identities = self.identities.borrow_mut();
        let identity = &mut identities[client as usize];
        let refresh = match &identity.held {
            Held::Nothing | Held::Minted => self.minter.refresh(client, identity.life.issued),
            Held::Pair(pair) => pair.refresh.clone(),
        };
        identity.held =
            Held::Pair(Box::new(Pair { access: self.minter.expired(client, self.clock.now()), refresh }));
    }

    /// Refreshes at `endpoint`, or joins the refresh of this identity that is under way: a refresh token may work
    /// only once.
    pub fn refresh(self: &Rc<Self>, client: u32, endpoint: Rc<Endpoint>) -> Refreshing {
        let mut identities = self.identities.borrow_mut();
        let identity = &mut identities[client as usize];
        if let Some(under_way) = &identity.refreshing {
            return under_way.clone();
        }
        let token = match &identity.held {
            Held::Nothing | Held::Minted => self.minter.refresh(client, identity.life.issued),
            Held::Pair(pair) => pair.refresh.clone(),
        };
        let tokens = Rc::clone(self);
        let refreshing = async move {
            let outcome = tokens.ask(&endpoint, &token).await;
            tokens.settle(client, token, outcome)
        };
        let refreshing = refreshing.boxed_local().shared();
        identity.refreshing = Some(refreshing.clone());
        refreshing
    }

    async fn ask(&self, endpoint: &Endpoint, token: &Secret) -> Result<TokenReply, RefreshTrouble> {
        let body = api::refresh_body(token);
        let deadline = self.clock.instant(self.clock.now() + self.deadline);
        let request = || Call::post(api::REFRESH, body).to_request(endpoint, &self.agent);
        let answer = exchange(&mut None, endpoint, deadline, api::ANSWER_BYTES, request)
            .await
            .map_err(|_: Trouble| RefreshTrouble::Unanswered)?;
        match answer.status {
            200..=299 => TokenReply::parse(&answer.body).map_err(|_| RefreshTrouble::Unanswered),
            400 | 401 | 403 => Err(RefreshTrouble::Refused),
            _ => Err(RefreshTrouble::Unanswered),
        }
    }

    fn settle(
        &self,
        client: u32,
        spent: Secret,
        outcome: Result<TokenReply, RefreshTrouble>,
    ) -> Result<TokenLife, RefreshTrouble> {
        let mut identities = self.identities.borrow_mut();
        let identity = &mut identities[client as usize];
        identity.refreshing = None;
        let refreshed = outcome?;
        identity.life = TokenLife { issued: self.clock.now(), life: refreshed.life.unwrap_or(DEFAULT_LIFE) };
        let refresh = refreshed.refresh.unwrap_or(spent);
        identity.held = Held::Pair(Box::new(Pair { access: refreshed.access, refresh }));
        Ok(identity.life)
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
    refresh: Secret,
}

fn never() -> TokenLife {
    TokenLife { issued: Timestamp::ZERO, life: Duration::ZERO }
}
