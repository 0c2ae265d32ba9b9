//! From text to a profile, step by step.

use std::fmt;
use std::time::Duration;

use serde_path_to_error::Segment;
use toml::{Table, Value};

use super::check;
use super::error::{Problem, ProfileError, Why};
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
            message: error.message().to_owned(),
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

/// Values that cannot be read are reported up to here: each costs another reading of the whole.
const PROBLEMS_MAX: usize = 20;

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
