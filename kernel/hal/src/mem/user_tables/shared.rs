//! What cores share of one address space, at an address that does not change.

extern crate alloc;

use alloc::boxed::Box;
use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kerncore::frames::Usage;
use kerncore::page_tree::{ENTRIES, PageTree, TableStore, TreeError};
use kerncore::tlb::CoreSet;
use spin::Mutex;

use super::MayTake;
use crate::cpu::features;
use crate::mem::{counted, direct, frames, paging};

/// Bits 51:12 of an entry (Intel SDM vol. 3A §5.5.4).
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Shared {
    id: u64,
    root: u64,
    /// Raised by each change that cores must learn of.
    pub(crate) generation: AtomicU64,
    /// Cores that have the space active.
    pub(crate) cores: CoreSet,
    /// Cores that are asked anything shall leave.
    pub(crate) leave: AtomicBool,
    tree: Mutex<Tree>,
}

#[derive(Debug)]
struct Tree {
    tree: PageTree,
    retired: RetiredTables,
    /// Tables taken by shootdowns that are under way.
    awaited: u64,
}

/// Empty tables that cores may still walk through, chained by their first entries.
///
/// The link is an entry that is not present, and inverted, so that no CPU that speculates past the present
/// bit finds the address of memory in it (Intel, "L1 Terminal Fault").
#[derive(Debug, Default)]
pub(crate) struct RetiredTables {
    first: u64,
    count: u64,
}

impl RetiredTables {
    fn push(&mut self, table: u64) {
        entry(table, 0).store(!self.first & ADDRESS, Ordering::Release);
        self.first = table;
        self.count += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first == 0
    }

    fn pop(&mut self) -> Option<u64> {
        let table = self.first;
        if table == 0 {
            return None;
        }
        self.first = !entry(table, 0).load(Ordering::Acquire) & ADDRESS;
        self.count -= 1;
        Some(table)
    }

    /// Frees them all. No core may walk through them any more.
    fn free(&mut self) -> u64 {
        let count = self.count;
        while let Some(table) = self.pop() {
            free_table(table);
        }
        count
    }
}

/// An entry of a live table, through the direct map.
fn entry<'a>(table: u64, index: usize) -> &'a AtomicU64 {
    let entries = direct::to_virtual(table) as *const AtomicU64;
    // SAFETY: `table` is a page-table frame of ours (`Store` and `RetiredTables` hold nothing else), which the direct map
    // covers, and the index is masked. CPUs and cores access entries as whole words.
    unsafe { &*entries.add(index % ENTRIES) }
}

fn free_table(table: u64) {
    if let Err(error) = frames::free(table, Usage::PageTable) {
        log::error!(target: "memory", "freeing a page table: {error}");
    }
}

fn allocate_table() -> Result<u64, TreeError> {
    let table = frames::allocate(Usage::PageTable).ok_or(TreeError::OutOfFrames)?;
    // SAFETY: a fresh frame nobody else knows.
    unsafe { counted::fill_with_zeroes(direct::to_virtual(table)) };
    Ok(table)
}

/// Physical memory as a store of tables.
pub(super) struct Store<'r, 'm> {
    may_take: Option<MayTake<'m>>,
    retired: &'r mut RetiredTables,
}

impl TableStore for Store<'_, '_> {
    fn load(&self, table: u64, index: usize) -> u64 {
        entry(table, index).load(Ordering::Acquire)
    }

    fn store(&mut self, table: u64, index: usize, new: u64) {
        entry(table, index).store(new, Ordering::Release);
    }

    fn exchange(&mut self, table: u64, index: usize, current: u64, new: u64) -> Result<(), u64> {
        entry(table, index)
            .compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
    }

    fn allocate(&mut self) -> Result<u64, TreeError> {
        match &mut self.may_take {
            Some(may_take) => {
                if may_take() {
                    allocate_table()
                } else {
                    Err(TreeError::OverQuota)
                }
            }
            None => Err(TreeError::OverQuota),
        }
    }

    fn give_back(&mut self, table: u64) {
        free_table(table);
    }

    fn retire(&mut self, table: u64) {
        self.retired.push(table);
    }
}

impl Shared {
    pub(super) fn new(may_take: MayTake<'_>) -> Result<NonNull<Self>, TreeError> {
        if !may_take() {
            return Err(TreeError::OverQuota);
        }
        let root = allocate_table()?;
        paging::share_kernel_half(root);
        let shared = Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            root,
            generation: AtomicU64::new(1),
            cores: CoreSet::new(),
            leave: AtomicBool::new(false),
            tree: Mutex::new(Tree {
                tree: PageTree::new(root, features().nx),
                retired: RetiredTables::default(),
                awaited: 0,
            }),
        };
        // SAFETY: the type is not zero-sized.
        let place = unsafe { alloc::alloc::alloc(Layout::new::<Self>()) }.cast::<Self>();
        let Some(place) = NonNull::new(place) else {
            free_table(root);
            return Err(TreeError::OutOfFrames);
        };
        // SAFETY: fresh memory of the right layout.
        unsafe { place.write(shared) };
        Ok(place)
    }

    /// # Safety
    /// From [`Self::new`], once; no core has the space active or can get it.
    pub(super) unsafe fn free(this: NonNull<Self>) {
        // SAFETY: allocated by `new` as a box would be; the caller gives it up.
        let shared = unsafe { Box::from_raw(this.as_ptr()) };
        let Tree { tree, retired, .. } = &mut *shared.tree.lock();
        tree.clear(&mut Store {
            may_take: None,
            retired,
        });
        retired.free();
        free_table(shared.root);
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Physical address of the level-4 table.
    #[inline]
    pub(super) fn root(&self) -> u64 {
        self.root
    }

    pub(super) fn change<'m, R>(
        &self,
        may_take: Option<MayTake<'m>>,
        change: impl FnOnce(&mut PageTree, &mut Store<'_, 'm>) -> R,
    ) -> R {
        let Tree { tree, retired, .. } = &mut *self.tree.lock();
        change(tree, &mut Store { may_take, retired })
    }

    pub(super) fn table_frames(&self) -> u64 {
        let tree = self.tree.lock();
        tree.tree.tables() + tree.retired.count + tree.awaited
    }

    pub(super) fn mapped_pages(&self) -> u64 {
        self.tree.lock().tree.pages()
    }

    /// The tables removed so far: for a shootdown that begins after this.
    pub(crate) fn take_retired(&self) -> RetiredTables {
        let tree = &mut *self.tree.lock();
        tree.awaited += tree.retired.count;
        core::mem::take(&mut tree.retired)
    }

    /// There is no shootdown after all: what [`Self::take_retired`] gave waits for the next.
    pub(crate) fn put_back_retired(&self, mut tables: RetiredTables) {
        let tree = &mut *self.tree.lock();
        tree.awaited -= tables.count;
        while let Some(table) = tables.pop() {
            tree.retired.push(table);
        }
    }

    /// The shootdown is over: frees what [`Self::take_retired`] gave.
    pub(crate) fn free_retired(&self, mut tables: RetiredTables) {
        if !tables.is_empty() {
            let freed = tables.free();
            self.tree.lock().awaited -= freed;
        }
    }
}
