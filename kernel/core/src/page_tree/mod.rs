//! The page tables of one process's user half, as an algorithm over a store of tables.
//!
//! `hal::mem::user_tables` is the one real user: its store is physical memory seen through the direct map. Tests use
//! a store of plain vectors. Four levels (Intel SDM vol. 3A §5.5), 4 KiB pages only, the lower 256 entries of the root.
//!
//! How many entries of a table are present is kept in the entry that names the table, in bits the CPU ignores: so
//! an unmapped page's table is known to be empty without looking at its 512 entries, and goes at once. A table that goes
//! is handed to [`TableStore::retire`] and not freed: cores may have its address in their paging-structure
//! caches until they have flushed them (§5.10.3).
//!
//! What must hold: one caller at a time changes a tree (the CPUs only set accessed and dirty bits meanwhile); entries
//! are exchanged atomically, so that such a bit is never lost. No operation takes more than three tables,
//! and one that fails changes nothing.

mod answers;
mod flags;
#[cfg(test)]
mod tests;

pub use answers::{Mapping, Progress, TreeError};
use flags::bit;
pub use flags::{UserAccess, UserCache, UserFlags};

/// Bytes of a page.
pub const PAGE_BYTES: u64 = 4096;
/// First address a process may use: the null page and its neighbours stay unmapped.
pub const USER_BASE: u64 = 0x1_0000;
/// First address past those a process may use. The last page below 2^47 stays out, so that no instruction ends
/// where `sysret` would return to a non-canonical address.
pub const USER_END: u64 = 0x7fff_ffff_0000;

/// Entries of a table.
pub const ENTRIES: usize = 512;
const LEVELS: u32 = 4;

/// Where tables live. Tables are named by physical address; an address always comes from [`Self::allocate`] or is
/// the root's, and an index is below [`ENTRIES`].
pub trait TableStore {
    /// Reads an entry.
    fn load(&self, table: u64, index: usize) -> u64;
    /// Writes an entry that no CPU writes at the same time (it is not present).
    fn store(&mut self, table: u64, index: usize, entry: u64);
    /// Replaces `current` by `new`; `Err` with what is there if that is not `current`.
    fn exchange(&mut self, table: u64, index: usize, current: u64, new: u64) -> Result<(), u64>;
    /// A table of zeroes, or why there is none.
    fn allocate(&mut self) -> Result<u64, TreeError>;
    /// Takes a table back that no CPU has ever seen.
    fn give_back(&mut self, table: u64);
    /// Takes an empty table that CPUs may still walk through, until their next flush.
    fn retire(&mut self, table: u64);
}

/// A tree of tables. See the module's description.
#[derive(Debug)]
pub struct PageTree {
    root: u64,
    has_nx: bool,
    tables: u64,
    pages: u64,
}

const fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * (level - 1))) as usize & (ENTRIES - 1)
}

/// Bytes that an entry of a table of `level` covers.
const fn span(level: u32) -> u64 {
    1 << (12 + 9 * (level - 1))
}

const fn is_present(entry: u64) -> bool {
    entry & bit::PRESENT != 0
}

const fn count_of(entry: u64) -> u64 {
    (entry & bit::COUNT) >> bit::COUNT_SHIFT
}

/// The entry that names a table with `count` present entries. The leaves decide what may be done.
const fn table_entry(table: u64, count: u64) -> u64 {
    table | bit::PRESENT | bit::WRITABLE | bit::USER | count << bit::COUNT_SHIFT
}

/// Checks a page's address.
pub const fn check_page(address: u64) -> Result<(), TreeError> {
    if address.is_multiple_of(PAGE_BYTES) && address >= USER_BASE && address < USER_END {
        Ok(())
    } else {
        Err(TreeError::BadAddress { address })
    }
}

/// Checks a range of whole pages. An empty range is good wherever it is.
pub const fn check_range(start: u64, end: u64) -> Result<(), TreeError> {
    if !start.is_multiple_of(PAGE_BYTES) || start < USER_BASE || start > end {
        return Err(TreeError::BadAddress { address: start });
    }
    if !end.is_multiple_of(PAGE_BYTES) || end > USER_END {
        return Err(TreeError::BadAddress { address: end });
    }
    Ok(())
}

