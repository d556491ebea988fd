//! Devices, their registers and interrupts.

use abi::{Call, Error, ObjectType, Rights};
use objects::refs::Ref;

use super::{Arguments, install, typed};
use crate::process::device::{DeviceObject, DmaObject, InterruptObject, IoRange};
use crate::process::memory;
use crate::process::object::Object;
use crate::process::outcome::Results;
use crate::process::thread::Thread;

fn device(thread: &Thread, handle: u64, rights: Rights) -> Result<Ref<DeviceObject>, Error> {
    match typed(thread, handle, ObjectType::Device, rights)?.into_object() {
        Object::Device(device) => Ok(device),
        _ => Err(Error::WrongType),
    }
}

pub(super) async fn call(
    thread: &Ref<Thread>,
    call: Call,
    [first, second, third, ..]: Arguments,
) -> Result<Results, Error> {
    let account = thread.process.account();
    match call {
        Call::IoRangeCreate => {
            typed(thread, first, ObjectType::System, Rights::MANAGE)?;
            let range = IoRange::legacy(account, second, third)?;
            Ok((install(thread, Object::IoRange(range))?, 0))
        }
        Call::InterruptCreate => {
            typed(thread, first, ObjectType::System, Rights::MANAGE)?;
            let interrupt = InterruptObject::line(account, second, third)?;
            install_interrupt(thread, interrupt)
        }
        Call::DeviceOpen => {
            typed(thread, first, ObjectType::System, Rights::MANAGE)?;
            let device = DeviceObject::open(account, second)?;
            Ok((install(thread, Object::Device(device))?, 0))
        }
        Call::DeviceInfo => {
            let info = device(thread, first, Rights::INSPECT)?.info()?;
            memory::write(&thread.process.space, second, &info).await?;
            Ok((0, 0))
        }
        Call::DevicePart => {
            let device = device(thread, first, Rights::READ)?;
            let (part, bytes) = DeviceObject::part(&device, account, second)?;
            Ok((thread.process.handles.insert(part)?.0, bytes))
        }
        Call::DeviceInterrupt => {
            let device = device(thread, first, Rights::MANAGE)?;
            let interrupt = InterruptObject::message(account, &device, second, third)?;
            install_interrupt(thread, interrupt)
        }
        Call::DeviceDma => {
            let device = device(thread, first, Rights::MANAGE)?;
            let dma = DmaObject::create(account, &device)?;
            Ok((install(thread, Object::Dma(dma))?, 0))
        }
        Call::DmaCreate => {
            let entry = typed(thread, first, ObjectType::Dma, Rights::MAP)?;
            let Object::Dma(dma) = entry.object() else {
                return Err(Error::WrongType);
            };
            let (vmo, address) = dma.memory(account, second).await?;
            Ok((thread.process.handles.insert(vmo)?.0, address))
        }
        Call::DmaRelease => {
            let entry = typed(thread, first, ObjectType::Dma, Rights::MAP)?;
            let Object::Dma(dma) = entry.object() else {
                return Err(Error::WrongType);
            };
            dma.release(second)?;
            Ok((0, 0))
        }
        Call::DeviceConfig => {
            let word = device(thread, first, Rights::INSPECT)?.config(second)?;
            Ok((0, word.into()))
        }
        Call::InterruptWait => {
            let entry = typed(thread, first, ObjectType::Interrupt, Rights::READ)?;
            let Object::Interrupt(interrupt) = entry.object() else {
                return Err(Error::WrongType);
            };
            let lease = entry.lease().map(|lease| &**lease);
            let event = interrupt.wait(second, lease).await?;
            Ok((event.count.into(), event.stamp_ticks))
        }
        _ => Err(Error::Unknown),
    }
}

/// Its task ends with its last handle: without any it would run for ever.
fn install_interrupt(thread: &Thread, interrupt: Ref<InterruptObject>) -> Result<Results, Error> {
    match install(thread, Object::Interrupt(interrupt.clone())) {
        Ok(handle) => Ok((handle, 0)),
        Err(error) => {
            interrupt.close();
            Err(error)
        }
    }
}
