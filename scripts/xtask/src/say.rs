//! Standard output for results. Where nobody reads it any more (`scripts/test | head`), the program
//! ends, as programs in a pipe do, instead of panicking.

use std::io::{ErrorKind, Write};

/// Exit status of a program whose reader went away: 128 + SIGPIPE.
const READER_GONE: i32 = 141;

/// Writes to standard output at once. For [`say!`](crate::say) and [`sayln!`](crate::sayln).
pub fn write_out(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        if error.kind() != ErrorKind::BrokenPipe {
            eprintln!("error: writing to standard output: {error}");
        }
        std::process::exit(READER_GONE);
    }
}

/// `print!` that ends the program when nobody reads.
#[macro_export]
macro_rules! say {
    ($($argument:tt)*) => { $crate::write_out(&format!($($argument)*)) };
}

/// `println!` that ends the program when nobody reads.
#[macro_export]
macro_rules! sayln {
    ($($argument:tt)*) => { $crate::write_out(&(format!($($argument)*) + "\n")) };
}
