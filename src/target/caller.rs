//! Who calls: what a token says once its signature has been checked.

use std::sync::Arc;

use crate::time::Timestamp;

/// The bearer of a token. The signature was checked by whoever made this; the rules (expiry, refused
/// identities) are the [`super::Backend`]'s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The `tenant_id` claim: the tenant's *name*, not the id that `register` answers.
    pub tenant: Arc<str>,
    /// The `sub` claim.
    pub username: Arc<str>,
    /// Stands for the very token: its `jti`, hashed. The same token twice is a duplicate connection.
    pub token_id: u64,
    /// The token is good before this.
    pub expires: Timestamp,
}

/// What is wrong with a token that makes no [`Caller`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenTrouble {
    /// None was given.
    Missing,
    /// Not a token of ours.
    Invalid,
    /// Ours, of an earlier day.
    Expired,
}
