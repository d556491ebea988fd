//! Limits of jobs, starting processes and threads, exception reports, and the registers of driven threads.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Longest name of a process, job or server, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 31;
/// The exit code of a process that was killed.
pub const KILLED: i32 = -1;
/// The exit code of a process that crashed.
pub const CRASHED: i32 = -2;

/// What a job may use, in all of its processes and the jobs below: 64 bytes. `u64::MAX`: as much as the job above may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct JobLimits {
    /// Pages of vmos and page tables, in bytes.
    pub memory_bytes: u64,
    /// Kernel memory for objects, handles and queued messages, in bytes.
    pub kernel_bytes: u64,
    /// Handles in all handle tables.
    pub handles: u64,
    /// Processes.
    pub processes: u64,
    /// Threads.
    pub threads: u64,
    /// What may be reserved of a core, summed over cores, in parts per million.
    pub reserved_ppm: u64,
    /// Processor time of all threads together, in parts per million of one core; may be above a million. Whoever uses it up waits. Counted
    /// over a tenth of a second, or longer where one step in the kernel takes longer; reserved time counts too. What a server does for a
    /// caller in its place counts for the caller.
    pub cpu_ppm: u64,
    /// Weight among best-effort threads, 1 to 2^20; 1024 unless set.
    pub weight: u64,
}

impl JobLimits {
    /// No limits of its own.
    pub const NONE: Self = Self {
        memory_bytes: u64::MAX,
        kernel_bytes: u64::MAX,
        handles: u64::MAX,
        processes: u64::MAX,
        threads: u64::MAX,
        reserved_ppm: u64::MAX,
        cpu_ppm: u64::MAX,
        weight: 1024,
    };
}

/// What [`job_info`](crate::Call::JobInfo) writes: limits and use, 136 bytes. Weight and `cpu_ppm` stand in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct JobInfo {
    /// What it may use.
    pub limits: JobLimits,
    /// What it uses.
    pub used: JobLimits,
    /// Processor time of all its threads, also of those that have ended, in nanoseconds.
    pub cpu_ns: u64,
}

/// What [`process_info`](crate::Call::ProcessInfo) writes: 112 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ProcessInfo {
    /// The object's number, which is the process id.
    pub id: u64,
    /// 1 once it has ended.
    pub ended: u16,
    /// 1 if it runs in ring 0: see [`resident_start`](crate::Call::ResidentStart).
    pub resident: u16,
    /// Meaningful once it has ended: what it gave to exit, or [`KILLED`] or [`CRASHED`].
    pub exit_code: i32,
    /// Threads it has.
    pub threads: u64,
    /// Handles it holds.
    pub handles: u64,
    /// Bytes of memory mapped.
    pub mapped_bytes: u64,
    /// Bytes of memory committed through its mappings, page tables included.
    pub resident_bytes: u64,
    /// Processor time of its threads, in nanoseconds: in ring 3 and in the kernel. What a server does for a caller in its place, with the
    /// caller's budget, counts for the caller; a driven thread's time for its driver.
    pub cpu_ns: u64,
    /// System calls made.
    pub system_calls: u64,
    /// Name, padded with zeroes.
    pub name: [u8; 48],
}

bitflags! {
    /// How [`thread_create`](crate::Call::ThreadCreate) makes a thread.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ThreadFlags: u32 {
        /// It does not run by itself: whoever holds a handle with [`Rights::DRIVE`](crate::Rights::DRIVE) runs it, on his own
        /// core and in his own time, so it has no reservation. Its last handle's end is its own.
        const DRIVEN = 1 << 0;
    }
}

