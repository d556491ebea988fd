//! The cursors, and what happens to the outputs.

use super::*;

/// The cursors.
pub struct Cursor<F: Function> {
    pub(super) channel: Channel<F>,
    /// Kept from being closed.
    pub(super) _device: Arc<Device<F>>,
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
        cursor: Option<&Picture>,
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
        self.channel.notify();
        // It comes back without an answer.
        self.channel.answer(slot, &mut []).await.map(drop)
    }
}

/// What happens to the outputs.
pub struct Changes<F: Function> {
    pub(super) device: Arc<Device<F>>,
    pub(super) line: F::Line,
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
