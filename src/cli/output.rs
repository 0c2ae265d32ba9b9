//! stdout is data, stderr is talk.

use std::fmt::Display;
use std::io::{self, Write as _};

use thiserror::Error;

use super::exit::Failure;

/// Nothing can be printed; completes "failed to …".
#[derive(Debug, Error)]
#[error("write to stdout")]
struct StdoutError {
    source: io::Error,
}

/// Prints data. Whoever closed the pipe has seen enough: that is no error.
pub(super) fn data(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::internal(StdoutError { source }))
        }
        _ => Ok(()),
    }
}

/// Says something to the person. Nobody may be listening any more.
pub(super) fn talk(line: impl Display) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Says that something may not be meant that way.
pub(super) fn warning(line: impl Display) {
    talk(format_args!("\x1b[33mwarning\x1b[0m: {line}"));
}

/// Says why there is no answer.
pub(super) fn error(failure: &Failure) {
    talk(format_args!("\x1b[31merror\x1b[0m: {failure}"));
}

/// Columns to fill: the terminal's, or a page's width where stdout is none.
pub(super) fn columns() -> u16 {
    const PAGE: u16 = 110;
    rustix::termios::tcgetwinsize(io::stdout())
        .map(|size| size.ws_col)
        .ok()
        .filter(|&columns| columns > 0)
        .map_or(PAGE, |columns| columns.clamp(60, 160))
}
