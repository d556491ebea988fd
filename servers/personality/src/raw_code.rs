//! A process of one page of code, and a driven thread in it.

use abi::Error;
use abi::Rights;
use abi::memory::{MapArgs, MapFlags, PAGE_BYTES};
use abi::process::ThreadArgs;
use rt::sys::driven::DrivenThread;
use rt::sys::memory::map_at;
use rt::sys::object::{Job, Object, Process, Vmo};

/// `getpid` of Linux for ever: `mov eax, 39; syscall; jmp` back.
pub const ASK: &[u8] = &[0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7];
/// `jmp` to itself.
pub const SPIN: &[u8] = &[0xeb, 0xfe];

/// A process under `job` with `code`, and where that is.
///
/// # Errors
/// The job's limits.
pub fn process(job: &Job, code: &[u8]) -> Result<(Process, u64), Error> {
    let process = Process::create(job, "raw")?;
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
    Ok((process, entry))
}

/// A process under `job` with `code` at a place of the kernel's choice, and a driven thread that stands before it. It has no stack.
///
/// # Errors
/// The job's limits.
pub fn driven(job: &Job, code: &[u8]) -> Result<(Process, DrivenThread), Error> {
    let (process, entry) = process(job, code)?;
    let arguments = ThreadArgs {
        entry,
        ..ThreadArgs::default()
    };
    let thread = DrivenThread::create(&process, &arguments)?;
    Ok((process, thread))
}
