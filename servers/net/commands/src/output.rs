//! What a command puts out, until somebody takes it.

use alloc::string::String;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::Poll;

use spin::Mutex;

/// Bytes that may wait.
const MOST_BYTES: usize = 8192;

/// Bytes on their way. The command and who reads them are polled together, so nobody needs waking.
#[derive(Debug, Default)]
pub struct Output(Mutex<Vec<u8>>);

impl Output {
    /// Puts bytes out, waiting until there is room.
    pub async fn put(&self, bytes: &[u8]) {
        for piece in bytes.chunks(MOST_BYTES) {
            poll_fn(|_| {
                let mut waiting = self.0.lock();
                if waiting.len() + piece.len() > MOST_BYTES {
                    return Poll::Pending;
                }
                // Without memory it is lost, as what nobody reads.
                if waiting.try_reserve(piece.len()).is_ok() {
                    waiting.extend_from_slice(piece);
                }
                Poll::Ready(())
            })
            .await;
        }
    }

    /// The same for text.
    pub async fn line(&self, mut text: String) {
        text.push('\n');
        self.put(text.as_bytes()).await;
    }

    /// Takes what fits into the buffer; how much.
    pub fn take(&self, buffer: &mut [u8]) -> usize {
        let mut waiting = self.0.lock();
        let count = waiting.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(waiting.drain(..count)) {
            *to = from;
        }
        count
    }
}
