//! Slots that something is plugged into while the system runs: a task for each (PCI Express base specification 6.0 §6.7).
//!
//! What is put in gets power, addresses and a place on the list of functions, and the first process is told that the list changed. Whoever
//! presses the button has five seconds to press it again; then drivers are told, and when they have let go power is turned off. What is
//! pulled out without a word goes the same way, only that it is gone already.
//!
//! The firmware numbered the buses and gave each port its windows; QEMU's and most PCs' leave room behind empty slots. Where it offers slots
//! by ACPI instead, ports do not say that they can be used, and are left alone.
//!
//! What must hold: while somebody has a function of a slot, nothing that is put in there is given addresses: they might be the same, and
//! the last driver still has them mapped.

use core::future::Future;
use core::time::Duration;

use executor::CoreId;
use hal::irq::{self, Interrupt};
use hal::pci::{self, Happened, Indicator, Slot};

use super::release;
use crate::exec;
use crate::process::first;

/// The name under which the first process hears of changes.
const DEVICES: &str = "devices";
/// How long a command to the slot may take, and a link to come up (§6.7.3.2, §6.6.1).
const PORT_LIMIT: Duration = Duration::from_secs(1);
/// From the link to the first look (§6.6.1), and between further ones.
const READY_DELAY: Duration = Duration::from_millis(100);
const READY_LOOKS: u32 = 10;
/// How long one may change one's mind at the button (§6.7.1.5).
const REGRET: Duration = Duration::from_secs(5);
/// Until power that was turned off is off (§6.7.1.8).
const POWER_OFF_DELAY: Duration = Duration::from_secs(1);
/// How long drivers of what is gone may take to let go before the log says so.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts a task for each slot.
pub fn start() {
    pci::for_each_device(|info| {
        if let Some(slot) = Slot::of(info) {
            exec::spawn_best_effort("slot", CoreId::FIRST, watch(slot));
        }
    });
}

/// What the future gives, if it does within this time.
async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    match rt::first(future, exec::sleep(limit)).await {
        rt::Either::A(done) => Some(done),
        rt::Either::B(()) => None,
    }
}

async fn watch(mut slot: Slot) {
    let (address, number) = (slot.address(), slot.number());
    // The port is the kernel's.
    match release::claim(address) {
        Ok(claim) => claim.keep(),
        Err(error) => return ::log::warn!(target: "pci", "slot {number}: {error}"),
    }
    let interrupt = match irq::claim_msi("slot", 0) {
        Ok(interrupt) => interrupt,
        Err(error) => return ::log::warn!(target: "pci", "slot {number} is not watched: {error}"),
    };
    if let Err(error) = slot.listen(&interrupt) {
        return ::log::warn!(target: "pci", "slot {number} at {address} is not watched: {error}");
    }
    let mut in_use = false;
    slot.for_each(|_| in_use = true);
    let shown = if in_use { "in use" } else { "empty" };
    ::log::info!(target: "pci", "slot {number} at {address} is for hot-plug: {shown}");
    Watch {
        slot,
        interrupt,
        in_use,
        noted: Happened::empty(),
    }
    .run()
    .await;
}

/// A slot that is watched.
struct Watch {
    slot: Slot,
    interrupt: Interrupt,
    /// What is in it has power, and is on the list.
    in_use: bool,
    /// What happened and was not looked at.
    noted: Happened,
}

impl Watch {
    async fn run(mut self) {
        if self.slot.is_occupied() && !self.in_use {
            self.put_in().await;
        }
        loop {
            let happened = self.next().await;
            let number = self.slot.number();
            if happened.contains(Happened::POWER_FAULT) {
                ::log::error!(target: "pci", "slot {number}: its power failed");
            }
            let changed = happened.contains(Happened::PRESENCE);
            let was_in_use = self.in_use;
            if was_in_use {
                let is_lost = changed || !self.slot.is_occupied() || !self.slot.is_link_up();
                if is_lost || happened.contains(Happened::POWER_FAULT) {
                    ::log::warn!(target: "pci", "slot {number}: what was in it is gone without a word");
                    self.take_out().await;
                } else if happened.contains(Happened::BUTTON) {
                    self.asked_to_leave().await;
                }
            }
            let pressed = happened.contains(Happened::BUTTON);
            if !self.in_use && (changed || pressed && !was_in_use) && self.slot.is_occupied() {
                self.put_in().await;
            }
        }
    }

