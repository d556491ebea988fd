//! Handles and bytes on their way: what channel messages and long calls are made of.

use abi::message::{BufferArgs, Lengths, LongArgs, MAX_HANDLES};
use abi::{Error, Handle};
use zerocopy::IntoBytes;

use super::object::Owned;

/// Up to [`MAX_HANDLES`] handles to be sent or just received. Those still in it are closed when it is dropped.
#[derive(Debug, Default)]
pub struct Handles {
    list: [Handle; MAX_HANDLES],
    len: usize,
}

impl Handles {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            list: [Handle::NONE; MAX_HANDLES],
            len: 0,
        }
    }

    /// Adds one.
    ///
    /// # Errors
    /// The handle itself, if there are [`MAX_HANDLES`] already.
    pub fn push(&mut self, handle: impl Into<Owned>) -> Result<(), Owned> {
        let handle = handle.into();
        match self.list.get_mut(self.len) {
            Some(place) => {
                *place = handle.into_raw();
                self.len += 1;
                Ok(())
            }
            None => Err(handle),
        }
    }

    /// Takes the first one out.
    pub fn pop_front(&mut self) -> Option<Owned> {
        if self.len == 0 {
            return None;
        }
        let first = self.list.first().copied().unwrap_or(Handle::NONE);
        self.list.copy_within(1.., 0);
        self.len -= 1;
        Owned::from_raw(first)
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Their numbers.
    pub(crate) fn numbers(&self) -> &[Handle] {
        self.list.get(..self.len).unwrap_or_default()
    }

    /// Where to put received ones; those in it are closed. See [`set_len`](Self::set_len).
    pub(crate) fn places(&mut self) -> &mut [Handle] {
        *self = Self::new();
        &mut self.list
    }

    pub(super) fn as_ptr(&self) -> u64 {
        self.list.as_ptr() as u64
    }

    pub(super) fn as_mut_ptr(&mut self) -> u64 {
        self.list.as_mut_ptr() as u64
    }

    /// The kernel took them all.
    pub(crate) fn forget(&mut self) {
        self.len = 0;
    }

    /// The kernel put `len` there.
    pub(crate) fn set_len(&mut self, len: u32) {
        self.len = (len as usize).min(MAX_HANDLES);
    }
}

impl Drop for Handles {
    fn drop(&mut self) {
        while let Some(handle) = self.pop_front() {
            drop(handle);
        }
    }
}

/// Why nothing was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// The kernel's answer.
    pub error: Error,
    /// With [`Error::BufferTooSmall`]: what would be received. Else 0.
    pub needed: Lengths,
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        error.error
    }
}

impl core::fmt::Display for ReadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.error.fmt(f)?;
        if self.error == Error::BufferTooSmall {
            write!(
                f,
                ": {} bytes and {} handles wait",
                self.needed.bytes, self.needed.handles
            )?;
        }
        Ok(())
    }
}

impl core::error::Error for ReadError {}

/// The result of a call that receives bytes and handles.
pub(super) fn received(results: (u64, u64)) -> Result<Lengths, ReadError> {
    let (rax, rdx) = results;
    match Error::check(rax) {
        Ok(lengths) => Ok(Lengths::from_raw(lengths)),
        Err(error) => Err(ReadError {
            error,
            needed: Lengths::from_raw(if error == Error::BufferTooSmall {
                rdx
            } else {
                0
            }),
        }),
    }
}

/// Arguments that say what is sent.
pub(super) fn sending(bytes: &[u8], handles: &Handles) -> BufferArgs {
    BufferArgs {
        bytes: bytes.as_ptr() as u64,
        bytes_len: bytes.len() as u64,
        handles: handles.as_ptr(),
        handles_len: handles.len() as u64,
    }
}

/// Arguments that say where things are received; the handles in `handles` are closed first.
pub(super) fn receiving(bytes: &mut [u8], handles: &mut Handles) -> BufferArgs {
    *handles = Handles::new();
    BufferArgs {
        bytes: bytes.as_mut_ptr() as u64,
        bytes_len: bytes.len() as u64,
        handles: handles.as_mut_ptr(),
        handles_len: MAX_HANDLES as u64,
    }
}

/// Both at once, for a long call.
pub(super) fn exchanging(send: &BufferArgs, receive: &BufferArgs) -> LongArgs {
    LongArgs {
        bytes: send.bytes,
        bytes_len: send.bytes_len,
        handles: send.handles,
        handles_len: send.handles_len,
        answer_bytes: receive.bytes,
        answer_bytes_capacity: receive.bytes_len,
        answer_handles: receive.handles,
        answer_handles_capacity: receive.handles_len,
    }
}

/// The address of arguments in memory.
pub(super) fn address_of<T: IntoBytes + zerocopy::Immutable>(arguments: &T) -> u64 {
    arguments.as_bytes().as_ptr() as u64
}
