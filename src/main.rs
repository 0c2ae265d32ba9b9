//! Parse, call, exit code.

use std::process::ExitCode;

use wavesoak::target::part;

fn main() -> ExitCode {
    // Before anything else: a part of the embedded target is this same program, and speaks no command line.
    if std::env::args().nth(1).as_deref() == Some(part::SUBCOMMAND) {
        return part::main();
    }
    wavesoak::cli::main()
}
