//! Before the first client: can this machine hold the run, and is there a ScaiWave that may be loaded?

mod machine;
mod target;

pub(crate) use machine::{AUDIT_CONNECTIONS, SEND_CONNECTIONS};
pub use machine::{Holding, Machine, MachineError, Process, hold, raise_descriptor_limit};
pub use target::{TargetError, inspect};
