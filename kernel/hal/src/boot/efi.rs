//! The UEFI entry: the kernel image is itself the UEFI application (UEFI 2.10 §4, §7).
//!
//! Runs on the firmware's stack and page tables. The prebuilt core library may use the red zone, which an
//! interrupt taken on our stack would destroy, so interrupts stay off except during calls into firmware.

use core::ffi::c_void;
use core::ptr::{self, null_mut};

use kerncore::boot_info::{
    BootInfo, BootPath, Channel, FirmwareEntropySource, Framebuffer, MAX_COMMAND_LINE_BYTES,
    MemoryKind, MemoryRegion, PixelFormat, SecureBoot,
};
use uefi_raw::protocol::console::{GraphicsOutputProtocol, GraphicsPixelFormat};
use uefi_raw::protocol::file_system::{
    FileAttribute, FileMode, FileProtocolV1, SimpleFileSystemProtocol,
};
use uefi_raw::protocol::loaded_image::LoadedImageProtocol;
use uefi_raw::protocol::rng::RngProtocol;
use uefi_raw::table::boot::{BootServices, MemoryDescriptor};
use uefi_raw::table::configuration::ConfigurationTable;
use uefi_raw::table::runtime::RuntimeServices;
use uefi_raw::table::system::SystemTable;
use uefi_raw::{Guid, Handle, Status, guid};
use x86_64::instructions::interrupts;

use super::handoff;

const ACPI_20_TABLE: Guid = guid!("8868e871-e4f1-11d3-bc22-0080c73c8881");
const ACPI_10_TABLE: Guid = guid!("eb9d2d30-2d88-11d3-9a16-0090273fc14d");
const GLOBAL_VARIABLE: Guid = guid!("8be4df61-93ca-11d2-aa0d-00e098032b8c");

/// Room for the memory map; firmware in use has 30 to 200 descriptors of 48 bytes.
const MAP_BYTES: usize = 64 * 1024;
/// ExitBootServices wants the key of the newest map, which the call itself may change: try again a few times.
const EXIT_TRIES: u32 = 8;

#[repr(C, align(8))]
struct MapBuffer([u8; MAP_BYTES]);

/// Too large for the firmware's stack. Used once, by one core.
static mut MAP: MapBuffer = MapBuffer([0; MAP_BYTES]);
static mut BOOT: BootInfo = BootInfo::new(BootPath::Uefi);

/// Calls into firmware with interrupts on, as it expects.
fn firmware<R>(call: impl FnOnce() -> R) -> R {
    interrupts::enable();
    let result = call();
    interrupts::disable();
    result
}

/// The application's entry, from `entry.s`. Returns a status only if boot services could not be left.
#[unsafe(no_mangle)]
extern "efiapi" fn boot_efi(image: Handle, system: *const SystemTable) -> Status {
    interrupts::disable();
    let entry_ticks = super::early_ticks();
    // SAFETY: firmware starts us on one core and passes its own tables; the statics are used here only.
    unsafe {
        let boot = (&raw mut BOOT).as_mut_unchecked();
        boot.entry_ticks = entry_ticks;
        let system = &*system;
        let services = &*system.boot_services;
        read_command_line(boot, services, image);
        read_graphics(boot, services);
        read_entropy(boot, services);
        read_secure_boot(boot, &*system.runtime_services);
        read_rsdp(boot, system);
        match leave_boot_services(boot, services, image) {
            Ok(()) => handoff::enter_kernel(*boot),
            Err(status) => {
                interrupts::enable();
                status
            }
        }
    }
}

/// Finds the interface `T` that `handle` has.
///
/// # Safety
/// `T` is the interface type of `protocol`.
unsafe fn protocol_of<T>(
    services: &BootServices,
    handle: Handle,
    protocol: &Guid,
) -> Option<&'static mut T> {
    let mut interface: *mut c_void = null_mut();
    // SAFETY: valid pointers for the duration of the call.
    let status =
        firmware(|| unsafe { (services.handle_protocol)(handle, protocol, &mut interface) });
    // SAFETY: firmware's interface lives until boot services are left.
    (status == Status::SUCCESS).then(|| unsafe { interface.cast::<T>().as_mut() })?
}

/// Finds the first interface `T` of any handle.
///
/// # Safety
/// `T` is the interface type of `protocol`.
unsafe fn first_protocol<T>(services: &BootServices, protocol: &Guid) -> Option<&'static mut T> {
    let mut interface: *mut c_void = null_mut();
    // SAFETY: valid pointers for the duration of the call.
    let status =
        firmware(|| unsafe { (services.locate_protocol)(protocol, null_mut(), &mut interface) });
    // SAFETY: as above.
    (status == Status::SUCCESS).then(|| unsafe { interface.cast::<T>().as_mut() })?
}

