//! The reference ScaiWave: API pods over one shared store, a balancer in front, and planted faults.
//!
//! [`Backend`] is all of the pods as one pure state machine; the simulator drives it in virtual time, `server`
//! puts it on sockets. [`balancer`] chooses pods; `proxy` puts that on sockets. `part` is either of them as a
//! child process, `process` what starts and commands the children, `command` what `wavesoak target` does.

pub mod balancer;
pub mod config;

mod affliction;
mod backend;
mod caller;
mod capacity;
mod choice;
mod connection;
mod error;
mod event;
mod faults;
mod frame;
mod ids;
mod line;
mod log;
mod metrics;
mod page;
mod planted;
mod registry;
mod truth;

#[cfg(feature = "live")]
pub mod command;
#[cfg(feature = "live")]
pub mod credentials;
#[cfg(feature = "live")]
pub mod part;
#[cfg(feature = "live")]
pub mod process;
#[cfg(feature = "live")]
pub mod token;

#[cfg(feature = "live")]
mod clock;
#[cfg(feature = "live")]
mod proxy;
#[cfg(feature = "live")]
mod server;

pub use backend::{Backend, Contents, Created, Effect, Grant, Registered};
pub use caller::{Caller, TokenTrouble};
pub use capacity::Capacity;
pub use config::Config;
pub use connection::ConnId;
pub use error::ApiError;
pub use event::{Content, Event, Mark};
pub use frame::{Hello, Outgoing, ServerFrame};
pub use line::{LogEvent, LogLine};
pub use page::{Direction, HistoryPage, HistoryQuery, Page, SyncQuery, SyncReply, WaiterId};
pub use truth::{Deed, FaultTruth, Hit, PodTruth, Truth};
