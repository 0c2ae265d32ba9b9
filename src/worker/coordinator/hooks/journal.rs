//! What has to be taken back, on disk: a run that is killed leaves it for the next one.
//!
//! One file a run (lines of JSON, mode 0600, in a directory of mode 0700), locked while the run lives. An entry is on disk
//! before its command starts, and is crossed out when its undo has succeeded; a file without open entries is removed. Entries
//! are numbered in the file itself: what a full disk took only in part, or took and could not promise to keep, moves no
//! other one. The
//! place belongs to the user and not to a run's output, for the next run may write elsewhere:
//! `$XDG_STATE_HOME/wavesoak/hooks`, else `$HOME/.local/state/wavesoak/hooks`.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Larger is no journal of ours.
const BYTES_MAX: u64 = 4 * 1024 * 1024;
/// So many are looked at.
const FILES_MAX: usize = 1_000;

/// Where the journals of this user are; `None`: nobody says where.
pub fn place() -> Option<PathBuf> {
    let said = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = said("XDG_STATE_HOME").or_else(|| said("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("wavesoak/hooks"))
}

/// What takes a command back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Name of the fault.
    pub(super) fault: String,
    /// Name of the profile.
    pub(super) profile: String,
    /// Program and arguments.
    pub(super) argv: Vec<String>,
    /// What it may take.
    pub(super) timeout: Duration,
}

/// A journal that is held by this process.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    entries: Entries,
    /// The number of the next entry.
    next: usize,
    /// The last line may be there in part.
    torn: bool,
}

/// By number, each with whether it is crossed out.
type Entries = BTreeMap<usize, (Entry, bool)>;

/// Completes "failed to …".
#[derive(Debug, Error)]
pub(in super::super) enum JournalError {
    #[error("keep a journal of what commands must be taken back in `{path}`", path = .path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error(
        "trust `{path}`, a journal of commands to run: others may write it (mode {mode:o}): chmod 600",
        path = .path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
    #[error(
        "trust `{path}`, a journal of commands to run: it belongs to user {owner} and not to you; look at it, and remove it",
        path = .path.display()
    )]
    Foreign { path: PathBuf, owner: u32 },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Begun {
        /// Its number; journals of before had none, and counted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number: Option<usize>,
        #[serde(flatten)]
        entry: Entry,
    },
    /// Number of an entry.
    Undone(usize),
}

impl Journal {
    /// A new one.
    ///
    /// # Errors
    ///
    /// The place cannot be made or written.
    pub(super) fn create(place: &Path) -> Result<Self, JournalError> {
        let broken = |source| JournalError::Open { path: place.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(place).map_err(broken)?;
        let mut file = tempfile::Builder::new();
        let file = file.prefix("run-").suffix(".jsonl").permissions(fs::Permissions::from_mode(0o600));
        let (file, path) =
            file.tempfile_in(place).map_err(broken)?.keep().map_err(|error| broken(error.error))?;
        file.try_lock().map_err(|error| broken(io::Error::other(error)))?;
        Ok(Self { path, file, entries: Entries::new(), next: 0, torn: false })
    }

    /// Those that runs have left behind with something still to be taken back; those of runs that live are not touched.
    ///
    /// # Errors
    ///
    /// One of them cannot be read, or could have been written by others.
    pub(super) fn left_behind(place: &Path) -> Result<Vec<Self>, JournalError> {
        let broken = |source| JournalError::Open { path: place.to_owned(), source };
        let files = match fs::read_dir(place) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(broken(error)),
        };
        let mut paths = Vec::new();
        for file in files.take(FILES_MAX) {
            let path = file.map_err(broken)?.path();
            if path.extension().is_some_and(|ending| ending == "jsonl") {
                paths.push(path);
            }
        }
        paths.sort();
        let mut left = Vec::new();
        for path in paths {
            if let Some(journal) = Self::read(path)? {
                left.push(journal);
            }
        }
        Ok(left)
    }

