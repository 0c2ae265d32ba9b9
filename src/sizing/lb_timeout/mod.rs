//! How long every hop on the way must wait: for the stream, and for the long polls of sync.
//!
//! ```text
//! Path ──> Vigil: streams that are quiet, that ping, that are talked to, that are mute ──> pings, silences, who ended what ──┐
//!   │                                                                                                                       ├──> judge ──> report
//!   └────> Search: long polls, round after round, of identities that hold no stream ──────> the time at which they are cut ─┘
//! ```
//!
//! Streams and polls run side by side. What listens is `measure`, what is asked there is `wavesoak probe`'s own; all else is
//! pure: which polls are held next ([`ladder`]), how one ended ([`poll`]), what follows ([`advice`], [`lines`]).

pub mod advice;
pub mod ladder;
pub mod lines;
pub mod poll;

#[cfg(feature = "live")]
pub mod judge;
#[cfg(feature = "live")]
pub mod measure;
#[cfg(feature = "live")]
pub mod streams;
