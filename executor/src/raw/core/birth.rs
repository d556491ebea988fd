//! How tasks come to be on a core, and where their memory goes.

use core::ptr::NonNull;

use super::{Core, Local};
use crate::{
    ident::TaskId,
    platform::Platform,
    raw::{
        block::{self, Head},
        slab,
    },
    sched::FAIR,
    slot::{Slot, State, flag},
    spawn::{SpawnError, Spec},
};

impl<P: Platform> Core<P> {
    /// Spawns here.
    #[inline]
    pub(crate) fn spawn_here<F: Future>(
        &self,
        future: F,
        spec: &Spec,
    ) -> Result<(TaskId, NonNull<Head>), SpawnError> {
        #[cfg(feature = "inject")]
        inject::at(inject::Point::TaskSpawn);
        let layout = block::layout_of::<F>();
        let placed = self.with(|local| {
            let slot = local.free.first().ok_or(SpawnError::NoSlot {
                core: self.id,
                tasks: self.config.tasks,
            })?;
            let memory = local.slab.allocate(layout, self.id, &self.returns).ok_or(
                SpawnError::NoMemory {
                    bytes: layout.size(),
                },
            )?;
            local.free.pop(self.slot(slot));
            Ok((slot, memory))
        });
        let (slot, memory) = placed.ok_or(SpawnError::NotHere { core: self.id })??;
        // SAFETY: fresh memory of the layout asked for.
        let head = unsafe { block::write(memory.address, future, memory.tag) };
        let record = self.slot(slot);
        spec.fill(record);
        record.set_block(head.as_ptr());
        // SAFETY: at home, or `with` had not been granted above; no foreign code is called.
        let local = unsafe { &mut *self.local.0.get() };
        let now = if P::STATS {
            self.time(local)
        } else {
            local.now
        };
        self.born(local, slot, record, now);
        if !local.sched.wake_simply(&self.slots, slot, record) {
            let now = self.wake_time(local, record);
            local.sched.wake_contended(&self.slots, slot, now);
        }
        if P::STATS {
            self.record(slot).woken_at.set(now);
            self.note_ready(local);
            self.stats.slab_bytes.set(local.slab.held() as u64);
        }
        Ok((record.id(), head))
    }

    /// Spawns here from elsewhere.
    pub(crate) fn spawn_from_elsewhere<F: Future + Send>(
        &self,
        future: F,
        spec: &Spec,
    ) -> Result<(TaskId, NonNull<Head>), SpawnError> {
        let layout = block::layout_of::<F>();
        let slot = self.pool.0.pop(&self.slots).ok_or(SpawnError::NoSlot {
            core: self.id,
            tasks: self.config.remote_tasks,
        })?;
        let memory = match P::here().task_core().and_then(|core| P::fleet().core(core)) {
            Some(own) => own
                .with(|local| local.slab.allocate(layout, own.id, &own.returns))
                .flatten(),
            None => slab::allocate_globally(layout),
        };
        let Some(memory) = memory else {
            self.pool.0.push(&self.slots, slot);
            return Err(SpawnError::NoMemory {
                bytes: layout.size(),
            });
        };
        // SAFETY: fresh memory of the layout asked for.
        let head = unsafe { block::write(memory.address, future, memory.tag) };
        let record = self.slot(slot);
        spec.fill(record);
        record.raise(flag::POOLED);
        record.set_block(head.as_ptr());
        let id = self.id_of(slot);
        record.state.release(State::Born as u8);
        self.wake_from_elsewhere(slot, record);
        Ok((id, head))
    }

    #[inline(always)]
    pub(super) fn born(&self, local: &mut Local, slot: u32, record: &Slot, now: u64) {
        if record.server.get() as u32 == FAIR {
            record.deadline.set(local.sched.virtual_now());
        }
        self.stats.tasks.add(1);
        if P::STATS {
            self.record(slot).begin(now);
            self.sites.prepare(record.site.get());
            self.stats.spawned.add(1);
        }
    }
}

/// Returns a block to where it came from.
///
/// # Safety
/// It holds neither future nor output and is not used again.
pub(crate) unsafe fn free_block<P: Platform>(head: NonNull<Head>) {
    // SAFETY: the head is intact until it is freed.
    let Some(owner) = (unsafe { slab::owner(head) }) else {
        // SAFETY: it belongs to the global allocator.
        return unsafe { slab::free_globally(head) };
    };
    if let Some(core) = P::fleet().core(owner) {
        // SAFETY: the caller's promise.
        unsafe { core.take_block(head) };
    }
}

impl<P: Platform> Core<P> {
    /// As [`free_block`], on the core's own context.
    ///
    /// # Safety
    /// As for [`free_block`]; and `is_here`.
    #[inline(always)]
    pub(super) unsafe fn free_block_here(&self, local: &mut Local, head: NonNull<Head>) {
        // SAFETY: the head is intact until it is freed; its own blocks go straight to the slab.
        unsafe {
            if slab::owner(head) == Some(self.id) {
                local.slab.free(head);
            } else {
                free_block_elsewhere::<P>(head);
            }
        }
    }

    /// Takes back a block of this core, from anywhere.
    ///
    /// # Safety
    /// As for [`free_block`].
    #[inline]
    unsafe fn take_block(&self, head: NonNull<Head>) {
        // SAFETY: at home it goes straight to its slab, else through the returns of that slab.
        unsafe {
            if self.with(|local| local.slab.free(head)).is_none() {
                self.returns.push(head);
            }
        }
    }
}

/// As [`free_block`], for a block of another core or of none.
///
/// # Safety
/// As for [`free_block`].
#[cold]
unsafe fn free_block_elsewhere<P: Platform>(head: NonNull<Head>) {
    // SAFETY: the caller's promise.
    unsafe { free_block::<P>(head) }
}
