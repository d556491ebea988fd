//! Handles that are none, and rights that would grow.

use abi::message::{LongArgs, StartArgs, WORDS};
use abi::process::JobLimits;
use abi::{Call, Error, FOREVER, Handle, ObjectType, Rights, Signals};
use rt::sys::gate::Frame;
use rt::sys::message::Handles;
use rt::sys::object::{
    self, Channel, Endpoint, Job, Notification, Object, Port, Process, Timer, Vmo,
};
use rt::sys::process::{this_job, this_process};
use rt::sys::provoke;

use crate::{Attack, Outcome, call, holds};

const NO_HANDLE: &[Error] = &[Error::BadHandle];
const NO_RIGHT: &[Error] = &[Error::NoRight];

pub(crate) const ATTACKS: &[Attack] = &[
    Attack::refused("handle-zero", NO_HANDLE, || close(0)),
    Attack::refused("handle-all-ones", NO_HANDLE, || close(u64::MAX)),
    Attack::refused("handle-forged-slot", NO_HANDLE, || {
        close(Handle::new(1 << 20, 0).0)
    }),
    Attack::refused("handle-forged-generation", NO_HANDLE, || {
        let port = Port::create()?;
        close(port.handle().0 ^ (1 << 40))
    }),
    Attack::refused("handle-closed-twice", NO_HANDLE, || {
        let number = Port::create()?.into_owned().into_raw().0;
        close(number)?;
        close(number)
    }),
    Attack::refused("handle-stale", NO_HANDLE, || {
        let stale = Notification::create()?.into_owned().into_raw();
        object::close(stale)?;
        // Its slot is soon somebody else's.
        let others: [Option<Notification>; 8] =
            core::array::from_fn(|_| Notification::create().ok());
        let result = call(Call::NotificationSignal, [stale.0, 1]);
        drop(others);
        result
    }),
    Attack::refused("handle-of-a-sent-message", NO_HANDLE, || {
        let (here, _there) = Channel::create()?;
        let port = Port::create()?;
        let number = port.handle();
        let mut handles = Handles::new();
        if handles.push(port).is_err() {
            return Err(Error::Unknown);
        }
        here.write(b"", &mut handles)?;
        object::info(number).map(|_| 0)
    }),
    Attack::refused(
        "handle-revoked",
        &[Error::Revoked, Error::BadHandle],
        || {
            let (leased, lease) =
                Notification::create()?.lease(Rights::SIGNAL | Rights::DUPLICATE)?;
            let again = leased.duplicate(Rights::SIGNAL)?;
            lease.revoke()?;
            again.signal(1).map(|()| 0)
        },
    ),
    Attack::refused("wrong-type", &[Error::WrongType], || {
        call(Call::TimerSet, [Port::create()?.handle().0, FOREVER])
    }),
    Attack::holds("wrong-types-everywhere", wrong_types),
    Attack::refused("duplicate-grows", NO_RIGHT, || {
        let vmo = Vmo::create(4096)?.duplicate(Rights::READ | Rights::DUPLICATE)?;
        vmo.duplicate(Rights::READ | Rights::WRITE).map(|_| 0)
    }),
    Attack::refused("duplicate-without-right", NO_RIGHT, || {
        let vmo = Vmo::create(4096)?.duplicate(Rights::READ)?;
        vmo.duplicate(Rights::READ).map(|_| 0)
    }),
    Attack::refused(
        "duplicate-unknown-right",
        &[Error::BadArgument, Error::NoRight],
        || {
            call(
                Call::HandleDuplicate,
                [Vmo::create(4096)?.handle().0, 1 << 30],
            )
        },
    ),
    Attack::refused("duplicate-channel", NO_RIGHT, || {
        let (here, _there) = Channel::create()?;
        here.duplicate(Rights::READ).map(|_| 0)
    }),
    Attack::refused("mint-grows", NO_RIGHT, || {
        let endpoint = Endpoint::create()?.duplicate(Rights::RECEIVE)?;
        endpoint.mint(1, Rights::RECEIVE | Rights::CALL).map(|_| 0)
    }),
    Attack::refused("mint-without-receive", NO_RIGHT, || {
        let endpoint = Endpoint::create()?.duplicate(Rights::CALL | Rights::DUPLICATE)?;
        endpoint.mint(1, Rights::CALL).map(|_| 0)
    }),
    Attack::refused("lease-grows", NO_RIGHT, || {
        let vmo = Vmo::create(4096)?.duplicate(Rights::READ | Rights::DUPLICATE)?;
        vmo.lease(Rights::READ | Rights::WRITE).map(|_| 0)
    }),
    Attack::refused("give-grows", NO_RIGHT, || {
        let vmo = Vmo::create(4096)?.duplicate(Rights::READ | Rights::TRANSFER)?;
        this_process()
            .give(vmo.into_owned(), Rights::READ | Rights::WRITE)
            .map(|_| 0)
    }),
    Attack::refused("give-without-transfer", NO_RIGHT, || {
        let vmo = Vmo::create(4096)?.duplicate(Rights::READ)?;
        this_process()
            .give(vmo.into_owned(), Rights::READ)
            .map(|_| 0)
    }),
    Attack::refused("send-without-transfer", NO_RIGHT, || {
        let (here, _there) = Channel::create()?;
        let mut handles = Handles::new();
        let vmo = Vmo::create(4096)?.duplicate(Rights::READ)?;
        if handles.push(vmo).is_err() {
            return Err(Error::Unknown);
        }
        here.write(b"x", &mut handles).map(|()| 0)
    }),
    Attack::refused(
        "send-a-channel-through-itself",
        &[Error::BadArgument, Error::BadState, Error::NoRight],
        || {
            let (here, there) = Channel::create()?;
            let number = there.handle();
            send(&there, number)?;
            drop(here);
            Ok(0)
        },
    ),
    Attack::refused(
        "send-a-handle-twice",
        &[Error::BadHandle, Error::BadArgument],
        || {
            let (here, _there) = Channel::create()?;
            let port = Port::create()?.handle().0;
            let twice = [port, port];
            let arguments = [0, 0, twice.as_ptr() as u64, 2];
            call(
                Call::ChannelWrite,
                [here.handle().0, arguments.as_ptr() as u64],
            )
        },
    ),
    Attack::holds("received-rights-did-not-grow", || {
        let (here, there) = Channel::create()?;
        let rights = Rights::READ | Rights::TRANSFER | Rights::INSPECT;
        let number = Vmo::create(4096)?
            .duplicate(rights)?
            .into_owned()
            .into_raw();
        send(&here, number)?;
        let mut handles = Handles::new();
        there.read(&mut [0; 4], &mut handles)?;
        let received = handles.pop_front().ok_or(Error::Unknown)?;
        let info = object::info(received.handle())?;
        holds(Rights::from_bits_truncate(info.rights) == rights)
    }),
    Attack::refused("signal-without-right", NO_RIGHT, || {
        Notification::create()?
            .duplicate(Rights::READ)?
            .signal(1)
            .map(|()| 0)
    }),
    Attack::refused("take-without-right", NO_RIGHT, || {
        Notification::create()?
            .duplicate(Rights::SIGNAL)?
            .take_blocking(0)
    }),
    Attack::refused("wait-without-right", NO_RIGHT, || {
        Timer::create()?
            .duplicate(Rights::SIGNAL)?
            .wait_blocking(Signals::FIRED, 0)
            .map(|_| 0)
    }),
    Attack::refused("call-without-right", NO_RIGHT, || {
        Endpoint::create()?
            .duplicate(Rights::RECEIVE)?
            .call_blocking(0, &[0; WORDS])
            .map(|_| 0)
    }),
    Attack::refused("receive-without-right", NO_RIGHT, || {
        Endpoint::create()?
            .duplicate(Rights::CALL)?
            .receive_blocking(0)
            .map(|_| 0)
    }),
    Attack::refused("post-without-right", NO_RIGHT, || {
        Port::create()?
            .duplicate(Rights::READ)?
            .post(1, &[0; WORDS])
            .map(|()| 0)
    }),
    Attack::refused("kill-without-right", NO_RIGHT, || {
        this_process()
            .duplicate(Rights::INSPECT)?
            .kill(0)
            .map(|()| 0)
    }),
    Attack::refused("map-without-manage", NO_RIGHT, || {
        let process = this_process().duplicate(Rights::INSPECT)?;
        let vmo = Vmo::create(4096)?;
        let arguments = [vmo.handle().0, 0, 4096, 0, 0];
        call(Call::Map, [process.handle().0, arguments.as_ptr() as u64])
    }),
    Attack::refused("read-memory-without-right", NO_RIGHT, || {
        let process = this_process().duplicate(Rights::MANAGE)?;
        let mut byte = [0];
        rt::sys::memory::read_in(&process, byte.as_ptr() as u64, &mut byte).map(|_| 0)
    }),
    Attack::refused("thread-without-manage", NO_RIGHT, || {
        let process = this_process().duplicate(Rights::INSPECT | Rights::READ)?;
        let arguments = [0x10_0000_u64, 0x10_0000, 0, 0, 0, u64::from(u32::MAX), 0];
        call(
            Call::ThreadCreate,
            [process.handle().0, arguments.as_ptr() as u64],
        )
    }),
    Attack::refused("create-without-right", NO_RIGHT, || {
        let job = this_job().duplicate(Rights::INSPECT)?;
        Process::create(&job, "x").map(|_| 0)
    }),
    Attack::refused("raise-own-limits", NO_RIGHT, || {
        let job = this_job().duplicate(Rights::INSPECT | Rights::CREATE)?;
        job.set_limits(&JobLimits::NONE).map(|()| 0)
    }),
    Attack::refused("reply-forged", NO_HANDLE, || reply(0x1234_5678_9abc_def0)),
    Attack::refused("reply-zero", NO_HANDLE, || reply(0)),
    Attack::refused("reply-receive-forged", NO_HANDLE, || {
        let mut frame = Frame {
            rdi: 77,
            rsi: Endpoint::create()?.handle().0,
            ..Frame::default()
        };
        provoke::message(Call::ReplyReceive, &mut frame);
        Error::check(frame.rax)
    }),
    Attack::refused("reply-long-forged", NO_HANDLE, || {
        let arguments = [0_u64; size_of::<LongArgs>() / 8];
        call(Call::ReplyLong, [77, arguments.as_ptr() as u64])
    }),
    Attack::refused("message-read-forged", NO_HANDLE, || {
        call(Call::MessageRead, [77, [0_u64; 4].as_ptr() as u64])
    }),
    Attack::refused("call-end-forged", NO_HANDLE, || call(Call::CallEnd, [77])),
    Attack::refused("call-end-twice", NO_HANDLE, || {
        let (endpoint, port) = (Endpoint::create()?, Port::create()?);
        let id = start(&endpoint, port.handle(), 0)?;
        call(Call::CallEnd, [id])?;
        call(Call::CallEnd, [id])
    }),
    Attack::refused("answer-read-forged", NO_HANDLE, || {
        call(Call::AnswerRead, [77, [0_u64; 4].as_ptr() as u64])
    }),
    Attack::refused("answer-read-too-early", &[Error::WouldWait], || {
        let (endpoint, port) = (Endpoint::create()?, Port::create()?);
        let id = start(&endpoint, port.handle(), 0)?;
        call(Call::AnswerRead, [id, [0_u64; 4].as_ptr() as u64])
    }),
    Attack::refused("call-start-forged-port", NO_HANDLE, || {
        start(&Endpoint::create()?, Handle(77), 0)
    }),
    Attack::refused("call-start-without-right", NO_RIGHT, || {
        let endpoint = Endpoint::create()?.duplicate(Rights::RECEIVE)?;
        start(&endpoint, Port::create()?.handle(), 0)
    }),
    Attack::refused("call-start-port-without-right", NO_RIGHT, || {
        let port = Port::create()?.duplicate(Rights::READ)?;
        start(&Endpoint::create()?, port.handle(), 0)
    }),
    Attack::refused("call-start-unknown-form", &[Error::BadArgument], || {
        start(&Endpoint::create()?, Port::create()?.handle(), 2)
    }),
    Attack::refused("call-start-to-nobody", &[Error::PeerClosed], || {
        let endpoint = Endpoint::create()?;
        let client = endpoint.mint(1, Rights::CALL)?;
        drop(endpoint);
        start(&client, Port::create()?.handle(), 0)
    }),
    Attack::refused(
        "call-start-flood",
        &[Error::LimitReached, Error::QueueFull],
        || {
            let (endpoint, port) = (Endpoint::create()?, Port::create()?);
            loop {
                start(&endpoint, port.handle(), 0)?;
            }
        },
    ),
    Attack::holds("answers-to-a-closed-port", || {
        let (endpoint, port) = (Endpoint::create()?, Port::create()?);
        let id = start(&endpoint, port.handle(), 0)?;
        drop(port);
        drop(endpoint);
        call(Call::CallEnd, [id])
    }),
    Attack::refused("job-of-another-type", &[Error::WrongType], || {
        let port = Port::create()?.into_owned();
        Process::create(&Job::from_owned(port), "x").map(|_| 0)
    }),
    Attack::refused(
        "port-bound-to-itself",
        &[
            Error::BadArgument,
            Error::WrongType,
            Error::BadState,
            Error::NoRight,
        ],
        || {
            let port = Port::create()?;
            port.bind(port.handle(), Signals::READABLE, 1).map(|()| 0)
        },
    ),
];

