//! Names for class codes (PCI code and ID assignment specification 1.16, chapter 1): those a PC is likely to have.

/// What a class and subclass are called; the class alone where the subclass is not in the table.
pub fn name(class: u8, subclass: u8) -> &'static str {
    let find = |wanted: u16| {
        NAMES
            .iter()
            .find(|(code, _)| *code == wanted)
            .map(|(_, name)| *name)
    };
    let code = u16::from(class) << 8 | u16::from(subclass);
    find(code)
        .or_else(|| find(u16::from(class) << 8 | 0x80))
        .unwrap_or("unknown")
}

const NAMES: [(u16, &str); 59] = [
    (0x0000, "pre-2.0 device"),
    (0x0001, "pre-2.0 VGA"),
    (0x0080, "unclassified device"),
    (0x0100, "SCSI controller"),
    (0x0101, "IDE controller"),
    (0x0104, "RAID controller"),
    (0x0105, "ATA controller"),
    (0x0106, "SATA controller"),
    (0x0107, "SAS controller"),
    (0x0108, "NVMe controller"),
    (0x0180, "storage controller"),
    (0x0200, "Ethernet controller"),
    (0x0280, "network controller"),
    (0x0300, "VGA controller"),
    (0x0302, "3D controller"),
    (0x0380, "display controller"),
    (0x0400, "video device"),
    (0x0401, "audio device"),
    (0x0403, "HD audio device"),
    (0x0480, "multimedia device"),
    (0x0500, "RAM controller"),
    (0x0580, "memory controller"),
    (0x0600, "host bridge"),
    (0x0601, "ISA bridge"),
    (0x0604, "PCI bridge"),
    (0x0607, "CardBus bridge"),
    (0x0609, "PCI bridge, semi-transparent"),
    (0x0680, "bridge"),
    (0x0700, "serial controller"),
    (0x0701, "parallel controller"),
    (0x0780, "communication controller"),
    (0x0800, "interrupt controller"),
    (0x0801, "DMA controller"),
    (0x0802, "timer"),
    (0x0803, "real-time clock"),
    (0x0805, "SD host controller"),
    (0x0806, "IOMMU"),
    (0x0880, "system device"),
    (0x0900, "keyboard controller"),
    (0x0902, "mouse controller"),
    (0x0980, "input controller"),
    (0x0b40, "coprocessor"),
    (0x0b80, "processor"),
    (0x0c00, "FireWire controller"),
    (0x0c03, "USB controller"),
    (0x0c05, "SMBus controller"),
    (0x0c07, "IPMI interface"),
    (0x0c80, "serial bus controller"),
    (0x0d11, "Bluetooth controller"),
    (0x0d80, "wireless controller"),
    (0x0e00, "I2O controller"),
    (0x0f80, "satellite controller"),
    (0x1000, "network and computing crypto device"),
    (0x1080, "crypto device"),
    (0x1180, "signal processing controller"),
    (0x1200, "processing accelerator"),
    (0x1280, "processing accelerator"),
    (0x1300, "instrumentation"),
    (0xff80, "vendor-specific device"),
];
