//! First tokens: signed here, got for a password, or with what the credentials file and an earlier run have.

use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use tokio::task::spawn_local;

use super::super::api;
use super::super::endpoint::Endpoint;
use super::super::http::{Call, Trouble, TroubleKind};
use super::super::identities::{Identities, Kept, What};
use super::{DEFAULT_LIFE, Held, Pair, RefreshTrouble, Source, Tokens};
use crate::secret::Secret;
use crate::session::TokenLife;

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
    pub(super) fn is_final(&self) -> bool {
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

/// An access token of the file with less left than this is refreshed at once (ours).
const LEAST_LEFT: Duration = Duration::from_secs(10);

impl Tokens {
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

    fn unix_s(&self) -> u64 {
        self.clock.epoch_unix_s() + self.clock.now().as_nanos() / 1_000_000_000
    }
}

/// When a JWT expires, Unix seconds; its signature is not ours to check.
pub(super) fn expiry(token: &Secret) -> Option<u64> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.expose().split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Claims>(&claims).ok().map(|claims| claims.exp as u64)
}