/// The command line: `\EFI\BOOT\raede.cfg` beside the application, then the load options.
///
/// # Safety
/// Boot services are live and `image` is our handle.
unsafe fn read_command_line(boot: &mut BootInfo, services: &BootServices, image: Handle) {
    // SAFETY: interface types match their GUIDs; the firmware's pointers are valid until boot services end.
    unsafe {
        let Some(loaded) =
            protocol_of::<LoadedImageProtocol>(services, image, &LoadedImageProtocol::GUID)
        else {
            return;
        };
        if let Some(volume) = protocol_of::<SimpleFileSystemProtocol>(
            services,
            loaded.device_handle,
            &SimpleFileSystemProtocol::GUID,
        ) {
            read_config_file(boot, volume);
        }
        if !loaded.load_options.is_null() {
            let options = loaded.load_options.cast::<u16>();
            boot.command_line.push(b" ");
            for index in 0..(loaded.load_options_size as usize / 2).min(MAX_COMMAND_LINE_BYTES) {
                let unit = options.add(index).read_unaligned();
                // Options are UCS-2; what is not ASCII cannot be a word of ours.
                let byte = u8::try_from(unit).ok().filter(u8::is_ascii).unwrap_or(b'?');
                if byte == 0 {
                    break;
                }
                boot.command_line.push(&[byte]);
            }
        }
    }
}

/// # Safety
/// `volume` is the live interface of a file system.
unsafe fn read_config_file(boot: &mut BootInfo, volume: &mut SimpleFileSystemProtocol) {
    let mut path = [0u16; 32];
    for (unit, byte) in path.iter_mut().zip(br"\EFI\BOOT\raede.cfg") {
        *unit = u16::from(*byte);
    }
    let mut root: *mut FileProtocolV1 = null_mut();
    let mut file: *mut FileProtocolV1 = null_mut();
    let mut text = [0u8; MAX_COMMAND_LINE_BYTES];
    let mut len = text.len();
    // SAFETY: each call gets valid pointers, and results are used only after success.
    unsafe {
        if firmware(|| (volume.open_volume)(volume, &mut root)) != Status::SUCCESS {
            return;
        }
        let opened = firmware(|| {
            ((*root).open)(
                root,
                &mut file,
                path.as_ptr().cast(),
                FileMode::READ,
                FileAttribute::empty(),
            )
        });
        if opened == Status::SUCCESS {
            if firmware(|| ((*file).read)(file, &mut len, text.as_mut_ptr().cast()))
                == Status::SUCCESS
            {
                for byte in text.iter_mut().filter(|byte| byte.is_ascii_control()) {
                    *byte = b' ';
                }
                boot.command_line.push(text.get(..len).unwrap_or(&[]));
            }
            // Nothing was written: a failing close loses nothing.
            let _ = firmware(|| ((*file).close)(file));
        }
        let _ = firmware(|| ((*root).close)(root));
    }
}

/// # Safety
/// Boot services are live.
unsafe fn read_graphics(boot: &mut BootInfo, services: &BootServices) {
    // SAFETY: the interface type matches its GUID; mode and info are the firmware's and valid now.
    unsafe {
        let Some(gop) =
            first_protocol::<GraphicsOutputProtocol>(services, &GraphicsOutputProtocol::GUID)
        else {
            return;
        };
        let Some(mode) = gop.mode.as_ref() else {
            return;
        };
        let Some(info) = mode.info.as_ref() else {
            return;
        };
        let format = match info.pixel_format {
            GraphicsPixelFormat::PIXEL_RED_GREEN_BLUE_RESERVED_8_BIT_PER_COLOR => {
                PixelFormat::RGBX8888
            }
            GraphicsPixelFormat::PIXEL_BLUE_GREEN_RED_RESERVED_8_BIT_PER_COLOR => {
                PixelFormat::BGRX8888
            }
            GraphicsPixelFormat::PIXEL_BIT_MASK => {
                let mask = &info.pixel_information;
                match (
                    Channel::from_mask(mask.red),
                    Channel::from_mask(mask.green),
                    Channel::from_mask(mask.blue),
                ) {
                    (Some(red), Some(green), Some(blue)) => PixelFormat { red, green, blue },
                    _ => return,
                }
            }
            // "Blt only": there is no linear framebuffer.
            _ => return,
        };
        boot.framebuffer = Some(Framebuffer {
            address: mode.frame_buffer_base,
            width: info.horizontal_resolution,
            height: info.vertical_resolution,
            stride_bytes: info.pixels_per_scan_line.saturating_mul(4),
            bits_per_pixel: 32,
            format,
        });
    }
}

