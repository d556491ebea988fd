//! Bringing the controller up.

use rt::{Clock, Interrupt, IoPorts};

use crate::registers::{
    ACK, DATA, KEYBOARD_SCAN, SELF_TEST_PASSED, STATUS_COMMAND, command, config, status,
};
use crate::{Controller, Fault, Keyboard, Lines, Mouse, StartError};

/// Pause between two looks at the status.
const LOOK_EVERY_NS: u64 = 100_000;
/// How long the controller may take to accept or answer a byte: real ones need under a millisecond,
/// firmware emulations of a USB keyboard some tens.
pub(crate) const ANSWER_NS: u64 = 100_000_000;
/// How long a self test or the keyboard itself may take.
pub(crate) const SLOW_ANSWER_NS: u64 = 1_000_000_000;
/// More stale bytes than any controller and keyboard can hold between them.
pub(crate) const MOST_STALE_BYTES: u32 = 64;

impl<P: IoPorts, I: Interrupt> Controller<P, I> {
    /// Brings the controller behind `ports` up, with the keyboard scanning, a mouse reporting if its line is there, and their
    /// interrupts on. Takes at most some seconds on the worst hardware and some milliseconds on good one, asleep for nearly all of it.
    ///
    /// # Errors
    /// [`StartError`] if there is no controller, or a faulty one.
    pub async fn start<C: Clock>(ports: P, lines: Lines<I>, clock: &C) -> Result<Self, StartError> {
        let wires = Wires {
            ports: &ports,
            clock,
        };
        let (keyboard, mouse) = wires
            .bring_up(lines.mouse.is_some())
            .await
            .map_err(|fault| StartError { fault })?;
        Ok(Self::new(ports, lines, keyboard, mouse))
    }
}

pub(crate) struct Wires<'a, P, C> {
    pub(crate) ports: &'a P,
    clock: &'a C,
}

impl<P: IoPorts, C: Clock> Wires<'_, P, C> {
    async fn bring_up(&self, wants_mouse: bool) -> Result<(Keyboard, Option<Mouse>), Fault> {
        if self.ports.read_u8(STATUS_COMMAND) == u8::MAX {
            return Err(Fault::NothingThere);
        }
        // The first command doubles as the look whether anything is there at all.
        self.command(command::FIRST_OFF).await?;
        self.flush()?;
        let found = self.ask(command::READ_CONFIG, ANSWER_NS).await?;
        self.command(command::SECOND_OFF).await?;
        self.flush()?;
        let quiet = (found | config::FIRST_OFF | config::SECOND_OFF)
            & !(config::FIRST_IRQ | config::SECOND_IRQ);
        self.write_config(quiet).await?;
        let answer = self.ask(command::SELF_TEST, SLOW_ANSWER_NS).await?;
        if answer != SELF_TEST_PASSED {
            return Err(Fault::SelfTest { answer });
        }
        // Some controllers forget their configuration in the self test.
        self.write_config(quiet).await?;
        let answer = self.ask(command::FIRST_TEST, SLOW_ANSWER_NS).await?;
        if answer != 0 {
            return Err(Fault::PortTest { answer });
        }
        // One port after the other, so that each one's answers come alone.
        let mouse = if wants_mouse {
            let found = self.start_mouse().await;
            self.command(command::SECOND_OFF).await?;
            self.flush()?;
            found.unwrap_or(None)
        } else {
            None
        };
        self.command(command::FIRST_ON).await?;
        let keyboard = self.start_scanning().await?;
        // Last, so that no interrupt comes for the answers above.
        let mut running = quiet & !config::FIRST_OFF | config::FIRST_IRQ | config::TRANSLATE;
        if mouse.is_some() {
            running = running & !config::SECOND_OFF | config::SECOND_IRQ;
        }
        self.write_config(running).await?;
        Ok((keyboard, mouse))
    }

    /// Switches the keyboard's scanning on. Keys pressed meanwhile may come before its answer.
    async fn start_scanning(&self) -> Result<Keyboard, Fault> {
        self.accept(KEYBOARD_SCAN).await?;
        self.ports.write_u8(DATA, KEYBOARD_SCAN);
        for _ in 0..MOST_STALE_BYTES {
            match self.answer(KEYBOARD_SCAN, SLOW_ANSWER_NS).await {
                Ok(ACK) => return Ok(Keyboard::Answered),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        Ok(Keyboard::Silent)
    }

    async fn write_config(&self, value: u8) -> Result<(), Fault> {
        self.command(command::WRITE_CONFIG).await?;
        self.accept(command::WRITE_CONFIG).await?;
        self.ports.write_u8(DATA, value);
        Ok(())
    }

    pub(crate) async fn ask(&self, command: u8, patience_ns: u64) -> Result<u8, Fault> {
        self.command(command).await?;
        self.answer(command, patience_ns).await
    }

    pub(crate) async fn command(&self, command: u8) -> Result<(), Fault> {
        self.accept(command).await?;
        self.ports.write_u8(STATUS_COMMAND, command);
        Ok(())
    }

    pub(crate) async fn accept(&self, command: u8) -> Result<(), Fault> {
        if self
            .status_within(ANSWER_NS, |bits| bits & status::INPUT_FULL == 0)
            .await
        {
            Ok(())
        } else {
            Err(Fault::NotAccepting { command })
        }
    }

    pub(crate) async fn answer(&self, command: u8, patience_ns: u64) -> Result<u8, Fault> {
        if self
            .status_within(patience_ns, |bits| bits & status::OUTPUT_FULL != 0)
            .await
        {
            Ok(self.ports.read_u8(DATA))
        } else {
            Err(Fault::NoAnswer { command })
        }
    }

    /// Throws away what was waiting.
    fn flush(&self) -> Result<(), Fault> {
        for _ in 0..MOST_STALE_BYTES {
            if self.ports.read_u8(STATUS_COMMAND) & status::OUTPUT_FULL == 0 {
                return Ok(());
            }
            self.ports.read_u8(DATA);
        }
        Err(Fault::NeverEmpty)
    }

    /// Looks at the status until `wanted` holds; false if it does not within `patience_ns`. The
    /// time limit is in looks too, so that a clock that stands still cannot make it endless.
    pub(crate) async fn status_within(
        &self,
        patience_ns: u64,
        wanted: impl Fn(u8) -> bool + Send,
    ) -> bool {
        let until = self
            .clock
            .now_ticks()
            .saturating_add(self.clock.ticks_in(patience_ns));
        for _ in 0..patience_ns.div_ceil(LOOK_EVERY_NS) {
            if wanted(self.ports.read_u8(STATUS_COMMAND)) {
                return true;
            }
            if self.clock.now_ticks() >= until {
                return false;
            }
            self.clock.sleep(LOOK_EVERY_NS).await;
        }
        wanted(self.ports.read_u8(STATUS_COMMAND))
    }
}
