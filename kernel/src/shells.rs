//! The shells: one on the serial port, one on the screen.

use rt::{PipeReader, PipeWriter};

use crate::exec::{self, CoreId};
use crate::system::KernelSystem;

/// Starts a shell that reads `input` and writes `output`.
pub fn start(
    name: &'static str,
    config: shell::Config,
    input: PipeReader<'static>,
    output: PipeWriter<'static>,
) {
    exec::spawn_best_effort(name, CoreId::FIRST, async move {
        crate::start::shell_is_up();
        let closed = shell::run(config, &input, &output, &KernelSystem).await;
        ::log::error!(target: "shell", "{name}: {closed}");
    });
}
