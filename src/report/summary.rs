//! `summary.json`.

use serde::{Deserialize, Serialize};

/// `summary.json`, version 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// `wavesoak.summary/1`
    pub schema: String,
}
