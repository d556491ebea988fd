//! Which units there are, and in which order they can start.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::manifest::{MAX_UNITS, Manifest, ManifestError, Problem};

/// Manifests that fit together, in an order in which each comes behind those it needs, by name where that leaves a choice.
/// A unit is known by its index here.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    units: Vec<Planned>,
}

#[derive(Clone, Debug)]
struct Planned {
    manifest: Manifest,
    /// Units that must be ready before it starts.
    before: Vec<usize>,
}

impl Plan {
    /// Plans `manifests`. Those that do not fit are left out, with all that need them, and said why: a bad manifest does not
    /// keep the rest of the system from starting.
    #[must_use]
    pub fn new(mut manifests: Vec<Manifest>) -> (Self, Vec<ManifestError>) {
        manifests.sort_by(|a, b| a.name.cmp(&b.name));
        let mut errors = Vec::new();
        let mut seen: Vec<String> = Vec::new();
        manifests.retain(|manifest| {
            let problem = if seen.contains(&manifest.name) {
                Problem::Twice(manifest.name.clone())
            } else if seen.len() == MAX_UNITS {
                Problem::TooMany(MAX_UNITS)
            } else {
                seen.push(manifest.name.clone());
                return true;
            };
            errors.push(error(manifest, "", problem));
            false
        });
        let mut offered: Vec<(String, String)> = Vec::new();
        manifests.retain(|manifest| {
            let taken = manifest.offers.iter().find_map(|service| {
                offered
                    .iter()
                    .find(|(other, unit)| other == service && *unit != manifest.name)
            });
            if let Some((_, unit)) = taken {
                errors.push(error(
                    manifest,
                    "offers",
                    Problem::OfferedTwice(unit.clone()),
                ));
                return false;
            }
            let services = manifest.offers.iter();
            offered.extend(services.map(|service| (service.clone(), manifest.name.clone())));
            true
        });
        while let Some((index, problem)) = first_unmet(&manifests) {
            let manifest = manifests.remove(index);
            errors.push(problem(&manifest));
        }
        let (units, circular) = sorted(manifests);
        let mut plan = Self { units };
        if !circular.is_empty() {
            let names: Vec<&str> = circular.iter().map(|unit| unit.name.as_str()).collect();
            let names = names.join(", ");
            for manifest in &circular {
                errors.push(error(manifest, "", Problem::Cycle(names.clone())));
            }
        }
        plan.units.shrink_to_fit();
        (plan, errors)
    }

    /// How many units there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.units.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// A unit's manifest.
    #[must_use]
    pub fn manifest(&self, unit: usize) -> Option<&Manifest> {
        self.units.get(unit).map(|unit| &unit.manifest)
    }

    /// The unit of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        self.units
            .iter()
            .position(|unit| unit.manifest.name == name)
    }

    /// The unit that offers this service.
    #[must_use]
    pub fn provider(&self, service: &str) -> Option<usize> {
        self.units
            .iter()
            .position(|unit| unit.manifest.offers.iter().any(|offer| offer == service))
    }

    /// The units that must be ready before this one starts; all have lower indices.
    #[must_use]
    pub fn before(&self, unit: usize) -> &[usize] {
        self.units.get(unit).map_or(&[], |unit| &unit.before)
    }

    /// The units that need this one, all of higher indices.
    pub fn dependents(&self, unit: usize) -> impl Iterator<Item = usize> {
        (unit + 1..self.units.len()).filter(move |&other| self.before(other).contains(&unit))
    }
}

fn error(manifest: &Manifest, key: &str, problem: Problem) -> ManifestError {
    ManifestError {
        file: format!("manifests/{}.toml", manifest.name),
        line: 0,
        key: key.to_owned(),
        problem,
    }
}

