//! Channels.

use std::{collections::VecDeque, pin::pin, sync::Arc, task::Poll, thread};

use abi::{
    Error, Handle, Rights, Signals,
    message::{Lengths, MAX_BYTES, MAX_CHANNEL_MESSAGES, MAX_HANDLES},
};
use objects::{
    KernelObject,
    channel::{Channel, Message, ReadError},
    handle::HandleTable,
    job::{Job, Resource},
    refs::Ref,
};
use proptest::prelude::*;

use crate::common::{
    Object, Wakes, assert_unused, block_on, capability, channel, dig, graveyard, job, notification,
    poll_once, use_graveyard,
};

const ANY: Lengths = Lengths {
    bytes: MAX_BYTES as u32,
    handles: MAX_HANDLES as u32,
};

type End = Ref<Channel<Object>>;

struct World {
    job: Ref<Job>,
    table: HandleTable<Object>,
}

impl World {
    fn new() -> Self {
        let job = job();
        let table = HandleTable::new(&job).unwrap();
        Self { job, table }
    }

    /// A channel whose ends have handles in the table.
    fn channel(&self) -> [(Handle, End); 2] {
        let (one, other) = channel(&self.job);
        [one, other].map(|object| {
            let end = object.channel().unwrap().clone();
            (self.table.insert(capability(object)).unwrap(), end)
        })
    }

    fn write(&self, end: &End, bytes: &[u8], handles: &[Handle]) -> Result<(), Error> {
        let mut message = Message::new(&self.job, bytes.len(), handles.len())?;
        message.bytes_mut().copy_from_slice(bytes);
        end.write(message, self.table.take(handles)?)
    }

    fn read(&self, end: &End) -> Result<(Vec<u8>, Vec<Handle>), ReadError> {
        let mut message = end.read(ANY)?.accept().unwrap();
        let mut room = self.table.reserve(message.capabilities().len()).unwrap();
        let mut handles = Vec::new();
        message.install_handles(&mut room, |handle| handles.push(handle));
        Ok((message.bytes().to_vec(), handles))
    }

    fn finish(self) {
        drop(self.table);
        dig();
        assert_unused(&self.job);
    }
}

#[test]
fn messages_stay_readable_after_the_peer_closed() {
    let world = World::new();
    let [(near, near_end), (_, far_end)] = world.channel();
    world.write(&near_end, b"one", &[]).unwrap();
    world.write(&near_end, b"two", &[]).unwrap();
    world.table.close(near).unwrap();
    assert_eq!(
        far_end.signals().get(),
        Signals::READABLE | Signals::PEER_CLOSED
    );
    assert_eq!(world.write(&far_end, b"back", &[]), Err(Error::PeerClosed));
    assert_eq!(world.write(&near_end, b"three", &[]), Err(Error::BadHandle));
    assert_eq!(world.read(&far_end).unwrap().0, b"one");
    assert_eq!(world.read(&far_end).unwrap().0, b"two");
    assert_eq!(far_end.peek(), Err(Error::PeerClosed));
    assert_eq!(
        world.read(&far_end),
        Err(ReadError::Other(Error::PeerClosed))
    );
    assert_eq!(far_end.signals().get(), Signals::PEER_CLOSED);
    drop((near_end, far_end));
    world.finish();
}

#[test]
fn too_small_a_buffer_leaves_the_message() {
    let world = World::new();
    let [(_, near), (_, far)] = world.channel();
    let gift = world
        .table
        .insert(capability(notification(&world.job)))
        .unwrap();
    world.write(&near, b"12345", &[gift]).unwrap();
    let lengths = Lengths {
        bytes: 5,
        handles: 1,
    };
    for most in [
        Lengths {
            bytes: 4,
            handles: 1,
        },
        Lengths {
            bytes: 5,
            handles: 0,
        },
    ] {
        assert_eq!(far.read(most).unwrap_err(), ReadError::TooSmall(lengths));
    }
    // Read, but not accepted: there again, and readable.
    drop(far.read(lengths).unwrap());
    assert!(far.signals().get().contains(Signals::READABLE));
    assert_eq!(far.peek(), Ok(lengths));
    let (bytes, handles) = world.read(&far).unwrap();
    assert_eq!((bytes.as_slice(), handles.len()), (&b"12345"[..], 1));
    assert!(world.table.get(handles[0], Rights::READ).is_ok());
    assert!(!far.signals().get().contains(Signals::READABLE));
    drop((near, far));
    world.finish();
}

#[test]
fn a_full_queue_refuses_and_says_when_there_is_room() {
    let world = World::new();
    let [(_, near), (_, far)] = world.channel();
    for _ in 0..MAX_CHANNEL_MESSAGES {
        assert!(near.signals().get().contains(Signals::WRITABLE));
        world.write(&near, b"", &[]).unwrap();
    }
    assert!(!near.signals().get().contains(Signals::WRITABLE));
    let gift = world
        .table
        .insert(capability(notification(&world.job)))
        .unwrap();
    assert_eq!(world.write(&near, b"", &[gift]), Err(Error::QueueFull));
    assert!(world.table.get(gift, Rights::READ).is_ok(), "it stays");
    assert_eq!((near.sent().full, near.sent().waiting), (1, 256));
    let wakes = Arc::new(Wakes::default());
    let mut room = pin!(near.signals().wait(Signals::WRITABLE, None));
    assert!(poll_once(room.as_mut(), &wakes).is_pending());
    world.read(&far).unwrap();
    assert_eq!(wakes.count(), 1);
    assert!(poll_once(room.as_mut(), &wakes).is_ready());
    assert_eq!(world.write(&near, b"", &[gift]), Ok(()));
}

