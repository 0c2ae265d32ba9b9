//! A profile, as a user writes it, with `--set` lines before it.

use std::time::Duration;

use wavesoak::plan::{Plan, Shard};
use wavesoak::profile::{Override, Profile, ProfileError, parse};

use super::within;

/// Lines at the beginning that start with this are `--set`s and shorthands: comments, for TOML.
const SET: &str = "#--";

/// An error is never longer: what it quotes is cut, and what it lists ends somewhere.
const ERROR_MAX: usize = 32 * 1024;

/// The input is the text.
pub fn profile(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let overrides: Vec<Override> =
        text.lines().map_while(|line| line.strip_prefix(SET)).filter_map(change).collect();
    // The tree of the TOML is kept more than once on the way: as it was, without what is wrong, as its shape.
    let loaded = within(1024, text.len(), || parse(text, "dir/fuzz.toml", &overrides));
    match loaded {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                assert!(!warning.key.is_empty() && warning.to_string().len() <= ERROR_MAX, "{warning}");
            }
            reads_again(&loaded.profile);
            plans(&loaded.profile);
        }
        Err(error) => explains(&error),
    }
}

fn change(text: &str) -> Option<Override> {
    let (word, value) = text.split_once(' ').unwrap_or((text, ""));
    match word {
        "set" => match Override::parse(value) {
            Ok(change) => Some(change),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                None
            }
        },
        "clients" => value.parse().ok().map(Override::Clients),
        "seed" => value.parse().ok().map(Override::Seed),
        "duration" => value.parse().ok().map(Duration::from_secs).map(Override::Duration),
        "target" => Some(Override::Target(value.to_owned())),
        _ => None,
    }
}

fn reads_again(profile: &Profile) {
    let text = profile.to_toml();
    let again = match parse(&text, "again", &[]) {
        Ok(loaded) => loaded.profile,
        Err(error) => panic!("what was written is refused: {error}\n{text}"),
    };
    assert_eq!(&again, profile, "written and read again\n{text}");
    assert_eq!(again.to_toml(), text);
}

/// What passes the checks can be planned: nothing overflows, nothing is divided by zero.
fn plans(profile: &Profile) {
    if profile.population.clients > 10_000 {
        return;
    }
    let plan = Plan::new(profile, Shard::WHOLE);
    let people = &plan.population;
    assert!(people.rooms() >= people.tenants() && people.clients() == profile.population.clients);
    let last = people.clients() - 1;
    for room in people.rooms_of(last) {
        assert!(people.slot_of(last, room).is_some() && people.members_len(room) > 0);
    }
    let end = plan.timeline.end();
    for at in [Duration::ZERO, end / 2, end] {
        assert!(plan.timeline.wanted_at(at) <= people.clients());
        plan.timeline.next_leave(last, at);
    }
    let mut visit = Default::default();
    for _ in 0..plan.timetable.blocks().min(3) {
        if profile.traffic.rate.0 <= 10_000.0 {
            plan.timetable.walk(0, &mut visit, &mut Vec::new());
        }
    }
}

fn explains(error: &ProfileError) {
    let message = error.to_string();
    assert!(message.len() <= ERROR_MAX, "{} bytes: {:.200}", message.len(), message);
    assert!(message.contains("dir/fuzz.toml"), "{message}");
    if let ProfileError::Invalid { problems, .. } = error {
        assert!(!problems.is_empty(), "{message}");
    }
    for problem in error.problems() {
        assert!(!problem.key.is_empty(), "no key: {problem}");
        assert!(!problem.why.to_string().is_empty(), "no reason: {problem}");
    }
}
