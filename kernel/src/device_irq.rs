//! The self-test `device_irq`: interrupts of a real PCI device, as a level-triggered line and as a message.
//!
//! It needs QEMU's teaching device (`-device edu`), which raises its interrupt when told to and lowers it when told
//! to (QEMU docs/specs/edu), and the q35 machine, which wires the interrupt pins of PCI devices to GSI 16 to 23.

use core::time::Duration;

use hal::irq::{self, Interrupt, IrqEvent, Polarity, Trigger};
use hal::mem::{Cache, Mmio};
use hal::pci::{self, Device};

use crate::exec;

const VENDOR: u16 = 0x1234;
const DEVICE: u16 = 0x11e8;
/// Writing raises the interrupt.
const RAISE: usize = 0x60;
/// Writing lowers it.
const ACKNOWLEDGE: usize = 0x64;
const PCI_LINES: core::ops::Range<u32> = 16..24;
const ROUNDS: u32 = 20;
/// Patience, and how long something that must not come is waited for.
const STEP: Duration = Duration::from_millis(2);
const STEPS: u32 = 1000;

/// Runs the test.
pub async fn run() -> Result<(), &'static str> {
    let device = pci::find(VENDOR, DEVICE)
        .and_then(|info| Device::open(info.address).ok())
        .ok_or("this test needs -device edu")?;
    let registers = device
        .map_bar(0, Cache::Uncached)
        .map_err(|_| "the device's registers cannot be mapped")?;
    line(&registers).await?;
    message(&device, &registers).await
}

/// The line stays masked from the interrupt until the acknowledgement, though the device keeps it asserted.
async fn line(registers: &Mmio) -> Result<(), &'static str> {
    let claim = |gsi| irq::claim_gsi(gsi, Trigger::Level, Polarity::ActiveLow, "selftest", 0);
    let mut lines: [Option<Interrupt>; 8] = [const { None }; 8];
    for (place, gsi) in lines.iter_mut().zip(PCI_LINES) {
        *place = Some(claim(gsi).map_err(|_| "a PCI line cannot be claimed")?);
    }
    if claim(PCI_LINES.start).is_ok() {
        return Err("a line was claimed twice");
    }
    for _ in 0..ROUNDS {
        registers.write32(RAISE, 1);
        let mut raised = None;
        for _ in 0..STEPS {
            raised = lines
                .iter()
                .flatten()
                .find(|line| line.try_take().is_some_and(once));
            if raised.is_some() {
                break;
            }
            exec::sleep(STEP).await;
        }
        let raised = raised.ok_or("the line's interrupt did not come once")?;
        exec::sleep(STEP).await;
        if raised.try_take().is_some() {
            return Err("the line was not masked until the acknowledgement");
        }
        registers.write32(ACKNOWLEDGE, 1);
        raised.ack();
    }
    Ok(())
}

/// One message for each time the device is told to, on the core chosen.
async fn message(device: &Device, registers: &Mmio) -> Result<(), &'static str> {
    let core = hal::cpu::percpu::count() - 1;
    let interrupt = irq::claim_msi("selftest", core).map_err(|_| "no interrupt vector is free")?;
    device.set_bus_master(true);
    device
        .enable_msi(&interrupt)
        .map_err(|_| "the device sends no messages")?;
    for _ in 0..ROUNDS {
        registers.write32(RAISE, 1);
        if !once(interrupt.wait().await) {
            return Err("one message counted more than once");
        }
        registers.write32(ACKNOWLEDGE, 1);
        interrupt.ack();
    }
    Ok(())
}

fn once(event: IrqEvent) -> bool {
    event.count == 1
}
