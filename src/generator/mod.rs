//! What is published and how fast: open loop. Event n is due when the timetable says, whatever the server does.

pub mod pace;
mod payload;
mod publishing;
mod queue;
mod sync_load;

pub use payload::payload_size;
pub use publishing::{Ended, Outcome, Publishing};
pub use queue::{Due, Queue};
pub use sync_load::SyncLoad;
