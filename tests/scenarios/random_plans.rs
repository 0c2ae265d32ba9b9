//! Random plans: the ledger must count what an omniscient oracle counts.
//!
//! Every plan follows from one number. In CI a bounded number of them is played; more are played by hand:
//!
//! ```text
//! WAVESOAK_SEED=0 WAVESOAK_PLANS=100000 WAVESOAK_THREADS=2 \
//!     cargo test --release --test scenarios random_plans -- --nocapture
//! ```
//!
//! A disagreement prints the number, what differs, the command that repeats it, and a plan made small, as a profile.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Mutex;

use wavesoak::collector::collected::{Deliveries, sum};
use wavesoak::profile::{FaultKind, Profile};

use crate::asked::{asked, over_numbers, say};
use crate::compare::{Played, counts, disagreements, played};
use crate::random_profile::random_profile;
use crate::shrink::shrink;

/// Plans played where nothing else is asked for.
const PLANS: u64 = 2_000;
/// Plans that the shrinker plays at most.
const TRIES: u32 = 3_000;
/// Disagreements that are shrunk and shown.
const SHOWN: usize = 3;
/// Disagreements that are told apart by what differs.
const TALLIED: usize = 1_000;

#[test]
fn random_plans() {
    let first = asked("WAVESOAK_SEED").unwrap_or(0);
    let plans = asked("WAVESOAK_PLANS").unwrap_or(PLANS);
    let threads = asked("WAVESOAK_THREADS").unwrap_or(1);
    let numbers = first..first + plans;
    let totals = Mutex::new(Totals::default());
    let (failed, took) = over_numbers(numbers.clone(), threads, |number| {
        let profile = random_profile(number);
        let played = played(&profile);
        totals.lock().expect("no player panics").add(&profile, &played);
        !played.wrong.is_empty()
    });
    let (count, totals) = (failed.len(), totals.into_inner().expect("no player panics"));
    say(&format!(
        "random plans: {plans} plans, {count} disagreements, {totals}, seeds {numbers:?}, {took:.1?}"
    ));
    tally(&failed);
    for &number in failed.iter().take(SHOWN) {
        show(number);
    }
    assert!(failed.is_empty(), "the ledger and the oracle disagree on the plans {failed:?}");
    if plans >= PLANS {
        assert_eq!(totals.never(), NEVER, "a class that no plan leads to is a class that no plan judges");
    }
}

/// Classes that no fault leads to: messages of other people.
const NEVER: [&str; 1] = ["foreign"];

/// What all plans came to.
#[derive(Debug, Default)]
struct Totals {
    counted: Deliveries,
    faults: u64,
    kinds: BTreeSet<&'static str>,
    at_bounds: u64,
}

impl Totals {
    fn add(&mut self, profile: &Profile, played: &Played) {
        self.counted = sum(&[self.counted, played.counted]);
        self.faults += profile.faults.len() as u64;
        self.kinds.extend(profile.faults.iter().map(|fault| fault.kind.name()));
        self.at_bounds += u64::from(played.at_bounds);
    }

    /// Classes of which not one was counted.
    fn never(&self) -> Vec<String> {
        let counts = counts(&self.counted).into_iter();
        counts.filter(|(_, count)| count.as_u64() == Some(0)).map(|(name, _)| name).collect()
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kinds, faults, at_bounds) = (self.kinds.len(), self.faults, self.at_bounds);
        write!(to, "{faults} faults of {kinds} kinds, {at_bounds} plans at a bound of the ledger, counted:")?;
        counts(&self.counted).iter().try_for_each(|(name, count)| write!(to, " {name} {count}"))
    }
}

/// What the plans that disagree disagree in, with the plans of each.
fn tally(failed: &[u64]) {
    let mut plans: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for &number in failed.iter().take(TALLIED) {
        let kinds: BTreeSet<String> = kinds(&disagreements(&random_profile(number))).into_iter().collect();
        plans.entry(kinds.into_iter().collect::<Vec<_>>().join(", ")).or_default().push(number);
    }
    for (kinds, numbers) in plans {
        println!("{kinds}: {} plans, as {:?}", numbers.len(), &numbers[..numbers.len().min(8)]);
    }
}

fn show(number: u64) {
    let profile = random_profile(number);
    let wrong = disagreements(&profile);
    println!("\nplan {number} disagrees:\n  {}", wrong.join("\n  "));
    println!(
        "repeat with: WAVESOAK_SEED={number} WAVESOAK_PLANS=1 cargo test --release --test scenarios random_plans -- --nocapture"
    );
    let kinds = kinds(&wrong);
    let small = shrink(&profile, TRIES, |smaller: &Profile| {
        let still = self::kinds(&disagreements(smaller));
        !still.is_empty() && still.iter().any(|kind| kinds.contains(kind))
    });
    println!("made small:\n  {}\n{}", disagreements(&small).join("\n  "), short(&small));
}

/// What differs, without the numbers: a smaller plan must fail in the same way.
fn kinds(wrong: &[String]) -> Vec<String> {
    let kind = |line: &String| line.split(": ").nth(1).unwrap_or(line).to_owned();
    let mut kinds: Vec<String> = wrong.iter().filter(|line| line.starts_with("tenant")).map(kind).collect();
    if kinds.is_empty() {
        kinds = wrong.iter().map(|line| line.split(':').next().unwrap_or(line).to_owned()).collect();
    }
    kinds
}

/// The profile without what it shares with one that says nothing.
fn short(profile: &Profile) -> toml::Table {
    let nothing = "name = \"x\"\n[[phase]]\nname = \"x\"\nduration = \"1s\"\nclients = \"100%\"\n";
    let plain: toml::Table = crate::play::parse(nothing).to_toml().parse().expect("its own text");
    let mut table: toml::Table = profile.to_toml().parse().expect("its own text");
    drop_equal(&mut table, &plain);
    table
}

fn drop_equal(table: &mut toml::Table, plain: &toml::Table) {
    table.retain(|key, value| match (value, plain.get(key)) {
        (toml::Value::Table(inner), Some(toml::Value::Table(plain))) => {
            drop_equal(inner, plain);
            !inner.is_empty()
        }
        (value, plain) => Some(&*value) != plain,
    });
}

#[test]
fn every_kind_of_fault_is_drawn() {
    // A command reaches nothing in virtual time.
    let drawn: BTreeSet<&str> =
        (0..PLANS).flat_map(|number| random_profile(number).faults).map(|fault| fault.kind.name()).collect();
    let missing: Vec<_> =
        FaultKind::NAMES.iter().filter(|name| **name != "exec" && !drawn.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_random_profile_is_one_that_its_own_text_brings_back() {
    for number in 0..300 {
        let profile = random_profile(number);
        assert_eq!(crate::play::parse(&profile.to_toml()), profile, "plan {number}");
        assert_eq!(crate::play::parse(&short(&profile).to_string()), profile, "plan {number}");
    }
}
