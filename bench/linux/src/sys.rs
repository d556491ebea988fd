//! System calls that the standard library has not.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{Error, Result, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// The outcome of a call that answers -1 on failure.
fn check(answer: libc::c_long) -> Result<libc::c_long> {
    if answer == -1 {
        Err(Error::last_os_error())
    } else {
        Ok(answer)
    }
}

fn zeroed_timespec(ns: u64) -> libc::timespec {
    libc::timespec {
        tv_sec: (ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (ns % 1_000_000_000) as libc::c_long,
    }
}

/// Mounts a file system that has no device.
pub fn mount(kind: &str, at: &str) -> Result<()> {
    std::fs::create_dir_all(at)?;
    let (kind, at) = (CString::new(kind)?, CString::new(at)?);
    // SAFETY: all strings end with a zero and live until the call is over.
    let answer = unsafe {
        libc::mount(
            kind.as_ptr(),
            at.as_ptr(),
            kind.as_ptr(),
            0,
            std::ptr::null(),
        )
    };
    // Mounted already is as good.
    match check(answer.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EBUSY) => Err(error),
        _ => Ok(()),
    }
}

/// Writes a byte to an I/O port.
pub fn write_port(port: u64, byte: u8) -> Result<()> {
    let mut ports = OpenOptions::new().write(true).open("/dev/port")?;
    ports.seek(SeekFrom::Start(port))?;
    ports.write_all(&[byte])
}

/// Ends the machine.
pub fn power_off() -> ! {
    // SAFETY: takes no memory; the first process may.
    unsafe { libc::reboot(libc::RB_POWER_OFF) };
    loop {
        std::thread::park();
    }
}

/// Keeps all memory of this process present.
pub fn lock_memory() -> Result<()> {
    // SAFETY: changes nothing that Rust sees.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) }.into()).map(drop)
}

/// Lets memory of this process be present only when it is used, again.
pub fn unlock_memory() -> Result<()> {
    // SAFETY: as above.
    check(unsafe { libc::munlockall() }.into()).map(drop)
}

/// How many CPUs there are, whichever the calling thread may use.
pub fn cpus() -> usize {
    // SAFETY: takes no memory.
    let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    usize::try_from(count).unwrap_or(1).max(1)
}

/// Sixteen bytes that stand at a multiple of sixteen.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub struct Lane(pub [u8; 16]);

/// Copies a vector register at a time. In assembly, as the compiler would make a call of `memcpy` of the loop.
pub fn copy_lanes(from: &[Lane], to: &mut [Lane]) {
    let len = size_of_val(from).min(size_of_val(to));
    // SAFETY: reads and writes `len` bytes, which both have, at multiples of 16.
    unsafe {
        core::arch::asm!(
            "xor {at:e}, {at:e}",
            "2:",
            "cmp {at}, {len}",
            "jae 3f",
            "movdqa {lane}, [{from} + {at}]",
            "movdqa [{to} + {at}], {lane}",
            "add {at}, 16",
            "jmp 2b",
            "3:",
            at = out(reg) _,
            lane = out(xmm_reg) _,
            len = in(reg) len,
            from = in(reg) from.as_ptr(),
            to = in(reg) to.as_mut_ptr(),
            options(nostack),
        );
    }
}

/// Runs the calling thread on these CPUs alone.
pub fn pin(cpus: impl IntoIterator<Item = usize>) -> Result<()> {
    // SAFETY: a CPU set is plain bits, for which zeroes are a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for cpu in cpus {
        // SAFETY: writes to the set, or nothing if there is no such bit.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    // SAFETY: the set is as long as is said.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) }.into()).map(drop)
}

/// The calling thread's real-time priority; 0: default scheduling.
pub fn set_fifo(priority: i32) -> Result<()> {
    let policy = if priority == 0 {
        libc::SCHED_OTHER
    } else {
        libc::SCHED_FIFO
    };
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: the parameters live until the call is over.
    check(unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) }.into()).map(drop)
}

/// As `linux/sched/types.h` has it, in its first version.
#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime_ns: u64,
    deadline_ns: u64,
    period_ns: u64,
}

/// Gives the calling thread a reservation (`SCHED_DEADLINE`).
pub fn set_deadline(runtime_ns: u64, period_ns: u64) -> Result<()> {
    const SCHED_DEADLINE: u32 = 6;
    let attributes = SchedAttr {
        size: size_of::<SchedAttr>() as u32,
        policy: SCHED_DEADLINE,
        flags: 0,
        nice: 0,
        priority: 0,
        runtime_ns,
        deadline_ns: period_ns,
        period_ns,
    };
    // SAFETY: the attributes say their size and live until the call is over.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) }).map(drop)
}

/// The cheapest system call.
pub fn null_call() {
    // SAFETY: takes nothing and always answers.
    unsafe { libc::syscall(libc::SYS_getppid) };
}

/// Lets others of the same priority run.
pub fn yield_now() {
    // SAFETY: takes nothing.
    unsafe { libc::sched_yield() };
}

