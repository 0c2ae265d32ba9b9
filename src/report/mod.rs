//! One struct, many renderings; the run directory.

#[cfg(feature = "live")]
pub mod chart;
#[cfg(feature = "live")]
pub mod comparison;
#[cfg(feature = "live")]
pub mod directory;
mod info;
#[cfg(feature = "live")]
pub mod junit;
#[cfg(feature = "live")]
pub mod lb_timeout;
pub mod markdown;
mod remarks;
#[cfg(feature = "live")]
pub mod run;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod sheet;
#[cfg(feature = "live")]
pub mod side_by_side;
#[cfg(feature = "live")]
pub mod sizing;
pub mod storms;
pub mod summary;
#[cfg(feature = "live")]
pub mod terminal;

pub use info::RunInfo;
pub use summary::Summary;
