//! Input, with what was typed ahead.

use heapless::Deque;
use rt::{ByteSource, Closed};

/// Bytes typed ahead that are kept. When it is full the source holds back what comes next, and a
/// Ctrl-C behind that is seen only when the command has ended.
const AHEAD_BYTES: usize = 2048;

const CTRL_C: u8 = 0x03;

pub struct Input<'a, I> {
    source: &'a I,
    ahead: Deque<u8, AHEAD_BYTES>,
}

impl<'a, I: ByteSource> Input<'a, I> {
    pub const fn new(source: &'a I) -> Self {
        Self {
            source,
            ahead: Deque::new(),
        }
    }

    /// Whether the next byte is there already.
    pub fn is_waiting(&mut self) -> bool {
        self.fill();
        !self.ahead.is_empty()
    }

    /// The next byte. Cancel-safe.
    pub async fn byte(&mut self) -> Result<u8, Closed> {
        loop {
            self.fill();
            if let Some(byte) = self.ahead.pop_front() {
                return Ok(byte);
            }
            self.source.readable().await?;
        }
    }

    /// Waits for a Ctrl-C. What was typed before it goes with it, as a terminal does; anything else
    /// that is typed stays for later. Cancel-safe. Without a source to come from, waits for ever.
    pub async fn interrupt(&mut self) {
        loop {
            self.fill();
            if let Some(position) = self.ahead.iter().position(|byte| *byte == CTRL_C) {
                for _ in 0..=position {
                    self.ahead.pop_front();
                }
                return;
            }
            if self.ahead.is_full() || self.source.readable().await.is_err() {
                core::future::pending::<()>().await;
            }
        }
    }

    fn fill(&mut self) {
        let mut chunk = [0; 64];
        loop {
            let room = (self.ahead.capacity() - self.ahead.len()).min(chunk.len());
            let count = self.source.try_read(&mut chunk[..room]);
            for byte in &chunk[..count] {
                // There is room for it: no more than that was read.
                let kept = self.ahead.push_back(*byte);
                debug_assert!(kept.is_ok());
            }
            if count == 0 {
                return;
            }
        }
    }
}
