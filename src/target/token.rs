//! Tokens of the target: HS256 JWTs, minted by the harness with the target's development key or handed out by
//! the target itself, checked here for their signature. Whether one is still good is the backend's business.
#![expect(clippy::disallowed_methods, reason = "a fresh key and fresh token ids have to come from somewhere")]

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use uuid::Uuid;

use crate::secret::Secret;
use crate::time::Timestamp;
use crate::wire::{Claims, REFRESH_LIFE, TokenType, id_hash};

use super::caller::{Caller, TokenTrouble};

/// An access token and the refresh token that goes with it.
#[derive(Clone, Debug)]
pub struct Minted {
    /// For REST and stream.
    pub access: Secret,
    /// For `POST /v1/auth/refresh`, once.
    pub refresh: Secret,
}

/// A fresh signing key, as text.
pub fn fresh_key() -> Secret {
    // Two version 4 ids: 244 random bits.
    Secret::new(format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()))
}

/// Mints both tokens of an identity: issued at a Unix time in seconds, the access token good for `life`
/// (rounded up to whole seconds), the refresh token for 30 days (ours). A time of issue that lies more than
/// `life` back gives an expired access token.
pub fn mint(key: &Secret, tenant: &str, username: &str, issued_unix_s: u64, life: Duration) -> Minted {
    let key = EncodingKey::from_secret(key.expose().as_bytes());
    let claims = |typ, life: Duration| Claims {
        sub: username.into(),
        tenant_id: tenant.into(),
        iat: issued_unix_s,
        exp: issued_unix_s.saturating_add(whole_seconds(life)),
        jti: Uuid::new_v4().to_string().into(),
        typ,
    };
    Minted {
        access: sign(&key, &claims(TokenType::Access, life)),
        refresh: sign(&key, &claims(TokenType::Refresh, REFRESH_LIFE)),
    }
}

/// The password of an identity of the target with this key (ours: it has no users of its own, and everybody who knows the
/// key may be anybody).
pub fn password_of(key: &Secret, tenant: &str, username: &str) -> Secret {
    let place = Uuid::new_v5(&Uuid::NAMESPACE_OID, key.expose().as_bytes());
    Secret::new(Uuid::new_v5(&place, format!("{tenant}\n{username}").as_bytes()).simple().to_string())
}

/// Checks and makes tokens on behalf of the target.
pub(super) struct Signer {
    key: Secret,
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    epoch_unix_s: u64,
}

impl Signer {
    /// `epoch_unix_s` is the Unix time of [`Timestamp::ZERO`].
    pub(super) fn new(key: &Secret, epoch_unix_s: u64) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let bytes = key.expose().as_bytes();
        let (encoding, decoding) = (EncodingKey::from_secret(bytes), DecodingKey::from_secret(bytes));
        Self { key: key.clone(), encoding, decoding, validation, epoch_unix_s }
    }

    /// Who bears this token.
    ///
    /// # Errors
    /// It is not a token of this type with our signature.
    pub(super) fn check(&self, token: &str, typ: TokenType) -> Result<Caller, TokenTrouble> {
        let claims = decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|_| TokenTrouble::Invalid)?
            .claims;
        if claims.typ != typ {
            return Err(TokenTrouble::Invalid);
        }
        let life_left_s = claims.exp.saturating_sub(self.epoch_unix_s);
        Ok(Caller {
            tenant: claims.tenant_id.into(),
            username: claims.sub.into(),
            token_id: id_hash(&claims.jti),
            expires: Timestamp::ZERO + Duration::from_secs(life_left_s),
        })
    }

    /// Who signs in with this name (`username@tenant`, ours: the form has no place for a tenant) and password.
    ///
    /// # Errors
    /// The name has no tenant, or the password is another.
    pub(super) fn login(&self, name: &str, password: &str) -> Result<Caller, TokenTrouble> {
        let (username, tenant) = name.rsplit_once('@').ok_or(TokenTrouble::Invalid)?;
        if password_of(&self.key, tenant, username).expose() != password {
            return Err(TokenTrouble::Invalid);
        }
        let (tenant, username) = (tenant.into(), username.into());
        Ok(Caller { tenant, username, token_id: 0, expires: Timestamp::MAX })
    }

    /// A token for the same identity, with this id, good for `life` from `now`.
    pub(super) fn issue(
        &self,
        caller: &Caller,
        typ: TokenType,
        jti: Uuid,
        now: Timestamp,
        life: Duration,
    ) -> Secret {
        let iat = self.epoch_unix_s + now.as_nanos() / 1_000_000_000;
        sign(
            &self.encoding,
            &Claims {
                sub: (&*caller.username).into(),
                tenant_id: (&*caller.tenant).into(),
                iat,
                exp: iat.saturating_add(whole_seconds(life)),
                jti: jti.to_string().into(),
                typ,
            },
        )
    }
}

fn sign(key: &EncodingKey, claims: &Claims) -> Secret {
    let token = encode(&Header::new(Algorithm::HS256), claims, key);
    Secret::new(token.expect("an HMAC over plain claims has no way to fail"))
}

fn whole_seconds(life: Duration) -> u64 {
    life.as_secs() + u64::from(life.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_800_000_000;

    #[test]
    fn what_is_minted_is_accepted_with_its_own_name_tenant_and_life() {
        let key = fresh_key();
        let minted = mint(&key, "tenant-0001", "ws-000007", NOW_S + 10, Duration::from_millis(59_500));
        let signer = Signer::new(&key, NOW_S);
        let caller = signer.check(minted.access.expose(), TokenType::Access).expect("ours");
        assert_eq!((&*caller.tenant, &*caller.username), ("tenant-0001", "ws-000007"));
        assert_eq!(caller.expires, Timestamp::from_secs(70));
        let again = signer.check(minted.access.expose(), TokenType::Access).expect("ours");
        assert_eq!(again.token_id, caller.token_id);
        let other = mint(&key, "tenant-0001", "ws-000007", NOW_S + 10, Duration::from_secs(60));
        let other = signer.check(other.access.expose(), TokenType::Access).expect("ours");
        assert_ne!(other.token_id, caller.token_id);
    }

    #[test]
    fn a_token_of_an_earlier_day_expires_at_the_very_beginning() {
        let key = fresh_key();
        let minted = mint(&key, "t", "u", NOW_S - 7200, Duration::from_secs(3600));
        let caller = Signer::new(&key, NOW_S).check(minted.access.expose(), TokenType::Access).expect("ours");
        assert_eq!(caller.expires, Timestamp::ZERO);
    }

    #[test]
    fn another_key_another_type_and_nonsense_are_refused() {
        let (key, other) = (fresh_key(), fresh_key());
        let minted = mint(&key, "t", "u", NOW_S, Duration::from_secs(3600));
        let refused =
            |signer: &Signer, token: &str, typ| signer.check(token, typ) == Err(TokenTrouble::Invalid);
        let signer = Signer::new(&key, NOW_S);
        assert!(refused(&Signer::new(&other, NOW_S), minted.access.expose(), TokenType::Access));
        assert!(refused(&signer, minted.refresh.expose(), TokenType::Access));
        assert!(refused(&signer, minted.access.expose(), TokenType::Refresh));
        assert!(refused(&signer, "eyJhbGciOiJub25lIn0.e30.", TokenType::Access));
        assert!(refused(&signer, "", TokenType::Access));
    }
}
