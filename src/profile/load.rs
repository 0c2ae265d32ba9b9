//! From text to a profile, step by step.

use std::fmt;
use std::time::Duration;

use serde_path_to_error::Segment;
use toml::{Table, Value};

use super::check;
use super::error::{Problem, ProfileError, Why, short};
use super::keys::{self, dotted};
use super::overrides::{self, Override};
use super::quantity::Written as _;
use super::shape::{self, ProfileShape};
use super::{Phase, Profile};

/// A profile, and what may not be meant that way.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The profile.
    pub profile: Profile,
    /// In the order of the profile.
    pub warnings: Vec<Warning>,
}

/// Something that is allowed and probably not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The setting to change.
    pub key: String,
    /// What will come of it, and what to write instead.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{}` {}", self.key, self.text)
    }
}

/// Reads a profile from its text. `origin` is the path or the name of a built-in profile; it stands in the errors,
/// and without directories and `.toml` for a missing `name`.
///
/// Fails with everything that is wrong at once, but stage by stage: TOML, overrides, keys and values, rules.
pub fn parse(text: &str, origin: &str, overrides: &[Override]) -> Result<Loaded, ProfileError> {
    if text.len() > TEXT_MAX {
        return Err(ProfileError::TooLarge { path: origin.to_owned(), limit: TEXT_MAX });
    }
    let mut table = table(text, origin)?;
    overrides::flatten(&mut table);
    overrides::apply(&mut table, overrides)
        .map_err(|source| ProfileError::Override { origin: origin.to_owned(), source })?;
    let invalid = |problems| invalid(origin, overrides, problems);
    let shape = shape(&table).map_err(invalid)?;
    let mut profile = shape.resolve(stem(origin)).map_err(invalid)?;
    let problems = check::problems(&profile);
    if !problems.is_empty() {
        return Err(invalid(problems));
    }
    for change in overrides {
        if let Override::Duration(duration) = change {
            stretch(&mut profile.phases, *duration).map_err(|problem| invalid(vec![problem]))?;
        }
    }
    let problems = check::problems(&profile);
    if !problems.is_empty() {
        return Err(invalid(problems));
    }
    Ok(Loaded { warnings: check::warnings(&profile), profile })
}

/// No profile is longer: what is, is another file.
pub(super) const TEXT_MAX: usize = 1 << 20;

fn table(text: &str, origin: &str) -> Result<Table, ProfileError> {
    text.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start).min(text.len());
        let before = text.get(..at).unwrap_or_default();
        ProfileError::Syntax {
            origin: origin.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
            message: short(error.message()),
        }
    })
}

fn invalid(origin: &str, overrides: &[Override], mut problems: Vec<Problem>) -> ProfileError {
    for problem in &mut problems {
        problem.overridden = overrides.iter().any(|change| change.decides(&problem.key));
    }
    ProfileError::Invalid { origin: origin.to_owned(), problems }
}

/// The table's shape; every value that cannot be read is reported: each is taken out, and the rest is read again.
fn shape(table: &Table) -> Result<ProfileShape, Vec<Problem>> {
    let mut problems = keys::unknown(table, &shape::keys());
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut rest = Value::Table(table.clone());
    loop {
        let error = match serde_path_to_error::deserialize(rest.clone()) {
            Ok(shape) if problems.is_empty() => return Ok(shape),
            Ok(ProfileShape { .. }) => return Err(problems),
            Err(error) => error,
        };
        let path: Vec<String> = error.path().iter().filter_map(part).collect();
        let why = Why::Shape(error.inner().message().to_owned());
        let key = dotted(path.iter().map(String::as_str));
        let Some(value) = take(&mut rest, &path) else {
            problems.push(Problem::absent(key, why));
            return Err(problems);
        };
        problems.push(Problem::new(key, value, why));
        if problems.len() == PROBLEMS_MAX {
            return Err(problems);
        }
    }
}

/// Values that cannot be read are reported up to here: each costs another reading of the whole. So are unknown keys.
pub(super) const PROBLEMS_MAX: usize = 20;

fn part(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    }
}

