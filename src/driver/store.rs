//! The durable store of positions: one file in the run directory, written and read by a thread of its own.
//!
//! What a flush holds is handed over and never waited for by a client; the thread keeps the whole state, writes it to
//! the older slot of the file ([`crate::positions::image`]) and makes it durable (`fdatasync`) before it says so. A
//! restart reads the file anew, as a process that was started again would.
//!
//! A slot is written whole, also when little has changed: 80 KB for 10,000 clients in one write and one `fdatasync`, and
//! nothing to replay or to compact. Measured when everybody has moved, which is the case that costs (ext4, median until
//! durable; KB written): 4 ms and 82 for 10,000 clients, 8 ms and 7,800 for a million. An embedded database (redb 3) wrote
//! three times as much and took 12 ms and 1.2 s; replacing a whole file atomically took 12 and 20 ms, for a new file and
//! a directory entry each time, and leaves no older state behind.
#![expect(clippy::disallowed_methods, reason = "the store is a file, and how long it takes is measured")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::positions::Flush;
use crate::positions::image::{Image, Layout};
use crate::wire::Position;

/// The store of one worker's clients.
#[derive(Debug)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
}

/// A flush that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes written.
    pub bytes: u64,
    /// From the first byte until it was durable.
    pub took: Duration,
}

/// Fragments that complete "failed to …".
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file could not be made, or not at its full size.
    #[error("create `{}` for the clients' positions", path.display())]
    Create {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The thread did not start.
    #[error("start the thread that stores positions")]
    Thread(#[source] io::Error),
    /// A flush did not become durable.
    #[error("write `{}`", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file could not be read.
    #[error("read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The thread has ended before its time.
    #[error("reach the thread that stores positions")]
    Gone,
}

/// Its name in the run directory.
pub const FILE: &str = "positions";

/// Jobs that wait; whoever has one more waits with it. There is one flush at a time, and one load a restart.
const JOBS: usize = 16;

enum Job {
    Flush { flush: Flush, done: oneshot::Sender<(Flush, Result<Written, StoreError>)> },
    Load { done: oneshot::Sender<Result<Image, StoreError>> },
}

impl Store {
    /// Makes the file, at its full size and with nothing in it, and starts the thread. The file must not be there yet.
    ///
    /// # Errors
    ///
    /// [`StoreError::Create`], [`StoreError::Thread`]
    pub fn begin(path: &Path, run: Uuid, clients: u32) -> Result<Self, StoreError> {
        let layout = Layout { run, clients };
        let file =
            create(path, &layout).map_err(|source| StoreError::Create { path: path.to_owned(), source })?;
        let positions = vec![0; clients as usize];
        let keeper = Keeper { path: path.to_owned(), file, layout, generation: 0, positions };
        let (jobs, receiver) = mpsc::channel(JOBS);
        let begun = thread::Builder::new().name("positions".to_owned()).spawn(|| keeper.keep(receiver));
        begun.map_err(StoreError::Thread)?;
        Ok(Self { jobs })
    }

    /// Makes these durable, beside all that was before; gives them back with what came of it.
    pub async fn flush(&self, flush: Flush) -> (Flush, Result<Written, StoreError>) {
        let (done, told) = oneshot::channel();
        if let Err(unsent) = self.jobs.send(Job::Flush { flush, done }).await {
            let Job::Flush { flush, .. } = unsent.0 else { return (Flush::new(), Err(StoreError::Gone)) };
            return (flush, Err(StoreError::Gone));
        }
        told.await.unwrap_or_else(|_| (Flush::new(), Err(StoreError::Gone)))
    }

    /// What the file has, read anew, once every flush that was asked for before is through.
    ///
    /// # Errors
    ///
    /// [`StoreError::Read`], [`StoreError::Gone`]
    pub async fn load(&self) -> Result<Image, StoreError> {
        let (done, told) = oneshot::channel();
        self.jobs.send(Job::Load { done }).await.map_err(|_| StoreError::Gone)?;
        told.await.unwrap_or(Err(StoreError::Gone))
    }
}

/// What the file of a run has, whoever wrote it and however that ended.
///
/// # Errors
///
/// [`StoreError::Read`]; a file that is torn is no error.
pub fn load(path: &Path, layout: &Layout) -> Result<Image, StoreError> {
    let bytes = fs::read(path).map_err(|source| StoreError::Read { path: path.to_owned(), source })?;
    Ok(layout.read(&bytes))
}

/// The thread's own.
struct Keeper {
    path: PathBuf,
    file: File,
    layout: Layout,
    /// Of the next flush.
    generation: u64,
    positions: Vec<Position>,
}

impl Keeper {
    fn keep(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            // Whoever asked may be gone; the file is not.
            match job {
                Job::Flush { flush, done } => {
                    let written = self.flush(&flush);
                    drop(done.send((flush, written)));
                }
                Job::Load { done } => drop(done.send(load(&self.path, &self.layout))),
            }
        }
    }

    fn flush(&mut self, flush: &[(u32, Position)]) -> Result<Written, StoreError> {
        for &(client, position) in flush {
            let stored = &mut self.positions[client as usize];
            *stored = position.max(*stored);
        }
        let began = Instant::now();
        let slot = self.layout.encode(self.generation, &self.positions);
        let offset = self.layout.offset_of(self.generation) as u64;
        let written = self.file.write_all_at(&slot, offset).and_then(|()| self.file.sync_data());
        written.map_err(|source| StoreError::Write { path: self.path.clone(), source })?;
        // Only now: what did not become durable is written to the same slot again, and the other one stays whole.
        self.generation += 1;
        Ok(Written { bytes: slot.len() as u64, took: began.elapsed() })
    }
}

