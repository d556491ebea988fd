//! Graphics without acceleration (§5.7): pictures in memory that the device copies to its outputs, and a cursor of its own.
//!
//! A driver [starts](start) the device and gets its three parts, each for a task of its own. With the [`Control`] it asks for the
//! [modes](Control::modes) of the outputs, makes a [`Picture`] for one and [shows](Control::show) it there. Whatever it then paints into
//! the picture's memory is seen after [`present`](Control::present), which ends when the device has shown it. The [`Cursor`] is a picture
//! of 64 by 64 that moves without anything else being painted, also while something is presented. [`Changes`] says when an output
//! gets another size, or comes or goes.
//!
//! What must hold: a request's memory is not used again before the device gave it back, also when who asked has stopped waiting.

mod wire;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use rt::{Clock, Interrupt};

use crate::hardware::{Function, Shared, Space};
use crate::{Buffer, Device, Fault, Queue};
pub use wire::MOST_OUTPUTS;
use wire::{
    HEADER_BYTES, MOST_ANSWER_BYTES, MOST_EDID_BYTES, MOST_REQUEST_BYTES, OUTPUTS_BYTES, Request,
    answer, request,
};

/// The device can say what its outputs can.
const FEATURE_EDID: u64 = 1 << 1;
/// Offsets of its configuration: what has happened, what of that was seen, how many outputs there are.
const EVENTS: usize = 0;
const EVENTS_SEEN: usize = 4;
const OUTPUTS: usize = 8;
/// An output has changed.
const EVENT_DISPLAY: u32 = 1;

const CONTROL_QUEUE: u16 = 0;
const CURSOR_QUEUE: u16 = 1;
const CONFIG_MESSAGE: u16 = 0;
const CONTROL_MESSAGE: u16 = 1;
const CURSOR_MESSAGE: u16 = 2;
/// Requests that are with the device at the same time, in each queue.
const SLOTS: usize = 8;
/// A slot has a request and its answer.
const SLOT_BYTES: usize = (MOST_REQUEST_BYTES + MOST_ANSWER_BYTES).next_multiple_of(64);
/// Of either kind of picture.
const PIXEL_BYTES: u32 = 4;
/// Longest side of a picture: what outputs and drivers count in 16 bits elsewhere.
const MOST_PIXELS: u32 = 16_384;
/// Both sides of a cursor's picture (§5.7.6.10).
pub const CURSOR_PIXELS: u32 = 64;

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rect {
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
    /// Pixels to the right.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl Rect {
    /// Whether it has pixels, all of them in a picture of this size.
    fn is_in(self, width: u32, height: u32) -> bool {
        let fits = |start: u32, len: u32, all: u32| {
            len > 0 && start.checked_add(len).is_some_and(|end| end <= all)
        };
        fits(self.x, self.width, width) && fits(self.y, self.height, height)
    }
}

/// An output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode {
    /// Where it is beside the others, and how large its user wants it.
    pub rect: Rect,
    /// Whether it is there.
    pub enabled: bool,
}

/// What the bytes of a pixel are, first to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// Blue, green, red, opacity: for cursors.
    Bgra = 1,
    /// Blue, green, red, nothing: for screens.
    Bgrx = 2,
}

/// Why the device did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuError {
    /// It is not to be used any more, or was never usable.
    Fault(Fault),
    /// It has no memory for that.
    OutOfMemory,
    /// It answered with this error (§5.7.6.7).
    Refused(u32),
    /// It answered with this, which is no answer to the request.
    Unexpected(u32),
    /// The picture would have no pixels, or more than 16384 in a row or column; or the rectangle leaves the picture.
    Size,
}

impl fmt::Display for GpuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => fault.fmt(f),
            Self::OutOfMemory => f.write_str("the graphics device has no memory for that"),
            Self::Refused(error) => write!(f, "the graphics device answers error {error:#x}"),
            Self::Unexpected(sort) => {
                write!(
                    f,
                    "the graphics device answers {sort:#x}, which is no answer"
                )
            }
            Self::Size => f.write_str("no picture has that size, or the place is outside of it"),
        }
    }
}

impl core::error::Error for GpuError {}

impl From<Fault> for GpuError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A picture that the device knows, and its memory.
pub struct Picture<S> {
    number: u32,
    width: u32,
    height: u32,
    memory: Shared<S>,
}

impl<S: Space> Picture<S> {
    /// Pixels in a row.
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// Bytes from one row to the next.
    pub const fn row_bytes(&self) -> u32 {
        self.width * PIXEL_BYTES
    }

    /// Its memory: rows from the top, without gaps.
    pub const fn memory(&self) -> &S {
        &self.memory.space
    }

