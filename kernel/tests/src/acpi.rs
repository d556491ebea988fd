//! ACPI tables made for the occasion, most of them damaged (ACPI 6.5 §5.2).

use std::path::Path;
use xtask::qemu::Machine;

/// Where the tables are put: usable memory that neither firmware nor boot loader touches.
pub const ADDRESS: u64 = 0x1000_0000;
/// Where the XSDT lies behind the RSDP, and the MADT behind that.
const XSDT: u64 = ADDRESS + 0x100;
const MADT: u64 = ADDRESS + 0x200;

/// What is wrong with the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Bytes that are no table at all.
    Garbage,
    /// An RSDP whose checksum does not hold.
    RsdpChecksum,
    /// An RSDP that points outside any memory.
    XsdtNowhere,
    /// An XSDT that claims 4 GiB.
    XsdtHuge,
    /// An XSDT whose only entry points back to itself.
    XsdtLoop,
    /// A MADT with an entry of length 0, at which a careless reader loops.
    MadtZeroEntry,
    /// A MADT whose last entry reaches beyond the table.
    MadtCutOff,
}

impl Damage {
    /// All kinds.
    pub const ALL: [Damage; 7] = [
        Damage::Garbage,
        Damage::RsdpChecksum,
        Damage::XsdtNowhere,
        Damage::XsdtHuge,
        Damage::XsdtLoop,
        Damage::MadtZeroEntry,
        Damage::MadtCutOff,
    ];

    /// Its name in the suite.
    pub fn name(self) -> &'static str {
        match self {
            Damage::Garbage => "garbage",
            Damage::RsdpChecksum => "rsdp_checksum",
            Damage::XsdtNowhere => "xsdt_nowhere",
            Damage::XsdtHuge => "xsdt_huge",
            Damage::XsdtLoop => "xsdt_loop",
            Damage::MadtZeroEntry => "madt_zero_entry",
            Damage::MadtCutOff => "madt_cut_off",
        }
    }

    /// The bytes to lie at [`ADDRESS`].
    pub fn tables(self) -> Vec<u8> {
        if self == Damage::Garbage {
            return (0..1024u32)
                .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
                .collect();
        }
        let xsdt_address = if self == Damage::XsdtNowhere {
            0xffff_ffff_f000
        } else {
            XSDT
        };
        let mut memory = rsdp(xsdt_address);
        if self == Damage::RsdpChecksum {
            memory[8] ^= 0xff;
        }
        memory.resize((XSDT - ADDRESS) as usize, 0);
        let entry = if self == Damage::XsdtLoop { XSDT } else { MADT };
        let claimed = (self == Damage::XsdtHuge).then_some(u32::MAX);
        memory.extend(table(b"XSDT", &entry.to_le_bytes(), claimed));
        memory.resize((MADT - ADDRESS) as usize, 0);
        memory.extend(table(b"APIC", &self.madt(), None));
        memory.resize(1024, 0);
        memory
    }

    /// The MADT's body: local APIC address, flags, entries.
    fn madt(self) -> Vec<u8> {
        let mut body = 0xfee0_0000u32.to_le_bytes().to_vec();
        body.extend(1u32.to_le_bytes());
        // Processor 0, local APIC 0, enabled.
        body.extend([0, 8, 0, 0, 1, 0, 0, 0]);
        match self {
            Damage::MadtZeroEntry => body.extend([1, 0, 0, 0, 0, 0]),
            // An I/O APIC of 12 bytes, of which 4 are there.
            Damage::MadtCutOff => body.extend([1, 12, 0, 0]),
            _ => {}
        }
        body
    }

    /// Puts the tables into the machine's memory.
    pub fn plug_in(self, machine: &mut Machine, folder: &Path) -> std::io::Result<()> {
        let file = folder.join(format!("acpi-{}.bin", self.name()));
        std::fs::write(&file, self.tables())?;
        let device = format!(
            "loader,file={},addr={ADDRESS:#x},force-raw=on",
            file.display()
        );
        machine.extra.extend(["-device".into(), device]);
        Ok(())
    }
}

/// An RSDP of revision 2 (§5.2.5.3).
fn rsdp(xsdt: u64) -> Vec<u8> {
    let mut rsdp = b"RSD PTR \0RAEDE \x02".to_vec();
    rsdp.extend(0u32.to_le_bytes());
    rsdp.extend(36u32.to_le_bytes());
    rsdp.extend(xsdt.to_le_bytes());
    rsdp.extend([0; 4]);
    rsdp[8] = complement(&rsdp[..20]);
    rsdp[32] = complement(&rsdp);
    rsdp
}

/// A table with its header (§5.2.6) and checksum. `claimed` replaces the length.
fn table(signature: &[u8; 4], body: &[u8], claimed: Option<u32>) -> Vec<u8> {
    let length = 36 + body.len() as u32;
    let mut table = signature.to_vec();
    table.extend(claimed.unwrap_or(length).to_le_bytes());
    table.extend(*b"\x01\0RAEDE RAEDETST");
    table.extend([1, 0, 0, 0]);
    table.extend(*b"TEST");
    table.extend([1, 0, 0, 0]);
    table.extend(body);
    table[9] = complement(&table);
    table
}

/// What makes the sum of the bytes zero.
fn complement(bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(0u8, |sum, byte| sum.wrapping_add(*byte))
        .wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
    }

    #[test]
    fn only_the_named_damage() {
        let tables = Damage::XsdtLoop.tables();
        assert_eq!((sum(&tables[..20]), sum(&tables[..36])), (0, 0));
        let xsdt = (XSDT - ADDRESS) as usize;
        assert_eq!(&tables[xsdt..xsdt + 4], b"XSDT");
        assert_eq!(sum(&tables[xsdt..xsdt + 44]), 0);
        let madt = (MADT - ADDRESS) as usize;
        let length =
            u32::from_le_bytes(tables[madt + 4..madt + 8].try_into().expect("4 bytes")) as usize;
        assert_eq!((length, sum(&tables[madt..madt + length])), (52, 0));
        assert_ne!(sum(&Damage::RsdpChecksum.tables()[..20]), 0);
        assert!(
            Damage::ALL
                .iter()
                .all(|damage| damage.tables().len() == 1024)
        );
    }
}
