//! Writes good and damaged ACPI tables to files, to be put into a virtual machine's memory.
//!
//! ```text
//! cargo run -p kerncore --features test-tables --example acpi_tables -- ADDRESS CPUS DIRECTORY
//! qemu-system-x86_64 ... -device loader,file=DIRECTORY/madt-checksum.bin,addr=ADDRESS,force-raw=on
//! ```
//! and `acpi_rsdp=ADDRESS` on the kernel command line. Prints, for each file, its name and the messages to expect, separated by tabs.

use kerncore::acpi::test_tables::{Defect, Q35_BYTES, q35};
use kerncore::acpi::{Acpi, Candidates, PhysicalMemory, Unreadable};
use kerncore::cmdline::parse_number;
use std::path::Path;
use std::process::ExitCode;

struct Loaded<'a> {
    address: u64,
    bytes: &'a [u8],
}

impl PhysicalMemory for Loaded<'_> {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
        let start = address.checked_sub(self.address).ok_or(Unreadable)? as usize;
        let bytes = self
            .bytes
            .get(start..start + buffer.len())
            .ok_or(Unreadable)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

fn write_all(address: u64, cpus: u8, directory: &Path) -> Result<(), String> {
    for (defect, name) in Defect::ALL {
        let mut buffer = vec![0; Q35_BYTES];
        let used = q35(&mut buffer, address, cpus, defect)
            .map_err(|_| "the buffer is too small".to_string())?;
        let bytes = &buffer[..used];
        let path = directory.join(name).with_extension("bin");
        std::fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut acpi = Acpi::EMPTY;
        let candidates = Candidates {
            command_line: Some(address),
            ..Candidates::default()
        };
        acpi.discover(&Loaded { address, bytes }, candidates);
        let messages = acpi
            .problems
            .as_slice()
            .iter()
            .map(|problem| format!("\t{problem}"));
        println!("{}{}", path.display(), messages.collect::<String>());
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let parsed = match arguments.as_slice() {
        [address, cpus, directory] => parse_number(address)
            .zip(cpus.parse().ok())
            .map(|(address, cpus)| (address, cpus, Path::new(directory))),
        _ => None,
    };
    let Some((address, cpus, directory)) = parsed else {
        eprintln!("usage: acpi_tables ADDRESS CPUS DIRECTORY");
        return ExitCode::from(2);
    };
    match write_all(address, cpus, directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("acpi_tables: {error}");
            ExitCode::FAILURE
        }
    }
}