/// The first manifest that needs what is not there, and how to say so.
fn first_unmet(
    manifests: &[Manifest],
) -> Option<(usize, impl FnOnce(&Manifest) -> ManifestError + use<>)> {
    manifests.iter().enumerate().find_map(|(index, manifest)| {
        let no_unit = manifest
            .after
            .iter()
            .find(|name| !manifests.iter().any(|other| other.name == **name))
            .map(|name| ("after", Problem::NoUnit(name.clone())));
        let no_service = manifest
            .uses
            .iter()
            .find(|service| !manifests.iter().any(|other| other.offers.contains(service)))
            .map(|service| ("uses", Problem::NoService(service.clone())));
        let (key, problem) = no_unit.or(no_service)?;
        Some((index, move |manifest: &Manifest| {
            error(manifest, key, problem)
        }))
    })
}

/// Whether `manifest` needs `other` to be ready first.
fn needs(manifest: &Manifest, other: &Manifest) -> bool {
    manifest.after.contains(&other.name)
        || manifest
            .uses
            .iter()
            .any(|service| other.offers.contains(service))
}

/// The manifests in order; and those that are in a circle or need one that is.
fn sorted(mut left: Vec<Manifest>) -> (Vec<Planned>, Vec<Manifest>) {
    let mut units: Vec<Planned> = Vec::new();
    while let Some(next) = left
        .iter()
        .position(|manifest| !left.iter().any(|other| needs(manifest, other)))
    {
        let manifest = left.remove(next);
        let before = units
            .iter()
            .enumerate()
            .filter(|(_, unit)| needs(&manifest, &unit.manifest))
            .map(|(index, _)| index)
            .collect();
        units.push(Planned { manifest, before });
    }
    (units, left)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    fn unit(name: &str, after: &[&str], uses: &[&str], offers: &[&str]) -> Manifest {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Manifest {
            after: owned(after),
            uses: owned(uses),
            offers: owned(offers),
            ..Manifest::new(name)
        }
    }

    fn names(plan: &Plan) -> Vec<&str> {
        (0..plan.len())
            .filter_map(|unit| Some(plan.manifest(unit)?.name.as_str()))
            .collect()
    }

    #[test]
    fn needs_come_first_and_names_break_ties() {
        let (plan, errors) = Plan::new(vec![
            unit("zero", &[], &[], &[]),
            unit("shell", &["zero"], &["files"], &[]),
            unit("fs", &[], &["disk"], &["files"]),
            unit("ahci", &[], &[], &["disk"]),
        ]);
        assert_eq!(errors, []);
        assert_eq!(names(&plan), ["ahci", "fs", "zero", "shell"]);
        assert_eq!(plan.before(3), [1, 2]);
        assert_eq!(plan.dependents(0).collect::<Vec<_>>(), [1]);
        assert_eq!(plan.provider("files"), plan.find("fs"));
        assert_eq!(plan.provider("zero"), None);
    }

    #[test]
    fn circles_are_refused_and_named() {
        let (plan, errors) = Plan::new(vec![
            unit("a", &["b"], &[], &[]),
            unit("b", &["c"], &[], &[]),
            unit("c", &["a"], &[], &[]),
            unit("d", &["a"], &[], &[]),
            unit("e", &["e"], &[], &[]),
            unit("f", &[], &[], &[]),
        ]);
        assert_eq!(names(&plan), ["f"]);
        assert_eq!(errors.len(), 5);
        assert_eq!(
            errors[0].to_string(),
            "manifests/a.toml: these need each other in a circle: a, b, c, d, e"
        );
    }

    #[test]
    fn what_needs_a_missing_one_goes_with_it() {
        let (plan, errors) = Plan::new(vec![
            unit("a", &["nothere"], &[], &["x"]),
            unit("b", &[], &["x"], &[]),
            unit("c", &[], &[], &["y"]),
            unit("d", &[], &[], &["y"]),
            unit("c", &[], &[], &[]),
        ]);
        assert_eq!(names(&plan), ["c"]);
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "manifests/c.toml: \"c\" is there twice",
                "manifests/d.toml: offers: the unit \"c\" offers the same",
                "manifests/a.toml: after: there is no unit \"nothere\"",
                "manifests/b.toml: uses: no unit offers \"x\"",
            ]
        );
    }
}
