//! Byte streams with back-pressure.
//!
//! Each direction is a `try_` call that never waits and a future that says when to try again. Only
//! the provided methods combine the two, so cancel-safety is a property of the shape: a future that
//! is dropped has moved no bytes.

use core::fmt;
use core::future::Future;

/// The other side has gone: no byte will come, or go, any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the other side of the stream has closed it")
    }
}

impl core::error::Error for Closed {}

/// Bytes to read. One task reads at a time.
pub trait ByteSource: Send + Sync {
    /// Moves what is there now into `buffer`; 0 if nothing is.
    fn try_read(&self, buffer: &mut [u8]) -> usize;
    /// Ready when `try_read` would return at least one byte; [`Closed`] when it never will again.
    fn readable(&self) -> impl Future<Output = Result<(), Closed>> + Send;

    /// Waits for bytes and moves what is there into `buffer`: at least one byte, or 0 at the end of
    /// the stream (or for an empty `buffer`). Cancel-safe.
    fn read(&self, buffer: &mut [u8]) -> impl Future<Output = usize> + Send {
        async move {
            if buffer.is_empty() {
                return 0;
            }
            loop {
                let count = self.try_read(buffer);
                if count > 0 {
                    return count;
                }
                if self.readable().await.is_err() {
                    return 0;
                }
            }
        }
    }
}

/// A place for bytes. One task writes at a time.
pub trait ByteSink: Send + Sync {
    /// Takes as many of `bytes`, from the front, as there is room for now.
    fn try_write(&self, bytes: &[u8]) -> usize;
    /// Ready when `try_write` would take at least one byte; [`Closed`] when it never will again.
    fn writable(&self) -> impl Future<Output = Result<(), Closed>> + Send;

    /// Writes all of `bytes` in order, waiting for room as often as needed. When dropped half-way,
    /// the bytes written so far stay written.
    fn write_all(&self, bytes: &[u8]) -> impl Future<Output = Result<(), Closed>> + Send {
        async move {
            let mut rest = bytes;
            while !rest.is_empty() {
                let count = self.try_write(rest);
                rest = rest.get(count..).unwrap_or_default();
                if !rest.is_empty() && count == 0 {
                    self.writable().await?;
                }
            }
            Ok(())
        }
    }
}

impl<T: ByteSource> ByteSource for &T {
    fn try_read(&self, buffer: &mut [u8]) -> usize {
        (**self).try_read(buffer)
    }
    fn readable(&self) -> impl Future<Output = Result<(), Closed>> + Send {
        (**self).readable()
    }
}

impl<T: ByteSink> ByteSink for &T {
    fn try_write(&self, bytes: &[u8]) -> usize {
        (**self).try_write(bytes)
    }
    fn writable(&self) -> impl Future<Output = Result<(), Closed>> + Send {
        (**self).writable()
    }
}
