//! More threads in this process.

use alloc::boxed::Box;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

use abi::memory::{MapFlags, PAGE_BYTES};
use abi::process::ThreadArgs;
use abi::{Call, Error, Signals};

use super::gate;
use super::memory::Mapping;
use super::object::{Object, Reservation, Thread, Vmo};
use super::process::{this_process, thread_create};

/// Stack of a thread that names no other size: committed as it is touched, guarded below and above.
pub const STACK_BYTES: u64 = 64 << 10;

/// A thread whose stack is free for others when it is joined. Dropped unjoined, the thread goes on and its stack stays for ever.
#[derive(Debug)]
pub struct Joinable {
    thread: Thread,
    stack: core::mem::ManuallyDrop<Mapping>,
}

type Body = Box<dyn FnOnce() + Send>;

/// Starts a thread that runs `body`, on the kernel's choice of core.
///
/// # Errors
/// [`Error::NoMemory`], the job's limits.
pub fn spawn(body: impl FnOnce() + Send + 'static) -> Result<Joinable, Error> {
    spawn_with(STACK_BYTES, u32::MAX, body)
}

/// [`spawn`] with a stack of `stack_bytes`, a multiple of the page size, on `core`.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_with(
    stack_bytes: u64,
    core: u32,
    body: impl FnOnce() + Send + 'static,
) -> Result<Joinable, Error> {
    spawn_body(stack_bytes, core, None, body)
}

/// [`spawn_with`] in a reservation, which is of that core.
///
/// # Errors
/// As [`spawn`]; [`Error::BadArgument`] if it is of another core.
pub fn spawn_reserved(
    stack_bytes: u64,
    core: u32,
    reservation: &Reservation,
    body: impl FnOnce() + Send + 'static,
) -> Result<Joinable, Error> {
    spawn_body(stack_bytes, core, Some(reservation), body)
}

fn spawn_body(
    stack_bytes: u64,
    core: u32,
    reservation: Option<&Reservation>,
    body: impl FnOnce() + Send + 'static,
) -> Result<Joinable, Error> {
    // Two boxes, so that one word names the body; both are small, and a thread costs more.
    let body: Body = try_box(body).ok_or(Error::NoMemory)?;
    let argument = Box::into_raw(try_box(body).ok_or(Error::NoMemory)?);
    let started = start_on_new_stack(stack_bytes, core, reservation, argument);
    if started.is_err() {
        // SAFETY: no thread was started, so the box is still this function's.
        drop(unsafe { Box::from_raw(argument) });
    }
    started
}

fn start_on_new_stack(
    stack_bytes: u64,
    core: u32,
    reservation: Option<&Reservation>,
    body: *mut Body,
) -> Result<Joinable, Error> {
    let stack = stacks::take(stack_bytes)?;
    let arguments = ThreadArgs {
        entry: first_instruction as *const () as u64,
        // As after a call: a multiple of 16 less 8.
        stack: stack.address() + stack_bytes - 8,
        first_argument: body as u64,
        core,
        reservation: reservation.map_or(0, |reservation| reservation.handle().0),
        ..ThreadArgs::default()
    };
    // SAFETY: the function below runs on a stack that is its own, and stays until it is joined.
    match unsafe { thread_create(&this_process(), &arguments) } {
        Ok(thread) => Ok(Joinable {
            thread,
            stack: core::mem::ManuallyDrop::new(stack),
        }),
        Err(error) => {
            stacks::put(stack);
            Err(error)
        }
    }
}

/// Stacks of threads that were joined, for the next ones: making one and giving it back costs more than all else about a thread.
mod stacks {
    use spin::mutex::SpinMutex;

    use super::*;

    /// Most that are kept.
    const KEPT: usize = 4;
    static SPARE: SpinMutex<[Option<Mapping>; KEPT]> = SpinMutex::new([const { None }; KEPT]);

    /// One of this size, guarded below and above.
    pub fn take(bytes: u64) -> Result<Mapping, Error> {
        let spare = SPARE
            .lock()
            .iter_mut()
            .find_map(|place| place.take_if(|stack| stack.len() as u64 == bytes));
        match spare {
            Some(stack) => Ok(stack),
            None => make(bytes).or_else(|error| {
                // What is kept for later may be what there is no room for now.
                let others = core::mem::take(&mut *SPARE.lock());
                if others.iter().all(Option::is_none) {
                    return Err(error);
                }
                drop(others);
                make(bytes)
            }),
        }
    }

