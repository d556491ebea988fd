//! From a terminal's pipes to the channel of whoever holds it, and from one holder to the next.

use abi::Error;
use abi::memory::PAGE_BYTES;
use input::Keymap;
use objects::notification::Notification;
use objects::refs::Ref;
use proto::TerminalInfo;
use proto::framebuffer::FramebufferInfo;
use proto::terminal::SCRIPT;
use rt::{ByteSink, ByteSource, Either, PipeReader, PipeWriter, first as first_of};
use zerocopy::IntoBytes;

use super::line::Line;
use super::{Display, Tail, Terminal};
use crate::exec::{self, CoreId};
use crate::keyboard::Seat;
use crate::process::first;
use crate::process::memory::{Memory, VmoObject};
use crate::process::object::{Capability, Object};

/// Bytes of a message at most: what `rt` expects of a stream is four times that.
pub const PIECE_BYTES: usize = 512;
/// Between attempts when the manager cannot be given a channel.
const RETRY: core::time::Duration = core::time::Duration::from_millis(200);

/// Bytes that were taken from a pipe and are on their way.
type Piece = heapless::Vec<u8, PIECE_BYTES>;

/// Starts the task of a terminal.
pub fn start(terminal: Terminal) {
    exec::spawn(
        terminal.name,
        CoreId::FIRST,
        exec::INPUT_DEADLINE,
        async move {
            let config = &terminal.config;
            let size = |count| u32::try_from(count).unwrap_or(0);
            let flags = match config.mode {
                shell::Mode::Script => SCRIPT,
                shell::Mode::Interactive => 0,
            };
            let info = TerminalInfo::new(size(config.columns), size(config.rows), flags);
            let mut typed = Piece::new();
            loop {
                let line = offer(terminal.name).await;
                if line.send(info.as_bytes()).await.is_ok() {
                    carry(&line, &terminal, &mut typed).await;
                }
                line.log_traffic(terminal.name);
            }
        },
    );
}

/// Gives the manager a new channel for this terminal.
async fn offer(name: &'static str) -> Line {
    loop {
        let offered = match Line::new() {
            Ok((line, theirs)) => first::renew(name, theirs).await.map(|()| line),
            Err(error) => Err(error),
        };
        match offered {
            Ok(line) => return line,
            Err(error) => {
                ::log::error!(target: "terminal", "{name} cannot be given away: {error}");
                exec::sleep(RETRY).await;
            }
        }
    }
}

/// Carries bytes both ways until the holder is gone and all it wrote has been taken.
async fn carry(line: &Line, terminal: &Terminal, typed: &mut Piece) {
    let inwards = async {
        // That the holder is gone is seen by the other direction, when it has taken what there still was.
        if feed(line, &terminal.typed, typed, None).await.is_err() {
            core::future::pending::<()>().await;
        }
    };
    let outwards = show(line, &terminal.output);
    match first_of(inwards, outwards).await {
        Either::A(()) | Either::B(()) => {}
    }
}

/// Sends what comes from `source`. What was taken from it and could not be sent is left in `piece`.
async fn feed(
    line: &Line,
    source: &PipeReader<'static>,
    piece: &mut Piece,
    mut tail: Option<&mut Tail>,
) -> Result<(), Error> {
    loop {
        if piece.is_empty() {
            if source.readable().await.is_err() {
                // The device's driver is gone: nothing comes any more.
                return core::future::pending().await;
            }
            let mut bytes = [0; PIECE_BYTES];
            let count = source.try_read(&mut bytes);
            let bytes = bytes.get(..count).unwrap_or_default();
            // As long as it.
            let _ = piece.extend_from_slice(bytes);
            if let Some(tail) = &mut tail {
                tail.push(bytes);
            }
        }
        line.send(piece).await?;
        piece.clear();
    }
}

/// Takes what the holder writes, until it is gone.
async fn show(line: &Line, output: &PipeWriter<'static>) {
    while let Ok(message) = line.receive().await {
        crate::start::shell_is_up();
        if output.write_all(message.bytes()).await.is_err() {
            return;
        }
    }
}

