//! What the first process is given beside its own process: one table, made once and kept for all of its instances.
//!
//! Each handle has all rights of its type unless its row says less. What only one process at a time can have is a channel's end,
//! which cannot be duplicated; when its holder is gone, the kernel makes another one and sends it by [`renew`].

use abi::memory::PAGE_BYTES;
use abi::{Error, Handle, ObjectType, Rights};
use heapless::Vec;
use objects::channel::{Channel, Message};
use objects::job::Job;
use objects::memory::Frame;
use objects::notification::Notification;
use objects::refs::Ref;
use spin::Once;

use super::{ARCHIVE, root_job};
use crate::process::job::JobObject;
use crate::process::memory::{Memory, VmoObject};
use crate::process::object::{Capability, Handles, Object};
use crate::process::process::Process;
use crate::process::simple::Simple;

/// A row: the handle's name, and how it is made.
type Row = (&'static str, fn(&Given) -> Result<Capability, Error>);

/// The handles.
const TABLE: &[Row] = &[
    // The job above all, to make units and programs under.
    ("job", |given| {
        Capability::new(Object::Job(given.job.clone()))
    }),
    // The same to be passed on: to find any process by its id, and to end it.
    ("root-job", |given| {
        let rights =
            Rights::KILL | Rights::INSPECT | Rights::WAIT | Rights::DUPLICATE | Rights::TRANSFER;
        Capability::with_rights(Object::Job(given.job.clone()), rights)
    }),
    ("log", |given| simple(given, ObjectType::Log)),
    ("system", |given| simple(given, ObjectType::System)),
    // All programs and manifests.
    ("archive", |given| {
        let rights =
            Rights::READ | Rights::MAP | Rights::INSPECT | Rights::DUPLICATE | Rights::TRANSFER;
        Capability::with_rights(Object::Vmo(given.archive.clone()), rights)
    }),
    // What an instance writes down for the next one.
    ("state", |given| {
        let vmo = VmoObject::create(Memory, given.job.job(), STATE_BYTES)?;
        Capability::new(Object::Vmo(vmo))
    }),
    // It says by bit 0 that it has taken over.
    ("ready", |given| {
        Capability::new(Object::Notification(given.ready.clone()))
    }),
    // Messages with a handle each, whose name are the bytes: see `renew` and `tell`.
    ("resources", |given| {
        Capability::new(Object::Channel(given.theirs.clone()))
    }),
];

/// Most handles in the table, and one for the process itself.
pub const MOST: usize = 32;
/// Two records of the manager's, of some hundred units each.
const STATE_BYTES: u64 = 64 << 10;

/// Where handles that are renewed go to.
static RENEWALS: Once<Renewals> = Once::new();

struct Renewals {
    channel: Ref<Channel<Object>>,
    /// What is on its way. Channels carry handles from table to table.
    handles: Handles,
    /// Keeps our end open.
    _end: Capability,
}

/// What the rows are made of.
pub struct Given {
    job: Ref<JobObject>,
    archive: Ref<VmoObject>,
    theirs: Ref<Channel<Object>>,
    /// Bit 0: this instance has taken over.
    pub ready: Ref<Notification>,
}

impl Given {
    /// What outlives every instance.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn new() -> Result<Self, Error> {
        let job = root_job()?;
        let archive = archive(job.job())?;
        let (ours, theirs) = Channel::create(job.job())?;
        let renewals = Renewals {
            _end: Capability::new(Object::Channel(ours.clone()))?,
            channel: ours,
            handles: Handles::new(job.job())?,
        };
        RENEWALS.call_once(|| renewals);
        Ok(Self {
            ready: Notification::create(job.job())?,
            job: job.clone(),
            archive,
            theirs,
        })
    }

    /// Puts all of the table's handles into a process; their names and numbers.
    ///
    /// # Errors
    /// [`Error::NoMemory`], [`Error::LimitReached`].
    pub fn give(&self, process: &Process) -> Result<Vec<(&'static str, Handle), MOST>, Error> {
        let mut given = Vec::new();
        for (name, make) in TABLE {
            let handle = process.handles.insert(make(self)?)?;
            given
                .push((*name, handle))
                .map_err(|_| Error::LimitReached)?;
        }
        Ok(given)
    }
}

/// The archive, where it lies in the kernel's image.
fn archive(job: &Ref<Job>) -> Result<Ref<VmoObject>, Error> {
    let bytes = ARCHIVE.0.as_slice();
    let start = bytes.as_ptr().addr() as u64;
    let first = hal::mem::paging::translate(start).ok_or(Error::BadState)?;
    // The image lies in one piece.
    let frame = Frame::from_address(first).ok_or(Error::BadState)?;
    VmoObject::create_constant(Memory, job, frame, bytes.len() as u64 / PAGE_BYTES)
}

fn simple(given: &Given, object: ObjectType) -> Result<Capability, Error> {
    let object = Simple::create(object, given.job.job())?;
    Capability::new(Object::Simple(object))
}

/// Gives the first process a handle of this name again, as whoever had it is gone. Waits while it has many such to take in.
///
/// # Errors
/// [`Error::BadState`] before there is a first process; [`Error::PeerClosed`] once it listens no more; [`Error::NoMemory`].
pub async fn renew(name: &str, capability: Capability) -> Result<(), Error> {
    let renewals = RENEWALS.get().ok_or(Error::BadState)?;
    let handle = renewals.handles.insert(capability)?;
    let sent = send(renewals, name, &[handle]).await;
    if sent.is_err() {
        // It was not sent, so it is still there.
        let _ = renewals.handles.close(handle);
    }
    sent
}

/// Tells the first process that what has this name changed: a message as [`renew`]'s, without a handle.
///
/// # Errors
/// As [`renew`].
pub async fn tell(name: &str) -> Result<(), Error> {
    let renewals = RENEWALS.get().ok_or(Error::BadState)?;
    send(renewals, name, &[]).await
}

async fn send(renewals: &Renewals, name: &str, handles: &[Handle]) -> Result<(), Error> {
    loop {
        let mut message = Message::new(root_job()?.job(), name.len(), handles.len())?;
        message.bytes_mut().copy_from_slice(name.as_bytes());
        let taken = renewals.handles.take(handles)?;
        match renewals.channel.write(message, taken) {
            Err(Error::QueueFull) => {
                let room = abi::Signals::WRITABLE | abi::Signals::PEER_CLOSED;
                renewals.channel.signals().wait(room, None).await?;
            }
            sent => return sent,
        }
    }
}
