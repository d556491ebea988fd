//! Mapping a vmo from its beginning, readable and writable.

use abi::Rights;

use super::machine::Model;
use crate::memory::machine::Access;
use crate::memory::space::{Inherit, MapArgs, Place, Space};
use crate::memory::vmo::Vmo;
use crate::refs::Ref;

/// Of the handle it is mapped through.
pub(super) const RIGHTS: Rights = Rights::READ.union(Rights::WRITE).union(Rights::MAP);

/// The first `len` bytes of `vmo`.
pub(super) fn args<'a>(vmo: &'a Ref<Vmo<Model>>, len: u64, place: Place) -> MapArgs<'a, Model> {
    MapArgs {
        vmo,
        offset: 0,
        len,
        place,
        access: Access::ReadWrite,
        rights: RIGHTS,
        guarded: false,
        lease: None,
        inherit: Inherit::Copy,
    }
}

/// All of `vmo`, at `address`.
pub(super) fn map(space: &Space<Model>, vmo: &Ref<Vmo<Model>>, address: u64) {
    space
        .map(&args(vmo, vmo.bytes(), Place::Fixed(address)))
        .unwrap();
}
