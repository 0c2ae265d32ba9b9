//! Who does what when: arithmetic from profile, seed and shard alone.
//!
//! All times here are **plan time**: the time since the first phase began. Whoever plays the plan adds its origin.

pub mod load;
pub mod population;
pub mod timeline;
pub mod timetable;

pub use load::Load;
pub use population::Population;
pub use timeline::{Change, Timeline};
pub use timetable::{Timetable, Visit};

use crate::profile::Profile;
use crate::seed::Seed;

/// One stripe of a run: number `index` of `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    pub index: u32,
    /// At least 1.
    pub count: u32,
}

impl Shard {
    /// The whole run.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Whether this stripe plays the client.
    pub fn has_client(self, client: u32) -> bool {
        client % self.count == self.index
    }

    /// Whether this stripe publishes the room's events.
    pub fn has_room(self, room: u32) -> bool {
        room % self.count == self.index
    }
}

/// A whole plan; cheap to make, nothing in it is as long as the run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who exists.
    pub population: Population,
    /// Who is there when.
    pub timeline: Timeline,
    /// What is published when.
    pub timetable: Timetable,
    /// The stripe.
    pub shard: Shard,
    /// The seed.
    pub seed: Seed,
}

impl Plan {
    /// From a resolved profile.
    pub fn new(profile: &Profile, shard: Shard) -> Self {
        let seed = Seed(profile.seed);
        let population = Population::new(&profile.population);
        let timeline = Timeline::new(&profile.phases);
        let timetable = Timetable::new(profile, &population, seed);
        Self { population, timeline, timetable, shard, seed }
    }
}
