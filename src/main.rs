//! Parse, call, exit code.

use std::process::ExitCode;

use wavesoak::target::part;

fn main() -> ExitCode {
    // The parts of an embedded target are this very binary; what they are is no command for people.
    if std::env::args().nth(1).as_deref() == Some(part::SUBCOMMAND) {
        return part::main();
    }
    wavesoak::cli::main()
}
