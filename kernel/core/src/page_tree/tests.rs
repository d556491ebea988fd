use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

const FREE: u64 = u64::MAX;

// Tables in vectors. Every other exchange finds that the CPU has just set the accessed bit.
struct Memory {
    tables: Vec<[u64; ENTRIES]>,
    free: BTreeSet<u64>,
    retired: BTreeSet<u64>,
    left: usize,
    exchanges: u64,
}

impl Memory {
    fn new(left: usize) -> (Self, u64) {
        let mut memory = Memory {
            tables: Vec::new(),
            free: BTreeSet::new(),
            retired: BTreeSet::new(),
            left: 1,
            exchanges: 0,
        };
        let root = memory.allocate().unwrap();
        memory.left = left;
        (memory, root)
    }

    fn table(&self, table: u64) -> &[u64; ENTRIES] {
        assert!(!self.free.contains(&table) && !self.retired.contains(&table));
        &self.tables[table as usize / 4096 - 1]
    }

    fn table_mut(&mut self, table: u64) -> &mut [u64; ENTRIES] {
        assert!(!self.free.contains(&table) && !self.retired.contains(&table));
        &mut self.tables[table as usize / 4096 - 1]
    }
}

impl TableStore for Memory {
    fn load(&self, table: u64, index: usize) -> u64 {
        self.table(table)[index]
    }

    fn store(&mut self, table: u64, index: usize, entry: u64) {
        let place = &mut self.table_mut(table)[index];
        assert!(!is_present(*place) || entry == 0);
        *place = entry;
    }

    fn exchange(&mut self, table: u64, index: usize, current: u64, new: u64) -> Result<(), u64> {
        self.exchanges += 1;
        let by_cpu = self.exchanges.is_multiple_of(2);
        let place = &mut self.table_mut(table)[index];
        if by_cpu && is_present(*place) {
            *place |= bit::ACCESSED;
        }
        if *place != current {
            return Err(*place);
        }
        *place = new;
        Ok(())
    }

    fn allocate(&mut self) -> Result<u64, TreeError> {
        if self.left == 0 {
            return Err(TreeError::OutOfFrames);
        }
        self.left -= 1;
        if let Some(table) = self.free.pop_first() {
            *self.table_mut(table) = [0; ENTRIES];
            return Ok(table);
        }
        self.tables.push([0; ENTRIES]);
        Ok(self.tables.len() as u64 * 4096)
    }

    fn give_back(&mut self, table: u64) {
        self.left += 1;
        assert!(self.free.insert(table));
        self.tables[table as usize / 4096 - 1] = [FREE; ENTRIES];
    }

    fn retire(&mut self, table: u64) {
        assert!(
            self.table(table).iter().all(|&entry| !is_present(entry)),
            "a retired table leads somewhere"
        );
        assert!(self.retired.insert(table));
    }
}

impl Memory {
    fn flush(&mut self) {
        while let Some(table) = self.retired.pop_first() {
            self.give_back(table);
        }
    }
}

// Walks all tables below `table`: counts tables and pages, and checks the counts kept in entries.
fn survey(
    memory: &Memory,
    table: u64,
    level: u32,
    base: u64,
    found: &mut BTreeMap<u64, Mapping>,
) -> (u64, u64) {
    let (mut tables, mut present) = (1, 0);
    for (index, &entry) in memory.table(table).iter().enumerate() {
        if !is_present(entry) {
            assert_eq!(entry, 0);
            continue;
        }
        present += 1;
        let address = base + index as u64 * span(level);
        if level == 1 {
            assert!(
                entry & bit::WRITABLE == 0 || entry & bit::NO_EXECUTE != 0,
                "writable and executable"
            );
            found.insert(address, Mapping::decode(entry));
            continue;
        }
        let (below, there) = survey(memory, entry & bit::ADDRESS, level - 1, address, found);
        assert_eq!(
            count_of(entry),
            there,
            "the count kept for a table at {address:#x}"
        );
        assert!(there > 0, "an empty table is still linked");
        tables += below;
    }
    (tables, present)
}

