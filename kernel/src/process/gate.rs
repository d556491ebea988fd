//! System calls that are answered inside the gate, with interrupts off and without leaving ring 0's entry path.

use abi::Call;
use hal::user::{self, FastFn, FastResult};

use super::clock;

extern "sysv64" fn nop(_: u64, _: u64, _: u64, _: u64, _: u64, _: u64) -> FastResult {
    #[cfg(feature = "inject")]
    inject::at(inject::Point::NullCall);
    FastResult::one(0)
}

extern "sysv64" fn clock_get(_: u64, _: u64, _: u64, _: u64, _: u64, _: u64) -> FastResult {
    FastResult::one(clock::now_ns())
}

static TABLE: [FastFn; user::FAST_COUNT] = {
    let mut table = [user::fast::NOT_FAST; user::FAST_COUNT];
    table[Call::Nop as usize] = nop;
    table[Call::ClockGet as usize] = clock_get;
    table
};

const _: () = assert!(user::FAST_COUNT as u64 == abi::call::FAST_COUNT);
const _: () = assert!(user::CALL_NUMBER == Call::Call as u64);
const _: () = assert!(user::USER_END == abi::memory::USER_END);

/// Opens the gate.
pub fn open() {
    user::install_fast_table(&TABLE);
}
