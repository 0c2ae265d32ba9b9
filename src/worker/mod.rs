//! One stripe of a run, and what starts, merges and judges the stripes.

pub mod conductor;
#[cfg(feature = "live")]
pub mod coordinator;
