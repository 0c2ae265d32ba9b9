//! Parse, call, exit code.

use std::process::ExitCode;

use wavesoak::target::part;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(part::SUBCOMMAND) {
        return part::main();
    }
    ExitCode::SUCCESS
}
