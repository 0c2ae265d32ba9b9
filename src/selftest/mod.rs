//! Does the harness find what is planted, exactly, and nothing else?
//!
//! [`rows()`] is the table of all defects: a small run each, and what must be reported of it. [`Row::simulate`] plays
//! one in virtual time (pure), [`sockets::play`] several at a time over sockets, and a [`Matrix`] holds both against
//! what the target knows that it did.

mod evidence;
mod matrix;
mod reported;
mod rows;
#[cfg(feature = "live")]
pub mod sockets;

pub use evidence::Evidence;
pub use matrix::{Line, Matrix, Meaning};
pub use reported::{Reported, reported};
pub use rows::rows;

use serde::Serialize;

use crate::profile::{self, BridgeOrder, Override, Profile, ProfileError};
use crate::simulator::{SimulationError, simulate};
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
    /// It may be there as well.
    Any,
}

/// What became of one key of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// The key.
    pub key: String,
    /// How much should be reported.
    pub planted: u64,
    /// That much or more: the plan alone does not say.
    pub at_least: bool,
    /// How much was.
    pub reported: u64,
    /// How much is reported of the same plan in virtual time; of what is not comparable, nothing.
    pub in_virtual_time: Option<u64>,
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
[objectives]
missed_after_bridging = "= 0"
stream_omitted = "= 0"
lost_by_server = "= 0"
duplicate = "= 0"
out_of_order = "= 0"
unexpected = "= 0"
leaked = "= 0"
leaked_room = "= 0"
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

    /// Whether all that is planted is planted by coordinates, so that it comes out the same in every engine.
    pub fn is_deterministic(&self) -> bool {
        self.profile().is_ok_and(|profile| profile.faults.iter().all(|fault| fault.kind.is_by_coordinates()))
    }

    /// Plays it in virtual time.
    ///
    /// # Errors
    /// The simulation came to no end; that is a defect of ours.
    pub fn simulate(&self) -> Result<Evidence, SimulationError> {
        let profile = self.profile().expect("the table is ours, and tests read it");
        simulate(&profile).map(|run| Evidence::of_simulation(&profile, run))
    }

    /// Holds what was reported against what was planted: first what is expected, then what should not be there.
    pub fn judge(&self, evidence: &Evidence) -> Vec<Cell> {
        let Evidence { summary, truth, .. } = evidence;
        let reported = reported(summary);
        let seam = self.seam(truth);
        let mut cells: Vec<Cell> = self
            .expected
            .iter()
            .filter_map(|&(key, count)| {
                let beside = if key == "recoverable" { seam } else { 0 };
                count.cell(key, reported.get(key), beside, evidence)
            })
            .collect();
        let expected = |key: &str| self.expected.iter().any(|(expected, _)| *expected == key);
        for (key, found) in reported.guilty().filter(|(key, _)| !expected(key)) {
            let planted = if matches!(key, "missed_in_seam" | "recoverable") { seam } else { 0 };
            cells.push(Cell::new(key, planted, found, found == planted));
        }
        if seam > 0 && !expected("missed_in_seam") && reported.get("missed_in_seam") == 0 {
            cells.push(Cell::new("missed_in_seam", seam, 0, false));
        }
        cells.extend(evidence.findings_astray());
        cells
    }

    /// What the client's own order of reconnecting passed over, whether that was planted or an accident of timing: the
    /// target knows it to the unit.
    fn seam(&self, truth: &Truth) -> u64 {
        let documented = |profile: Profile| profile.client.bridge == BridgeOrder::SyncFirst;
        if self.profile().is_ok_and(documented) { truth.in_seam } else { 0 }
    }
}

impl Cell {
    fn new(key: &str, planted: u64, reported: u64, exact: bool) -> Self {
        Self { key: key.to_owned(), planted, at_least: false, reported, in_virtual_time: None, exact }
    }
}

impl Count {
    /// How much there should be, `beside` included, and whether this is it; none for what may as well not be there.
    /// What is planted and never comes about is not right either: a row that plants nothing shows nothing.
    fn cell(self, key: &str, found: u64, beside: u64, evidence: &Evidence) -> Option<Cell> {
        let Evidence { summary, truth, .. } = evidence;
        let planted = match self {
            Self::Done(deed) => truth.count(deed),
            Self::Truth(of) => of(truth),
            Self::Hit(fault) => summary.faults.get(fault).and_then(|fault| fault.affected).unwrap_or(0),
            Self::Exactly(count) => return Some(Cell::new(key, count, found, found == count)),
            Self::AtLeast(count) => {
                return Some(Cell { at_least: true, ..Cell::new(key, count, found, found >= count) });
            }
            Self::Any => return None,
        };
        let wanted = planted + beside;
        Some(Cell::new(key, wanted, found, planted > 0 && found == wanted))
    }
}
