//! Bringing the mouse at the second port up, and finding out what it can.

use rt::{Clock, IoPorts};

use crate::Fault;
use crate::packets::Mouse;
use crate::registers::{ACK, DATA, STATUS_COMMAND, command, mouse, status};
use crate::start::{ANSWER_NS, MOST_STALE_BYTES, SLOW_ANSWER_NS, Wires};

/// Reports in a second.
const RATE_HZ: u8 = 100;
/// 8 counts in a millimetre.
const RESOLUTION: u8 = 3;
/// Sample rates that nobody wants in this order: who understands the wheel answers them with another number.
const WHEEL_RATES_HZ: [u8; 3] = [200, 100, 80];
/// The same for the fourth and fifth button.
const FIVE_BUTTON_RATES_HZ: [u8; 3] = [200, 200, 80];

impl<P: IoPorts, C: Clock> Wires<'_, P, C> {
    /// Looks for a mouse and starts it; `None` if there is none that answers as one does. The first port is held meanwhile.
    ///
    /// # Errors
    /// The controller stopped working.
    pub(crate) async fn start_mouse(&self) -> Result<Option<Mouse>, Fault> {
        self.command(command::SECOND_ON).await?;
        if self.ask(command::SECOND_TEST, ANSWER_NS).await != Ok(0) {
            return Ok(None);
        }
        if !self.tell(&[mouse::RESET]).await? {
            return Ok(None);
        }
        if self.mouse_byte(SLOW_ANSWER_NS).await != Some(mouse::PASSED)
            || self.mouse_byte(ANSWER_NS).await.is_none()
        {
            return Ok(None);
        }
        let mut kind = Mouse::Plain;
        for (rates, better) in [
            (WHEEL_RATES_HZ, Mouse::Wheel),
            (FIVE_BUTTON_RATES_HZ, Mouse::FiveButtons),
        ] {
            for rate in rates {
                self.tell(&[mouse::SET_RATE, rate]).await?;
            }
            if !self.tell(&[mouse::READ_ID]).await?
                || self.mouse_byte(ANSWER_NS).await != Some(better.id())
            {
                break;
            }
            kind = better;
        }
        // A mouse that refuses one of these has a default of its own.
        self.tell(&[mouse::SET_RESOLUTION, RESOLUTION]).await?;
        self.tell(&[mouse::SCALE_1_TO_1]).await?;
        self.tell(&[mouse::SET_RATE, RATE_HZ]).await?;
        Ok(self.tell(&[mouse::REPORT]).await?.then_some(kind))
    }

    /// Sends a command, byte by byte; whether each was acknowledged.
    async fn tell(&self, bytes: &[u8]) -> Result<bool, Fault> {
        for byte in bytes {
            self.command(command::TO_SECOND).await?;
            self.accept(command::TO_SECOND).await?;
            self.ports.write_u8(DATA, *byte);
            if self.mouse_byte(ANSWER_NS).await != Some(ACK) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Its next byte; `None` if none comes in time. Bytes of the keyboard that were on their way are thrown away.
    async fn mouse_byte(&self, patience_ns: u64) -> Option<u8> {
        for _ in 0..MOST_STALE_BYTES {
            if !self
                .status_within(patience_ns, |bits| bits & status::OUTPUT_FULL != 0)
                .await
            {
                return None;
            }
            let bits = self.ports.read_u8(STATUS_COMMAND);
            let byte = self.ports.read_u8(DATA);
            if bits & status::SECOND_PORT != 0 {
                return Some(byte);
            }
        }
        None
    }
}
