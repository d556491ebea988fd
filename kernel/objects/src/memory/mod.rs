//! Memory objects: vmos, who brings their pages, and the regions of an address space.
//!
//! What the kernel implements is in [`machine`]. On it stand:
//!
//! ```text
//! Vmo::create(frames, &job, bytes) -> Result<Ref<Vmo<M>>, Error>            Vmo::create_physical(frames, &job, first frame, pages, cache)
//! Ref<Vmo>: id, info().await, read(offset, &mut [u8]).await, write(..).await, try_read/try_write -> Result<usize, Blocked>
//!           commit(offset, len).await, decommit(..).await, resize(bytes).await, snapshot(&job, offset, bytes).await -> Ref<Vmo>
//!           supply(offset, &from, from_offset, len).await, revoke().await (mappings whose lease is dead go)
//! Pager::create(&job) -> Ref<Pager<M>>: vmo(frames, &job, bytes), next() -> Option<(vmo id, page)>, close(), fail(&vmo, offset, len)
//! Space::new(Ref<M::Tables>, frames, &job) -> Result<Space<M>, Error>: map(MapArgs { vmo, offset, len, place, access, rights, guards, lease, share })
//!           unmap(address, len).await, protect(address, len, access).await, populate(address, len).await, lookup(address) -> (vmo id, offset)
//!           fault(address, touch) -> Outcome { Mapped, Blocked(Blocked), Violation(..) }    fault_in(address, touch).await -> Result<(), ..>
//!           try_read/try_write/read/write(address, bytes), fork_into(&child, &job).await, teardown_step() -> Progress, mapped_pages()
//! Blocked::Wait(future) | Settle(retired) | Failed(error); .resolve().await, then try again
//! ```

pub mod machine;

pub use machine::{Access, Cache, Changed, Frame, Frames, Machine, Span, Tables, Touch};
