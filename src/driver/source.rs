//! Where the first tokens of identities come from, as a profile's `[auth]` says.

use thiserror::Error;
use uuid::Uuid;

use super::clock::Clock;
use super::identities::{Identities, IdentitiesError};
use super::minter::Minter;
use super::tokens::Source;
use crate::plan::Population;
use crate::profile::{AuthMode, Profile};
use crate::secret::Secret;

/// Why there are none; completes "failed to …".
#[derive(Debug, Error)]
pub enum SourceError {
    /// Development tokens need the target's key.
    #[error(
        "sign tokens for the target: auth.mode is dev-jwt, and auth.key_file names no key \
         (`wavesoak target` prints the path of its own)"
    )]
    NoKey,
    /// The key file cannot be read.
    #[error("read the key file `{path}` (auth.key_file)")]
    KeyFile {
        /// As in the profile.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The credentials file, or what is kept beside it.
    #[error(transparent)]
    Identities(#[from] IdentitiesError),
}

impl Source {
    /// As the profile says. `key` signs development tokens where the target is our own; else its file does.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or used.
    pub fn of(
        profile: &Profile,
        population: &Population,
        run: Uuid,
        clock: Clock,
        key: Option<Secret>,
    ) -> Result<Self, SourceError> {
        match (profile.auth.mode, &profile.auth.credentials) {
            (AuthMode::Mock, _) => return Ok(Self::Mock(run.simple().to_string())),
            (mode @ (AuthMode::Password | AuthMode::Tokens), Some(path)) => {
                return Ok(Self::Identities(Identities::load(path.as_ref(), mode, population)?));
            }
            (AuthMode::DevJwt | AuthMode::Password | AuthMode::Tokens, _) => {}
        }
        let key = match key {
            Some(key) => key,
            None => key_from_file(profile.auth.key_file.as_deref())?,
        };
        let lifetime = profile.target.embedded.token_lifetime;
        Ok(Self::Minted(Minter::new(&key, run, population.clone(), clock.epoch_unix_s(), lifetime)))
    }
}

#[expect(clippy::disallowed_methods, reason = "the key comes from a private file, never by flag")]
fn key_from_file(path: Option<&str>) -> Result<Secret, SourceError> {
    let path = path.ok_or(SourceError::NoKey)?;
    let text = std::fs::read_to_string(path)
        .map_err(|source| SourceError::KeyFile { path: path.to_owned(), source })?;
    Ok(Secret::new(text.trim()))
}
