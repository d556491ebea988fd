//! Where the instructions of one operation go: the emulator names each instruction that it runs, and here they are counted by
//! function of the kernel.
//!
//! The machine is that of the counted mode, with addresses that are not chosen at random, and runs one probe of ring 3. Once the
//! probe has begun, each line of QEMU's execution log (`-singlestep -d exec`) is one instruction. What an operation is, the
//! instructions themselves tell: the probe repeats it, so most addresses of its loop in ring 3 were met equally often, and one of
//! these marks where each repetition begins ([`Profile::new`]).

use super::guest::Mode;
use super::parse_line;
use crate::build::ksyms;
use crate::error::{Doing, Error, Result};
use crate::qemu::{Ports, Vm};
use object::{Object, ObjectSymbol, SymbolKind};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{self, Command};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The upper half of addresses is the kernel's.
const KERNEL: u64 = 1 << 63;
const RING3: &str = "(ring 3)";
/// Fewer repetitions say nothing.
const LEAST: usize = 4;
/// What ring 3 measures before any probe: after it comes the one that is wanted.
const BEFORE: &str = "noise.";
/// Functions in the table.
const ROWS: usize = 60;

/// Runs the probe of `metric` and takes `count` of its instructions.
///
/// # Errors
/// If the machine does not come so far within `limit`, or nothing in there repeats.
pub fn run(kernel: &Path, metric: &str, count: usize, limit: Duration) -> Result<String> {
    let functions = Functions::of(kernel)?;
    let log = std::env::temp_dir().join(format!("raede-instructions-{}", process::id()));
    let made = Command::new("mkfifo").arg(&log).status();
    if !made.doing(|| "starting mkfifo".into())?.success() {
        return Err(Error::Qemu(format!("{} cannot be made", log.display())));
    }
    let taken = take(kernel, metric, count, limit, &log);
    let removed = fs::remove_file(&log).doing(|| format!("removing {}", log.display()));
    let addresses = taken?;
    removed?;
    let profile = Profile::new(&addresses).ok_or_else(|| {
        Error::Qemu(format!(
            "nothing in {} instructions of {metric} repeats {LEAST} times: take more (--take)",
            addresses.len()
        ))
    })?;
    Ok(profile.tell(metric, &functions))
}

/// The addresses of instructions, in order.
fn take(
    kernel: &Path,
    metric: &str,
    count: usize,
    limit: Duration,
    log: &Path,
) -> Result<Vec<u64>> {
    let end = Instant::now() + limit;
    let mut machine = Mode::Icount.ring3_machine(kernel, 2, metric, "kaslr=off");
    let path = log.display().to_string();
    let words = ["-singlestep", "-d", "nochain", "-D", &path];
    machine.extra.extend(words.map(str::to_owned));
    let (tell, told) = mpsc::channel();
    let from = log.to_owned();
    // QEMU opens its log before anything else, and waits there for a reader.
    thread::spawn(move || {
        let addresses = File::open(&from).map(|file| read(BufReader::new(file), count));
        // Nobody listens any more if the machine failed.
        let _: std::result::Result<(), _> = tell.send(addresses);
    });
    let mut vm = machine.spawn_with(Ports::MEASURING)?;
    wait_until_probed(&mut vm, metric, end)?;
    vm.qmp.monitor("log exec,nochain")?;
    let left = end.saturating_duration_since(Instant::now());
    let addresses = told.recv_timeout(left).map_err(|_| {
        Error::Qemu(format!(
            "{metric} did not take {count} instructions in time"
        ))
    })?;
    addresses.doing(|| format!("reading {}", log.display()))
}

fn wait_until_probed(vm: &mut Vm, metric: &str, end: Instant) -> Result<()> {
    loop {
        let message = parse_line(&super::guest::next_line(vm, end)?)?;
        let name = message["metric"].as_str().unwrap_or_default();
        if message["unit"].is_string() && name.starts_with(BEFORE) {
            return Ok(());
        }
        if message["event"] == "done" {
            return Err(Error::Qemu(format!("ring 3 has no probe of {metric}")));
        }
    }
}

/// The log's first `count` addresses. A line: `Trace 0: HOST [CS_BASE/ADDRESS/FLAGS/CFLAGS] ...`.
fn read(mut log: impl BufRead, count: usize) -> Vec<u64> {
    let (mut addresses, mut line) = (Vec::new(), Vec::new());
    while addresses.len() < count {
        line.clear();
        match log.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => addresses.extend(address_in(&line)),
        }
    }
    addresses
}

fn address_in(line: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(line).ok()?.strip_prefix("Trace ")?;
    let (_, rest) = line.split_once('[')?;
    u64::from_str_radix(rest.split('/').nth(1)?, 16).ok()
}

/// The kernel's functions, by where they begin.
struct Functions(BTreeMap<u64, String>);

