//! Figures as JSON.

use alloc::string::String;
use core::fmt::Write;

use proto::MISS_CAUSES;
use proto::net::Row;

use crate::figures::{Figures, Histogram};

/// A text in quotes.
struct Quoted<'a>(&'a str);

impl core::fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' | '\\' => write!(f, "\\{character}")?,
                // RFC 8259 §7; and what a page would take for the end of a script.
                '\0'..=' ' | '<' | '\u{7f}'..='\u{9f}' => {
                    write!(f, "\\u{:04x}", u32::from(character))?;
                }
                _ => f.write_char(character)?,
            }
        }
        f.write_char('"')
    }
}

/// Items with commas between them.
fn list<T>(
    text: &mut String,
    name: &str,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut String, T) -> core::fmt::Result,
) -> core::fmt::Result {
    write!(text, ",\"{name}\":[")?;
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        write(text, item)?;
    }
    text.push(']');
    Ok(())
}

fn histogram(text: &mut String, name: &str, histogram: &Histogram) -> core::fmt::Result {
    write!(
        text,
        ",\"{name}\":{{\"count\":{},\"p50_us\":{},\"p99_us\":{}",
        histogram.count(),
        histogram.quantile_us(500),
        histogram.quantile_us(990)
    )?;
    list(text, "buckets", histogram.buckets, |text, count| {
        write!(text, "{count}")
    })?;
    text.push('}');
    Ok(())
}

fn write(figures: &Figures, text: &mut String) -> core::fmt::Result {
    let memory = &figures.memory;
    let frame = u64::from(memory.frame_bytes);
    write!(
        text,
        "{{\"version\":{},\"uptime_ns\":{},\"memory\":{{\"total\":{},\"free\":{},\"heap\":{},\"heap_used\":{}}}",
        Quoted(&figures.info.version),
        figures.time.uptime_ns,
        memory.total_frames * frame,
        memory.free_frames * frame,
        memory.heap.total,
        memory.heap.used
    )?;
    list(text, "cores", &figures.cores, |text, core| {
        write!(
            text,
            "{{\"core\":{},\"state\":\"{}\",\"up_ns\":{},\"idle_ns\":{},\"dispatches\":{},\"irqs\":{},\"ipis\":{}",
            core.core,
            core.state.word(),
            core.up_ns,
            core.idle_ns,
            core.dispatches,
            core.irqs,
            core.ipis
        )?;
        let misses = MISS_CAUSES.iter().zip(core.misses);
        list(text, "misses", misses, |text, (cause, count)| {
            write!(text, "[\"{cause}\",{count}]")
        })?;
        text.push('}');
        Ok(())
    })?;
    list(text, "processes", &figures.processes, |text, process| {
        write!(
            text,
            "{{\"id\":{},\"name\":{},\"state\":\"{}\",\"placement\":\"{}\",\"threads\":{},\"handles\":{},\"memory_bytes\":{},\"cpu_ns\":{}}}",
            process.id,
            Quoted(&process.name),
            process.state.word(),
            process.placement.word(),
            process.threads,
            process.handles,
            process.memory_bytes,
            process.cpu_ns
        )
    })?;
    list(text, "tasks", &figures.tasks, |text, task| {
        write!(
            text,
            "{{\"name\":{},\"core\":{},\"polls\":{},\"cpu_ns\":{},\"longest_poll_ns\":{}}}",
            Quoted(&task.name),
            task.core,
            task.polls,
            task.cpu_ns,
            task.longest_poll_ns
        )
    })?;
    list(
        text,
        "interfaces",
        &figures.interfaces,
        |text, row| match row {
            Row::Interface {
                name,
                driver,
                link,
                traffic,
                ..
            } => write!(
                text,
                "{{\"name\":{},\"driver\":{},\"link\":{link},\"received_frames\":{},\"received_bytes\":{},\"sent_frames\":{},\"sent_bytes\":{},\"dropped\":{},\"interrupts\":{}}}",
                Quoted(name),
                Quoted(driver),
                traffic.received_frames,
                traffic.received_bytes,
                traffic.sent_frames,
                traffic.sent_bytes,
                traffic.dropped,
                traffic.interrupts
            ),
            _ => text.write_str("null"),
        },
    )?;
    histogram(text, "requests", &figures.requests)?;
    histogram(text, "lateness", &figures.lateness)?;
    text.write_str("}\n")
}

/// Figures as an object.
#[must_use]
pub fn status(figures: &Figures) -> String {
    let mut text = String::new();
    // A string takes everything.
    let written = write(figures, &mut text);
    debug_assert!(written.is_ok());
    text
}

#[cfg(test)]
mod tests {
    use proto::{CoreRow, ProcessRow, Text};

    use super::*;

    #[test]
    fn it_is_json() {
        let mut figures = Figures::default();
        figures.requests.add(5000);
        figures.cores.push(CoreRow::default());
        figures.cores.push(CoreRow::default());
        figures.processes.push(ProcessRow {
            name: Text::from_start("</script>\"\\\n\u{1}ä"),
            ..ProcessRow::default()
        });
        let text = status(&figures);
        assert!(!text.contains("</"));
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["processes"][0]["name"], "</script>\"\\\n\u{1}ä");
        assert_eq!(value["cores"].as_array().map(std::vec::Vec::len), Some(2));
        assert_eq!(value["requests"]["p99_us"], 8);
    }
}
