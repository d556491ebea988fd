//! Parts for models of functions, in tests of their drivers: memory that driver and model share, and messages.

use core::future::poll_fn;
use core::ops::{Deref, DerefMut, Range};
use core::task::{Poll, Waker};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use rt::{Interrupt, IrqEvent};

use crate::{Bytes, Shared, Space};

/// Where the memory begins that a model reaches.
const BASE: u64 = 0x10_0000;

/// Memory that a model reaches. Clones are the same memory.
///
/// # Panics
/// All of its functions, where the model is told to leave it: by a driver, which is what tests look for.
#[derive(Clone, Debug, Default)]
pub struct Ram(Arc<Mutex<Vec<u8>>>);

impl Ram {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(all: &[u8], address: u64, len: usize) -> Range<usize> {
        let start = usize::try_from(address.wrapping_sub(BASE)).unwrap_or(usize::MAX);
        let end = start.checked_add(len).filter(|end| *end <= all.len());
        let Some(end) = end else {
            panic!("the device was told to leave its memory: {len} bytes at {address:#x}")
        };
        start..end
    }

    /// So many zeroes more, from an address of their own.
    #[must_use]
    pub fn grow(&self, len: usize) -> u64 {
        let mut all = self.bytes();
        let start = all.len().next_multiple_of(4096);
        all.resize(start + len, 0);
        BASE + start as u64
    }

    /// What is there.
    #[must_use]
    pub fn read(&self, address: u64, len: usize) -> Vec<u8> {
        let all = self.bytes();
        let place = Self::place(&all, address, len);
        all[place].to_vec()
    }

    /// So many bytes of what is there.
    #[must_use]
    pub fn get<const N: usize>(&self, address: u64) -> [u8; N] {
        let all = self.bytes();
        let place = Self::place(&all, address, N);
        let mut bytes = [0; N];
        bytes.copy_from_slice(&all[place]);
        bytes
    }

    /// Changes it.
    pub fn write(&self, address: u64, bytes: &[u8]) {
        let mut all = self.bytes();
        let place = Self::place(&all, address, bytes.len());
        all[place].copy_from_slice(bytes);
    }

    /// More of it, as [`crate::Function::memory`] gives it.
    #[must_use]
    pub fn shared(&self, len: usize) -> Shared<RamSpace> {
        let address = self.grow(len);
        let space = RamSpace {
            ram: self.clone(),
            address,
            len,
        };
        Shared { space, address }
    }

    /// More of it, as [`crate::Function::bytes`] gives it.
    #[must_use]
    pub fn parts(&self, len: usize) -> (RamBytes, u64) {
        let Shared { space, address } = self.shared(len);
        (RamBytes(space), address)
    }
}

/// Memory as a driver sees it.
#[derive(Debug)]
pub struct RamSpace {
    ram: Ram,
    address: u64,
    len: usize,
}

impl RamSpace {
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let is_inside = offset + N <= self.len && offset.is_multiple_of(N);
        is_inside.then(|| self.ram.get(self.address + offset as u64))
    }

    fn store(&self, offset: usize, bytes: &[u8]) -> bool {
        let is_inside = offset + bytes.len() <= self.len;
        if is_inside {
            self.ram.write(self.address + offset as u64, bytes);
        }
        is_inside
    }
}

impl Space for RamSpace {
    fn len(&self) -> usize {
        self.len
    }
    fn load_u8(&self, offset: usize) -> u8 {
        self.load(offset).map_or(u8::MAX, u8::from_le_bytes)
    }
    fn load_u16(&self, offset: usize) -> u16 {
        self.load(offset).map_or(u16::MAX, u16::from_le_bytes)
    }
    fn load_u32(&self, offset: usize) -> u32 {
        self.load(offset).map_or(u32::MAX, u32::from_le_bytes)
    }
    fn store_u8(&self, offset: usize, value: u8) {
        self.store(offset, &value.to_le_bytes());
    }
    fn store_u16(&self, offset: usize, value: u16) {
        self.store(offset, &value.to_le_bytes());
    }
    fn store_u32(&self, offset: usize, value: u32) {
        self.store(offset, &value.to_le_bytes());
    }
    fn read(&self, offset: usize, to: &mut [u8]) -> bool {
        let is_inside = offset + to.len() <= self.len;
        if is_inside {
            to.copy_from_slice(&self.ram.read(self.address + offset as u64, to.len()));
        }
        is_inside
    }
    fn write(&self, offset: usize, from: &[u8]) -> bool {
        self.store(offset, from)
    }
}

/// Memory by parts: each is a copy that is written back when it is dropped.
#[derive(Debug)]
pub struct RamBytes(RamSpace);

/// A part.
#[derive(Debug)]
pub struct Part {
    ram: Ram,
    address: u64,
    bytes: Vec<u8>,
}

impl Deref for Part {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Part {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.ram.write(self.address, &self.bytes);
    }
}

impl Bytes for RamBytes {
    type Part<'a> = Part;

    fn part(&mut self, offset: usize, len: usize) -> Option<Part> {
        let Self(space) = self;
        let address = space.address + offset as u64;
        (offset + len <= space.len).then(|| Part {
            ram: space.ram.clone(),
            address,
            bytes: space.ram.read(address, len),
        })
    }
}

#[derive(Debug, Default)]
struct Wire {
    pending: u32,
    unacked: bool,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct AllWires {
    wires: Vec<Wire>,
    ticks: u64,
}

/// The messages of a model. Clones are the same messages; each is stamped with how many were sent by then.
#[derive(Clone, Debug)]
pub struct Wires(Arc<Mutex<AllWires>>);

impl Wires {
    /// So many.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self(Arc::new(Mutex::new(AllWires {
            wires: (0..count).map(|_| Wire::default()).collect(),
            ticks: 0,
        })))
    }

    fn all(&self) -> MutexGuard<'_, AllWires> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.all().wires.len() as u32
    }

    /// Sends a message; one that is not there is lost.
    pub fn send(&self, message: usize) {
        let mut all = self.all();
        all.ticks += 1;
        if let Some(wire) = all.wires.get_mut(message) {
            wire.pending += 1;
            if let Some(waker) = wire.waker.take() {
                waker.wake();
            }
        }
    }

    /// How often a message was sent that nobody has taken yet.
    #[must_use]
    pub fn pending(&self, message: usize) -> u32 {
        self.all().wires.get(message).map_or(0, |wire| wire.pending)
    }

    /// The driver's end of one.
    #[must_use]
    pub fn line(&self, message: u16) -> Line {
        Line(self.clone(), message.into())
    }
}

/// The driver's end of a message.
#[derive(Debug)]
pub struct Line(Wires, usize);

impl Interrupt for Line {
    fn wait(&self) -> impl Future<Output = IrqEvent> + Send {
        poll_fn(|cx| {
            let all = &mut *self.0.all();
            let Some(wire) = all.wires.get_mut(self.1) else {
                return Poll::Pending;
            };
            if wire.unacked || wire.pending == 0 {
                wire.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            wire.unacked = true;
            Poll::Ready(IrqEvent {
                stamp_ticks: all.ticks,
                count: core::mem::take(&mut wire.pending),
            })
        })
    }

    fn ack(&self) {
        let mut all = self.0.all();
        let Some(wire) = all.wires.get_mut(self.1) else {
            return;
        };
        wire.unacked = false;
        if wire.pending > 0
            && let Some(waker) = wire.waker.take()
        {
            waker.wake();
        }
    }
}
