//! What can be asked of a path, by the line of the page that it answers.

use std::fmt;

use serde::{Serialize, Serializer};

/// One question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// Do quiet streams drop, and by whose rule?
    Drops,
    /// Do streams go silent without an end?
    Silence,
    /// Are good tokens taken, wrong ones refused with 4001, clocks together, refreshes answered?
    Token,
    /// Is a client that answers no ping closed with 4003?
    PingTimeout,
    /// Is the older of two streams of one token closed with 4003?
    Duplicate,
    /// Does hello name the tenant that the identity is registered in?
    Tenant,
    /// Are publishes refused?
    RateLimit,
    /// Do events reach every stream?
    Deaf,
    /// How soon does hello come, and how regularly pings?
    Pings,
    /// Which documented metrics are exposed, and what do they say?
    Metrics,
}

impl Check {
    /// All of them, in the order of the page.
    pub const ALL: &[Self] = &[
        Self::Drops,
        Self::Silence,
        Self::Token,
        Self::PingTimeout,
        Self::Duplicate,
        Self::Tenant,
        Self::RateLimit,
        Self::Deaf,
        Self::Pings,
        Self::Metrics,
    ];

    /// As the command line names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Drops => "drops",
            Self::Silence => "silence",
            Self::Token => "token",
            Self::PingTimeout => "ping-timeout",
            Self::Duplicate => "duplicate",
            Self::Tenant => "tenant",
            Self::RateLimit => "rate-limit",
            Self::Deaf => "deaf",
            Self::Pings => "pings",
            Self::Metrics => "metrics",
        }
    }

    /// The check of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|check| check.name() == name)
    }

    /// The line of the page that it answers.
    pub fn page(self) -> &'static str {
        match self {
            Self::Drops => "Connects, drops every few seconds",
            Self::Silence => "Drops without close frame",
            Self::Token => "Close frame with code 4001",
            Self::PingTimeout => "Close frame with code 4003: ping_timeout",
            Self::Duplicate => "Close frame with code 4003: duplicate_connection",
            Self::Tenant => "Connects fine but no events arrive: wrong tenant scope",
            Self::RateLimit => "Connects fine but no events arrive: rate limit",
            Self::Deaf => "Connects fine but no events arrive: ws.fanout_failed",
            Self::Pings => "ScaiWave pings every 30s",
            Self::Metrics => "Where to look: metrics",
        }
    }

    /// It can say nothing without the vigil; others add what they see in it.
    pub(super) fn needs_vigil(self) -> bool {
        matches!(
            self,
            Self::Drops | Self::Silence | Self::PingTimeout | Self::Tenant | Self::Deaf | Self::Pings
        )
    }

    /// It would spoil what others see, and comes after them.
    pub(super) fn disturbs(self) -> bool {
        matches!(self, Self::RateLimit)
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_listed_once_and_found_by_its_name() {
        let mut all = Check::ALL.to_vec();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), Check::ALL.len());
        for &check in Check::ALL {
            assert_eq!(Check::named(check.name()), Some(check));
        }
        assert_eq!(Check::named("drop"), None);
    }
}
