//! The JSON log lines of a pod (seed: `ws.connect`, `ws.disconnect` with its `reason`, `ws.fanout_failed`).

use serde::Serialize;
use uuid::Uuid;

/// One line. It carries ids only, never a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// What happened.
    pub event: LogEvent,
    /// Unix time, ms.
    pub at_unix_ms: u64,
    /// Number of the pod as in `pod-1`.
    pub pod: u32,
    /// The tenant; unknown when the token was refused.
    pub tenant_id: Option<Uuid>,
    /// The participant; unknown when the token was refused.
    pub participant_id: Option<Uuid>,
    /// The connection, as in its hello.
    pub session_id: Option<Uuid>,
    /// Why.
    pub reason: Option<&'static str>,
}

impl LogLine {
    /// The line's JSON, without its newline.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("ids and numbers always serialise")
    }
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum LogEvent {
    /// A stream said hello.
    #[serde(rename = "ws.connect")]
    Connect,
    /// A stream ended; `reason` says why.
    #[serde(rename = "ws.disconnect")]
    Disconnect,
    /// An event did not reach a socket.
    #[serde(rename = "ws.fanout_failed")]
    FanoutFailed,
}

/// `reason` of a socket closed for missed pongs (seed).
pub(super) const PING_TIMEOUT: &str = "ping_timeout";
/// `reason` of a socket closed because its token signed in again (seed).
pub(super) const DUPLICATE_CONNECTION: &str = "duplicate_connection";
/// `reason` of a refused token (ours).
pub(super) const INVALID_TOKEN: &str = "invalid_token";
/// `reason` of an expired token (ours).
pub(super) const EXPIRED_TOKEN: &str = "expired_token";
/// `reason` of a socket that its client ended (ours).
pub(super) const CLIENT_GONE: &str = "client_gone";
/// `reason` of a socket closed by a planted fault (ours).
pub(super) const PLANTED: &str = "planted";
/// `reason` of a socket dropped by a pod that does not have its session (ours).
pub(super) const SESSION_MISSING: &str = "session_missing";
/// `reason` of an event that did not find its way to a socket (ours).
pub(super) const NOT_FANNED_OUT: &str = "not_fanned_out";
/// `reason` of an event that found the send queue full (ours).
pub(super) const QUEUE_FULL: &str = "queue_full";