fn close(number: u64) -> Outcome {
    object::close(Handle(number)).map(|()| 0)
}

/// Starts a call; `long`: the form of its message, in the arguments.
fn start(endpoint: &Endpoint, port: Handle, long: u64) -> Outcome {
    let arguments = StartArgs {
        deadline_ns: FOREVER,
        port: port.0,
        long,
        ..StartArgs::default()
    };
    let address = core::ptr::from_ref(&arguments).addr() as u64;
    call(Call::CallStart, [endpoint.handle().0, address])
}

fn reply(token: u64) -> Outcome {
    let mut frame = Frame {
        rdi: token,
        ..Frame::default()
    };
    provoke::message(Call::Reply, &mut frame);
    Error::check(frame.rax)
}

fn send(channel: &Channel, handle: Handle) -> Outcome {
    let list = [handle.0];
    let arguments = [0, 0, list.as_ptr() as u64, 1];
    call(
        Call::ChannelWrite,
        [channel.handle().0, arguments.as_ptr() as u64],
    )
}

/// Every call that takes an object gets one of another type, and none of them takes it.
fn wrong_types() -> Outcome {
    let notification = Notification::create()?;
    let timer = Timer::create()?;
    let words = [0_u64; 8];
    let buffer = words.as_ptr() as u64;
    for row in abi::call::TABLE {
        let wrong = match first_type(row.call) {
            Some(ObjectType::Timer) => notification.handle().0,
            Some(_) => timer.handle().0,
            None => continue,
        };
        let result = call(row.call, [wrong, buffer, buffer, 0, 0, 0]);
        // Arguments may be looked at before the handle is.
        if result.is_ok() {
            log::error!("{} takes an object of another type", row.name);
            return Ok(1);
        }
    }
    Ok(0)
}

/// The type of a call's first argument, by its name in the table, if it is an object's.
fn first_type(call: Call) -> Option<ObjectType> {
    let row = abi::call::TABLE.iter().find(|row| row.call == call)?;
    let first = row.arguments.split(',').next()?;
    ObjectType::ALL
        .iter()
        .copied()
        .find(|object| object.name() == first)
}
