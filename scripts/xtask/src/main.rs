//! The tools' program: `xtask run|image|test|bench`, normally called by `scripts/`.

use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::cli::main()
}
