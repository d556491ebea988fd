//! Who may do what: asked of the manager once for each client.

use alloc::vec::Vec;

use proto::manager::Grant;
use proto::net::{NetError, Right, SERVICE};
use rt::unit::Manager;
use spin::Mutex;

/// Most rights of one client.
const MOST: usize = 32;
/// Most clients whose rights are remembered.
const MOST_CLIENTS: usize = 256;

type Rights = heapless::Vec<Right, MOST>;

/// Rights by badge. A badge is never another client's later.
pub struct Book {
    manager: Manager,
    known: Mutex<Vec<(u32, Rights)>>,
}

impl Book {
    /// To be asked of this manager.
    pub const fn new(manager: Manager) -> Self {
        Self {
            manager,
            known: Mutex::new(Vec::new()),
        }
    }

    /// The manager.
    pub const fn manager(&self) -> &Manager {
        &self.manager
    }

    /// Whether a client may do what takes this right.
    ///
    /// # Errors
    /// [`NetError::NoRight`].
    pub fn check(&self, badge: u32, wanted: Right) -> Result<(), NetError> {
        let mut known = self.known.lock();
        if !known.iter().any(|(other, _)| *other == badge) {
            let rights = self.ask(badge);
            if known.len() >= MOST_CLIENTS {
                known.remove(0);
            }
            if known.try_reserve(1).is_err() {
                return Err(NetError::NoMemory);
            }
            known.push((badge, rights));
        }
        let own = known.iter().find(|(other, _)| *other == badge);
        match own {
            Some((_, rights)) if rights.iter().any(|right| right.covers(wanted)) => Ok(()),
            _ => Err(NetError::NoRight(wanted)),
        }
    }

    fn ask(&self, badge: u32) -> Rights {
        let mut words = [const { Grant::new() }; MOST];
        match self.manager.granted(SERVICE, badge, &mut words) {
            Ok(count) => words
                .iter()
                .take(count)
                .filter_map(|words| {
                    let right = Right::from_words(words);
                    if right.is_none() {
                        log::warn!("a manifest grants {:?}, which is no right here", &**words);
                    }
                    right
                })
                .collect(),
            Err(error) => {
                log::error!("what a client may do is not known: {error}");
                Rights::new()
            }
        }
    }
}
