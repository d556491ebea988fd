//! What the framebuffer shows, and the keyboard in front of it.

use crate::lab::{Firmware, Lab};
use crate::picture::Picture;
use crate::scenario::{Scenario, Verdict};
use crate::session::Prompt;
use serde_json::json;
use std::error::Error;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use xtask::qemu::{Media, Vm};

/// For the screen to show what the serial port has said already.
const SHOW_LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at the screen; QEMU has no event for a changed pixel.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::alone("qemu.screen.bios", |lab| {
            shows_text(lab, Firmware::Bios, "bios")
        }),
        Scenario::alone("qemu.screen.uefi", |lab| {
            shows_text(lab, Firmware::Uefi, "uefi")
        }),
    ]
}

/// After boot there is text on the screen: some pixels lit, most not.
fn shows_text(lab: &Lab, firmware: Firmware, name: &str) -> Verdict {
    let mut prompt = Prompt::boot(&lab.image_machine(firmware, Media::Cd, "")?)?;
    let end = Instant::now() + SHOW_LIMIT;
    let picture = loop {
        let picture = look(&mut prompt.vm)?;
        let lit = picture.lit_permille();
        if (2..=400).contains(&lit) && picture.rows_with_light() > 30 {
            break picture;
        }
        if Instant::now() > end {
            return Err(format!(
                "no text on the {}x{} screen: {lit} permille lit, {} rows with light",
                picture.width,
                picture.height,
                picture.rows_with_light()
            )
            .into());
        }
        thread::sleep(LOOK_EVERY);
    };
    let kept = lab.keepsakes()?.join(format!("{name}.png"));
    keep(&mut prompt.vm, &kept)?;
    Ok(format!(
        "{}x{}, {} permille lit, {}",
        picture.width,
        picture.height,
        picture.lit_permille(),
        kept.display()
    ))
}

/// The screen now.
pub fn look(vm: &mut Vm) -> Result<Picture, Box<dyn Error>> {
    let file = vm.dir().join("screen.ppm");
    vm.qmp.screendump(&file)?;
    let bytes = std::fs::read(&file)?;
    Picture::parse(&bytes).map_err(Into::into)
}

/// Saves the screen as PNG for people.
fn keep(vm: &mut Vm, file: &Path) -> Result<(), Box<dyn Error>> {
    vm.qmp
        .execute("screendump", json!({ "filename": file, "format": "png" }))?;
    Ok(())
}
