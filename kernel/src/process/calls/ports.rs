//! Ports, notifications, timers.

use abi::message::WORDS;
use abi::{Call, Error, Handle, ObjectType, Rights, Signals};
use objects::notification::Notification;
use objects::port::Port;
use objects::refs::Ref;
use objects::timer::Timer;

use super::{Arguments, install, typed};
use crate::process::object::Object;
use crate::process::outcome::Results;
use crate::process::thread::Thread;
use crate::process::timers;

fn port(thread: &Thread, handle: u64, rights: Rights) -> Result<Ref<Port<Object>>, Error> {
    match typed(thread, handle, ObjectType::Port, rights)?.into_object() {
        Object::Port(port) => Ok(port),
        _ => Err(Error::WrongType),
    }
}

pub(super) async fn call(
    thread: &Ref<Thread>,
    call: Call,
    [first, second, third, fourth, ..]: Arguments,
) -> Result<Results, Error> {
    let account = thread.process.account();
    match call {
        Call::PortCreate => {
            let port = Port::create(account)?;
            Ok((install(thread, Object::Port(port))?, 0))
        }
        Call::PortBind => {
            let port = port(thread, first, Rights::WRITE)?;
            let entry = thread
                .process
                .handles
                .get(Handle(second), Rights::empty())?;
            let mask = u32::try_from(third)
                .ok()
                .and_then(Signals::from_bits)
                .ok_or(Error::BadArgument)?;
            port.bind(account, &entry, mask, fourth)?;
            Ok((0, 0))
        }
        Call::PortUnbind => {
            let port = port(thread, first, Rights::WRITE)?;
            let entry = thread
                .process
                .handles
                .get(Handle(second), Rights::empty())?;
            port.unbind(entry.object())?;
            Ok((0, 0))
        }
        Call::PortPost => {
            let port = port(thread, first, Rights::SIGNAL)?;
            let words: [u64; WORDS] = *thread.context.lock().words();
            port.post(account, second, words)?;
            Ok((0, 0))
        }
        Call::NotificationCreate => {
            let notification = Notification::create(account)?;
            Ok((install(thread, Object::Notification(notification))?, 0))
        }
        Call::TimerCreate => {
            let timer = Timer::create(account)?;
            Ok((install(thread, Object::Timer(timer))?, 0))
        }
        Call::TimerSet => {
            let entry = typed(thread, first, ObjectType::Timer, Rights::SIGNAL)?;
            if let Object::Timer(timer) = entry.object() {
                timers::set(timer, second)?;
            }
            Ok((0, 0))
        }
        _ => Err(Error::Unknown),
    }
}
