//! A process of one page of code, and a driven thread in it.

use abi::Error;
use abi::Rights;
use abi::memory::{MapArgs, MapFlags, PAGE_BYTES};
use abi::process::ThreadArgs;
use rt::sys::driven::DrivenThread;
use rt::sys::memory::map_at;
use rt::sys::object::{Job, Object, Process, Vmo};

/// `getpid` of Linux for ever: `mov eax, 39; syscall; jmp` back.
pub(crate) const ASK: &[u8] = &[0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7];
/// `jmp` to itself.
#[allow(dead_code, reason = "not all that share this file use it")]
pub(crate) const SPIN: &[u8] = &[0xeb, 0xfe];

/// A process under `job` with `code` at a place of the kernel's choice, and a driven thread that stands before it. It has no stack.
pub(crate) fn driven(job: &Job, code: &[u8]) -> Result<(Process, DrivenThread), Error> {
    let process = Process::create(job, "driven")?;
    let vmo = Vmo::create(PAGE_BYTES)?;
    vmo.write(0, code)?;
    let rights = Rights::READ | Rights::MAP | Rights::EXECUTE;
    let entry = map_at(
        &process,
        &vmo.duplicate(rights)?,
        &MapArgs {
            len: PAGE_BYTES,
            flags: MapFlags::EXECUTE.bits(),
            ..MapArgs::default()
        },
    )?;
    let arguments = ThreadArgs {
        entry,
        ..ThreadArgs::default()
    };
    let thread = DrivenThread::create(&process, &arguments)?;
    Ok((process, thread))
}
