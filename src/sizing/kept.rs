//! Finished runs, kept in the directory of what they are runs of: one line of JSON each, and what they are runs of beside
//! them, so that those of something else are not taken for its own. What is there is not played again.
#![expect(clippy::disallowed_methods, reason = "finished steps are kept in a file")]

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The steps of a directory.
#[derive(Debug)]
pub struct Kept<T> {
    path: PathBuf,
    steps: Vec<T>,
}

/// Completes "failed to …".
#[derive(Debug, Error)]
pub enum KeptError {
    /// The disk is full, or somebody took the directory away.
    #[error("write `{path}`", path = .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is there, and cannot be read.
    #[error("read `{path}`", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is there is no list of steps.
    #[error("read line {line} of `{path}` as a finished step: take it out, or begin anew in another directory", path = .path.display())]
    NoStep {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The directory is another one's.
    #[error(
        "go on with the steps kept beside `{path}`: they are of another profile or of other options; give the same ones, or \
         begin anew in another directory",
        path = .path.display()
    )]
    AnotherPlan {
        /// The file that says of which.
        path: PathBuf,
    },
}

/// What the steps in a directory are steps of.
const PLAN: &str = "plan.toml";
/// The steps.
const STEPS: &str = "steps.jsonl";

impl<T: Serialize + DeserializeOwned> Kept<T> {
    /// The steps of this directory, which must be of this plan or nobody's; one that is not there is made.
    ///
    /// # Errors
    ///
    /// [`KeptError`]
    pub fn open(directory: &Path, plan: &str) -> Result<Self, KeptError> {
        let made = fs::create_dir_all(directory);
        made.map_err(|source| KeptError::Write { path: directory.to_owned(), source })?;
        same_plan(&directory.join(PLAN), plan)?;
        Self::read(directory.join(STEPS))
    }

    /// What is in this file; without one, nothing is. Its last line may be torn: it was being written when the process was
    /// killed, and is played again.
    ///
    /// # Errors
    ///
    /// A line that is none of ours, named by its number.
    pub fn read(path: PathBuf) -> Result<Self, KeptError> {
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(KeptError::Read { path, source }),
            Ok(text) => text,
        };
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            // What follows would be written behind it, on the same line.
            let cut = OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(whole as u64));
            cut.map_err(|source| KeptError::Write { path: path.clone(), source })?;
        }
        let lines = (1..).zip(text[..whole].lines()).filter(|(_, line)| !line.trim().is_empty());
        let steps = lines.map(|(line, text)| {
            let no_step = |source| KeptError::NoStep { path: path.clone(), line, source };
            serde_json::from_str(text).map_err(no_step)
        });
        let steps = steps.collect::<Result<_, _>>()?;
        Ok(Self { path, steps })
    }

    /// The first of them like this.
    pub fn find(&self, like: impl Fn(&T) -> bool) -> Option<&T> {
        self.steps.iter().find(|step| like(step))
    }

    /// Another one is finished.
    ///
    /// # Errors
    ///
    /// [`KeptError::Write`]
    pub fn keep(&mut self, step: T) -> Result<&T, KeptError> {
        let failed = |source| KeptError::Write { path: self.path.clone(), source };
        let line = serde_json::to_string(&step).map_err(|error| failed(error.into()))?;
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path).map_err(failed)?;
        file.write_all(format!("{line}\n").as_bytes()).map_err(failed)?;
        self.steps.push(step);
        Ok(&self.steps[self.steps.len() - 1])
    }
}

fn same_plan(path: &Path, plan: &str) -> Result<(), KeptError> {
    let path = path.to_owned();
    match fs::read_to_string(&path) {
        Ok(there) if there == plan => Ok(()),
        Ok(_) => Err(KeptError::AnotherPlan { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::write(&path, plan).map_err(|source| KeptError::Write { path, source })
        }
        Err(source) => Err(KeptError::Read { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_found_again_by_who_has_the_same_plan_and_by_nobody_else() {
        let place = tempfile::tempdir().expect("a place");
        let mut kept: Kept<(String, u32)> = Kept::open(place.path(), "one").expect("nobody's");
        assert_eq!(kept.find(|_| true), None);
        kept.keep(("a".to_owned(), 1)).expect("kept");
        kept.keep(("b".to_owned(), 2)).expect("kept");
        let again: Kept<(String, u32)> = Kept::open(place.path(), "one").expect("its own");
        assert_eq!(again.find(|step| step.0 == "b"), Some(&("b".to_owned(), 2)));
        let refused = Kept::<(String, u32)>::open(place.path(), "two").expect_err("another plan");
        assert!(matches!(refused, KeptError::AnotherPlan { .. }), "{refused}");
    }

    #[test]
    fn a_line_that_was_being_written_is_played_again() {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join("kept.jsonl");
        fs::write(&path, "3\n5\n8").expect("torn");
        let mut kept: Kept<u32> = Kept::read(path.clone()).expect("readable");
        assert_eq!((kept.find(|&number| number > 3), kept.find(|&number| number == 8)), (Some(&5), None));
        kept.keep(9).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("there"), "3\n5\n9\n");
    }

    #[test]
    fn a_line_that_is_no_step_is_named() {
        let place = tempfile::tempdir().expect("a place");
        fs::write(place.path().join(STEPS), "[\"a\", 1]\n\n{}\n").expect("written");
        let refused = Kept::<(String, u32)>::open(place.path(), "one").expect_err("a line that is none");
        assert!(refused.to_string().contains("read line 3 of"), "{refused}");
    }
}
