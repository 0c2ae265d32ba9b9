//! The credentials file: CSV with a head, one identity a row (`auth.credentials`).

#![expect(clippy::disallowed_methods, reason = "credentials come from a file, never by flag")]

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::super::table::{self, Wrong};
use crate::plan::Population;
use crate::profile::AuthMode;
use crate::secret::Secret;

/// One identity.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its line in the file.
    pub line: u64,
    /// `tenant_id`
    pub tenant: Box<str>,
    /// How it signs in.
    pub what: What,
}

/// How an identity signs in.
#[derive(Clone, Debug)]
pub enum What {
    /// `auth.mode = "password"`: `tenant_id,username,password`
    Password {
        /// As the server knows it.
        username: Box<str>,
        /// Its password.
        password: Secret,
    },
    /// `auth.mode = "tokens"`: `tenant_id,access_token,refresh_token`
    Tokens {
        /// A token of the identity; it may have expired.
        access: Secret,
        /// What gets the next one; none: when the access token has expired, that is that.
        refresh: Option<Secret>,
    },
}

/// What is wrong with a credentials file; completes "failed to …". No value of it is ever shown, names excepted.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the fields are the words that the messages are made of")]
pub enum CredentialsError {
    #[error("open the credentials file `{path}` (auth.credentials)", path = .path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("read line {line} of `{path}`: {what}", path = .path.display())]
    Row { path: PathBuf, line: u64, what: String },
    #[error("read `{path}`: its first line must be `{wanted}`, and has no `{column}`", path = .path.display())]
    Head { path: PathBuf, wanted: &'static str, column: &'static str },
    #[error(
        "find {needed} tenants in `{path}`, which has {found}: add rows, or lower population.tenants", path = .path.display()
    )]
    Tenants { path: PathBuf, needed: u32, found: usize },
    #[error(
        "find {needed} identities of tenant `{tenant}` in `{path}`, which has {found}: add rows, or lower \
         population.clients", path = .path.display()
    )]
    Identities { path: PathBuf, tenant: Box<str>, needed: usize, found: usize },
}

impl Row {
    /// What people call it, if the file says.
    pub fn username(&self) -> Option<&str> {
        match &self.what {
            What::Password { username, .. } => Some(username),
            What::Tokens { .. } => None,
        }
    }
}

/// Reads every row.
///
/// # Errors
///
/// The first row that is none, by its line; an identity that stands there twice.
pub(super) fn read(path: &Path, mode: AuthMode) -> Result<Vec<Row>, CredentialsError> {
    let text = fs::read(path).map_err(|source| CredentialsError::Open { path: path.to_owned(), source })?;
    let wrong = |line, what: String| CredentialsError::Row { path: path.to_owned(), line, what };
    let table = table::read(&text, &columns(mode)).map_err(|error| match error {
        Wrong::Line(line, what) => wrong(line, what.to_owned()),
        Wrong::Head(column) => CredentialsError::Head { path: path.to_owned(), wanted: wanted(mode), column },
    })?;
    let mut rows: Vec<Row> = Vec::new();
    let mut seen: HashMap<String, u64> = HashMap::new();
    for raw in table {
        let line = raw.line;
        let row = row(&raw, mode).map_err(|what| wrong(line, what))?;
        if let Some(first) = seen.insert(sameness(&row), line) {
            let what = format!("the identity of line {first} again: two clients would evict each other");
            return Err(wrong(line, what));
        }
        rows.push(row);
    }
    Ok(rows)
}

/// A row for each client of the plan: tenants in the order in which they first appear, and inside each its rows in
/// theirs.
///
/// # Errors
///
/// Too few tenants, or too few identities of one.
pub(super) fn assign(
    rows: Vec<Row>,
    path: &Path,
    population: &Population,
) -> Result<Vec<Row>, CredentialsError> {
    let mut tenants: Vec<(Box<str>, VecDeque<Row>)> = Vec::new();
    let mut places: HashMap<Box<str>, usize> = HashMap::new();
    for row in rows {
        let place = *places.entry(row.tenant.clone()).or_insert_with(|| {
            tenants.push((row.tenant.clone(), VecDeque::new()));
            tenants.len() - 1
        });
        tenants[place].1.push_back(row);
    }
    let (needed, found) = (population.tenants(), tenants.len());
    if found < needed as usize {
        return Err(CredentialsError::Tenants { path: path.to_owned(), needed, found });
    }
    for (tenant, (name, own)) in (0..needed).zip(&tenants) {
        let (needed, found) = (population.clients_of_tenant(tenant).len(), own.len());
        if found < needed {
            let tenant = name.clone();
            return Err(CredentialsError::Identities { path: path.to_owned(), tenant, needed, found });
        }
    }
    let of = |client| tenants[population.tenant_of(client) as usize].1.pop_front();
    Ok((0..population.clients()).filter_map(of).collect())
}

