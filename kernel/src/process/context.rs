//! A thread's registers while it does not run, and what is remembered with them.

use core::ops::{Deref, DerefMut};

use hal::user::UserContext;

use super::resident::handler::Known;

/// What the poll that runs a thread has for itself. Dereferences to the registers.
pub struct Context {
    /// Its registers.
    pub user: UserContext,
    /// The handler that answered its last call where that was made.
    pub known: Option<Known>,
}

impl Context {
    /// With these registers.
    pub const fn new(user: UserContext) -> Self {
        Self { user, known: None }
    }
}

impl Deref for Context {
    type Target = UserContext;

    #[inline(always)]
    fn deref(&self) -> &UserContext {
        &self.user
    }
}

impl DerefMut for Context {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut UserContext {
        &mut self.user
    }
}