/// Nanoseconds of the monotonic clock.
pub fn now_ns() -> u64 {
    let mut now = zeroed_timespec(0);
    // SAFETY: writes to `now`.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Sleeps until that time of the monotonic clock.
pub fn sleep_until(ns: u64) {
    let until = zeroed_timespec(ns);
    // SAFETY: reads `until`; an interruption would only end the sleep early, and nobody sends signals.
    unsafe {
        libc::clock_nanosleep(
            libc::CLOCK_MONOTONIC,
            libc::TIMER_ABSTIME,
            &raw const until,
            std::ptr::null_mut(),
        );
    }
}

/// Ticks of the time stamp counter.
#[inline(always)]
pub fn ticks() -> u64 {
    // SAFETY: every CPU that Linux for x86-64 runs on has it, and it is not switched off for user space.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Sleeps while the word is `value`. `shared`: with other processes.
pub fn futex_wait(word: &AtomicU32, value: u32, shared: bool) {
    let operation = libc::FUTEX_WAIT | if shared { 0 } else { libc::FUTEX_PRIVATE_FLAG };
    // SAFETY: the word lives as long as the borrow; there is no time-out.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            operation,
            value,
            std::ptr::null::<libc::timespec>(),
        )
    };
}

/// Wakes one who sleeps there.
pub fn futex_wake(word: &AtomicU32, shared: bool) {
    let operation = libc::FUTEX_WAKE | if shared { 0 } else { libc::FUTEX_PRIVATE_FLAG };
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, 1) };
}

/// Words that this process shares with all that map the same file. They stay mapped.
pub fn shared_words(file: &File, count: usize) -> Result<&'static [AtomicU32]> {
    let bytes = count * size_of::<AtomicU32>();
    file.set_len(bytes as u64)?;
    // SAFETY: new memory, as long as is said, of a file that is as long.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(Error::last_os_error());
    }
    // SAFETY: mapped for ever, aligned to a page, and atomics may be shared with anybody.
    Ok(unsafe { std::slice::from_raw_parts(address.cast::<AtomicU32>(), count) })
}

/// Maps fresh memory, touches each page and unmaps it.
pub fn map_touch_unmap(bytes: usize) -> Result<()> {
    // SAFETY: new memory; nobody knows of it but this function.
    unsafe {
        let address = libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        if address == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        for offset in (0..bytes).step_by(4096) {
            address.cast::<u8>().add(offset).write_volatile(1);
        }
        check(libc::munmap(address, bytes).into()).map(drop)
    }
}

/// Two ends of a connection that keeps messages apart.
pub fn message_sockets() -> Result<[OwnedFd; 2]> {
    let mut ends = [0; 2];
    // SAFETY: writes two numbers.
    let answer =
        unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0, ends.as_mut_ptr()) };
    check(answer.into())?;
    // SAFETY: both are open and nobody else's.
    Ok(ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) }))
}

/// A counter that can be waited for.
pub fn eventfd() -> Result<File> {
    // SAFETY: takes no memory.
    let number = check(unsafe { libc::eventfd(0, 0) }.into())?;
    // SAFETY: open, and nobody else's.
    Ok(unsafe { File::from_raw_fd(number as i32) })
}

/// Ticks in this many nanoseconds, as both clocks run now.
pub fn ticks_per_us() -> f64 {
    let (ns, first) = (now_ns(), ticks());
    std::thread::sleep(Duration::from_millis(50));
    (ticks() - first) as f64 * 1000.0 / (now_ns() - ns) as f64
}

/// A thread by itself: the standard library's have a stack for signals too, which costs several system calls and a page.
pub struct RawThread(libc::pthread_t);

impl RawThread {
    /// Starts `run` on a stack of so many bytes.
    pub fn start(
        stack_bytes: usize,
        run: extern "C" fn(*mut libc::c_void) -> *mut libc::c_void,
    ) -> Result<Self> {
        let answered = |number: i32| match number {
            0 => Ok(()),
            number => Err(Error::from_raw_os_error(number)),
        };
        // SAFETY: plain bytes that the next call fills.
        let mut attributes: libc::pthread_attr_t = unsafe { std::mem::zeroed() };
        let mut thread = 0;
        // SAFETY: the attributes are initialised before they are used and destroyed after; `run` takes nothing.
        unsafe {
            answered(libc::pthread_attr_init(&raw mut attributes))?;
            let outcome = answered(libc::pthread_attr_setstacksize(
                &raw mut attributes,
                stack_bytes,
            ))
            .and_then(|()| {
                answered(libc::pthread_create(
                    &raw mut thread,
                    &raw const attributes,
                    run,
                    std::ptr::null_mut(),
                ))
            });
            libc::pthread_attr_destroy(&raw mut attributes);
            outcome?;
        }
        Ok(Self(thread))
    }

    /// Waits for its end.
    pub fn join(self) {
        // SAFETY: joined once, as this takes the thread.
        unsafe { libc::pthread_join(self.0, std::ptr::null_mut()) };
    }
}