fn create(path: &Path, layout: &Layout) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.set_len(layout.file_bytes() as u64)?;
    file.sync_all()?;
    // The name as well.
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Uuid = Uuid::from_u128(7);

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
    }

    #[test]
    fn what_was_flushed_is_loaded_and_what_was_not_is_not() {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join(FILE);
        let store = Store::begin(&path, RUN, 4).expect("a store");
        run(async {
            assert_eq!(store.load().await.expect("a file"), Image::default());
            let (flush, written) = store.flush(vec![(1, 10), (3, 30)]).await;
            let bytes = written.expect("written").bytes;
            assert_eq!((flush, bytes), (vec![(1, 10), (3, 30)], 40 + 4 * 8));
            store.flush(vec![(1, 11)]).await.1.expect("written");
            let image = store.load().await.expect("a file");
            assert_eq!([0, 1, 2, 3].map(|client| image.position(client)), [None, Some(11), None, Some(30)]);
            assert_eq!((image.broken, image.state.map(|state| state.generation)), (0, Some(1)));
        });
    }

    #[test]
    fn a_torn_file_gives_the_flush_before_and_the_next_flush_mends_it() {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join(FILE);
        let store = Store::begin(&path, RUN, 2).expect("a store");
        run(async {
            for position in 1..=4 {
                store.flush(vec![(0, position)]).await.1.expect("written");
            }
            let layout = Layout { run: RUN, clients: 2 };
            let file = OpenOptions::new().write(true).open(&path).expect("the file");
            file.write_all_at(b"torn", layout.offset_of(3) as u64 + 44).expect("written");
            let image = store.load().await.expect("a file");
            assert_eq!((image.position(0), image.broken), (Some(3), 1));
            store.flush(vec![(0, 5)]).await.1.expect("written");
            store.flush(vec![(0, 6)]).await.1.expect("written");
            let image = store.load().await.expect("a file");
            assert_eq!((image.position(0), image.broken), (Some(6), 0));
        });
    }

    #[test]
    fn what_could_not_be_written_is_told_and_the_last_state_stays_whole() {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join(FILE);
        let layout = Layout { run: RUN, clients: 1 };
        let file = create(&path, &layout).expect("made");
        let mut keeper = Keeper { path: path.clone(), file, layout, generation: 0, positions: vec![0] };
        keeper.flush(&[(0, 5)]).expect("written");
        let good = std::mem::replace(&mut keeper.file, File::open(&path).expect("for reading only"));
        for _ in 0..2 {
            let told = keeper.flush(&[(0, 6)]).expect_err("nobody may write to it");
            assert!(matches!(told, StoreError::Write { .. }), "{told}");
            assert_eq!(load(&path, &layout).expect("a file").position(0), Some(5));
        }
        keeper.file = good;
        keeper.flush(&[]).expect("written");
        assert_eq!(load(&path, &layout).expect("a file").position(0), Some(6));
        fs::remove_file(&path).expect("removed");
        assert!(matches!(load(&path, &layout), Err(StoreError::Read { .. })));
    }

    #[test]
    fn a_file_that_is_there_already_is_nobodys_store() {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join(FILE);
        fs::write(&path, "somebody's").expect("written");
        let refused = Store::begin(&path, RUN, 2).expect_err("it is there");
        assert!(matches!(refused, StoreError::Create { .. }), "{refused}");
        assert_eq!(fs::read_to_string(&path).expect("text"), "somebody's");
    }
}