    const fn all(&self) -> Rect {
        Rect {
            x: 0,
            y: 0,
            width: self.width,
            height: self.height,
        }
    }
}

/// A queue with memory for requests and answers.
struct Channel<F: Function> {
    queue: Queue<F>,
    memory: Shared<F::Space>,
    /// By slot: whether it is with the device, and how long the answer is that came.
    busy: [bool; SLOTS],
    answered: [Option<(usize, u64)>; SLOTS],
}

impl<F: Function> Channel<F> {
    fn new(device: &Device<F>, index: u16, message: u16) -> Result<Self, Fault> {
        // Two descriptors for each slot.
        let queue = device.queue(index, 2 * SLOTS as u16, message)?;
        if usize::from(queue.size()) < 2 * SLOTS {
            return Err(Fault::Nonsense("a queue for graphics is too short"));
        }
        Ok(Self {
            queue,
            memory: device.function().memory(SLOTS * SLOT_BYTES)?,
            busy: [false; SLOTS],
            answered: [None; SLOTS],
        })
    }

    /// Notes what the device gave back.
    fn note(&mut self, slot: u32, written: u32, stamp_ticks: u64) {
        let slot = slot as usize;
        if let (Some(busy), Some(answered)) = (self.busy.get_mut(slot), self.answered.get_mut(slot))
        {
            *busy = false;
            *answered = Some((written as usize, stamp_ticks));
        }
    }

    /// Gives a request to the device, once a slot is free for it; the slot.
    async fn send(&mut self, request: &Request) -> Result<usize, GpuError> {
        let slot = loop {
            match self.busy.iter().position(|busy| !busy) {
                Some(slot) => break slot,
                None => {
                    let used = self.queue.next().await.map_err(Fault::Broken)?;
                    self.note(used.cookie, used.written, used.stamp_ticks);
                }
            }
        };
        let start = slot * SLOT_BYTES;
        let bytes = request.bytes();
        self.memory.space.write(start, bytes);
        let address = self.memory.address + start as u64;
        let chain = [
            Buffer {
                address,
                bytes: bytes.len() as u32,
                device_writes: false,
            },
            Buffer {
                address: address + MOST_REQUEST_BYTES as u64,
                bytes: MOST_ANSWER_BYTES as u32,
                device_writes: true,
            },
        ];
        self.queue
            .add(&chain, slot as u32)
            .map_err(|_| Fault::NoMemory)?;
        if let (Some(busy), Some(answered)) = (self.busy.get_mut(slot), self.answered.get_mut(slot))
        {
            (*busy, *answered) = (true, None);
        }
        self.queue.notify();
        Ok(slot)
    }

    /// Waits for the answer in a slot, and reads as much of it as `to` takes; how long it is, and the tick of its interrupt.
    async fn answer(&mut self, slot: usize, to: &mut [u8]) -> Result<(usize, u64), GpuError> {
        let (len, stamp_ticks) = loop {
            if let Some(answer) = self.answered.get_mut(slot).and_then(Option::take) {
                break answer;
            }
            let used = self.queue.next().await.map_err(Fault::Broken)?;
            self.note(used.cookie, used.written, used.stamp_ticks);
        };
        let len = len.min(to.len());
        let start = slot * SLOT_BYTES + MOST_REQUEST_BYTES;
        let to = to.get_mut(..len).unwrap_or_default();
        self.memory.space.read(start, to);
        Ok((len, stamp_ticks))
    }

    /// Waits until what was asked in a slot is done.
    async fn done(&mut self, slot: usize) -> Result<u64, GpuError> {
        let mut bytes = [0; HEADER_BYTES];
        let (len, stamp_ticks) = self.answer(slot, &mut bytes).await?;
        wire::expect(bytes.get(..len).unwrap_or_default(), answer::DONE)?;
        Ok(stamp_ticks)
    }

    async fn ask(&mut self, request: &Request) -> Result<u64, GpuError> {
        let slot = self.send(request).await?;
        self.done(slot).await
    }
}

/// A graphics device's parts.
pub struct Gpu<F: Function> {
    /// Pictures and outputs.
    pub control: Control<F>,
    /// The cursors.
    pub cursor: Cursor<F>,
    /// What happens to the outputs.
    pub changes: Changes<F>,
}

