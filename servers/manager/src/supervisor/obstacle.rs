//! What keeps a unit from starting.

use alloc::string::String;

use super::Supervisor;

/// Why a unit does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle<'a> {
    /// This unit is not ready.
    Unit(usize),
    /// The handle is not there.
    Resource(&'a str),
}

impl Supervisor {
    /// What keeps a waiting unit from starting.
    pub(super) fn obstacle(&self, index: usize) -> Option<Obstacle<'_>> {
        let before = self.plan.before(index).iter();
        let unready = before
            .copied()
            .find(|&other| !self.is_ready(other))
            .map(Obstacle::Unit);
        unready.or_else(|| {
            let needs = self.plan.manifest(index)?.needs.iter();
            needs
                .map(String::as_str)
                .find(|need| {
                    let known = self.resources.iter().find(|known| known.name == **need);
                    known.is_none_or(|known| !known.there)
                })
                .map(Obstacle::Resource)
        })
    }
}
