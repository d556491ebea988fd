//! Making tasks: [`Task`] is the builder.

use core::{fmt, future::Future, marker::PhantomData, panic::Location, time::Duration};

use crate::{
    AdmissionError, CoreId, JoinHandle, Platform, Reservation, Reserved,
    raw::{block, core::Core, sites::Site, slab},
    sched::{FAIR, OPEN, fair},
    slot::{Slot, flag},
    time,
};

/// Bytes of memory that a task with a future of this type takes while it lives, beside its slot.
pub const fn task_bytes<F: Future>() -> usize {
    slab::bytes_of(block::layout_of::<F>())
}

/// Why a task could not be spawned. The future is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnError {
    /// The core was not started.
    NoCore {
        /// Which core.
        core: CoreId,
    },
    /// The caller is no core, and the task names none. Name one with [`Task::core`].
    NoHome,
    /// A task that is not `Send` can only be spawned by a task of the same core.
    NotHere {
        /// Which core.
        core: CoreId,
    },
    /// All task slots are taken. Start the core with more ([`CoreConfig::tasks`](crate::CoreConfig::tasks),
    /// [`remote_tasks`](crate::CoreConfig::remote_tasks)).
    NoSlot {
        /// Which core.
        core: CoreId,
        /// How many slots there are for such tasks.
        tasks: usize,
    },
    /// The reservation was refused.
    Refused {
        /// Which core.
        core: CoreId,
        /// Why, and by how much.
        error: AdmissionError,
    },
    /// Memory for the task is short.
    NoMemory {
        /// How much was asked for.
        bytes: usize,
    },
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpawnError::NoCore { core } => write!(f, "core {core} was not started"),
            SpawnError::NoHome => f.write_str("not on a core: name one for the task"),
            SpawnError::NotHere { core } => write!(
                f,
                "a task that is not Send must be spawned by a task of core {core}"
            ),
            SpawnError::NoSlot { core, tasks } => {
                write!(f, "all {tasks} task slots of core {core} are taken")
            }
            SpawnError::Refused { core, error } => {
                write!(f, "core {core} refuses the reservation: {error}")
            }
            SpawnError::NoMemory { bytes } => write!(f, "no memory for a task of {bytes} bytes"),
        }
    }
}

impl core::error::Error for SpawnError {}

/// What a slot needs to know.
pub(crate) struct Spec {
    server: u32,
    deadline: u64,
    relative: u64,
    flags: u8,
    site: u16,
}

impl Spec {
    #[inline(always)]
    pub(crate) fn fill(&self, slot: &Slot) {
        slot.server.set(self.server as u16);
        slot.deadline.set(self.deadline);
        slot.relative.set(self.relative);
        slot.flags.set(slot.flags.get() & flag::POOLED | self.flags);
        slot.site.set(self.site);
        slot.state.set(crate::slot::State::Idle as u8);
    }
}

/// A task to be: its name, where it lives and how urgent it is.
///
/// Without a deadline or reservation it is best effort.
#[derive(Debug)]
#[must_use = "a builder does nothing until it spawns"]
pub struct Task<P: Platform> {
    name: &'static str,
    core: Option<CoreId>,
    deadline: Option<u64>,
    relative: Option<Duration>,
    weight: u32,
    reservation: Option<Reservation>,
    within: Option<(CoreId, u32)>,
    platform: PhantomData<fn() -> P>,
}

impl<P: Platform> Task<P> {
    /// A best-effort task of this name on the caller's core.
    pub const fn new(name: &'static str) -> Task<P> {
        Task {
            name,
            core: None,
            deadline: None,
            relative: None,
            weight: fair::DEFAULT_WEIGHT,
            reservation: None,
            within: None,
            platform: PhantomData,
        }
    }

    /// Names the core to live on.
    pub const fn core(mut self, core: CoreId) -> Self {
        self.core = Some(core);
        self
    }

    /// Leaves the choice of the core: the one with the fewest tasks, and none that is
    /// [isolated](crate::CoreConfig::isolated).
    pub fn anywhere(mut self) -> Self {
        self.core = P::fleet().least_loaded();
        self
    }

    /// Every job of the task, that is every wake after it blocked, is due this long after the wake.
    pub const fn deadline_after(mut self, deadline: Duration) -> Self {
        self.relative = Some(deadline);
        self
    }

    /// The task is due at this tick of the platform's clock, until it [sets](crate::set_deadline) another. A tick in
    /// the past is allowed: the task is late from the start, and goes before all that are due later.
    pub const fn deadline_at(mut self, ticks: u64) -> Self {
        self.deadline = Some(ticks);
        self
    }

    /// Best effort's share, relative to others': 1 to 2²⁰, 1024 unless set. Clamped.
    pub const fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Reserves processor time for this task alone. Deadlines follow from the reservation.
    pub const fn reservation(mut self, reservation: Reservation) -> Self {
        self.reservation = Some(reservation);
        self
    }