/// Starts a graphics device. It is driven until all of its parts are dropped.
///
/// # Errors
/// [`Fault`].
pub async fn start<F: Function, C: Clock>(function: F, clock: &C) -> Result<Gpu<F>, Fault> {
    let device = Device::start(function, FEATURE_EDID, clock).await?;
    let line = device.config_interrupt(CONFIG_MESSAGE)?;
    let control = Channel::new(&device, CONTROL_QUEUE, CONTROL_MESSAGE)?;
    let cursor = Channel::new(&device, CURSOR_QUEUE, CURSOR_MESSAGE)?;
    let mut outputs = [0; 4];
    device.own().read(OUTPUTS, &mut outputs)?;
    let outputs = u32::from_le_bytes(outputs);
    if !(1..=MOST_OUTPUTS as u32).contains(&outputs) {
        return Err(Fault::Nonsense("it has no outputs, or more than 16"));
    }
    device.go();
    let device = Arc::new(device);
    Ok(Gpu {
        control: Control {
            device: Arc::clone(&device),
            channel: control,
            outputs,
            pictures: 0,
        },
        cursor: Cursor {
            channel: cursor,
            _device: Arc::clone(&device),
        },
        changes: Changes { device, line },
    })
}

/// Pictures and outputs.
pub struct Control<F: Function> {
    device: Arc<Device<F>>,
    channel: Channel<F>,
    outputs: u32,
    pictures: u32,
}

impl<F: Function> Control<F> {
    /// How many outputs it can have.
    pub const fn outputs(&self) -> u32 {
        self.outputs
    }

    /// What its outputs are like now; those beyond [`outputs`](Self::outputs) are not there.
    ///
    /// # Errors
    /// [`GpuError`].
    pub async fn modes(&mut self) -> Result<[Mode; MOST_OUTPUTS], GpuError> {
        let slot = self
            .channel
            .send(&Request::new(request::DISPLAY_INFO))
            .await?;
        let mut bytes = [0; OUTPUTS_BYTES];
        let (len, _) = self.channel.answer(slot, &mut bytes).await?;
        wire::expect(bytes.get(..len).unwrap_or_default(), answer::DISPLAY_INFO)?;
        let mut modes = [Mode::default(); MOST_OUTPUTS];
        let there = self.outputs as usize;
        for (output, mode) in modes.iter_mut().enumerate().take(there) {
            *mode = wire::mode(&bytes, output);
        }
        Ok(modes)
    }

    /// What the screen at an output says of itself (VESA E-EDID), if the device can tell.
    ///
    /// # Errors
    /// [`GpuError`].
    pub async fn edid(&mut self, output: u32) -> Result<Option<Vec<u8>>, GpuError> {
        if self.device.features() & FEATURE_EDID == 0 {
            return Ok(None);
        }
        let asked = Request::new(request::EDID).word(output).word(0);
        let slot = self.channel.send(&asked).await?;
        let mut bytes = [0; MOST_ANSWER_BYTES];
        let (len, _) = self.channel.answer(slot, &mut bytes).await?;
        wire::expect(bytes.get(..len).unwrap_or_default(), answer::EDID)?;
        let size = (wire::word(&bytes, HEADER_BYTES) as usize).min(MOST_EDID_BYTES);
        let said = bytes
            .get(HEADER_BYTES + 8..len)
            .and_then(|said| said.get(..size))
            .ok_or(Fault::Nonsense("an EDID is longer than its answer"))?;
        let mut edid = Vec::new();
        edid.try_reserve_exact(size).map_err(|_| Fault::NoMemory)?;
        edid.extend_from_slice(said);
        Ok(Some(edid))
    }

    /// Makes a black picture, with its memory.
    ///
    /// # Errors
    /// [`GpuError`].
    pub async fn create(
        &mut self,
        width: u32,
        height: u32,
        pixels: Pixels,
    ) -> Result<Picture<F::Space>, GpuError> {
        if !(1..=MOST_PIXELS).contains(&width) || !(1..=MOST_PIXELS).contains(&height) {
            return Err(GpuError::Size);
        }
        let bytes = width * height * PIXEL_BYTES;
        let memory = self.device.function().memory(bytes as usize)?;
        // 0 is none; numbers are not used again.
        let number = self.pictures.checked_add(1).ok_or(GpuError::OutOfMemory)?;
        self.pictures = number;
        let create = Request::new(request::CREATE)
            .word(number)
            .word(pixels as u32)
            .word(width)
            .word(height);
        self.channel.ask(&create).await?;
        let attach = Request::new(request::ATTACH)
            .word(number)
            .word(1)
            .long(memory.address)
            .word(bytes)
            .word(0);
        self.channel.ask(&attach).await?;
        Ok(Picture {
            number,
            width,
            height,
            memory,
        })
    }

    /// The device forgets a picture. Its memory stays until the device is closed.
    ///
    /// # Errors
    /// [`GpuError`].
    pub async fn destroy(&mut self, picture: Picture<F::Space>) -> Result<(), GpuError> {
        let destroy = Request::new(request::DESTROY).word(picture.number).word(0);
        self.channel.ask(&destroy).await.map(drop)
    }

