//! What keeps a unit from starting.

use alloc::string::String;

use proto::PciRow;

use super::{State, Supervisor};

/// Why a unit does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle<'a> {
    /// This unit is not ready.
    Unit(usize),
    /// The handle is not there.
    Resource(&'a str),
    /// Its devices are not open.
    Devices,
}

impl Supervisor {
    /// What keeps a waiting unit from starting.
    pub(super) fn obstacle(&self, index: usize) -> Option<Obstacle<'_>> {
        let before = self.plan.before(index).iter();
        let unready = before
            .copied()
            .find(|&other| !self.is_ready(other))
            .map(Obstacle::Unit);
        let missing = unready.or_else(|| {
            let needs = self.plan.manifest(index)?.needs.iter();
            needs
                .map(String::as_str)
                .find(|need| {
                    let known = self.resources.iter().find(|known| known.name == **need);
                    known.is_none_or(|known| !known.there)
                })
                .map(Obstacle::Resource)
        });
        missing.or_else(|| {
            let drives = !self.plan.manifest(index)?.devices.is_empty();
            (drives && !self.has_devices(index)).then_some(Obstacle::Devices)
        })
    }

    /// Whether a unit waits for its devices, and for nothing else.
    #[must_use]
    pub fn wants_devices(&self, index: usize) -> bool {
        let unit = self.units.get(index);
        unit.is_some_and(|unit| unit.state == State::Waiting)
            && !self.shutting_down
            && self.obstacle(index) == Some(Obstacle::Devices)
    }

    /// Whether a unit's devices are open for its next instance.
    #[must_use]
    pub fn has_devices(&self, index: usize) -> bool {
        self.units.get(index).is_some_and(|unit| unit.has_devices)
    }

    /// Says that all devices of a unit are open for its next instance. Follow with [`tick`](Self::tick).
    pub fn offer_devices(&mut self, index: usize) {
        if let Some(unit) = self.units.get_mut(index) {
            unit.has_devices = true;
        }
    }

    /// The entry by which a unit drives this device: of all units that are enabled, and this one, it names the device most exactly,
    /// or as exactly as others and comes first.
    #[must_use]
    pub fn device(&self, index: usize, row: &PciRow) -> Option<&str> {
        let mut best: Option<(u8, usize, &str)> = None;
        for (unit, state) in self.units.iter().enumerate() {
            let Some(manifest) = self.plan.manifest(unit) else {
                continue;
            };
            if !state.enabled && unit != index {
                continue;
            }
            for entry in &manifest.devices {
                let Some(exactness) = entry.device.matches(row) else {
                    continue;
                };
                if best.is_none_or(|(known, ..)| exactness < known) {
                    best = Some((exactness, unit, &entry.text));
                }
            }
        }
        best.and_then(|(_, unit, text)| (unit == index).then_some(text))
    }
}
