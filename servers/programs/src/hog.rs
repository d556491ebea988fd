//! Takes what there is, for ever: memory, a page after the other, until it gets no more, which is given back; with the argument `time`,
//! processor time; with `both`, both of them on each core.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use abi::memory::{PAGE_BYTES, VmoOp};
use rt::Env;
use rt::sys::object::Vmo;
use rt::sys::{clock, thread};

rt::entry!(main);

/// Committed at once.
const STEP_BYTES: u64 = 64 * PAGE_BYTES;
/// More than there is.
const MOST_BYTES: u64 = 32 << 30;

fn main(env: Env) -> i32 {
    match env.argument(1) {
        Some("time") => compute(),
        Some("both") => {
            for core in 0..clock::page().cores {
                let started = [
                    thread::spawn_with(thread::STACK_BYTES, core, || compute()),
                    thread::spawn_with(thread::STACK_BYTES, core, || {
                        take_memory();
                    }),
                ];
                if let Some(error) = started.into_iter().find_map(Result::err) {
                    log::error!("no thread for core {core}: {error}");
                    return 1;
                }
            }
            compute()
        }
        _ => take_memory(),
    }
}

fn take_memory() -> i32 {
    loop {
        let vmo = match Vmo::create(MOST_BYTES) {
            Ok(vmo) => vmo,
            Err(error) => {
                log::error!("no vmo: {error}");
                return 1;
            }
        };
        let mut start = 0;
        while vmo.operate(VmoOp::Commit, start, STEP_BYTES).is_ok() {
            start += STEP_BYTES;
        }
    }
}

/// Many instructions in a row, as programs have them. (A loop of one is what an emulator is slowest at.)
fn compute() -> ! {
    let mut numbers: [u64; 64] = core::array::from_fn(|index| index as u64);
    loop {
        for index in 0..numbers.len() {
            let before = numbers.get(index.wrapping_sub(1) % 64).copied();
            if let (Some(number), Some(before)) = (numbers.get_mut(index), before) {
                *number = (*number ^ before.rotate_left(7)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            }
        }
        core::hint::black_box(&mut numbers);
    }
}
