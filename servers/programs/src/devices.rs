//! Drives devices from ring 3: QEMU's teaching device (`-device edu`; docs/specs/edu of QEMU) with its registers, message interrupts
//! and DMA; the second serial port in loop-back with its ports and interrupt line (16550 data sheet); the debug port. Exits with 0
//! if all of it works and all that must be refused is.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::sync::atomic::Ordering;

use abi::Error;
use abi::device::{PartKind, pci_address};
use abi::memory::MapFlags;
use rt::Env;
use rt::sys::clock;
use rt::sys::memory::{Mapping, copy_into, copy_out_of};
use rt::sys::object::{Device, Interrupt, IoRange, System};
use rt::sys::process::yield_now;

rt::entry!(main);

const EDU: (u16, u16) = (0x1234, 0x11e8);
// Its registers.
const ALIVE: usize = 0x04;
const FACTORIAL: usize = 0x08;
const STATUS: usize = 0x20;
const RAISE: usize = 0x60;
const LOWER: usize = 0x64;
const DMA_FROM: usize = 0x80;
const DMA_TO: usize = 0x88;
const DMA_BYTES: usize = 0x90;
const DMA_COMMAND: usize = 0x98;
const DMA_START: u32 = 1;
const DMA_TO_MEMORY: u32 = 2;
const DMA_INTERRUPT: u32 = 4;
/// Its own memory, as its DMA engine knows it.
const OWN_MEMORY: u32 = 0x40000;
/// A part of it: QEMU 7.2 takes a transfer of all 4096 for one beyond its end.
const BUFFER_BYTES: usize = 2048;

const ROUNDS: u32 = 50;
const PATIENCE_NS: u64 = 20_000_000_000;

type Step = fn(&System) -> Result<(), Error>;

fn main(mut env: Env) -> i32 {
    let Ok(system) = env.take::<System>("system") else {
        log::error!("devices are given out to who manages the system");
        return 2;
    };
    let steps: [(&str, Step); 5] = [
        ("refusals", refusals),
        ("debug port", debug_port),
        ("serial port", serial_port),
        ("teaching device", teaching_device),
        // The same again: the driver before has given everything back.
        ("its next driver", teaching_device),
    ];
    for (name, step) in steps {
        if let Err(error) = step(&system) {
            log::error!("{name}: {error}");
            return 1;
        }
        log::info!("{name}: works");
    }
    0
}

fn holds(condition: bool) -> Result<(), Error> {
    if condition {
        Ok(())
    } else {
        Err(Error::BadState)
    }
}

fn deadline() -> u64 {
    clock::now_ns() + PATIENCE_NS
}

/// Nothing that the kernel needs itself, nothing that is not there.
fn refusals(system: &System) -> Result<(), Error> {
    for (first, count) in [(0x20, 2), (0x40, 4), (0xcf8, 8), (0x2f8, 16), (0, 0xffff)] {
        holds(IoRange::legacy(system, first, count) == Err(Error::Unsupported))?;
    }
    holds(IoRange::legacy(system, 0x60, 5) == Err(Error::Occupied))?;
    holds(Interrupt::line(system, 1, 0) == Err(Error::Occupied))?;
    holds(Interrupt::line(system, 99, 0) == Err(Error::BadArgument))?;
    holds(Interrupt::line(system, 3, 9999) == Err(Error::BadArgument))?;
    holds(Device::open(system, u64::MAX) == Err(Error::OutOfRange))?;
    holds(Device::open(system, pci_address(0, 255, 31, 7)) == Err(Error::OutOfRange))
}

fn debug_port(system: &System) -> Result<(), Error> {
    let port = IoRange::legacy(system, 0xe9, 1)?;
    holds(IoRange::legacy(system, 0xe9, 1) == Err(Error::Occupied))?;
    port.write(0, 1, u32::from(b'R'))?;
    // What the port of an emulator answers.
    holds(port.read(0, 1)? == 0xe9)?;
    holds(port.read(1, 1) == Err(Error::OutOfRange))?;
    holds(port.read(0, 2) == Err(Error::OutOfRange))?;
    holds(port.read(0, 3) == Err(Error::BadArgument))?;
    drop(port);
    IoRange::legacy(system, 0xe9, 1).map(drop)
}

