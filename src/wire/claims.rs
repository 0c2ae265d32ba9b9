//! What a development token says. Of ScaiWave's own claims only `tenant_id` is documented; the rest is ours, and the same for
//! the harness, which signs such tokens with the reference target's key, and for the target, which checks them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The claims of a token of the reference target.
#[derive(Debug, Serialize, Deserialize)]
pub struct Claims {
    /// User name.
    pub sub: Box<str>,
    /// The tenant's *name*, not the id that `register` answers.
    pub tenant_id: Box<str>,
    /// Issued at, Unix seconds.
    pub iat: u64,
    /// Good before this, Unix seconds.
    pub exp: u64,
    /// Of this very token.
    pub jti: Box<str>,
    /// What it is for.
    pub typ: TokenType,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    /// REST and stream.
    Access,
    /// Rotation.
    Refresh,
}

/// Ours: the life of a refresh token is not documented.
pub const REFRESH_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
