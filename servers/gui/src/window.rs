//! A window's pictures.

use alloc::vec::Vec;

use abi::Error;
use abi::memory::{MapFlags, PAGE_BYTES};
use draw::{Canvas, Pixel, Rect};
use proto::window::{BUFFERS, Extent, Keepsake, Look, Part, Request, Size, Title, WindowId};
use rt::sys::memory::{Mapping, copy_pixels_into};
use rt::sys::object::Vmo;

/// A window, as its program has it.
///
/// The program paints a picture of its own; what changed is copied into the one of the two shared pictures that is not shown. So the
/// program may paint at any time, and keeps what it painted when the compositor dies.
#[derive(Debug)]
pub struct Window {
    pub id: WindowId,
    pub title: Title,
    pub look: Look,
    pub size: Size,
    pub extent: Extent,
    keepsake: Keepsake,
    /// None until the compositor gave them.
    shared: Option<Shared>,
    pixels: Vec<Pixel>,
    /// Painted, and not yet presented.
    changed: Rect,
    serial: u32,
}

#[derive(Debug)]
struct Shared {
    mapping: Mapping,
    configuration: u32,
    /// The picture to be presented next.
    next: u8,
    /// What each picture lacks of what was painted.
    lacks: [Rect; BUFFERS as usize],
    /// A picture waits to be shown.
    waits: bool,
}

impl Window {
    pub const fn new(id: WindowId, title: Title, size: Size, look: Look) -> Self {
        Self {
            id,
            title,
            look,
            size,
            extent: Extent::Floating,
            keepsake: Keepsake(0),
            shared: None,
            pixels: Vec::new(),
            changed: Rect::EMPTY,
            serial: 0,
        }
    }

    /// What opens it, for the first time or at the next compositor.
    pub fn open_request(&mut self) -> Request {
        self.shared = None;
        Request::Open {
            window: self.id,
            title: self.title.clone(),
            size: self.size,
            look: self.look,
            keepsake: self.keepsake,
        }
    }

    const fn whole(&self) -> Rect {
        Rect::new(0, 0, self.size.width as i32, self.size.height as i32)
    }

    /// The compositor gave pictures. Whether the size is another one than before, so that all must be painted.
    ///
    /// # Errors
    /// If there is no memory, or the pictures are not what was said.
    pub fn configure(
        &mut self,
        vmo: &Vmo,
        configuration: u32,
        size: Size,
        extent: Extent,
        keepsake: Keepsake,
    ) -> Result<bool, Error> {
        let bytes = (size.picture_bytes() * u64::from(BUFFERS)).next_multiple_of(PAGE_BYTES);
        let mapping = vmo.map(0, bytes, MapFlags::WRITE)?;
        let is_new = self.pixels.is_empty() || self.size != size;
        if is_new {
            let count = usize::from(size.width) * usize::from(size.height);
            self.pixels.clear();
            self.pixels
                .try_reserve_exact(count.saturating_sub(self.pixels.capacity()))
                .map_err(|_| Error::NoMemory)?;
            self.pixels.resize(count, 0);
        }
        self.size = size;
        self.extent = extent;
        self.keepsake = keepsake;
        self.shared = Some(Shared {
            mapping,
            configuration,
            next: 0,
            lacks: [self.whole(); BUFFERS as usize],
            waits: false,
        });
        // Whatever it shows, these pictures do not have it yet.
        self.changed = if is_new { Rect::EMPTY } else { self.whole() };
        Ok(is_new)
    }

    /// Its picture, to be painted; `None` until it has a size.
    pub fn canvas(&mut self) -> Option<Canvas<'_>> {
        self.shared.as_ref()?;
        Some(Canvas::new(
            &mut self.pixels,
            u32::from(self.size.width),
            u32::from(self.size.height),
        ))
    }

    /// A part was painted.
    pub fn note_changed(&mut self, part: &Rect) {
        self.changed = self.changed.hull(&part.and(&self.whole()));
    }

    /// A picture is on the screen.
    pub fn note_shown(&mut self, serial: u32) {
        if let Some(shared) = &mut self.shared
            && serial == self.serial
        {
            shared.waits = false;
        }
    }

    /// Whether a picture waits to be shown.
    pub fn waits(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.waits)
    }

    /// What presents what was painted, if something was and no picture waits.
    pub fn present_request(&mut self, target_ns: u64) -> Option<Request> {
        let whole = self.whole();
        let shared = self.shared.as_mut().filter(|shared| !shared.waits)?;
        let changed = core::mem::take(&mut self.changed);
        if changed.is_empty() {
            return None;
        }
        for lacks in &mut shared.lacks {
            *lacks = lacks.hull(&changed).and(&whole);
        }
        let start = u64::from(shared.next) * self.size.picture_bytes();
        let copied = shared
            .lacks
            .get_mut(usize::from(shared.next))
            .map_or(Rect::EMPTY, core::mem::take);
        let width = whole.width() as usize;
        for y in copied.top..copied.bottom {
            let first = y as usize * width + copied.left as usize;
            let row = self
                .pixels
                .get(first..first + copied.width() as usize)
                .unwrap_or_default();
            let is_inside = copy_pixels_into(&shared.mapping, start as usize + first * 4, row);
            debug_assert!(is_inside);
        }
        let buffer = shared.next;
        shared.next = 1 - buffer;
        shared.waits = true;
        self.serial = self.serial.wrapping_add(1);
        let damage = Part {
            x: changed.left as u16,
            y: changed.top as u16,
            size: Size {
                width: changed.width() as u16,
                height: changed.height() as u16,
            },
        };
        Some(Request::Present {
            window: self.id,
            serial: self.serial,
            configuration: shared.configuration,
            buffer,
            damage,
            target_ns,
        })
    }
}
