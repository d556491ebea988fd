//! The memory of windows' pictures.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::memory::{MapFlags, PAGE_BYTES};
use abi::{Error, Rights};
use compositor::{PictureKey, Pictures};
use draw::Pixel;
use proto::window::{BUFFERS, Size};
use rt::sys::memory::{Mapping, copy_pixels_out_of};
use rt::sys::object::{Object, Vmo};
use virtio::hardware::Ring3;

/// Where the graphics device finds pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The device's address of the first one.
    pub address: u64,
    /// Of all of them.
    pub bytes: u64,
}

/// Pictures of a window.
#[derive(Debug)]
struct Stored {
    mapping: Mapping,
    reach: Option<Reach>,
}

/// Pictures that are mapped here.
#[derive(Debug, Default)]
pub struct Store {
    pictures: BTreeMap<PictureKey, Stored>,
    /// The graphics device, if there is one.
    function: Option<Arc<Ring3>>,
    /// Needed no more, but the device may know them.
    dropped: Vec<(PictureKey, Reach)>,
}

impl Store {
    /// From now on pictures that are to be reached by it are; or by none.
    pub fn set_function(&mut self, function: Option<Arc<Ring3>>) {
        self.function = function;
        self.dropped.clear();
        for stored in self.pictures.values_mut() {
            stored.reach = None;
        }
    }

    /// Makes memory for pictures of this size. Gives what the program gets: it can be mapped, to be read and written. With `whole` the graphics
    /// device reaches it, if that can be had.
    ///
    /// # Errors
    /// [`Error::NoMemory`], [`Error::LimitReached`].
    pub fn make(&mut self, key: PictureKey, size: Size, whole: bool) -> Result<Vmo, Error> {
        let bytes = (size.picture_bytes() * u64::from(BUFFERS)).next_multiple_of(PAGE_BYTES);
        let reached = match whole {
            true => self.reached(bytes),
            false => None,
        };
        let (vmo, reach) = match reached {
            Some((vmo, reach)) => (vmo, Some(reach)),
            None => (Vmo::create(bytes)?, None),
        };
        let mapping = vmo.map(0, bytes, MapFlags::empty());
        if let (Err(_), Some(reach)) = (&mapping, reach) {
            self.dropped.push((key, reach));
        }
        let mapping = mapping?;
        let rights =
            Rights::READ | Rights::WRITE | Rights::MAP | Rights::INSPECT | Rights::TRANSFER;
        // Dropped like any other pictures from here on, also if this fails.
        self.pictures.insert(key, Stored { mapping, reach });
        vmo.duplicate(rights)
    }

    /// Memory that the graphics device reaches.
    fn reached(&self, bytes: u64) -> Option<(Vmo, Reach)> {
        match self.function.as_ref()?.buffer(bytes) {
            Ok((vmo, address)) => Some((vmo, Reach { address, bytes })),
            Err(error) => {
                log::warn!(
                    "the graphics device gets no memory for a window's pictures, which are composed: {error}"
                );
                None
            }
        }
    }

    /// They are needed no more.
    pub fn drop_pictures(&mut self, key: PictureKey) {
        if let Some(reach) = self.pictures.remove(&key).and_then(|stored| stored.reach) {
            self.dropped.push((key, reach));
        }
    }

    /// Where the graphics device finds them, if it does.
    pub fn reach(&self, key: PictureKey) -> Option<Reach> {
        self.pictures.get(&key).and_then(|stored| stored.reach)
    }

    /// Whether there are any to be [forgotten](Self::take_dropped).
    pub fn has_dropped(&self) -> bool {
        !self.dropped.is_empty()
    }

    /// Those that the device is to forget.
    pub fn take_dropped(&mut self) -> Vec<(PictureKey, Reach)> {
        core::mem::take(&mut self.dropped)
    }
}

impl Pictures for Store {
    fn row(&self, key: PictureKey, buffer: u8, size: Size, x: u16, y: u16, to: &mut [Pixel]) {
        let Some(stored) = self.pictures.get(&key) else {
            return;
        };
        let row = u64::from(size.width) * 4;
        let start =
            u64::from(buffer) * size.picture_bytes() + u64::from(y) * row + u64::from(x) * 4;
        let width = usize::from(size.width.saturating_sub(x)).min(to.len());
        if let (Ok(start), Some(to)) = (usize::try_from(start), to.get_mut(..width)) {
            let is_inside = copy_pixels_out_of(&stored.mapping, start, to);
            debug_assert!(is_inside);
        }
    }
}