fn check(tree: &PageTree, memory: &Memory, model: &BTreeMap<u64, (u64, UserFlags)>) {
    let mut found = BTreeMap::new();
    let (tables, _) = survey(memory, tree.root(), LEVELS, 0, &mut found);
    assert_eq!((tree.tables(), tree.pages()), (tables, model.len() as u64));
    let found: BTreeMap<_, _> = found
        .into_iter()
        .map(|(address, mapping)| (address, (mapping.frame, mapping.flags)))
        .collect();
    assert_eq!(&found, model);
}

#[test]
fn flags_say_what_was_meant_with_and_without_nx() {
    for access in [
        UserAccess::Read,
        UserAccess::ReadWrite,
        UserAccess::ReadExecute,
    ] {
        let flags = UserFlags::memory(access);
        for has_nx in [false, true] {
            let bits = flags.encode(has_nx);
            assert_eq!(UserFlags::decode(bits), flags);
            assert_eq!(
                bits & bit::NO_EXECUTE == 0,
                !has_nx || access == UserAccess::ReadExecute
            );
        }
    }
    for cache in [
        UserCache::WriteBack,
        UserCache::WriteCombining,
        UserCache::Uncached,
    ] {
        for flags in [
            UserFlags::device(cache),
            UserFlags::device(cache).read_only(),
        ] {
            assert_eq!(UserFlags::decode(flags.encode(true)), flags);
            assert_ne!(flags.access(), UserAccess::ReadExecute);
        }
    }
}

#[test]
fn what_is_for_ring_0_is_not_for_ring_3_and_never_executed() {
    assert_eq!(UserFlags::READ_EXECUTE.for_ring_0(), None);
    for flags in [
        UserFlags::READ,
        UserFlags::READ_WRITE,
        UserFlags::device(UserCache::Uncached),
        UserFlags::device(UserCache::WriteCombining).read_only(),
    ] {
        let of_kernel = flags.for_ring_0().unwrap();
        let bits = of_kernel.encode(true);
        assert_eq!(bits | bit::USER, flags.encode(true));
        assert_eq!(bits & bit::USER, 0);
        assert_ne!(bits & bit::NO_EXECUTE, 0);
        assert_eq!(UserFlags::decode(bits), of_kernel);
        assert_eq!(
            UserFlags::decode(of_kernel.read_only().encode(true)),
            of_kernel.read_only()
        );
    }
}

#[test]
fn the_first_page_takes_three_tables_and_gives_them_back() {
    let (mut memory, root) = Memory::new(3);
    let mut tree = PageTree::new(root, true);
    let at = USER_END - PAGE_BYTES;
    tree.map(&mut memory, at, 0x5000, UserFlags::READ_WRITE)
        .unwrap();
    assert_eq!((tree.tables(), tree.pages(), memory.left), (4, 1, 0));
    assert_eq!(
        tree.translate(&memory, at + 5).map(|m| m.frame),
        Some(0x5000)
    );
    let gone = tree.unmap(&mut memory, at).unwrap();
    assert_eq!((gone.frame, gone.flags), (0x5000, UserFlags::READ_WRITE));
    // Cores may still walk through them: they are not free yet.
    assert_eq!(
        (tree.tables(), memory.retired.len(), memory.left),
        (1, 3, 0)
    );
    assert_eq!(tree.unmap(&mut memory, at), None);
    memory.flush();
    assert_eq!(memory.left, 3);
}

#[test]
fn a_failed_map_changes_nothing() {
    for left in 0..3 {
        let (mut memory, root) = Memory::new(left);
        let mut tree = PageTree::new(root, true);
        assert_eq!(
            tree.map(&mut memory, USER_BASE, 0, UserFlags::READ),
            Err(TreeError::OutOfFrames)
        );
        assert_eq!((tree.tables(), memory.left), (1, left));
        check(&tree, &memory, &BTreeMap::new());
    }
}