/// Takes out the value at this path.
fn take(value: &mut Value, path: &[String]) -> Option<Value> {
    let (last, above) = path.split_last()?;
    let mut here = value;
    for part in above {
        here = match here {
            Value::Table(table) => table.get_mut(part)?,
            Value::Array(items) => items.get_mut(part.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    here.as_table_mut()?.remove(last)
}

/// Stretches or shrinks the holds in proportion until all phases together last this long.
fn stretch(phases: &mut [Phase], duration: Duration) -> Result<(), Problem> {
    let mut before = 0;
    let holds: Vec<bool> =
        phases.iter().map(|phase| std::mem::replace(&mut before, phase.clients) == phase.clients).collect();
    let sum = |hold: bool| -> Duration {
        phases.iter().zip(&holds).filter(|(_, is)| **is == hold).map(|(phase, _)| phase.duration).sum()
    };
    let (ramps, held) = (sum(false), sum(true));
    let no_hold = if held.is_zero() { ", and no phase holds it" } else { "" };
    let left = duration.checked_sub(ramps).filter(|left| !left.is_zero() && !held.is_zero());
    let Some(left) = left else {
        let why = Why::DurationDoesNotFit { ramps: ramps.show(), no_hold };
        return Err(Problem::new("--duration", duration.show(), why));
    };
    // Ends rather than lengths are scaled, so that no rounding adds up.
    let (mut old_end, mut new_begin) = (0, 0);
    for (phase, _) in phases.iter_mut().zip(&holds).filter(|(_, hold)| **hold) {
        old_end += phase.duration.as_nanos();
        let new_end = old_end * left.as_nanos() / held.as_nanos();
        phase.duration = Duration::from_nanos(u64::try_from(new_end - new_begin).unwrap_or(u64::MAX));
        new_begin = new_end;
    }
    Ok(())
}

/// `profiles/smoke.toml` and `smoke` are both `smoke`.
fn stem(origin: &str) -> &str {
    let file = origin.rsplit(['/', '\\']).next().unwrap_or(origin);
    file.strip_suffix(".toml").unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Client, builtins};
    use super::*;
    use crate::plan::Population;

    const GOOD: &str = "[[phase]]\nduration = '5s'\nclients = '100%'\n[[phase]]\nduration = '20s'\n\
                        [[phase]]\nduration = '10s'\n[[phase]]\nduration = '5s'\nclients = 0";

    fn loaded(text: &str, changes: &[Override]) -> Profile {
        parse(text, "mine.toml", changes).unwrap_or_else(|error| panic!("{error}")).profile
    }

    fn refused(text: &str, changes: &[Override]) -> String {
        parse(text, "dir/mine.toml", changes).unwrap_err().to_string()
    }

    fn set(change: &str) -> Override {
        Override::parse(change).unwrap()
    }

    #[test]
    fn what_a_profile_leaves_out_has_its_default() {
        let profile = loaded(GOOD, &[]);
        assert_eq!(profile.name, "mine");
        assert_eq!(profile.client, Client::default());
        assert_eq!(profile.stops.len(), 2);
        let names: Vec<&str> = profile.phases.iter().map(|phase| phase.name.as_str()).collect();
        assert_eq!(names, ["ramp", "hold", "hold-2", "decline"]);
        let clients: Vec<u32> = profile.phases.iter().map(|phase| phase.clients).collect();
        assert_eq!(clients, [300, 300, 300, 0]);
    }

    #[test]
    fn objectives_keep_the_order_of_the_file_and_those_of_every_profile_follow() {
        let text = format!(
            "{GOOD}\n[objectives]\nundecided = '<= 3'\narrival.p99 = '<= 1s'\n'clients.evicted' = '<= 1'"
        );
        let names: Vec<String> =
            loaded(&text, &[]).objectives.into_iter().map(|objective| objective.name).collect();
        let expected = [
            "undecided",
            "arrival.p99",
            "clients.evicted",
            "live",
            "acknowledged",
            "never_ready",
            "auth_failed",
            "leaked",
            "leaked_room",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn no_stops_is_a_choice() {
        let text = format!("stop = []\n{GOOD}");
        let profile = loaded(&text, &[]);
        assert_eq!(profile.stops, []);
        assert_eq!(loaded(&profile.to_toml(), &[]), profile);
    }

    #[test]
    fn what_is_written_reads_as_the_same_profile() {
        for builtin in builtins() {
            let changes = [set("client.jitter=0.1"), set("traffic.rate=7/m"), Override::Seed(u64::MAX)];
            for changes in [&[][..], &changes[..]] {
                let profile = parse(builtin.text, builtin.name, changes).unwrap().profile;
                let text = profile.to_toml();
                assert_eq!(loaded(&text, &[]), profile, "{text}");
                assert_eq!(loaded(&text, &[]).to_toml(), text);
            }
        }
    }

    #[test]
    fn the_embedded_target_may_have_a_watchdog_of_its_own_and_a_deployment_does_not() {
        let text = format!("{GOOD}\n[target.embedded]\nping_interval = '2s'\nclient_watchdog = '5s'");
        let profile = loaded(&text, &[]);
        assert_eq!(profile.client.watchdog, Duration::from_secs(5));
        assert_eq!(profile.deployed_watchdog, Duration::from_secs(75));
        let deployed = Override::Target("https://chat.example.com".to_owned());
        for text in [text, profile.to_toml()] {
            assert_eq!(
                loaded(&text, std::slice::from_ref(&deployed)).client.watchdog,
                Duration::from_secs(75)
            );
        }
    }

    #[test]
    fn however_much_is_wrong_the_error_can_be_read() {
        let unknown: String = (0..10_000).map(|n| format!("k{n} = 1\n")).collect();
        let (long, deep) = ("x".repeat(10_000), "x.".repeat(5_000));
        let faults = "[[fault]]\nkind = 'reset'\nat = '1h'\n".repeat(1_000);
        for text in [
            unknown,
            format!("{long} = 1"),
            format!("{deep}x = 1"),
            format!("seed = \"{long}\""),
            format!("{long} = 1\n{long} = 1"),
            format!("{GOOD}\n{faults}"),
        ] {
            let error = refused(&text, &[]);
            assert!(error.len() < 16_000, "{} bytes: {error:.300}", error.len());
        }
        let faults =
            refused(&format!("{GOOD}\n{}", "[[fault]]\nkind = 'reset'\nat = '1h'\n".repeat(80)), &[]);
        assert!(faults.ends_with("\n  and 30 more"), "{faults}");
        for change in [format!("{long}={long}"), format!("phase.{long}.duration=1"), format!("seed.{long}=1")]
        {
            assert!(refused(GOOD, &[set(&change)]).len() < 2_000);
        }
    }

    #[test]
    fn text_that_is_no_toml_is_refused_with_line_and_column() {
        assert_eq!(
            refused("seed = 1\nname = smoke", &[]),
            "parse the profile dir/mine.toml: line 2, column 8: string values must be quoted, expected literal string"
        );
        assert!(
            refused("seed = 1\nseed = 2", &[])
                .starts_with("parse the profile dir/mine.toml: line 2, column 1: ")
        );
    }

    #[test]
    fn values_that_cannot_be_read_are_all_named_with_file_key_value_and_advice() {
        let text = format!(
            "{GOOD}\n[client]\nwatchdog = 75\njitter = 'much'\n[objectives]\n'arrival.p99' = '500ms'"
        );
        assert_eq!(
            refused(&text, &[]),
            "accept the profile dir/mine.toml: \
             \n  `client.watchdog` = 75: a bare number has no unit: write \"75s\"\
             \n  `client.jitter` = \"much\": is text: write a number, as in 0.5\
             \n  `objectives.\"arrival.p99\"` = \"500ms\": is not a limit: `<=`, `>=` or `=`, then a duration, a share \
             or a count, as in \"<= 500ms\", \">= 99%\", \"= 0\" or \"= 0 if exposed\""
        );
    }

    #[test]
    fn a_value_in_a_list_of_tables_is_named_with_its_number() {
        assert_eq!(
            refused("[[phase]]\nduration = '5s'\n[[phase]]\nduration = 30", &[]),
            "accept the profile dir/mine.toml: `phase.1.duration` = 30: a bare number has no unit: write \"30s\""
        );
        assert_eq!(
            refused("[[phase]]\nclients = '100%'", &[]),
            "accept the profile dir/mine.toml: `phase.0.duration`: is missing: write how long it lasts, as in duration = \"30s\""
        );
        assert_eq!(
            refused(&format!("{GOOD}\n[[stop]]\ncondition = 'health'"), &[]),
            "accept the profile dir/mine.toml: `stop.0.lasting`: is missing: write how long it must hold, as in lasting = \"60s\""
        );
    }

    #[test]
    fn a_value_from_the_command_line_is_said_to_be_from_there() {
        assert_eq!(
            refused(GOOD, &[set("client.watchdog=75")]),
            "accept the profile dir/mine.toml: `client.watchdog` = 75 (not from the file, but from the command line): \
             a bare number has no unit: write \"75s\""
        );
        assert_eq!(
            refused(GOOD, &[set("limits.clients=9")]),
            "change the profile dir/mine.toml: --set limits.clients: this protects deployments, and only the \
             profile's file may say it: write it under [limits] there"
        );
    }

    #[test]
    fn many_wrong_values_end_somewhere() {
        let phases = "[[phase]]\nduration = 1\n".repeat(1_000);
        assert_eq!(parse(&phases, "x", &[]).unwrap_err().problems().len(), PROBLEMS_MAX);
    }

    #[test]
    fn a_duration_stretches_and_shrinks_the_holds_alone() {
        let seconds = |seconds| {
            let changes = [Override::Duration(Duration::from_secs(seconds))];
            loaded(GOOD, &changes).phases.iter().map(|phase| phase.duration.as_secs_f64()).collect::<Vec<_>>()
        };
        assert_eq!(seconds(70), [5.0, 40.0, 20.0, 5.0]);
        assert_eq!(seconds(11).iter().sum::<f64>(), 11.0);
        assert_eq!(seconds(40), [5.0, 20.0, 10.0, 5.0]);
    }

    #[test]
    fn a_duration_that_the_ramps_leave_no_room_for_is_refused() {
        let change = |seconds| Override::Duration(Duration::from_secs(seconds));
        assert_eq!(
            refused(GOOD, &[change(10)]),
            "accept the profile dir/mine.toml: `--duration` = 10s: cannot be reached: the phases that change the \
             number of clients take 10s of it, which is not stretched"
        );
        let ramp = "[[phase]]\nduration = '5s'\nclients = '100%'";
        assert!(refused(ramp, &[change(60)]).ends_with("which is not stretched, and no phase holds it"));
        let fault = format!("{GOOD}\n[[fault]]\nkind = 'pod-kill'\nat = '30s'");
        assert!(refused(&fault, &[change(20)]).contains("`fault.0.at` = \"30s\": begins after the end"));
    }

    #[test]
    fn shorthands_are_the_keys_they_stand_for() {
        let profile = loaded(GOOD, &[Override::Clients(60), Override::Seed(9)]);
        assert_eq!((profile.population.clients, profile.phases[0].clients, profile.seed), (60, 60, 9));
    }

    /// Keys of every kind, and values that are wrong, extreme or both.
    fn change() -> impl Strategy<Value = String> {
        let paths: Vec<String> = keys::paths(&shape::keys())
            .into_iter()
            .map(|path| path.replace("[]", ".0"))
            .chain(
                ["fault", "client", "objectives.arrival.p99", "objectives.leaked", "phase"]
                    .map(str::to_owned),
            )
            .collect();
        let values = [
            "0",
            "1",
            "-1",
            "2",
            "500",
            "4294967295",
            "9223372036854775807",
            "0.5",
            "nan",
            "inf",
            "true",
            "none",
            "''",
            "[]",
            "{}",
            "['x']",
            "[{}]",
            "1979-05-27",
            "0s",
            "1ns",
            "99ms",
            "30s",
            "720h",
            "1d",
            "0/s",
            "1/h",
            "1000000000/s",
            "0%",
            "100%",
            "0.0001%",
            "200B",
            "64KiB",
            "200B..64KiB",
            "lognormal(64KiB, 5)",
            "zipf(10)",
            "zipf(0)",
            "even",
            "proxy",
            "direct",
            "stream-first",
            "lose",
            "reset",
            "pod-kill",
            "<= 1s",
            "= 0",
            ">= 99%",
            "= 0 if exposed",
            "health",
            "connect-failures > 0%",
            "[{kind='lose',client=1,first=4294967294,count=1}]",
            "https://a",
            "client.jitter",
        ];
        (prop::sample::select(paths), prop::sample::select(values.to_vec()))
            .prop_map(|(path, value)| format!("{path}={value}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn no_change_makes_it_panic_and_what_is_accepted_can_be_planned_and_written(
            changes in prop::collection::vec(change(), 1..5),
            duration in prop::option::of(0..=2_592_000_u64),
        ) {
            let text = format!("{GOOD}\n[[fault]]\nkind = 'pod-kill'\nat = '1s'\n[[stop]]\ncondition = 'health'\nlasting = '1s'");
            let mut changes: Vec<Override> = changes.iter().map(|change| set(change)).collect();
            changes.extend(duration.map(|seconds| Override::Duration(Duration::from_secs(seconds))));
            match parse(&text, "mine.toml", &changes) {
                Ok(Loaded { profile, .. }) => {
                    let people = Population::new(&profile.population);
                    prop_assert!(people.rooms() > 0);
                    prop_assert!((0..people.rooms().min(50)).all(|room| people.members_len(room) > 0));
                    prop_assert!((0..3).all(|room| people.members_len(people.rooms() - 1 - room % people.rooms()) > 0));
                    prop_assert_eq!(loaded(&profile.to_toml(), &[]), profile);
                }
                Err(error) => prop_assert!(error.to_string().contains("the profile mine.toml: ")),
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}", change in "\\PC{0,40}") {
            let changes: Vec<Override> = Override::parse(&change).into_iter().collect();
            let _ = parse(&text, "mine.toml", &[]);
            let _ = parse(GOOD, "mine.toml", &changes);
        }
    }
}
