//! The identities of the target as a credentials file, for a run with `auth.mode = "password"`.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::plan::Population;
use crate::secret::Secret;

use super::token::password_of;

/// Writes `tenant_id,username,password` for everybody of this population, readable by its owner only. A file that is there
/// already is replaced.
///
/// # Errors
/// The system's.
pub fn write(path: &Path, key: &Secret, population: &Population) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let mut out = csv::Writer::from_writer(file);
    out.write_record(["tenant_id", "username", "password"])?;
    for client in 0..population.clients() {
        let (tenant, username) =
            (population.tenant_name(population.tenant_of(client)), population.username(client));
        let password = password_of(key, &tenant, &username);
        out.write_record([&tenant, &format!("{username}@{tenant}"), password.expose()])?;
    }
    out.flush()
}
