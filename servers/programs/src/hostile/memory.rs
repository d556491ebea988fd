//! Memory that is not the program's, or not for that use; and asking for such memory.

use abi::memory::{MAX_VMO_BYTES, MapFlags, USER_END};
use abi::{Call, Error, Rights};
use rt::sys::object::{Object, Vmo};
use rt::sys::process::this_process;
use rt::sys::{clock, provoke, thread};

use crate::{Attack, Outcome, call, holds};

/// Where kernels have their memory.
const KERNEL: u64 = 0xffff_8000_0000_0000;
/// The top of the kernel's half.
const KERNEL_IMAGE: u64 = 0xffff_ffff_8000_0000;
/// The first address that is none.
const NON_CANONICAL: u64 = 1 << 47;
const PAGE: u64 = 4096;
/// A region of this size has a place of its own.
const LARGE: u64 = 2 << 20;

const BAD_PLACE: &[Error] = &[Error::BadArgument, Error::BadAddress, Error::OutOfRange];

pub(crate) const ATTACKS: &[Attack] = &[
    Attack::crash("null-read", || Ok(provoke::read(0).into())),
    Attack::crash("null-page-read", || Ok(provoke::read(0xfff8).into())),
    Attack::crash("null-write", || write(0)),
    Attack::crash("null-execute", || execute(0)),
    Attack::crash("kernel-read", || Ok(provoke::read(KERNEL).into())),
    Attack::crash("kernel-write", || write(KERNEL)),
    Attack::crash("kernel-execute", || execute(KERNEL)),
    Attack::crash("kernel-image-read", || {
        Ok(provoke::read(KERNEL_IMAGE).into())
    }),
    Attack::crash("kernel-top-read", || Ok(provoke::read(u64::MAX).into())),
    Attack::crash("non-canonical-read", || {
        Ok(provoke::read(NON_CANONICAL).into())
    }),
    Attack::crash("non-canonical-write", || write(NON_CANONICAL)),
    Attack::crash("user-end-read", || Ok(provoke::read(USER_END).into())),
    Attack::crash("last-page-execute", || execute(NON_CANONICAL - 2)),
    Attack::crash("code-write", || write(provoke::code_address())),
    Attack::crash("data-execute", || execute(provoke::RETURN.as_ptr() as u64)),
    Attack::crash("stack-execute", || {
        let code = [0xc3_u8; 16];
        execute(core::hint::black_box(&code).as_ptr() as u64)
    }),
    Attack::crash("heap-execute", || {
        let code = alloc::vec![0xc3_u8; 4096];
        execute(core::hint::black_box(&code).as_ptr() as u64)
    }),
    Attack::crash("time-page-write", || {
        write(core::ptr::from_ref(clock::page()) as u64)
    }),
    Attack::crash("constant-write", || write(ATTACKS.as_ptr() as u64)),
    Attack::crash("stack-overflow", || Ok(provoke::exhaust_stack())),
    Attack::crash("thread-stack-overflow", || {
        let thread = thread::spawn(|| {
            provoke::exhaust_stack();
        })?;
        thread.join_blocking(abi::FOREVER)?;
        Ok(0)
    }),
    Attack::crash("guard-page-write", || {
        let mapping = Vmo::create(PAGE)?.map(0, PAGE, MapFlags::WRITE | MapFlags::GUARDS)?;
        write(mapping.address() + PAGE)
    }),
    Attack::crash("unmapped-read", || {
        let mapping = Vmo::create(PAGE)?.map(0, PAGE, MapFlags::WRITE)?;
        let address = mapping.address();
        drop(mapping);
        Ok(provoke::read(address).into())
    }),
    Attack::crash("read-only-write", || {
        let mapping = Vmo::create(PAGE)?.map(0, PAGE, MapFlags::empty())?;
        write(mapping.address())
    }),
    Attack::crash("resized-away-read", || {
        let vmo = Vmo::create(2 * PAGE)?;
        let mapping = vmo.map(0, 2 * PAGE, MapFlags::WRITE)?;
        let _ = provoke::read(mapping.address() + PAGE);
        vmo.resize(PAGE)?;
        Ok(provoke::read(mapping.address() + PAGE).into())
    }),
    Attack::crash("revoked-mapping-read", || {
        let (leased, lease) = Vmo::create(PAGE)?.lease(Rights::READ | Rights::MAP)?;
        let mapping = leased.map(0, PAGE, MapFlags::empty())?;
        let _ = provoke::read(mapping.address());
        lease.revoke()?;
        Ok(provoke::read(mapping.address()).into())
    }),
    Attack::refused("map-write-execute", &[Error::WriteExecute], || {
        map(PAGE, 0, PAGE, 0, MapFlags::WRITE | MapFlags::EXECUTE)
    }),
    Attack::refused("protect-write-execute", &[Error::WriteExecute], || {
        let mapping = Vmo::create(PAGE)?.map(0, PAGE, MapFlags::WRITE)?;
        protect(mapping.address(), PAGE, MapFlags::WRITE | MapFlags::EXECUTE)
    }),
    Attack::refused(
        "protect-code-writable",
        &[Error::NoRight, Error::WriteExecute],
        || {
            let page = provoke::code_address() & !(PAGE - 1);
            protect(page, PAGE, MapFlags::WRITE)
        },
    ),
    Attack::refused("protect-beyond-rights", &[Error::NoRight], || {
        let vmo = Vmo::create(PAGE)?.duplicate(Rights::READ | Rights::MAP)?;
        let mapping = vmo.map(0, PAGE, MapFlags::empty())?;
        protect(mapping.address(), PAGE, MapFlags::WRITE)
    }),
    Attack::refused("map-without-map-right", &[Error::NoRight], || {
        let vmo = Vmo::create(PAGE)?.duplicate(Rights::READ | Rights::WRITE)?;
        vmo.map(0, PAGE, MapFlags::empty()).map(|_| 0)
    }),
    Attack::refused("map-without-write-right", &[Error::NoRight], || {
        let vmo = Vmo::create(PAGE)?.duplicate(Rights::READ | Rights::MAP)?;
        vmo.map(0, PAGE, MapFlags::WRITE).map(|_| 0)
    }),
    Attack::refused("map-without-execute-right", &[Error::NoRight], || {
        let vmo = Vmo::create(PAGE)?.duplicate(Rights::READ | Rights::MAP)?;
        vmo.map(0, PAGE, MapFlags::EXECUTE).map(|_| 0)
    }),
    Attack::refused("map-kernel", BAD_PLACE, || {
        map(PAGE, 0, PAGE, KERNEL, MapFlags::FIXED)
    }),
    Attack::refused("map-null", BAD_PLACE, || {
        map(PAGE, 0, PAGE, 0, MapFlags::FIXED)
    }),
    Attack::refused("map-user-end", BAD_PLACE, || {
        map(PAGE, 0, PAGE, USER_END, MapFlags::FIXED)
    }),
    Attack::refused("map-across-user-end", BAD_PLACE, || {
        map(2 * PAGE, 0, 2 * PAGE, USER_END - PAGE, MapFlags::FIXED)
    }),
    Attack::refused("map-non-canonical", BAD_PLACE, || {
        map(PAGE, 0, PAGE, NON_CANONICAL, MapFlags::FIXED)
    }),
    Attack::refused("map-unaligned-address", &[Error::BadArgument], || {
        map(PAGE, 0, PAGE, 0x10_0001, MapFlags::FIXED)
    }),
    Attack::refused("map-unaligned-length", &[Error::BadArgument], || {
        map(PAGE, 0, 100, 0, MapFlags::empty())
    }),
    Attack::refused("map-unaligned-offset", &[Error::BadArgument], || {
        map(2 * PAGE, 8, PAGE, 0, MapFlags::empty())
    }),
    Attack::refused(
        "map-nothing",
        &[Error::BadArgument, Error::OutOfRange],
        || map(PAGE, 0, 0, 0, MapFlags::empty()),
    ),
    Attack::refused("map-beyond-vmo", &[Error::OutOfRange], || {
        map(PAGE, PAGE, PAGE, 0, MapFlags::empty())
    }),
    Attack::refused(
        "map-offset-overflow",
        &[Error::OutOfRange, Error::BadArgument],
        || {
            map(
                PAGE,
                0_u64.wrapping_sub(PAGE),
                2 * PAGE,
                0,
                MapFlags::empty(),
            )
        },
    ),
    Attack::refused("map-occupied", &[Error::Occupied], || {
        let mapping = Vmo::create(PAGE)?.map(0, PAGE, MapFlags::WRITE)?;
        map(PAGE, 0, PAGE, mapping.address(), MapFlags::FIXED)
    }),
    Attack::refused("map-over-code", &[Error::Occupied], || {
        let page = provoke::code_address() & !(PAGE - 1);
        map(PAGE, 0, PAGE, page, MapFlags::FIXED | MapFlags::WRITE)
    }),
    Attack::refused("map-unknown-flags", &[Error::BadArgument], || {
        map(PAGE, 0, PAGE, 0, MapFlags::from_bits_retain(1 << 31))
    }),
    Attack::refused("map-as-constant", &[Error::Unsupported], || {
        map(PAGE, 0, PAGE, 0, MapFlags::CONSTANT)
    }),
    Attack::refused("unmap-kernel", BAD_PLACE, || {
        call(Call::Unmap, [this(), KERNEL, PAGE])
    }),
    Attack::refused("unmap-overflow", BAD_PLACE, || {
        call(Call::Unmap, [this(), USER_END - PAGE, u64::MAX - PAGE + 1])
    }),
    Attack::refused("protect-kernel", BAD_PLACE, || {
        protect(KERNEL, PAGE, MapFlags::WRITE)
    }),
    Attack::refused(
        "vmo-too-large",
        &[Error::OutOfRange, Error::BadArgument],
        || Vmo::create(MAX_VMO_BYTES + PAGE).map(|_| 0),
    ),
    Attack::refused("vmo-huge", &[Error::OutOfRange, Error::BadArgument], || {
        Vmo::create(u64::MAX).map(|_| 0)
    }),
    Attack::refused(
        "vmo-resize-huge",
        &[Error::OutOfRange, Error::BadArgument],
        || Vmo::create(PAGE)?.resize(u64::MAX).map(|()| 0),
    ),
    Attack::refused("vmo-read-beyond", &[Error::OutOfRange], || {
        Vmo::create(PAGE)?.read(PAGE - 1, &mut [0; 2]).map(|_| 0)
    }),
    Attack::refused("vmo-read-overflow", &[Error::OutOfRange], || {
        Vmo::create(PAGE)?.read(u64::MAX, &mut [0; 2]).map(|_| 0)
    }),
    Attack::refused(
        "vmo-clone-overflow",
        &[Error::OutOfRange, Error::BadArgument],
        || {
            Vmo::create(PAGE)?
                .clone_range(0_u64.wrapping_sub(PAGE), 2 * PAGE)
                .map(|_| 0)
        },
    ),
    Attack::holds("fresh-memory-is-zero", || {
        let mapping = Vmo::create(64 * PAGE)?.map(0, 64 * PAGE, MapFlags::WRITE)?;
        let bytes = mapping.bytes(0, mapping.len()).unwrap_or_default();
        holds(
            !bytes.is_empty()
                && bytes
                    .iter()
                    .all(|byte| byte.load(core::sync::atomic::Ordering::Relaxed) == 0),
        )
    }),
    // Small regions follow each other with random gaps, also none: of many gaps some must differ. Large ones go anywhere.
    Attack::holds("mappings-are-random", || {
        const SMALL: usize = 12;
        let vmo = Vmo::create(PAGE)?;
        let mut small = [const { None }; SMALL];
        for place in &mut small {
            *place = Some(vmo.map(0, PAGE, MapFlags::empty())?);
        }
        let distances = || {
            let addresses = small.iter().flatten().map(|mapping| mapping.address());
            addresses
                .clone()
                .zip(addresses.skip(1))
                .map(|(one, next)| next.abs_diff(one))
        };
        let vmo = Vmo::create(LARGE)?;
        let one = vmo.map(0, LARGE, MapFlags::empty())?;
        let other = vmo.map(0, LARGE, MapFlags::empty())?;
        let apart = one.address().abs_diff(other.address());
        holds(distances().min() != distances().max() && apart > 2 * LARGE)
    }),
];

fn this() -> u64 {
    this_process().handle().0
}

fn write(address: u64) -> Outcome {
    provoke::write(address, 1);
    Ok(0)
}

fn execute(address: u64) -> Outcome {
    provoke::execute(address);
    Ok(0)
}

fn protect(address: u64, len: u64, flags: MapFlags) -> Outcome {
    call(
        Call::Protect,
        [this(), address, len, u64::from(flags.bits())],
    )
}

/// Maps a new vmo of `bytes`.
fn map(bytes: u64, offset: u64, len: u64, address: u64, flags: MapFlags) -> Outcome {
    let vmo = Vmo::create(bytes)?;
    let arguments = [
        vmo.handle().0,
        offset,
        len,
        address,
        u64::from(flags.bits()),
    ];
    call(Call::Map, [this(), arguments.as_ptr() as u64])
}
