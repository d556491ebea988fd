//! The gate: the one place where a system call is made.
//!
//! An isolated server (ring 3) executes `syscall`. A resident one (linked into the kernel) calls a function that the kernel
//! gave to [`install_resident`] before any server of it ran; the check for that is a compare and a branch that is never taken in
//! ring 3. Every wrapper in [`sys`](super) goes through [`call`] or [`message`].

use alloc::boxed::Box;
use core::arch::asm;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use core::task::{Poll, Waker};

use abi::message::{Lengths, Words};
use abi::process::ExitReport;
use abi::time::TimePage;
use abi::{Handle, Signals};

/// The registers of a system call, as a resident server hands them to the kernel and gets them back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The number; then the result or error.
    pub rax: u64,
    /// First argument; of a received message: key and badge.
    pub rdi: u64,
    /// Second argument; of a received message: the reply token.
    pub rsi: u64,
    /// `rdx r8 r9 r10 r12 r13 r14 r15`: the words of a message. Of other calls, `rdx r10 r8 r9` are the third to sixth argument
    /// and `rdx` the second result.
    pub words: Words,
}

impl Frame {
    /// The six arguments of a call without a message.
    #[must_use]
    pub const fn arguments(&self) -> [u64; 6] {
        let [rdx, r8, r9, r10, ..] = self.words;
        [self.rdi, self.rsi, rdx, r10, r8, r9]
    }
}

/// Something a process knows about itself: in ring 3 from its start block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Own {
    /// Its handle of itself.
    Process,
    /// Of its first thread.
    Thread,
    /// Of the job it lives under.
    Job,
    /// Of the kernel's log.
    Log,
    /// Of a channel for lines of text.
    Output,
    /// How often this server was started before.
    Generation,
}

impl Own {
    /// The name of the handle; none for what is no handle.
    pub const NAMES: [Option<&'static str>; 6] = [
        Some("process"),
        Some("thread"),
        Some("job"),
        Some("log"),
        Some("output"),
        None,
    ];
}