/// Starts the task of the display, and gives its pixels away.
pub fn start_display(display: Display) {
    exec::spawn(
        "display",
        CoreId::FIRST,
        exec::CONSOLE_DEADLINE,
        async move {
            if let Err(error) = give_pixels(["framebuffer", "framebuffer.info"]).await {
                ::log::error!(target: "screen", "the framebuffer cannot be given away: {error}; the kernel shows the console itself");
                return super::resident::start_display(display);
            }
            let Display {
                to_show, mut tail, ..
            } = display;
            let mut piece = Piece::new();
            loop {
                let line = offer("terminal.display").await;
                // What was on its way is in the tail.
                piece.clear();
                if replay(&line, &tail).await.is_ok() {
                    // Nothing comes back; so this ends when the holder does.
                    let gone = async { while line.receive().await.is_ok() {} };
                    first_of(feed(&line, &to_show, &mut piece, Some(&mut tail)), gone).await;
                }
                line.log_traffic("terminal.display");
            }
        },
    );
}

/// Sends what a screen showed before.
async fn replay(line: &Line, tail: &Tail) -> Result<(), Error> {
    let mut from = tail.start();
    loop {
        let piece = tail.piece(from);
        if piece.is_empty() {
            return Ok(());
        }
        from += piece.len();
        line.send(&piece).await?;
    }
}

/// The pixels for windows, and what describes them.
const DESKTOP_PIXELS: [&str; 2] = ["desktop.framebuffer", "desktop.framebuffer.info"];

/// Gives the pixels away for windows, and leaves keyboard and pointer to a server. If that cannot be, the screen shows a shell.
pub fn start_desktop(display: Display, seat: Seat) {
    exec::spawn(
        "desktop",
        CoreId::FIRST,
        exec::CONSOLE_DEADLINE,
        async move {
            let given = match give_pixels(DESKTOP_PIXELS).await {
                Ok(()) => give_input(seat.keymap).await,
                Err(error) => Err(error),
            };
            if let Err(error) = given {
                ::log::error!(target: "screen", "the screen cannot be given to a desktop: {error}; it shows a shell");
                super::add_display(display);
                seat.start();
                super::keep();
            }
        },
    );
}

/// Says to the input server that keyboard and pointer are its, and in what layout.
async fn give_input(keymap: Keymap) -> Result<(), Error> {
    let notification = Notification::create(first::root_job()?.job())?;
    notification.signal(keymap.bit());
    let capability = Capability::new(Object::Notification(notification))?;
    first::renew(super::DESKTOP_INPUT, capability).await
}

/// Leaves keyboard, pointer and whatever shows pixels to servers.
pub fn start_unseen_desktop(keymap: Keymap) {
    exec::spawn(
        "desktop",
        CoreId::FIRST,
        exec::CONSOLE_DEADLINE,
        async move {
            let given = match give_no_pixels(DESKTOP_PIXELS).await {
                Ok(()) => give_input(keymap).await,
                Err(error) => Err(error),
            };
            if let Err(error) = given {
                ::log::error!(target: "screen", "there is no desktop: {error}");
            }
        },
    );
}

/// Gives the pixels to the manager: to be passed on by duplicates, so that they come back by themselves.
async fn give_pixels(names: [&str; 2]) -> Result<(), Error> {
    let (pixels, info) = crate::screen::pixels(first::root_job()?.job())?;
    give(names, pixels, &info).await
}

/// Gives what says that there are none.
async fn give_no_pixels(names: [&str; 2]) -> Result<(), Error> {
    let empty = VmoObject::create(Memory, first::root_job()?.job(), PAGE_BYTES)?;
    give(names, empty, &FramebufferInfo::absent()).await
}

async fn give(
    [name, info_name]: [&str; 2],
    pixels: Ref<VmoObject>,
    info: &FramebufferInfo,
) -> Result<(), Error> {
    use abi::Rights;
    let passed_on =
        Rights::READ | Rights::MAP | Rights::INSPECT | Rights::DUPLICATE | Rights::TRANSFER;
    let description = VmoObject::create(Memory, first::root_job()?.job(), PAGE_BYTES)?;
    description.write(0, info.as_bytes()).await?;
    let pixels = Capability::with_rights(Object::Vmo(pixels), passed_on | Rights::WRITE)?;
    first::renew(name, pixels).await?;
    let description = Capability::with_rights(Object::Vmo(description), passed_on)?;
    first::renew(info_name, description).await
}