/// Each byte that the port has sent to itself is an interrupt.
fn serial_port(system: &System) -> Result<(), Error> {
    const DATA: u16 = 0;
    const INTERRUPT_ENABLE: u16 = 1;
    const INTERRUPT_IDENTITY: u16 = 2;
    const MODEM_CONTROL: u16 = 4;
    const RECEIVED: u32 = 1;
    const LOOP_BACK: u32 = 0x10 | 0x08;
    let ports = IoRange::legacy(system, 0x2f8, 8)?;
    let line = Interrupt::line(system, 3, 0)?;
    holds(Interrupt::line(system, 3, 0) == Err(Error::Occupied))?;
    holds(line.wait_event_blocking(abi::AT_ONCE) == Err(Error::WouldWait))?;
    ports.write(MODEM_CONTROL, 1, LOOP_BACK)?;
    ports.write(INTERRUPT_ENABLE, 1, RECEIVED)?;
    for byte in 0..ROUNDS {
        let sent = clock::now_ticks();
        ports.write(DATA, 1, byte)?;
        let event = line.wait_event_blocking(deadline())?;
        holds(event.stamp_ticks >= sent)?;
        ports.read(INTERRUPT_IDENTITY, 1)?;
        holds(ports.read(DATA, 1)? == byte)?;
        line.acknowledge()?;
    }
    ports.write(INTERRUPT_ENABLE, 1, 0)?;
    ports.write(MODEM_CONTROL, 1, 0)
}

/// Looks for it on the first bus.
fn find(system: &System) -> Result<Device, Error> {
    let end = deadline();
    loop {
        let mut busy = false;
        for slot in 0..32 {
            match Device::open(system, pci_address(0, 0, slot, 0)) {
                Ok(device) => {
                    let info = device.describe()?;
                    if (info.vendor, info.device) == EDU {
                        return Ok(device);
                    }
                }
                Err(error) => busy |= error == Error::Occupied,
            }
        }
        // What was just looked at is being given back; so may be what is looked for.
        if !busy || clock::now_ns() > end {
            return Err(Error::OutOfRange);
        }
        yield_now();
    }
}

fn read(registers: &Mapping, offset: usize) -> Result<u32, Error> {
    let word = registers.word_u32(offset).ok_or(Error::OutOfRange)?;
    Ok(word.load(Ordering::SeqCst))
}

fn write(registers: &Mapping, offset: usize, value: u32) -> Result<(), Error> {
    let word = registers.word_u32(offset).ok_or(Error::OutOfRange)?;
    word.store(value, Ordering::SeqCst);
    Ok(())
}

