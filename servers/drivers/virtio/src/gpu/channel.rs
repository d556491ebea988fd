//! A queue of requests and their answers.

use super::*;

/// A queue with memory for requests and answers.
pub(super) struct Channel<F: Function> {
    queue: Queue<F>,
    memory: Shared<F::Space>,
    /// By slot: whether it is with the device, and how long the answer is that came.
    busy: [bool; SLOTS],
    answered: [Option<(usize, u64)>; SLOTS],
}

impl<F: Function> Channel<F> {
    pub fn new(device: &Device<F>, index: u16, message: u16) -> Result<Self, Fault> {
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

    /// Puts a request where the device finds it once it is [told](Self::notify), when a slot is free for it; the slot.
    pub async fn send(&mut self, request: &Request) -> Result<usize, GpuError> {
        let slot = loop {
            match self.busy.iter().position(|busy| !busy) {
                Some(slot) => break slot,
                None => {
                    self.notify();
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
        Ok(slot)
    }

    /// Tells the device that there are requests.
    pub fn notify(&mut self) {
        self.queue.notify();
    }

    /// Waits for the answer in a slot, and reads as much of it as `to` takes; how long it is, and the tick of its interrupt.
    pub async fn answer(&mut self, slot: usize, to: &mut [u8]) -> Result<(usize, u64), GpuError> {
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
    pub async fn done(&mut self, slot: usize) -> Result<u64, GpuError> {
        let mut bytes = [0; HEADER_BYTES];
        let (len, stamp_ticks) = self.answer(slot, &mut bytes).await?;
        wire::expect(bytes.get(..len).unwrap_or_default(), answer::DONE)?;
        Ok(stamp_ticks)
    }

    pub async fn ask(&mut self, request: &Request) -> Result<u64, GpuError> {
        let slot = self.send(request).await?;
        self.notify();
        self.done(slot).await
    }
}
