//! Ids: drawn from the seed, so that a simulation gives the same ones again.

use rand::Rng as _;
use uuid::{Builder, Uuid};

use crate::seed::{Seed, Stream};
use crate::wire::id_hash;

/// A source of ids; which id comes next depends on the seed and on how many were drawn.
#[derive(Debug)]
pub(super) struct Ids {
    seed: Seed,
    stream: Stream,
}

impl Ids {
    pub(super) fn new(seed: Seed) -> Self {
        Self { seed, stream: seed.stream("target-ids", [0; 3]) }
    }

    /// A fresh id.
    pub(super) fn uuid(&mut self) -> Uuid {
        uuid_from(&mut self.stream)
    }

    /// The id of a tenant follows from its name alone. It is never the name itself: the documentation's own
    /// samples show different ids in the JWT claim and in what `register` answers.
    pub(super) fn of_tenant(&self, name: &str) -> Uuid {
        uuid_from(&mut self.seed.stream("target-tenant", [id_hash(name), 0, 0]))
    }
}

fn uuid_from(stream: &mut Stream) -> Uuid {
    let mut bytes = [0; 16];
    stream.fill_bytes(&mut bytes);
    Builder::from_random_bytes(bytes).into_uuid()
}
