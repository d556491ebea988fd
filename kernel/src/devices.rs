//! The kernel's own objects as the traits that resident servers are handed.

use core::future::Future;

use hal::io::PortRange;
use hal::irq::Interrupt;

use crate::exec;

/// A range of I/O ports.
pub struct Ports(PortRange);

impl Ports {
    /// Gives a server the ports of a legacy device.
    pub const fn new(ports: PortRange) -> Self {
        Self(ports)
    }
}

impl rt::IoPorts for Ports {
    fn read_u8(&self, offset: u16) -> u8 {
        self.0.read_u8(offset)
    }

    fn write_u8(&self, offset: u16, value: u8) {
        self.0.write_u8(offset, value);
    }
}

/// An interrupt line.
pub struct Line(Interrupt);

impl Line {
    /// Gives a server a claimed interrupt.
    pub const fn new(interrupt: Interrupt) -> Self {
        Self(interrupt)
    }
}

impl rt::Interrupt for Line {
    async fn wait(&self) -> rt::IrqEvent {
        let event = self.0.wait().await;
        rt::IrqEvent {
            stamp_ticks: event.stamp_ticks,
            count: event.count,
        }
    }

    fn ack(&self) {
        self.0.ack();
    }
}

/// The monotonic clock.
#[derive(Clone, Copy)]
pub struct KernelClock;

impl rt::Clock for KernelClock {
    fn now_ticks(&self) -> u64 {
        hal::time::now_ticks()
    }

    fn ticks_per_second(&self) -> u64 {
        hal::time::ticks_per_second()
    }

    fn sleep_until(&self, deadline_ticks: u64) -> impl Future<Output = ()> + Send {
        exec::sleep_until(deadline_ticks)
    }
}
