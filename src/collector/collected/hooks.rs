//! What the commands of a run came to.

use serde::{Deserialize, Serialize};

/// One of `hooks` of the summary: a command of a fault of kind `exec`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HookRecord {
    /// Name of the fault.
    pub fault: String,
    /// It takes back what another one did.
    pub undo: bool,
    /// How it ended.
    pub end: HookEnd,
    /// Its exit status; `None`: it has none.
    pub exit: Option<i32>,
    /// How long it took.
    pub took_s: f64,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookEnd {
    /// With exit status 0.
    Done,
    /// With another one, or by a signal.
    Failed,
    /// It took too long and was killed.
    TimedOut,
    /// It did not start.
    NotStarted,
}
