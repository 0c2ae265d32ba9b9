//! Rooms that are there already (`population.rooms`): read from a CSV, given to the plan, and tried with every identity that
//! the plan puts there. Nothing is made, and nobody is let in.

#![expect(clippy::disallowed_methods, reason = "the rooms come from a file")]

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::super::api;
use super::super::http::Call;
use super::super::publisher::read_page;
use super::super::table::{self, Wrong};
use super::job::{Failed, Job, Note};
use super::{Paces, ProvisionError};
use crate::plan::Population;
use crate::wire::{ID_MAX, Position};

/// The rows of the file.
#[derive(Debug)]
pub struct Given {
    path: PathBuf,
    rows: Vec<Row>,
}

/// One room.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    line: u64,
    tenant: Box<str>,
    id: Box<str>,
}

/// What is wrong with the file; completes "failed to …".
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the fields are the words that the messages are made of")]
pub enum GivenError {
    #[error("open the rooms file `{path}` (population.rooms)", path = .path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("read line {line} of `{path}`: {what}", path = .path.display())]
    Row { path: PathBuf, line: u64, what: String },
    #[error("read `{path}`: its first line must be `tenant_id,room_id`, and has no `{column}`", path = .path.display())]
    Head { path: PathBuf, column: &'static str },
    #[error(
        "find {needed} rooms of tenant {tenant} in `{path}`, which has {found}: add rows, or change population.rooms_per_tenant",
        path = .path.display()
    )]
    Rooms { path: PathBuf, tenant: String, needed: usize, found: usize },
}

/// An identity that may not do in a room what the plan has it do.
#[derive(Debug)]
pub struct Missing {
    room: Box<str>,
    line: u64,
    who: String,
    wanted: &'static str,
    failed: Failed,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { room, line, who, wanted, failed } = self;
        write!(f, "room {room} (line {line}): ")?;
        match self.is_known() {
            true => write!(f, "{who} may not {wanted}: {failed}"),
            false => write!(f, "whether {who} may {wanted} is not known: {failed}"),
        }
    }
}

impl Missing {
    /// The target has said so; else it has said nothing of the kind.
    pub(super) fn is_known(&self) -> bool {
        self.failed.is_refusal()
    }
}

/// What trying the rooms has shown.
pub(super) struct Tried {
    /// The newest position in the history of any room of each tenant; `None`: all are empty.
    pub(super) newest: Vec<Option<Position>>,
}

const COLUMNS: [&str; 2] = ["tenant_id", "room_id"];

/// Identities are tried on so many rooms in which the plan does not put them (ours): it is only to warn.
const OTHERS_TRIED: usize = 1_000;

impl Given {
    /// Reads every row.
    ///
    /// # Errors
    ///
    /// The first row that is none, by its line; a room that stands there twice.
    pub fn load(path: &Path) -> Result<Self, GivenError> {
        let path = path.to_owned();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(source) => return Err(GivenError::Open { path, source }),
        };
        let rows = match table::read(&text, &COLUMNS) {
            Ok(rows) => rows,
            Err(Wrong::Line(line, what)) => {
                return Err(GivenError::Row { path, line, what: what.to_owned() });
            }
            Err(Wrong::Head(column)) => return Err(GivenError::Head { path, column }),
        };
        let mut seen = HashMap::new();
        let mut read = |raw: table::Row| {
            let row = row(&raw).map_err(|what| (raw.line, what))?;
            match seen.insert(row.id.clone(), row.line) {
                Some(first) => Err((raw.line, format!("the room of line {first} again"))),
                None => Ok(row),
            }
        };
        let rows: Result<Vec<Row>, _> = rows.into_iter().map(&mut read).collect();
        match rows {
            Ok(rows) => Ok(Self { path, rows }),
            Err((line, what)) => Err(GivenError::Row { path, line, what }),
        }
    }

    /// The rooms of the plan, by their indices: of each tenant the first rows. A tenant goes by any of its names.
    ///
    /// # Errors
    ///
    /// Too few rooms of a tenant.
    fn assign(&self, population: &Population, names: &[Vec<String>]) -> Result<Vec<&Row>, GivenError> {
        let mut all = Vec::new();
        for (tenant, names) in (0..population.tenants()).zip(names) {
            let own = |row: &&Row| names.iter().any(|name| **name == *row.tenant);
            let rows: Vec<&Row> = self.rows.iter().filter(own).collect();
            let (needed, found) = (population.rooms_of_tenant(tenant).len(), rows.len());
            if found < needed {
                let tenant = format!("`{}`", names.join("` or `"));
                return Err(GivenError::Rooms { path: self.path.clone(), tenant, needed, found });
            }
            all.extend(rows.into_iter().take(needed));
        }
        Ok(all)
    }
}