/// Arguments of [`thread_create`](crate::Call::ThreadCreate): 56 bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ThreadArgs {
    /// First instruction.
    pub entry: u64,
    /// Stack pointer at the first instruction; a multiple of 16 less 8 suits compiled code.
    pub stack: u64,
    /// In `rdi` at the first instruction.
    pub first_argument: u64,
    /// In `rsi`.
    pub second_argument: u64,
    /// FS base.
    pub fs_base: u64,
    /// Core to live on, or `u32::MAX` for the kernel's choice: a reservation's core, or the least loaded one.
    pub core: u32,
    /// [`ThreadFlags`].
    pub flags: u32,
    /// The reservation to run in, with the right to manage it; 0 for best effort.
    pub reservation: u64,
}

/// Longest start block of a resident server, in bytes.
pub const MAX_START_BYTES: u64 = 4096;

/// Arguments of [`resident_start`](crate::Call::ResidentStart): 56 bytes.
///
/// The process is one that was just made: its handles were given to it, but nothing is mapped and it has no threads. It stays without
/// address space: its memory is charged as that of vmos is. What would map memory, make threads or wait with one answers
/// [`Unsupported`](crate::Error::Unsupported) or [`WouldWait`](crate::Error::WouldWait) to it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ResidentArgs {
    /// The handle `system`, with the right to manage it.
    pub system: u64,
    /// The server's name in the kernel's list.
    pub name: u64,
    /// Bytes of it.
    pub name_len: u64,
    /// A [`StartBlock`](crate::start::StartBlock) with what follows it.
    pub block: u64,
    /// Bytes of it, a multiple of 8 up to [`MAX_START_BYTES`].
    pub block_len: u64,
    /// Core to live on, or `u32::MAX` for the kernel's choice, as for threads.
    pub core: u32,
    /// Zero.
    pub flags: u32,
    /// The reservation to run in, with the right to manage it; 0 for best effort.
    pub reservation: u64,
}

/// Arguments of [`reservation_create`](crate::Call::ReservationCreate): 32 bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ReservationArgs {
    /// Processor time in each period, in nanoseconds.
    pub budget_ns: u64,
    /// The period.
    pub period_ns: u64,
    /// Relative deadline, at most the period; 0 for the period.
    pub deadline_ns: u64,
    /// Which core.
    pub core: u32,
    /// 1: soft (an exhausted budget postpones), 0: hard (it waits for the next period).
    pub soft: u32,
}

bitflags! {
    /// How [`thread_run`](crate::Call::ThreadRun) begins.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct RunFlags: u32 {
        /// With the registers in the report, as [`thread_registers`](crate::Call::ThreadRegisters) would set them: saves a call.
        const SET_REGISTERS = 1 << 0;
    }
}

/// General registers of a thread, as its driver and debuggers see and set them: 160 bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
#[allow(missing_docs)] // register names
pub struct Registers {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rbp: u64,
    pub rsp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    /// Must be below [`USER_END`](crate::memory::USER_END) to be set, as the bases.
    pub rip: u64,
    /// Only the arithmetic flags, TF, DF, NT, RF, AC and ID can be set; other bits are ignored.
    pub rflags: u64,
    pub fs_base: u64,
    pub gs_base: u64,
}

/// Why a driven thread stopped, or what a crash was: in [`ExitReport::reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ExitReason {
    /// It executed `syscall`; `rcx` and `r11` are as the instruction leaves them, `rip` is after it.
    SystemCall = 1,
    /// A CPU exception.
    Exception = 2,
    /// Somebody kicked it.
    Kicked = 3,
    /// It is over: killed, or its process ended. Each further run says so again.
    Ended = 4,
    /// The deadline came first; a run with a deadline in the past runs nothing.
    Deadline = 5,
}

/// How a thread stopped: 192 bytes. What [`thread_run`](crate::Call::ThreadRun) writes, and what an exception channel carries.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ExitReport {
    /// An [`ExitReason`].
    pub reason: u32,
    /// The exception's vector (Intel SDM vol. 3A table 7-1), else 0.
    pub vector: u32,
    /// The exception's error code.
    pub error_code: u64,
    /// The address a page fault was about.
    pub address: u64,
    /// The thread's object number.
    pub thread_id: u64,
    /// The registers then.
    pub registers: Registers,
}
