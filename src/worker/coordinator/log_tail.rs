//! Follows the server's own log while it grows.
//!
//! Only what is written from the run's beginning on is read, in bounded pieces of whole lines. A file that shrinks or is
//! replaced (rotation) is read from its beginning again.

#![expect(clippy::disallowed_methods, reason = "the log is a file")]

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking, spawn_local};
use tokio::time::sleep;

use super::stage::Stage;
use crate::collector::LogPiece;
use crate::worker::conductor::Event;

/// Bytes of one piece.
const PIECE: u64 = 4 * 1024 * 1024;
/// A longer line is not read.
const LINE_MAX: usize = 64 * 1024;

/// A log, as far as it has been read.
#[derive(Debug)]
pub(super) struct LogTail {
    path: PathBuf,
    file: Option<File>,
    at: u64,
    /// The beginning of a line whose end is not written yet.
    rest: Vec<u8>,
    /// In the midst of a line that is too long.
    skipping: bool,
}

impl LogTail {
    /// At the end of what is there; a file that is not there yet is waited for, if it `may_come`.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub(super) fn at_end(path: &Path, may_come: bool) -> io::Result<Self> {
        let mut tail = Self { path: path.to_owned(), file: None, at: 0, rest: Vec::new(), skipping: false };
        match File::open(path) {
            Ok(mut file) => {
                if !file.metadata()?.is_file() {
                    return Err(io::Error::other("it is no file"));
                }
                tail.at = file.seek(SeekFrom::End(0))?;
                tail.file = Some(file);
            }
            Err(error) if may_come && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(tail)
    }

    /// What has been written since; `true`: there may be more. A file that cannot be read now may be readable later.
    pub(super) fn read(&mut self) -> (LogPiece, bool) {
        let mut piece = LogPiece::default();
        let read = self.read_some().unwrap_or_default();
        let more = read.len() as u64 == PIECE;
        for line in read.split_inclusive(|&byte| byte == b'\n') {
            self.take(line, &mut piece);
        }
        (piece, more)
    }

    fn take(&mut self, part: &[u8], piece: &mut LogPiece) {
        let ends = part.ends_with(b"\n");
        if self.skipping {
            self.skipping = !ends;
            return;
        }
        if self.rest.len() + part.len() > LINE_MAX {
            self.rest = Vec::new();
            piece.too_long += 1;
            self.skipping = !ends;
            return;
        }
        self.rest.extend_from_slice(part);
        if ends {
            piece.lines.append(&mut self.rest);
        }
    }

    fn read_some(&mut self) -> io::Result<Vec<u8>> {
        self.follow_rotation()?;
        let mut read = Vec::new();
        if let Some(file) = &mut self.file {
            self.at += file.take(PIECE).read_to_end(&mut read)? as u64;
        }
        Ok(read)
    }

    fn follow_rotation(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return self.begin_anew();
        };
        let open = file.metadata()?;
        if open.len() < self.at {
            self.at = file.seek(SeekFrom::Start(0))?;
            (self.rest, self.skipping) = (Vec::new(), false);
            return Ok(());
        }
        // What was written to the old file before it was put away comes first.
        let at_end = open.len() == self.at;
        match std::fs::metadata(&self.path) {
            Ok(named) if at_end && (named.dev(), named.ino()) != (open.dev(), open.ino()) => {
                self.begin_anew()
            }
            _ => Ok(()),
        }
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        self.file = Some(File::open(&self.path)?);
        (self.at, self.rest, self.skipping) = (0, Vec::new(), false);
        Ok(())
    }
}

/// Time between two looks at the log (ours).
const LOOK: Duration = Duration::from_secs(1);
/// What the last lines are given to reach the file, when everybody has left (ours).
const LAST_LINES: Duration = Duration::from_millis(1500);

const LAST_LOOKS: u32 = 100;

/// Reads a log into a stage, on a task of its own; reading never holds up the loop.
pub(super) struct LogFollower {
    task: JoinHandle<()>,
    tail: Rc<RefCell<Option<LogTail>>>,
}

