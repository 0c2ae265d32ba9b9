//! What commands need of their own: the binary, files for an answer, an answer as JSON.

#![expect(clippy::disallowed_methods, reason = "answers are written into files")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

use super::exit::Failure;

/// Completes "failed to …".
#[derive(Debug, Error)]
pub(super) enum OwnError {
    #[error("find the binary that the embedded target is started from")]
    Exe(#[source] io::Error),
    #[error("create `{path}`", path = .path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error("write `{path}`", path = .path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("render the answer as JSON")]
    Json(#[source] serde_json::Error),
}

/// The binary that embedded targets are made of.
pub(super) fn exe() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| Failure::internal(OwnError::Exe(error)))
}

/// With a line's end behind it.
pub(super) fn json(answer: &impl Serialize) -> Result<String, Failure> {
    let json = serde_json::to_string_pretty(answer);
    Ok(json.map_err(|error| Failure::internal(OwnError::Json(error)))? + "\n")
}

/// A directory, and those that it is in.
pub(super) fn make(path: &Path) -> Result<(), OwnError> {
    fs::create_dir_all(path).map_err(|source| OwnError::Create { path: path.to_owned(), source })
}

/// Beside its place and then renamed, so that a file is never half of one.
pub(super) fn write(path: &Path, text: &str) -> Result<(), OwnError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    written.map_err(|source| OwnError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join("answer.json");
        for text in ["one\n", "two\n"] {
            write(&path, text).expect("written");
            assert_eq!(fs::read_to_string(&path).expect("there"), text);
        }
        assert_eq!(fs::read_dir(place.path()).expect("there").count(), 1);
        let nowhere = write(&place.path().join("none/answer.json"), "").expect_err("no such directory");
        assert!(nowhere.to_string().contains("none/answer.json"), "{nowhere}");
    }
}
