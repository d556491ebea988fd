//! The memory of windows' pictures.

use alloc::collections::BTreeMap;

use abi::memory::{MapFlags, PAGE_BYTES};
use abi::{Error, Rights};
use compositor::{PictureKey, Pictures};
use draw::Pixel;
use proto::window::{BUFFERS, Size};
use rt::sys::memory::{Mapping, copy_pixels_out_of};
use rt::sys::object::{Object, Vmo};

/// Pictures that are mapped here.
#[derive(Debug, Default)]
pub struct Store {
    mappings: BTreeMap<PictureKey, Mapping>,
}

impl Store {
    /// Makes memory for pictures of this size. Gives what the program gets: it can be read, written and mapped.
    ///
    /// # Errors
    /// [`Error::NoMemory`], [`Error::LimitReached`].
    pub fn make(&mut self, key: PictureKey, size: Size) -> Result<Vmo, Error> {
        let bytes = (size.picture_bytes() * u64::from(BUFFERS)).next_multiple_of(PAGE_BYTES);
        let vmo = Vmo::create(bytes)?;
        let mapping = vmo.map(0, bytes, MapFlags::empty())?;
        let rights =
            Rights::READ | Rights::WRITE | Rights::MAP | Rights::INSPECT | Rights::TRANSFER;
        let given = vmo.duplicate(rights)?;
        self.mappings.insert(key, mapping);
        Ok(given)
    }

    /// They are needed no more.
    pub fn drop_pictures(&mut self, key: PictureKey) {
        self.mappings.remove(&key);
    }
}

impl Pictures for Store {
    fn row(&self, key: PictureKey, buffer: u8, size: Size, x: u16, y: u16, to: &mut [Pixel]) {
        let Some(mapping) = self.mappings.get(&key) else {
            return;
        };
        let row = u64::from(size.width) * 4;
        let start =
            u64::from(buffer) * size.picture_bytes() + u64::from(y) * row + u64::from(x) * 4;
        let width = usize::from(size.width.saturating_sub(x)).min(to.len());
        if let (Ok(start), Some(to)) = (usize::try_from(start), to.get_mut(..width)) {
            let is_inside = copy_pixels_out_of(mapping, start, to);
            debug_assert!(is_inside);
        }
    }
}
