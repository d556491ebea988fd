//! An address space made by hand: code, data and stack pages, and one at the very end.

use hal::mem::counted;
use hal::mem::frames::Usage;
use hal::mem::user_tables::{USER_END, UserFlags, UserTables, activate};
use hal::user::{self, Exit, InterruptsOff, UserContext, snippets};

pub const PAGE: u64 = 4096;
/// The snippets.
pub const CODE: u64 = 0x40_0000;
/// Readable and writable.
pub const DATA: u64 = 0x50_0000;
/// The page whose end is the stack's top.
const STACK: u64 = 0x60_0000;
pub const STACK_TOP: u64 = STACK + PAGE;
/// The last page there can be; its last instruction is a `syscall`.
pub const LAST: u64 = USER_END - PAGE;
/// Readable and writable, the last but one.
pub const LAST_DATA: u64 = LAST - PAGE;
/// Nothing is mapped there.
pub const NOWHERE: u64 = 0x70_0000;

/// Most interruptions of one stay: the test's time, not the machine's.
const MOST_INTERRUPTS: usize = 100_000;

const MOST_PAGES: usize = 8;

/// The address space. Its frames are freed with it.
pub struct Space {
    tables: UserTables,
    frames: [Option<(u64, u64)>; MOST_PAGES],
}

impl Space {
    pub fn new() -> Result<Self, &'static str> {
        let tables = UserTables::new(&mut || true).map_err(|_| "no memory for page tables")?;
        let mut space = Self {
            tables,
            frames: [None; MOST_PAGES],
        };
        let code = snippets::code();
        for (address, part) in (CODE..)
            .step_by(PAGE as usize)
            .zip(code.chunks(PAGE as usize))
        {
            space.map(address, part, UserFlags::READ_EXECUTE)?;
        }
        space.map(DATA, &[], UserFlags::READ_WRITE)?;
        space.map(STACK, &[], UserFlags::READ_WRITE)?;
        space.map(LAST_DATA, &[], UserFlags::READ_WRITE)?;
        let mut last = [0x90; PAGE as usize];
        if let Some(end) = last.last_chunk_mut() {
            *end = SYSCALL;
        }
        space.map(LAST, &last, UserFlags::READ_EXECUTE)?;
        Ok(space)
    }

    /// Maps a page with these contents.
    pub fn map(
        &mut self,
        address: u64,
        contents: &[u8],
        flags: UserFlags,
    ) -> Result<(), &'static str> {
        let slot = self
            .frames
            .iter_mut()
            .find(|slot| slot.is_none())
            .ok_or("the test has too few slots for pages")?;
        let frame = counted::allocate_zeroed(Usage::User).ok_or("no frame is free")?;
        *slot = Some((address, frame));
        counted::write(frame, 0, contents).map_err(|_| "a page cannot be filled")?;
        self.tables
            .map(address, frame, flags, &mut || true)
            .map_err(|_| "a page cannot be mapped")
    }

    /// A thread about to run the snippet `name`, with its data at RDI.
    pub fn thread(&self, name: &'static str) -> Result<UserContext, &'static str> {
        let offset = snippets::offset(name).ok_or("there is no such snippet")?;
        let mut context =
            UserContext::new(CODE + offset, STACK_TOP).map_err(|_| "a good RIP is refused")?;
        context.registers.rdi = DATA;
        context.set_fast_table(&super::gate::FAST);
        Ok(context)
    }

    /// Makes this the active address space, for user copies.
    pub fn activate(&self) {
        activate(&self.tables);
    }

    /// Runs the thread until it stops for a reason of its own.
    pub fn run(&self, context: &mut UserContext) -> Exit {
        for _ in 0..MOST_INTERRUPTS {
            match self.stay(context, None) {
                Exit::Interrupt => {}
                exit => return exit,
            }
        }
        Exit::Interrupt
    }

    /// Runs the thread until it stops, for whatever reason.
    pub fn stay(&self, context: &mut UserContext, until_ticks: Option<u64>) -> Exit {
        let off = InterruptsOff::new();
        self.activate();
        user::enter(
            off,
            context,
            until_ticks.unwrap_or(u64::MAX),
            &mut user::Nobody,
        )
    }

    /// Reads the data page.
    pub fn read<const N: usize>(&self, offset: u64) -> Result<[u8; N], &'static str> {
        let mut bytes = [0; N];
        counted::read(self.frame(DATA)?, offset as usize, &mut bytes)
            .map_err(|_| "the data page cannot be read")?;
        Ok(bytes)
    }

    /// Writes to the data page.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), &'static str> {
        counted::write(self.frame(DATA)?, offset as usize, bytes)
            .map_err(|_| "the data page cannot be written")
    }

    fn frame(&self, address: u64) -> Result<u64, &'static str> {
        self.frames
            .iter()
            .flatten()
            .find(|&&(at, _)| at == address)
            .map(|&(_, frame)| frame)
            .ok_or("no such page")
    }
}

/// The instruction.
const SYSCALL: [u8; 2] = [0x0f, 0x05];

impl Drop for Space {
    fn drop(&mut self) {
        hal::mem::user_tables::activate_kernel();
        self.tables.shootdown_now(hal::mem::user_tables::Flush::All);
        for (address, frame) in self.frames.iter().flatten() {
            self.tables.unmap(*address);
            counted::release(*frame, Usage::User);
        }
    }
}
