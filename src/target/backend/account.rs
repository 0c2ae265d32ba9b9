//! Identities: register, profile, rotation of tokens.

use std::time::Duration;

use uuid::Uuid;

use crate::time::Timestamp;
use crate::wire::REFRESH_LIFE;

use super::super::caller::Caller;
use super::super::error::ApiError;
use super::Backend;

/// What `POST /v1/auth/register` and `GET /v1/me` answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// `participant_id`
    pub participant: Uuid,
    /// `tenant_id`: not the claim of the token.
    pub tenant: Uuid,
    /// `display_name`
    pub display_name: Box<str>,
}

/// A rotation: the numbers of the two tokens to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// `jti` of the access token.
    pub access: Uuid,
    /// Its life.
    pub access_life: Duration,
    /// `jti` of the refresh token.
    pub refresh: Uuid,
    /// Its life.
    pub refresh_life: Duration,
}

impl Backend {
    /// `POST /v1/auth/register`: makes the local participant; again and again gives the same one.
    ///
    /// # Errors
    /// A refused token.
    pub fn register(&mut self, now: Timestamp, pod: u32, caller: &Caller) -> Result<Registered, ApiError> {
        let who = self.admit(now, pod, caller)?;
        let participant = self.registry.participant(who);
        Ok(Registered {
            participant: participant.id,
            tenant: self.registry.tenant(participant.tenant).id,
            display_name: (&*participant.username).into(),
        })
    }

    /// `GET /v1/me`
    ///
    /// # Errors
    /// A refused token.
    pub fn me(&mut self, now: Timestamp, pod: u32, caller: &Caller) -> Result<Registered, ApiError> {
        self.register(now, pod, caller)
    }

    /// `POST /v1/auth/refresh`, for the bearer of a refresh token. It works once (documented: it may rotate).
    ///
    /// # Errors
    /// A refused or expired token, or one of the last few that this identity has used already.
    pub fn refresh(&mut self, now: Timestamp, pod: u32, caller: &Caller) -> Result<Grant, ApiError> {
        let who = self.admit(now, pod, caller)?;
        let used = &mut self.registry.participant_mut(who).used_refresh;
        if used.contains(&caller.token_id) {
            return Err(ApiError::INVALID_TOKEN);
        }
        if used.len() == USED_REFRESH_KEPT {
            used.pop_front();
        }
        used.push_back(caller.token_id);
        Ok(self.grant())
    }

    /// `POST /v1/auth/token`, for whoever knew the password.
    ///
    /// # Errors
    /// The identity is refused.
    pub fn login(&mut self, now: Timestamp, pod: u32, caller: &Caller) -> Result<Grant, ApiError> {
        self.admit(now, pod, caller)?;
        Ok(self.grant())
    }

    /// Whether the password grant is on.
    pub fn gives_for_passwords(&self) -> bool {
        self.config.password_grant
    }

    fn grant(&mut self) -> Grant {
        Grant {
            access: self.ids.uuid(),
            access_life: self.config.token_lifetime,
            refresh: self.ids.uuid(),
            refresh_life: REFRESH_LIFE,
        }
    }
}

/// Used refresh tokens that are remembered for one identity (ours): two places that refresh one identity in
/// turn are caught, and nothing grows with the length of a run.
const USED_REFRESH_KEPT: usize = 32;

#[cfg(test)]
mod tests {
    use super::super::tests_support::*;
    use super::*;

    #[test]
    fn registering_again_gives_the_same_participant_and_never_the_claim() {
        let mut backend = small();
        let first = backend.register(at(0), 0, &caller("anna", 1)).expect("a good token");
        let again = backend.register(at(1), 1, &caller("anna", 2)).expect("a good token");
        assert_eq!(first, again);
        assert_ne!(first.tenant.to_string(), "acme");
        let other = backend.register(at(1), 1, &caller("ben", 3)).expect("a good token");
        assert_eq!(other.tenant, first.tenant);
        assert_ne!(other.participant, first.participant);
    }

    #[test]
    fn a_refresh_token_works_once() {
        let mut backend = small();
        let grant = backend.refresh(at(0), 0, &caller("anna", 1)).expect("its first use");
        assert_ne!(grant.access, grant.refresh);
        assert_eq!(backend.refresh(at(1), 1, &caller("anna", 1)), Err(ApiError::INVALID_TOKEN));
        assert!(backend.refresh(at(1), 1, &caller("anna", 2)).is_ok(), "the newest still works");
    }

    #[test]
    fn an_expired_token_is_refused_by_its_own_code() {
        let mut backend = small();
        let late = Caller { expires: at(10), ..caller("anna", 1) };
        assert!(backend.me(at(9), 0, &late).is_ok());
        assert_eq!(backend.me(at(10), 0, &late), Err(ApiError::EXPIRED_TOKEN));
    }
}
