//! As much of Linux as the program `foreign` asks for: write, mmap, getpid, fork, exit, exit_group and wait4.
//!
//! The numbers, the arguments and the errors are those of Linux on x86-64 (its `arch/x86/entry/syscalls/syscall_64.tbl`
//! and the manual's section 2).

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::memory::{MapArgs, MapFlags, PAGE_BYTES};
use abi::process::{Registers, ThreadArgs};
use abi::{Error, Rights};
use loader::Image;
use rt::spawn;
use rt::sys::clock;
use rt::sys::driven::{DrivenThread, Stop, Why};
use rt::sys::memory::{map_at, read_in, write_in};
use rt::sys::object::{Object, Process, Vmo};
use rt::sys::process::this_job;

use crate::checks::ended;

const WRITE: u64 = 1;
const MMAP: u64 = 9;
const GETPID: u64 = 39;
const FORK: u64 = 57;
const EXIT: u64 = 60;
const WAIT4: u64 = 61;
const EXIT_GROUP: u64 = 231;

const ECHILD: i64 = 10;
const EAGAIN: i64 = 11;
const ENOMEM: i64 = 12;
const EFAULT: i64 = 14;
const EINVAL: i64 = 22;
const ENOSYS: i64 = 38;

/// `PROT_READ | PROT_WRITE`, and `MAP_PRIVATE | MAP_ANONYMOUS`: the one kind of memory there is.
const PROTECTION: u64 = 3;
const PRIVATE_ANONYMOUS: u64 = 0x22;

const STACK_BYTES: u64 = 64 << 10;
/// Longest text that is written at once.
const TEXT_BYTES: usize = 256;
/// How long a process runs before its driver looks around: short, so that it is interrupted often.
const SLICE_NS: u64 = 1_000_000;

static NEXT_PID: AtomicU64 = AtomicU64::new(1);

/// A foreign process of one thread, and who is below it.
pub struct Foreign {
    pub process: Process,
    pub thread: DrivenThread,
    pid: u64,
    children: Vec<(u64, Process)>,
}

/// What a process's life came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// What it gave to exit.
    pub code: i32,
    /// System calls it made.
    pub calls: u64,
    /// How often its time was up.
    pub slices: u64,
}

impl Foreign {
    /// The program of `file` with up to one argument, which has not run yet.
    pub fn load(file: &[u8], argument: &str) -> Result<Self, Error> {
        let image = Image::parse(file).map_err(|error| {
            log::error!("the program: {error}");
            Error::BadArgument
        })?;
        let process = Process::create(&this_job(), "foreign")?;
        let base = rt::launch::load(&image, &process).map_err(|error| {
            log::error!("the program: {error}");
            Error::BadArgument
        })?;
        let stack = map_anonymous(&process, STACK_BYTES)? + STACK_BYTES;
        let thread = DrivenThread::create(
            &process,
            &ThreadArgs {
                entry: base + image.entry(),
                stack: begin_stack(&process, stack, argument)?,
                ..ThreadArgs::default()
            },
        )?;
        Ok(Self {
            process,
            thread,
            pid: NEXT_PID.fetch_add(1, Ordering::Relaxed),
            children: Vec::new(),
        })
    }

    /// Runs it to its end.
    pub async fn live(mut self) -> Result<Life, Error> {
        let (mut calls, mut slices) = (0, 0);
        let mut stop = self.thread.run(slice()).await?;
        loop {
            match stop.why() {
                Why::SystemCall => {
                    calls += 1;
                    if let Some(code) = self.answer(&mut stop).await? {
                        self.process.kill(code)?;
                        let life = Life {
                            code,
                            calls,
                            slices,
                        };
                        return Ok(life);
                    }
                }
                Why::Deadline => slices += 1,
                why => {
                    log::error!("foreign {} stopped: {why:?}", self.pid);
                    self.process.kill(abi::process::CRASHED)?;
                    return Err(Error::BadState);
                }
            }
            self.thread.resume(&mut stop, slice()).await?;
        }
    }

    /// Answers a system call in its registers; what it exits with if it does.
    async fn answer(&mut self, stop: &mut Stop) -> Result<Option<i32>, Error> {
        let [first, second, third, fourth, ..] = stop.arguments();
        let result = match stop.registers().rax {
            WRITE => self.write(second, third),
            MMAP => match (third, fourth) {
                (PROTECTION, PRIVATE_ANONYMOUS) => {
                    map_anonymous(&self.process, second.next_multiple_of(PAGE_BYTES))
                        .map_err(|_| ENOMEM)
                }
                _ => Err(EINVAL),
            },
            GETPID => Ok(self.pid),
            FORK => self.fork(stop.registers()).map_err(|error| {
                log::error!("fork: {error}");
                EAGAIN
            }),
            WAIT4 => self.wait(first, second).await,
            EXIT | EXIT_GROUP => return Ok(Some(first as i32)),
            _ => Err(ENOSYS),
        };
        stop.registers_mut().rax = result.unwrap_or_else(|error| (-error) as u64);
        Ok(None)
    }

