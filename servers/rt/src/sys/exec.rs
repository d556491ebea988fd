//! The executor inside a process: one core, which is the first thread, on a stack of its own.
//!
//! The same executor as the kernel's. Its clock is the time stamp counter, its idle is a wait on the [`reactor`]'s port until the
//! next timer, and its wake-ups are packets there. Other threads of the process may wake tasks: they are no core, so they go
//! through the executor's inbox, and a kick is a packet too.
//!
//! A process with a reservation says by when it has something to do, in a word that the kernel reads: it is scheduled by its earliest deadline
//! where that is later than its budget's. Tasks without a deadline are as urgent as the process.
//!
//! Where code runs is told by the stack pointer: [`run`] moves the first thread onto a stack that is known, so that "is this the
//! core" is a subtraction and a compare, and no thread has to carry a mark.

use alloc::boxed::Box;
use core::arch::asm;
use core::cell::Cell;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};

use abi::memory::MapFlags;
use abi::{Call, Error};
use executor::{CoreConfig, CoreId, Fleet, Here, Platform, Task};

use super::memory::Mapping;
use super::object::Vmo;
use super::{Env, clock, gate, reactor};

/// Stack of the executor: committed as it is touched, guarded below and above.
const STACK_BYTES: u64 = 512 << 10;
/// Exit code of a program whose executor cannot be started.
pub const NO_EXECUTOR: i32 = 103;
/// Most tasks that live at once, and most timers.
const TASKS: usize = 256;
/// After so many polls the port is asked for packets although there is still work.
const POLLS_BETWEEN_LOOKS: u32 = 8;

/// The platform of programs: `Task::<Ring3>::new("name").spawn(...)`.
#[derive(Clone, Copy, Debug)]
pub struct Ring3;

static FLEET: Fleet<Ring3> = Fleet::new();
/// Lowest address of the executor's stack; until it runs, one that no stack has.
static STACK: AtomicU64 = AtomicU64::new(1 << 63);

impl Platform for Ring3 {
    // A process's time is the kernel's to count, and its tasks are few.
    const STATS: bool = false;

    fn fleet() -> &'static Fleet<Self> {
        &FLEET
    }

    #[inline(always)]
    fn now() -> u64 {
        clock::now_ticks()
    }

    fn ticks_per_second() -> u64 {
        clock::page().tsc_hz
    }

    #[inline(always)]
    fn here() -> Here {
        let stack: u64;
        // SAFETY: reads a register.
        unsafe { asm!("mov {}, rsp", out(reg) stack, options(nomem, nostack, preserves_flags)) };
        if stack.wrapping_sub(STACK.load(Ordering::Relaxed)) < STACK_BYTES {
            // SAFETY: only the thread that `run` moved onto this stack runs on it, and nothing interrupts it: ring 3 has no
            // interrupt handlers.
            unsafe { Here::on(CoreId::FIRST, false) }
        } else {
            Here::foreign()
        }
    }

    fn kick(_: CoreId) {
        reactor::kick();
    }

    fn idle(_: CoreId, until: Option<u64>, still_idle: impl FnOnce() -> bool) {
        // A wake after this look leaves a packet, which ends the wait.
        if still_idle() {
            reactor::wait(until.map_or(abi::FOREVER, clock::deadline_ns));
        }
    }
}

/// By which tick this process has something to do. The kernel reads it.
static DEADLINE: AtomicU64 = AtomicU64::new(0);

/// Has the kernel schedule a process with a reservation by its earliest deadline. Whether it does.
fn say_deadline() -> bool {
    // Committed, or the kernel could not read it.
    DEADLINE.store(0, Ordering::Relaxed);
    // SAFETY: the kernel reads the word, which is there for ever.
    let (rax, _) = unsafe { gate::call(Call::ThreadDeadline, [DEADLINE.as_ptr() as u64]) };
    Error::check(rax).is_ok()
}

type Main = Box<dyn FnOnce(Env) -> Pin<Box<dyn Future<Output = i32>>>>;

/// What the new stack's first function needs.
struct Start {
    env: Env,
    main: Main,
}

/// Runs the program's main task and all it spawns, until the main task is done: what [`entry!`](crate::entry) calls for
/// `async main`.
pub fn run<F: Future<Output = i32> + 'static>(env: Env, main: fn(Env) -> F) -> ! {
    let stack = match new_stack() {
        Ok(stack) => stack,
        Err(error) => {
            log::error!("no stack for the executor: {error}");
            gate::exit(NO_EXECUTOR)
        }
    };
    let start = Box::new(Start {
        env,
        main: Box::new(move |env| Box::pin(main(env))),
    });
    let top = stack.address() + STACK_BYTES;
    STACK.store(stack.address(), Ordering::Relaxed);
    core::mem::forget(stack);
    // SAFETY: the stack is fresh, stays for ever, and `on_new_stack` never returns; it takes the box over.
    unsafe {
        asm!(
            "mov rsp, {top}",
            "xor ebp, ebp",
            "call {function}",
            "ud2",
            top = in(reg) top,
            function = sym on_new_stack,
            in("rdi") Box::into_raw(start),
            options(noreturn),
        )
    }
}

fn new_stack() -> Result<Mapping, abi::Error> {
    Vmo::create(STACK_BYTES)?.map(0, STACK_BYTES, MapFlags::WRITE | MapFlags::GUARDS)
}

/// # Safety
/// Once, on the executor's stack, with the box from `run`.
unsafe extern "sysv64" fn on_new_stack(start: *mut Start) -> ! {
    // SAFETY: the caller's promise.
    let start = unsafe { Box::from_raw(start) };
    match run_main(*start) {
        Ok(code) => gate::exit(code),
        Err(error) => {
            log::error!("the executor cannot be started: {error}");
            gate::exit(NO_EXECUTOR)
        }
    }
}

fn run_main(start: Start) -> Result<i32, Box<dyn core::error::Error>> {
    reactor::start()?;
    FLEET.start_core(
        CoreId::FIRST,
        CoreConfig {
            tasks: TASKS,
            remote_tasks: 16,
            timers: TASKS,
            reservations: 8,
            ..CoreConfig::new()
        },
    )?;
    let Start { env, main } = start;
    // Read by this function and written by the main task, which run on one thread.
    let ended: &'static Cell<Option<i32>> = Box::leak(Box::new(Cell::new(None)));
    Task::<Ring3>::new("main")
        .spawn_local(async move {
            let code = main(env).await;
            ended.set(Some(code));
        })?
        .detach();
    let mut polls = 0;
    let says_deadline = say_deadline();
    FLEET.run_until(CoreId::FIRST, || {
        polls += 1;
        if polls >= POLLS_BETWEEN_LOOKS {
            polls = 0;
            reactor::look();
        }
        if says_deadline {
            // Best effort is as urgent here as the process is.
            let deadline = FLEET.next_deadline(CoreId::FIRST).unwrap_or(0);
            DEADLINE.store(deadline, Ordering::Relaxed);
        }
        ended.get().is_some()
    })?;
    Ok(ended.get().unwrap_or(NO_EXECUTOR))
}