impl Functions {
    fn of(kernel: &Path) -> Result<Functions> {
        let data = fs::read(kernel).doing(|| format!("reading {}", kernel.display()))?;
        let elf = object::File::parse(&*data).map_err(|error| Error::Format {
            path: kernel.into(),
            problem: error.to_string(),
        })?;
        let texts = elf.symbols().filter(|symbol| {
            symbol.kind() == SymbolKind::Text || symbol.kind() == SymbolKind::Unknown
        });
        Ok(Functions(
            texts
                .filter(|symbol| symbol.address() >= KERNEL && !symbol.is_undefined())
                .filter_map(|symbol| Some((symbol.address(), ksyms::demangle(symbol.name().ok()?))))
                .collect(),
        ))
    }

    fn name(&self, address: u64) -> &str {
        if address < KERNEL {
            return RING3;
        }
        let before = self.0.range(..=address).next_back();
        before.map_or("(unknown)", |(_, name)| name)
    }

    fn begins(&self, address: u64) -> bool {
        self.0.contains_key(&address)
    }
}

/// Whole repetitions of one operation.
struct Profile<'a> {
    repetitions: Vec<&'a [u64]>,
}

impl<'a> Profile<'a> {
    /// Finds out what repeats: how often most addresses in ring 3 were met, and the first one that was met so often.
    fn new(addresses: &'a [u64]) -> Option<Profile<'a>> {
        let mut met: HashMap<u64, usize> = HashMap::new();
        for &address in addresses.iter().filter(|&&address| address < KERNEL) {
            *met.entry(address).or_default() += 1;
        }
        let mut often: BTreeMap<usize, usize> = BTreeMap::new();
        for &times in met.values().filter(|&&times| times > LEAST) {
            *often.entry(times).or_default() += 1;
        }
        let (&times, _) = often.iter().max_by_key(|&(_, addresses)| addresses)?;
        let mark = addresses
            .iter()
            .find(|address| met.get(address) == Some(&times))?;
        let places: Vec<usize> = (0..addresses.len())
            .filter(|&place| addresses[place] == *mark)
            .collect();
        let repetitions = places.windows(2).map(|pair| &addresses[pair[0]..pair[1]]);
        Some(Profile {
            repetitions: repetitions.collect(),
        })
    }

    /// The one of median length.
    fn usual(&self) -> &'a [u64] {
        let mut sorted = self.repetitions.clone();
        sorted.sort_by_key(|repetition| repetition.len());
        sorted[sorted.len() / 2]
    }

    fn tell(&self, metric: &str, functions: &Functions) -> String {
        let count = self.repetitions.len() as f64;
        // By function: instructions, and entries.
        let mut by_function: HashMap<&str, (usize, usize)> = HashMap::new();
        for &address in self.repetitions.iter().copied().flatten() {
            let of = by_function.entry(functions.name(address)).or_default();
            of.0 += 1;
            of.1 += usize::from(functions.begins(address));
        }
        let mut rows: Vec<_> = by_function.into_iter().collect();
        rows.sort_by_key(|(name, (instructions, _))| (usize::MAX - instructions, *name));
        let usual = self.usual();
        let mut text = format!(
            "{metric}: {} repetitions, usually {} instructions each\n\n",
            self.repetitions.len(),
            usual.len()
        );
        text += "instructions  entered  function, of the average repetition\n";
        for (name, (instructions, entries)) in rows.iter().take(ROWS) {
            let (each, entered) = (*instructions as f64 / count, *entries as f64 / count);
            // Writing to a string does not fail.
            let _: std::fmt::Result = writeln!(text, "{each:12.1} {entered:8.1}  {name}");
        }
        text += "\nThe usual one, in order:\n";
        let mut rest = usual;
        while let [first, ..] = rest {
            let name = functions.name(*first);
            let stay = rest
                .iter()
                .take_while(|address| functions.name(**address) == name);
            let stay = stay.count();
            let _: std::fmt::Result = writeln!(text, "{stay:12} {:9} {name}", "");
            rest = &rest[stay..];
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_log() {
        let line =
            b"Trace 0: 0x7f5c40000100 [0000000000000000/ffffffff80201000/004000b0/ff000201] x\n";
        assert_eq!(address_in(line), Some(0xffff_ffff_8020_1000));
        assert_eq!(address_in(b"Stopped execution of TB chain"), None);
        assert_eq!(read(&line[..], 7), [0xffff_ffff_8020_1000]);
    }

    #[test]
    fn what_repeats_is_found_by_itself() {
        let kernel = KERNEL + 0x10;
        let mut addresses = vec![1, 2, 3];
        for round in 0..9 {
            addresses.extend([0x100, 0x104, kernel, kernel + 4, 0x108]);
            if round == 3 {
                addresses.extend([kernel + 0x20; 5]);
            }
        }
        let profile = Profile::new(&addresses).expect("nine rounds");
        assert_eq!(profile.repetitions.len(), 8);
        assert_eq!(profile.usual().len(), 5);
        let functions = Functions([(kernel, "wake".into()), (kernel + 0x20, "rare".into())].into());
        let told = profile.tell("x", &functions);
        assert!(
            told.starts_with("x: 8 repetitions, usually 5 instructions each"),
            "{told}"
        );
        assert!(told.contains("         3.0      0.0  (ring 3)"), "{told}");
        assert!(told.contains("         2.0      1.0  wake"), "{told}");
        assert!(Profile::new(&[1, 2, 3]).is_none());
    }
}
