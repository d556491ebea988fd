//! What the framebuffer shows, and the keyboard in front of it.

use crate::lab::{Firmware, Lab, MANAGER};
use crate::picture::Picture;
use crate::reader::Reader;
use crate::scenario::{Scenario, Verdict};
use crate::session::{PROMPT, Prompt};
use std::error::Error;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use xtask::qemu::{Media, Vm, keys_of};

/// For the screen to show what the serial port has said already.
const SHOW_LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at the screen; QEMU has no event for a changed pixel.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Keys between two looks: each is at least two bytes, and the emulated controller holds 16.
const KEYS_AT_ONCE: usize = 7;

pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario::alone("qemu.screen.bios", |lab| {
            shows_text(lab, Firmware::Bios, "", "bios")
        }),
        Scenario::alone("qemu.screen.uefi", |lab| {
            shows_text(lab, Firmware::Uefi, MANAGER, "uefi")
        }),
        Scenario::alone("qemu.screen.keyboard", keyboard),
    ]
}

/// After boot the screen shows text: the shell's prompt, and light in a sensible part of it. By the kernel itself, or by processes.
fn shows_text(lab: &Lab, firmware: Firmware, words: &str, name: &str) -> Verdict {
    let mut prompt = Prompt::boot(&lab.image_machine(firmware, Media::Cd, words)?)?;
    wait_for_text(&mut prompt.vm, |lines| {
        lines.iter().any(|line| line.starts_with(PROMPT.trim()))
    })?;
    let picture = look(&mut prompt.vm)?;
    let lit = picture.lit_permille();
    if !(2..=400).contains(&lit) {
        return Err(format!("{lit} permille of the pixels are lit: that is no text").into());
    }
    let kept = lab.keepsakes()?.join(format!("{name}.png"));
    keep(&mut prompt.vm, &kept)?;
    Ok(format!(
        "{}x{}, {lit} permille lit, {}",
        picture.width,
        picture.height,
        kept.display()
    ))
}

/// Keys typed on the emulated keyboard go through ring 3 and arrive at the screen's shell, complete and in order.
fn keyboard(lab: &Lab) -> Verdict {
    // Letters, digits, shifted characters and signs, and each key often enough to miss one.
    const TEXT: &str =
        "the quick brown fox jumps over THE LAZY dog, 0123456789 (twice): the-quick/brown_fox";
    let mut prompt = Prompt::boot(&lab.machine(MANAGER))?;
    wait_for_text(&mut prompt.vm, |lines| last_line(lines) == PROMPT.trim())?;
    let typed = format!("echo '{TEXT}'");
    let mut so_far = String::new();
    for group in groups(&typed) {
        type_text(&mut prompt.vm, &group)?;
        so_far.push_str(&group);
        // The controller drops keys beyond what it holds: wait for their echo.
        let expected = format!("{PROMPT}{so_far}");
        wait_for_text(&mut prompt.vm, |lines| {
            last_line(lines).trim_end() == expected.trim_end()
        })?;
    }
    type_text(&mut prompt.vm, "\n")?;
    wait_for_text(&mut prompt.vm, |lines| {
        lines.iter().any(|line| line == TEXT) && last_line(lines) == PROMPT.trim()
    })?;
    Ok(format!("{} keys", typed.len()))
}

/// The text in pieces of at most [`KEYS_AT_ONCE`] keys, shift counted as one.
pub fn groups(text: &str) -> Vec<String> {
    let mut groups = vec![String::new()];
    let mut keys = 0;
    for character in text.chars() {
        let shifted = keys_of(&character.to_string())
            .is_some_and(|keys| keys.iter().any(|(_, shift)| *shift));
        let more = if shifted { 2 } else { 1 };
        if keys + more > KEYS_AT_ONCE {
            groups.push(String::new());
            keys = 0;
        }
        keys += more;
        if let Some(group) = groups.last_mut() {
            group.push(character);
        }
    }
    groups
}

pub fn type_text(vm: &mut Vm, text: &str) -> Result<(), Box<dyn Error>> {
    let keys = keys_of(text).ok_or_else(|| format!("{text:?} is not on a US keyboard"))?;
    for (key, shift) in &keys {
        if *shift {
            vm.qmp.input_keys(&[("shift", true)])?;
        }
        vm.qmp.type_keys([key.as_str()])?;
        if *shift {
            vm.qmp.input_keys(&[("shift", false)])?;
        }
    }
    Ok(())
}

fn last_line(lines: &[String]) -> &str {
    lines
        .iter()
        .rev()
        .find(|line| !line.is_empty())
        .map_or("", String::as_str)
}

/// Looks at the screen until its text is as wanted; gives the text.
pub fn wait_for_text(
    vm: &mut Vm,
    wanted: impl Fn(&[String]) -> bool,
) -> Result<Vec<String>, Box<dyn Error>> {
    let reader = Reader::new();
    let end = Instant::now() + SHOW_LIMIT;
    let mut previous: Option<Picture> = None;
    loop {
        let picture = look(vm)?;
        if previous.as_ref() != Some(&picture) {
            let lines = reader.lines(&picture);
            if wanted(&lines) {
                return Ok(lines);
            }
            if Instant::now() > end {
                return Err(format!("the screen shows\n{}", lines.join("\n").trim_end()).into());
            }
        } else if Instant::now() > end {
            return Err(format!(
                "the screen shows\n{}",
                reader.lines(&picture).join("\n").trim_end()
            )
            .into());
        }
        previous = Some(picture);
        thread::sleep(LOOK_EVERY);
    }
}

/// The screen now.
pub fn look(vm: &mut Vm) -> Result<Picture, Box<dyn Error>> {
    let file = vm.dir().join("screen.ppm");
    vm.qmp.screendump(&file, "ppm")?;
    let bytes = std::fs::read(&file)?;
    Picture::parse(&bytes).map_err(Into::into)
}

/// Saves the screen as PNG for people.
pub fn keep(vm: &mut Vm, file: &Path) -> Result<(), Box<dyn Error>> {
    Ok(vm.qmp.screendump(file, "png")?)
}
