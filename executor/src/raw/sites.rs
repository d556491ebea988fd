//! Where tasks are spawned: one entry per name and place in the source, kept for ever, and what each core counts by it.

use alloc::{boxed::Box, vec::Vec};
use core::{
    panic::Location,
    ptr::{self, null_mut},
    sync::atomic::{AtomicPtr, Ordering},
};

use crate::stats::SiteRecord;

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

/// What one core counts by site. Records come when a site first spawns there and stay; sites without one, for want of
/// memory or of a number of their own, share the last.
#[derive(Debug)]
pub(crate) struct SiteRecords {
    /// Each the site's own record or [`shared`](Self::shared); without statistics there is none.
    table: Vec<AtomicPtr<SiteRecord>>,
    shared: *mut SiteRecord,
}

// SAFETY: records are published words; they are freed by `drop` alone, which has them to itself.
unsafe impl Send for SiteRecords {}
// SAFETY: as above.
unsafe impl Sync for SiteRecords {}

impl SiteRecords {
    /// For a core without statistics.
    pub(crate) const fn none() -> SiteRecords {
        SiteRecords {
            table: Vec::new(),
            shared: null_mut(),
        }
    }

    /// A table in which all share one record. `None` when memory is short.
    pub(crate) fn new() -> Option<SiteRecords> {
        let mut table = Vec::new();
        table.try_reserve_exact(SITES).ok()?;
        let shared = Box::into_raw(crate::raw::try_box(SiteRecord::default())?);
        table.resize_with(SITES, || AtomicPtr::new(shared));
        Some(SiteRecords { table, shared })
    }

    /// The record for what tasks of this site do, with statistics on.
    #[inline(always)]
    pub(crate) fn of(&self, site: u16) -> &SiteRecord {
        debug_assert!(self.table.len() == SITES);
        // SAFETY: with statistics on there are SITES entries, all of which point to records that live as long as `self`.
        unsafe {
            let record = self.table.get_unchecked(site as usize % SITES);
            &*record.load(Ordering::Acquire)
        }
    }

    /// As [`of`](Self::of), and whether the record is the site's own; `None` without statistics.
    pub(crate) fn get(&self, site: u16) -> Option<(&SiteRecord, bool)> {
        if self.table.is_empty() {
            return None;
        }
        let record = self.of(site);
        Some((record, !ptr::eq(record, self.shared)))
    }

    /// A task of this site is about to live here.
    #[inline(always)]
    pub(crate) fn prepare(&self, site: u16) {
        if ptr::eq(self.of(site), self.shared) {
            self.enter(site);
        }
    }

    #[cold]
    fn enter(&self, site: u16) {
        let site = site as usize % SITES;
        // The last number stands for all sites beyond the table.
        if site == SITES - 1 {
            return;
        }
        let Some(record) = crate::raw::try_box(SiteRecord::default()) else {
            return;
        };
        let fresh = Box::into_raw(record);
        let entered = self.table[site].compare_exchange(
            self.shared,
            fresh,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if entered.is_err() {
            // SAFETY: `fresh` was never shared.
            drop(unsafe { Box::from_raw(fresh) });
        }
    }
}

impl Drop for SiteRecords {
    fn drop(&mut self) {
        for entry in &mut self.table {
            let record = *entry.get_mut();
            if !ptr::eq(record, self.shared) {
                // SAFETY: entered by `enter`, and nobody else refers to it: `self` is going.
                drop(unsafe { Box::from_raw(record) });
            }
        }
        if !self.shared.is_null() {
            // SAFETY: made by `new`, and nobody else refers to it.
            drop(unsafe { Box::from_raw(self.shared) });
        }
    }
}

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
        let start = ((hash * (SITES as u64 - 1)) >> 32) as usize;
        match self.get(start as u16) {
            Some(known) if same(known, &site) => start as u16,
            _ => self.search(start, site.name, site.place),
        }
    }

    #[cold]
    fn search(&self, start: usize, name: &'static str, place: &'static Location<'static>) -> u16 {
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