    /// `None`: its run lives, or it has nothing to say.
    fn read(path: PathBuf) -> Result<Option<Self>, JournalError> {
        let broken = |source| JournalError::Open { path: path.clone(), source };
        let mut file = OpenOptions::new().read(true).append(true).open(&path).map_err(broken)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(broken(source)),
        }
        let about = file.metadata().map_err(broken)?;
        let mode = about.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(JournalError::Exposed { path, mode });
        }
        if about.uid() != rustix::process::geteuid().as_raw() {
            return Err(JournalError::Foreign { path, owner: about.uid() });
        }
        let mut text = String::new();
        (&mut file).take(BYTES_MAX).read_to_string(&mut text).map_err(broken)?;
        if about.len() >= BYTES_MAX {
            return Err(broken(io::Error::other("it is larger than any journal of ours")));
        }
        let entries = entries(&text);
        let next = entries.last_key_value().map_or(0, |(last, _)| last + 1);
        let journal = Self { entries, path, file, next, torn: !text.is_empty() && !text.ends_with('\n') };
        if journal.open().next().is_none() {
            journal.close();
            return Ok(None);
        }
        Ok(Some(journal))
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Entries that are not crossed out, the newest first: what was done last is taken back first.
    pub(super) fn open(&self) -> impl Iterator<Item = (usize, &Entry)> {
        let open = self.entries.iter().rev().filter(|(_, (_, undone))| !undone);
        open.map(|(number, (entry, _))| (*number, entry))
    }

    /// The newest of them.
    pub(super) fn newest(&self) -> Option<(usize, Entry)> {
        self.open().next().map(|(index, entry)| (index, entry.clone()))
    }

    /// A command is about to start.
    ///
    /// # Errors
    ///
    /// That cannot be written down; the command must not start.
    pub(super) fn begin(&mut self, entry: Entry) -> io::Result<usize> {
        let number = self.next;
        self.next += 1;
        if let Err(error) = self.write(&Line::Begun { number: Some(number), entry: entry.clone() }) {
            // It may be there all the same, and is not to be taken back: it will not have begun.
            let _ = self.write(&Line::Undone(number));
            return Err(error);
        }
        self.entries.insert(number, (entry, false));
        Ok(number)
    }

    /// It has been taken back.
    ///
    /// # Errors
    ///
    /// That cannot be written down: the next run will take it back once more.
    pub(super) fn undone(&mut self, number: usize) -> io::Result<()> {
        if let Some((_, undone)) = self.entries.get_mut(&number) {
            *undone = true;
        }
        self.write(&Line::Undone(number))
    }

    /// The run ends: a journal without open entries is removed, another one stays.
    pub(super) fn close(self) {
        if self.open().next().is_none() {
            // What cannot be removed says nothing: the next run will try again.
            let _ = fs::remove_file(&self.path);
        }
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        // What is there of a line that was written in part must not become the beginning of this one.
        let end = if self.torn { "\n" } else { "" };
        let text = format!("{end}{}\n", serde_json::to_string(line)?);
        self.torn = true;
        self.file.write_all(text.as_bytes())?;
        self.torn = false;
        self.file.sync_data()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // A child that is being started at this moment has the file open until it is another program: it does not hold what
        // we let go.
        let _ = self.file.unlock();
    }
}

/// A line without its end was being written when the process was killed: its command had not started, or its undo is
/// repeated.
fn entries(text: &str) -> Entries {
    let mut entries = Entries::new();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        match serde_json::from_str(line) {
            Ok(Line::Begun { number, entry }) => {
                let next = entries.last_key_value().map_or(0, |(last, _)| last + 1);
                entries.insert(number.unwrap_or(next), (entry, false));
            }
            Ok(Line::Undone(number)) => {
                if let Some((_, undone)) = entries.get_mut(&number) {
                    *undone = true;
                }
            }
            Err(_) => {}
        }
    }
    entries
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the journal is a file")]
mod tests {
    use super::*;

    fn entry(fault: &str) -> Entry {
        Entry {
            fault: fault.to_owned(),
            profile: "p".to_owned(),
            argv: vec!["true".to_owned()],
            timeout: Duration::from_secs(60),
        }
    }

    fn faults(journal: &Journal) -> Vec<&str> {
        journal.open().map(|(_, entry)| entry.fault.as_str()).collect()
    }

    /// What a killed run has left. Other tests start commands: until such a child has become what it is to be, it holds the
    /// lock of a journal that was open when it was made.
    fn left(place: &Path) -> Vec<Journal> {
        let mut looks = std::iter::repeat_with(|| Journal::left_behind(place).expect("readable"));
        looks
            .by_ref()
            .take(1_000_000)
            .inspect(|_| std::thread::yield_now())
            .find(|left| !left.is_empty())
            .unwrap_or_default()
    }

    fn files(place: &Path) -> usize {
        fs::read_dir(place).expect("there").count()
    }