fn teaching_device(system: &System) -> Result<(), Error> {
    let device = find(system)?;
    let info = device.describe()?;
    holds(Device::open(system, info.address) == Err(Error::Occupied))?;
    holds(device.config(0)? == u32::from(EDU.1) << 16 | u32::from(EDU.0))?;
    holds(device.config(2) == Err(Error::OutOfRange))?;
    holds(device.config(4096) == Err(Error::OutOfRange))?;
    let part = info.parts.first().copied().unwrap_or_default();
    holds(part.kind == PartKind::Memory as u32 && part.bytes == 1 << 20)?;
    holds(device.memory(1).is_err() && device.memory(99) == Err(Error::OutOfRange))?;
    holds(device.ports(0) == Err(Error::WrongType))?;
    let memory = device.memory(0)?;
    holds(memory.map(0, part.bytes, MapFlags::EXECUTE).err() == Some(Error::NoRight))?;
    holds(memory.resize(4096).is_err())?;
    let registers = memory.map(0, part.bytes, MapFlags::WRITE)?;

    write(&registers, ALIVE, 0x1234_5678)?;
    holds(read(&registers, ALIVE)? == !0x1234_5678)?;
    write(&registers, FACTORIAL, 10)?;
    let end = deadline();
    while read(&registers, STATUS)? & 1 != 0 && clock::now_ns() < end {
        yield_now();
    }
    holds(read(&registers, FACTORIAL)? == 3_628_800)?;

    let interrupt = device.interrupt(0, 0)?;
    holds(device.interrupt(0, 0) == Err(Error::Occupied))?;
    holds(device.interrupt(info.messages, 0) == Err(Error::OutOfRange))?;
    for _ in 0..ROUNDS {
        write(&registers, RAISE, 1)?;
        holds(interrupt.wait_event_blocking(deadline())?.count == 1)?;
        write(&registers, LOWER, 1)?;
        interrupt.acknowledge()?;
    }
    holds(interrupt.wait_event_blocking(abi::AT_ONCE) == Err(Error::WouldWait))?;
    // Another one for the same message, when the first is gone.
    drop(interrupt);
    let end = deadline();
    let interrupt = loop {
        match device.interrupt(0, clock::page().cores - 1) {
            Err(Error::Occupied) if clock::now_ns() < end => yield_now(),
            interrupt => break interrupt?,
        }
    };
    dma(&device, &registers, &interrupt)
}

/// Memory to the device and back to other memory.
fn dma(device: &Device, registers: &Mapping, interrupt: &Interrupt) -> Result<(), Error> {
    let dma = device.dma()?;
    holds(dma.memory(0) == Err(Error::OutOfRange))?;
    holds(dma.memory(1 << 30) == Err(Error::OutOfRange))?;
    let (memory, address) = dma.memory(2 * BUFFER_BYTES as u64)?;
    let buffer = memory.map(0, 2 * BUFFER_BYTES as u64, MapFlags::WRITE)?;
    let address = u32::try_from(address).map_err(|_| Error::OutOfRange)?;
    for round in 0..8_u8 {
        let sent: [u8; BUFFER_BYTES] =
            core::array::from_fn(|index| (index as u8).wrapping_mul(7).wrapping_add(round));
        holds(copy_into(&buffer, 0, &sent))?;
        let there = [(DMA_FROM, address), (DMA_TO, OWN_MEMORY)];
        transfer(registers, interrupt, there, 0)?;
        let back = [
            (DMA_FROM, OWN_MEMORY),
            (DMA_TO, address + BUFFER_BYTES as u32),
        ];
        transfer(registers, interrupt, back, DMA_TO_MEMORY)?;
        let mut received = [0; BUFFER_BYTES];
        holds(copy_out_of(&buffer, BUFFER_BYTES, &mut received))?;
        holds(received == sent)?;
    }
    // Given back once; who has it mapped keeps it.
    let address = u64::from(address);
    holds(dma.release(address + 1) == Err(Error::OutOfRange))?;
    dma.release(address)?;
    holds(dma.release(address) == Err(Error::OutOfRange))?;
    holds(copy_into(&buffer, 0, &[1; BUFFER_BYTES]))?;
    // As often as there is memory, not only as often as a device may have buffers.
    for _ in 0..100 {
        let (_, address) = dma.memory(2 * BUFFER_BYTES as u64)?;
        dma.release(address)?;
    }
    Ok(())
}

fn transfer(
    registers: &Mapping,
    interrupt: &Interrupt,
    addresses: [(usize, u32); 2],
    direction: u32,
) -> Result<(), Error> {
    for (register, address) in addresses {
        write(registers, register, address)?;
    }
    write(registers, DMA_BYTES, BUFFER_BYTES as u32)?;
    write(
        registers,
        DMA_COMMAND,
        DMA_START | direction | DMA_INTERRUPT,
    )?;
    interrupt.wait_event_blocking(deadline())?;
    write(registers, LOWER, 0x100)?;
    interrupt.acknowledge()
}
