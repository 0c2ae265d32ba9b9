//! Finished runs of a sizing on disk, one line of JSON each: what is there is not played again.
#![expect(clippy::disallowed_methods, reason = "finished steps are kept in a file")]

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::pods::SizingError;

/// Those of an earlier sizing in the same directory, and where further ones go.
pub(super) struct Kept<T> {
    path: PathBuf,
    all: Vec<T>,
}

impl<T: Serialize + DeserializeOwned> Kept<T> {
    /// What is in this file; without one, nothing is.
    ///
    /// # Errors
    ///
    /// A line that is none of ours, named by its number. The last one may be torn: it was being written when the sizing was
    /// killed, and is played again.
    pub(super) fn open(path: &Path) -> Result<Self, SizingError> {
        let failed = |source| SizingError::Write { path: path.to_owned(), source };
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            text => text.unwrap_or_default(),
        };
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            // What follows would be written behind it, on the same line.
            let file = OpenOptions::new().write(true).open(path).map_err(failed)?;
            file.set_len(whole as u64).map_err(failed)?;
        }
        let lines = (1..).zip(text[..whole].lines()).filter(|(_, line)| !line.trim().is_empty());
        let all = lines.map(|(line, text)| {
            serde_json::from_str(text).map_err(|source| SizingError::Kept {
                path: path.to_owned(),
                line,
                source,
            })
        });
        Ok(Self { path: path.to_owned(), all: all.collect::<Result<_, _>>()? })
    }

    /// The first that is the one.
    pub(super) fn find(&self, is: impl Fn(&T) -> bool) -> Option<&T> {
        self.all.iter().find(|one| is(one))
    }

    /// Keeps one that has just been played.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub(super) fn keep(&mut self, one: &T) -> Result<(), SizingError> {
        let failed = |source| SizingError::Write { path: self.path.clone(), source };
        let line = serde_json::to_string(one).map_err(|error| failed(error.into()))?;
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path).map_err(failed)?;
        file.write_all(format!("{line}\n").as_bytes()).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_again_but_for_a_line_that_was_being_written() {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join("kept.jsonl");
        let mut kept: Kept<u32> = Kept::open(&path).expect("nothing there");
        for number in [3, 5, 8] {
            kept.keep(&number).expect("written");
        }
        fs::write(&path, "3\n5\n8").expect("torn");
        let mut kept: Kept<u32> = Kept::open(&path).expect("readable");
        assert_eq!((kept.find(|&number| number > 3), kept.find(|&number| number == 8)), (Some(&5), None));
        kept.keep(&9).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("there"), "3\n5\n9\n");
        fs::write(&path, "3\nfive\n").expect("written");
        let refused = Kept::<u32>::open(&path).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("line 2 of"), "{refused}");
    }
}
