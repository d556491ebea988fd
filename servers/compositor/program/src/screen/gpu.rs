//! A virtio graphics device: it takes what was composed, or a window's picture as it is, out of memory by itself, and says when that is seen.
//!
//! All outputs show parts of one picture, the desk; an output that shows a window alone has that window's pictures in its place. A picture
//! is taken to the device before an output shows it, and forgotten after no output does.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use abi::device::pci_address;
use abi::memory::MapFlags;
use abi::system::Table;
use compositor::PictureKey;
use draw::Rect;
use proto::table::{MAX_ROW_BYTES, Reader};
use proto::{PciAddress, PciRow};
use rt::sys::clock;
use rt::sys::memory::{Mapping, copy_pixels_into};
use rt::sys::object::{Device, System};
use rt::{MonotonicClock, sleep};
use virtio::gpu::{self, Changes, Control, Cursor, GpuError, Pixels, Work};
use virtio::hardware::Ring3;
use virtio::{Fault, kind, kind_of};

use super::{Failure, Output, Picture, Screen};
use crate::pictures::Reach;

/// Its interrupts are taken by the first core.
const CORE: u32 = 0;
/// The device of an instance that died is reset before the next one gets it.
const AGAIN_AFTER: Duration = Duration::from_millis(10);
const TRIES: u32 = 500;
/// Longest side of an output that is used: the desk counts in 16 bits.
const MOST_SIDE: u32 = 8192;
/// What an output shows that does not say how large it is.
const USUAL: (u32, u32) = (1280, 800);

/// What composed parts are copied into.
struct Desk {
    picture: gpu::Picture,
    memory: Mapping,
    address: u64,
}

/// What an output shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shows {
    Nothing,
    Desk,
    Window(PictureKey),
}

/// The device as a screen.
pub struct Gpu {
    function: Arc<Ring3>,
    control: Control<Arc<Ring3>>,
    desk: Option<Desk>,
    /// Those of other sizes, until outputs show the new one.
    old: Vec<Desk>,
    outputs: Vec<(Output, Shows)>,
    windows: Vec<(PictureKey, gpu::Picture)>,
}

/// A device that was found and started.
pub struct Started {
    /// What it is called.
    pub address: PciAddress,
    /// What shows frames.
    pub screen: Gpu,
    /// What shows the pointer.
    pub cursor: Cursor<Arc<Ring3>>,
    /// What says that outputs change.
    pub changes: Changes<Arc<Ring3>>,
}

fn find(system: &System) -> Option<PciAddress> {
    let (mut cursor, mut bytes) = (0, [0; 2 * MAX_ROW_BYTES]);
    while let Ok(len @ 1..) = system.query(Table::Pci, &mut cursor, &mut bytes) {
        let mut rows = Reader::<PciRow>::new(bytes.get(..len).unwrap_or_default()).flatten();
        let found = rows.find(|row| kind_of(row.vendor, row.device) == Some(kind::GPU));
        if let Some(row) = found {
            return Some(row.address);
        }
    }
    None
}

async fn open(system: &System, address: PciAddress) -> Result<Device, Fault> {
    let number = pci_address(
        address.segment,
        address.bus,
        address.device,
        address.function,
    );
    let mut tries = 0;
    loop {
        match Device::open(system, number) {
            Err(abi::Error::Occupied) if tries < TRIES => sleep(AGAIN_AFTER).await,
            opened => return opened.map_err(|error| Fault::Refused("opening it", error)),
        }
        tries += 1;
    }
}

/// Starts the first graphics device; `None` if there is none.
pub async fn start(system: &System) -> Option<Result<Started, (PciAddress, Fault)>> {
    let address = find(system)?;
    let started = async {
        let function = Arc::new(Ring3::new(open(system, address).await?, CORE)?);
        let gpu = gpu::start(Arc::clone(&function), &MonotonicClock).await?;
        Ok(Started {
            address,
            screen: Gpu {
                function,
                control: gpu.control,
                desk: None,
                old: Vec::new(),
                outputs: Vec::new(),
                windows: Vec::new(),
            },
            cursor: gpu.cursor,
            changes: gpu.changes,
        })
    };
    Some(started.await.map_err(|fault| (address, fault)))
}

/// In the device's numbers, which are not negative.
fn rect(part: &Rect) -> gpu::Rect {
    gpu::Rect {
        x: part.left as u32,
        y: part.top as u32,
        width: part.width() as u32,
        height: part.height() as u32,
    }
}

impl Gpu {
    /// The memory it can reach.
    pub fn function(&self) -> &Arc<Ring3> {
        &self.function
    }

    /// What makes pictures for the pointer.
    pub const fn control(&mut self) -> &mut Control<Arc<Ring3>> {
        &mut self.control
    }

    async fn make_desk(&mut self, width: u32, height: u32) -> Result<Desk, Failure> {
        let bytes = u64::from(width) * u64::from(height) * 4;
        let (vmo, address) = self.function.buffer(bytes).map_err(Failure::Memory)?;
        let mapped = bytes.next_multiple_of(abi::memory::PAGE_BYTES);
        let memory = vmo
            .map(0, mapped, MapFlags::WRITE)
            .map_err(Failure::Memory)?;
        let picture = self
            .control
            .import(width, height, Pixels::Bgrx, address, bytes)
            .await?;
        Ok(Desk {
            picture,
            memory,
            address,
        })
    }

