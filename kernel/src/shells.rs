//! The shells: one on the serial port, one on the screen.

use rt::{PipeReader, PipeWriter};

use crate::exec::{self, CoreId};
use crate::system::KernelSystem;

/// Starts a shell that reads `input` and writes `output`.
pub fn start(name: &'static str, script: bool, input: PipeReader<'static>, output: PipeWriter<'static>) {
    let mode = if script { shell::Mode::Script } else { shell::Mode::Interactive };
    exec::spawn_best_effort(name, CoreId::FIRST, async move {
        crate::start::shell_is_up();
        shell::run(mode, &KernelSystem, &input, &output).await;
    });
}
