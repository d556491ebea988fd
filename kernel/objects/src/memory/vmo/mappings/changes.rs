//! Taking pages and access away from mappings.
//!
//! Each change of page tables that takes something away is noted in its [`Mapping`] as *unsettled*: the range, and the changes' numbers, counted
//! through per vmo. A shootdown of the range that began after change n settles all changes up to n. Whoever needs settled pages looks
//! for mappings with changes up to theirs; whichever operation shoots down first settles them for all.

use super::{MapKey, Mapping, Mappings};
use crate::memory::machine::{Access, Changed, Machine, Span, Tables};
use crate::memory::{PageRange, STEP_PAGES};
use crate::refs::Ref;

/// Changes that cores may not know yet.
#[derive(Clone, Copy)]
pub(super) struct Unsettled {
    /// Where.
    pages: PageRange,
    /// Number of the earliest.
    first: u64,
    /// Number of the latest.
    last: u64,
}

/// A shootdown that is owed.
pub(in crate::memory::vmo) struct Owed<M: Machine> {
    key: MapKey,
    pub(in crate::memory::vmo) tables: Ref<M::Tables>,
    pub(in crate::memory::vmo) span: Span,
    last: u64,
}

impl<M: Machine> Mappings<M> {
    /// The number of the latest change.
    pub(in crate::memory::vmo) const fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether cores may remember another state of this page.
    pub(in crate::memory) fn is_unsettled(&self, page: u64) -> bool {
        self.unsettled != 0
            && self.iter().any(|(_, mapping)| {
                mapping
                    .unsettled
                    .is_some_and(|changes| changes.pages.contains(page))
            })
    }

    /// Unmaps pages everywhere.
    pub(in crate::memory::vmo) fn unmap_everywhere(&mut self, pages: PageRange) {
        self.change_all(
            pages,
            |_| true,
            |tables, span| tables.unmap(span, u64::MAX).entries,
        );
    }

    /// Takes writing away from pages everywhere.
    pub(in crate::memory::vmo) fn make_read_only_everywhere(&mut self, pages: PageRange) {
        // Not where execution is allowed: it was only after all writing was gone. But where only reads are allowed, for that may be on its
        // way still.
        let writable = |mapping: &Mapping<M>| mapping.access != Access::ReadExecute;
        self.change_all(pages, writable, |tables, span| {
            tables.make_read_only(span, u64::MAX).entries
        });
    }

    fn change_all(
        &mut self,
        pages: PageRange,
        wanted: impl Fn(&Mapping<M>) -> bool,
        change: impl Fn(&M::Tables, Span) -> u64,
    ) {
        let mut latest = self.changes;
        let mut newly = 0;
        for mapping in self.iter_mut() {
            let pages = mapping.pages.intersect(pages);
            if pages.is_empty() || !wanted(mapping) {
                continue;
            }
            if change(&mapping.tables, mapping.span(pages)) != 0 {
                newly += mapping.note(pages, &mut latest);
            }
        }
        self.changes = latest;
        self.unsettled += newly;
    }

    /// Unmaps a piece of one mapping, from `from` on; returns where to go on.
    pub(in crate::memory::vmo) fn unmap_step(&mut self, key: MapKey, from: u64) -> Option<u64> {
        self.step(key, from, |tables, span| tables.unmap(span, STEP_PAGES))
    }

    /// Takes writes and execution from a piece of one mapping, from `from` on; returns where to go on.
    pub(in crate::memory::vmo) fn read_only_step(&mut self, key: MapKey, from: u64) -> Option<u64> {
        self.step(key, from, |tables, span| {
            tables.make_read_only(span, STEP_PAGES)
        })
    }

    fn step(
        &mut self,
        key: MapKey,
        from: u64,
        change: impl Fn(&M::Tables, Span) -> Changed,
    ) -> Option<u64> {
        let mut latest = self.changes;
        let mapping = self.get_mut(key)?;
        let pages = mapping.pages.intersect(PageRange::new(from, u64::MAX));
        if pages.is_empty() {
            return None;
        }
        let changed = change(&mapping.tables, mapping.span(pages));
        let next = pages.start.saturating_add(changed.pages.max(1));
        let mut newly = 0;
        if changed.entries != 0 {
            newly = mapping.note(
                PageRange::new(pages.start, next.min(pages.end)),
                &mut latest,
            );
        }
        let end = mapping.pages.end;
        self.changes = latest;
        self.unsettled += newly;
        (next < end).then_some(next)
    }

    /// A shootdown that changes up to `upto` still need; looked for from the mapping after the one of the `last` found on.
    pub(in crate::memory::vmo) fn owed(
        &self,
        upto: u64,
        last: Option<&Owed<M>>,
    ) -> Option<Owed<M>> {
        if self.unsettled == 0 {
            return None;
        }
        let from = last.map_or(0, |owed| owed.key.index.saturating_add(1));
        let end = self.entries() as u32;
        (from..end)
            .chain(0..from.min(end))
            .find_map(|index| self.owed_at(index, upto))
    }

    fn owed_at(&self, index: u32, upto: u64) -> Option<Owed<M>> {
        let (key, mapping) = self.used_at(index)?;
        let changes = mapping.unsettled.filter(|c| c.first <= upto)?;
        Some(Owed {
            key,
            tables: mapping.tables.clone(),
            span: mapping.span(changes.pages),
            last: changes.last,
        })
    }

    /// The shootdown, which began after it was found to be owed, is over.
    pub(in crate::memory::vmo) fn paid(&mut self, owed: &Owed<M>) {
        let Some(mapping) = self.get_mut(owed.key) else {
            return;
        };
        let Some(changes) = &mut mapping.unsettled else {
            return;
        };
        if changes.last <= owed.last {
            mapping.unsettled = None;
            self.unsettled -= 1;
        } else {
            changes.first = changes.first.max(owed.last + 1);
        }
    }
}

impl<M: Machine> Mapping<M> {
    /// Notes a change, unless no core but this one can remember. Returns 1 if it had none unsettled before.
    fn note(&mut self, pages: PageRange, latest: &mut u64) -> usize {
        if self.tables.flush_if_alone(self.span(pages)) {
            return 0;
        }
        *latest += 1;
        match &mut self.unsettled {
            Some(changes) => {
                changes.pages = changes.pages.hull(pages);
                changes.last = *latest;
                0
            }
            none => {
                *none = Some(Unsettled {
                    pages,
                    first: *latest,
                    last: *latest,
                });
                1
            }
        }
    }
}

impl Unsettled {
    pub(super) fn within(self, pages: PageRange) -> Option<Self> {
        let pages = self.pages.intersect(pages);
        (!pages.is_empty()).then_some(Self { pages, ..self })
    }
}
