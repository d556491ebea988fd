//! Writing a start block: what a new process finds.

use core::fmt;

use abi::Handle;
use abi::start::{MAGIC, StartBlock, StartHandle};
use zerocopy::IntoBytes;

/// Largest start block, in bytes: sixteen pages.
pub const MAX_START_BYTES: usize = 65536;

/// What a new process is told.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// Where the time page is mapped in it.
    pub time_page: u64,
    /// Where the image's first page is.
    pub image_base: u64,
    /// How often this server was started before, since boot.
    pub generation: u32,
    /// Named handles, with their numbers in the new process.
    pub handles: &'a [(&'a str, Handle)],
    /// Arguments, the program's name first.
    pub arguments: &'a [&'a str],
}

/// Why a start block cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The handle of this index has no name, one longer than 32 bytes or with a zero byte, or that of another one.
    HandleName(usize),
    /// The argument of this index holds a zero byte.
    Argument(usize),
    /// It would be longer than [`MAX_START_BYTES`].
    TooLong,
    /// The buffer is shorter than the block.
    Buffer {
        /// Bytes needed.
        needed: usize,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HandleName(index) => {
                write!(
                    f,
                    "the name of handle {index} is empty, too long, or used before"
                )
            }
            Self::Argument(index) => write!(f, "argument {index} holds a zero byte"),
            Self::TooLong => write!(f, "the arguments do not fit into {MAX_START_BYTES} bytes"),
            Self::Buffer { needed } => write!(f, "the buffer is shorter than {needed} bytes"),
        }
    }
}

impl core::error::Error for StartError {}

impl Start<'_> {
    /// Bytes of the block.
    ///
    /// # Errors
    /// All but [`StartError::Buffer`].
    pub fn len(&self) -> Result<usize, StartError> {
        for (index, (name, _)) in self.handles.iter().enumerate() {
            let used = self
                .handles
                .iter()
                .take(index)
                .any(|(other, _)| other == name);
            if name.is_empty() || name.len() > 32 || name.contains('\0') || used {
                return Err(StartError::HandleName(index));
            }
        }
        if let Some(index) = self.arguments.iter().position(|text| text.contains('\0')) {
            return Err(StartError::Argument(index));
        }
        let arguments: usize = self.arguments.iter().map(|text| text.len() + 1).sum();
        let handles = self.handles.len().saturating_mul(size_of::<StartHandle>());
        let len = size_of::<StartBlock>()
            .saturating_add(handles)
            .saturating_add(arguments);
        if len > MAX_START_BYTES {
            return Err(StartError::TooLong);
        }
        Ok(len)
    }

    /// Whether there is nothing to say, which is never so: a block has a head.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Writes the block to the front of `buffer` and says how long it is.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn write(&self, buffer: &mut [u8]) -> Result<usize, StartError> {
        let len = self.len()?;
        let mut rest = buffer
            .get_mut(..len)
            .ok_or(StartError::Buffer { needed: len })?;
        let arguments: usize = self.arguments.iter().map(|text| text.len() + 1).sum();
        let head = StartBlock {
            magic: MAGIC,
            size_bytes: len as u64,
            time_page: self.time_page,
            image_base: self.image_base,
            generation: self.generation,
            // All bounded by MAX_START_BYTES.
            handle_count: self.handles.len() as u32,
            argument_count: self.arguments.len() as u32,
            arguments_bytes: arguments as u32,
        };
        rest = put(rest, head.as_bytes());
        for (name, handle) in self.handles {
            let mut entry = StartHandle {
                handle: handle.0,
                ..StartHandle::default()
            };
            put(&mut entry.name, name.as_bytes());
            rest = put(rest, entry.as_bytes());
        }
        for text in self.arguments {
            rest = put(rest, text.as_bytes());
            rest = put(rest, &[0]);
        }
        Ok(len)
    }
}

/// Copies `bytes` to the front and gives what is behind them. Room is the caller's concern.
fn put<'a>(to: &'a mut [u8], bytes: &[u8]) -> &'a mut [u8] {
    let (front, rest) = to.split_at_mut(bytes.len().min(to.len()));
    for (to, from) in front.iter_mut().zip(bytes) {
        *to = *from;
    }
    rest
}
