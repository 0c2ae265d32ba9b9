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
//!                      └──> its storm again, with the first retry spread and with jittered delays: what they save
//! ```
//!
//! And how long every balancer on the way must wait, by a question of its own: [`lb_timeout`]. And `storm` holds ways of
//! coming back from a reconnect storm against each other.
//!
//! All but `pods`, `prove`, `storm::play`, `run` and `kept`, which play the runs and keep them, and what measures for
//! `lb_timeout`, is pure.

pub mod answer;
pub mod goal;
#[cfg(feature = "live")]
mod judgement;
#[cfg(feature = "live")]
pub mod kept;
pub mod lb_timeout;
pub mod model;
pub mod proof;
pub mod search;
pub mod step;
pub mod storm;
pub mod usl;
pub mod window;

#[cfg(feature = "live")]
pub mod pods;
#[cfg(feature = "live")]
pub mod prove;
#[cfg(feature = "live")]
pub mod run;

pub use answer::{Answer, Survival};
pub use goal::{Goal, Resource};
pub use model::Model;