impl PageTree {
    /// An empty tree below `root`, a table whose lower half is zero.
    pub const fn new(root: u64, has_nx: bool) -> Self {
        Self {
            root,
            has_nx,
            tables: 1,
            pages: 0,
        }
    }

    /// The root's physical address.
    pub const fn root(&self) -> u64 {
        self.root
    }

    /// Tables that are part of the tree, the root included.
    pub const fn tables(&self) -> u64 {
        self.tables
    }

    /// Pages mapped.
    pub const fn pages(&self) -> u64 {
        self.pages
    }

    fn leaf(&self, frame: u64, flags: UserFlags) -> Result<u64, TreeError> {
        if frame & !bit::ADDRESS != 0 {
            return Err(TreeError::BadFrame { frame });
        }
        Ok(frame | flags.encode(self.has_nx))
    }

    /// The tables from the root down towards `address`, by level less one, as far as they exist, and the lowest one's level.
    fn descend(&self, store: &impl TableStore, address: u64) -> ([u64; LEVELS as usize], u32) {
        let mut path = [0; LEVELS as usize];
        let mut table = self.root;
        let mut level = LEVELS;
        loop {
            path[level as usize - 1] = table;
            if level == 1 {
                return (path, 1);
            }
            let entry = store.load(table, index(address, level));
            if !is_present(entry) {
                return (path, level);
            }
            table = entry & bit::ADDRESS;
            level -= 1;
        }
    }

    /// Maps `frame` at `address`, where nothing may be mapped. Takes at most three tables.
    ///
    /// # Errors
    /// [`TreeError`]; nothing was changed then.
    pub fn map(
        &mut self,
        store: &mut impl TableStore,
        address: u64,
        frame: u64,
        flags: UserFlags,
    ) -> Result<(), TreeError> {
        check_page(address)?;
        let leaf = self.leaf(frame, flags)?;
        let (path, lowest) = self.descend(store, address);
        let table = path[lowest as usize - 1];
        if lowest == 1 && is_present(store.load(table, index(address, 1))) {
            return Err(TreeError::AlreadyMapped { address });
        }
        // What is missing is built first and then linked by one store, so that a failure leaves nothing behind.
        let mut fresh = [0; LEVELS as usize];
        for level in 1..lowest {
            match store.allocate() {
                Ok(new) => fresh[level as usize - 1] = new,
                Err(error) => {
                    (1..level).for_each(|level| store.give_back(fresh[level as usize - 1]));
                    return Err(error);
                }
            }
        }
        let mut entry = leaf;
        for level in 1..lowest {
            let new = fresh[level as usize - 1];
            store.store(new, index(address, level), entry);
            entry = table_entry(new, 1);
        }
        store.store(table, index(address, lowest), entry);
        self.add_to_count(store, &path, address, lowest, 1);
        self.tables += u64::from(lowest - 1);
        self.pages += 1;
        Ok(())
    }

    /// Counts `change` entries more (wrapping) in the table of `level` on the way to `address`.
    fn add_to_count(
        &self,
        store: &mut impl TableStore,
        path: &[u64; LEVELS as usize],
        address: u64,
        level: u32,
        change: u64,
    ) {
        if level == LEVELS {
            return;
        }
        let (table, index) = (path[level as usize], index(address, level + 1));
        update(store, table, index, |entry| {
            let count = count_of(entry).wrapping_add(change) << bit::COUNT_SHIFT;
            entry & !bit::COUNT | count & bit::COUNT
        });
    }

    /// Puts `frame` in the place of what is mapped at `address`, and returns that. No core ever finds nothing there.
    ///
    /// # Errors
    /// [`TreeError::NotMapped`] and the errors of [`Self::map`] but for lack of tables.
    pub fn replace(
        &mut self,
        store: &mut impl TableStore,
        address: u64,
        frame: u64,
        flags: UserFlags,
    ) -> Result<Mapping, TreeError> {
        let leaf = self.leaf(frame, flags)?;
        self.change(store, address, |_| leaf)
    }

