//! Calls that are answered inside the gate, by code of the kernel's image that may fail: a resident server's.
//!
//! A thread's `call` comes into the gate; whoever entered the thread says who answers it ([`AtOnce::begin`]); that function runs right
//! there, in task context and contained, and the thread goes back to ring 3 with the answer. Nothing of what a system call
//! otherwise goes through is touched: neither the poll that entered the thread, nor its page tables and timer.
//!
//! # What must hold
//! - The function runs with interrupts on. An interrupt that comes meanwhile has not ended a stay in ring 3, and a kernel
//!   section may have woken somebody or loaded other page tables: after either the thread does not go straight back, but
//!   [`super::enter`] returns [`Exit::Answered`](super::Exit::Answered).
//! - If the function fails, everything between it and [`super::enter`] is forgotten. That is [`answer`] alone, which
//!   holds nothing that needs a drop; so the gate calls [`AtOnce::begin`] and [`AtOnce::end`] itself, before and after.

use super::contain;
use super::context::{UserContext, Words};
use crate::cpu::percpu;
use crate::mem::arena::Arena;

/// What `answer` says to the gate: the call takes the long way, with all registers as they were;
const LONG_WAY: u64 = 0;
/// it was answered, and its thread goes straight back;
pub(super) const BACK: u64 = 1;
/// it was answered, and whoever entered the thread looks around first.
const LOOK: u64 = 2;

/// What answers a call: gets its badge and words, and puts the answer where there are zeroes. `false`: not now; nothing was done.
pub type Function = dyn Fn(u32, &Words, &mut Words) -> bool + Send + Sync;

/// Who answers a call.
pub struct Answerer<'a> {
    /// What allocates meanwhile allocates there.
    pub arena: &'a Arena,
    /// Of the handle that was called.
    pub badge: u32,
    /// To be called.
    pub function: &'a Function,
}

/// Whoever enters a thread, asked when the thread calls.
pub trait AtOnce {
    /// The first argument of the calls that are asked about in the stay in ring 3 that begins now; 0: none is.
    fn first_argument(&self) -> u64;

    /// Who answers the call in these registers, whose first argument is that one. With interrupts off: short, and without kernel sections.
    fn begin(&mut self, context: &UserContext) -> Option<Answerer<'_>>;

    /// He is done, and has `answered` or not. Not called if he failed. With interrupts off.
    fn end(&mut self, answered: bool);
}

/// All calls take the long way.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl AtOnce for Nobody {
    #[inline]
    fn first_argument(&self) -> u64 {
        0
    }

    fn begin(&mut self, _: &UserContext) -> Option<Answerer<'_>> {
        None
    }

    fn end(&mut self, _: bool) {}
}

/// What the gate calls, with the `A` and the context.
pub(super) fn entry<A: AtOnce>() -> *const () {
    answer::<A> as *const ()
}

/// # Safety
/// For the gate, with what [`super::enter`] gave it.
unsafe extern "sysv64" fn answer<A: AtOnce>(at_once: *mut (), context: *mut UserContext) -> u64 {
    // SAFETY: `enter` has lent both to the gate, and waits for it.
    let (at_once, context) = unsafe { (&mut *at_once.cast::<A>(), &mut *context) };
    let user = &percpu::this().user;
    let Some(Answerer {
        arena,
        badge,
        function,
    }) = at_once.begin(context)
    else {
        return LONG_WAY;
    };
    let mut words: Words = [0; 8];
    let mut answered = false;
    let work = || answered = function(badge, context.words(), &mut words);
    // SAFETY: this was called on top of that frame, after `enter` saw that the core is free; there are only plain values here.
    let disturbed = unsafe { contain::contain_in_gate(&user.contain, user.frame(), arena, work) };
    at_once.end(answered);
    if !answered {
        return LONG_WAY;
    }
    *context.words_mut() = words;
    context.set_result(0);
    if disturbed { LOOK } else { BACK }
}
