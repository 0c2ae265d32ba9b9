//! What a report says about the run itself.

use std::time::Duration;

use uuid::Uuid;

use crate::profile::Profile;

/// Which run this is. All but `duration` and `finished` is known before the first client starts.
#[derive(Clone, Debug, PartialEq)]
pub struct RunInfo {
    /// Fresh for every run.
    pub run_id: Uuid,
    /// Name of the profile.
    pub profile: String,
    /// Its seed.
    pub seed: u64,
    /// This stripe of how many: "1/1".
    pub shard: String,
    /// UTC; the origin of every [`crate::time::Timestamp`] of the run.
    pub started_at: jiff::Timestamp,
    /// From `started_at` to now.
    pub duration: Duration,
    /// The run is over, or was cut short in good order: its books are closed and must balance. Until then
    /// publishes are under way and gaps are open.
    pub finished: bool,
    /// "embedded", or the host (and port) of the deployment; never a URL, which may hold a secret.
    pub target: String,
    /// Of wavesoak.
    pub version: String,
}

impl RunInfo {
    /// For a run of this profile that begins now, on one machine.
    pub fn new(profile: &Profile, run_id: Uuid, started_at: jiff::Timestamp) -> Self {
        Self {
            run_id,
            profile: profile.name.clone(),
            seed: profile.seed,
            shard: "1/1".to_owned(),
            started_at,
            duration: Duration::ZERO,
            finished: false,
            target: Self::target_of(profile),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// What a report calls the profile's target.
    pub fn target_of(profile: &Profile) -> String {
        profile.target.url.as_deref().map_or("embedded", authority).to_owned()
    }

    /// The UTC time of a moment of the run, as the artefacts write it: RFC 3339 with milliseconds.
    pub fn utc(&self, at: crate::time::Timestamp) -> String {
        let since = jiff::SignedDuration::try_from(Duration::from_nanos(at.as_nanos())).unwrap_or_default();
        self.started_at.checked_add(since).map_or_else(|_| String::new(), |time| format!("{time:.3}"))
    }
}

/// Host and port of a URL: what stands between `//` and the next `/`, `?` or `#`, without user information.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_described_by_its_host_alone() {
        for (url, host) in [
            ("https://chat.example.com/base", "chat.example.com"),
            ("http://user:pass@127.0.0.1:8080?token=x", "127.0.0.1:8080"),
            ("wss://chat.example.com?token=x", "chat.example.com"),
        ] {
            assert_eq!(authority(url), host);
        }
    }
}