    /// Runs the task within a reservation that others may share, on that reservation's core. Tasks within one
    /// reservation take turns in the order they were woken.
    pub fn within(mut self, reserved: &Reserved<P>) -> Self {
        self.within = Some((reserved.core(), reserved.server()));
        self
    }

    /// Enters the task into its reservation; returns the server and the relative deadline.
    #[inline(always)]
    fn claim(&self, core: CoreId, home: &Core<P>) -> Result<Option<(u32, u64)>, SpawnError> {
        if self.within.is_none() && self.reservation.is_none() {
            Ok(None)
        } else {
            self.claim_reserved(core, home)
        }
    }

    #[cold]
    fn claim_reserved(
        &self,
        core: CoreId,
        home: &Core<P>,
    ) -> Result<Option<(u32, u64)>, SpawnError> {
        let refused = |error| SpawnError::Refused { core, error };
        match (self.within, &self.reservation) {
            (Some((at, server)), _) => {
                if at != core {
                    return Err(SpawnError::Refused {
                        core,
                        error: AdmissionError::Gone,
                    });
                }
                let relative = home.retain_claim(server).map_err(refused)?;
                Ok(Some((server, relative)))
            }
            (None, Some(reservation)) => {
                let claim = reservation.claim::<P>();
                let server = home.admit(claim).map_err(refused)?;
                Ok(Some((server, claim.params.deadline)))
            }
            (None, None) => Ok(None),
        }
    }

    #[inline(always)]
    fn spec(
        &self,
        place: &'static Location<'static>,
        flags: u8,
        claim: Option<(u32, u64)>,
    ) -> Spec {
        let site = P::fleet().sites.find(Site {
            name: self.name,
            place,
        });
        if let Some((server, relative)) = claim {
            return Spec {
                server,
                deadline: u64::MAX,
                relative,
                flags: flags | flag::RELATIVE,
                site,
            };
        }
        match (self.relative, self.deadline) {
            (Some(relative), _) => Spec {
                server: OPEN,
                deadline: u64::MAX,
                relative: time::to_ticks::<P>(relative),
                flags: flags | flag::RELATIVE,
                site,
            },
            (None, Some(deadline)) => Spec {
                server: OPEN,
                deadline,
                relative: 0,
                flags,
                site,
            },
            (None, None) => Spec {
                server: FAIR,
                deadline: 0,
                relative: fair::tick_cost(self.weight),
                flags,
                site,
            },
        }
    }

    fn home(&self) -> Result<CoreId, SpawnError> {
        match self.core {
            Some(core) => Ok(core),
            None if self.within.is_some() => {
                self.within.map(|(core, _)| core).ok_or(SpawnError::NoHome)
            }
            None => P::here().core().ok_or(SpawnError::NoHome),
        }
    }

    /// Spawns onto the named core, or the caller's.
    ///
    /// # Errors
    /// If that core was not started, or slots or memory are short.
    #[track_caller]
    #[inline]
    pub fn spawn<F>(self, future: F) -> Result<JoinHandle<P, F::Output>, SpawnError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let core = self.home()?;
        let home = P::fleet().core(core).ok_or(SpawnError::NoCore { core })?;
        let claim = self.claim(core, home)?;
        let spec = self.spec(Location::caller(), 0, claim);
        let spawned = if home.is_here() {
            home.spawn_here(future, &spec)
        } else {
            home.spawn_from_elsewhere(future, &spec)
        };
        let (id, head) = spawned.inspect_err(|_| unclaim(home, claim))?;
        Ok(crate::raw::join::handle(id, head))
    }

    /// Spawns a future that is not `Send` onto the caller's core, where it stays.
    ///
    /// # Errors
    /// If the caller is not a task (or the start-up code) of that core, or slots or memory are short.
    #[track_caller]
    #[inline]
    pub fn spawn_local<F>(self, future: F) -> Result<JoinHandle<P, F::Output>, SpawnError>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let core = self.home()?;
        let home = P::fleet().core(core).ok_or(SpawnError::NoCore { core })?;
        if !home.is_here() {
            return Err(SpawnError::NotHere { core });
        }
        let claim = self.claim(core, home)?;
        let spec = self.spec(Location::caller(), flag::PINNED, claim);
        let (id, head) = home
            .spawn_here(future, &spec)
            .inspect_err(|_| unclaim(home, claim))?;
        Ok(crate::raw::join::handle(id, head))
    }
}

/// Takes a task that could not be spawned out of its reservation again.
fn unclaim<P: Platform>(home: &Core<P>, claim: Option<(u32, u64)>) {
    if let Some((server, _)) = claim {
        home.release_claim(server);
    }
}