#[test]
fn a_sender_pays_until_the_message_is_read() {
    let world = World::new();
    let other = job();
    let [(_, near), (_, far)] = world.channel();
    let base = other.used(Resource::Kernel);
    let message = Message::<Object>::new(&other, 1000, 0).unwrap();
    let nothing = world.table.take(&[]).unwrap();
    near.write(message, nothing).unwrap();
    assert!(other.used(Resource::Kernel) >= base + 1000);
    world.read(&far).unwrap();
    assert_eq!(other.used(Resource::Kernel), base);
    // And closing the reader gives it back as well.
    let gift = world
        .table
        .insert(capability(notification(&world.job)))
        .unwrap();
    world.write(&near, &[0; 500], &[gift]).unwrap();
    assert_eq!(world.job.used(Resource::Handles), 3, "also on its way");
    far.close();
    dig();
    assert_eq!(world.job.used(Resource::Handles), 2);
    assert_eq!(
        Message::<Object>::new(&other, MAX_BYTES + 1, 0).unwrap_err(),
        Error::OutOfRange
    );
}

#[test]
fn an_end_is_not_sent_through_its_own_channel() {
    let world = World::new();
    let [(near, near_end), (far, far_end)] = world.channel();
    for (end, handle) in [
        (&near_end, near),
        (&near_end, far),
        (&far_end, near),
        (&far_end, far),
    ] {
        assert_eq!(world.write(end, b"", &[handle]), Err(Error::BadState));
        assert!(world.table.get(handle, Rights::READ).is_ok());
    }
    drop((near_end, far_end));
    world.finish();
}

#[test]
fn ends_do_not_go_in_circles() {
    let world = World::new();
    let [(_, a_near), (a, a_far)] = world.channel();
    let [(_, b_near), (b, b_far)] = world.channel();
    // b's far end waits in a's queue; so a's far end may not wait in b's.
    world.write(&a_near, b"", &[b]).unwrap();
    assert_eq!(world.write(&b_near, b"", &[a]), Err(Error::BadState));
    // While it is being read, too: it might be put back.
    let reading = a_far.read(ANY).unwrap();
    assert_eq!(world.write(&b_near, b"", &[a]), Err(Error::BadState));
    drop(reading);
    let (_, handles) = world.read(&a_far).unwrap();
    assert_eq!(world.write(&b_near, b"", &[a]), Ok(()));
    assert_eq!(
        world.write(&a_near, b"", &[handles[0]]),
        Err(Error::BadState)
    );
    drop((a_near, a_far, b_near, b_far));
    world.finish();
}

#[test]
fn writers_who_race_close_no_circle() {
    for _ in 0..300 {
        let world = World::new();
        let [(_, a_near), (a, a_far)] = world.channel();
        let [(_, b_near), (b, b_far)] = world.channel();
        let graveyard = graveyard();
        thread::scope(|scope| {
            for (end, handle) in [(&a_near, b), (&b_near, a)] {
                let world = &world;
                scope.spawn(move || {
                    use_graveyard(graveyard);
                    let _ = world.write(end, b"", &[handle]);
                });
            }
        });
        drop((a_near, a_far, b_near, b_far));
        world.finish();
    }
}

/// Ends that wait in each other's queues, as deep as one likes: no recursion.
#[test]
fn nested_channels_are_buried() {
    let world = World::new();
    let [(mut leaf, mut leaf_end), (root, _)] = world.channel();
    for _ in 0..20_000 {
        let [(near, near_end), (far, _)] = world.channel();
        world.write(&leaf_end, b"", &[far]).unwrap();
        world.table.close(leaf).unwrap();
        (leaf, leaf_end) = (near, near_end);
    }
    drop(leaf_end);
    let table = &world.table;
    let graveyard = graveyard();
    thread::scope(|scope| {
        thread::Builder::new()
            .stack_size(64 << 10)
            .spawn_scoped(scope, move || {
                use_graveyard(graveyard);
                table.close(root).unwrap();
                table.close(leaf).unwrap();
                dig();
            })
            .unwrap();
    });
    world.finish();
}

#[test]
fn messages_arrive_in_order_between_threads() {
    let world = World::new();
    let [(_, near), (_, far)] = world.channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..3000_u32 {
                while let Err(error) = world.write(&near, &number.to_le_bytes(), &[]) {
                    assert_eq!(error, Error::QueueFull);
                    block_on(near.signals().wait(Signals::WRITABLE, None)).unwrap();
                }
            }
            near.close();
        });
        for number in 0..3000_u32 {
            block_on(far.readable(None)).unwrap();
            assert_eq!(world.read(&far).unwrap().0, number.to_le_bytes());
        }
    });
    assert_eq!(block_on(far.readable(None)), Err(Error::PeerClosed));
    let traffic = far.received();
    assert_eq!((traffic.messages, traffic.bytes), (3000, 12_000));
}

