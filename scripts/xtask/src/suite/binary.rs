//! Checks of the finished kernel: no undefined symbols, no red-zone accesses of its own, no AVX.

use super::redzone::{self, Offence};
use super::{Outcome, Step, nostd};
use crate::build;
use crate::build::ksyms::demangle;
use crate::error::{Doing, Error, Result};
use object::read::archive::ArchiveFile;
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;

/// How many offenders a failure names.
const NAMED: usize = 20;

/// The steps. The first builds the kernel, the others look at it.
pub fn steps() -> Vec<Step> {
    let kernel = Rc::new(std::cell::OnceCell::new());
    let step = |name: &str, check: fn(&Kernel) -> Result<String>| {
        let kernel = Rc::clone(&kernel);
        Step::new(name, move || {
            match kernel.get_or_init(|| Kernel::load().map_err(|error| error.to_string())) {
                Ok(kernel) => Outcome::from(check(kernel)),
                Err(error) => Outcome::Failed(error.clone()),
            }
        })
    };
    vec![
        step("binary.no_undefined_symbols", no_undefined_symbols),
        step("binary.no_red_zone", no_red_zone),
        step("binary.no_avx", no_avx),
        step("binary.symbol_table", symbol_table),
    ]
}

/// The finished kernel file.
struct Kernel {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Kernel {
    fn load() -> Result<Kernel> {
        let path = build::kernel()?;
        let bytes = fs::read(&path).doing(|| format!("reading {}", path.display()))?;
        Ok(Kernel { path, bytes })
    }

    fn bad(&self, problem: impl ToString) -> Error {
        Error::Format {
            path: self.path.clone(),
            problem: problem.to_string(),
        }
    }

    fn elf(&self) -> Result<object::File<'_>> {
        object::File::parse(&*self.bytes).map_err(|error| self.bad(error))
    }

    /// Calls `visit` with each function's symbol name, address and code.
    fn functions(&self, mut visit: impl FnMut(&str, u64, &[u8])) -> Result<usize> {
        let elf = self.elf()?;
        let mut count = 0;
        for symbol in elf.symbols() {
            let (Some(index), Ok(name)) = (symbol.section_index(), symbol.name()) else {
                continue;
            };
            if symbol.kind() != SymbolKind::Text || symbol.size() == 0 {
                continue;
            }
            let section = elf
                .section_by_index(index)
                .map_err(|error| self.bad(error))?;
            let code = section
                .data_range(symbol.address(), symbol.size())
                .map_err(|error| self.bad(error))?
                .ok_or_else(|| self.bad(format!("the code of {name} is not in the file")))?;
            visit(name, symbol.address(), code);
            count += 1;
        }
        if count == 0 {
            return Err(self.bad("no function symbols: the checks would prove nothing"));
        }
        Ok(count)
    }
}

fn no_undefined_symbols(kernel: &Kernel) -> Result<String> {
    let elf = kernel.elf()?;
    let undefined: HashSet<String> = elf
        .symbols()
        .chain(elf.dynamic_symbols())
        .filter(|symbol| symbol.is_undefined())
        .filter_map(|symbol| {
            symbol
                .name()
                .ok()
                .filter(|name| !name.is_empty())
                .map(demangle)
        })
        .collect();
    if undefined.is_empty() {
        return Ok(String::new());
    }
    let mut names: Vec<String> = undefined.into_iter().collect();
    names.sort();
    Err(kernel.bad(format!(
        "{} undefined symbols:\n{}",
        names.len(),
        names.join("\n")
    )))
}

/// Functions of ours must not use the red zone: code of ours may run on a stack that an interrupt
/// also uses. Prebuilt core and alloc do in places, and that is safe, because every gate switches stacks.
fn no_red_zone(kernel: &Kernel) -> Result<String> {
    let prebuilt = prebuilt_functions()?;
    let mut offences = Vec::new();
    let mut own = 0;
    kernel.functions(|name, address, code| {
        if !prebuilt.contains(name) {
            own += 1;
            offences.extend(
                redzone::red_zone_accesses(address, code)
                    .into_iter()
                    .map(|found| (demangle(name), found)),
            );
        }
    })?;
    if own == 0 {
        return Err(kernel.bad("no function of our own: the check would prove nothing"));
    }
    verdict(
        kernel,
        "red-zone accesses",
        offences,
        format!("{own} functions"),
    )
}

