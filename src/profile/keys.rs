//! Which keys there are, and what is said about one that is not among them.

use serde::de::value::Error;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use toml::{Table, Value};

use super::error::{Problem, Why};
use super::load::PROBLEMS_MAX;
use super::nearest::nearest;

/// What may stand at a key.
pub(super) enum Node {
    /// A value.
    Leaf,
    /// Keys and values that the profile names itself (`[objectives]`).
    Map,
    /// A table with these keys.
    Table(Vec<(&'static str, Node)>),
    /// `[[…]]`: tables with these keys.
    List(Vec<(&'static str, Node)>),
}

/// The table that this shape is: its field names, with what is more than a value among them.
pub(super) fn keys_of<'de, Shape: Deserialize<'de>>(
    tables: impl IntoIterator<Item = (&'static str, Node)>,
) -> Vec<(&'static str, Node)> {
    let mut keys: Vec<(&str, Node)> = fields_of::<Shape>().iter().map(|field| (*field, Node::Leaf)).collect();
    for (name, node) in tables {
        if let Some(key) = keys.iter_mut().find(|(field, _)| *field == name) {
            key.1 = node;
        }
    }
    keys
}

/// The field names of a struct, as serde sees them; none for what is not a struct.
pub(super) fn fields_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // Always an error: the deserializer has nothing to give, it only listens to what it is asked for.
    let _ = T::deserialize(FieldNames(&mut fields));
    fields
}

/// Dotted paths of all keys; those below a list have `[]` behind its name.
#[cfg(test)]
pub(super) fn paths(keys: &[(&'static str, Node)]) -> Vec<String> {
    keys.iter()
        .flat_map(|(name, node)| match node {
            Node::Leaf | Node::Map => vec![(*name).to_owned()],
            Node::Table(keys) => paths(keys).into_iter().map(|path| format!("{name}.{path}")).collect(),
            Node::List(keys) => paths(keys).into_iter().map(|path| format!("{name}[].{path}")).collect(),
        })
        .collect()
}

/// Is there such a key? Below a list, its elements' number or name counts as one part of the path.
pub(super) fn is_key(keys: &[(&'static str, Node)], path: &str) -> bool {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let node = keys.iter().find(|(name, _)| *name == first).map(|(_, node)| node);
    match (node, rest) {
        (None, _) | (Some(Node::Leaf), Some(_)) => false,
        (Some(_), None) | (Some(Node::Map), Some(_)) => true,
        (Some(Node::Table(keys)), Some(rest)) => is_key(keys, rest),
        (Some(Node::List(keys)), Some(rest)) => rest.split_once('.').is_none_or(|(_, key)| is_key(keys, key)),
    }
}

/// What in the table is no key of a profile, or a table where a value should be, or the other way round; of very much
/// only the beginning.
pub(super) fn unknown(table: &Table, keys: &[(&'static str, Node)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    walk(table, keys, keys, &mut Vec::new(), &mut problems);
    problems
}

/// A path as `--set` takes it: `client.watchdog`, `fault.0.at`, `objectives."arrival.p99"`.
pub(super) fn dotted<'a>(path: impl IntoIterator<Item = &'a str>) -> String {
    let bare = |part: &str| {
        !part.is_empty() && part.chars().all(|letter| letter.is_alphanumeric() || "-_".contains(letter))
    };
    let parts = path.into_iter().map(|part| if bare(part) { part.to_owned() } else { format!("{part:?}") });
    parts.collect::<Vec<_>>().join(".")
}

fn walk(
    table: &Table,
    keys: &[(&'static str, Node)],
    all: &[(&'static str, Node)],
    path: &mut Vec<String>,
    problems: &mut Vec<Problem>,
) {
    for (key, value) in table {
        if problems.len() >= PROBLEMS_MAX {
            return;
        }
        path.push(key.clone());
        let node = keys.iter().find(|(name, _)| name == key).map(|(_, node)| node);
        let at = |path: &[String]| dotted(path.iter().map(String::as_str));
        match (node, value) {
            (None, _) => {
                let advice = advice(key, keys, all);
                let shown = if is_secretive(key) { "\"***\"".to_owned() } else { value.to_string() };
                problems.push(Problem::new(at(path), shown, Why::UnknownKey { advice }));
            }
            (Some(Node::Leaf), _) | (Some(Node::Map), Value::Table(_)) => {}
            (Some(Node::Table(keys)), Value::Table(inner)) => walk(inner, keys, all, path, problems),
            (Some(Node::List(keys)), Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    path.push(index.to_string());
                    match item {
                        Value::Table(inner) => walk(inner, keys, all, path, problems),
                        _ => problems.push(Problem::new(
                            at(path),
                            item,
                            Why::ListOfTables { key: key.clone() },
                        )),
                    }
                    path.pop();
                }
            }
            (Some(Node::Table(_) | Node::Map), _) => {
                let key = at(path);
                problems.push(Problem::new(key.clone(), value, Why::Table { key }));
            }
            (Some(Node::List(_)), _) => {
                problems.push(Problem::new(at(path), value, Why::ListOfTables { key: key.clone() }));
            }
        }
        path.pop();
    }
}

/// Somebody may have put a secret where no profile has one; the error does not repeat it.
fn is_secretive(key: &str) -> bool {
    ["password", "secret", "token", "key", "jwt"].iter().any(|word| key.to_lowercase().contains(word))
}

/// What to write instead of a key that does not exist here.
fn advice(key: &str, here: &[(&'static str, Node)], all: &[(&'static str, Node)]) -> String {
    if let Some(near) = nearest(key, here.iter().map(|(name, _)| *name)) {
        return format!("; did you mean `{near}`?");
    }
    let mut elsewhere = Vec::new();
    find(key, all, "", &mut elsewhere);
    match elsewhere.as_slice() {
        [] => {
            let known = here.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            format!("; the keys here are {known}")
        }
        places => format!("; write it as {}", places.join(" or ")),
    }
}

fn find(key: &str, keys: &[(&'static str, Node)], above: &str, found: &mut Vec<String>) {
    for (name, node) in keys {
        let path = format!("{above}{name}");
        if *name == key {
            found.push(format!("`{path}`"));
        }
        match node {
            Node::Table(keys) => find(key, keys, &format!("{path}."), found),
            Node::List(keys) => find(key, keys, &format!("{path}.N."), found),
            Node::Leaf | Node::Map => {}
        }
    }
}

/// Hands out the names of the fields that a struct asks for, and nothing else.
struct FieldNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("only the names of fields are asked for"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::shape;

    fn problems(text: &str) -> Vec<String> {
        let table: Table = toml::from_str(text).unwrap();
        unknown(&table, &shape::keys()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest_one_here() {
        assert_eq!(
            problems("[client]\nwatchdgo = \"75s\""),
            ["`client.watchdgo` = \"75s\": there is no such key; did you mean `watchdog`?"]
        );
    }

    #[test]
    fn a_key_in_the_wrong_table_is_answered_with_where_it_belongs() {
        assert_eq!(
            problems("pods = 3"),
            ["`pods` = 3: there is no such key; write it as `target.embedded.pods`"]
        );
    }

    #[test]
    fn a_key_that_is_nowhere_is_answered_with_the_keys_there_are() {
        assert_eq!(
            problems("[drain]\nhappiness = 3"),
            ["`drain.happiness` = 3: there is no such key; the keys here are `deadline`"]
        );
    }

    #[test]
    fn all_unknown_keys_are_named_at_once_with_the_number_of_their_element() {
        let found = problems("[[fault]]\nkind = \"reset\"\n[[fault]]\nwhen = \"3s\"\n[x]\ny = 1");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("`fault.1.when` = \"3s\""), "{found:?}");
    }

    #[test]
    fn a_secret_in_a_key_that_no_profile_has_is_not_repeated() {
        let found = problems("[auth]\npassword = \"hunter2\"");
        assert!(found[0].starts_with("`auth.password` = \"***\": there is no such key"), "{found:?}");
    }

    #[test]
    fn a_table_and_a_list_of_tables_are_told_apart() {
        assert_eq!(
            problems("[phase]\nduration = \"3s\""),
            ["`phase` = { duration = \"3s\" }: is a list of tables: write [[phase]]"]
        );
        assert_eq!(problems("client = 5"), ["`client` = 5: is a table: write [client]"]);
    }

    #[test]
    fn paths_are_written_as_overrides_take_them() {
        assert_eq!(dotted(["objectives", "arrival.p99"]), "objectives.\"arrival.p99\"");
        assert_eq!(dotted(["fault", "0", "at"]), "fault.0.at");
    }

    #[test]
    fn keys_are_found_by_path() {
        let keys = shape::keys();
        for path in
            ["client.watchdog", "target.embedded.ping_interval", "objectives.arrival.p99", "fault.0.at"]
        {
            assert!(is_key(&keys, path), "{path}");
        }
        for path in ["watchdog", "client.watchdog.x", "target.embedded.ping", "fault.0.when"] {
            assert!(!is_key(&keys, path), "{path}");
        }
    }
}
