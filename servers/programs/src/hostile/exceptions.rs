//! Threads that wait after an exception, and those who are to say what becomes of them.

use abi::process::{CRASHED, KILLED, ThreadArgs};
use abi::{Error, FOREVER, ObjectType, Rights, Signals};
use personality::raw_code::process;
use rt::sys::driven::{Crash, DrivenThread, Stop, Why};
use rt::sys::object::{Channel, Object, Process, Thread};
use rt::sys::process::this_job;
use rt::sys::{clock, thread};

use crate::{Attack, holds};

/// What takes longer than this was lost.
const PATIENCE_NS: u64 = 10_000_000_000;
/// What the code below ends with when it gets that far.
const GOT_BY: i32 = 7;

/// `ud2`, `int3` and `mov al, [rbx]`, each before `process_exit(7)`.
const UNDEFINED: &[u8] = &[0x0f, 0x0b, 0xb8, 22, 0, 0, 0, 0xbf, 7, 0, 0, 0, 0x0f, 0x05];
const BREAKPOINT: &[u8] = &[0xcc, 0xb8, 22, 0, 0, 0, 0xbf, 7, 0, 0, 0, 0x0f, 0x05];
const LOAD: &[u8] = &[0x8a, 0x03, 0xb8, 22, 0, 0, 0, 0xbf, 7, 0, 0, 0, 0x0f, 0x05];

pub(crate) const ATTACKS: &[Attack] = &[
    Attack::holds("exception-stepped-over", || {
        let mut case = Case::new(UNDEFINED)?;
        let (stop, thread) = case.next()?;
        let mut registers = thread.registers()?;
        let same = registers == *stop.registers();
        registers.rip += 2;
        thread.set_registers(&registers)?;
        thread.go_on()?;
        let by = case.ended()? == GOT_BY;
        holds(same && by && matches!(stop.why(), Why::Exception { vector: 6, .. }))
    }),
    Attack::holds("exception-met-again", || {
        let mut case = Case::new(UNDEFINED)?;
        let (first, thread) = case.next()?;
        thread.go_on()?;
        // Nothing was mended, so it comes again.
        let (second, again) = case.next()?;
        drop(thread);
        let mut registers = again.registers()?;
        registers.rip += 2;
        again.set_registers(&registers)?;
        again.go_on()?;
        holds(first == second && case.ended()? == GOT_BY)
    }),
    Attack::holds("exception-of-a-breakpoint", || {
        let mut case = Case::new(BREAKPOINT)?;
        let (stop, thread) = case.next()?;
        thread.go_on()?;
        let by = case.ended()? == GOT_BY;
        holds(by && matches!(stop.why(), Why::Exception { vector: 3, .. }))
    }),
    Attack::holds("exception-mended", || {
        let mut case = Case::new(LOAD)?;
        let (stop, thread) = case.next()?;
        let mut registers = thread.registers()?;
        registers.rbx = registers.rip;
        let mut state = alloc::vec![0; thread.extended_bytes()?];
        thread.extended(&mut state)?;
        thread.set_extended(&state)?;
        thread.set_registers(&registers)?;
        thread.go_on()?;
        let by = case.ended()? == GOT_BY;
        holds(by && matches!(stop.why(), Why::Exception { vector: 14, .. }))
    }),
    Attack::holds("exception-holder-goes", || {
        let mut case = Case::new(UNDEFINED)?;
        let (_, thread) = case.next()?;
        case.channel = None;
        let code = case.ended()?;
        // There is nobody to go on any more.
        let late = thread.go_on().is_err();
        holds(code == CRASHED && late)
    }),
    Attack::holds("exception-that-nobody-reads", || {
        let mut case = Case::new(UNDEFINED)?;
        case.channel = None;
        holds(case.ended()? == CRASHED)
    }),
    Attack::holds("exception-thread-killed", || {
        let mut case = Case::new(UNDEFINED)?;
        let (_, thread) = case.next()?;
        thread.kill()?;
        case.ended().map(|_| 0)
    }),
    Attack::holds("exception-process-killed", || {
        let mut case = Case::new(UNDEFINED)?;
        case.next()?;
        case.process.kill(KILLED)?;
        holds(case.ended()? == KILLED)
    }),
    Attack::refused("exception-told-twice", &[Error::BadState], || {
        let mut case = Case::new(UNDEFINED)?;
        let (_, thread) = case.next()?;
        let mut registers = thread.registers()?;
        registers.rip += 2;
        thread.set_registers(&registers)?;
        thread.go_on()?;
        case.ended()?;
        thread.go_on().map(|()| 0)
    }),
    Attack::refused("exception-driven", &[Error::BadState], || {
        let mut case = Case::new(UNDEFINED)?;
        let (_, thread) = case.next()?;
        thread.run_blocking(FOREVER).map(|_| 0)
    }),
    Attack::refused("exception-without-the-right", &[Error::NoRight], || {
        let mut case = Case::new(UNDEFINED)?;
        let (_, thread) = case.next()?;
        let weak = Rights::of_new(ObjectType::Thread) - Rights::DRIVE;
        DrivenThread::from_thread(thread.thread().duplicate(weak)?)
            .go_on()
            .map(|()| 0)
    }),
    Attack::refused("exception-to-the-kernel", &[Error::BadAddress], || {
        let mut case = Case::new(UNDEFINED)?;
        let (_, thread) = case.next()?;
        let mut registers = thread.registers()?;
        registers.rip = 1 << 47;
        thread.set_registers(&registers).map(|()| 0)
    }),
    Attack::refused("go-on-without-an-exception", &[Error::BadState], || {
        let other = thread::spawn(|| {})?;
        let rights = Rights::of_new(ObjectType::Thread);
        let handle = DrivenThread::from_thread(other.thread().duplicate(rights)?);
        other.join_blocking(FOREVER)?;
        handle.go_on().map(|()| 0)
    }),
];

/// A process whose exceptions come here.
struct Case {
    process: Process,
    channel: Option<Channel>,
    _thread: Thread,
}

impl Case {
    fn new(code: &[u8]) -> Result<Self, Error> {
        let (process, entry) = process(&this_job(), code)?;
        let (ours, theirs) = Channel::create()?;
        process.set_exceptions(Some(&theirs))?;
        let arguments = ThreadArgs {
            entry,
            core: u32::MAX,
            ..ThreadArgs::default()
        };
        let thread = process.start_thread(&arguments)?;
        Ok(Self {
            process,
            channel: Some(ours),
            _thread: thread,
        })
    }

    /// The next exception, and the thread that waits.
    fn next(&mut self) -> Result<(Stop, DrivenThread), Error> {
        let channel = self.channel.as_ref().ok_or(Error::BadState)?;
        channel.wait_blocking(Signals::READABLE, clock::now_ns() + PATIENCE_NS)?;
        let crash = Crash::read(channel)?;
        let thread = crash.thread.ok_or(Error::BadHandle)?;
        let waits = thread.thread().info()?.signals & Signals::STOPPED.bits() != 0;
        if waits {
            Ok((crash.stop, thread))
        } else {
            Err(Error::BadState)
        }
    }

    /// Its exit code, once it has ended.
    fn ended(&self) -> Result<i32, Error> {
        self.process
            .wait_blocking(Signals::ENDED, clock::now_ns() + PATIENCE_NS)?;
        Ok(self.process.status()?.exit_code)
    }
}