    fn write(&self, address: u64, len: u64) -> Result<u64, i64> {
        let mut text = [0; TEXT_BYTES];
        let text = usize::try_from(len)
            .ok()
            .and_then(|len| text.get_mut(..len))
            .ok_or(EINVAL)?;
        read_in(&self.process, address, text).map_err(|_| EFAULT)?;
        for line in text.split(|&byte| byte == b'\n') {
            match core::str::from_utf8(line) {
                Ok("") => {}
                Ok(line) => log::info!("foreign {}: {line}", self.pid),
                Err(_) => return Err(EINVAL),
            }
        }
        Ok(len)
    }

    /// A child that is as this process is now, but for what fork answers. A task of its own drives it.
    fn fork(&mut self, registers: &Registers) -> Result<u64, Error> {
        let process = self.process.fork(&this_job(), "foreign-child")?;
        let thread = DrivenThread::create(
            &process,
            &ThreadArgs {
                entry: registers.rip,
                ..ThreadArgs::default()
            },
        )?;
        thread.set_registers(&Registers {
            rax: 0,
            ..*registers
        })?;
        let mut state = Vec::new();
        let bytes = self.thread.extended_bytes()?;
        state
            .try_reserve_exact(bytes)
            .map_err(|_| Error::NoMemory)?;
        state.resize(bytes, 0);
        self.thread.extended(&mut state)?;
        thread.set_extended(&state)?;
        let child = Self {
            pid: NEXT_PID.fetch_add(1, Ordering::Relaxed),
            thread,
            process,
            children: Vec::new(),
        };
        let pid = child.pid;
        self.children.try_reserve(1).map_err(|_| Error::NoMemory)?;
        let handle = child.process.duplicate(Rights::WAIT | Rights::INSPECT)?;
        self.children.push((pid, handle));
        let life = async move {
            match child.live().await {
                Ok(life) => log::info!("foreign {pid} exited: {life:?}"),
                Err(error) => log::error!("foreign {pid}: {error}"),
            }
        };
        spawn("foreign", life).map_err(|_| Error::NoMemory)?;
        Ok(pid)
    }

    /// Waits for the end of a child, and writes its status to `status`.
    async fn wait(&mut self, pid: u64, status: u64) -> Result<u64, i64> {
        let index = self
            .children
            .iter()
            .position(|(child, _)| *child == pid)
            .ok_or(ECHILD)?;
        let (_, child) = self.children.swap_remove(index);
        let code = ended(child).await.map_err(|_| ECHILD)?;
        // WIFEXITED: the code in bits 15:8, nothing below.
        let word = (code as u32 & 0xff) << 8;
        write_in(&self.process, status, &word.to_le_bytes()).map_err(|_| EFAULT)?;
        Ok(pid)
    }
}

fn slice() -> u64 {
    clock::now_ns() + SLICE_NS
}

/// Memory that is committed as it is touched, and that a fork copies.
fn map_anonymous(process: &Process, len: u64) -> Result<u64, Error> {
    let vmo = Vmo::create(len)?;
    map_at(
        process,
        &vmo.duplicate(Rights::READ | Rights::WRITE | Rights::MAP)?,
        &MapArgs {
            len,
            flags: MapFlags::WRITE.bits(),
            ..MapArgs::default()
        },
    )
}

/// What a program finds above its first stack pointer (System V ABI for x86-64 §3.4.1): the number of its arguments, their
/// addresses, and no environment and no auxiliary vector. The stack pointer.
fn begin_stack(process: &Process, top: u64, argument: &str) -> Result<u64, Error> {
    const NAME: &[u8] = b"foreign\0";
    let mut texts = [0_u8; 64];
    let len = NAME.len() + argument.len();
    for (to, from) in texts.iter_mut().zip(NAME.iter().chain(argument.as_bytes())) {
        *to = *from;
    }
    if len >= texts.len() {
        return Err(Error::OutOfRange);
    }
    let texts_at = top - texts.len() as u64;
    write_in(process, texts_at, &texts)?;
    let argument_at = texts_at + NAME.len() as u64;
    let words = if argument.is_empty() {
        [1, texts_at, 0, 0, 0, 0, 0, 0]
    } else {
        [2, texts_at, argument_at, 0, 0, 0, 0, 0]
    };
    let stack = texts_at - size_of_val(&words) as u64;
    for (index, word) in words.into_iter().enumerate() {
        write_in(process, stack + index as u64 * 8, &u64::to_le_bytes(word))?;
    }
    Ok(stack)
}