    /// Notes what happened, waiting for it.
    async fn hear(&mut self) {
        loop {
            let happened = self.slot.happened();
            if !happened.is_empty() {
                self.noted |= happened;
                return;
            }
            self.interrupt.wait().await;
            self.interrupt.ack();
        }
    }

    /// What happened, apart from commands that were carried out. Cancel-safe.
    async fn next(&mut self) -> Happened {
        loop {
            self.noted.remove(Happened::COMPLETED);
            if !self.noted.is_empty() {
                return core::mem::take(&mut self.noted);
            }
            self.hear().await;
        }
    }

    /// Turns power on or off, and shows something.
    async fn command(&mut self, power: bool, shown: Indicator) {
        self.noted.remove(Happened::COMPLETED);
        if !self.slot.command(power, shown) {
            return;
        }
        let completed = async {
            while !self.noted.contains(Happened::COMPLETED) {
                self.hear().await;
            }
        };
        if within(PORT_LIMIT, completed).await.is_none() {
            ::log::warn!(target: "pci", "slot {}: a command was not carried out", self.slot.number());
        }
    }

    /// Something is in the slot: gives it power and addresses.
    async fn put_in(&mut self) {
        let number = self.slot.number();
        let vacated = release::vacated(|address| self.slot.leads_to(address));
        if within(PATIENCE, vacated).await.is_none() {
            return ::log::warn!(
                target: "pci",
                "slot {number}: what was in it before still has a driver: end that, and plug in again"
            );
        }
        self.command(true, Indicator::Blinking).await;
        let up = async {
            while !self.slot.is_link_up() {
                self.hear().await;
            }
        };
        let mut answers = within(PORT_LIMIT, up).await.is_some();
        if answers {
            answers = false;
            for _ in 0..READY_LOOKS {
                exec::sleep(READY_DELAY).await;
                answers = self.slot.answers();
                if answers {
                    break;
                }
            }
        }
        if !answers {
            ::log::warn!(target: "pci", "slot {number}: what was put in does not answer");
            return self.command(false, Indicator::Off).await;
        }
        // That it came, and came up, is no news; contacts may say so twice.
        self.noted |= self.slot.happened();
        self.noted.remove(Happened::LINK | Happened::PRESENCE);
        self.in_use = self.slot.add() > 0;
        self.command(true, Indicator::On).await;
        self.slot.for_each(|info| {
            ::log::info!(
                target: "pci",
                "slot {number}: {} ({:04x}:{:04x}, {}) was plugged in",
                info.address, info.vendor, info.device, info.class_name()
            );
        });
        tell().await;
    }

    /// The button was pressed: unless it is pressed again, what is in the slot goes.
    async fn asked_to_leave(&mut self) {
        let number = self.slot.number();
        ::log::info!(target: "pci", "slot {number}: what is in it is to be taken out");
        self.command(true, Indicator::Blinking).await;
        let regret = async {
            loop {
                let happened = self.next().await;
                if happened.contains(Happened::BUTTON) {
                    return true;
                }
                if !self.slot.is_occupied() {
                    return false;
                }
            }
        };
        if within(REGRET, regret).await == Some(true) {
            ::log::info!(target: "pci", "slot {number}: it stays");
            return self.command(true, Indicator::On).await;
        }
        self.take_out().await;
    }

    /// What is in the slot goes, or is gone.
    async fn take_out(&mut self) {
        let number = self.slot.number();
        self.slot.for_each(|info| {
            ::log::info!(target: "pci", "slot {number}: {} is taken out", info.address);
        });
        self.slot.remove();
        self.in_use = false;
        release::taken_out(|address| self.slot.leads_to(address));
        tell().await;
        // Who takes longer finds nothing but ones.
        let vacated = release::vacated(|address| self.slot.leads_to(address));
        let _ = within(PORT_LIMIT, vacated).await;
        self.command(false, Indicator::Off).await;
        if self.slot.has_switch() {
            exec::sleep(POWER_OFF_DELAY).await;
        }
        // What power did to the link is no news; that something is put in again is.
        self.noted.remove(Happened::LINK);
    }
}

/// Tells the first process that the list of devices changed.
async fn tell() {
    // Where it is no manager nobody listens, and the way there may be full.
    let _ = within(PATIENCE, first::tell(DEVICES)).await;
}
