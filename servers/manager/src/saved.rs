//! What the manager writes down for its next instance, in the `state` vmo that the kernel keeps.
//!
//! The kernel gives the next instance the handle table of the last one, so a handle's number is all there is to write. Two halves
//! of the vmo take turns: a record is written to the half that does not hold the last one, its head last, so that dying at any
//! moment leaves one that is whole. A head is a magic number, a rising sequence number, the record's length and a checksum.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::supervisor::Snapshot;

/// "RAEDEMG1", little-endian.
const MAGIC: u64 = u64::from_le_bytes(*b"RAEDEMG1");
/// Bytes of a record's head.
pub const HEAD_BYTES: usize = 32;

/// The handles of a unit's instance, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedUnit {
    /// The unit's name.
    pub name: String,
    /// The instance's job.
    pub job: u64,
    /// Its process.
    pub process: u64,
    /// Our end of what it puts out; 0 if it was closed.
    pub output: u64,
    /// Our end of the channel by which it gets devices; 0 if its manifest does not want that.
    pub plugs: u64,
    /// What asks it to end; 0 if its manifest does not want that.
    pub stop: u64,
    /// Its reservation; 0 for best effort.
    pub reservation: u64,
    /// The endpoints of its services, by name.
    pub offers: Vec<(String, u64)>,
    /// Its state vmos, by name; they stay when the instance goes.
    pub state: Vec<(String, u64)>,
}

/// A program that was started for somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedProgram {
    /// Its process id.
    pub id: u64,
    /// Its process.
    pub process: u64,
    /// Its job.
    pub job: u64,
}

/// All that is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// What the units are doing.
    pub units: Snapshot,
    /// Where they call.
    pub endpoint: u64,
    /// Their handles.
    pub handles: Vec<SavedUnit>,
    /// Programs.
    pub programs: Vec<SavedProgram>,
    /// Handles that came to be passed on since the start.
    pub resources: Vec<(String, u64)>,
}

impl Saved {
    /// The numbers of all handles in it.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        let units = self.handles.iter().flat_map(|unit| {
            let own = [
                unit.job,
                unit.process,
                unit.output,
                unit.plugs,
                unit.stop,
                unit.reservation,
            ];
            let named = unit.offers.iter().chain(&unit.state);
            own.into_iter().chain(named.map(|(_, handle)| *handle))
        });
        let programs = self
            .programs
            .iter()
            .flat_map(|program| [program.process, program.job]);
        let resources = self.resources.iter().map(|(_, handle)| *handle);
        units
            .chain(programs)
            .chain(resources)
            .chain([self.endpoint])
    }
}

/// 64 bits of FNV-1a (Fowler, Noll, Vo): finds a record that was cut or overwritten.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A record's head.
#[must_use]
pub fn head(sequence: u64, record: &[u8]) -> [u8; HEAD_BYTES] {
    let words = [MAGIC, sequence, record.len() as u64, checksum(record)];
    let mut head = [0; HEAD_BYTES];
    for (place, word) in head.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    head
}

/// The sequence number and record in one half of the vmo, if there is a whole one.
#[must_use]
pub fn record(half: &[u8]) -> Option<(u64, &[u8])> {
    let (head, rest) = half.split_at_checked(HEAD_BYTES)?;
    let (words, _) = head.as_chunks::<8>();
    let [magic, sequence, len, sum] = words else {
        return None;
    };
    let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
    let record = rest.get(..len)?;
    let whole = u64::from_le_bytes(*magic) == MAGIC && u64::from_le_bytes(*sum) == checksum(record);
    whole.then_some((u64::from_le_bytes(*sequence), record))
}

/// The last record in the vmo's bytes, and its sequence number; 0 and `None` if there is none.
#[must_use]
pub fn last(bytes: &[u8]) -> (u64, Option<Saved>) {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let newest = [record(first), record(second)]
        .into_iter()
        .flatten()
        .max_by_key(|(sequence, _)| *sequence);
    match newest {
        Some((sequence, record)) => (sequence, postcard::from_bytes(record).ok()),
        None => (0, None),
    }
}

/// Which half the record of this sequence number belongs into: 0 or 1.
#[must_use]
pub const fn half(sequence: u64) -> u64 {
    sequence & 1
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;
    use crate::manifest::Manifest;
    use crate::plan::Plan;
    use crate::supervisor::Supervisor;

    fn saved(endpoint: u64) -> Saved {
        let (plan, _) = Plan::new(vec![Manifest::new("a"), Manifest::new("b")]);
        Saved {
            units: Supervisor::new(plan).snapshot(),
            endpoint,
            handles: vec![SavedUnit {
                name: "a".into(),
                job: 1,
                process: 2,
                state: vec![("cells".into(), 3)],
                ..SavedUnit::default()
            }],
            programs: vec![SavedProgram {
                id: 9,
                process: 4,
                job: 5,
            }],
            resources: vec![("terminal.serial".into(), 6)],
        }
    }

    /// Writes a record as the manager does, but only the first `most` bytes of it all: the record, then its head.
    fn write(bytes: &mut [u8], sequence: u64, saved: &Saved, most: usize) {
        let record = postcard::to_allocvec(saved).expect("memory");
        let start = half(sequence) as usize * bytes.len() / 2;
        let body = record.len().min(most);
        bytes[start + HEAD_BYTES..][..body].copy_from_slice(&record[..body]);
        let head = head(sequence, &record);
        let rest = (most - body).min(HEAD_BYTES);
        bytes[start..][..rest].copy_from_slice(&head[..rest]);
    }

    #[test]
    fn the_newest_whole_record_counts() {
        let mut bytes = vec![0; 2000];
        assert_eq!(last(&bytes), (0, None));
        for sequence in 1..6 {
            write(&mut bytes, sequence, &saved(sequence), usize::MAX);
            assert_eq!(last(&bytes), (sequence, Some(saved(sequence))));
        }
        let mut numbers: Vec<u64> = saved(7).numbers().filter(|&number| number != 0).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn dying_while_writing_leaves_the_one_before(most in 0_usize..400) {
            let mut bytes = vec![0; 2000];
            write(&mut bytes, 1, &saved(1), usize::MAX);
            write(&mut bytes, 2, &saved(2), usize::MAX);
            write(&mut bytes, 3, &saved(3), most);
            let (sequence, found) = last(&bytes);
            prop_assert!(sequence == 2 || sequence == 3);
            prop_assert_eq!(found, Some(saved(sequence)));
        }

        #[test]
        fn garbage_is_no_record(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = last(&bytes);
        }
    }
}
