//! Handles: duplicating, giving, leasing, waiting.

use core::pin::pin;

use abi::handle::HandleInfo;
use abi::{Call, Error, Handle, ObjectType, Rights, Signals};
use objects::lease::Lease;
use objects::memory::Vmo;
use objects::refs::Ref;

use super::{Arguments, install, process, rights, typed};
use crate::process::object::Object;
use crate::process::outcome::Results;
use crate::process::run::until;
use crate::process::thread::Thread;
use crate::process::{clock, drive, memory};

pub(super) async fn call(
    thread: &Ref<Thread>,
    call: Call,
    [first, second, third, ..]: Arguments,
) -> Result<Results, Error> {
    let handles = &thread.process.handles;
    match call {
        Call::HandleClose => {
            let vmo = handles.pick_own(Handle(first), Rights::empty(), Object::as_vmo);
            handles.close(Handle(first))?;
            if let Some((vmo, _)) = vmo {
                Vmo::close(&vmo).await;
            }
            Ok((0, 0))
        }
        Call::HandleDuplicate => {
            let handle = handles.duplicate(Handle(first), rights(second)?)?;
            Ok((handle.0, 0))
        }
        Call::HandleInfo => {
            let entry = handles.get(Handle(first), Rights::INSPECT)?;
            let object = entry.object();
            let peer_id = match object {
                Object::Channel(channel) => channel.peer_id(),
                _ => 0,
            };
            let info = HandleInfo {
                object_id: objects::KernelObject::header(object).id(),
                peer_id,
                object_type: entry.object_type() as u32,
                rights: entry.rights().bits(),
                signals: object.signals_now().bits(),
                leased: u32::from(entry.lease().is_some()),
            };
            memory::write(&thread.process.space, second, &info).await?;
            Ok((0, 0))
        }
        Call::HandleGive => {
            let to = process(thread, first, Rights::MANAGE)?;
            let kept = rights(third)?;
            let mut taken = alloc::vec::Vec::new();
            taken.try_reserve_exact(1).map_err(|_| Error::NoMemory)?;
            let mut room = to.handles.reserve(1)?;
            let batch = handles.take(&[Handle(second)])?;
            if !batch
                .capabilities()
                .all(|capability| capability.entry().rights().contains(kept))
            {
                return Err(Error::NoRight);
            }
            let _charge = batch.commit(&mut taken)?;
            let Some(mut capability) = taken.pop() else {
                return Err(Error::BadHandle);
            };
            capability.restrict(kept)?;
            Ok((room.install(capability).0, 0))
        }
        Call::LeaseCreate => {
            let entry = handles.get(Handle(first), Rights::DUPLICATE)?;
            let lease = Lease::new(thread.process.account(), entry.lease())?;
            let leased = entry.lease_out(rights(second)?, &lease)?;
            let mut room = handles.reserve(1)?;
            let lease = install(thread, Object::Lease(lease))?;
            Ok((room.install(leased).0, lease))
        }
        Call::LeaseRevoke => {
            let entry = typed(thread, first, ObjectType::Lease, Rights::MANAGE)?;
            if let Object::Lease(lease) = entry.object() {
                lease.revoke();
                drive::lease_revoked();
                memory::unmap_leased(lease).await;
            }
            Ok((0, 0))
        }
        Call::Wait => {
            let entry = handles.get(Handle(first), Rights::WAIT)?;
            let mask = u32::try_from(second)
                .ok()
                .and_then(Signals::from_bits)
                .filter(|mask| !mask.is_empty())
                .ok_or(Error::BadArgument)?;
            let signals = objects::KernelObject::signals(entry.object()).ok_or(Error::WrongType)?;
            if third <= clock::now_ns() {
                let now = signals.get() & mask;
                let missing = if third == abi::AT_ONCE {
                    Error::WouldWait
                } else {
                    Error::TimedOut
                };
                return if now.is_empty() {
                    Err(missing)
                } else {
                    Ok((u64::from(now.bits()), 0))
                };
            }
            let wait = pin!(signals.wait(mask, entry.lease().map(|lease| &**lease)));
            let seen = until(third, wait).await.ok_or(Error::TimedOut)??;
            Ok((u64::from(seen.bits()), 0))
        }
        _ => Err(Error::Unknown),
    }
}