/// # Safety
/// Boot services are live.
unsafe fn read_entropy(boot: &mut BootInfo, services: &BootServices) {
    let mut words = [0u64; 4];
    // SAFETY: the interface type matches its GUID; the buffer outlives the call.
    let read = unsafe {
        first_protocol::<RngProtocol>(services, &RngProtocol::GUID).is_some_and(|rng| {
            firmware(|| {
                (rng.get_rng)(
                    rng,
                    ptr::null(),
                    size_of_val(&words),
                    words.as_mut_ptr().cast(),
                )
            }) == Status::SUCCESS
        })
    };
    if read {
        boot.firmware_entropy.source = FirmwareEntropySource::UefiRng;
        for word in words {
            // Four words fit.
            let _ = boot.firmware_entropy.words.push(word);
        }
    }
}

/// # Safety
/// Runtime services are live.
unsafe fn read_secure_boot(boot: &mut BootInfo, services: &RuntimeServices) {
    let read = |name: &[u8]| {
        let mut units = [0u16; 16];
        for (unit, byte) in units.iter_mut().zip(name) {
            *unit = u16::from(*byte);
        }
        let mut value = 0u8;
        let mut size = 1usize;
        // SAFETY: a NUL-terminated name and a one-byte buffer, both alive during the call.
        let status = firmware(|| unsafe {
            (services.get_variable)(
                units.as_ptr().cast(),
                &GLOBAL_VARIABLE,
                null_mut(),
                &mut size,
                &mut value,
            )
        });
        (status == Status::SUCCESS).then_some(value == 1)
    };
    boot.secure_boot = match (read(b"SecureBoot"), read(b"SetupMode")) {
        (_, Some(true)) => Some(SecureBoot::SetupMode),
        (Some(true), _) => Some(SecureBoot::Enabled),
        (Some(false), _) => Some(SecureBoot::Disabled),
        (None, _) => None,
    };
}

/// # Safety
/// The system table is live.
unsafe fn read_rsdp(boot: &mut BootInfo, system: &SystemTable) {
    let table: *const ConfigurationTable = system.configuration_table;
    for wanted in [ACPI_20_TABLE, ACPI_10_TABLE] {
        for index in 0..system.number_of_configuration_table_entries {
            // SAFETY: the firmware's table has that many entries.
            let entry = unsafe { &*table.add(index) };
            if entry.vendor_guid == wanted {
                boot.rsdp = Some(entry.vendor_table as u64);
                return;
            }
        }
    }
}

/// # Safety
/// Boot services are live; on success they are gone.
unsafe fn leave_boot_services(
    boot: &mut BootInfo,
    services: &BootServices,
    image: Handle,
) -> Result<(), Status> {
    let buffer = (&raw mut MAP).cast::<u8>();
    let mut last = Status::ABORTED;
    for _ in 0..EXIT_TRIES {
        let (mut size, mut key, mut stride, mut version) = (MAP_BYTES, 0usize, 0usize, 0u32);
        // SAFETY: the buffer is MAP_BYTES long and aligned for descriptors.
        let status = firmware(|| unsafe {
            (services.get_memory_map)(
                &mut size,
                buffer.cast(),
                &mut key,
                &mut stride,
                &mut version,
            )
        });
        if status != Status::SUCCESS {
            return Err(status);
        }
        // SAFETY: our own handle and the key just got.
        last = firmware(|| unsafe { (services.exit_boot_services)(image, key) });
        if last == Status::SUCCESS {
            let stride = stride.max(size_of::<MemoryDescriptor>());
            for index in 0..size / stride {
                // SAFETY: inside what firmware wrote; a descriptor is plain data.
                let descriptor = unsafe {
                    buffer
                        .add(index * stride)
                        .cast::<MemoryDescriptor>()
                        .read_unaligned()
                };
                let end = descriptor
                    .phys_start
                    .saturating_add(descriptor.page_count.saturating_mul(4096));
                let kind = MemoryKind::from_uefi(descriptor.ty.0);
                boot.memory
                    .push(MemoryRegion::new(descriptor.phys_start, end, kind));
            }
            return Ok(());
        }
    }
    Err(last)
}
