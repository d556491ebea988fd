//! The desktop on a virtio graphics device, beside a standard VGA that nobody looks at.

use super::hand::*;
use super::vnc::Viewer;
use super::*;
use crate::lab::Lab;
use crate::session::{COMMAND_LIMIT, KERNEL_BOOT_LIMIT};
use xtask::qemu::Machine;

/// The size it has at first, and one that is asked for.
const OTHER_SIZE: (u16, u16) = (1024, 768);
/// Of the second output.
const SECOND_SIZE: (u16, u16) = (800, 600);

pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::shared(
            |lab| Ok(machine(lab)),
            vec![
                Check::new("qemu.desktop.gpu.shows", shows),
                Check::new("qemu.desktop.gpu.direct", direct),
                Check::new("qemu.desktop.gpu.dies", dies),
                Check::new("qemu.desktop.gpu.pointer", pointer),
                Check::new("qemu.desktop.gpu.resized", resized),
                Check::new("qemu.desktop.gpu.two_outputs", two_outputs),
            ],
        ),
        Scenario::alone("qemu.desktop.gpu.unusable", unusable),
        Scenario::alone("qemu.desktop.gpu.alone", alone),
    ]
}

fn machine(lab: &Lab) -> Machine {
    let mut machine = lab.script_machine(&format!("{MANAGER} screen=desktop"));
    let device = format!("virtio-gpu-pci,id=gpu,max_outputs=2,xres={WIDTH},yres={HEIGHT}");
    machine.extra.extend(["-device".to_owned(), device]);
    for output in 0..2 {
        let viewer = format!("localhost:0,to=999,id=output{output},display=gpu,head={output}");
        machine.extra.extend(["-vnc".to_owned(), viewer]);
    }
    machine
}

/// Looks at the device's first output, where the desktop has come up.
fn begin(session: &mut Session) -> Done {
    session.vm.qmp.watch("gpu", 0);
    wait_for_unit(session, "compositor", "ready")?;
    wait_until(session, "the panel", |picture| {
        colour(picture, (640, 779)) == PANEL
    })?;
    Ok(())
}

fn viewer(session: &mut Session, output: u32) -> Result<Viewer, Box<dyn Error>> {
    let servers = session.vm.qmp.execute("query-vnc-servers", json!({}))?;
    let wanted = json!(format!("output{output}"));
    let found = servers
        .as_array()
        .into_iter()
        .flatten()
        .find(|row| row["id"] == wanted);
    let port = found
        .and_then(|row| row["server"][0]["service"].as_str())
        .and_then(|port| port.parse().ok());
    Viewer::connect(port.ok_or_else(|| format!("no viewer can connect: {servers}"))?)
}

/// Wallpaper and panel are seen at the device, windows and what is typed into them too.
fn shows(session: &mut Session) -> Verdict {
    begin(session)?;
    let line = wait_for_log(session, "compositor", "are shown by the graphics device")?;
    with_terminal(session)?;
    typed_is_run(session)?;
    keys(session, &["alt"], "f4")?;
    wait_for_unit(session, "terminal", "ended")?;
    Ok(line.rsplit(": ").next().unwrap_or_default().to_owned())
}

/// A game that has all of the screen is taken from its own memory: nothing is composed.
fn direct(session: &mut Session) -> Verdict {
    begin(session)?;
    choose(session, MENU_BRICKS)?;
    wait_for_unit(session, "bricks", "ready")?;
    let bar = focused_window(session)?;
    keys(session, &[], "f")?;
    wait_for_log(session, "compositor", "take a window's picture as it is")?;
    // Bricks from edge to edge, where the title bar and the panel were not.
    let picture = wait_until(session, "the game on all of the screen", |picture| {
        colour(picture, (50, 100)) == [0xf0, 0x6a, 0x5c] && colour(picture, (640, 779)) != PANEL
    })?;
    // The paddle moves as long as a key is held, and with it every frame.
    session.vm.qmp.input_keys(&[("right", true)])?;
    let moved = wait_until(session, "the paddle at the right edge", |now| {
        colour(now, (1270, 757)) != colour(&picture, (1270, 757))
    });
    session.vm.qmp.input_keys(&[("right", false)])?;
    moved?;
    keys(session, &[], "f")?;
    wait_until(session, "the window as it was", |picture| {
        title_bar(picture, TITLE) == Some(bar) && colour(picture, (640, 779)) == PANEL
    })?;
    let line = wait_for_log(
        session,
        "compositor",
        "frames with a window's picture as it is",
    )?;
    let figures = line.rsplit(": ").next().unwrap_or_default();
    let frames: u64 = figures.split(' ').next().unwrap_or_default().parse()?;
    if frames < 10 || !figures.ends_with("; 0 bytes composed in them") {
        return Err(figures.into());
    }
    keys(session, &[], "esc")?;
    wait_for_unit(session, "bricks", "ended")?;
    Ok(figures.to_owned())
}

