//! Delays on purpose (`bench/inject`) leave nothing in a release: the sources as they are, and the same sources without a line about delays, give the same
//! code.

use object::{Object, ObjectSection};
use std::error::Error;
use std::fs;
use std::path::Path;
use xtask::host::{self, RunDir};

use crate::scenario::Verdict;

/// Stands before all that is about delays.
const GUARD: &str = "#[cfg(feature = \"inject\")]";
/// What is no source.
const NOT_COPIED: [&str; 2] = ["target", ".git"];

/// Builds both and compares.
pub fn scenario() -> Verdict {
    let folder = RunDir::new()?;
    let sources = folder.join("sources");
    copy(&host::root(), &sources)?;
    let build = || -> Result<Vec<u8>, Box<dyn Error>> {
        let target = folder.join("target");
        let mut cargo = host::cargo();
        cargo.current_dir(&sources).env("CARGO_TARGET_DIR", &target);
        cargo.args(["build", "--quiet", "--release", "--package", "kernel"]);
        host::run_captured(&mut cargo)?;
        text_of(&target.join("release/kernel"))
    };
    let with = build()?;
    let mut guards = 0;
    for part in ["executor", "kernel", "servers"] {
        guards += strip_all(&sources.join(part))?;
    }
    if guards == 0 {
        return Err(format!("nothing stands behind {GUARD}: what is to be compared?").into());
    }
    if with != build()? {
        return Err("the code differs without them: a delay leaves something in releases".into());
    }
    Ok(format!(
        "{} bytes of code, the same without the {guards} places",
        with.len()
    ))
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if NOT_COPIED.iter().any(|left_out| name == *left_out) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to.join(name))?;
        } else {
            fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}

fn text_of(kernel: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let bytes = fs::read(kernel)?;
    let elf = object::File::parse(&*bytes)?;
    let text = elf.section_by_name(".text").ok_or("no .text")?;
    Ok(text.data()?.to_vec())
}

/// Strips all sources in a folder; gives the number of places.
fn strip_all(folder: &Path) -> std::io::Result<usize> {
    let mut places = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            places += strip_all(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let (text, found) = stripped(&fs::read_to_string(&path)?);
            if found > 0 {
                fs::write(&path, text)?;
                places += found;
            }
        }
    }
    Ok(places)
}

/// The text with empty lines in place of each guard and what it guards, so that all others keep their numbers.
fn stripped(text: &str) -> (String, usize) {
    let (mut out, mut places) = (String::new(), 0);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != GUARD {
            out.push_str(line);
            out.push('\n');
            continue;
        }
        places += 1;
        out.push('\n');
        let mut depth = 0;
        for guarded in lines.by_ref() {
            out.push('\n');
            depth += guarded.matches(['(', '[', '{']).count();
            depth -= guarded.matches([')', ']', '}']).count();
            if depth == 0 {
                break;
            }
        }
    }
    (out, places)
}
