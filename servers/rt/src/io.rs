//! Ports and interrupts: what a driver for a port-mapped device is handed.

use core::future::Future;

/// A range of I/O ports, addressed by offset from its first port.
///
/// Holding one is the capability: there is no way to reach a port outside it. Offsets beyond the
/// range read as `0xff` and writes to them are ignored, as on a bus nobody answers on.
pub trait IoPorts: Send + Sync {
    /// Reads the byte at `offset`.
    fn read_u8(&self, offset: u16) -> u8;
    /// Writes the byte at `offset`.
    fn write_u8(&self, offset: u16, value: u8);
}

/// One delivery of an interrupt line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IrqEvent {
    /// Time stamp counter when the first interrupt of this delivery came, taken in the top half.
    pub stamp_ticks: u64,
    /// Interrupts since the last delivery: 1, or more where several came before the driver ran.
    pub count: u32,
}

/// An interrupt line: delivers once, then stays silent until [`ack`](Interrupt::ack).
///
/// The contract the drivers here rely on:
/// * An interrupt that comes when nobody waits is remembered (as one delivery).
/// * An interrupt between a delivery and its `ack` is delivered after the `ack` where the host can
///   see it. A host that masks the line until `ack` loses an *edge* in that window, so a driver of
///   an edge-triggered line looks at its device once more after each `ack`, before it waits.
/// * `wait` is cancel-safe: a dropped wait leaves the delivery for the next one.
pub trait Interrupt: Send + Sync {
    /// Waits for the next delivery.
    fn wait(&self) -> impl Future<Output = IrqEvent> + Send;
    /// Re-arms the line. Harmless when nothing was delivered.
    fn ack(&self);
}

impl<T: IoPorts + ?Sized> IoPorts for &T {
    fn read_u8(&self, offset: u16) -> u8 {
        (**self).read_u8(offset)
    }
    fn write_u8(&self, offset: u16, value: u8) {
        (**self).write_u8(offset, value);
    }
}

impl<T: Interrupt> Interrupt for &T {
    fn wait(&self) -> impl Future<Output = IrqEvent> + Send {
        (**self).wait()
    }
    fn ack(&self) {
        (**self).ack();
    }
}