/// What the kernel gives to the resident servers of its image: plain functions, which act for the server whose task calls them.
///
/// The kernel keeps nothing that lies in a server's memory: neither wakers (a task is woken by its number) nor buffers or futures.
/// So none of these functions waits; they answer, or see to it that the calling task is polled again.
#[derive(Clone, Copy)]
pub struct Resident {
    /// Answers a system call. What would wait answers [`WouldWait`](abi::Error::WouldWait), whatever deadline it names.
    pub call: fn(&mut Frame),
    /// Says which of the signals are set, or wakes the calling task when one becomes so. The waker must be the task's own, here and
    /// below: others are [`Unsupported`](abi::Error::Unsupported).
    pub poll: fn(Handle, Signals, &Waker) -> Poll<Result<Signals, abi::Error>>,
    /// The calling task is not to be woken about this handle any more.
    pub forget: fn(Handle),
    /// Starts a task of the server, or gives it back.
    pub spawn: fn(&'static str, Task) -> Result<(), Task>,
    /// Wakes the calling task when the clock reaches this tick, or before.
    pub wake_at: fn(u64, &Waker) -> Result<(), abi::Error>,
    /// Calls an endpoint by a deadline in nanoseconds with the bytes of a contract's message and with handles, which leave the process if the call
    /// is begun, for an answer of so many bytes at most. Without handles and with an answer that fits into words, the message goes in words. The
    /// call's number.
    pub begin_call: BeginCall,
    /// The answer to a call, bytes and handles, once; or wakes the calling task when it comes. Handles that do not fit are closed.
    pub answer: fn(u64, &mut [u8], &mut [Handle], &Waker) -> Answer,
    /// The answer to a call is not wanted any more.
    pub give_up: fn(u64),
    /// What the calling server knows about itself; 0 for what it was not given.
    pub own: fn(Own) -> u64,
    /// Has short calls of an endpoint answered in their callers' polls, where the function can.
    pub answer_at_once: fn(Handle, Answers) -> Result<(), abi::Error>,
    /// No more.
    pub answer_later: fn(Handle),
    /// Runs a driven thread, by its handle, until it stops, which the report says then, or a deadline in nanoseconds comes; with
    /// [`RunFlags`](abi::process::RunFlags) that count in the first poll. What else it says is why no page could be brought, after a
    /// page fault. Or wakes the calling task to go on with it.
    pub run_thread: fn(Handle, &mut ExitReport, u64, u32, &Waker) -> Ran,
    /// The calling task does not go on with that: the thread stands still.
    pub end_run: fn(Handle),
}

/// See [`Resident::begin_call`].
pub type BeginCall = fn(Handle, u64, &[u8], Option<&[Handle]>, usize) -> Result<u64, abi::Error>;

/// What [`Resident::answer`] gives: how long the answer is.
pub type Answer = Poll<Result<Lengths, abi::Error>>;

/// Answers a call, by its badge and words, in words that are zero before; or says `false`, having done nothing: the call is one for the server's
/// tasks. It runs on the server's core while none of its tasks does, in the caller's time: short, and it waits for nothing, so a lock that a task
/// may hold over an await is only tried. It can allocate, log, wake tasks and make system calls that do not wait. If it fails, the server has failed.
pub type Answers = Box<dyn Fn(u32, &Words, &mut Words) -> bool + Send + Sync>;

/// What [`Resident::run_thread`] gives.
pub type Ran = Poll<Result<Option<abi::Error>, abi::Error>>;

/// A task, as it goes from one executor's type to another's.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Null in ring 3.
static RESIDENT: AtomicPtr<Resident> = AtomicPtr::new(core::ptr::null_mut());

/// Makes all system calls of this image plain calls, and `time` its clock. For the kernel, once, before it starts a resident server.
pub fn install_resident(resident: &'static Resident, time: &'static TimePage) {
    super::clock::set(time);
    RESIDENT.store(core::ptr::from_ref(resident).cast_mut(), Ordering::Release);
}

/// Whether this image is the kernel's.
#[inline(always)]
#[must_use]
pub fn is_resident() -> bool {
    !RESIDENT.load(Ordering::Relaxed).is_null()
}

/// What the kernel gave, in its image.
#[inline]
#[must_use]
pub fn resident() -> Option<&'static Resident> {
    // SAFETY: null, or what `install_resident` was given, which lives for ever.
    unsafe { RESIDENT.load(Ordering::Acquire).as_ref() }
}

/// What this process knows about itself, `isolated` being where it keeps that in ring 3.
pub(super) fn own(which: Own, isolated: &AtomicU64) -> u64 {
    match resident() {
        Some(resident) => (resident.own)(which),
        None => isolated.load(Ordering::Relaxed),
    }
}

#[cold]
#[inline(never)]
fn call_resident(frame: &mut Frame) {
    match resident() {
        Some(resident) => (resident.call)(frame),
        None => frame.rax = abi::Error::Unknown.to_raw(),
    }
}

/// What a call without a message gives: `rax` and `rdx`.
pub type Results = (u64, u64);

/// Makes a system call with up to six arguments, without a message.
///
/// # Safety
/// What the call does to memory must be sound: buffers it writes are the caller's to be written, and nothing that is in use is
/// unmapped or made inaccessible.
#[inline(always)]
pub unsafe fn call<const N: usize>(number: abi::Call, arguments: [u64; N]) -> Results {
    // SAFETY: passed on to the caller.
    unsafe { call_raw(number as u64, arguments) }
}

