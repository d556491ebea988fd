//! The programs for ring 3, in the archive that the kernel carries.
//!
//! A package whose build script links with `rt-link` has such programs: its binaries. Those of the package `programs` are
//! `programs/NAME` in the archive, for anybody to run; all others are `servers/NAME`. The files in a package's folder `units` are
//! the manifests of its servers' units, `manifests/UNIT.toml`.
//! Files in the archive are stripped to what is loaded; the linker's own, with symbols, stay in the target folder. The archive
//! holds no times and no owners: the same sources give the same bytes.

use crate::error::{Doing, Error, Result};
use crate::host;
use object::Endianness;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader, ProgramHeader};
use std::fs;
use std::path::{Path, PathBuf};

/// Names the archive for the kernel's build script.
pub const ARCHIVE_VARIABLE: &str = "RAEDE_PROGRAMS";
/// The dependency that tells packages with programs from others.
const LINK_PACKAGE: &str = "rt-link";

/// The package whose programs are for anybody to run.
const PROGRAMS_PACKAGE: &str = "programs";

/// The program that measures.
const MEASURING_PROGRAM: &str = "bench";

/// A package with programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// The names of its programs.
    pub programs: Vec<String>,
}

/// All packages of the workspace that have programs.
pub fn packages() -> Result<Vec<Package>> {
    let bad = |problem: String| Error::Format {
        path: host::root().join("Cargo.toml"),
        problem,
    };
    let output = host::cargo()
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .doing(|| "starting cargo".into())?;
    if !output.status.success() {
        return Err(bad(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| bad(error.to_string()))?;
    let list = metadata["packages"]
        .as_array()
        .ok_or_else(|| bad("cargo lists no packages".into()))?;
    let mut found: Vec<Package> = list.iter().filter_map(package).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn package(package: &serde_json::Value) -> Option<Package> {
    let links = package["dependencies"]
        .as_array()?
        .iter()
        .any(|dependency| dependency["name"] == LINK_PACKAGE && dependency["kind"] == "build");
    let manifest = Path::new(package["manifest_path"].as_str()?);
    let mut programs: Vec<String> = package["targets"]
        .as_array()?
        .iter()
        .filter(|target| {
            target["kind"]
                .as_array()
                .is_some_and(|kinds| kinds.iter().any(|kind| kind == "bin"))
        })
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect();
    programs.sort();
    links.then_some(Package {
        name: package["name"].as_str()?.to_owned(),
        folder: manifest.parent()?.to_path_buf(),
        programs,
    })
}

/// Where the archive is.
pub fn archive_path() -> PathBuf {
    host::target_dir().join("programs.tar")
}

/// Builds all programs and gives the archive's path. The file is written only when it changes. `feature`: with it [`MEASURING_PROGRAM`] is built once more.
pub fn archive(feature: Option<&str>) -> Result<PathBuf> {
    let packages = packages()?;
    let mut cargo = host::cargo();
    cargo.args(["build", "--release"]);
    for package in &packages {
        cargo.args(["--package", &package.name]);
    }
    if !packages.is_empty() {
        host::run_cargo(&mut cargo)?;
    }
    if let Some(feature) = feature {
        let mut cargo = host::cargo();
        cargo.args(["build", "--release", "--package", PROGRAMS_PACKAGE]);
        host::run_cargo(cargo.args(["--features", feature, "--bin", MEASURING_PROGRAM]))?;
    }
    let mut files = Vec::new();
    for package in &packages {
        for name in &package.programs {
            let program = host::target_dir().join("release").join(name);
            let bytes = fs::read(&program).doing(|| format!("reading {}", program.display()))?;
            let bytes = strip(&bytes)
                .and_then(|bytes| match loader::Image::parse(&bytes) {
                    Ok(_) => Ok(bytes),
                    Err(error) => Err(format!("it could not be loaded: {error}")),
                })
                .map_err(|problem| Error::Format {
                    path: program,
                    problem,
                })?;
            let place = if package.name == PROGRAMS_PACKAGE {
                "programs"
            } else {
                "servers"
            };
            files.push((format!("{place}/{name}"), bytes));
        }
        files.extend(manifests(&package.folder.join("units"))?);
    }
    files.sort();
    let path = archive_path();
    let bytes = tar(&files).doing(|| format!("writing {}", path.display()))?;
    if fs::read(&path).ok().as_ref() != Some(&bytes) {
        fs::write(&path, bytes).doing(|| format!("writing {}", path.display()))?;
    }
    Ok(path)
}

/// The manifests in a folder, as they go into the archive; none if there is no such folder.
fn manifests(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    if !folder.is_dir() {
        return Ok(files);
    }
    let reading = || format!("reading {}", folder.display());
    for entry in fs::read_dir(folder).doing(reading)? {
        let path = entry.doing(reading)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(name) = name.filter(|name| name.ends_with(".toml")) {
            let text = fs::read(&path).doing(|| format!("reading {}", path.display()))?;
            files.push((format!("manifests/{name}"), text));
        }
    }
    Ok(files)
}

/// An archive of these files (path, bytes), in this order.
/// Bytes of a page.
const PAGE_BYTES: usize = 4096;

fn tar(files: &[(String, Vec<u8>)]) -> std::io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(if path.starts_with("manifests/") {
            0o444
        } else {
            0o555
        });
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        builder.append_data(&mut header, path, bytes.as_slice())?;
    }
    let mut bytes = builder.into_inner()?;
    // Programs map it from the kernel's image: it has its pages to itself.
    bytes.resize(bytes.len().next_multiple_of(PAGE_BYTES), 0);
    Ok(bytes)
}

/// The file without what is never loaded: sections, symbols, debugging information.
fn strip(elf: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let header = FileHeader64::<Endianness>::parse(elf)
        .map_err(|error| format!("not an ELF file: {error}"))?;
    let endian = header.endian().map_err(|error| error.to_string())?;
    let segments = header
        .program_headers(endian, elf)
        .map_err(|error| error.to_string())?;
    let end = segments
        .iter()
        .map(|segment| {
            segment
                .p_offset(endian)
                .saturating_add(segment.p_filesz(endian))
        })
        .max()
        .ok_or("no segment to load")?;
    let end = usize::try_from(end).map_err(|error| error.to_string())?;
    let mut stripped = elf.get(..end).ok_or("a segment is cut off")?.to_vec();
    // ELF-64 header (System V gABI, "ELF Header"): e_shoff at 40, e_shnum at 60, e_shstrndx at 62.
    for range in [40..48, 60..64] {
        stripped
            .get_mut(range)
            .ok_or("no segment beyond the header")?
            .fill(0);
    }
    Ok(stripped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn packages_that_link_with_rt_link_have_programs() {
        let packages = packages().expect("metadata");
        let programs = packages
            .iter()
            .find(|package| package.name == "programs")
            .expect("the test programs");
        assert!(programs.programs.iter().any(|name| name == "hello"));
        assert!(packages.iter().all(|package| package.name != "xtask"));
    }

    #[test]
    fn archives_hold_no_time() {
        let files = [
            ("manifests/a.toml".to_owned(), b"x".to_vec()),
            ("servers/a".to_owned(), vec![7; 1000]),
        ];
        let bytes = tar(&files).expect("an archive");
        assert_eq!(bytes, tar(&files).expect("an archive"));
        let mut archive = tar::Archive::new(bytes.as_slice());
        for (entry, (path, content)) in archive.entries().expect("entries").zip(&files) {
            let mut entry = entry.expect("an entry");
            assert_eq!(entry.path().expect("a path"), Path::new(path));
            assert_eq!(entry.header().mtime().expect("a time"), 0);
            let mut read = Vec::new();
            entry.read_to_end(&mut read).expect("content");
            assert_eq!(&read, content);
        }
    }

    #[test]
    fn stripping_keeps_what_is_loaded() {
        let this = fs::read(std::env::current_exe().expect("a path")).expect("this program");
        let stripped = strip(&this).expect("an ELF file");
        assert!(stripped.len() < this.len());
        let header = FileHeader64::<Endianness>::parse(&*stripped).expect("still one");
        let endian = header.endian().expect("little");
        for segment in header.program_headers(endian, &*stripped).expect("headers") {
            segment.data(endian, &*stripped).expect("whole");
        }
        assert!(strip(b"no").is_err());
    }
}
