//! One struct, many renderings; the run directory.

mod info;
mod remarks;
#[cfg(feature = "live")]
pub mod run;
#[cfg(test)]
pub(crate) mod sample;
pub mod summary;

pub use info::RunInfo;
pub use summary::Summary;
