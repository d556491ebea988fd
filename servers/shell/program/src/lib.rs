//! What a shell in ring 3 asks: [`proto::System`] by system calls, [`proto::Services`] by calls of the manager.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod services;
mod system;

use alloc::sync::Arc;

use abi::Error;
use net_client::Network;
use rt::sys::object::System;
use rt::unit::Manager;

use system::Tables;

/// The system and the manager.
pub struct Host {
    tables: Tables,
    manager: Arc<Manager>,
    network: Network,
}

impl core::fmt::Debug for Host {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Host")
            .field("manager", &self.manager)
            .finish_non_exhaustive()
    }
}

impl Host {
    /// By the handles `system` and `manager`.
    ///
    /// # Errors
    /// The job's limits.
    pub fn new(system: System, manager: Arc<Manager>) -> Result<Self, Error> {
        Ok(Self {
            tables: Tables::new(system)?,
            network: Network::new(Arc::clone(&manager)),
            manager,
        })
    }
}
