//! The identity provider: who holds which token. Signatures belong to the wire; here a token is its rules.

use std::sync::Arc;
use std::time::Duration;

use crate::plan::Population;
use crate::session::TokenLife;
use crate::target::Caller;
use crate::time::Timestamp;

/// One identity with its newest tokens.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    tenant: Arc<str>,
    username: Arc<str>,
    access: u64,
    issued: Timestamp,
    life: Duration,
    /// Planted: the access token has expired before its time.
    spoiled: bool,
    refresh: u64,
    /// A refresh is under way: never two at once, a refresh token works once.
    pub(super) refreshing: bool,
    /// Publishes in its name that were refused for its token, and are told of when it has another: ticket, first sent.
    pub(super) refused: Vec<(u64, Option<Timestamp>)>,
}

impl Identity {
    pub(super) fn new(people: &Population, client: u32, life: Duration) -> Self {
        Self {
            tenant: people.tenant_name(people.tenant_of(client)).into(),
            username: people.username(client).into(),
            access: u64::from(client) * 2 + 1,
            issued: Timestamp::ZERO,
            life,
            spoiled: false,
            refresh: u64::from(client) * 2 + 2,
            refused: Vec::new(),
            refreshing: false,
        }
    }

    /// The access token.
    pub(super) fn caller(&self) -> Caller {
        let expires = if self.spoiled { Timestamp::ZERO } else { self.issued + self.life };
        Caller {
            tenant: self.tenant.clone(),
            username: self.username.clone(),
            token_id: self.access,
            expires,
        }
    }

    /// The refresh token; it outlives every run.
    pub(super) fn refresher(&self) -> Caller {
        Caller { token_id: self.refresh, expires: Timestamp::MAX, ..self.caller() }
    }

    pub(super) fn life(&self) -> TokenLife {
        TokenLife { issued: self.issued, life: self.life }
    }

    pub(super) fn spoil(&mut self) {
        self.spoiled = true;
    }

    pub(super) fn renewed(&mut self, now: Timestamp, access: u64, refresh: u64) {
        (self.issued, self.spoiled) = (now, false);
        (self.access, self.refresh) = (access, refresh);
    }
}
