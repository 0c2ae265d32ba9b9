//! Who does what when: arithmetic from profile, seed and shard alone.

pub mod population;

pub use population::Population;