    #[test]
    fn what_a_killed_run_had_not_taken_back_is_found_newest_first() {
        let place = tempfile::tempdir().expect("a place");
        let place = place.path().join("a/b");
        assert!(Journal::left_behind(&place).expect("nothing there").is_empty());
        let mut journal = Journal::create(&place).expect("made");
        for fault in ["one", "two", "three"] {
            journal.begin(entry(fault)).expect("written");
        }
        journal.undone(1).expect("written");
        assert!(Journal::left_behind(&place).expect("readable").is_empty(), "its run lives");
        // As a kill would: nothing is closed.
        drop(journal);
        let mut found = left(&place);
        assert_eq!(found.len(), 1);
        assert_eq!(faults(&found[0]), ["three", "one"]);
        found[0].undone(2).expect("written");
        drop(found);
        let mut found = left(&place);
        assert_eq!(faults(&found[0]), ["one"]);
        found[0].undone(0).expect("written");
        found.into_iter().for_each(Journal::close);
        assert_eq!(files(&place), 0);
    }

    #[test]
    fn a_run_that_took_everything_back_leaves_nothing() {
        let place = tempfile::tempdir().expect("a place");
        let mut journal = Journal::create(place.path()).expect("made");
        let index = journal.begin(entry("one")).expect("written");
        journal.undone(index).expect("written");
        assert_eq!(fs::metadata(journal.path()).expect("there").permissions().mode() & 0o777, 0o600);
        journal.close();
        drop(Journal::create(place.path()).expect("made"));
        assert_eq!(files(place.path()), 1, "killed before its first command");
        assert!(Journal::left_behind(place.path()).expect("readable").is_empty());
        assert_eq!(files(place.path()), 0, "put away by whoever looks next");
    }

    #[test]
    fn a_half_written_line_did_not_happen() {
        let place = tempfile::tempdir().expect("a place");
        let mut journal = Journal::create(place.path()).expect("made");
        journal.begin(entry("one")).expect("written");
        journal.begin(entry("two")).expect("written");
        let text = fs::read_to_string(journal.path()).expect("there");
        let whole = text.len() - 1;
        let second = text.find('\n').expect("two lines");
        for (length, expected) in [(0, 0), (second, 0), (second + 1, 1), (whole, 1), (whole + 1, 2)] {
            assert_eq!(entries(&text[..length]).len(), expected, "{length}");
        }
    }

    #[test]
    fn what_a_full_disk_took_in_part_moves_no_other_entry() {
        let place = tempfile::tempdir().expect("a place");
        let mut journal = Journal::create(place.path()).expect("made");
        journal.begin(entry("one")).expect("written");
        let all = OpenOptions::new().append(true).open(journal.path()).expect("for writing");
        io::Write::write_all(&mut &all, b"{\"begun\":{\"number\":1,\"fau").expect("written");
        journal.file = File::open(journal.path()).expect("for reading");
        journal.begin(entry("two")).expect_err("nothing is taken");
        journal.file = all;
        let three = journal.begin(entry("three")).expect("there is room again");
        journal.begin(entry("four")).expect("written");
        journal.undone(three).expect("written");
        let text = fs::read_to_string(journal.path()).expect("there");
        let open: Vec<String> = entries(&text)
            .into_values()
            .filter(|(_, undone)| !undone)
            .map(|(entry, _)| entry.fault)
            .collect();
        assert_eq!(open, ["one", "four"]);
    }

    #[test]
    fn a_journal_without_numbers_is_read_as_it_was_meant() {
        let old = |fault: &str| {
            format!(
                "{{\"begun\":{{\"fault\":\"{fault}\",\"profile\":\"p\",\"argv\":[\"true\"],\
                 \"timeout\":{{\"secs\":60,\"nanos\":0}}}}}}\n"
            )
        };
        let text = format!("{}{}{{\"undone\":0}}\n", old("one"), old("two"));
        let read: Vec<_> =
            entries(&text).into_iter().map(|(at, (entry, undone))| (at, entry.fault, undone)).collect();
        assert_eq!(read, [(0, "one".to_owned(), true), (1, "two".to_owned(), false)]);
    }

    #[test]
    fn what_others_could_have_written_is_not_run() {
        let place = tempfile::tempdir().expect("a place");
        let mut journal = Journal::create(place.path()).expect("made");
        journal.begin(entry("one")).expect("written");
        let path = journal.path().to_owned();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o622)).expect("changed");
        drop(journal);
        let refused = Journal::left_behind(place.path()).expect_err("for everybody").to_string();
        assert!(refused.contains("chmod 600"), "{refused}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");
        // Only root may give a file away.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(12_345), None).expect("given away");
            let refused = Journal::left_behind(place.path()).expect_err("of another user").to_string();
            assert!(refused.contains("user 12345"), "{refused}");
        }
    }
}
