//! Does the harness find what is planted, exactly, and nothing else? (pure)
//!
//! [`rows()`] is the table of all defects: a small run each, and what must be reported of it. Scenarios play it in
//! virtual time; the same rows can be played over sockets.

mod reported;
mod rows;

pub use reported::{Reported, reported};
pub use rows::rows;

use crate::profile::{self, Override, Profile, ProfileError};
use crate::report::Summary;
use crate::target::{Deed, Truth};

/// One defect.
#[derive(Clone, Debug)]
pub struct Row {
    /// Unique.
    pub name: &'static str,
    /// What is wrong with the server, the balancer or the network, in a few words.
    pub defect: &'static str,
    /// The `[[fault]]`s, as a profile writes them; they go behind [`Row::BASE`].
    pub faults: &'static str,
    /// What else is different, as `--set` writes it.
    pub set: &'static [&'static str],
    /// What must be reported. Whatever else a clean run does not report must not be reported either.
    pub expected: &'static [Expected],
}

/// A key of [`reported()`], and how much of it there must be.
pub type Expected = (&'static str, Count);

/// How much of something must be reported.
#[derive(Clone, Copy, Debug)]
pub enum Count {
    /// As often as the target's truth says that this was done, and at least once.
    Done(Deed),
    /// As often as this function of the truth says, and at least once.
    Truth(fn(&Truth) -> u64),
    /// As much as the fault of this index says that it hit, and at least once: of faults on the client's side, which
    /// the target knows nothing about.
    Hit(usize),
    /// So often, by the plan alone.
    Exactly(u64),
    /// So often or more, where the plan alone does not say.
    AtLeast(u64),
}

/// What became of one key of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The key.
    pub key: String,
    /// How much should be reported.
    pub planted: u64,
    /// How much was.
    pub reported: u64,
    /// That is right.
    pub exact: bool,
}

impl Row {
    /// The small run that every row is a change of: 12 clients in 2 tenants with 3 rooms each, of which every client is
    /// in 2; when everybody is live, 24 publishes a second, evenly spaced, for 6 s, then 1.5 s of silence.
    pub const BASE: &'static str = r#"
seed = 16
[target]
scrape_interval = "500ms"
[target.embedded]
pods = 2
ping_interval = "1s"
client_watchdog = "3s"
[population]
tenants = 2
clients = 12
members_per_room = 4
rooms_per_client = 2
[[phase]]
name = "ramp"
duration = "1s"
clients = "100%"
[[phase]]
name = "hold"
duration = "6s"
[[phase]]
name = "quiet"
duration = "1500ms"
rate = "0%"
[traffic]
rate = "24/s"
start = "all-live"
arrivals = "even"
tenant_shares = "even"
[client]
lateness_bound = "1s"
[drain]
deadline = "60s"
"#;

    /// Its run.
    ///
    /// # Errors
    /// The row is wrong.
    pub fn profile(&self) -> Result<Profile, ProfileError> {
        let set =
            self.set.iter().map(|set| Override::parse(set).expect("the table is ours, and tests read it"));
        let set: Vec<Override> = set.collect();
        let text = format!("name = \"{}\"\n{}{}", self.name, Self::BASE, self.faults);
        Ok(profile::parse(&text, self.name, &set)?.profile)
    }

    /// Holds what was reported against what was planted: first what is expected, then what should not be there.
    pub fn judge(&self, summary: &Summary, truth: &Truth) -> Vec<Cell> {
        let reported = reported(summary);
        let expected = self.expected.iter().map(|&(key, count)| {
            let found = reported.get(key);
            let (planted, exact) = count.holds(found, summary, truth);
            Cell { key: key.to_owned(), planted, reported: found, exact }
        });
        let beside = |key: &&str| self.expected.iter().all(|(expected, _)| expected != key);
        let stray = reported.guilty().filter(|(key, _)| beside(key));
        let stray =
            stray.map(|(key, found)| Cell { key: key.to_owned(), planted: 0, reported: found, exact: false });
        expected.chain(stray).collect()
    }
}

impl Count {
    /// How much there should be, and whether this is it. What is planted and never comes about is not right either: a
    /// row that plants nothing shows nothing.
    fn holds(self, found: u64, summary: &Summary, truth: &Truth) -> (u64, bool) {
        let planted = match self {
            Self::Done(deed) => truth.count(deed),
            Self::Truth(of) => of(truth),
            Self::Hit(fault) => summary.faults.get(fault).and_then(|fault| fault.affected).unwrap_or(0),
            Self::Exactly(count) => return (count, found == count),
            Self::AtLeast(count) => return (count, found >= count),
        };
        (planted, planted > 0 && found == planted)
    }
}
