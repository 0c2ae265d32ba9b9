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
    /// Does sync after a cut return what was missed?
    Bridge,
    /// Is `since` exclusive, and is `next_cursor` safe?
    Pages,
    /// Does `timeout=0` return at once, and how long is an empty long poll held?
    Poll,
    /// Do positions go backwards, and does an event appear below a cursor?
    Positions,
    /// How wide is the gap between a sync reply and the subscription?
    Seam,
    /// What does this deployment do where the documentation is silent?
    Undocumented,
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
        Self::Bridge,
        Self::Pages,
        Self::Poll,
        Self::Positions,
        Self::Seam,
        Self::Undocumented,
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
            Self::Bridge => "bridge",
            Self::Pages => "pages",
            Self::Poll => "poll",
            Self::Positions => "positions",
            Self::Seam => "seam",
            Self::Undocumented => "undocumented",
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
            Self::Bridge => "On reconnect: /v1/sync?since=<last_stream_position> to bridge the gap",
            Self::Pages => "On reconnect: /v1/sync, page after page",
            Self::Poll => "Don't keep the stream open across long outages: fall back to sync",
            Self::Positions => "Persist the highest stream_position you've processed",
            Self::Seam => "On reconnect: sync to bridge the gap, then resume the stream",
            Self::Undocumented => "What the documentation leaves open",
        }
    }

    /// It can say nothing without the vigil; others add what they see in it.
    pub(super) fn needs_vigil(self) -> bool {
        matches!(
            self,
            Self::Drops | Self::Silence | Self::PingTimeout | Self::Tenant | Self::Deaf | Self::Pings
        )
    }

    /// It looks at sync, and makes its own traffic in [`super::path::TALK`].
    pub(super) fn asks_sync(self) -> bool {
        matches!(
            self,
            Self::Bridge | Self::Pages | Self::Poll | Self::Positions | Self::Seam | Self::Undocumented
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