#[test]
fn addresses_outside_of_the_user_half_are_refused() {
    let (mut memory, root) = Memory::new(100);
    let mut tree = PageTree::new(root, true);
    for address in [
        0,
        USER_BASE - PAGE_BYTES,
        USER_BASE + 1,
        USER_END,
        1 << 47,
        u64::MAX << 47,
        u64::MAX - 4095,
    ] {
        let bad = TreeError::BadAddress { address };
        assert_eq!(tree.map(&mut memory, address, 0, UserFlags::READ), Err(bad));
        assert_eq!(
            tree.protect(&mut memory, address, UserFlags::READ),
            Err(bad)
        );
        assert_eq!(
            tree.replace(&mut memory, address, 0, UserFlags::READ),
            Err(bad)
        );
        assert_eq!(tree.unmap(&mut memory, address), None);
    }
    assert_eq!(tree.translate(&memory, u64::MAX), None);
    for (start, end) in [
        (0, USER_END),
        (USER_BASE, USER_END + PAGE_BYTES),
        (USER_BASE + PAGE_BYTES, USER_BASE),
        (USER_BASE, USER_BASE + 7),
    ] {
        let outcome = tree.unmap_range(&mut memory, start, end, 9, |_, _| true);
        assert!(matches!(outcome, Err(TreeError::BadAddress { .. })));
    }
    for frame in [1, 1 << 52, 1 << 63] {
        assert_eq!(
            tree.map(&mut memory, USER_BASE, frame, UserFlags::READ),
            Err(TreeError::BadFrame { frame })
        );
    }
    assert_eq!(memory.left, 100);
}

#[test]
fn what_the_cpu_noted_survives_protect() {
    let (mut memory, root) = Memory::new(3);
    let mut tree = PageTree::new(root, true);
    tree.map(&mut memory, USER_BASE, 0x5000, UserFlags::READ_WRITE)
        .unwrap();
    let (path, _) = tree.descend(&memory, USER_BASE);
    memory.table_mut(path[0])[index(USER_BASE, 1)] |= bit::DIRTY | bit::ACCESSED;
    tree.protect(&mut memory, USER_BASE, UserFlags::READ)
        .unwrap();
    let now = tree.translate(&memory, USER_BASE).unwrap();
    assert_eq!(
        (now.frame, now.flags, now.dirty, now.accessed),
        (0x5000, UserFlags::READ, true, true)
    );
}

#[test]
fn an_empty_half_is_searched_at_once() {
    let (mut memory, root) = Memory::new(9);
    let mut tree = PageTree::new(root, true);
    let pages = [USER_BASE, 0x1234_5678_9000, USER_END - PAGE_BYTES];
    for page in pages {
        tree.map(&mut memory, page, 0x5000, UserFlags::READ)
            .unwrap();
    }
    let mut met = Vec::new();
    let progress = tree
        .visit_range(&memory, USER_BASE, USER_END, 2, |at, _| met.push(at))
        .unwrap();
    assert_eq!((&met[..], progress.next), (&pages[..2], Some(pages[2])));
    tree.clear(&mut memory);
    assert_eq!((memory.left, tree.tables(), tree.pages()), (9, 1, 0));
}

#[derive(Clone, Debug)]
enum Step {
    Map(u64, u64, UserFlags),
    Replace(u64, u64, UserFlags),
    Protect(u64, UserFlags),
    Unmap(u64),
    UnmapRange(u64, u64, u64),
    ProtectRange(u64, u64, u64, UserFlags),
    Flush,
}

// Few enough pages that steps meet, spread over tables of all levels.
fn page() -> impl Strategy<Value = u64> {
    let at = |top: u64, high: u64, middle: u64, low: u64| {
        (top << 39 | high << 30 | middle << 21 | low << 12).clamp(USER_BASE, USER_END - PAGE_BYTES)
    };
    let few = || prop_oneof![Just(0u64), Just(1), Just(510), Just(511)];
    (
        prop_oneof![Just(0u64), Just(1), Just(255)],
        few(),
        few(),
        few(),
    )
        .prop_map(move |(a, b, c, d)| at(a, b, c, d))
}

