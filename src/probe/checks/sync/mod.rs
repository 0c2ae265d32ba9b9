//! "Reconnect strategy" and "Stream-position tracking": what a client that follows them to the letter gets.
//!
//! Each check publishes a few events of its own in [`TALK`] and reads them back, one check at a time
//! ([`Path::floor`]): what it reads is then what it made. What is live gathers, what is pure judges.

mod ask;
pub(super) mod bridge;
mod missing;
mod order;
pub(super) mod pages;
pub(super) mod poll;
pub(super) mod positions;
mod publishing;
pub(super) mod seam;

use std::time::Duration;

use crate::probe::path::{BRIDGER, HEARER, KEEPER, KEYHOLDER, Path, SPEAKER, TALK};

pub(super) use ask::{Page, Refusal, Row, read, walk};
pub(super) use bridge::greeted;
pub(super) use publishing::{anchor, spacing};

use ask::{History, Walk, page, walk_to};
use publishing::{Base, Run, name};

/// Events of one page, where nothing else is asked for (documented default).
pub(super) const LIMIT: u32 = 100;

/// The identity that bridges: its streams are its own.
pub(super) fn bridger(path: &Path) -> u32 {
    if path.has(BRIDGER) { BRIDGER } else { HEARER }
}

/// Up to `count` members of the room who publish: neither the one who bridges, nor one whose token another check spoils or
/// lets run out; those that no other check needs come first.
pub(super) fn publishers(path: &Path, count: usize) -> Vec<u32> {
    let taken = [bridger(path), KEYHOLDER, KEEPER];
    let others = path.provokers().into_iter().filter(|client| !taken.contains(client));
    let (free, needed): (Vec<u32>, Vec<u32>) = others.partition(|&client| client > KEEPER);
    let mut all = [free, needed].concat();
    all.truncate(count);
    if all.is_empty() { vec![SPEAKER] } else { all }
}

/// The room that all of this is in.
const ROOM: u32 = TALK;

/// Milliseconds to a tenth, for evidence.
pub(super) fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
