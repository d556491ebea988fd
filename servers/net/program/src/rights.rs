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
    pub async fn check(&self, badge: u32, wanted: Right) -> Result<(), NetError> {
        let covered = match self.covers(badge, wanted) {
            Some(covered) => covered,
            None => {
                let rights = self.ask(badge).await;
                self.remember(badge, rights)?;
                self.covers(badge, wanted) == Some(true)
            }
        };
        if covered {
            Ok(())
        } else {
            Err(NetError::NoRight(wanted))
        }
    }

    /// Whether a client may, if its rights are known.
    fn covers(&self, badge: u32, wanted: Right) -> Option<bool> {
        let known = self.known.lock();
        let (_, rights) = known.iter().find(|(other, _)| *other == badge)?;
        Some(rights.iter().any(|right| right.covers(wanted)))
    }

    fn remember(&self, badge: u32, rights: Rights) -> Result<(), NetError> {
        let mut known = self.known.lock();
        if known.len() >= MOST_CLIENTS {
            known.remove(0);
        }
        known.try_reserve(1).map_err(|_| NetError::NoMemory)?;
        known.push((badge, rights));
        Ok(())
    }

    async fn ask(&self, badge: u32) -> Rights {
        let mut words = [const { Grant::new() }; MOST];
        match self.manager.granted(SERVICE, badge, &mut words).await {
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
