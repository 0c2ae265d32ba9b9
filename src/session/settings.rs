//! What is the same for all clients of a run.

use std::time::Duration;

use crate::profile;
use crate::wire::id_hash;

/// Shared by all sessions, so that each of them stays small.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `[client]` of the profile.
    pub client: profile::Client,
    /// Id of the run, as it stands in a stamp; a message with another one is foreign.
    pub run: Box<str>,
    /// The run only listens: arrivals say of which room they are.
    pub observe: bool,
}

impl Settings {
    /// For the run with this id.
    pub fn new(client: profile::Client, run: impl Into<Box<str>>) -> Self {
        Self { client, run: run.into(), observe: false }
    }

    /// For a run that publishes nothing.
    #[must_use]
    pub fn observing(self, observe: bool) -> Self {
        Self { observe, ..self }
    }

    /// What an arrival says of its room.
    pub(super) fn room_of(&self, room_id: Option<&str>) -> u64 {
        room_id.filter(|_| self.observe).map_or(0, id_hash)
    }
}

/// A hello later than this is slow (documented: within about 2 s).
pub(super) const HELLO_SLOW: Duration = Duration::from_secs(2);

/// The stream is tried at most this often while offline (ours).
pub(super) const PROBE_SPACING: Duration = Duration::from_secs(30);

/// Two requests for the same page are at least this far apart when the first one made no progress (ours).
pub(super) const EQUAL_REQUEST_SPACING: Duration = Duration::from_secs(1);

/// A server that asks not to be asked for longer than this is asked all the same (ours).
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// Refused tokens in a row after which an identity stops (ours).
pub(super) const TOKENS_REFUSED_MAX: u8 = 3;

/// Texts of a hello are cut at this many bytes.
pub(super) const TEXT_MAX: usize = 128;

/// Entries of one page that are no events are told one by one up to this number, the documented highest `limit`.
pub(super) const MALFORMED_MAX: u32 = 500;
