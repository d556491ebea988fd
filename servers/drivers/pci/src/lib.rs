//! What a driver needs of its PCI function: [`Function`]. [`Ring3`] is one that a process holds the device of; tests put a model in
//! its place, made of the parts in [`testing`] (a feature).
//!
//! What must hold: who drives a function that reaches memory by itself is trusted, as without an IOMMU it can make it write anywhere.
//! The kernel stops and resets the function before it frees memory that the function knows of.
#![cfg_attr(not(feature = "testing"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod ring3;
#[cfg(feature = "testing")]
pub mod testing;

use alloc::sync::Arc;
use core::fmt;
use core::ops::DerefMut;
use core::sync::atomic::Ordering;

use rt::Interrupt;
use rt::sys::dma::DmaBytes;
use rt::sys::memory::{Mapping, copy_into, copy_out_of};

pub use ring3::Ring3;

/// Why a part of a function cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It has no such registers.
    NoRegisters(&'static str),
    /// The kernel refused it.
    Refused(&'static str, abi::Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRegisters(which) => write!(f, "it has no usable registers: {which}"),
            Self::Refused(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl core::error::Error for Fault {}

/// Registers, or memory that a device shares. Loads acquire and stores release. A load from outside gives all ones, a store there
/// does nothing, as on a bus where nobody answers.
pub trait Space: Send + Sync {
    /// Length in bytes.
    fn len(&self) -> usize;
    /// Whether it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// A byte.
    fn load_u8(&self, offset: usize) -> u8;
    /// Two bytes, aligned.
    fn load_u16(&self, offset: usize) -> u16;
    /// Four bytes, aligned.
    fn load_u32(&self, offset: usize) -> u32;
    /// A byte.
    fn store_u8(&self, offset: usize, value: u8);
    /// Two bytes, aligned.
    fn store_u16(&self, offset: usize, value: u16);
    /// Four bytes, aligned.
    fn store_u32(&self, offset: usize, value: u32);
    /// Copies out; false, and nothing happens, outside.
    fn read(&self, offset: usize, to: &mut [u8]) -> bool;
    /// Copies in; false, and nothing happens, outside.
    fn write(&self, offset: usize, from: &[u8]) -> bool;
}

impl Space for Mapping {
    fn len(&self) -> usize {
        Self::len(self)
    }
    fn load_u8(&self, offset: usize) -> u8 {
        self.byte(offset)
            .map_or(u8::MAX, |place| place.load(Ordering::Acquire))
    }
    fn load_u16(&self, offset: usize) -> u16 {
        self.word_u16(offset)
            .map_or(u16::MAX, |place| place.load(Ordering::Acquire))
    }
    fn load_u32(&self, offset: usize) -> u32 {
        self.word_u32(offset)
            .map_or(u32::MAX, |place| place.load(Ordering::Acquire))
    }
    fn store_u8(&self, offset: usize, value: u8) {
        if let Some(place) = self.byte(offset) {
            place.store(value, Ordering::Release);
        }
    }
    fn store_u16(&self, offset: usize, value: u16) {
        if let Some(place) = self.word_u16(offset) {
            place.store(value, Ordering::Release);
        }
    }
    fn store_u32(&self, offset: usize, value: u32) {
        if let Some(place) = self.word_u32(offset) {
            place.store(value, Ordering::Release);
        }
    }
    fn read(&self, offset: usize, to: &mut [u8]) -> bool {
        copy_out_of(self, offset, to)
    }
    fn write(&self, offset: usize, from: &[u8]) -> bool {
        copy_into(self, offset, from)
    }
}

/// Memory and where the device finds it.
#[derive(Debug)]
pub struct Shared<S> {
    /// The memory, zeroed at first.
    pub space: S,
    /// The device's address of its first byte.
    pub address: u64,
}

/// Memory whose parts belong to the driver and to the device by turns.
pub trait Bytes: Send {
    /// A part, while it is the driver's.
    type Part<'a>: DerefMut<Target = [u8]> + Send
    where
        Self: 'a;

    /// The part from `offset` on; `None` outside. The device must have no use of it meanwhile.
    fn part(&mut self, offset: usize, len: usize) -> Option<Self::Part<'_>>;
}

impl Bytes for DmaBytes {
    type Part<'a> = &'a mut [u8];

    fn part(&mut self, offset: usize, len: usize) -> Option<&mut [u8]> {
        self.slice_mut(offset, len)
    }
}

/// A PCI function.
pub trait Function: Send + Sync {
    /// Its registers, and memory shared with it.
    type Space: Space;
    /// Memory for what is exchanged with it.
    type Bytes: Bytes;
    /// Its message interrupts.
    type Line: Interrupt;

    /// Four bytes of configuration space, at a multiple of 4; all ones where there is nothing.
    fn config(&self, offset: u16) -> u32;
    /// How many messages it can send.
    fn messages(&self) -> u32;
    /// The registers that base address register `index` shows.
    ///
    /// # Errors
    /// [`Fault::Refused`].
    fn registers(&self, index: u8) -> Result<Self::Space, Fault>;
    /// Its message interrupt `index`. Once for each.
    ///
    /// # Errors
    /// [`Fault::Refused`].
    fn interrupt(&self, index: u16) -> Result<Self::Line, Fault>;
    /// Memory that the device can reach, until it is closed.
    ///
    /// # Errors
    /// [`Fault::Refused`].
    fn memory(&self, bytes: usize) -> Result<Shared<Self::Space>, Fault>;
    /// The same for content: the driver's and the device's by turns.
    ///
    /// # Errors
    /// [`Fault::Refused`].
    fn bytes(&self, bytes: usize) -> Result<(Self::Bytes, u64), Fault>;
}

impl<F: Function> Function for Arc<F> {
    type Space = F::Space;
    type Bytes = F::Bytes;
    type Line = F::Line;

    fn config(&self, offset: u16) -> u32 {
        F::config(self, offset)
    }
    fn messages(&self) -> u32 {
        F::messages(self)
    }
    fn registers(&self, index: u8) -> Result<Self::Space, Fault> {
        F::registers(self, index)
    }
    fn interrupt(&self, index: u16) -> Result<Self::Line, Fault> {
        F::interrupt(self, index)
    }
    fn memory(&self, bytes: usize) -> Result<Shared<Self::Space>, Fault> {
        F::memory(self, bytes)
    }
    fn bytes(&self, bytes: usize) -> Result<(Self::Bytes, u64), Fault> {
        F::bytes(self, bytes)
    }
}
