//! `irq` and `pci`.

use core::array;

use proto::{Bar, Cursor, IrqRow, PciRow};
use rt::{ByteSink, ByteSource, Closed};

use super::options::Parsed;
use crate::Host;
use crate::json::Object;
use crate::output::put;
use crate::session::Session;
use crate::status;
use crate::units::Bytes;

/// Rows asked for at once.
const PAGE_ROWS: usize = 4;
/// Most cores that get a column of their own.
const CORE_COLUMNS: usize = 8;

pub async fn irq<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    parsed: &Parsed<'_>,
) -> Result<u8, Closed> {
    let json = parsed.has("json");
    let mut cursor = Cursor::START;
    let mut page: [IrqRow; PAGE_ROWS] = array::from_fn(|_| IrqRow::default());
    let mut first = true;
    loop {
        let count = session.system.irqs(&mut cursor, &mut page).await;
        for row in page.iter().take(count) {
            let output = &mut session.output;
            if json {
                let written = Object::new(output)
                    .number("vector", row.vector)
                    .string("source", &row.source)
                    .number("total", row.total())
                    .numbers("counts", row.counts.iter().copied())
                    .end();
                debug_assert!(written.is_ok());
                put!(*output, "\n");
            } else {
                if first {
                    put!(*output, "vector {:<28} {:>10}", "source", "total");
                    for core in 0..row.counts.len().min(CORE_COLUMNS) {
                        put!(*output, " {:>9}{core}", "core");
                    }
                    put!(*output, "\n");
                }
                put!(
                    *output,
                    "  {:#04x} {:<28} {:>10}",
                    row.vector,
                    row.source,
                    row.total()
                );
                for count in row.counts.iter().take(CORE_COLUMNS) {
                    put!(*output, " {count:>10}");
                }
                put!(*output, "\n");
            }
            first = false;
            output.checkpoint().await?;
        }
        if count == 0 {
            return Ok(status::OK);
        }
    }
}

pub async fn pci<I: ByteSource, O: ByteSink, S: Host>(
    session: &mut Session<'_, I, O, S>,
    parsed: &Parsed<'_>,
) -> Result<u8, Closed> {
    let json = parsed.has("json");
    let mut cursor = Cursor::START;
    let mut page: [PciRow; PAGE_ROWS] = array::from_fn(|_| PciRow::default());
    loop {
        let count = session.system.pci(&mut cursor, &mut page).await;
        for row in page.iter().take(count) {
            let output = &mut session.output;
            if json {
                let written = pci_object(row, Object::new(output));
                debug_assert!(written.is_ok());
                put!(*output, "\n");
            } else {
                pci_lines(row, output);
            }
            output.checkpoint().await?;
        }
        if count == 0 {
            return Ok(status::OK);
        }
    }
}

fn pci_object<W: core::fmt::Write>(row: &PciRow, object: Object<'_, W>) -> core::fmt::Result {
    let bars = row
        .bars
        .iter()
        .enumerate()
        .filter(|(_, bar)| **bar != Bar::None);
    let [base, sub, interface] = row.class;
    object
        .plain("address", row.address)
        .number("vendor", row.vendor)
        .number("device", row.device)
        .numbers("class", [base, sub, interface].into_iter())
        .number("revision", row.revision)
        .string("class_text", &row.class_text)
        .array("bars", bars, |writer, (index, bar)| {
            let object = Object::new(writer).number("index", index as i128);
            match *bar {
                Bar::None => object.end(),
                Bar::Io { port, size } => object
                    .string("kind", "io")
                    .number("port", port)
                    .number("size", size)
                    .end(),
                Bar::Memory {
                    address,
                    size,
                    is_64_bit,
                    prefetchable,
                } => object
                    .string("kind", "memory")
                    .number("address", address)
                    .number("size", size)
                    .boolean("is_64_bit", is_64_bit)
                    .boolean("prefetchable", prefetchable)
                    .end(),
            }
        })
        .number("msi_vectors", row.msi_vectors)
        .number("msix_vectors", row.msix_vectors)
        .string("driver", &row.driver)
        .end()
}

fn pci_lines<O: ByteSink>(row: &PciRow, output: &mut crate::output::Output<'_, O>) {
    let [base, sub, interface] = row.class;
    put!(
        *output,
        "{} {:04x}:{:04x} rev {:02x}  {} [{base:02x}{sub:02x}{interface:02x}]",
        row.address,
        row.vendor,
        row.device,
        row.revision,
        row.class_text
    );
    match (row.msi_vectors, row.msix_vectors) {
        (0, 0) => {}
        (msi, 0) => put!(*output, "  MSI {msi}"),
        (0, msix) => put!(*output, "  MSI-X {msix}"),
        (msi, msix) => put!(*output, "  MSI {msi}, MSI-X {msix}"),
    }
    if !row.driver.is_empty() {
        put!(*output, "  driver {}", row.driver);
    }
    put!(*output, "\n");
    for (index, bar) in row.bars.iter().enumerate() {
        match *bar {
            Bar::None => {}
            Bar::Io { port, size } => {
                put!(*output, "    bar {index}: ports {port:#06x}, {size}\n");
            }
            Bar::Memory {
                address,
                size,
                is_64_bit,
                prefetchable,
            } => put!(
                *output,
                "    bar {index}: memory {address:#012x}, {}{}{}\n",
                Bytes(size),
                if is_64_bit { ", 64 bit" } else { "" },
                if prefetchable { ", prefetchable" } else { "" }
            ),
        }
    }
}