fn row(raw: &table::Row) -> Result<Row, String> {
    let (tenant, id) = (raw.full(&COLUMNS, 0)?, raw.full(&COLUMNS, 1)?);
    if id.len() > ID_MAX {
        return Err(format!("`room_id` is longer than {ID_MAX} bytes"));
    }
    Ok(Row { line: raw.line, tenant: tenant.into(), id: id.into() })
}

/// Given rooms with everybody who is to use them.
pub(super) struct Using<'a> {
    pub(super) job: &'a Job<'a>,
    rows: Vec<&'a Row>,
}

impl<'a> Using<'a> {
    /// `tenants`: the server's ids.
    pub(super) fn new(
        job: &'a Job<'a>,
        given: &'a Given,
        tenants: &[Box<str>],
        note: &mut Note<'_>,
    ) -> Result<Self, ProvisionError> {
        let population = job.population;
        let names = |tenant: u32| {
            let first = population.clients_of_tenant(tenant).next();
            let own = first.map(|client| job.line.tokens.tenant_name(client, population));
            let mut names: Vec<String> =
                own.into_iter().chain([tenants[tenant as usize].to_string()]).collect();
            names.dedup();
            names
        };
        let names: Vec<Vec<String>> = (0..population.tenants()).map(names).collect();
        let rows = given.assign(population, &names)?;
        let unused = given.rows.len() - rows.len();
        let more = if unused > 0 { format!("; {unused} further rows are not used") } else { String::new() };
        note(&format!("using {} existing rooms of `{}`{more}", rows.len(), given.path.display()));
        Ok(Self { job, rows })
    }

    /// The rooms' ids.
    pub(super) fn ids(&self) -> Vec<Box<str>> {
        self.rows.iter().map(|row| row.id.clone()).collect()
    }

    /// Has everybody read the history of the rooms that the plan puts them in.
    ///
    /// # Errors
    ///
    /// Every permission that is missing.
    pub(super) async fn try_all(&self, paces: Paces, note: &mut Note<'_>) -> Result<Tried, ProvisionError> {
        let population = self.job.population;
        let planned: Vec<(u32, u32)> = (0..population.rooms())
            .flat_map(|room| population.members(room).map(move |client| (client, room)))
            .collect();
        let look = |index: u32| {
            let (client, room) = planned[index as usize];
            async move { Ok((client, room, self.newest(client, room).await)) }
        };
        let count = u32::try_from(planned.len()).unwrap_or(u32::MAX);
        let looked = self.job.all("trying memberships", paces.rooms, count, note, look).await?;
        let mut newest = vec![None; population.tenants() as usize];
        let mut missing = Vec::new();
        for (client, room, result) in looked {
            match result {
                Ok(position) => {
                    let of_tenant = &mut newest[population.tenant_of_room(room) as usize];
                    *of_tenant = position.max(*of_tenant);
                }
                Err(failed) => missing.push(self.missing(client, room, "read its history", failed)),
            }
        }
        if !missing.is_empty() {
            return Err(ProvisionError::Forbidden(missing));
        }
        self.warn_of_others(paces, note).await?;
        Ok(Tried { newest })
    }

    /// A permission that is missing.
    pub(super) fn missing(&self, client: u32, room: u32, wanted: &'static str, failed: Failed) -> Missing {
        let Row { id, line, .. } = self.rows[room as usize];
        Missing { room: id.clone(), line: *line, who: self.job.who(client), wanted, failed }
    }