impl LogFollower {
    /// Begins to follow.
    pub(super) fn begin(tail: LogTail, stage: &Rc<Stage>) -> Self {
        let tail = Rc::new(RefCell::new(Some(tail)));
        let (own, stage) = (Rc::clone(&tail), Rc::clone(stage));
        let task = spawn_local(async move {
            loop {
                sleep(LOOK).await;
                look(&own, &stage, false).await;
            }
        });
        Self { task, tail }
    }

    /// Reads what the last ones to leave have left behind, and stops.
    pub(super) async fn finish(self, stage: &Rc<Stage>) {
        sleep(LAST_LINES).await;
        // In the midst of a look the tail is away with it, and comes back.
        for _ in 0..LAST_LOOKS {
            if self.tail.borrow().is_some() {
                break;
            }
            sleep(LAST_LINES / LAST_LOOKS).await;
        }
        self.task.abort();
        look(&self.tail, stage, true).await;
    }
}

/// Reads all there is and tells of it; the `last` time whatever still waits is settled.
async fn look(slot: &Rc<RefCell<Option<LogTail>>>, stage: &Rc<Stage>, last: bool) {
    loop {
        let Some(mut tail) = slot.borrow_mut().take() else { return };
        let read = spawn_blocking(move || {
            let read = tail.read();
            (tail, read)
        });
        // Only a panic keeps it from coming back, and that is for others to tell.
        let Ok((tail, (piece, more))) = read.await else { return };
        *slot.borrow_mut() = Some(tail);
        stage.tell(Event::Logged(&LogPiece { last: last && !more, ..piece }));
        if !more {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;

    use super::*;

    fn append(path: &Path, text: &str) {
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).expect("written");
    }

    fn lines(tail: &mut LogTail) -> String {
        String::from_utf8(tail.read().0.lines).expect("text")
    }

    #[test]
    fn only_whole_lines_of_what_is_written_from_now_on_are_read() {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join("log");
        append(&path, "old\n");
        let mut tail = LogTail::at_end(&path, false).expect("readable");
        assert_eq!(lines(&mut tail), "");
        append(&path, "one\ntw");
        assert_eq!(lines(&mut tail), "one\n");
        append(&path, "o\nthree\n");
        assert_eq!(lines(&mut tail), "two\nthree\n");
        assert_eq!(lines(&mut tail), "");
    }

    #[test]
    fn a_log_that_is_rotated_or_cut_is_read_from_its_beginning() {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join("log");
        let mut tail = LogTail::at_end(&path, true).expect("it may come");
        assert_eq!(lines(&mut tail), "");
        append(&path, "one\n");
        assert_eq!(lines(&mut tail), "one\n");
        append(&path, "late\n");
        fs::rename(&path, place.path().join("log.1")).expect("put away");
        append(&path, "two\n");
        assert_eq!((lines(&mut tail), lines(&mut tail)), ("late\n".to_owned(), "two\n".to_owned()));
        fs::write(&path, "3\n").expect("cut");
        assert_eq!(lines(&mut tail), "3\n");
    }

    #[test]
    fn a_line_that_is_too_long_is_counted_and_what_is_behind_it_is_read() {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join("log");
        append(&path, "");
        let mut tail = LogTail::at_end(&path, false).expect("readable");
        append(&path, &"x".repeat(LINE_MAX));
        assert_eq!(tail.read(), (LogPiece::default(), false));
        append(&path, &"x".repeat(LINE_MAX));
        assert_eq!(tail.read().0.too_long, 1);
        assert!(tail.rest.is_empty(), "nothing is kept of it");
        append(&path, "\nnext\n");
        let (piece, _) = tail.read();
        assert_eq!((piece.lines, piece.too_long), (b"next\n".to_vec(), 0));
    }

    #[test]
    fn what_cannot_be_read_is_refused_at_once() {
        let place = tempfile::tempdir().expect("a place");
        assert!(LogTail::at_end(place.path(), true).is_err(), "a directory");
        assert!(LogTail::at_end(&place.path().join("none"), false).is_err());
    }
}
