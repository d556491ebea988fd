//! Which frame each page of a vmo has: a radix tree, sparse, whose every node is charged and may fail to come.
//!
//! Nodes have 64 entries. One level does for a vmo of 256 KiB (half a KiB of tree), two for 16 MiB, three for 1 GiB, four for 64 GiB;
//! the tree is as high as its highest page needs. Nodes without entries are freed at once.

use alloc::boxed::Box;

use abi::Error;

use super::account::Account;
use super::machine::Frame;
use crate::refs::{NoMemory, try_box};

const FANOUT: usize = 64;
const FANOUT_BITS: u32 = 6;
/// Pages a store can have: those of the largest vmo.
pub(super) const MAX_PAGES: u64 = 1 << (4 * FANOUT_BITS);

const _: () = assert!(MAX_PAGES == abi::memory::MAX_VMO_BYTES / abi::memory::PAGE_BYTES);

/// What is known of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Nothing: it was never touched, or was given back.
    Empty,
    /// The pager was asked for it.
    Wanted,
    /// The pager said that it cannot be had.
    Failed,
    /// It is in this frame.
    Held(Frame),
}

// Frames are multiples of 4096, so the low bits are free to say which it is.
const WANTED: u64 = 1;
const FAILED: u64 = 2;
const HELD: u64 = 4;

impl Slot {
    const fn pack(self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Wanted => WANTED,
            Self::Failed => FAILED,
            Self::Held(frame) => frame.address() | HELD,
        }
    }

    const fn unpack(raw: u64) -> Self {
        match raw {
            WANTED => Self::Wanted,
            FAILED => Self::Failed,
            raw => match Frame::from_address(raw & !HELD) {
                Some(frame) if raw & HELD != 0 => Self::Held(frame),
                _ => Self::Empty,
            },
        }
    }
}

/// A node with everything below it.
trait Level: Sized {
    /// Page number bits that it resolves.
    const BITS: u32;

    fn empty() -> Self;
    /// Entries in use.
    fn used(&self) -> u32;
    fn get(&self, page: u64) -> Slot;
    fn set(&mut self, page: u64, slot: Slot, account: &mut Account) -> Result<Slot, Error>;
    /// The first page at or after `from` that is not empty.
    fn next(&self, from: u64) -> Option<(u64, Slot)>;
}

struct Leaf {
    used: u32,
    slots: [u64; FANOUT],
}

impl Level for Leaf {
    const BITS: u32 = FANOUT_BITS;

    fn empty() -> Self {
        Self {
            used: 0,
            slots: [0; FANOUT],
        }
    }

    fn used(&self) -> u32 {
        self.used
    }

    fn get(&self, page: u64) -> Slot {
        Slot::unpack(self.slots[page as usize % FANOUT])
    }

    fn set(&mut self, page: u64, slot: Slot, _: &mut Account) -> Result<Slot, Error> {
        let entry = &mut self.slots[page as usize % FANOUT];
        let old = Slot::unpack(*entry);
        *entry = slot.pack();
        match (old, slot) {
            (Slot::Empty, Slot::Empty) => {}
            (Slot::Empty, _) => self.used += 1,
            (_, Slot::Empty) => self.used -= 1,
            _ => {}
        }
        Ok(old)
    }

    fn next(&self, from: u64) -> Option<(u64, Slot)> {
        (from as usize..FANOUT).find_map(|index| match Slot::unpack(self.slots[index]) {
            Slot::Empty => None,
            slot => Some((index as u64, slot)),
        })
    }
}

struct Inner<C> {
    used: u32,
    children: [Option<Box<C>>; FANOUT],
}

impl<C: Level> Inner<C> {
    const SPAN: u64 = 1 << C::BITS;

    fn index(page: u64) -> usize {
        (page >> C::BITS) as usize % FANOUT
    }
}

impl<C: Level> Level for Inner<C> {
    const BITS: u32 = C::BITS + FANOUT_BITS;

    fn empty() -> Self {
        Self {
            used: 0,
            children: [const { None }; FANOUT],
        }
    }

    fn used(&self) -> u32 {
        self.used
    }

    fn get(&self, page: u64) -> Slot {
        match &self.children[Self::index(page)] {
            Some(child) => child.get(page % Self::SPAN),
            None => Slot::Empty,
        }
    }

    fn set(&mut self, page: u64, slot: Slot, account: &mut Account) -> Result<Slot, Error> {
        let entry = &mut self.children[Self::index(page)];
        if entry.is_none() {
            if slot == Slot::Empty {
                return Ok(Slot::Empty);
            }
            *entry = Some(new_node(account)?);
            self.used += 1;
        }
        let Some(child) = entry else {
            return Ok(Slot::Empty);
        };
        let result = child.set(page % Self::SPAN, slot, account);
        if child.used() == 0 {
            *entry = None;
            self.used -= 1;
            account.give_kernel(size_of::<C>() as u64);
        }
        result
    }

    fn next(&self, from: u64) -> Option<(u64, Slot)> {
        let first = Self::index(from);
        (first..FANOUT).find_map(|index| {
            let child = self.children[index].as_ref()?;
            let inside = if index == first { from % Self::SPAN } else { 0 };
            let (page, slot) = child.next(inside)?;
            Some((index as u64 * Self::SPAN + page, slot))
        })
    }
}

