//! The same program with embassy's deadline scheduler compiled in: measures `embassy-edf` on behalf of `bench-host`.

use std::process::ExitCode;

fn main() -> ExitCode {
    bench_host::cli::main()
}
