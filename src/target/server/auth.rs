//! Who calls: the token of a request, checked once and remembered.

use std::cell::RefCell;
use std::collections::HashMap;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::super::caller::{Caller, TokenTrouble};
use super::super::error::ApiError;
use super::super::token::Signer;
use crate::wire::TokenType;

/// Access tokens whose signature has been checked.
#[derive(Default)]
pub(super) struct TokenCache(RefCell<HashMap<Box<str>, Caller>>);

impl TokenCache {
    /// Who bears this access token.
    ///
    /// # Errors
    /// There is none, or it is not one of ours.
    pub(super) fn check(&self, signer: &Signer, token: Option<&str>) -> Result<Caller, TokenTrouble> {
        let token = token.filter(|token| !token.is_empty()).ok_or(TokenTrouble::Missing)?;
        if let Some(caller) = self.0.borrow().get(token) {
            return Ok(caller.clone());
        }
        let caller = signer.check(token, TokenType::Access)?;
        let mut known = self.0.borrow_mut();
        if known.len() >= KNOWN_MAX {
            // Rare enough that starting anew is cheaper than keeping an order.
            known.clear();
        }
        known.insert(token.into(), caller.clone());
        Ok(caller)
    }
}

/// The bearer token of a REST request.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The 401 of a token that makes no caller.
pub(super) fn refusal(trouble: TokenTrouble) -> ApiError {
    match trouble {
        TokenTrouble::Expired => ApiError::EXPIRED_TOKEN,
        TokenTrouble::Missing | TokenTrouble::Invalid => ApiError::INVALID_TOKEN,
    }
}

const KNOWN_MAX: usize = 16 * 1024;
