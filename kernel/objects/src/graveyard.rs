//! Where contents go that are too much to drop at once.
//!
//! A channel that is closed may hold messages with the last handles of channels that hold messages ..., and a handle table the handles of
//! processes with tables. Dropped in place, that takes a stack as deep as somebody cares to nest, and a poll as long. So contents are
//! *buried*: hung on the kernel's one [`Graveyard`], which takes no memory (each owner of contents carries a `Grave`) and little time.
//! A task of the kernel's digs: [`Graveyard::step`] in a loop with checkpoints, [`Graveyard::filled`] in between.
//!
//! What is buried stays charged as kernel memory until it is dug out.

use alloc::boxed::Box;
use core::fmt;

use abi::Error;
use executor::sync::Notify;
use spin::Mutex;

use crate::{
    channel::MessageQueue,
    handle::Places,
    job::{Charge, Job},
    object::KernelObject,
    port::Remains,
    refs::{Ref, try_box},
};

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// Call again, after a checkpoint.
    More,
    /// Nothing is left.
    Done,
}

pub(crate) enum Contents<O: KernelObject> {
    Nothing,
    Messages(MessageQueue<O>),
    Places(Places<O>),
    Port(Remains<O>),
}

impl<O: KernelObject> Contents<O> {
    /// Drops one thing and whatever hangs on it but is not buried itself; `false` if there is none.
    fn drop_one(&mut self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Messages(queue) => queue.pop().is_some(),
            Self::Places(places) => {
                let (progress, taken) = places.clear_next(|_| true);
                drop(taken);
                progress == Progress::More
            }
            Self::Port(remains) => remains.drop_one(),
        }
    }
}

/// Room for contents in a graveyard.
pub(crate) struct Grave<O: KernelObject> {
    next: Option<Box<Grave<O>>>,
    contents: Contents<O>,
    _memory: Charge,
}

impl<O: KernelObject> Grave<O> {
    pub(crate) fn new(job: &Ref<Job>) -> Result<Box<Self>, Error> {
        let memory = job.charge_kernel(size_of::<Self>() as u64)?;
        Ok(try_box(Self {
            next: None,
            contents: Contents::Nothing,
            _memory: memory,
        })?)
    }

    /// Puts contents in and hangs it on the graveyard.
    pub(crate) fn bury(mut self: Box<Self>, contents: Contents<O>) {
        self.contents = contents;
        O::graveyard().take_in(self);
    }
}

/// See the module. One per kind of object, in a static.
pub struct Graveyard<O: KernelObject> {
    graves: Mutex<Option<Box<Grave<O>>>>,
    came: Notify,
}

impl<O: KernelObject> fmt::Debug for Graveyard<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graveyard")
            .field("is_empty", &self.is_empty())
            .finish()
    }
}

impl<O: KernelObject> Graveyard<O> {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            graves: Mutex::new(None),
            came: Notify::new(),
        }
    }

    fn take_in(&self, mut grave: Box<Grave<O>>) {
        {
            let mut graves = self.graves.lock();
            grave.next = graves.take();
            *graves = Some(grave);
        }
        self.came.notify_one();
    }

    /// Whether nothing is buried. What [`step`](Self::step) has in hand is not counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.graves.lock().is_none()
    }

    /// Drops up to so many things: messages, handles, bindings.
    pub fn step(&self, most: usize) -> Progress {
        let mut left = most;
        while left > 0 {
            let mut grave = {
                let mut graves = self.graves.lock();
                let Some(mut grave) = graves.take() else {
                    return Progress::Done;
                };
                *graves = grave.next.take();
                grave
            };
            loop {
                left -= 1;
                if !grave.contents.drop_one() {
                    break;
                }
                if left == 0 {
                    self.take_in(grave);
                    return Progress::More;
                }
            }
        }
        Progress::More
    }

    /// Waits until something is buried: then take [`step`](Self::step)s until it is done. For one task.
    pub async fn filled(&self) {
        self.came.notified().await;
    }
}

impl<O: KernelObject> Default for Graveyard<O> {
    fn default() -> Self {
        Self::new()
    }
}
