//! User copies: what may be copied is, what may not ends in an error that names the address.

use hal::user::copy::copy_out_words;
use hal::user::{CopyFault, USER_END, copy_in, copy_in_words, copy_out, read_u64, write_u64};

use super::Outcome;
use super::space::{CODE, DATA, LAST, LAST_DATA, NOWHERE, PAGE, Space};

fn fault(address: u64) -> Result<(), CopyFault> {
    Err(CopyFault { address })
}

pub fn all() -> Outcome {
    let space = Space::new()?;
    space.activate();
    good_ones(&space)?;
    bad_ones()
}

fn good_ones(space: &Space) -> Outcome {
    let bytes: [u8; 251] = core::array::from_fn(|index| index as u8 ^ 0x5a);
    let mut back = [0u8; 251];
    for at in [0, 1, 7, 8, 100, PAGE - 251] {
        if copy_out(DATA + at, &bytes).is_err() || space.read::<251>(at)? != bytes {
            return Err("copying out does not work");
        }
        back.fill(0);
        if copy_in(&mut back, DATA + at).is_err() || back != bytes {
            return Err("copying in does not work");
        }
    }
    let words = [1, u64::MAX, 3];
    if copy_out_words(DATA + 3, &words).is_err() || copy_in_words::<3>(DATA + 3) != Ok(words) {
        return Err("copying words does not work");
    }
    if write_u64(LAST_DATA + PAGE - 8, 0x1234_5678_9abc_def0).is_err()
        || read_u64(LAST_DATA + PAGE - 8) != Ok(0x1234_5678_9abc_def0)
    {
        return Err("a word does not come back");
    }
    // Up to the very end, across a border of pages.
    let mut end = [0u8; 100];
    if copy_in(&mut end, USER_END - 100).is_err() || end[97..] != [0x90, 0x0f, 0x05] {
        return Err("the last bytes cannot be read");
    }
    if copy_in(&mut back, LAST - 100).is_err() || back[250] != 0x90 || back[99] != 0x12 {
        return Err("a copy across two pages goes wrong");
    }
    // Nothing is anywhere.
    for nowhere in [0, DATA, NOWHERE, USER_END, USER_END + 1, u64::MAX] {
        if copy_in(&mut [], nowhere).is_err() || copy_out(nowhere, &[]).is_err() {
            return Err("no bytes cannot be copied");
        }
    }
    Ok(())
}

fn bad_ones() -> Outcome {
    let mut buffer = [0u8; 4096];
    let kernel = &raw const super::gate::FAST as u64;
    // (Address, length, where the fault is said to be.)
    let reads = [
        (0, 1, 0),
        (NOWHERE, 64, NOWHERE),
        (NOWHERE - 1, 1, NOWHERE - 1),
        (DATA + PAGE - 64, 65, DATA + PAGE),
        (DATA + PAGE - 61, 64, DATA + PAGE),
        (DATA + PAGE - 3, 4, DATA + PAGE),
        (kernel, 8, kernel),
        (USER_END - 7, 8, USER_END - 7),
        (USER_END, 1, USER_END),
        (1 << 47, 1, 1 << 47),
        (u64::MAX, 1, u64::MAX),
        (u64::MAX - 7, 64, u64::MAX - 7),
        (DATA, 4096, u64::MAX),
    ];
    for (at, len, address) in reads {
        let outcome = copy_in(&mut buffer[..len], at);
        let expected = if address == u64::MAX && at == DATA {
            Ok(())
        } else {
            fault(address)
        };
        // Quadwords may be read across the border: then the fault is at the first byte that is missing.
        if outcome != expected {
            ::log::error!(target: "selftest", "user: reading {len} bytes at {at:#x}: {outcome:x?}");
            return Err("a bad read ends in something unexpected");
        }
    }
    for (at, address) in [
        (CODE, CODE),
        (NOWHERE, NOWHERE),
        (kernel, kernel),
        (LAST, LAST),
    ] {
        if copy_out(at, &[1; 64]) != fault(address) || write_u64(at, 1) != fault(address) {
            return Err("a bad write ends in something unexpected");
        }
    }
    let bad_word = [NOWHERE, 0, kernel, USER_END - 7, USER_END, u64::MAX - 3];
    if bad_word
        .into_iter()
        .any(|at| read_u64(at) != Err(CopyFault { address: at }))
    {
        return Err("a bad word ends in something unexpected");
    }
    if hal::user::snippets::flags_and_mxcsr().0 & 1 << 18 != 0 {
        return Err("SMAP stays lifted");
    }
    Ok(())
}