    /// Changes the flags of the page at `address`, and returns what was there.
    ///
    /// # Errors
    /// [`TreeError::NotMapped`], [`TreeError::BadAddress`].
    pub fn protect(
        &mut self,
        store: &mut impl TableStore,
        address: u64,
        flags: UserFlags,
    ) -> Result<Mapping, TreeError> {
        let bits = flags.encode(self.has_nx);
        self.change(store, address, |entry| with_flags(entry, bits))
    }

    fn change(
        &mut self,
        store: &mut impl TableStore,
        address: u64,
        new: impl Fn(u64) -> u64,
    ) -> Result<Mapping, TreeError> {
        check_page(address)?;
        let (path, lowest) = self.descend(store, address);
        if lowest != 1 || !is_present(store.load(path[0], index(address, 1))) {
            return Err(TreeError::NotMapped { address });
        }
        let old = update(store, path[0], index(address, 1), new);
        Ok(Mapping::decode(old))
    }

    /// Removes the page at `address` and the tables this leaves empty. `None` if there is no such page.
    pub fn unmap(&mut self, store: &mut impl TableStore, address: u64) -> Option<Mapping> {
        check_page(address).ok()?;
        let (path, lowest) = self.descend(store, address);
        if lowest != 1 || !is_present(store.load(path[0], index(address, 1))) {
            return None;
        }
        let old = update(store, path[0], index(address, 1), |_| 0);
        self.pages -= 1;
        self.one_entry_less(store, &path, address);
        Some(Mapping::decode(old))
    }

    /// The lowest table towards `address` has lost an entry: takes out what is empty now.
    fn one_entry_less(
        &mut self,
        store: &mut impl TableStore,
        path: &[u64; LEVELS as usize],
        address: u64,
    ) {
        for level in 1..LEVELS {
            let (above, at) = (path[level as usize], index(address, level + 1));
            self.add_to_count(store, path, address, level, u64::MAX);
            if count_of(store.load(above, at)) != 0 {
                return;
            }
            update(store, above, at, |_| 0);
            store.retire(path[level as usize - 1]);
            self.tables -= 1;
        }
    }

    /// What is mapped at `address`, which need not be a page's first.
    pub fn translate(&self, store: &impl TableStore, address: u64) -> Option<Mapping> {
        let page = address - address % PAGE_BYTES;
        check_page(page).ok()?;
        let (path, lowest) = self.descend(store, page);
        if lowest != 1 {
            return None;
        }
        let entry = store.load(path[0], index(page, 1));
        is_present(entry).then(|| Mapping::decode(entry))
    }

