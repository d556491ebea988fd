//! The bench's program: see the library for the tour.

use std::process::ExitCode;

fn main() -> ExitCode {
    bench_host::cli::main()
}