fn no_avx(kernel: &Kernel) -> Result<String> {
    let mut offences = Vec::new();
    let count = kernel.functions(|name, address, code| {
        offences.extend(
            redzone::avx_instructions(address, code)
                .into_iter()
                .map(|found| (demangle(name), found)),
        );
    })?;
    verdict(
        kernel,
        "AVX instructions",
        offences,
        format!("{count} functions"),
    )
}

fn verdict(
    kernel: &Kernel,
    what: &str,
    offences: Vec<(String, Offence)>,
    note: String,
) -> Result<String> {
    if offences.is_empty() {
        return Ok(note);
    }
    let mut lines: Vec<String> = offences
        .iter()
        .take(NAMED)
        .map(|(name, offence)| format!("{:#x} {}   in {name}", offence.address, offence.text))
        .collect();
    if offences.len() > NAMED {
        lines.push(format!("and {} more", offences.len() - NAMED));
    }
    Err(kernel.bad(format!("{} {what}:\n{}", offences.len(), lines.join("\n"))))
}

/// The symbol table in the file names the functions of the file.
fn symbol_table(kernel: &Kernel) -> Result<String> {
    let elf = kernel.elf()?;
    let section = elf
        .section_by_name(build::ksyms::SECTION)
        .ok_or_else(|| kernel.bad("no section .ksyms"))?;
    let blob = section.data().map_err(|error| kernel.bad(error))?;
    let table = kerncore::symbols::Symbols::open(blob).map_err(|error| kernel.bad(error))?;
    let base = elf
        .symbol_by_name(build::ksyms::BASE_SYMBOL)
        .ok_or_else(|| kernel.bad("no image base symbol"))?
        .address();
    let (mut named, mut unnamed) = (0, Vec::new());
    kernel.functions(
        |name, address, _| match table.look_up_address(base, address) {
            Some(found) if found.offset == 0 => named += 1,
            _ => unnamed.push(demangle(name)),
        },
    )?;
    if unnamed.is_empty() {
        return Ok(format!("{named} names"));
    }
    unnamed.truncate(NAMED);
    Err(kernel.bad(format!(
        "functions without a name in the table:\n{}",
        unnamed.join("\n")
    )))
}

/// The mangled names of all functions in the toolchain's prebuilt core, alloc and compiler_builtins.
fn prebuilt_functions() -> Result<HashSet<String>> {
    let libraries = nostd::toolchain_libraries()?;
    let reading = || format!("reading {}", libraries.display());
    let mut names = HashSet::new();
    for entry in fs::read_dir(&libraries).doing(reading)? {
        let path = entry.doing(reading)?.path();
        let file = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let wanted = ["libcore-", "liballoc-", "libcompiler_builtins-"]
            .iter()
            .any(|start| file.starts_with(start));
        if !wanted || !file.ends_with(".rlib") {
            continue;
        }
        let bad = |problem: object::Error| Error::Format {
            path: path.clone(),
            problem: problem.to_string(),
        };
        let bytes = fs::read(&path).doing(|| format!("reading {}", path.display()))?;
        let archive = ArchiveFile::parse(&*bytes).map_err(bad)?;
        for member in archive.members() {
            let data = member.map_err(bad)?.data(&*bytes).map_err(bad)?;
            // The metadata member is no object file of code.
            let Ok(object) = object::File::parse(data) else {
                continue;
            };
            let defined = object
                .symbols()
                .filter(|symbol| symbol.kind() == SymbolKind::Text && !symbol.is_undefined());
            names.extend(defined.filter_map(|symbol| symbol.name().ok().map(str::to_owned)));
        }
    }
    if names.is_empty() {
        let problem = "no prebuilt libraries found: is the toolchain complete?".into();
        return Err(Error::Format {
            path: libraries,
            problem,
        });
    }
    Ok(names)
}