    /// The device is told of windows' pictures that it does not know yet.
    async fn import(&mut self, frame: &Picture<'_>) -> Result<(), Failure> {
        for (direct, reach) in frame.direct.iter().flatten() {
            let key = direct.pictures;
            if self.windows.iter().any(|(known, _)| *known == key) {
                continue;
            }
            let (width, height) = (direct.size.width.into(), direct.size.height.into());
            let picture = self
                .control
                .import(width, height, Pixels::Bgrx, reach.address, reach.bytes)
                .await?;
            self.windows.push((key, picture));
        }
        Ok(())
    }

    fn release(&self, address: u64) {
        if let Err(error) = self.function.release(address) {
            log::warn!("memory at {address:#x} stays the graphics device's: {error}");
        }
    }
}

impl Screen for Gpu {
    async fn arrange(&mut self) -> Result<Vec<Output>, Failure> {
        let modes = self.control.modes().await?;
        let (mut outputs, mut width, mut height) = (Vec::new(), 0, 0);
        let there = self.control.outputs() as usize;
        let none = modes.iter().all(|mode| !mode.enabled);
        for (number, mode) in modes.iter().enumerate().take(there) {
            let size = match (mode.rect.width, mode.rect.height) {
                (0, _) | (_, 0) => USUAL,
                size => size,
            };
            if !(mode.enabled || none && number == 0) {
                continue;
            }
            let (wide, high) = (size.0.min(MOST_SIDE), size.1.min(MOST_SIDE));
            if width + wide > MOST_SIDE {
                log::warn!("output {number} is left out: the outputs before are too wide");
                continue;
            }
            let place = Rect::new(width as i32, 0, wide as i32, high as i32);
            log::info!("output {number}: {wide} x {high} at column {width}");
            outputs.push(Output {
                number: number as u32,
                place,
            });
            width += wide;
            height = height.max(high);
        }
        let desk = self.make_desk(width, height).await?;
        self.old.extend(self.desk.replace(desk));
        let gone: Vec<Work<'_>> = self
            .outputs
            .iter()
            .map(|(output, _)| output.number)
            .filter(|number| !outputs.iter().any(|output| output.number == *number))
            .map(|output| Work::Show { output, what: None })
            .collect();
        self.control.run(&gone).await?;
        self.outputs = outputs
            .iter()
            .map(|output| (*output, Shows::Nothing))
            .collect();
        Ok(outputs)
    }

    async fn show(&mut self, frame: &Picture<'_>) -> Result<u64, Failure> {
        self.import(frame).await?;
        let Some(desk) = &self.desk else {
            return Err(GpuError::Size.into());
        };
        let (mut work, mut seen) = (Vec::new(), Vec::new());
        for part in frame.parts {
            let there = rect(part);
            for y in part.top..part.bottom {
                let start = (y as usize * frame.width as usize + part.left as usize) * 4;
                let is_inside = copy_pixels_into(&desk.memory, start, frame.row(part, y));
                debug_assert!(is_inside);
            }
            let picture = &desk.picture;
            work.push(Work::Transfer {
                picture,
                rect: there,
                offset: picture.offset(there),
            });
            seen.push(Work::Flush {
                picture,
                rect: there,
            });
        }
        for (at, (output, shows)) in self.outputs.iter_mut().enumerate() {
            let direct = frame.direct.get(at).and_then(Option::as_ref);
            let window = direct.and_then(|(direct, _)| {
                let found = self.windows.iter().find(|(key, _)| *key == direct.pictures);
                found.map(|(_, picture)| (direct, picture))
            });
            let (next, picture, from) = match window {
                Some((direct, picture)) => {
                    let start = u64::from(direct.buffer) * direct.size.picture_bytes();
                    for part in &direct.changed {
                        let rect = rect(part);
                        work.push(Work::Transfer {
                            picture,
                            rect,
                            offset: start + picture.offset(rect),
                        });
                        seen.push(Work::Flush { picture, rect });
                    }
                    (Shows::Window(direct.pictures), picture, picture.all())
                }
                None => (Shows::Desk, &desk.picture, rect(&output.place)),
            };
            if *shows != next {
                *shows = next;
                work.push(Work::Show {
                    output: output.number,
                    what: Some((picture, from)),
                });
            }
        }
        work.extend(seen);
        let ticks = self.control.run(&work).await?;
        for desk in core::mem::take(&mut self.old) {
            self.control.destroy(desk.picture).await?;
            self.release(desk.address);
        }
        Ok(clock::ns_at(clock::page(), ticks))
    }

    async fn forget(&mut self, pictures: Vec<(PictureKey, Reach)>) -> Result<(), Failure> {
        for (key, reach) in pictures {
            let known = self.windows.iter().position(|(known, _)| *known == key);
            if let Some(at) = known {
                let (_, picture) = self.windows.swap_remove(at);
                self.control.destroy(picture).await?;
            }
            self.release(reach.address);
        }
        Ok(())
    }
}