/// [`call`] with any number.
///
/// # Safety
/// As for [`call`].
#[inline(always)]
pub unsafe fn call_raw<const N: usize>(number: u64, arguments: [u64; N]) -> Results {
    const { assert!(N <= 6, "a system call has at most six arguments") };
    let argument = |index: usize| arguments.get(index).copied().unwrap_or(0);
    if is_resident() {
        let mut frame = Frame {
            rax: number,
            rdi: argument(0),
            rsi: argument(1),
            words: [
                argument(2),
                argument(4),
                argument(5),
                argument(3),
                0,
                0,
                0,
                0,
            ],
        };
        call_resident(&mut frame);
        return (frame.rax, frame.words[0]);
    }
    let (rax, rdx);
    // SAFETY: `syscall` enters the kernel, which keeps all registers but those named here and does to memory what the caller
    // vouches for. It does not use this stack.
    unsafe {
        match N {
            0 => {
                asm!("syscall", inlateout("rax") number => rax, lateout("rdx") rdx, clobber_abi("sysv64"), options(nostack));
            }
            1 => {
                asm!("syscall", inlateout("rax") number => rax, inlateout("rdi") argument(0) => _, lateout("rdx") rdx,
                    clobber_abi("sysv64"), options(nostack));
            }
            2 => {
                asm!("syscall", inlateout("rax") number => rax, inlateout("rdi") argument(0) => _,
                    inlateout("rsi") argument(1) => _, lateout("rdx") rdx, clobber_abi("sysv64"), options(nostack));
            }
            3 => {
                asm!("syscall", inlateout("rax") number => rax, inlateout("rdi") argument(0) => _,
                    inlateout("rsi") argument(1) => _, inlateout("rdx") argument(2) => rdx,
                    clobber_abi("sysv64"), options(nostack));
            }
            4 => {
                asm!("syscall", inlateout("rax") number => rax, inlateout("rdi") argument(0) => _,
                    inlateout("rsi") argument(1) => _, inlateout("rdx") argument(2) => rdx,
                    inlateout("r10") argument(3) => _, clobber_abi("sysv64"), options(nostack));
            }
            5 => {
                asm!("syscall", inlateout("rax") number => rax, inlateout("rdi") argument(0) => _,
                    inlateout("rsi") argument(1) => _, inlateout("rdx") argument(2) => rdx,
                    inlateout("r10") argument(3) => _, inlateout("r8") argument(4) => _,
                    clobber_abi("sysv64"), options(nostack));
            }
            _ => {
                asm!("syscall", inlateout("rax") number => rax, inlateout("rdi") argument(0) => _,
                    inlateout("rsi") argument(1) => _, inlateout("rdx") argument(2) => rdx,
                    inlateout("r10") argument(3) => _, inlateout("r8") argument(4) => _,
                    inlateout("r9") argument(5) => _, clobber_abi("sysv64"), options(nostack));
            }
        }
    }
    (rax, rdx)
}

/// Makes a system call that carries a message: with the words of `frame`, and what it came back with. By value: all of it stays in
/// registers.
///
/// # Safety
/// As for [`call`].
#[inline(always)]
pub unsafe fn message(number: abi::Call, frame: Frame) -> Frame {
    if is_resident() {
        let mut frame = Frame {
            rax: number as u64,
            ..frame
        };
        call_resident(&mut frame);
        return frame;
    }
    let [rdx, r8, r9, r10, r12, r13, r14, r15] = frame.words;
    let (rax, rdi, rsi);
    let (o0, o1, o2, o3, o4, o5, o6, o7);
    // SAFETY: as in `call_raw`; the words travel in registers and the kernel touches no others.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as u64 => rax, inlateout("rdi") frame.rdi => rdi, inlateout("rsi") frame.rsi => rsi,
            inlateout("rdx") rdx => o0, inlateout("r8") r8 => o1, inlateout("r9") r9 => o2, inlateout("r10") r10 => o3,
            inlateout("r12") r12 => o4, inlateout("r13") r13 => o5, inlateout("r14") r14 => o6, inlateout("r15") r15 => o7,
            clobber_abi("sysv64"), options(nostack),
        );
    }
    Frame {
        rax,
        rdi,
        rsi,
        words: [o0, o1, o2, o3, o4, o5, o6, o7],
    }
}

/// Ends the calling process, without any of its memory being needed any more.
#[inline(never)]
pub fn exit(code: i32) -> ! {
    loop {
        // SAFETY: the call does not return; it would only if the kernel did not know it.
        unsafe { call(abi::Call::ProcessExit, [code as u32 as u64]) };
        if !is_resident() {
            // SAFETY: an undefined instruction ends the process, which is what was wanted.
            unsafe { asm!("ud2") };
        }
    }
}
