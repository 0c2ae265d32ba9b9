//! Where the pods' JSON log lines go: a file, or nowhere.

use std::fs::File;
use std::io::{BufWriter, Write as _};

use super::super::line::LogLine;

/// A log, or none.
pub(super) struct LogFile(Option<BufWriter<File>>);

impl LogFile {
    pub(super) fn new(file: Option<File>) -> Self {
        Self(file.map(BufWriter::new))
    }

    pub(super) fn write(&mut self, line: &LogLine) {
        let Some(file) = &mut self.0 else { return };
        let written = writeln!(file, "{}", line.text());
        self.stop_at(written);
    }

    pub(super) fn flush(&mut self) {
        if let Some(file) = &mut self.0 {
            let flushed = file.flush();
            self.stop_at(flushed);
        }
    }

    /// A full disk must not take the pods down: say so once and go on without a log.
    fn stop_at(&mut self, result: std::io::Result<()>) {
        if let Err(error) = result {
            eprintln!("target: failed to write the pods' log, which ends here: {error}");
            self.0 = None;
        }
    }
}
