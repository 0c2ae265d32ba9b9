//! What the one who starts the tests asks for, how many and from where, and is told.

use std::io::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A number from the environment.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment how long to go on")]
pub(crate) fn asked(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} = {text:?} is not a number")))
}

/// Says something that is seen also when the test passes.
pub(crate) fn say(line: &str) {
    // Nobody to tell it to is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Calls `play` for each of these numbers, on so many threads: the numbers for which it said so, ascending, and how
/// long that took.
#[expect(clippy::disallowed_methods, reason = "how long it took is told to people, and decides nothing")]
pub(crate) fn over_numbers(
    numbers: Range<u64>,
    threads: u64,
    play: impl Fn(u64) -> bool + Sync,
) -> (Vec<u64>, Duration) {
    let began = Instant::now();
    let next = AtomicU64::new(numbers.start);
    let play = || {
        let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < numbers.end);
        std::iter::from_fn(take).filter(|&number| play(number)).collect::<Vec<u64>>()
    };
    let mut found: Vec<u64> = std::thread::scope(|scope| {
        let players: Vec<_> = (0..threads.clamp(1, 64)).map(|_| scope.spawn(play)).collect();
        players.into_iter().flat_map(|player| player.join().expect("a player does not panic")).collect()
    });
    found.sort_unstable();
    (found, began.elapsed())
}