fn flags() -> impl Strategy<Value = UserFlags> {
    prop_oneof![
        Just(UserFlags::READ),
        Just(UserFlags::READ_WRITE),
        Just(UserFlags::READ_EXECUTE),
        Just(UserFlags::device(UserCache::Uncached))
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let frame = || (1..50u64).prop_map(|n| n << 12);
    prop_oneof![
        6 => (page(), frame(), flags()).prop_map(|(a, f, g)| Step::Map(a, f, g)),
        2 => (page(), frame(), flags()).prop_map(|(a, f, g)| Step::Replace(a, f, g)),
        2 => (page(), flags()).prop_map(|(a, g)| Step::Protect(a, g)),
        3 => page().prop_map(Step::Unmap),
        1 => (page(), page(), 0..8u64).prop_map(|(a, b, n)| Step::UnmapRange(a.min(b), a.max(b), n)),
        1 => (page(), page(), 0..8u64, flags())
            .prop_map(|(a, b, n, g)| Step::ProtectRange(a.min(b), a.max(b), n, g)),
        1 => Just(Step::Flush),
    ]
}

proptest! {
    #[test]
    fn agrees_with_a_map_of_pages(
        tables in prop_oneof![3..12usize, Just(1000)], has_nx in Just(true), steps in prop::collection::vec(step(), 1..120)
    ) {
        let (mut memory, root) = Memory::new(tables);
        let mut tree = PageTree::new(root, has_nx);
        let mut model: BTreeMap<u64, (u64, UserFlags)> = BTreeMap::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Map(at, frame, flags) => {
                    let there = model.contains_key(&at);
                    match tree.map(&mut memory, at, frame, flags) {
                        Ok(()) => prop_assert!(model.insert(at, (frame, flags)).is_none()),
                        Err(TreeError::AlreadyMapped { address }) => prop_assert!(there && address == at),
                        Err(error) => prop_assert!(error == TreeError::OutOfFrames && memory.left < 3 && !there),
                    }
                }
                Step::Replace(at, frame, flags) => match (tree.replace(&mut memory, at, frame, flags), model.get_mut(&at)) {
                    (Ok(old), Some(place)) => {
                        prop_assert_eq!((old.frame, old.flags), *place);
                        *place = (frame, flags);
                    }
                    (outcome, None) => prop_assert_eq!(outcome, Err(TreeError::NotMapped { address: at })),
                    (outcome, Some(_)) => prop_assert!(false, "{:?}", outcome),
                },
                Step::Protect(at, flags) => match (tree.protect(&mut memory, at, flags), model.get_mut(&at)) {
                    (Ok(old), Some(place)) => {
                        prop_assert_eq!((old.frame, old.flags), *place);
                        place.1 = flags;
                    }
                    (outcome, None) => prop_assert_eq!(outcome, Err(TreeError::NotMapped { address: at })),
                    (outcome, Some(_)) => prop_assert!(false, "{:?}", outcome),
                },
                Step::Unmap(at) => {
                    let old = tree.unmap(&mut memory, at).map(|old| (old.frame, old.flags));
                    prop_assert_eq!(old, model.remove(&at));
                }
                Step::UnmapRange(start, end, limit) => {
                    let expected: Vec<u64> = model.range(start..end).map(|(&at, _)| at).collect();
                    let mut met = Vec::new();
                    let progress = tree.unmap_range(&mut memory, start, end, limit, |at, _| {
                        met.push(at);
                        true
                    });
                    let done = expected.len().min(limit as usize);
                    prop_assert_eq!(&met[..], &expected[..done]);
                    prop_assert_eq!(progress, Ok(Progress { pages: done as u64, next: expected.get(done).copied() }));
                    met.iter().for_each(|at| { model.remove(at); });
                }
                Step::ProtectRange(start, end, limit, flags) => {
                    let expected: Vec<u64> = model.range(start..end).map(|(&at, _)| at).collect();
                    let mut met = Vec::new();
                    // Every other page is left as it is.
                    let progress = tree.protect_range(&mut memory, start, end, limit, |at, _| {
                        met.push(at);
                        met.len().is_multiple_of(2).then_some(flags)
                    });
                    let done = expected.len().min(limit as usize);
                    prop_assert_eq!(&met[..], &expected[..done]);
                    prop_assert_eq!(progress, Ok(Progress { pages: done as u64, next: expected.get(done).copied() }));
                    for at in met.iter().skip(1).step_by(2) {
                        model.get_mut(at).unwrap().1 = flags;
                    }
                }
                Step::Flush => memory.flush(),
            }
            if number.is_multiple_of(6) {
                check(&tree, &memory, &model);
            }
        }
        check(&tree, &memory, &model);
        tree.clear(&mut memory);
        memory.flush();
        prop_assert_eq!(memory.left, tables, "no table is lost");
    }
}
