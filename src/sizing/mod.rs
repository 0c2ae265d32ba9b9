//! How many pods a load needs, with evidence: what each number of pods carries is searched for, run by run, and what
//! larger numbers would carry is said only as far as those runs bear it.
//!
//! ```text
//! profile ──> Goal: connections, sync pages/s, handshakes/s, deliveries/s of the load that is asked about
//!    │
//!    └──> for each pod count and Resource: Search ──load──> step ──profile──> a whole run ──verdict──┐
//!                                             ▲                                                       │
//!                                             └───────────── passed, failed, inconclusive ────────────┘
//!         what was found, by pods ──> Model (Universal Scalability Law, or the least a pod carried) ──> Answer
//!         Answer ──> Proof: the whole load, on N pods of which some die, and on N − 1
//! ```
//!
//! All but `pods`, which plays the runs, and `kept`, where they are kept, is pure.

pub mod answer;
pub mod goal;
pub mod model;
pub mod proof;
pub mod search;
pub mod step;
pub mod usl;
pub mod window;

#[cfg(feature = "live")]
mod kept;
#[cfg(feature = "live")]
pub mod pods;

pub use answer::{Answer, Survival};
pub use goal::{Goal, Resource};
pub use model::Model;
