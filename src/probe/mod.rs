//! `wavesoak probe`: the page "WebSocket keeps disconnecting" as a tool. Each line of it is a [`Check`] of a live path,
//! and each says what it found, by which evidence, and what the page advises.
//!
//! ```text
//! profile ──> Path: identities signed in, two rooms, a way to ask, publish and open streams
//!               │
//!               ├──> Vigil: streams held for the listening time, each with a Tape ──┐
//!               │                                                                    ├──> Judgement a check ──> Report
//!               └──> checks that provoke something by themselves (side by side) ────┘
//! ```
//!
//! Identities come in two groups, each in a room of its own: what is published in [`TALK`](path::TALK) is heard by those who
//! provoke something, and never disturbs the streams of the vigil, whose room is [`QUIET`](path::QUIET). Everything is bounded in
//! number and time; nothing is written but what identities need (`<credentials>.tokens`), and the rooms are put away however it
//! ends ([`visit()`]).
//!
//! What the documentation leaves open is told as [`Observation`]s, in a section of its own: it is never a finding.
//!
//! To add a check: a variant of [`Check`], a file in `checks`, an arm in `checks::examine`.

pub mod ear;
pub mod path;
pub mod tape;
pub mod vigil;

mod check;
mod checks;
mod course;
mod judgement;
pub(crate) mod lifetimes;
mod met;
mod report;
mod visit;

pub use check::Check;
pub use course::{ProbeError, ProbeOptions, probe};
pub use judgement::{Finding, Judgement, Observation, Outcome};
pub use report::{CheckReport, Report, Sent};

pub(crate) use checks::drops;
pub(crate) use course::profile_for;
pub(crate) use report::secs;
pub(crate) use tape::ending_words;
pub(crate) use visit::visit;
