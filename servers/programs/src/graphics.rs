//! Drives a virtio graphics device: four coloured quarters with a cursor on the first output, presented again and again, then one more that
//! stays. Logs how long the device took. For tests, which look at the screen meanwhile.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use abi::device::pci_address;
use abi::system::Table;
use proto::PciRow;
use proto::table::{MAX_ROW_BYTES, Reader};
use rt::sys::clock;
use rt::sys::memory::{Mapping, copy_into};
use rt::sys::object::{Device, System};
use rt::{Env, MonotonicClock};
use virtio::gpu::{self, CURSOR_PIXELS, Control, GpuError, Picture, Pixels, Rect, Work};
use virtio::hardware::{Ring3, Shared};
use virtio::{Fault, kind, kind_of};

rt::entry!(async main);

/// Blue, green, red and opacity of the quarters, in reading order, and of the cursor.
const QUARTERS: [[u8; 4]; 4] = [
    [0, 0, 200, 0],
    [0, 200, 0, 0],
    [200, 0, 0, 0],
    [0, 200, 200, 0],
];
const CURSOR: [u8; 4] = [255, 255, 255, 255];
const PRESENTS: u64 = 60;

async fn main(mut env: Env) -> i32 {
    let Ok(system) = env.take::<System>("system") else {
        log::error!("devices are given out to who manages the system");
        return 2;
    };
    match run(&system).await {
        Ok(()) => 0,
        Err(error) => {
            log::error!("{error}");
            1
        }
    }
}

/// The first graphics device.
fn find(system: &System) -> Result<Device, Fault> {
    let (mut cursor, mut bytes) = (0, [0; 2 * MAX_ROW_BYTES]);
    while let Ok(len @ 1..) = system.query(Table::Pci, &mut cursor, &mut bytes) {
        for row in Reader::<PciRow>::new(bytes.get(..len).unwrap_or_default()).flatten() {
            if kind_of(row.vendor, row.device) == Some(kind::GPU) {
                let at = row.address;
                let number = pci_address(at.segment, at.bus, at.device, at.function);
                return Device::open(system, number)
                    .map_err(|error| Fault::Refused("opening it", error));
            }
        }
    }
    Err(Fault::NoRegisters("there is no graphics device"))
}

async fn run(system: &System) -> Result<(), GpuError> {
    let function = Ring3::new(find(system)?, 0)?;
    let gpu = gpu::start(function, &MonotonicClock).await?;
    let (mut control, mut cursor) = (gpu.control, gpu.cursor);
    let modes = control.modes().await?;
    let edid = control.edid(0).await?.map_or(0, |edid| edid.len());
    let Rect { width, height, .. } = modes.first().map_or_else(Rect::default, |mode| mode.rect);
    log::info!(
        "{} outputs, the first {width} x {height}, {edid} bytes of EDID",
        control.outputs()
    );
    let (picture, memory) = control.create(width, height, Pixels::Bgrx).await?;
    let show = Work::Show {
        output: 0,
        what: Some((&picture, picture.all())),
    };
    control.run(&[show]).await?;
    let took_ns = present(&mut control, &picture, &memory).await?;
    let pixels = u64::from(width) * u64::from(height);
    log::info!(
        "{PRESENTS} times {pixels} pixels, each in {} us",
        took_ns / 1000 / PRESENTS
    );

    let (arrow, memory) = control
        .create(CURSOR_PIXELS, CURSOR_PIXELS, Pixels::Bgra)
        .await?;
    fill(&arrow, &memory, [CURSOR; 4]);
    let upload = Work::Transfer {
        picture: &arrow,
        rect: arrow.all(),
        offset: 0,
    };
    control.run(&[upload]).await?;
    cursor.set(0, (10, 10), Some(&arrow), (0, 0)).await?;
    cursor.move_to(0, (20, 30)).await?;
    log::info!("shown");
    gpu.changes.next().await?;
    log::info!("the outputs have changed");
    Ok(())
}

/// Paints and presents; how long the device took for all.
async fn present(
    control: &mut Control<Ring3>,
    picture: &Picture,
    memory: &Shared<Mapping>,
) -> Result<u64, GpuError> {
    let mut took_ticks = 0;
    for round in 1..=PRESENTS {
        let mut quarters = QUARTERS;
        if round < PRESENTS {
            quarters.rotate_left(round as usize % 4);
        }
        fill(picture, memory, quarters);
        let begun = clock::now_ticks();
        let rect = picture.all();
        let transfer = Work::Transfer {
            picture,
            rect,
            offset: 0,
        };
        control
            .run(&[transfer, Work::Flush { picture, rect }])
            .await?;
        took_ticks += clock::now_ticks().saturating_sub(begun);
    }
    let page = clock::page();
    Ok(clock::ns_at(page, page.base_ticks + took_ticks))
}

/// A row at a time, in pieces.
fn fill(picture: &Picture, memory: &Shared<Mapping>, quarters: [[u8; 4]; 4]) {
    const PIECE: usize = 64;
    let [top_left, top_right, bottom_left, bottom_right] = quarters;
    let half = (picture.row_bytes() / 8) as usize * 4;
    for row in 0..picture.height() {
        let sides = if row < picture.height() / 2 {
            [top_left, top_right]
        } else {
            [bottom_left, bottom_right]
        };
        let start = (row * picture.row_bytes()) as usize;
        let end = start + picture.row_bytes() as usize;
        for (from, to, colour) in [
            (start, start + half, sides.first()),
            (start + half, end, sides.last()),
        ] {
            let mut piece = [0; 4 * PIECE];
            for (place, byte) in piece.iter_mut().zip(colour.into_iter().flatten().cycle()) {
                *place = *byte;
            }
            for at in (from..to).step_by(piece.len()) {
                let len = piece.len().min(to - at);
                let copied = copy_into(&memory.space, at, piece.get(..len).unwrap_or_default());
                debug_assert!(copied);
            }
        }
    }
}
