//! Taking things away while the kernel uses them.

use core::sync::atomic::{AtomicBool, Ordering};

use abi::memory::{MapFlags, PAGE_BYTES};
use abi::message::WORDS;
use abi::{Call, Error, FOREVER, Handle, Rights, Signals};
use rt::sys::object::{self, Channel, Endpoint, Notification, Object, Port, Vmo};
use rt::sys::process::this_process;
use rt::sys::{clock, provoke, thread};

use crate::{Attack, call, holds};

/// How long a race goes on.
const RACE_NS: u64 = 20_000_000;
const BUFFER_BYTES: u64 = 64 * PAGE_BYTES;

pub(crate) const ATTACKS: &[Attack] = &[
    Attack::holds("unmap-while-copying", || {
        static OVER: AtomicBool = AtomicBool::new(false);
        OVER.store(false, Ordering::Relaxed);
        let source = Vmo::create(BUFFER_BYTES)?;
        let target = Vmo::create(BUFFER_BYTES)?;
        // A fixed place, so that both threads mean the same one.
        let place = {
            let mapping = target.map(0, BUFFER_BYTES, MapFlags::WRITE)?;
            mapping.address()
        };
        let target_number = target.handle().0;
        let mapper = thread::spawn(move || {
            while !OVER.load(Ordering::Relaxed) {
                let flags = MapFlags::WRITE | MapFlags::FIXED;
                let arguments = [
                    target_number,
                    0,
                    BUFFER_BYTES,
                    place,
                    u64::from(flags.bits()),
                ];
                // Either may fail; the point is that they go on while the other thread copies there.
                let _ = call(
                    Call::Map,
                    [this_process().handle().0, arguments.as_ptr() as u64],
                );
                let _ = call(
                    Call::Unmap,
                    [this_process().handle().0, place, BUFFER_BYTES],
                );
            }
        })?;
        let end_ns = clock::now_ns() + RACE_NS;
        let mut wrong = 0;
        while clock::now_ns() < end_ns {
            match call(Call::VmoRead, [source.handle().0, 0, place, BUFFER_BYTES]) {
                Ok(BUFFER_BYTES) | Err(Error::BadAddress) => {}
                other => {
                    log::error!("a copy gave {other:?}");
                    wrong += 1;
                }
            }
        }
        OVER.store(true, Ordering::Relaxed);
        mapper.join_blocking(FOREVER)?;
        Ok(wrong)
    }),
    Attack::refused(
        "close-while-waiting",
        &[
            Error::BadHandle,
            Error::PeerClosed,
            Error::Revoked,
            Error::TimedOut,
        ],
        || {
            let notification = Notification::create()?;
            let number = notification.handle();
            let closer = thread::spawn(move || {
                pause();
                let _ = object::close(number);
            })?;
            let result = notification.take_blocking(clock::now_ns() + 10 * RACE_NS);
            core::mem::forget(notification);
            closer.join_blocking(FOREVER)?;
            result
        },
    ),
    Attack::refused("revoke-while-waiting", &[Error::Revoked], || {
        let (leased, lease) = Notification::create()?.lease(Rights::READ | Rights::WAIT)?;
        let revoker = thread::spawn(move || {
            pause();
            let _ = lease.revoke();
        })?;
        let result = leased.take_blocking(clock::now_ns() + 10 * RACE_NS);
        revoker.join_blocking(FOREVER)?;
        result
    }),
    Attack::refused("server-ends-while-called", &[Error::PeerClosed], || {
        let endpoint = Endpoint::create()?;
        let client = endpoint.mint(1, Rights::CALL)?;
        let server = thread::spawn(move || {
            pause();
            drop(endpoint);
        })?;
        let result = client.call_blocking(clock::now_ns() + 10 * RACE_NS, &[1; WORDS]);
        server.join_blocking(FOREVER)?;
        result.map(|_| 0)
    }),
    Attack::refused("call-after-the-server", &[Error::PeerClosed], || {
        let endpoint = Endpoint::create()?;
        let client = endpoint.mint(1, Rights::CALL)?;
        drop(endpoint);
        client
            .call_blocking(clock::now_ns() + RACE_NS, &[1; WORDS])
            .map(|_| 0)
    }),
    Attack::refused("peer-closes-while-waiting", &[Error::PeerClosed], || {
        let (here, there) = Channel::create()?;
        let closer = thread::spawn(move || {
            pause();
            drop(there);
        })?;
        here.wait_blocking(
            Signals::READABLE | Signals::PEER_CLOSED,
            clock::now_ns() + 10 * RACE_NS,
        )?;
        let result = here.read(&mut [0; 4], &mut rt::sys::message::Handles::new());
        closer.join_blocking(FOREVER)?;
        result.map(|_| 0).map_err(Error::from)
    }),
    Attack::refused("reply-twice", &[Error::BadHandle], || {
        let endpoint = Endpoint::create()?;
        let client = endpoint.mint(1, Rights::CALL)?;
        let caller = thread::spawn(move || {
            let _ = client.call_blocking(FOREVER, &[1; WORDS]);
        })?;
        let call = endpoint.receive_blocking(FOREVER)?;
        let token = call.token.into_raw();
        let mut first = rt::sys::gate::Frame {
            rdi: token,
            ..Default::default()
        };
        let mut second = first;
        provoke::message(Call::Reply, &mut first);
        provoke::message(Call::Reply, &mut second);
        caller.join_blocking(FOREVER)?;
        Error::check(first.rax)?;
        Error::check(second.rax)
    }),
    Attack::holds("a-caller-that-gave-up", || {
        let endpoint = Endpoint::create()?;
        let client = endpoint.mint(1, Rights::CALL)?;
        let result = client.call_blocking(clock::now_ns() + 1_000_000, &[1; WORDS]);
        // Its call is gone with it.
        let later = endpoint.receive_blocking(abi::AT_ONCE);
        holds(result == Err(Error::TimedOut) && later.is_err())
    }),
    Attack::holds("two-threads-one-port", || {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        TAKEN.store(false, Ordering::Relaxed);
        let port = Port::create()?;
        let number = port.handle();
        let other = thread::spawn(move || {
            let port = object::Borrowed::<Port>::new(Handle(number.0));
            while port.wait_packet_blocking(clock::now_ns() + RACE_NS).is_ok() {
                TAKEN.store(true, Ordering::Relaxed);
            }
        })?;
        let mut sent = 0_u64;
        for _ in 0..1000 {
            match port.post(1, &[0; WORDS]) {
                Ok(()) => sent += 1,
                Err(Error::QueueFull) => rt::sys::process::yield_now(),
                Err(error) => return Err(error),
            }
        }
        other.join_blocking(FOREVER)?;
        holds(sent > 0 && TAKEN.load(Ordering::Relaxed))
    }),
];

/// Gives the other thread time to wait.
pub(crate) fn pause() {
    let end_ns = clock::now_ns() + RACE_NS / 4;
    while clock::now_ns() < end_ns {
        rt::sys::process::yield_now();
    }
}
