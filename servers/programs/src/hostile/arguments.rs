//! Numbers, flags, lengths and buffers that no call should take.

use abi::memory::{MapFlags, PAGE_BYTES, USER_END};
use abi::message::{MAX_BYTES, MAX_HANDLES};
use abi::{Call, Error, Rights};
use rt::sys::object::{Channel, Endpoint, Notification, Object, Port, Timer, Vmo};
use rt::sys::process::{this_job, this_process};
use rt::sys::provoke;

use crate::{Attack, Outcome, call, holds};

const KERNEL: u64 = 0xffff_8000_0000_0000;
const BAD_BUFFER: &[Error] = &[Error::BadAddress];
/// Waiting for nothing may be refused or not; nothing comes of it.
const NOTHING_COMES: &[Error] = &[Error::BadArgument, Error::WouldWait, Error::TimedOut];
const BAD: &[Error] = &[Error::BadArgument, Error::OutOfRange];

pub(crate) const ATTACKS: &[Attack] = &[
    Attack::holds("unknown-numbers", || {
        let known = |number| Call::from_raw(number).is_some();
        let all = (0..1024)
            .chain((0..64).map(|bit| 1 << bit))
            .chain([u64::MAX, i64::MAX as u64]);
        for number in all.filter(|&number| !known(number)) {
            let (rax, _) = provoke::call(number, [number; 6]);
            if Error::check(rax) != Err(Error::Unknown) {
                log::error!("call {number} gave {rax:#x}");
                return Ok(1);
            }
        }
        Ok(0)
    }),
    Attack::holds("registers-survive", || {
        let close = Call::HandleClose as u64;
        holds(
            [Call::Nop as u64, close, 500, u64::MAX]
                .into_iter()
                .all(provoke::registers_survive),
        )
    }),
    Attack::refused("buffer-in-kernel", BAD_BUFFER, || vmo_read(KERNEL, 8)),
    Attack::refused("buffer-null", BAD_BUFFER, || vmo_read(0, 8)),
    Attack::refused("buffer-non-canonical", BAD_BUFFER, || vmo_read(1 << 47, 8)),
    Attack::refused("buffer-across-user-end", BAD_BUFFER, || {
        vmo_read(USER_END - 4, 8)
    }),
    Attack::refused("buffer-wraps", BAD_BUFFER, || vmo_read(u64::MAX - 3, 8)),
    Attack::refused("buffer-read-only", BAD_BUFFER, || {
        vmo_read(provoke::RETURN.as_ptr() as u64, 1)
    }),
    Attack::refused("buffer-code", BAD_BUFFER, || {
        vmo_read(provoke::code_address(), 8)
    }),
    Attack::refused("buffer-half-mapped", BAD_BUFFER, || {
        let mapping =
            Vmo::create(PAGE_BYTES)?.map(0, PAGE_BYTES, MapFlags::WRITE | MapFlags::GUARDS)?;
        vmo_read(mapping.address() + PAGE_BYTES - 4, 8)
    }),
    Attack::refused(
        "buffer-huge",
        &[Error::BadAddress, Error::OutOfRange],
        || {
            let byte = [0_u8];
            vmo_read(byte.as_ptr() as u64, u64::MAX)
        },
    ),
    Attack::refused("input-in-kernel", BAD_BUFFER, || {
        call(
            Call::VmoWrite,
            [Vmo::create(PAGE_BYTES)?.handle().0, 0, KERNEL, 8],
        )
    }),
    Attack::refused("arguments-in-kernel", BAD_BUFFER, || {
        call(Call::Map, [this_process().handle().0, KERNEL])
    }),
    Attack::refused("arguments-unmapped", BAD_BUFFER, || {
        call(Call::ThreadCreate, [this_process().handle().0, 0x1_0000])
    }),
    Attack::refused("info-in-kernel", BAD_BUFFER, || {
        call(Call::HandleInfo, [Port::create()?.handle().0, KERNEL])
    }),
    Attack::holds("unaligned-arguments", || {
        // Alignment is no condition: the kernel copies.
        let vmo = Vmo::create(PAGE_BYTES)?;
        let mut bytes = [0_u8; 48];
        for (index, word) in [vmo.handle().0, 0, PAGE_BYTES, 0, 0]
            .into_iter()
            .enumerate()
        {
            if let Some(place) = bytes.get_mut(1 + index * 8..9 + index * 8) {
                place.copy_from_slice(&word.to_le_bytes());
            }
        }
        let address = call(
            Call::Map,
            [this_process().handle().0, bytes.as_ptr() as u64 + 1],
        )?;
        call(
            Call::Unmap,
            [this_process().handle().0, address, PAGE_BYTES],
        )
    }),
    Attack::refused("name-in-kernel", BAD_BUFFER, || name(KERNEL, 4)),
    Attack::refused("name-too-long", BAD, || {
        name("x".repeat(64).as_ptr() as u64, 64)
    }),
    Attack::refused(
        "name-huge",
        &[Error::BadArgument, Error::OutOfRange, Error::BadAddress],
        || name(b"x".as_ptr() as u64, u64::MAX),
    ),
    Attack::refused("name-not-utf8", BAD, || {
        name([0xff_u8; 4].as_ptr() as u64, 4)
    }),
    Attack::refused(
        "message-too-long",
        &[Error::OutOfRange, Error::BadArgument],
        || {
            let bytes = alloc::vec![0_u8; MAX_BYTES + 1];
            write_message(bytes.as_ptr() as u64, bytes.len() as u64, 0, 0)
        },
    ),
    Attack::refused(
        "message-huge",
        &[Error::OutOfRange, Error::BadArgument, Error::BadAddress],
        || write_message(b"x".as_ptr() as u64, u64::MAX, 0, 0),
    ),
    Attack::refused("message-in-kernel", BAD_BUFFER, || {
        write_message(KERNEL, 64, 0, 0)
    }),
    Attack::refused(
        "too-many-handles",
        &[Error::OutOfRange, Error::BadArgument],
        || {
            let handles = [1_u64; MAX_HANDLES + 1];
            write_message(0, 0, handles.as_ptr() as u64, handles.len() as u64)
        },
    ),
    Attack::refused(
        "handles-huge",
        &[Error::OutOfRange, Error::BadArgument, Error::BadAddress],
        || write_message(0, 0, [1_u64].as_ptr() as u64, u64::MAX / 4),
    ),
    Attack::refused("handles-in-kernel", BAD_BUFFER, || {
        write_message(0, 0, KERNEL, 1)
    }),
    Attack::refused("read-into-kernel", BAD_BUFFER, || {
        let (here, there) = Channel::create()?;
        here.write(b"12345678", &mut rt::sys::message::Handles::new())?;
        let arguments = [KERNEL, 64, 0, 0];
        call(
            Call::ChannelRead,
            [there.handle().0, arguments.as_ptr() as u64],
        )
    }),
    Attack::refused("unknown-signals", BAD, || {
        call(Call::Wait, [Timer::create()?.handle().0, 1 << 40, 0])
    }),
    Attack::refused("no-signals", NOTHING_COMES, || {
        call(Call::Wait, [Timer::create()?.handle().0, 0, 0])
    }),
    Attack::refused("bind-unknown-signals", BAD, || {
        call(
            Call::PortBind,
            [
                Port::create()?.handle().0,
                Timer::create()?.handle().0,
                1 << 31,
                1,
            ],
        )
    }),
    Attack::refused(
        "mint-unknown-rights",
        &[Error::BadArgument, Error::NoRight],
        || {
            call(
                Call::EndpointMint,
                [Endpoint::create()?.handle().0, 1, u64::MAX],
            )
        },
    ),
    Attack::refused("mint-wide-badge", BAD, || {
        call(
            Call::EndpointMint,
            [
                Endpoint::create()?.handle().0,
                1 << 32,
                u64::from(Rights::CALL.bits()),
            ],
        )
    }),
    Attack::refused("vmo-unknown-operation", BAD, || {
        call(
            Call::VmoOp,
            [Vmo::create(PAGE_BYTES)?.handle().0, 99, 0, PAGE_BYTES],
        )
    }),
    Attack::refused("thread-unknown-flags", BAD, || {
        thread([
            provoke::code_address(),
            0x10_0000,
            0,
            0,
            0,
            u64::from(u32::MAX) | 1 << 63,
            0,
        ])
    }),
    Attack::refused("thread-on-no-core", BAD, || {
        thread([provoke::code_address(), 0x10_0000, 0, 0, 0, 4096, 0])
    }),
    Attack::refused(
        "thread-in-kernel",
        &[Error::BadArgument, Error::BadAddress],
        || thread([KERNEL, 0x10_0000, 0, 0, 0, u64::from(u32::MAX), 0]),
    ),
    Attack::refused(
        "thread-non-canonical",
        &[Error::BadArgument, Error::BadAddress],
        || thread([1 << 47, 0x10_0000, 0, 0, 0, u64::from(u32::MAX), 0]),
    ),
    Attack::refused(
        "thread-fs-base-in-kernel",
        &[Error::BadArgument, Error::BadAddress],
        || {
            thread([
                provoke::code_address(),
                0x10_0000,
                0,
                0,
                1 << 63,
                u64::from(u32::MAX),
                0,
            ])
        },
    ),
    Attack::refused("deadline-without-reservation", &[Error::BadState], || {
        let word = 0_u64;
        call(Call::ThreadDeadline, [&raw const word as u64])
    }),
    Attack::refused("deadline-in-the-kernel", &[Error::BadAddress], || {
        call(Call::ThreadDeadline, [0xffff_8000_0000_0000_u64])
    }),
    Attack::refused("deadline-unaligned", &[Error::BadAddress], || {
        call(Call::ThreadDeadline, [0x10_0004_u64])
    }),
    Attack::refused("reservation-nonsense", BAD, || reserve([10, 0, 0, 0])),
    Attack::refused(
        "reservation-more-than-all",
        &[Error::BadArgument, Error::NotAdmitted, Error::LimitReached],
        || reserve([2_000_000, 1_000_000, 0, 0]),
    ),
    Attack::refused("random-too-much", BAD, || {
        let bytes = alloc::vec![0_u8; 8192];
        call(Call::RandomGet, [bytes.as_ptr() as u64, 4097])
    }),
    Attack::refused("random-into-kernel", BAD_BUFFER, || {
        call(Call::RandomGet, [KERNEL, 16])
    }),
    Attack::refused(
        "call-nobody-at-once",
        &[Error::TimedOut, Error::WouldWait],
        || {
            Endpoint::create()?
                .call_blocking(abi::AT_ONCE, &[0; 8])
                .map(|_| 0)
        },
    ),
    Attack::refused(
        "wait-past-deadline",
        &[Error::TimedOut, Error::WouldWait],
        || Notification::create()?.take_blocking(1),
    ),
];

fn vmo_read(to: u64, len: u64) -> Outcome {
    let vmo = Vmo::create(PAGE_BYTES)?;
    call(Call::VmoRead, [vmo.handle().0, 0, to, len])
}

fn name(text: u64, len: u64) -> Outcome {
    call(Call::ProcessCreate, [this_job().handle().0, text, len])
}

fn write_message(bytes: u64, bytes_len: u64, handles: u64, handles_len: u64) -> Outcome {
    let (here, _there) = Channel::create()?;
    let arguments = [bytes, bytes_len, handles, handles_len];
    call(
        Call::ChannelWrite,
        [here.handle().0, arguments.as_ptr() as u64],
    )
}

fn thread(arguments: [u64; 7]) -> Outcome {
    call(
        Call::ThreadCreate,
        [this_process().handle().0, arguments.as_ptr() as u64],
    )
}

fn reserve(arguments: [u64; 4]) -> Outcome {
    call(
        Call::ReservationCreate,
        [this_job().handle().0, arguments.as_ptr() as u64],
    )
}
