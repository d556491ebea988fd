//! Privileged instructions, flags, and the registers around a system call.

use abi::Error;
use rt::sys::provoke::{self, Flag, Instruction};

use crate::{Attack, Outcome, holds};

pub(crate) const ATTACKS: &[Attack] = &[
    Attack::holds("direction-flag", || flag(Flag::Direction)),
    Attack::holds("nested-task-flag", || flag(Flag::NestedTask)),
    Attack::holds("alignment-check-flag", || flag(Flag::AlignmentCheck)),
    Attack::holds("resume-flag", || flag(Flag::Resume)),
    Attack::holds("identification-flag", || flag(Flag::Identification)),
    Attack::holds("io-privilege-flag", || {
        let (rax, flags) = provoke::call_with_flag(Flag::IoPrivilege);
        holds(rax == 0 && flags & Flag::IoPrivilege as u64 == 0)
    }),
    Attack::holds("call-with-null-stack", || {
        holds(provoke::call_without_stack(0) == 0)
    }),
    Attack::holds("call-with-kernel-stack", || {
        holds(provoke::call_without_stack(0xffff_8000_0000_1000) == 0)
    }),
    Attack::holds("call-with-non-canonical-stack", || {
        holds(provoke::call_without_stack(1 << 47) == 0)
    }),
];

/// The null call works with the flag set.
fn flag(flag: Flag) -> Outcome {
    let (rax, _) = provoke::call_with_flag(flag);
    Error::check(rax)
}

/// The names of all instructions, each an attack that ends the process.
pub(crate) fn instruction_names() -> impl Iterator<Item = &'static str> {
    Instruction::ALL.iter().map(|(name, _)| *name)
}

/// Executes the instruction of this name; `false` if there is none. `true` is a surprise.
pub(crate) fn execute(name: &str) -> bool {
    match Instruction::ALL.iter().find(|(known, _)| *known == name) {
        Some((_, instruction)) => {
            instruction.execute();
            true
        }
        None => false,
    }
}
