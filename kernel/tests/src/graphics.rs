//! Graphics devices that processes drive.

use crate::lab::Lab;
use crate::picture::Picture;
use crate::scenario::{Scenario, Verdict};
use crate::session::{COMMAND_LIMIT, KERNEL_BOOT_LIMIT};

/// What the program paints into the quarters, in reading order (`servers/programs/src/graphics.rs`).
const QUARTERS: [[u8; 3]; 4] = [[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 0]];
const SIZE: (usize, usize) = (800, 600);

/// This module's scenarios.
pub fn scenarios() -> Vec<Scenario> {
    vec![Scenario::alone("qemu.graphics.virtio", virtio)]
}

/// A virtio graphics device beside the standard one shows what a process in ring 3 paints.
fn virtio(lab: &Lab) -> Verdict {
    let (width, height) = SIZE;
    let mut machine = lab.machine("init=programs/graphics");
    machine.extra.extend([
        "-device".to_owned(),
        format!("virtio-gpu-pci,id=gpu,max_outputs=2,xres={width},yres={height}"),
    ]);
    let mut vm = machine.spawn()?;
    let serial = &mut vm.serial;
    let size = format!("2 outputs, the first {width} x {height}");
    let said = serial.wait_line(&size, KERNEL_BOOT_LIMIT)?;
    if said.contains(" 0 bytes of EDID") {
        return Err(format!("the device says nothing of its screen: {said}").into());
    }
    let figure = serial.wait_line("pixels, each in", COMMAND_LIMIT)?;
    serial.wait_line("shown", COMMAND_LIMIT)?;
    let file = vm.dir().join("gpu.ppm");
    vm.qmp.watch("gpu", 0);
    vm.qmp.screendump(&file, "ppm")?;
    let picture = Picture::parse(&std::fs::read(&file)?)?;
    if (picture.width, picture.height) != SIZE {
        return Err(format!("the picture is {} x {}", picture.width, picture.height).into());
    }
    let places = [
        (1, 1),
        (width - 2, 1),
        (1, height - 2),
        (width - 2, height - 2),
    ];
    for ((x, y), colour) in places.into_iter().zip(QUARTERS) {
        let seen = picture.colour(x, y);
        if seen != colour {
            return Err(format!("at {x}, {y} is {seen:?}, not {colour:?}").into());
        }
    }
    let (_, figure) = figure.split_once("graphics: ").unwrap_or(("", &figure));
    Ok(figure.trim().to_owned())
}
