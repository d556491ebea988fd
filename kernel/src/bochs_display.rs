//! The standard VGA of QEMU and Bochs, for boots that come without a framebuffer (PVH): its "DISPI" registers set a mode
//! through PCI BAR 2, and BAR 0 holds the pixels (QEMU docs/specs/standard-vga).

use hal::framebuffer::Framebuffer;
use hal::mem::{Cache, Mmio};
use hal::pci::{Bar, Device};
use kerncore::boot_info::{self, PixelFormat};

const VENDOR: u16 = 0x1234;
const DEVICE: u16 = 0x1111;

/// DISPI registers within BAR 2: 16 bits each, from this offset.
const REGISTERS: usize = 0x500;
const ID: usize = 0;
const WIDTH: usize = 1;
const HEIGHT: usize = 2;
const BITS_PER_PIXEL: usize = 3;
const ENABLE: usize = 4;
const VIRTUAL_WIDTH: usize = 6;
const X_OFFSET: usize = 8;
const Y_OFFSET: usize = 9;

/// Interface versions with 32 bits per pixel and a linear framebuffer (0xb0c2 and later).
const OLDEST_ID: u16 = 0xb0c2;
const NEWEST_ID: u16 = 0xb0cf;
const ENABLED_LINEAR: u16 = 0x41;
/// VGA's attribute controller at the start of BAR 2's legacy ports (0x3c0): bit 5 of the index lets the picture show.
const ATTRIBUTE_INDEX: usize = 0x400;
const SHOW_PICTURE: u8 = 0x20;

const MODE_WIDTH: u16 = 1280;
const MODE_HEIGHT: u16 = 800;

/// Sets a mode on the first such adapter and maps its pixels; `None` if there is none or it does not answer as one.
pub fn set_mode() -> Option<Framebuffer> {
    let info = hal::pci::find(VENDOR, DEVICE)?;
    let Some(Bar::Memory {
        address: pixels,
        len,
        ..
    }) = info.bars.first().copied().flatten()
    else {
        return None;
    };
    let device = Device::open(info.address).ok()?;
    let registers = device.map_bar(2, Cache::Uncached).ok()?;
    if !(OLDEST_ID..=NEWEST_ID).contains(&read(&registers, ID)) {
        return None;
    }
    for (register, value) in [
        (ENABLE, 0),
        (WIDTH, MODE_WIDTH),
        (HEIGHT, MODE_HEIGHT),
        (BITS_PER_PIXEL, 32),
        (VIRTUAL_WIDTH, MODE_WIDTH),
        (X_OFFSET, 0),
        (Y_OFFSET, 0),
        (ENABLE, ENABLED_LINEAR),
    ] {
        write(&registers, register, value);
    }
    registers.write8(ATTRIBUTE_INDEX, SHOW_PICTURE);
    // The adapter may have less memory, or other ideas of a mode, than asked for: believe only what it says.
    let (width, height) = (read(&registers, WIDTH), read(&registers, HEIGHT));
    let info = boot_info::Framebuffer {
        address: pixels,
        width: u32::from(width),
        height: u32::from(height),
        stride_bytes: u32::from(read(&registers, VIRTUAL_WIDTH)) * 4,
        bits_per_pixel: 32,
        format: PixelFormat::BGRX8888,
    };
    (info.len_bytes() <= len)
        .then(|| hal::framebuffer::map_device(info).ok())
        .flatten()
}

fn read(registers: &Mmio, register: usize) -> u16 {
    registers.read16(REGISTERS + register * 2)
}

fn write(registers: &Mmio, register: usize, value: u16) {
    registers.write16(REGISTERS + register * 2, value);
}
