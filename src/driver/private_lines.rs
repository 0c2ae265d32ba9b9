//! Files of lines that outlive a run and are nobody else's business: mode 0600, held by one run at a time, growing line by
//! line while it goes on and rewritten by the next one.
//!
//! A line is given to the system before what it tells of happens; what a killed process had written is there, what a crash
//! of the machine leaves is as old as the system's cache. A line without its end was being written at that moment: what it
//! would have said did not happen, and it is dropped.

#![expect(clippy::disallowed_methods, reason = "these are files")]

use std::cell::{Cell, RefCell};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// One file, held by this run.
#[derive(Debug)]
pub(super) struct PrivateLines {
    file: RefCell<File>,
    unwritten: Cell<u64>,
    /// Let go of when the run ends, however it ends.
    _lock: File,
}

/// Why a file cannot be held; whoever wants it says what it is for.
#[derive(Debug)]
pub(super) enum Unavailable {
    /// The system says no.
    Broken(io::Error),
    /// Another run holds it: the path of the lock.
    Locked(PathBuf),
    /// Others may read it: its mode.
    Exposed(u32),
}

impl From<io::Error> for Unavailable {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl PrivateLines {
    /// Takes hold of the file, making it when it is not there. `renew` is given its whole lines and says what the file is
    /// to begin with from now on.
    ///
    /// # Errors
    ///
    /// Another run has it, others may read it, or the system says no.
    pub(super) fn open(
        path: &Path,
        renew: impl FnOnce(&mut dyn Iterator<Item = &str>) -> String,
    ) -> Result<Self, Unavailable> {
        let lock = lock(&beside(path, ".lock"))?;
        let old = read(path)?.unwrap_or_default();
        let file = rewrite(path, &renew(&mut whole_lines(&old)))?;
        Ok(Self { file: file.into(), unwritten: Cell::new(0), _lock: lock })
    }

    /// The whole lines of a file that nobody is kept from; none where there is no file.
    ///
    /// # Errors
    ///
    /// Others may read it, or the system says no.
    pub(super) fn look(path: &Path) -> Result<Vec<String>, Unavailable> {
        let text = read(path)?.unwrap_or_default();
        Ok(whole_lines(&text).map(str::to_owned).collect())
    }

    /// Appends a line, end included. One that cannot be written is counted.
    pub(super) fn write(&self, line: &str) -> bool {
        let written = self.file.borrow_mut().write_all(line.as_bytes()).is_ok();
        self.unwritten.set(self.unwritten.get() + u64::from(!written));
        written
    }

    /// Lines that could not be written.
    pub(super) fn unwritten(&self) -> u64 {
        self.unwritten.get()
    }

    /// From now on lines go to this file.
    #[cfg(test)]
    pub(super) fn replace(&self, file: File) {
        *self.file.borrow_mut() = file;
    }
}

/// The path with something behind its name.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Lines that have their end, without it.
pub(super) fn whole_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}

fn read(path: &Path) -> Result<Option<String>, Unavailable> {
    let mode = match fs::metadata(path) {
        Ok(there) => there.permissions().mode() & 0o777,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if mode & 0o077 != 0 {
        return Err(Unavailable::Exposed(mode));
    }
    Ok(Some(fs::read_to_string(path)?))
}

/// Beside its place, and then renamed; the file goes on from there.
fn rewrite(path: &Path, text: &str) -> io::Result<File> {
    let beside = beside(path, ".new");
    let mut options = OpenOptions::new();
    let _ = fs::remove_file(&beside);
    let mut file = options.create_new(true).append(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    Ok(file)
}

fn lock(path: &Path) -> Result<File, Unavailable> {
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Unavailable::Locked(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}
