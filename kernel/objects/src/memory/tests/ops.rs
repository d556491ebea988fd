//! Operations on a few vmos and spaces, and how they are drawn.

use super::std;
use std::vec;

use proptest::prelude::*;

use super::machine::PAGE;
use crate::memory::machine::Access;

pub(super) const CORES: usize = 2;
/// Addresses that are used: few, so that operations meet.
const WINDOW: u64 = 24;

#[derive(Clone, Debug)]
pub(super) enum Op {
    Create {
        pages: u64,
    },
    Close {
        vmo: usize,
    },
    Snapshot {
        vmo: usize,
        first: u64,
        pages: u64,
    },
    Read {
        vmo: usize,
        offset: u64,
        len: usize,
    },
    Write {
        vmo: usize,
        offset: u64,
        len: usize,
        byte: u8,
    },
    Commit {
        vmo: usize,
        first: u64,
        pages: u64,
    },
    Decommit {
        vmo: usize,
        first: u64,
        pages: u64,
    },
    Resize {
        vmo: usize,
        pages: u64,
    },
    Map {
        space: usize,
        vmo: usize,
        first: u64,
        pages: u64,
        at: u64,
        access: Access,
    },
    Unmap {
        space: usize,
        at: u64,
        pages: u64,
    },
    Protect {
        space: usize,
        at: u64,
        pages: u64,
        access: Access,
    },
    Load {
        space: usize,
        core: usize,
        at: u64,
    },
    Store {
        space: usize,
        core: usize,
        at: u64,
        byte: u8,
    },
    Execute {
        space: usize,
        core: usize,
        at: u64,
    },
    Poke {
        space: usize,
        at: u64,
        byte: u8,
    },
    Fork {
        space: usize,
        into: usize,
    },
}

fn access() -> impl Strategy<Value = Access> {
    prop_oneof![
        1 => Just(Access::Read),
        4 => Just(Access::ReadWrite),
        1 => Just(Access::ReadExecute)
    ]
}

/// Bytes where pages begin and end, and in between.
fn byte_in(pages: u64) -> impl Strategy<Value = u64> {
    (0..pages, prop::sample::select(&[0, 1, 77, PAGE - 1][..]))
        .prop_map(|(page, offset)| page * PAGE + offset)
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    let vmo = 0usize..6;
    let space = 0usize..3;
    let core = 0..CORES;
    let at = 0..WINDOW;
    prop_oneof![
        2 => (1u64..9).prop_map(|pages| Op::Create { pages }),
        1 => vmo.clone().prop_map(|vmo| Op::Close { vmo }),
        3 => (vmo.clone(), 0u64..8, 1u64..9)
            .prop_map(|(vmo, first, pages)| Op::Snapshot { vmo, first, pages }),
        3 => (vmo.clone(), byte_in(9), 0usize..5000)
            .prop_map(|(vmo, offset, len)| Op::Read { vmo, offset, len }),
        5 => (vmo.clone(), byte_in(9), 0usize..5000, any::<u8>())
            .prop_map(|(vmo, offset, len, byte)| Op::Write { vmo, offset, len, byte }),
        1 => (vmo.clone(), 0u64..8, 1u64..9)
            .prop_map(|(vmo, first, pages)| Op::Commit { vmo, first, pages }),
        2 => (vmo.clone(), 0u64..8, 1u64..9)
            .prop_map(|(vmo, first, pages)| Op::Decommit { vmo, first, pages }),
        2 => (vmo.clone(), 0u64..10).prop_map(|(vmo, pages)| Op::Resize { vmo, pages }),
        6 => (space.clone(), vmo, 0u64..8, 1u64..9, at.clone(), access()).prop_map(
            |(space, vmo, first, pages, at, access)| Op::Map {
                space, vmo, first, pages, at, access,
            }
        ),
        3 => (space.clone(), at.clone(), 1u64..6)
            .prop_map(|(space, at, pages)| Op::Unmap { space, at, pages }),
        3 => (space.clone(), at.clone(), 1u64..6, access())
            .prop_map(|(space, at, pages, access)| Op::Protect { space, at, pages, access }),
        8 => (space.clone(), core.clone(), byte_in(WINDOW))
            .prop_map(|(space, core, at)| Op::Load { space, core, at }),
        8 => (space.clone(), core.clone(), byte_in(WINDOW), any::<u8>())
            .prop_map(|(space, core, at, byte)| Op::Store { space, core, at, byte }),
        2 => (space.clone(), core, byte_in(WINDOW))
            .prop_map(|(space, core, at)| Op::Execute { space, core, at }),
        2 => (space.clone(), byte_in(WINDOW), any::<u8>())
            .prop_map(|(space, at, byte)| Op::Poke { space, at, byte }),
        2 => (space.clone(), space).prop_map(|(space, into)| Op::Fork { space, into }),
    ]
}
