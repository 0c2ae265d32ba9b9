//! Where the text of a profile comes from.
#![expect(clippy::disallowed_methods, reason = "the one place that reads a profile's file")]

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::builtin::{Builtin, builtin, builtins};
use super::error::ProfileError;
use super::load::{Loaded, TEXT_MAX, parse};
use super::nearest::nearest;
use super::overrides::Override;
use super::quantity::did_you_mean;

/// A profile's text, before it is read.
#[derive(Clone, Debug)]
pub enum Source {
    /// In a file.
    Path(PathBuf),
    /// In the binary.
    Builtin(&'static Builtin),
}

impl Source {
    /// What `PROFILE` on a command line means: a path if there is such a file, or if it has a `/` or ends in
    /// `.toml`; else the name of a built-in profile.
    ///
    /// Fails when it is neither.
    pub fn find(name: &str) -> Result<Self, ProfileError> {
        let path = Path::new(name);
        if name.contains('/') || name.ends_with(".toml") || path.is_file() {
            return Ok(Self::Path(path.to_owned()));
        }
        let not_found = || {
            let names: Vec<&str> = builtins().iter().map(|builtin| builtin.name).collect();
            ProfileError::NotFound {
                name: name.to_owned(),
                builtins: names.join(", "),
                advice: did_you_mean(nearest(name, names)),
            }
        };
        builtin(name).map(Self::Builtin).ok_or_else(not_found)
    }
}

/// Finds and reads a profile; the path of a file, as it was given, is the origin that errors name.
///
/// Fails when the file cannot be read, and for every reason that [`parse`] has.
pub fn load(source: &Source, overrides: &[Override]) -> Result<Loaded, ProfileError> {
    match source {
        Source::Builtin(builtin) => parse(builtin.text, builtin.name, overrides),
        Source::Path(path) => {
            let origin = path.display().to_string();
            let failed = |source| ProfileError::Read { path: origin.clone(), source };
            let text = read(path).map_err(failed)?;
            parse(&text, &origin, overrides)
        }
    }
}

/// One byte more than a profile may have is enough to know that it has too many.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(TEXT_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_built_in_profile_and_a_path_is_a_file() {
        assert!(matches!(Source::find("smoke"), Ok(Source::Builtin(builtin)) if builtin.name == "smoke"));
        for path in ["./smoke", "smoke.toml", "profiles/smoke.toml"] {
            assert!(matches!(Source::find(path), Ok(Source::Path(_))), "{path}");
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_built_in_profiles() {
        let error = Source::find("smok").unwrap_err().to_string();
        assert!(
            error.starts_with("find the profile `smok`: there is no such file, and the built-in"),
            "{error}"
        );
        assert!(error.ends_with("did you mean `smoke`?"), "{error}");
    }

    #[test]
    fn a_file_is_read_and_named_in_its_errors() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mine.toml");
        std::fs::write(&path, "[[phase]]\nduration = '5s'\nclients = '100%'").unwrap();
        let loaded = load(&Source::Path(path.clone()), &[]).unwrap();
        assert_eq!(loaded.profile.name, "mine");

        std::fs::write(&path, "seed = 'x'").unwrap();
        let error = load(&Source::Path(path.clone()), &[]).unwrap_err().to_string();
        assert!(error.contains("mine.toml: `seed` = \"x\": "), "{error}");

        std::fs::write(&path, "#".repeat(TEXT_MAX + 2)).unwrap();
        let error = load(&Source::Path(path), &[]).unwrap_err().to_string();
        assert!(
            error.ends_with("mine.toml: it is larger than 1048576 bytes, which no profile is"),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = load(&Source::Path("nowhere/x.toml".into()), &[]).unwrap_err().to_string();
        assert!(error.starts_with("read the profile nowhere/x.toml: "), "{error}");
    }
}
