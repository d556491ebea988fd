//! Calls from tasks: a task waits for the answer, the others of its executor go on.
//!
//! The kernel's calls wait with a whole thread. So tasks hand them to helper threads, which are started as they are needed and
//! then kept: as many as calls were ever under way at once, up to [`MAX_HELPERS`]; more calls wait for a helper. A resident server
//! has no threads: its calls are the kernel's futures.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;

use abi::{Error, FOREVER};
use executor::sync::oneshot;
use proto::contract::{SHORT_BYTES, from_words, to_words};
use spin::mutex::SpinMutex;

use crate::sys::gate::{self, Resident};
use crate::sys::heap::Yield;
use crate::sys::message::Handles;
use crate::sys::object::{Endpoint, Notification, Object};
use crate::sys::thread;

/// Most calls of one process that are under way at once.
pub const MAX_HELPERS: usize = 16;

/// A call to be made.
struct Job {
    endpoint: Arc<Endpoint>,
    deadline_ns: u64,
    request: Vec<u8>,
    max_answer_bytes: usize,
    done: oneshot::Sender<Result<Vec<u8>, Error>>,
}

struct Pool {
    jobs: VecDeque<Job>,
    helpers: usize,
    idle: usize,
    /// Bits are set when there is a job.
    work: Option<Arc<Notification>>,
}

static POOL: SpinMutex<Pool, Yield> = SpinMutex::new(Pool {
    jobs: VecDeque::new(),
    helpers: 0,
    idle: 0,
    work: None,
});

/// Sends the bytes of a message and gives back the answer's, waiting with the whole thread. Contracts of at most [`SHORT_BYTES`]
/// go in words.
///
/// # Errors
/// As [`Endpoint::call_blocking`]; [`Error::BufferTooSmall`] if the answer is longer than `answer`; [`Error::OutOfRange`] if the
/// answer is no message.
pub fn exchange_blocking(
    endpoint: &Endpoint,
    deadline_ns: u64,
    request: &[u8],
    answer: &mut [u8],
) -> Result<usize, Error> {
    if answer.len() <= SHORT_BYTES {
        let words = to_words(request).ok_or(Error::OutOfRange)?;
        let words = endpoint.call_blocking(deadline_ns, &words)?;
        return from_words(&words, answer).ok_or(Error::OutOfRange);
    }
    let (mut send, mut receive) = (Handles::new(), Handles::new());
    let lengths =
        endpoint.call_long_blocking(deadline_ns, request, &mut send, answer, &mut receive)?;
    Ok((lengths.bytes as usize).min(answer.len()))
}

/// [`exchange_blocking`] for tasks. Dropped before it is ready, the call's answer is lost; in ring 3 the call itself goes on.
///
/// # Errors
/// As there; [`Error::NoMemory`], [`Error::LimitReached`] if no helper can be started.
pub async fn exchange(
    endpoint: &Arc<Endpoint>,
    deadline_ns: u64,
    request: &[u8],
    answer: &mut [u8],
) -> Result<usize, Error> {
    if let Some(resident) = gate::resident() {
        let call = (resident.begin_call)(endpoint.handle(), deadline_ns, request, answer.len())?;
        let call = UnderWay { resident, call };
        return poll_fn(|context| (resident.answer)(call.call, answer, context.waker())).await;
    }
    let (done, answered) = oneshot::channel().map_err(|_| Error::NoMemory)?;
    submit(Job {
        endpoint: Arc::clone(endpoint),
        deadline_ns,
        request: copy(request)?,
        max_answer_bytes: answer.len(),
        done,
    })?;
    // A helper that goes away answers first; it never goes away.
    let bytes = answered.await.map_err(|_| Error::Dying)??;
    answer
        .get_mut(..bytes.len())
        .ok_or(Error::BufferTooSmall)?
        .copy_from_slice(&bytes);
    Ok(bytes.len())
}

/// A resident server's call.
struct UnderWay {
    resident: &'static Resident,
    call: u64,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        (self.resident.give_up)(self.call);
    }
}

fn copy(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len())
        .map_err(|_| Error::NoMemory)?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

/// Hands a job to a helper, starting one if none is free.
fn submit(job: Job) -> Result<(), Error> {
    let (work, start) = {
        let mut pool = POOL.lock();
        let work = match &pool.work {
            Some(work) => Arc::clone(work),
            None => {
                let work = Arc::new(Notification::create()?);
                pool.work = Some(Arc::clone(&work));
                work
            }
        };
        pool.jobs.try_reserve(1).map_err(|_| Error::NoMemory)?;
        pool.jobs.push_back(job);
        let start = pool.idle < pool.jobs.len() && pool.helpers < MAX_HELPERS;
        if start {
            pool.helpers += 1;
        }
        (work, start)
    };
    if start {
        let for_helper = Arc::clone(&work);
        // The thread's end of the handle is never joined: it lives as long as the process.
        if let Err(error) = thread::spawn(move || help(&for_helper)) {
            let mut pool = POOL.lock();
            pool.helpers -= 1;
            if pool.helpers == 0 {
                // Nobody will ever take them.
                let jobs = core::mem::take(&mut pool.jobs);
                drop(pool);
                drop(jobs);
                return Err(error);
            }
        }
    }
    work.signal(1)
}

/// The life of a helper.
fn help(work: &Notification) {
    loop {
        let job = {
            let mut pool = POOL.lock();
            let job = pool.jobs.pop_front();
            if job.is_none() {
                pool.idle += 1;
            }
            job
        };
        match job {
            Some(job) => make(job),
            None => {
                let taken = work.take_blocking(FOREVER);
                let more = {
                    let mut pool = POOL.lock();
                    pool.idle -= 1;
                    pool.jobs.len() > 1
                };
                // One take has all bits: pass them on while there is work for more than this one.
                if taken.is_err() || (more && work.signal(1).is_err()) {
                    return;
                }
            }
        }
    }
}

fn make(job: Job) {
    let mut answer = Vec::new();
    let result = match answer.try_reserve_exact(job.max_answer_bytes) {
        Ok(()) => {
            answer.resize(job.max_answer_bytes, 0);
            exchange_blocking(&job.endpoint, job.deadline_ns, &job.request, &mut answer).map(
                |len| {
                    answer.truncate(len);
                    answer
                },
            )
        }
        Err(_) => Err(Error::NoMemory),
    };
    // Whoever asked may not want to know any more.
    let _ = job.done.send(result);
}
