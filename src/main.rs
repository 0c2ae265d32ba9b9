//! Parse, call, exit code.

use std::process::ExitCode;

use wavesoak::target::part;

fn main() -> ExitCode {
    // A part of the embedded target is this binary too; it is not a command for people.
    if std::env::args().nth(1).as_deref() == Some(part::SUBCOMMAND) {
        return part::main();
    }
    wavesoak::cli::main()
}
