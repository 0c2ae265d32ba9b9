//! Development tokens: signed here, with the target's own key (`auth.mode = "dev-jwt"`).

use std::time::Duration;

use jsonwebtoken::{EncodingKey, Header};
use uuid::Uuid;

use crate::plan::Population;
use crate::secret::Secret;
use crate::time::Timestamp;
use crate::wire::{Claims, REFRESH_LIFE, TokenType};

/// Signs tokens for the identities of one run.
pub struct Minter {
    key: EncodingKey,
    run: Uuid,
    population: Population,
    /// When the run's clock was zero, Unix seconds.
    epoch: u64,
    lifetime: Duration,
}

impl Minter {
    /// With this HS256 key, for access tokens that live `lifetime`.
    pub fn new(key: &Secret, run: Uuid, population: Population, epoch: u64, lifetime: Duration) -> Self {
        let key = EncodingKey::from_secret(key.expose().as_bytes());
        Self { key, run, population, epoch, lifetime }
    }

    /// How long its access tokens are good for.
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// The access token of this identity, issued at this moment; the same arguments give the same token.
    pub fn access(&self, client: u32, issued: Timestamp) -> Secret {
        self.sign(client, issued, self.unix(issued) + self.lifetime.as_secs(), TokenType::Access)
    }

    /// The refresh token issued at the same moment; it lives for 30 days.
    pub fn refresh(&self, client: u32, issued: Timestamp) -> Secret {
        self.sign(client, issued, self.unix(issued) + REFRESH_LIFE.as_secs(), TokenType::Refresh)
    }

    /// An access token that has been expired for a minute.
    pub fn expired(&self, client: u32, now: Timestamp) -> Secret {
        self.sign(client, now, self.unix(now).saturating_sub(60), TokenType::Access)
    }

    fn unix(&self, at: Timestamp) -> u64 {
        self.epoch + at.as_nanos() / 1_000_000_000
    }

    fn sign(&self, client: u32, issued: Timestamp, expires: u64, kind: TokenType) -> Secret {
        let name = format!("{client}/{}/{expires}/{kind:?}", issued.as_nanos());
        let claims = Claims {
            sub: self.population.username(client).into(),
            tenant_id: self.population.tenant_name(self.population.tenant_of(client)).into(),
            iat: self.unix(issued).min(expires),
            exp: expires,
            jti: Uuid::new_v5(&self.run, name.as_bytes()).to_string().into(),
            typ: kind,
        };
        let token = jsonwebtoken::encode(&Header::default(), &claims, &self.key);
        Secret::new(token.expect("HS256 signs any claims that are plain JSON"))
    }
}
