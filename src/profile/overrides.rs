//! `--set key.path=value`, and the shorthands `--clients`, `--seed`, `--duration`, `--target`.

use std::time::Duration;

use thiserror::Error;
use toml::{Table, Value};

use super::error::short;
use super::keys::dotted;

/// One change to what a profile's file says.
#[derive(Clone, Debug, PartialEq)]
pub enum Override {
    /// `--set`: this key gets this value.
    Set {
        /// Parts of the path, as they were written: quotes are gone, dots inside them are not.
        path: Vec<String>,
        /// What it gets.
        value: Value,
    },
    /// `--clients`
    Clients(u32),
    /// `--seed`
    Seed(u64),
    /// `--duration`: the holds are stretched or shrunk until all phases together last this long.
    Duration(Duration),
    /// `--target`
    Target(String),
}

impl Override {
    /// Reads `key.path=value`. The value is TOML; what is no TOML value (`stream-first`, `60/s`, `<= 1s`) is text.
    ///
    /// Fails when there is no `=`, or no key before it.
    pub fn parse(text: &str) -> Result<Self, OverrideError> {
        let wrong = || OverrideError::NotKeyAndValue { set: text.to_owned() };
        let end = unquoted(text, '=').next().ok_or_else(wrong)?;
        let (key, value) = (text[..end].trim(), text[end + 1..].trim());
        let mut path = Vec::new();
        let mut begin = 0;
        for end in unquoted(key, '.').chain([key.len()]) {
            path.push(unquote(key[begin..end].trim()).ok_or_else(wrong)?.to_owned());
            begin = end + 1;
        }
        Ok(Self::Set { path, value: value_of(value) })
    }

    /// This key (parts joined by dots) gets a list of texts.
    pub fn texts(key: &str, texts: &[String]) -> Self {
        let texts = texts.iter().map(|text| Value::from(text.as_str())).collect();
        Self::Set { path: key.split('.').map(str::to_owned).collect(), value: Value::Array(texts) }
    }

    /// This key is true.
    pub fn flag(key: &str) -> Self {
        Self::Set { path: key.split('.').map(str::to_owned).collect(), value: Value::Boolean(true) }
    }

    /// Does it decide what stands at this path?
    pub(super) fn decides(&self, key: &str) -> bool {
        let own = match self {
            Self::Set { path, .. } => match path.as_slice() {
                [first, rest @ ..] if first == OBJECTIVES && !rest.is_empty() => {
                    dotted([OBJECTIVES, &rest.join(".")])
                }
                path => dotted(path.iter().map(String::as_str)),
            },
            Self::Clients(_) => "population.clients".to_owned(),
            Self::Seed(_) => "seed".to_owned(),
            Self::Duration(_) => return false,
            Self::Target(_) => "target.url".to_owned(),
        };
        key == own || key.strip_prefix(&own).is_some_and(|rest| rest.starts_with('.'))
    }
}

/// Why a change cannot be made.
#[derive(Clone, Debug, PartialEq, Error)]
#[expect(missing_docs, reason = "the fields are the words that the messages are made of")]
pub enum OverrideError {
    #[error("--set {}: write key.path=value, as in --set client.bridge=stream-first", short(set))]
    NotKeyAndValue { set: String },
    #[error(
        "--set {}: `{}` is neither a number nor a name in [[{}]], which has {}",
        short(key),
        short(part),
        short(list),
        short(known)
    )]
    NoElement { key: String, part: String, list: String, known: String },
    #[error("--set {}: `{}` is a value, not a table", short(key), short(above))]
    NotATable { key: String, above: String },
    #[error(
        "--set {}: this protects deployments, and only the profile's file may say it: {instead}",
        short(key)
    )]
    OnlyInFile { key: String, instead: &'static str },
}

/// Makes the changes, in their order, in a table in which every objective is a key of its own ([`flatten`]).
///
/// Fails when a path leads nowhere, or to what only the file may say.
pub(super) fn apply(table: &mut Table, overrides: &[Override]) -> Result<(), OverrideError> {
    for change in overrides {
        let before = protected(table);
        match change {
            Override::Set { path, value } => set(table, path, value)?,
            Override::Clients(clients) => {
                set(table, &path(["population", "clients"]), &Value::from(*clients))?
            }
            Override::Seed(seed) => {
                use super::quantity::Quantity as _;
                set(table, &path(["seed"]), &seed.to_value())?;
            }
            Override::Target(url) => set(table, &path(["target", "url"]), &Value::from(url.as_str()))?,
            // Scales what is resolved.
            Override::Duration(_) => {}
        }
        if let (Override::Set { path, .. }, true) = (change, protected(table) != before) {
            return Err(OverrideError::OnlyInFile {
                key: dotted(path.iter().map(String::as_str)),
                instead: match path.first().map(String::as_str) {
                    Some("limits") => "write it under [limits] there",
                    _ => "write it under [target] there, or confirm the host with --confirm-target HOST",
                },
            });
        }
    }
    Ok(())
}

