//! Random numbers, the log, tables of the system, its power switch.

use abi::system::{Control, MAX_PANIC_BYTES, Table};
use abi::{Call, Error, ObjectType, Rights};
use objects::channel::Message;
use objects::refs::Ref;

use super::{Arguments, text, typed};
use crate::process::object::Object;
use crate::process::outcome::Results;
use crate::process::run::until;
use crate::process::thread::Thread;
use crate::process::{memory, random};
use crate::{log, tables, trace};

/// Most random bytes in one call.
const MAX_RANDOM_BYTES: u64 = 4096;
/// Most bytes of rows in one call.
const TABLE_BYTES: u64 = 4096;
/// Longest record of a process.
const LOG_BYTES: u64 = abi::system::MAX_LOG_BYTES as u64;

pub(super) async fn call(
    thread: &Ref<Thread>,
    call: Call,
    [first, second, third, fourth, fifth, _]: Arguments,
) -> Result<Results, Error> {
    let space = &thread.process.space;
    match call {
        Call::RandomGet => {
            if second > MAX_RANDOM_BYTES {
                return Err(Error::OutOfRange);
            }
            let mut buffer = [0; 64];
            let mut done = 0;
            while done < second {
                let len = (second - done).min(buffer.len() as u64);
                let place = buffer.get_mut(..len as usize).ok_or(Error::OutOfRange)?;
                random::fill(place);
                memory::copy_out(space, first.wrapping_add(done), place).await?;
                done += len;
            }
            Ok((0, 0))
        }
        Call::LogWrite => {
            typed(thread, first, ObjectType::Log, Rights::WRITE)?;
            let level = match second {
                1 => ::log::Level::Error,
                2 => ::log::Level::Warn,
                3 => ::log::Level::Info,
                4 => ::log::Level::Debug,
                5 => ::log::Level::Trace,
                _ => return Err(Error::BadArgument),
            };
            if fourth > LOG_BYTES {
                return Err(Error::OutOfRange);
            }
            let mut buffer = Message::<Object>::new(thread.process.account(), fourth as usize, 0)?;
            memory::copy_in(space, buffer.bytes_mut(), third).await?;
            // A record is one line, and nothing in it speaks to a terminal.
            for byte in buffer.bytes_mut() {
                if byte.is_ascii_control() {
                    *byte = b' ';
                }
            }
            let text = core::str::from_utf8(buffer.bytes()).map_err(|_| Error::BadArgument)?;
            ::log::log!(target: thread.process.name(), level, "{}", text.trim_end());
            Ok((0, 0))
        }
        Call::SystemQuery => {
            typed(thread, first, ObjectType::System, Rights::READ)?;
            let table = Table::from_raw(second).ok_or(Error::BadArgument)?;
            let cursor: u64 = memory::read(space, third).await?;
            let len = fifth.min(TABLE_BYTES) as usize;
            let mut buffer = Message::<Object>::new(thread.process.account(), len, 0)?;
            let (written, cursor) = tables::query(table, cursor, buffer.bytes_mut())?;
            let rows = buffer.bytes().get(..written).ok_or(Error::OutOfRange)?;
            memory::copy_out(space, fourth, rows).await?;
            memory::write(space, third, &cursor).await?;
            Ok((written as u64, 0))
        }
        Call::SystemControl => {
            let control = Control::from_raw(second).ok_or(Error::BadArgument)?;
            let right = match control {
                Control::TraceStart | Control::TraceStop => Rights::READ,
                _ => Rights::MANAGE,
            };
            typed(thread, first, ObjectType::System, right)?;
            match control {
                Control::TraceStart => return trace::start().map(|()| (0, 0)),
                Control::TraceStop => {
                    hal::trace::stop();
                    return Ok((0, 0));
                }
                Control::PowerOff => tables::power_off().await,
                Control::Reboot => tables::reboot().await,
                Control::Panic => {
                    let text = text::<MAX_PANIC_BYTES>(thread, third, fourth).await?;
                    panic!("{text} (asked for by {})", thread.process.name())
                }
            }
            Err(Error::Unsupported)
        }
        Call::LogWait => {
            typed(thread, first, ObjectType::System, Rights::READ)?;
            until(third, core::pin::pin!(log::grown(second)))
                .await
                .ok_or(Error::TimedOut)?;
            Ok((0, 0))
        }
        _ => Err(Error::Unknown),
    }
}