    fn make(bytes: u64) -> Result<Mapping, Error> {
        let vmo = Vmo::create(bytes)?;
        vmo.map(0, bytes, MapFlags::WRITE | MapFlags::GUARDS)
    }

    /// Keeps a stack that nobody runs on any more, if there is room.
    pub fn put(stack: Mapping) {
        let mut left = Some(stack);
        let mut spare = SPARE.lock();
        if let Some(place) = spare.iter_mut().find(|place| place.is_none()) {
            *place = left.take();
        }
        drop(spare);
        drop(left);
    }
}

/// # Safety
/// The first instruction of a thread that `start_on_new_stack` makes.
unsafe extern "sysv64" fn first_instruction(body: *mut Body) -> ! {
    // SAFETY: the box that was handed over, once.
    let body = unsafe { Box::from_raw(body) };
    body();
    loop {
        // SAFETY: the call does not return.
        unsafe { gate::call(Call::ThreadExit, []) };
    }
}

impl Joinable {
    /// The thread's handle.
    #[must_use]
    pub const fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Waits, with the whole calling thread, until it has ended.
    ///
    /// # Errors
    /// [`Error::TimedOut`], with which the thread is left to itself.
    pub fn join_blocking(self, deadline_ns: u64) -> Result<(), Error> {
        self.thread.wait_blocking(Signals::ENDED, deadline_ns)?;
        // It never runs again, so its stack is free.
        stacks::put(core::mem::ManuallyDrop::into_inner(self.stack));
        Ok(())
    }
}

/// A box, or nothing where there is no memory.
fn try_box<T>(value: T) -> Option<Box<T>> {
    let layout = core::alloc::Layout::new::<T>();
    if layout.size() == 0 {
        return Some(Box::new(value));
    }
    // SAFETY: the layout is not empty.
    let place = unsafe { alloc::alloc::alloc(layout) }.cast::<T>();
    if place.is_null() {
        return None;
    }
    // SAFETY: fresh memory of the value's layout, from the global allocator.
    unsafe {
        place.write(value);
        Some(Box::from_raw(place))
    }
}

/// Threads that only wait: as many as fit, each on one page of a common stack area, for measuring what a sleeping thread costs.
#[derive(Debug)]
pub struct Sleepers {
    /// Never unmapped: nobody knows when the last one has ended.
    stacks: core::mem::ManuallyDrop<Mapping>,
    started: usize,
}

/// The notification that sleepers wait for.
static ALARM: AtomicPtr<()> = AtomicPtr::new(null_mut());

impl Sleepers {
    /// Starts `count` threads that wait until `notification` has bits and then end. `keep` is called with each one's handle.
    ///
    /// # Errors
    /// The error of the first one that does not start, with how many did.
    pub fn start(
        count: usize,
        notification: &super::object::Notification,
        mut keep: impl FnMut(Thread),
    ) -> Result<Self, (Error, usize)> {
        let none = |error| (error, 0);
        let bytes = count as u64 * PAGE_BYTES;
        let vmo = Vmo::create(bytes).map_err(none)?;
        let stacks = vmo.map(0, bytes, MapFlags::WRITE).map_err(none)?;
        let stacks = core::mem::ManuallyDrop::new(stacks);
        ALARM.store(
            core::ptr::without_provenance_mut(notification.handle().0 as usize),
            Ordering::Relaxed,
        );
        let mut sleepers = Self { stacks, started: 0 };
        for index in 0..count {
            let arguments = ThreadArgs {
                entry: sleep_once as *const () as u64,
                stack: sleepers.stacks.address() + (index as u64 + 1) * PAGE_BYTES - 8,
                core: u32::MAX,
                ..ThreadArgs::default()
            };
            // SAFETY: the function below runs on a page of its own, which stays mapped for ever.
            match unsafe { thread_create(&this_process(), &arguments) } {
                Ok(thread) => keep(thread),
                Err(error) => return Err((error, sleepers.started)),
            }
            sleepers.started += 1;
        }
        Ok(sleepers)
    }

    /// How many were started.
    #[must_use]
    pub const fn started(&self) -> usize {
        self.started
    }
}

/// # Safety
/// The first instruction of a sleeper.
unsafe extern "sysv64" fn sleep_once() -> ! {
    let notification = ALARM.load(Ordering::Relaxed).addr() as u64;
    // SAFETY: touches no memory; and `ThreadExit` does not return.
    unsafe {
        gate::call(
            Call::Wait,
            [notification, Signals::READABLE.bits() as u64, abi::FOREVER],
        );
        loop {
            gate::call(Call::ThreadExit, []);
        }
    }
}