fn columns(mode: AuthMode) -> [&'static str; 3] {
    match mode {
        AuthMode::Tokens => ["tenant_id", "access_token", "refresh_token"],
        _ => ["tenant_id", "username", "password"],
    }
}

fn wanted(mode: AuthMode) -> &'static str {
    match mode {
        AuthMode::Tokens => "tenant_id,access_token,refresh_token",
        _ => "tenant_id,username,password",
    }
}

fn row(raw: &table::Row, mode: AuthMode) -> Result<Row, String> {
    let columns = columns(mode);
    let full = |number: usize| raw.full(&columns, number);
    let tenant = full(0)?.into();
    let what = match mode {
        AuthMode::Tokens => What::Tokens {
            access: Secret::new(full(1)?),
            refresh: (!raw.fields[2].is_empty()).then(|| full(2)).transpose()?.map(Secret::new),
        },
        _ => What::Password { username: full(1)?.into(), password: Secret::new(full(2)?) },
    };
    Ok(Row { line: raw.line, tenant, what })
}

/// Equal for two rows that are the same identity. It stays in memory.
fn sameness(row: &Row) -> String {
    match &row.what {
        What::Password { username, .. } => format!("{}\n{username}", row.tenant),
        What::Tokens { access, refresh } => refresh.as_ref().unwrap_or(access).expose().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;

    fn read_text(text: &str, mode: AuthMode) -> Result<Vec<Row>, String> {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join("people.csv");
        std::fs::write(&path, text).expect("written");
        read(&path, mode).map_err(|error| error.to_string())
    }

    fn population(tenants: u32, clients: u32) -> Population {
        Population::new(&profile::Population {
            tenants,
            clients,
            members_per_room: 2,
            rooms_per_tenant: None,
            rooms_per_client: 1,
            ..profile::Population::default()
        })
    }

    #[test]
    fn rows_are_read_whatever_the_order_of_the_columns() {
        let text = "username, tenant_id,note,password\nanna,acme,x,\"pass,word\"\n\nben, globex ,,p\n";
        let rows = read_text(text, AuthMode::Password).expect("two rows");
        let what: Vec<_> = rows
            .iter()
            .map(|row| match &row.what {
                What::Password { username, password } => {
                    (row.line, &*row.tenant, &**username, password.expose())
                }
                What::Tokens { .. } => panic!("a password"),
            })
            .collect();
        assert_eq!(what, [(2, "acme", "anna", "pass,word"), (4, "globex", "ben", "p")]);
        assert!(!format!("{rows:?}").contains("pass,word"));
    }

    #[test]
    fn a_wrong_row_is_told_by_file_and_line_and_without_its_secrets() {
        for (text, words) in [
            ("tenant_id,username,password\nacme,anna,hunter2\nacme,,hunter3\n", "line 3 of"),
            ("tenant_id,username,password\nacme,,hunter3\n", "`username` is empty"),
            ("tenant_id,username,password\nacme,anna\n", "`password` is empty"),
            (
                "tenant_id,username,password\nacme,anna,hunter2\nacme,anna,hunter3\n",
                "the identity of line 2 again",
            ),
            ("tenant_id,name,password\nacme,anna,hunter2\n", "has no `username`"),
            ("", "has no `tenant_id`"),
        ] {
            let refused = read_text(text, AuthMode::Password).expect_err("a wrong row");
            assert!(refused.contains(words) && refused.contains("people.csv"), "{refused}");
            assert!(!refused.contains("hunter"), "{refused}");
        }
    }

    #[test]
    fn tokens_may_lack_a_refresh_token() {
        let text = "tenant_id,access_token,refresh_token\nacme,a,r\nacme,b,\n";
        let rows = read_text(text, AuthMode::Tokens).expect("two rows");
        let refreshable: Vec<bool> =
            rows.iter().map(|row| matches!(&row.what, What::Tokens { refresh: Some(_), .. })).collect();
        assert_eq!(refreshable, [true, false]);
    }

    #[test]
    fn clients_get_rows_of_their_tenants_and_too_few_are_told() {
        let text = "tenant_id,username,password\nb,b0,p\na,a0,p\na,a1,p\nb,b1,p\nb,b2,p\nc,c0,p\n";
        let rows = || read_text(text, AuthMode::Password).expect("rows");
        let path = Path::new("people.csv");
        let names = |rows: Vec<Row>| -> Vec<String> {
            rows.iter().filter_map(|row| row.username().map(str::to_owned)).collect()
        };
        let given = assign(rows(), path, &population(2, 5)).expect("enough");
        assert_eq!(names(given), ["b0", "a0", "b1", "a1", "b2"]);
        let few = assign(rows(), path, &population(2, 6)).expect_err("a2 is missing").to_string();
        assert!(few.contains("3 identities of tenant `a`") && few.contains("which has 2"), "{few}");
        let few = assign(rows(), path, &population(4, 4)).expect_err("no d").to_string();
        assert!(few.contains("4 tenants") && few.contains("which has 3"), "{few}");
    }
}
