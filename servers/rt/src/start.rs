//! The start block as values: what a process finds when it starts. Pure; [`sys`](crate::sys) reads the memory.

use core::fmt;

use abi::Handle;
use abi::start::{MAGIC, StartBlock, StartHandle};
use zerocopy::FromBytes;

/// A start block that was checked.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// The head.
    pub head: StartBlock,
    /// The named handles.
    pub handles: &'a [StartHandle],
    arguments: &'a [u8],
}

/// Why a start block cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadStart {
    /// It does not begin with the magic number: this is no start block.
    Magic,
    /// It ends before what its head announces.
    Short,
    /// It is not aligned to eight bytes.
    Alignment,
    /// The arguments are not as many as announced, or the last one has no end.
    Arguments,
    /// An argument is not UTF-8.
    Utf8,
}

impl fmt::Display for BadStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Magic => "the start block has no magic number",
            Self::Short => "the start block is shorter than its head says",
            Self::Alignment => "the start block is not aligned to eight bytes",
            Self::Arguments => "the start block's arguments are not as many as its head says",
            Self::Utf8 => "an argument is not UTF-8",
        })
    }
}

impl core::error::Error for BadStart {}

impl<'a> Start<'a> {
    /// Reads a block. Bytes after its end are ignored.
    ///
    /// # Errors
    /// See [`BadStart`].
    pub fn parse(block: &'a [u8]) -> Result<Self, BadStart> {
        let (head, _) = StartBlock::read_from_prefix(block).map_err(|_| BadStart::Short)?;
        if head.magic != MAGIC {
            return Err(BadStart::Magic);
        }
        let size = usize::try_from(head.size_bytes).map_err(|_| BadStart::Short)?;
        let rest = block
            .get(size_of::<StartBlock>()..size)
            .ok_or(BadStart::Short)?;
        let (handles, rest) =
            <[StartHandle]>::ref_from_prefix_with_elems(rest, head.handle_count as usize).map_err(
                |error| match error {
                    zerocopy::CastError::Alignment(_) => BadStart::Alignment,
                    _ => BadStart::Short,
                },
            )?;
        let arguments = rest
            .get(..head.arguments_bytes as usize)
            .ok_or(BadStart::Short)?;
        let ends = arguments.iter().filter(|&&byte| byte == 0).count();
        if ends != head.argument_count as usize || arguments.last().is_some_and(|&last| last != 0) {
            return Err(BadStart::Arguments);
        }
        core::str::from_utf8(arguments).map_err(|_| BadStart::Utf8)?;
        Ok(Self {
            head,
            handles,
            arguments,
        })
    }

    /// The arguments, the program's name first.
    pub fn arguments(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.arguments
            .split_inclusive(|&byte| byte == 0)
            .filter_map(|argument| {
                let (_, text) = argument.split_last()?;
                core::str::from_utf8(text).ok()
            })
    }

    /// The handle of this name.
    #[must_use]
    pub fn handle(&self, name: &str) -> Option<Handle> {
        self.handles
            .iter()
            .find(|entry| name_of(entry) == name)
            .map(|entry| Handle(entry.handle))
    }
}

/// The name of a handle, without its padding; empty if it is not UTF-8.
#[must_use]
pub fn name_of(entry: &StartHandle) -> &str {
    let end = entry
        .name
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(entry.name.len());
    core::str::from_utf8(entry.name.get(..end).unwrap_or_default()).unwrap_or_default()
}