    /// An output shows this picture from now on, or nothing.
    ///
    /// # Errors
    /// [`GpuError`].
    pub async fn show(
        &mut self,
        output: u32,
        picture: Option<&Picture<F::Space>>,
    ) -> Result<(), GpuError> {
        let (rect, number) = picture.map_or((Rect::default(), 0), |picture| {
            (picture.all(), picture.number)
        });
        let show = Request::new(request::SET_SCANOUT)
            .rect(rect)
            .word(output)
            .word(number);
        self.channel.ask(&show).await.map(drop)
    }

    /// Takes what was painted in a rectangle of a picture to the outputs that show it; the tick at which the device said that it is there.
    ///
    /// # Errors
    /// [`GpuError`].
    pub async fn present(
        &mut self,
        picture: &Picture<F::Space>,
        rect: Rect,
    ) -> Result<u64, GpuError> {
        if !rect.is_in(picture.width, picture.height) {
            return Err(GpuError::Size);
        }
        let transfer = self.transfer(picture, rect);
        let flush = Request::new(request::FLUSH)
            .rect(rect)
            .word(picture.number)
            .word(0);
        // Both at once: the device does them in order.
        let first = self.channel.send(&transfer).await?;
        let second = self.channel.send(&flush).await?;
        self.channel.done(first).await?;
        self.channel.done(second).await
    }

    fn transfer(&self, picture: &Picture<F::Space>, rect: Rect) -> Request {
        let offset =
            u64::from(rect.y) * u64::from(picture.row_bytes()) + u64::from(rect.x * PIXEL_BYTES);
        Request::new(request::TRANSFER)
            .rect(rect)
            .long(offset)
            .word(picture.number)
            .word(0)
    }

    /// Takes what was painted in a cursor's picture to the device: before [`Cursor::set`].
    ///
    /// # Errors
    /// [`GpuError`].
    pub async fn upload(&mut self, picture: &Picture<F::Space>) -> Result<(), GpuError> {
        let transfer = self.transfer(picture, picture.all());
        self.channel.ask(&transfer).await.map(drop)
    }
}

/// The cursors.
pub struct Cursor<F: Function> {
    channel: Channel<F>,
    /// Kept from being closed.
    _device: Arc<Device<F>>,
}

impl<F: Function> Cursor<F> {
    /// The cursor of an output looks like this picture, of [`CURSOR_PIXELS`] each way, and is there; its point is `hot` from its
    /// corner. `None` takes it away.
    ///
    /// # Errors
    /// [`GpuError`].
    pub async fn set(
        &mut self,
        output: u32,
        place: (u32, u32),
        cursor: Option<&Picture<F::Space>>,
        hot: (u32, u32),
    ) -> Result<(), GpuError> {
        let number = match cursor {
            Some(picture) if (picture.width, picture.height) != (CURSOR_PIXELS, CURSOR_PIXELS) => {
                return Err(GpuError::Size);
            }
            Some(picture) => picture.number,
            None => 0,
        };
        self.update(request::CURSOR, output, place, number, hot)
            .await
    }

    /// Moves the cursor of an output.
    ///
    /// # Errors
    /// [`GpuError`].
    pub async fn move_to(&mut self, output: u32, place: (u32, u32)) -> Result<(), GpuError> {
        self.update(request::MOVE_CURSOR, output, place, 0, (0, 0))
            .await
    }

    async fn update(
        &mut self,
        sort: u32,
        output: u32,
        (x, y): (u32, u32),
        number: u32,
        (hot_x, hot_y): (u32, u32),
    ) -> Result<(), GpuError> {
        let update = Request::new(sort)
            .word(output)
            .word(x)
            .word(y)
            .word(0)
            .word(number)
            .word(hot_x)
            .word(hot_y)
            .word(0);
        let slot = self.channel.send(&update).await?;
        // It comes back without an answer.
        self.channel.answer(slot, &mut []).await.map(drop)
    }
}

/// What happens to the outputs.
pub struct Changes<F: Function> {
    device: Arc<Device<F>>,
    line: F::Line,
}

impl<F: Function> Changes<F> {
    fn seen(&self) -> Result<bool, Fault> {
        let mut events = [0; 4];
        self.device.own().read(EVENTS, &mut events)?;
        let is_changed = u32::from_le_bytes(events) & EVENT_DISPLAY != 0;
        if is_changed {
            self.device.own().write_u32(EVENTS_SEEN, EVENT_DISPLAY);
        }
        Ok(is_changed)
    }

    /// Waits until an output has changed: its [mode](Control::modes) is another. Cancel-safe.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn next(&self) -> Result<(), Fault> {
        loop {
            if self.seen()? {
                return Ok(());
            }
            // Once more, as what came before the acknowledgement does not interrupt again.
            self.line.ack();
            if self.seen()? {
                return Ok(());
            }
            self.line.wait().await;
        }
    }
}