fn new_node<L: Level>(account: &mut Account) -> Result<Box<L>, Error> {
    let bytes = size_of::<L>() as u64;
    account.take_kernel(bytes)?;
    try_box(L::empty()).map_err(|NoMemory| {
        account.give_kernel(bytes);
        Error::NoMemory
    })
}

type Two = Inner<Leaf>;
type Three = Inner<Two>;
type Four = Inner<Three>;

enum Root {
    None,
    One(Box<Leaf>),
    Two(Box<Two>),
    Three(Box<Three>),
    Four(Box<Four>),
}

macro_rules! with_root {
    ($root:expr, $node:ident => $some:expr, $none:expr) => {
        match $root {
            Root::None => $none,
            Root::One($node) => $some,
            Root::Two($node) => $some,
            Root::Three($node) => $some,
            Root::Four($node) => $some,
        }
    };
}

/// The frames of a vmo's pages.
pub(super) struct PageStore {
    root: Root,
    held: u64,
}

impl PageStore {
    pub(super) const fn new() -> Self {
        Self {
            root: Root::None,
            held: 0,
        }
    }

    /// Pages that have frames.
    pub(super) const fn held(&self) -> u64 {
        self.held
    }

    pub(super) fn get(&self, page: u64) -> Slot {
        if page >= self.span() {
            return Slot::Empty;
        }
        with_root!(&self.root, node => node.get(page), Slot::Empty)
    }

    /// Sets a page's slot; returns what it was. Setting a page that has a slot, or emptying one, never fails.
    pub(super) fn set(
        &mut self,
        page: u64,
        slot: Slot,
        account: &mut Account,
    ) -> Result<Slot, Error> {
        if page >= MAX_PAGES {
            return Err(Error::OutOfRange);
        }
        if page >= self.span() {
            if slot == Slot::Empty {
                return Ok(Slot::Empty);
            }
            self.raise(page, account)?;
        }
        let result =
            with_root!(&mut self.root, node => node.set(page, slot, account), Ok(Slot::Empty));
        if let Ok(old) = result {
            self.held += u64::from(matches!(slot, Slot::Held(_)));
            self.held -= u64::from(matches!(old, Slot::Held(_)));
        }
        self.drop_empty_root(account);
        result
    }

    /// The first page at or after `from` and before `end` that is not empty.
    pub(super) fn next(&self, from: u64, end: u64) -> Option<(u64, Slot)> {
        if from >= self.span() {
            return None;
        }
        let next = with_root!(&self.root, node => node.next(from), None);
        next.filter(|&(page, _)| page < end)
    }

    fn span(&self) -> u64 {
        match self.root {
            Root::None => 0,
            Root::One(_) => 1 << Leaf::BITS,
            Root::Two(_) => 1 << Two::BITS,
            Root::Three(_) => 1 << Three::BITS,
            Root::Four(_) => 1 << Four::BITS,
        }
    }

    /// Adds levels until `page` fits; what was there stays at the lowest pages.
    fn raise(&mut self, page: u64, account: &mut Account) -> Result<(), Error> {
        if let Root::None = self.root {
            self.root = match page {
                0..64 => Root::One(new_node(account)?),
                64..4096 => Root::Two(new_node(account)?),
                4096..262_144 => Root::Three(new_node(account)?),
                _ => Root::Four(new_node(account)?),
            };
        }
        while page >= self.span() {
            let error = match core::mem::replace(&mut self.root, Root::None) {
                Root::One(node) => match new_node(account) {
                    Ok(top) => {
                        self.root = Root::Two(above(top, node));
                        continue;
                    }
                    Err(error) => {
                        self.root = Root::One(node);
                        error
                    }
                },
                Root::Two(node) => match new_node(account) {
                    Ok(top) => {
                        self.root = Root::Three(above(top, node));
                        continue;
                    }
                    Err(error) => {
                        self.root = Root::Two(node);
                        error
                    }
                },
                Root::Three(node) => match new_node(account) {
                    Ok(top) => {
                        self.root = Root::Four(above(top, node));
                        continue;
                    }
                    Err(error) => {
                        self.root = Root::Three(node);
                        error
                    }
                },
                root => {
                    self.root = root;
                    Error::OutOfRange
                }
            };
            return Err(error);
        }
        Ok(())
    }

    fn drop_empty_root(&mut self, account: &mut Account) {
        let empty = with_root!(&self.root, node => node.used() == 0, false);
        if empty {
            account.give_kernel(self.root_bytes());
            self.root = Root::None;
        }
    }

    fn root_bytes(&self) -> u64 {
        let bytes = match self.root {
            Root::None => 0,
            Root::One(_) => size_of::<Leaf>(),
            Root::Two(_) => size_of::<Two>(),
            Root::Three(_) => size_of::<Three>(),
            Root::Four(_) => size_of::<Four>(),
        };
        bytes as u64
    }
}

/// Makes `child` the lowest entry of `top`, which is empty.
fn above<C: Level>(mut top: Box<Inner<C>>, child: Box<C>) -> Box<Inner<C>> {
    top.children[0] = Some(child);
    top.used = 1;
    top
}