    /// The first mapped page in `[from, end)`: its address, its table and its entry. Skips what is empty: visits no more
    /// than a table of each level beyond those that lead to the page.
    fn next_page(&self, store: &impl TableStore, from: u64, end: u64) -> Option<(u64, u64, u64)> {
        let mut address = from;
        'from_root: while address < end {
            let mut table = self.root;
            let mut level = LEVELS;
            loop {
                let entry = store.load(table, index(address, level));
                if is_present(entry) {
                    if level == 1 {
                        return Some((address, table, entry));
                    }
                    table = entry & bit::ADDRESS;
                    level -= 1;
                    continue;
                }
                address = (address & !(span(level) - 1)) + span(level);
                if address >= end {
                    return None;
                }
                // Past this table's last entry the search goes on in another table.
                if index(address, level) == 0 {
                    continue 'from_root;
                }
            }
        }
        None
    }

    /// Calls `visit` with the mapped pages of `[start, end)`, at most `limit` of them.
    ///
    /// # Errors
    /// [`TreeError::BadAddress`].
    pub fn visit_range(
        &self,
        store: &impl TableStore,
        start: u64,
        end: u64,
        limit: u64,
        mut visit: impl FnMut(u64, Mapping),
    ) -> Result<Progress, TreeError> {
        check_range(start, end)?;
        let mut at = start;
        let mut pages = 0;
        while let Some((address, _, entry)) = self.next_page(store, at, end) {
            if pages == limit {
                return Ok(Progress {
                    pages,
                    next: Some(address),
                });
            }
            visit(address, Mapping::decode(entry));
            pages += 1;
            at = address + PAGE_BYTES;
        }
        Ok(Progress { pages, next: None })
    }

    /// Gives the mapped pages of `[start, end)`, at most `limit` of them, the flags that `flags` says; `None` leaves a page as it is.
    /// The pages counted are those met.
    ///
    /// # Errors
    /// [`TreeError::BadAddress`].
    pub fn protect_range(
        &mut self,
        store: &mut impl TableStore,
        start: u64,
        end: u64,
        limit: u64,
        mut flags: impl FnMut(u64, Mapping) -> Option<UserFlags>,
    ) -> Result<Progress, TreeError> {
        check_range(start, end)?;
        let mut at = start;
        let mut pages = 0;
        while let Some((address, table, entry)) = self.next_page(store, at, end) {
            if pages == limit {
                return Ok(Progress {
                    pages,
                    next: Some(address),
                });
            }
            if let Some(flags) = flags(address, Mapping::decode(entry)) {
                let bits = flags.encode(self.has_nx);
                update(store, table, index(address, 1), |entry| {
                    with_flags(entry, bits)
                });
            }
            pages += 1;
            at = address + PAGE_BYTES;
        }
        Ok(Progress { pages, next: None })
    }

    /// Unmaps the mapped pages of `[start, end)`, at most `limit` of them, as long as `accept` takes them (it is asked
    /// before a page goes).
    ///
    /// # Errors
    /// [`TreeError::BadAddress`].
    pub fn unmap_range(
        &mut self,
        store: &mut impl TableStore,
        start: u64,
        end: u64,
        limit: u64,
        mut accept: impl FnMut(u64, Mapping) -> bool,
    ) -> Result<Progress, TreeError> {
        check_range(start, end)?;
        let mut at = start;
        let mut pages = 0;
        while let Some((address, _, entry)) = self.next_page(store, at, end) {
            if pages == limit || !accept(address, Mapping::decode(entry)) {
                return Ok(Progress {
                    pages,
                    next: Some(address),
                });
            }
            self.unmap(store, address);
            pages += 1;
            at = address + PAGE_BYTES;
        }
        Ok(Progress { pages, next: None })
    }

    /// Takes the whole tree apart: every table but the root goes to [`TableStore::give_back`], pages are forgotten.
    /// No core may be using the tree.
    pub fn clear(&mut self, store: &mut impl TableStore) {
        for at in 0..ENTRIES / 2 {
            let entry = store.load(self.root, at);
            if is_present(entry) {
                store.store(self.root, at, 0);
                give_back_below(store, entry & bit::ADDRESS, LEVELS - 1);
            }
        }
        self.tables = 1;
        self.pages = 0;
    }
}

/// Gives back a table of `level` and all below it.
fn give_back_below(store: &mut impl TableStore, table: u64, level: u32) {
    if level > 1 {
        for at in 0..ENTRIES {
            let entry = store.load(table, at);
            if is_present(entry) {
                give_back_below(store, entry & bit::ADDRESS, level - 1);
            }
        }
    }
    store.give_back(table);
}

/// Other flags, the same frame, and what the CPU has noted so far.
const fn with_flags(entry: u64, bits: u64) -> u64 {
    entry & (bit::ADDRESS | bit::ACCESSED | bit::DIRTY) | bits
}

/// Replaces an entry by what `new` makes of it, and returns what it was. A CPU sets each of two bits at most once meanwhile, so
/// this ends.
fn update(store: &mut impl TableStore, table: u64, index: usize, new: impl Fn(u64) -> u64) -> u64 {
    let mut current = store.load(table, index);
    loop {
        match store.exchange(table, index, current, new(current)) {
            Ok(()) => return current,
            Err(other) => current = other,
        }
    }
}
