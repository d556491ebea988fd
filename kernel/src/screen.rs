//! The framebuffer as a console: start-up messages, then the log and a shell, and panic reports.
//!
//! Two text consoles share the pixels. One is written by start-up directly and then handed to a task for good; the other
//! is kept for a panic report, whose writer can wait for nobody, and starts on a blank screen.

use alloc::vec::Vec;

use conquer_once::spin::OnceCell;
use console::{Cell, Console};
use hal::framebuffer::{Framebuffer, NoFramebuffer};
use proto::ScreenInfo;
use rt::{Pipe, PipeReader};
use spin::Mutex;

use crate::exec::{self, CoreId};
use crate::{bochs_display, log, output};

/// The kernel's pixels as the console wants them.
struct Pixels(&'static Framebuffer);

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

type TextConsole = Console<'static, Pixels>;

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

/// Hands the console to its tasks. Returns its columns and rows and where the screen's shell writes, or `None` without a
/// screen.
pub fn start_tasks() -> Option<((usize, usize), rt::PipeWriter<'static>)> {
    let mut console = START_UP.lock().take()?;
    let size = (console.columns(), console.rows());
    let (output_in, output_out) = SHELL_OUTPUT.split().ok()?;
    let (show_in, show_out): (_, PipeReader<'static>) = TO_SHOW.split().ok()?;
    exec::spawn(
        "screen-output",
        CoreId::FIRST,
        exec::CONSOLE_DEADLINE,
        output::forward(output_out, true, log::end(), show_in),
    );
    exec::spawn(
        "screen",
        CoreId::FIRST,
        exec::CONSOLE_DEADLINE,
        async move {
            console::run(&mut console, &show_out).await;
        },
    );
    Some((size, output_in))
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