/// `delivery_intended.p99 = "…"` without quotes is a table in TOML; in `[objectives]` it becomes the key that was
/// meant.
pub(super) fn flatten(table: &mut Table) {
    if let Some(Value::Table(objectives)) = table.get_mut(OBJECTIVES) {
        let nested = std::mem::take(objectives);
        flatten_into(objectives, "", nested);
    }
}

fn flatten_into(objectives: &mut Table, above: &str, nested: Table) {
    for (key, value) in nested {
        match value {
            Value::Table(inner) => flatten_into(objectives, &format!("{above}{key}."), inner),
            value => {
                objectives.insert(format!("{above}{key}"), value);
            }
        }
    }
}

const OBJECTIVES: &str = "objectives";

/// What keeps a run off a deployment's neck.
fn protected(table: &Table) -> (Option<Value>, Option<Value>) {
    let allow = table.get("target").and_then(|target| target.get("allow"));
    (table.get("limits").cloned(), allow.cloned())
}

fn path<const N: usize>(parts: [&str; N]) -> Vec<String> {
    parts.map(str::to_owned).to_vec()
}

fn set(table: &mut Table, path: &[String], value: &Value) -> Result<(), OverrideError> {
    let key = || dotted(path.iter().map(String::as_str));
    if let [first, rest @ ..] = path
        && first == OBJECTIVES
        && !rest.is_empty()
    {
        return match table.entry(OBJECTIVES).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(objectives) => {
                objectives.insert(rest.join("."), value.clone());
                Ok(())
            }
            _ => Err(OverrideError::NotATable { key: key(), above: OBJECTIVES.to_owned() }),
        };
    }
    let (last, above) =
        path.split_last().ok_or_else(|| OverrideError::NotKeyAndValue { set: String::new() })?;
    let mut here = table;
    let mut parts = above.iter().enumerate();
    while let Some((depth, part)) = parts.next() {
        let not_a_table = || OverrideError::NotATable {
            key: key(),
            above: dotted(path[..=depth].iter().map(String::as_str)),
        };
        here = match here.entry(part).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(inner) => inner,
            Value::Array(items) => {
                let whole = depth + 1 == above.len();
                let element = if whole { last } else { parts.next().map_or(last, |(_, element)| element) };
                let index =
                    position(items, element).ok_or_else(|| no_element(key(), part, element, items))?;
                if whole {
                    items[index] = value.clone();
                    return Ok(());
                }
                items[index].as_table_mut().ok_or_else(not_a_table)?
            }
            _ => return Err(not_a_table()),
        };
    }
    here.insert(last.clone(), value.clone());
    Ok(())
}

/// The element that this number or name stands for; a fault without a name goes by its kind.
fn position(items: &[Value], part: &str) -> Option<usize> {
    let said = |item: &Value, key: &str| item.get(key).and_then(Value::as_str).map(str::to_owned);
    let named = |item: &Value| said(item, "name").or_else(|| said(item, "kind"));
    items
        .iter()
        .position(|item| named(item).is_some_and(|name| name == part))
        .or_else(|| part.parse().ok().filter(|index| *index < items.len()))
}

fn no_element(key: String, list: &str, part: &str, items: &[Value]) -> OverrideError {
    let names = items.iter().enumerate().map(|(index, item)| {
        let name = item.get("name").or_else(|| item.get("kind")).and_then(Value::as_str);
        name.map_or_else(|| index.to_string(), |name| format!("{index} ({name})"))
    });
    let known = names.collect::<Vec<_>>().join(", ");
    let known = if known.is_empty() { "none".to_owned() } else { known };
    OverrideError::NoElement { key, part: part.to_owned(), list: list.to_owned(), known }
}

fn value_of(text: &str) -> Value {
    match toml::from_str::<Table>(&format!("value = {text}")) {
        Ok(mut table) if table.len() == 1 => table.remove("value").unwrap_or_else(|| Value::from(text)),
        _ => Value::from(text),
    }
}

/// Where `letter` stands outside quotes.
fn unquoted(text: &str, letter: char) -> impl Iterator<Item = usize> {
    let mut quote = None;
    text.char_indices().filter_map(move |(at, found)| {
        match quote {
            Some(open) if open == found => quote = None,
            None if found == '"' || found == '\'' => quote = Some(found),
            None if found == letter => return Some(at),
            _ => {}
        }
        None
    })
}

