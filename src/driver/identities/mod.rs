//! Who the clients are on a deployment: rows of a credentials file, and the refresh tokens that were got with them.

mod file;
mod kept;

use std::path::Path;

use uuid::Uuid;

pub use file::{CredentialsError, Row, What};
pub use kept::{Kept, KeptTokens, Told};

use super::private_lines::PrivateFileError;
use crate::plan::Population;
use crate::profile::AuthMode;

/// The identities of a plan's clients, with what is kept of them from run to run.
#[derive(Debug)]
pub struct Identities {
    /// By number of the client.
    rows: Vec<Row>,
    kept: KeptTokens,
}

/// Why there are none; completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum IdentitiesError {
    /// The file that names them.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The file that keeps their refresh tokens.
    #[error(transparent)]
    Kept(#[from] PrivateFileError),
}

impl Identities {
    /// Reads the credentials file, gives each client of the plan its row, and takes hold of the file beside it that
    /// keeps refresh tokens: `<credentials>.tokens`.
    ///
    /// # Errors
    ///
    /// A wrong row, too few rows, or another run that uses them.
    pub fn load(path: &Path, mode: AuthMode, population: &Population) -> Result<Self, IdentitiesError> {
        let rows = file::assign(file::read(path, mode)?, path, population)?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(".tokens");
        Ok(Self { rows, kept: KeptTokens::open(beside.as_ref())? })
    }

    /// How many identities the first tenant of a credentials file has.
    ///
    /// # Errors
    ///
    /// A wrong row.
    pub fn of_first_tenant(path: &Path, mode: AuthMode) -> Result<usize, IdentitiesError> {
        let rows = file::read(path, mode)?;
        let first = rows.first().map(|row| row.tenant.clone());
        Ok(rows.iter().filter(|row| Some(&row.tenant) == first.as_ref()).count())
    }

    /// The row of a client.
    pub fn row(&self, client: u32) -> &Row {
        &self.rows[client as usize]
    }

    /// User names by number of the client; empty when the file has none.
    pub fn usernames(&self) -> Vec<Box<str>> {
        self.rows.iter().filter_map(|row| row.username().map(Box::from)).collect()
    }

    /// What is kept of a client's refresh token.
    pub fn kept(&self, client: u32) -> Option<Kept> {
        self.kept.newest(&self.key(client))
    }

    /// Writes down what happens to a client's refresh token, before anything else is done about it.
    pub fn tell(&self, client: u32, told: Told<'_>) {
        self.kept.tell(&self.key(client), told);
    }

    /// Lines that could not be written.
    pub fn unwritten(&self) -> u64 {
        self.kept.unwritten()
    }

    /// Two files that name the same identity mean the same tokens; it holds no secret.
    fn key(&self, client: u32) -> String {
        let row = self.row(client);
        let name = match &row.what {
            What::Password { username, .. } => format!("{}\n{username}", row.tenant),
            What::Tokens { access, refresh } => {
                format!("{}\n{}", row.tenant, refresh.as_ref().unwrap_or(access).expose())
            }
        };
        Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).simple().to_string()
    }
}
