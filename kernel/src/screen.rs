//! The framebuffer: start-up messages, then a display for whoever is its console, and panic reports.
//!
//! Two text consoles share the pixels. One is written by start-up directly; it goes on in a task if the kernel keeps the
//! display, and rests if a process gets the pixels. The other is kept for a panic report, whose writer can wait for nobody, and
//! starts on a blank screen, whoever painted there: the other cores are stopped by then.

use alloc::vec::Vec;

use abi::Error;
use abi::memory::PAGE_BYTES;
use conquer_once::spin::OnceCell;
use console::{Cell, Console};
use hal::framebuffer::{Framebuffer, NoFramebuffer};
use kerncore::log_ring::Cursor;
use objects::job::Job;
use objects::memory::{Cache, Frame};
use objects::refs::Ref;
use proto::ScreenInfo;
use proto::{FramebufferInfo, framebuffer};
use rt::Pipe;
use spin::Mutex;
use zerocopy::IntoBytes;

use crate::exec::{self, CoreId};
use crate::process::memory::{Memory, VmoObject};
use crate::terminal::{self, Display, Tail};
use crate::{bochs_display, output};

/// The kernel's pixels as the console wants them.
pub struct Pixels(&'static Framebuffer);

impl console::Framebuffer for Pixels {
    fn size(&self) -> (u32, u32) {
        (self.0.width(), self.0.height())
    }

    fn write_rect(&mut self, x: u32, y: u32, width: u32, pixels: &[u32]) {
        for (row, line) in pixels.chunks(width.max(1) as usize).enumerate() {
            self.0.write_row(x, y + row as u32, line);
        }
    }
}

/// A text console on the kernel's own mapping of the pixels.
pub type TextConsole = Console<'static, Pixels>;

static FRAMEBUFFER: OnceCell<Framebuffer> = OnceCell::uninit();
static START_UP: Mutex<Option<TextConsole>> = Mutex::new(None);
static REPORT: Mutex<Option<TextConsole>> = Mutex::new(None);

/// What the shell writes, before the log is merged in, and after.
static SHELL_OUTPUT: Pipe<4096> = Pipe::new();
static TO_SHOW: Pipe<8192> = Pipe::new();

/// Makes the consoles on the framebuffer that firmware or the loader set up, if there is one.
pub fn start() {
    match hal::framebuffer::map() {
        Ok(framebuffer) => use_framebuffer(framebuffer),
        // A display adapter may be found later.
        Err(NoFramebuffer::Absent) => {}
        Err(why) => ::log::warn!(target: "screen", "{why}"),
    }
}

/// Once PCI is known: without a framebuffer so far, looks for an adapter whose mode can be set.
pub fn start_late() {
    if FRAMEBUFFER.get().is_some() {
        return;
    }
    match bochs_display::set_mode() {
        Some(framebuffer) => use_framebuffer(framebuffer),
        None => ::log::info!(target: "screen", "{}", NoFramebuffer::Absent),
    }
}

fn use_framebuffer(framebuffer: Framebuffer) {
    let framebuffer = FRAMEBUFFER.get_or_init(|| framebuffer);
    let consoles =
        new_console(framebuffer).and_then(|first| Some((first, new_console(framebuffer)?)));
    let Some((first, second)) = consoles else {
        return ::log::warn!(target: "screen", "no text console fits the framebuffer or the memory; use the serial console");
    };
    *START_UP.lock() = Some(first);
    *REPORT.lock() = Some(second);
    hal::cpu::report::set_screen_hook(write_report);
    ::log::info!(
        target: "screen",
        "{} x {} pixels, {} bits each",
        framebuffer.width(),
        framebuffer.height(),
        framebuffer.bits_per_pixel()
    );
}

/// Allocates a console's memory as start-up does and gives it back: for the test of what happens when memory is out.
pub fn try_cells() -> Result<(), ()> {
    cells_for(1280, 800).map(drop).ok_or(())
}

/// Memory for a console on a framebuffer of this size.
fn cells_for(width: u32, height: u32) -> Option<Vec<Cell>> {
    let count = console::cells_needed(width, height);
    let mut cells = Vec::new();
    cells.try_reserve_exact(count).ok()?;
    cells.resize(count, Cell::BLANK);
    Some(cells)
}

fn new_console(framebuffer: &'static Framebuffer) -> Option<TextConsole> {
    let cells = cells_for(framebuffer.width(), framebuffer.height())?;
    // The console lives as long as the kernel.
    Console::new(Pixels(framebuffer), cells.leak()).ok()
}

/// Whether start-up messages can be shown.
pub fn is_up() -> bool {
    START_UP.lock().is_some()
}

/// Shows a start-up message at once.
pub fn write_early(text: &str) {
    if let Some(console) = START_UP.lock().as_mut() {
        write_lines(console, text);
    }
}

/// The report's way to the screen: called by a core that may have interrupted anything, so it waits for no lock.
fn write_report(text: &str) {
    if let Some(mut guard) = REPORT.try_lock()
        && let Some(console) = guard.as_mut()
    {
        write_lines(console, text);
    }
}

fn write_lines(console: &mut TextConsole, text: &str) {
    for line in text.split_inclusive('\n') {
        match line.strip_suffix('\n') {
            Some(line) => {
                console.write(line.as_bytes());
                console.write(b"\r\n");
            }
            None => console.write(line.as_bytes()),
        }
    }
    console.flush();
}

/// Starts what merges the log into what is shown, and makes the screen a display. Returns its columns and rows and where the
/// screen's shell writes, or `None` without a screen.
pub fn start_tasks() -> Option<((usize, usize), rt::PipeWriter<'static>)> {
    let console = START_UP.lock().take()?;
    let size = (console.columns(), console.rows());
    let (output_in, output_out) = SHELL_OUTPUT.split().ok()?;
    let (show_in, to_show) = TO_SHOW.split().ok()?;
    let (tail, end) = shown_so_far()?;
    exec::spawn(
        "screen-output",
        CoreId::FIRST,
        exec::CONSOLE_DEADLINE,
        output::forward(output_out, true, end, show_in),
    );
    terminal::add_display(Display {
        to_show,
        tail,
        console,
    });
    Some((size, output_in))
}

/// The log as start-up has shown it, and the place behind it.
fn shown_so_far() -> Option<(Tail, Cursor)> {
    let mut tail = Tail::new()?;
    let mut cursor = Cursor::START;
    while let Some(step) = output::next_line(&mut cursor) {
        if let Some(line) = step {
            tail.push(line.as_bytes());
        }
    }
    Some((tail, cursor))
}

/// The pixels as memory that can be mapped, and what they are.
///
/// # Errors
/// [`Error::NoMemory`]; [`Error::Unsupported`] if there are none, or of a format that only the kernel's console knows.
pub fn pixels(job: &Ref<Job>) -> Result<(Ref<VmoObject>, FramebufferInfo), Error> {
    let framebuffer = FRAMEBUFFER.get().ok_or(Error::Unsupported)?.info();
    let first = framebuffer.address & !(PAGE_BYTES - 1);
    let offset_bytes = framebuffer.address - first;
    let bytes = offset_bytes
        .checked_add(framebuffer.len_bytes())
        .ok_or(Error::OutOfRange)?;
    let channel = |channel: kerncore::boot_info::Channel| framebuffer::Channel {
        shift: channel.shift,
        bits: channel.width,
    };
    let format = &framebuffer.format;
    let info = FramebufferInfo {
        magic: framebuffer::MAGIC,
        offset_bytes,
        width: framebuffer.width,
        height: framebuffer.height,
        pitch_bytes: framebuffer.stride_bytes,
        bits_per_pixel: u32::from(framebuffer.bits_per_pixel),
        red: channel(format.red),
        green: channel(format.green),
        blue: channel(format.blue),
        ..FramebufferInfo::default()
    };
    let pages = bytes.div_ceil(PAGE_BYTES);
    FramebufferInfo::parse(info.as_bytes(), pages * PAGE_BYTES).map_err(|_| Error::Unsupported)?;
    let first = Frame::from_address(first).ok_or(Error::OutOfRange)?;
    // As the kernel itself maps them, so that no two mappings disagree (Intel SDM vol. 3A, §12.12.4).
    let vmo = VmoObject::create_physical(Memory, job, first, pages, Cache::WriteCombining, None)?;
    Ok((vmo, info))
}

/// The screen's size, for `version`.
pub fn info() -> Option<ScreenInfo> {
    let framebuffer = FRAMEBUFFER.get()?;
    Some(ScreenInfo {
        width: framebuffer.width(),
        height: framebuffer.height(),
        bits_per_pixel: framebuffer.bits_per_pixel(),
    })
}
