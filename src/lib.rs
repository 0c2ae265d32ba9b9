//! wavesoak: a load-testing and soak harness for ScaiWave that accounts, exactly, for every event owed
//! to every client.
//!
//! ```text
//! profile ──> plan ──> session ──> collector ──> verdict ──> report
//!               │        ▲ │
//!          generator     │ └─ Action:  connect, pong, close, sync, refresh
//!                        └─── Input:   opened, frame, closed, synced, refreshed, timer, order
//!            session is driven by  driver     (tokio, sockets, real time)
//!                             or   simulator  (event queue, virtual time)
//!            both against          target     (pods + balancer + event log + planted faults)
//! ```
//!
//! # Invariants
//!
//! 1. `session`, `positions`, `plan`, `generator`, `collector`, `worker::conductor` and everything in `target` but its
//!    server never read a clock, a socket, a file or ambient randomness: `now` is an argument.
//! 2. A [`session::Session`] is fed by `handle(now, Input)` and drained by `poll()` until empty.
//! 3. Same profile + seed + shard = same plan, byte for byte. Equal times are ordered by sequence number.
//! 4. The collector knows observations, not sessions. Report knows the collected struct, not the collector.
//!    `driver` and `simulator` do not know each other.
//! 5. Everything is bounded, with a stated limit and a counter for what was refused.
//! 6. Samples are never invented, clamped or silently skipped.
//! 7. "Don't know" is a result of its own: never printed green, never counted as zero.
//! 8. A fault is a small value with one verb; the target keeps the truth of what it did.
//! 9. Secrets have a type that prints as `***`; no artefact of a run contains one.
//!
//! # Modules, in flow order

pub mod profile;

pub mod plan;

pub mod generator;

pub mod session;

pub mod positions;

pub mod wire;

pub mod collector;

pub mod worker;

#[cfg(feature = "live")]
pub mod driver;

pub mod simulator;

pub mod target;

pub mod verdict;

pub mod report;

#[cfg(feature = "live")]
pub mod probe;

pub mod selftest;

pub mod sizing;

#[cfg(feature = "live")]
pub mod cli;

pub mod secret;
pub mod seed;
pub mod time;
