//! Where tasks are spawned: one record per name and place in the source, kept for ever.

use alloc::boxed::Box;
use core::{
    panic::Location,
    ptr::null_mut,
    sync::atomic::{AtomicPtr, Ordering},
};

/// A place that spawns tasks.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// The name given to the task.
    pub name: &'static str,
    /// Where it was spawned.
    pub place: &'static Location<'static>,
}

/// Whether two sites are one. By address: constants that were merged or not merged at most make two of one.
#[inline(always)]
fn same(a: &Site, b: &Site) -> bool {
    core::ptr::eq(a.place, b.place) && core::ptr::eq(a.name, b.name)
}

/// How many sites a fleet tells apart; tasks of further ones share the last.
pub(crate) const SITES: usize = 512;

/// An append-only table, open addressing.
#[derive(Debug)]
pub(crate) struct Sites {
    table: [AtomicPtr<Site>; SITES],
}

impl Sites {
    pub(crate) const fn new() -> Sites {
        Sites {
            table: [const { AtomicPtr::new(null_mut()) }; SITES],
        }
    }

    /// The number of this name and place, entering it if it is new.
    #[inline]
    pub(crate) fn find(&self, site: Site) -> u16 {
        let place = core::ptr::from_ref(site.place).addr();
        let mix = (place >> 3 ^ site.name.as_ptr().addr()) as u64;
        let hash = mix.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let start = (hash * (SITES as u64 - 1) >> 32) as usize;
        match self.get(start as u16) {
            Some(known) if same(known, &site) => start as u16,
            _ => self.search(start, site.name, site.place),
        }
    }

    #[cold]
    fn search(
        &self,
        start: usize,
        name: &'static str,
        place: &'static Location<'static>,
    ) -> u16 {
        let site = Site { name, place };
        for probe in 0..SITES - 1 {
            let at = (start + probe) % (SITES - 1);
            match self.get(at as u16) {
                Some(known) if same(known, &site) => return at as u16,
                Some(_) => continue,
                None => {
                    if let Some(index) = self.enter(at, site) {
                        return index;
                    }
                }
            }
        }
        SITES as u16 - 1
    }

    /// Enters `site` at `at`; `None` if somebody else's got there first.
    #[cold]
    fn enter(&self, at: usize, site: Site) -> Option<u16> {
        let Some(record) = crate::raw::try_box(site) else {
            return Some(SITES as u16 - 1);
        };
        let fresh = Box::into_raw(record);
        match self.table[at].compare_exchange(
            null_mut(),
            fresh,
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            Ok(_) => Some(at as u16),
            Err(other) => {
                // SAFETY: `fresh` was never shared.
                drop(unsafe { Box::from_raw(fresh) });
                // SAFETY: entries are never removed.
                let other = unsafe { &*other };
                same(other, &site).then_some(at as u16)
            }
        }
    }

    /// The site of this number.
    #[inline]
    pub(crate) fn get(&self, index: u16) -> Option<&Site> {
        let site = self.table.get(index as usize)?.load(Ordering::Acquire);
        // SAFETY: entries are never removed or changed.
        unsafe { site.as_ref() }
    }
}
