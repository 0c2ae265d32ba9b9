//! What is drawn, and how bad the server of a history is.

use rand::RngExt as _;
use wavesoak::seed::{Seed, Stream};

pub(super) struct Draw(Stream);

impl Draw {
    pub(super) fn of(number: u64) -> Self {
        Self(Seed(number).stream("random history", [0; 3]))
    }

    pub(super) fn below(&mut self, end: u32) -> u32 {
        self.0.random_range(0..end.max(1))
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.0.random_range(0..of.len())]
    }

    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.0.random::<f64>() < share
    }
}

/// How often each thing goes wrong.
#[derive(Debug)]
pub(super) struct Mischief {
    /// A frame is lost.
    pub(super) lost: f64,
    /// A frame comes again, on this connection or a later one.
    pub(super) again: f64,
    /// A frame overtakes others, or waits.
    pub(super) shuffled: f64,
    /// A frame goes to somebody else.
    pub(super) astray: f64,
    /// A page leaves an event out.
    pub(super) hole: f64,
    /// A page repeats, or brings what is old.
    pub(super) old: f64,
    /// A cursor is not that of the last event.
    pub(super) cursor: f64,
    /// An answer to a publish is not what was done.
    pub(super) answer: f64,
    /// An event is stored again under another id.
    pub(super) double: f64,
    /// A message says less than it should: no stamp, no position, no id.
    pub(super) mute: f64,
    /// An acknowledgement or a message has no position.
    pub(super) unplaced: f64,
    /// A frame is read late by the harness's own doing.
    pub(super) late: f64,
}

impl Mischief {
    pub(super) fn of(draw: &mut Draw) -> Self {
        let rarely = draw.chance(0.1);
        let mut level = || draw.pick(&[0.0, 0.0, 0.05, 0.4]);
        Self {
            lost: level(),
            again: level(),
            shuffled: level(),
            astray: level(),
            hole: level(),
            old: level(),
            cursor: level(),
            answer: level(),
            double: level(),
            mute: level(),
            unplaced: if rarely { level() } else { 0.0 },
            late: level(),
        }
    }
}
