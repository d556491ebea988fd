//! Pictures and outputs.

use super::*;

/// A picture that the device has, and where it gets its pixels from.
#[derive(Debug, PartialEq, Eq)]
pub struct Picture {
    pub(super) number: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Of the memory.
    bytes: u64,
}

impl Picture {
    /// Pixels in a row.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// Bytes from one row to the next.
    #[must_use]
    pub const fn row_bytes(&self) -> u32 {
        self.width * PIXEL_BYTES
    }

    /// All of it.
    #[must_use]
    pub const fn all(&self) -> Rect {
        Rect {
            x: 0,
            y: 0,
            width: self.width,
            height: self.height,
        }
    }

    /// Where a rectangle's first pixel is in memory that holds the whole picture at its start.
    #[must_use]
    pub fn offset(&self, rect: Rect) -> u64 {
        u64::from(rect.y) * u64::from(self.row_bytes()) + u64::from(rect.x) * u64::from(PIXEL_BYTES)
    }

    /// Whether a rectangle of it can be taken from this place in its memory.
    fn has(&self, rect: Rect, offset: u64) -> bool {
        let rows = u64::from(rect.height.saturating_sub(1)) * u64::from(self.row_bytes());
        let last = rows + u64::from(rect.width) * u64::from(PIXEL_BYTES);
        rect.is_in(self.width, self.height)
            && offset
                .checked_add(last)
                .is_some_and(|end| end <= self.bytes)
    }
}

/// Something that the device does with pictures.
#[derive(Clone, Copy, Debug)]
pub enum Work<'a> {
    /// Takes a rectangle's pixels out of the picture's memory. `offset`: where the first of them is; rows are as far apart as the picture's.
    /// So memory may hold several pictures, of which one at a time is the device's.
    Transfer {
        /// Whose.
        picture: &'a Picture,
        /// Where they go.
        rect: Rect,
        /// Where they are.
        offset: u64,
    },
    /// An output shows a rectangle of a picture from now on, or nothing.
    Show {
        /// Which output.
        output: u32,
        /// What.
        what: Option<(&'a Picture, Rect)>,
    },
    /// What was taken into a rectangle is seen at the outputs that show it.
    Flush {
        /// Whose.
        picture: &'a Picture,
        /// Which.
        rect: Rect,
    },
}

impl Work<'_> {
    fn request(self) -> Result<Request, GpuError> {
        Ok(match self {
            Self::Transfer {
                picture,
                rect,
                offset,
            } if picture.has(rect, offset) => Request::new(request::TRANSFER)
                .rect(rect)
                .long(offset)
                .word(picture.number)
                .word(0),
            Self::Show { output, what: None } => Request::new(request::SET_SCANOUT)
                .rect(Rect::default())
                .word(output)
                .word(0),
            Self::Show {
                output,
                what: Some((picture, rect)),
            } if rect.is_in(picture.width, picture.height) => Request::new(request::SET_SCANOUT)
                .rect(rect)
                .word(output)
                .word(picture.number),
            Self::Flush { picture, rect } if rect.is_in(picture.width, picture.height) => {
                Request::new(request::FLUSH)
                    .rect(rect)
                    .word(picture.number)
                    .word(0)
            }
            _ => return Err(GpuError::Size),
        })
    }
}

/// Pictures and outputs.
pub struct Control<F: Function> {
    pub(super) device: Arc<Device<F>>,
    pub(super) channel: Channel<F>,
    pub(super) outputs: u32,
    pub(super) pictures: u32,
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
        self.channel.notify();
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
        self.channel.notify();
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

    /// Makes a black picture, with memory of its own that stays until the device is closed: rows from the top, without gaps.
    ///
    /// # Errors
    /// [`GpuError`].
    pub async fn create(
        &mut self,
        width: u32,
        height: u32,
        pixels: Pixels,
    ) -> Result<(Picture, Shared<F::Space>), GpuError> {
        check_size(width, height)?;
        let bytes = width * height * PIXEL_BYTES;
        let memory = self.device.function().memory(bytes as usize)?;
        let picture = self
            .import(width, height, pixels, memory.address, bytes.into())
            .await?;
        Ok((picture, memory))
    }

    /// Makes a black picture that gets its pixels from these `bytes` of memory, which the device can reach.
    ///
    /// # Errors
    /// [`GpuError`].
    pub async fn import(
        &mut self,
        width: u32,
        height: u32,
        pixels: Pixels,
        address: u64,
        bytes: u64,
    ) -> Result<Picture, GpuError> {
        check_size(width, height)?;
        let length = u32::try_from(bytes).map_err(|_| GpuError::Size)?;
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
            .long(address)
            .word(length)
            .word(0);
        self.channel.ask(&attach).await?;
        Ok(Picture {
            number,
            width,
            height,
            bytes,
        })
    }

    /// The device forgets a picture, and where its memory was.
    ///
    /// # Errors
    /// [`GpuError`].
    pub async fn destroy(&mut self, picture: Picture) -> Result<(), GpuError> {
        let destroy = Request::new(request::DESTROY).word(picture.number).word(0);
        self.channel.ask(&destroy).await.map(drop)
    }

    /// Does all of that, in this order; the tick at which the device said that the last was done.
    ///
    /// # Errors
    /// [`GpuError`]; then a part of it was done.
    pub async fn run(&mut self, work: &[Work<'_>]) -> Result<u64, GpuError> {
        let mut slots = [0; SLOTS];
        let mut stamp_ticks = 0;
        for batch in work.chunks(SLOTS) {
            let mut sent = 0;
            for (work, place) in batch.iter().zip(&mut slots) {
                *place = self.channel.send(&work.request()?).await?;
                sent += 1;
            }
            // The device does them in order.
            self.channel.notify();
            for slot in slots.iter().take(sent) {
                stamp_ticks = self.channel.done(*slot).await?;
            }
        }
        Ok(stamp_ticks)
    }
}

fn check_size(width: u32, height: u32) -> Result<(), GpuError> {
    let sides = 1..=MOST_PIXELS;
    match sides.contains(&width) && sides.contains(&height) {
        true => Ok(()),
        false => Err(GpuError::Size),
    }
}
