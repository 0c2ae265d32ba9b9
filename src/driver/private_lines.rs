//! Files of lines that outlive a run and are nobody else's business: mode 0600, held by one run at a time, growing line by
//! line while it goes on and rewritten by the next one, or when most of it has long been overtaken.
//!
//! A line is given to the system before what it tells of happens; what a killed process had written is there, what a crash
//! of the machine leaves is as old as the system's cache. A line without its end was being written at that moment: what it
//! would have said did not happen, and it is dropped. So is a line of which a full disk took only the beginning, before the
//! next one is written: behind it, that one would be lost as well.

#![expect(clippy::disallowed_methods, reason = "these are files")]

use std::cell::{Cell, RefCell};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// One file, held by this run.
#[derive(Debug)]
pub(super) struct PrivateLines {
    path: PathBuf,
    file: RefCell<File>,
    /// Bytes that it had when it was rewritten last, and those that have come since.
    begun: Cell<u64>,
    grown: Cell<u64>,
    unwritten: Cell<u64>,
    /// The last line may be there in part.
    torn: Cell<bool>,
    /// Let go of when the run ends, however it ends.
    lock: File,
}

impl Drop for PrivateLines {
    fn drop(&mut self) {
        // A child that is being started at this moment has the lock open until it is another program: it does not hold what
        // we let go.
        let _ = self.lock.unlock();
    }
}

/// What a file is kept for, in the words of the messages about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose {
    /// Behind the path: "in which … are kept".
    pub what: &'static str,
    /// What becomes of it when two runs hold it.
    pub shared: &'static str,
    /// What else can be done when it cannot be used; empty: nothing.
    pub instead: &'static str,
}

/// Why a private file cannot be used; completes "failed to …".
#[derive(Debug, Error)]
pub enum PrivateFileError {
    /// The system says no.
    #[error("use `{path}`, {what}{instead}", path = .path.display(), what = .purpose.what, instead = .purpose.instead)]
    Broken {
        /// The file.
        path: PathBuf,
        /// What it is kept for.
        purpose: Purpose,
        /// What the system said.
        source: io::Error,
    },
    /// Another run holds it.
    #[error(
        "use `{path}`, {what}: another run (or a cleanup) has locked `{lock}`; {shared}",
        path = .path.display(), what = .purpose.what, lock = .lock.display(), shared = .purpose.shared
    )]
    Locked {
        /// The file.
        path: PathBuf,
        /// What it is kept for.
        purpose: Purpose,
        /// Its lock.
        lock: PathBuf,
    },
    /// Others may read it.
    #[error(
        "use `{path}`, {what}: others may read it (mode {mode:o}): chmod 600",
        path = .path.display(), what = .purpose.what
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// What it is kept for.
        purpose: Purpose,
        /// Its mode.
        mode: u32,
    },
}

/// The same before it is said of which file.
#[derive(Debug)]
enum Trouble {
    Broken(io::Error),
    Locked(PathBuf),
    Exposed(u32),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl Trouble {
    fn of(self, path: &Path, purpose: Purpose) -> PrivateFileError {
        let path = path.to_owned();
        match self {
            Self::Broken(source) => PrivateFileError::Broken { path, purpose, source },
            Self::Locked(lock) => PrivateFileError::Locked { path, purpose, lock },
            Self::Exposed(mode) => PrivateFileError::Exposed { path, purpose, mode },
        }
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
        purpose: Purpose,
        renew: impl FnOnce(&mut dyn Iterator<Item = &str>) -> String,
    ) -> Result<Self, PrivateFileError> {
        let held = || {
            let lock = lock(&beside(path, ".lock"))?;
            let old = read(path)?.unwrap_or_default();
            let text = renew(&mut whole_lines(&old));
            Ok((rewrite(path, &text)?, text.len() as u64, lock))
        };
        let (file, begun, lock) = held().map_err(|trouble: Trouble| trouble.of(path, purpose))?;
        Ok(Self {
            path: path.to_owned(),
            file: file.into(),
            begun: Cell::new(begun),
            grown: Cell::new(0),
            unwritten: Cell::new(0),
            torn: Cell::new(false),
            lock,
        })
    }

    /// Most of it says nothing any more: time to [`PrivateLines::renew`] it.
    pub(super) fn is_long(&self) -> bool {
        self.grown.get() > LONG.max(self.begun.get().saturating_mul(SHARE))
    }

    /// Puts this in the place of all of it. When the system says no, the file goes on as it is.
    pub(super) fn renew(&self, text: &str) {
        if let Ok(file) = rewrite(&self.path, text) {
            self.file.replace(file);
            self.torn.set(false);
            self.begun.set(text.len() as u64);
        }
        self.grown.set(0);
    }

    /// The whole lines of a file that nobody is kept from; none where there is no file.
    ///
    /// # Errors
    ///
    /// Others may read it, or the system says no.
    pub(super) fn look(path: &Path, purpose: Purpose) -> Result<Vec<String>, PrivateFileError> {
        let text = read(path).map_err(|trouble| trouble.of(path, purpose))?.unwrap_or_default();
        Ok(whole_lines(&text).map(str::to_owned).collect())
    }

    /// Appends a line, end included. One that cannot be written is counted.
    pub(super) fn write(&self, line: &str) -> bool {
        let mut file = self.file.borrow_mut();
        // The end of a line that is none: whoever reads the file passes it over.
        let mended = !self.torn.get() || file.write_all(b"\n").is_ok();
        let written = mended && file.write_all(line.as_bytes()).is_ok();
        self.torn.set(!written);
        self.grown.set(self.grown.get() + line.len() as u64);
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

/// A file that has grown by less is not long (ours).
const LONG: u64 = 4 * 1024 * 1024;
/// And one that has grown by less than so many times what it began with (ours): rewriting costs more than appending, and
/// holds up the loop.
const SHARE: u64 = 8;

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

fn read(path: &Path) -> Result<Option<String>, Trouble> {
    let mode = match fs::metadata(path) {
        Ok(there) => there.permissions().mode() & 0o777,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if mode & 0o077 != 0 {
        return Err(Trouble::Exposed(mode));
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

fn lock(path: &Path) -> Result<File, Trouble> {
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Trouble::Locked(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}