#[test]
fn a_reader_that_was_cancelled_loses_nothing() {
    let world = World::new();
    let [(_, near), (_, far)] = world.channel();
    let wakes = Arc::new(Wakes::default());
    {
        let mut reading = pin!(async {
            block_on(far.readable(None)).unwrap();
            let message = far.read(ANY).unwrap();
            std::future::pending::<()>().await;
            drop(message.accept());
        });
        world.write(&near, b"kept", &[]).unwrap();
        assert_eq!(poll_once(reading.as_mut(), &wakes), Poll::Pending);
        assert_eq!(far.peek(), Err(Error::WouldWait));
    }
    assert_eq!(world.read(&far).unwrap().0, b"kept");
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize, Vec<u8>),
    Read(usize, bool),
    /// Sends an end of one channel through another.
    Send(usize, usize),
    Close(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let end = 0..6_usize;
    let step = prop_oneof![
        3 => (end.clone(), prop::collection::vec(any::<u8>(), 0..20)).prop_map(|(end, bytes)| Step::Write(end, bytes)),
        3 => (end.clone(), any::<bool>()).prop_map(|(end, accept)| Step::Read(end, accept)),
        3 => (end.clone(), end.clone()).prop_map(|(through, what)| Step::Send(through, what)),
        1 => end.prop_map(Step::Close),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Three channels; ends 2n and 2n + 1 are each other's peers. An end that lies in a message has no handle until it is read.
    #[test]
    fn channels_match_queues(steps in steps()) {
        let world = World::new();
        let mut handles: Vec<Option<Handle>> = Vec::new();
        let mut ends: Vec<End> = Vec::new();
        for _ in 0..3 {
            for (handle, end) in world.channel() {
                handles.push(Some(handle));
                ends.push(end);
            }
        }
        // What waits to be read at each end: bytes, and which end is inside.
        let mut queues: Vec<VecDeque<(Vec<u8>, Option<usize>)>> = vec![VecDeque::new(); 6];
        let mut closed = [false; 6];
        for step in steps {
            match step {
                Step::Write(at, bytes) => {
                    let Some(_) = handles[at] else { continue };
                    let written = world.write(&ends[at], &bytes, &[]);
                    if closed[at ^ 1] {
                        prop_assert_eq!(written, Err(Error::PeerClosed));
                    } else {
                        prop_assert_eq!(written, Ok(()));
                        queues[at ^ 1].push_back((bytes, None));
                    }
                }
                Step::Send(through, what) => {
                    let (Some(_), Some(handle)) = (handles[through], handles[what]) else { continue };
                    let written = world.write(&ends[through], b"end", &[handle]);
                    let carries = queues[what].iter().any(|(_, end)| end.is_some());
                    if through / 2 == what / 2 || carries {
                        prop_assert_eq!(written, Err(Error::BadState));
                    } else if closed[through ^ 1] {
                        prop_assert_eq!(written, Err(Error::PeerClosed));
                    } else {
                        prop_assert_eq!(written, Ok(()));
                        queues[through ^ 1].push_back((b"end".to_vec(), Some(what)));
                        handles[what] = None;
                    }
                }
                Step::Read(at, accept) => {
                    let Some(_) = handles[at] else { continue };
                    if !accept {
                        drop(ends[at].read(ANY));
                        continue;
                    }
                    match queues[at].pop_front() {
                        Some((bytes, end)) => {
                            let (read, installed) = world.read(&ends[at]).unwrap();
                            prop_assert_eq!(read, bytes);
                            prop_assert_eq!(installed.len(), usize::from(end.is_some()));
                            if let Some(end) = end {
                                handles[end] = Some(installed[0]);
                            }
                        }
                        None => {
                            let error = if closed[at ^ 1] { Error::PeerClosed } else { Error::WouldWait };
                            prop_assert_eq!(world.read(&ends[at]), Err(ReadError::Other(error)));
                        }
                    }
                }
                Step::Close(at) => {
                    let Some(handle) = handles[at].take() else { continue };
                    world.table.close(handle).unwrap();
                    // With it what waited there, and the ends in that, and so on.
                    let mut gone = vec![at];
                    while let Some(end) = gone.pop() {
                        closed[end] = true;
                        gone.extend(queues[end].drain(..).filter_map(|(_, inside)| inside));
                    }
                    dig();
                }
            }
            for at in 0..6 {
                if closed[at] { continue; }
                let mut expected = Signals::empty();
                expected.set(Signals::READABLE, !queues[at].is_empty());
                expected.set(Signals::WRITABLE, !closed[at ^ 1]);
                expected.set(Signals::PEER_CLOSED, closed[at ^ 1]);
                prop_assert_eq!(ends[at].signals().get(), expected, "end {}", at);
            }
        }
        drop(ends);
        world.finish();
    }
}