    /// Whoever can read another listed room than its own may be a member there, and what it gets from there would count as
    /// leaked. (It may also be that anybody can read it: nothing says so.)
    async fn warn_of_others(&self, paces: Paces, note: &mut Note<'_>) -> Result<(), ProvisionError> {
        let population = self.job.population;
        let of_tenant = |client| population.rooms_of_tenant(population.tenant_of(client));
        let others = (0..population.clients()).flat_map(|client| {
            let not_own = move |&room: &u32| population.slot_of(client, room).is_none();
            of_tenant(client).filter(not_own).map(move |room| (client, room))
        });
        let others: Vec<(u32, u32)> = others.take(OTHERS_TRIED).collect();
        if others.is_empty() {
            return Ok(());
        }
        let look = |index: u32| {
            let (client, room) = others[index as usize];
            async move { Ok((client, room, self.newest(client, room).await.is_ok())) }
        };
        let count = others.len() as u32;
        let looked = self.job.all("trying rooms of others", paces.rooms, count, note, look).await?;
        let open: Vec<(u32, u32, bool)> = looked.into_iter().filter(|(_, _, open)| *open).collect();
        if let Some(&(client, room, _)) = open.first() {
            note(&format!(
                "{} identities can read rooms in which the plan does not put them, {} room {} for one: if they are members \
                 there, what they get will count as leaked_room; with population.rooms_per_client = \
                 population.rooms_per_tenant everybody is in all rooms",
                open.len(),
                self.job.who(client),
                self.rows[room as usize].id
            ));
        }
        Ok(())
    }

    /// The position of the newest row of a room's history.
    async fn newest(&self, client: u32, room: u32) -> Result<Option<Position>, Failed> {
        let path = api::newest(&self.rows[room as usize].id);
        let answer = self.job.try_to(client, true, || Call::get(&path)).await?;
        // What cannot be read is no empty room.
        let page = read_page(&answer, true).map_err(|_| Failed::Unreadable)?;
        Ok(page.events.first().and_then(|event| event.position))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::population;
    use super::*;

    fn given(text: &str) -> Result<Given, String> {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join("rooms.csv");
        fs::write(&path, text).expect("written");
        Given::load(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_wrong_row_is_told_by_file_and_line() {
        for (text, words) in [
            ("tenant_id,room_id\nacme,r1\nacme,\n", "line 3 of"),
            ("tenant_id,room_id\n,r1\n", "`tenant_id` is empty"),
            ("tenant_id,room_id\nacme,r1\n\nacme,r1\n", "the room of line 2 again"),
            ("tenant_id,room\nacme,r1\n", "has no `room_id`"),
        ] {
            let refused = given(text).expect_err("a wrong row");
            assert!(refused.contains(words) && refused.contains("rooms.csv"), "{refused}");
        }
        let long = format!("tenant_id,room_id\nacme,{}\n", "r".repeat(ID_MAX + 1));
        assert!(given(&long).expect_err("too long").contains("line 2"));
    }

    #[test]
    fn what_the_target_did_not_refuse_is_not_called_missing() {
        let told = |failed| {
            let room = "r".into();
            Missing { room, line: 3, who: "anna".to_owned(), wanted: "read its history", failed }
        };
        let refused = |status, code: &str| Failed::Refused { status, code: Some(code.into()) };
        let missing = told(refused(403, "SW_NOT_MEMBER"));
        assert!(missing.is_known());
        assert_eq!(
            missing.to_string(),
            "room r (line 3): anna may not read its history: SW_NOT_MEMBER (403)"
        );
        for failed in [
            refused(429, "SW_RATE_LIMIT_EXCEEDED"),
            Failed::Refused { status: 502, code: None },
            Failed::Unreadable,
        ] {
            let unknown = told(failed);
            let text = unknown.to_string();
            assert!(
                !unknown.is_known() && text.contains("whether anna may read its history is not known"),
                "{text}"
            );
        }
    }

    #[test]
    fn rooms_are_taken_by_tenant_in_the_order_of_the_rows() {
        let people = population(2, 4);
        assert_eq!(people.rooms_of_tenant(0).len(), 2);
        let given =
            given("tenant_id,room_id\nb,b0\na-on-the-server,a0\na,a1\na,a2\nb,b1\nc,c0\n").expect("rows");
        let names =
            |names: [&[&str]; 2]| names.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        let assigned = given.assign(&people, &names([&["a", "a-on-the-server"], &["b"]])).expect("enough");
        let ids: Vec<&str> = assigned.iter().map(|row| &*row.id).collect();
        assert_eq!(ids, ["a0", "a1", "b0", "b1"]);
        let few = given.assign(&people, &names([&["a"], &["c"]])).expect_err("one c").to_string();
        assert!(few.contains("2 rooms of tenant `c`") && few.contains("which has 1"), "{few}");
    }
}
