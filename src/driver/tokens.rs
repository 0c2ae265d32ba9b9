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

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::runtime::{Builder, LocalOptions};
    use tokio::task::spawn_local;
    use uuid::Uuid;

    use super::*;
    use crate::plan::Population;
    use crate::profile;

    fn tokens() -> Rc<Tokens> {
        let clock = Clock::start();
        let population = Population::new(&profile::Population {
            tenants: 1,
            clients: 2,
            members_per_room: 2,
            rooms_per_tenant: None,
            rooms_per_client: 1,
        });
        let (key, life) = (Secret::new("key"), Duration::from_secs(3600));
        let minter = Minter::new(&key, Uuid::nil(), population, clock.epoch_unix_s(), life);
        let agent = HeaderValue::from_static("wavesoak/0 (test)");
        Rc::new(Tokens::new(clock, minter, agent, Duration::from_secs(60), 2))
    }

    fn expiry(token: &Secret) -> u64 {
        let claims = token.expose().split('.').nth(1).expect("three parts");
        let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64");
        serde_json::from_slice::<serde_json::Value>(&claims).expect("JSON")["exp"].as_u64().expect("a time")
    }

    /// Asks for two refreshes of client 0 at once; the server answers the first request and takes no second.
    fn refreshed_twice(tokens: &Rc<Tokens>, answer: &'static str) -> [Result<TokenLife, RefreshTrouble>; 2] {
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
            let (one, two) = (tokens.refresh(0, Rc::clone(&endpoint)), tokens.refresh(0, endpoint));
            let (one, two) = futures::join!(one, two);
            [one, two]
        })
    }

    #[test]
    fn two_who_ask_at_once_are_answered_by_one_refresh() {
        let tokens = tokens();
        tokens.sign_in(0);
        let before = tokens.access(0);
        assert_eq!(before.expose(), tokens.access(0).expose(), "the token in hand stays the same");
        let body = r#"{"data":{"access_token":"new","refresh_token":"newer","expires_in":60}}"#;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let [one, two] = refreshed_twice(&tokens, Box::leak(answer.into_boxed_str()));
        assert_eq!(one, two);
        assert_eq!(one.expect("refreshed").life, Duration::from_secs(60));
        assert_eq!(tokens.access(0).expose(), "new");
        assert_ne!(tokens.access(1).expose(), "new", "another identity's");
    }

    #[test]
    fn a_refused_refresh_is_told_from_an_unanswered_one() {
        for (answer, trouble) in [
            ("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", RefreshTrouble::Refused),
            ("HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n", RefreshTrouble::Unanswered),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", RefreshTrouble::Unanswered),
            ("", RefreshTrouble::Unanswered),
        ] {
            let tokens = tokens();
            tokens.sign_in(0);
            let before = tokens.access(0);
            assert_eq!(refreshed_twice(&tokens, answer), [Err(trouble), Err(trouble)], "{answer:?}");
            assert_eq!(tokens.access(0).expose(), before.expose(), "the old one is kept");
        }
    }

    #[test]
    fn an_expired_token_is_expired_and_nobody_is_told() {
        let tokens = tokens();
        tokens.sign_in(0);
        let (life, good) = (tokens.life(0), expiry(&tokens.access(0)));
        tokens.expire(0);
        let now = tokens.clock.epoch_unix_s();
        assert!(expiry(&tokens.access(0)) < now && good > now);
        assert_eq!(tokens.life(0), life);
    }
}