/// Killed, the compositor gets the device again once that was reset, and shows the windows where they were.
fn dies(session: &mut Session) -> Verdict {
    begin(session)?;
    let bar = with_terminal(session)?;
    let begun = Instant::now();
    session.ok("svc kill compositor")?;
    begin(session)?;
    wait_until(session, "the window where it was", |picture| {
        title_bar(picture, TITLE) == Some(bar)
    })?;
    let taken = begun.elapsed();
    wait_for_log(session, "compositor", "are shown by the graphics device")?;
    keys(session, &["alt"], "f4")?;
    wait_for_unit(session, "terminal", "ended")?;
    Ok(format!("seen again after {} ms", taken.as_millis()))
}

/// The device shows the pointer by itself: its picture comes to a viewer who is not shown the screen.
fn pointer(session: &mut Session) -> Verdict {
    begin(session)?;
    let mut viewer = viewer(session, 0)?;
    let arrow = viewer.pointer()?;
    if arrow.size != (64, 64) || arrow.tip != (32, 32) {
        return Err(format!("{:?}, tip at {:?}", arrow.size, arrow.tip).into());
    }
    let light = arrow
        .pixels
        .iter()
        .filter(|pixel| pixel[..3] == [255; 3])
        .count();
    // Over a button it is another one.
    let (left, y, _) = with_terminal(session)?;
    point(session, (left + 60, y + 100))?;
    let text = viewer.pointer()?;
    if text.pixels == arrow.pixels {
        return Err("the pointer looks the same over text".into());
    }
    keys(session, &["alt"], "f4")?;
    wait_for_unit(session, "terminal", "ended")?;
    Ok(format!("{light} light pixels in the arrow"))
}

/// Another size is taken up while it runs, and the first one again.
fn resized(session: &mut Session) -> Verdict {
    begin(session)?;
    let mut viewer = viewer(session, 0)?;
    for (width, height) in [OTHER_SIZE, (WIDTH as u16, HEIGHT as u16)] {
        viewer.resize(width, height)?;
        let at = (i32::from(width) / 2, i32::from(height) - 21);
        wait_until(
            session,
            "the panel on a screen of another size",
            |picture| {
                (picture.width, picture.height) == (width.into(), height.into())
                    && colour(picture, at) == PANEL
            },
        )?;
    }
    Ok(String::new())
}

/// A second output shows what is right of the first.
fn two_outputs(session: &mut Session) -> Verdict {
    begin(session)?;
    let mut viewer = viewer(session, 1)?;
    viewer.resize(SECOND_SIZE.0, SECOND_SIZE.1)?;
    session.vm.qmp.watch("gpu", 1);
    let size = (SECOND_SIZE.0.into(), SECOND_SIZE.1.into());
    // The wallpaper goes on there; the panel does not.
    wait_until(session, "wallpaper on a second output", |picture| {
        (picture.width, picture.height) == size
            && colour(picture, (400, 10)) != [0; 3]
            && colour(picture, (400, 590)) != PANEL
    })?;
    // A window that is dragged there and maximised has all of that output.
    session.vm.qmp.watch("gpu", 0);
    let (left, y, _) = with_terminal(session)?;
    point(session, (left + 150, y + 4))?;
    button(session, true)?;
    move_by(session, 1100, 0)?;
    button(session, false)?;
    keys(session, &["meta_l"], "up")?;
    session.vm.qmp.watch("gpu", 1);
    wait_until(session, "a window maximised there", |picture| {
        [60, 400, 600].map(|x| colour(picture, (x, 4))) == [TITLE; 3]
            && colour(picture, (400, 590)) != colour(picture, (400, 4))
    })?;
    let kept = keep_picture(session, "second.png")?;
    keys(session, &["alt"], "f4")?;
    wait_for_unit(session, "terminal", "ended")?;
    Ok(format!("picture: {}", kept.display()))
}

/// A device that cannot be driven: the reason is said, and the framebuffer shows the desktop.
fn unusable(lab: &Lab) -> Verdict {
    let mut machine = lab.machine(&format!("{MANAGER} screen=desktop"));
    machine
        .extra
        .extend(["-device", "virtio-gpu-pci,vectors=0"].map(str::to_owned));
    let mut vm = machine.spawn()?;
    let line = vm
        .serial
        .wait_line("the graphics device is not driven", KERNEL_BOOT_LIMIT)?;
    vm.serial
        .wait_line("shown on the framebuffer", COMMAND_LIMIT)?;
    let end = Instant::now() + LIMIT;
    while colour(&look(&mut vm)?, (640, 779)) != PANEL {
        if Instant::now() > end {
            return Err("the framebuffer does not show the desktop".into());
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(line
        .rsplit("driven: ")
        .next()
        .unwrap_or_default()
        .to_owned())
}

/// The only thing that shows anything: without a framebuffer the desktop is there all the same, with mouse and keyboard.
fn alone(lab: &Lab) -> Verdict {
    let mut machine = machine(lab);
    machine.vga = "none".into();
    let mut session = Session::boot(&machine)?;
    begin(&mut session)?;
    with_terminal(&mut session)?;
    typed_is_run(&mut session)?;
    Ok(String::new())
}