/// A part of a path without its quotes; `None` when nothing is left, or when they do not match.
fn unquote(part: &str) -> Option<&str> {
    let inside = ['"', '\''].into_iter().find_map(|quote| part.strip_prefix(quote)?.strip_suffix(quote));
    let part = inside.unwrap_or(part);
    (!part.is_empty() && !part.contains(['"', '\''])).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_in(text: &str, changes: &[&str]) -> Result<Table, String> {
        let mut table: Table = toml::from_str(text).unwrap();
        flatten(&mut table);
        let changes: Vec<Override> = changes.iter().map(|change| Override::parse(change).unwrap()).collect();
        apply(&mut table, &changes).map_err(|error| error.to_string())?;
        Ok(table)
    }

    fn same(text: &str, changes: &[&str], expected: &str) {
        assert_eq!(set_in(text, changes).unwrap(), toml::from_str::<Table>(expected).unwrap(), "{changes:?}");
    }

    #[test]
    fn a_value_is_toml_or_else_text() {
        same("", &["seed=7"], "seed = 7");
        same("", &["client.bridge=stream-first"], "client.bridge = 'stream-first'");
        same("", &["client.jitter = 0.5"], "client.jitter = 0.5");
        same("", &["traffic.rate=60/s"], "traffic.rate = '60/s'");
        same("", &["traffic.payload='300B'"], "traffic.payload = '300B'");
        same("", &["stop=[]"], "stop = []");
        same("", &["name=a\nb=1"], "name = \"a\\nb=1\"");
    }

    #[test]
    fn tables_on_the_way_are_made() {
        same(
            "[target.embedded]\npods = 2",
            &["target.embedded.balancer.sticky=none"],
            "[target.embedded]\npods = 2\nbalancer = { sticky = 'none' }",
        );
    }

    #[test]
    fn an_element_is_found_by_number_by_name_and_by_kind() {
        let faults = "[[fault]]\nname = 'dies'\nkind = 'pod-kill'\n[[fault]]\nkind = 'reset'";
        let expected =
            "[[fault]]\nname = 'dies'\nkind = 'pod-kill'\nat = '3s'\n[[fault]]\nkind = 'reset'\nat = '4s'";
        same(faults, &["fault.0.at=3s", "fault.1.at=4s"], expected);
        same(faults, &["fault.dies.at=3s", "fault.reset.at=4s"], expected);
        same("fault = [1, 2]", &["fault.1={ kind = 'reset' }"], "fault = [1, { kind = 'reset' }]");
        assert_eq!(
            set_in(faults, &["fault.lives.at=3s"]).unwrap_err(),
            "--set fault.lives.at: `lives` is neither a number nor a name in [[fault]], which has 0 (dies), 1 (reset)"
        );
        assert_eq!(
            set_in("fault = []", &["fault.0.at=3s"]).unwrap_err(),
            "--set fault.0.at: `0` is neither a number nor a name in [[fault]], which has none"
        );
    }

    #[test]
    fn an_objective_is_one_key_with_and_without_quotes() {
        for file in ["[objectives]\n'arrival.p99' = '<= 1s'", "[objectives]\narrival.p99 = '<= 1s'"] {
            for change in [
                "objectives.\"arrival.p99\"=<= 2s",
                "objectives.arrival.p99=<= 2s",
                "objectives.arrival.'p99'=<= 2s",
            ] {
                same(file, &[change], "[objectives]\n'arrival.p99' = '<= 2s'");
            }
        }
        same("", &["objectives.lost_by_server== 0"], "[objectives]\nlost_by_server = '= 0'");
    }

    #[test]
    fn what_is_no_key_and_value_is_refused() {
        for text in ["", "client.bridge", "=3", ".a=3", "a..b=3", "\"a=3", "a\"b=3"] {
            let error = Override::parse(text).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("--set {text}: write key.path=value, as in --set client.bridge=stream-first")
            );
        }
    }

    #[test]
    fn a_value_on_the_way_is_named() {
        assert_eq!(
            set_in("seed = 1", &["seed.x=3"]).unwrap_err(),
            "--set seed.x: `seed` is a value, not a table"
        );
    }

    #[test]
    fn limits_and_allowed_hosts_are_not_set_from_the_command_line_on_any_way() {
        for change in ["limits.clients=9", "limits={clients=9}", "limits.connects=9/s"] {
            let error = set_in("[limits]\nclients = 5", &[change]).unwrap_err();
            assert!(error.contains("only the profile's file may say it: write it under [limits]"), "{error}");
        }
        for change in ["target.allow=['a']", "target={allow=['a']}"] {
            let error = set_in("", &[change]).unwrap_err();
            assert!(error.contains("or confirm the host with --confirm-target HOST"), "{error}");
        }
    }

    #[test]
    fn shorthands_set_the_keys_they_stand_for() {
        let mut table = Table::new();
        let changes =
            [Override::Clients(7), Override::Seed(u64::MAX), Override::Target("http://127.0.0.1".into())];
        apply(&mut table, &changes).unwrap();
        let expected =
            "seed = '18446744073709551615'\npopulation.clients = 7\ntarget.url = 'http://127.0.0.1'";
        assert_eq!(table, toml::from_str::<Table>(expected).unwrap());
    }
}
