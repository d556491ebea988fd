//! Channels.

use abi::message::{BufferArgs, Lengths, MAX_BYTES, MAX_HANDLES};
use abi::{Call, Error, Handle, ObjectType, Rights};
use objects::channel::{Channel, Message, ReadError};
use objects::refs::Ref;
use zerocopy::IntoBytes;

use super::{Arguments, typed};
use crate::process::memory;
use crate::process::object::{Capability, Object};
use crate::process::outcome::Results;
use crate::process::thread::Thread;

pub(super) async fn call(
    thread: &Ref<Thread>,
    call: Call,
    [first, second, ..]: Arguments,
) -> Result<Results, Error> {
    match call {
        Call::ChannelCreate => {
            let (one, other) = Channel::create(thread.process.account())?;
            let mut room = thread.process.handles.reserve(2)?;
            let one = room.install(Capability::new(Object::Channel(one))?);
            let other = room.install(Capability::new(Object::Channel(other))?);
            Ok((one.0, other.0))
        }
        Call::ChannelWrite => write(thread, first, second).await,
        Call::ChannelRead => read(thread, first, second).await,
        _ => Err(Error::Unknown),
    }
}

/// Sends a message.
async fn write(thread: &Ref<Thread>, handle: u64, buffer: u64) -> Result<Results, Error> {
    let space = &thread.process.space;
    let entry = typed(thread, handle, ObjectType::Channel, Rights::WRITE)?;
    let Object::Channel(channel) = entry.object() else {
        return Err(Error::WrongType);
    };
    let buffer: BufferArgs = memory::read(space, buffer).await?;
    let mut handles = [Handle::NONE; MAX_HANDLES];
    let handles = handles_at(thread, &mut handles, buffer.handles, buffer.handles_len).await?;
    let mut message = Message::new(
        thread.process.account(),
        byte_count(buffer.bytes_len)?,
        handles.len(),
    )?;
    memory::copy_in(space, message.bytes_mut(), buffer.bytes).await?;
    let taken = thread.process.handles.take(handles)?;
    channel.write(message, taken)?;
    Ok((0, 0))
}

/// Takes the next message.
async fn read(thread: &Ref<Thread>, handle: u64, buffer: u64) -> Result<Results, Error> {
    let space = &thread.process.space;
    let entry = typed(thread, handle, ObjectType::Channel, Rights::READ)?;
    let Object::Channel(channel) = entry.object() else {
        return Err(Error::WrongType);
    };
    let buffer: BufferArgs = memory::read(space, buffer).await?;
    let most = Lengths {
        bytes: u32::try_from(buffer.bytes_len).unwrap_or(u32::MAX),
        handles: u32::try_from(buffer.handles_len).unwrap_or(u32::MAX),
    };
    let received = match channel.read(most) {
        Ok(received) => received,
        Err(ReadError::TooSmall(lengths)) => {
            // An error, and beside it how much room it takes.
            return Ok((Error::BufferTooSmall.to_raw(), lengths.to_raw()));
        }
        Err(ReadError::Other(error)) => return Err(error),
    };
    let message = received.message().ok_or(Error::WouldWait)?;
    let lengths = message.lengths();
    memory::copy_out(space, buffer.bytes, message.bytes()).await?;
    let mut room = thread.process.handles.reserve(lengths.handles as usize)?;
    // Checks the place before anything is taken.
    let mut handles = [Handle::NONE; MAX_HANDLES];
    let count = lengths.handles as usize;
    let place = handles.get_mut(..count).ok_or(Error::OutOfRange)?;
    memory::copy_out(space, buffer.handles, place.as_bytes()).await?;
    if let Some(mut message) = received.accept() {
        let mut index = 0;
        message.install_handles(&mut room, |handle| {
            if let Some(slot) = place.get_mut(index) {
                *slot = handle;
            }
            index += 1;
        });
    }
    // The place was writable a moment ago: if it is not any more, the handles are in the table all the same.
    memory::copy_out(space, buffer.handles, place.as_bytes()).await?;
    Ok((lengths.to_raw(), 0))
}

/// A length of bytes in a message.
pub(super) fn byte_count(len: u64) -> Result<usize, Error> {
    usize::try_from(len)
        .ok()
        .filter(|&len| len <= MAX_BYTES)
        .ok_or(Error::OutOfRange)
}

/// Reads the handles that a message is to carry.
pub(super) async fn handles_at<'a>(
    thread: &Thread,
    place: &'a mut [Handle; MAX_HANDLES],
    address: u64,
    len: u64,
) -> Result<&'a [Handle], Error> {
    let len = usize::try_from(len).map_err(|_| Error::OutOfRange)?;
    let place = place.get_mut(..len).ok_or(Error::OutOfRange)?;
    memory::copy_in(&thread.process.space, place.as_mut_bytes(), address).await?;
    Ok(place)
}
