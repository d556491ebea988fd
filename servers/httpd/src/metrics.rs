//! Figures as text for Prometheus (text exposition format, version 0.0.4).

use alloc::string::String;
use core::fmt::Write;

use proto::MISS_CAUSES;
use proto::net::Row;

use crate::figures::{Figures, Histogram};

/// What a metric's value is.
const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

/// A label's value between quotes.
struct Label<'a>(&'a str);

impl core::fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for character in self.0.chars() {
            match character {
                '"' | '\\' => write!(f, "\\{character}")?,
                '\n' => f.write_str("\\n")?,
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// Nanoseconds as seconds.
struct Seconds(u64);

impl core::fmt::Display for Seconds {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "{}.{:09}",
            self.0 / 1_000_000_000,
            self.0 % 1_000_000_000
        )
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) -> core::fmt::Result {
    write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n")
}

fn histogram(
    text: &mut String,
    name: &str,
    help: &str,
    histogram: &Histogram,
) -> core::fmt::Result {
    head(text, name, "histogram", help)?;
    let mut sum = 0;
    for (bucket, count) in histogram.buckets.iter().enumerate() {
        sum += count;
        if bucket + 1 < histogram.buckets.len() {
            let end = Seconds(1000 << bucket);
            writeln!(text, "{name}_bucket{{le=\"{end}\"}} {sum}")?;
        }
    }
    writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {sum}")?;
    writeln!(text, "{name}_sum {}", Seconds(histogram.total_ns))?;
    writeln!(text, "{name}_count {sum}")
}

fn write(figures: &Figures, text: &mut String) -> core::fmt::Result {
    let memory = &figures.memory;
    let frame = u64::from(memory.frame_bytes);
    head(text, "raede_uptime_seconds", GAUGE, "Time since the start.")?;
    writeln!(
        text,
        "raede_uptime_seconds {}",
        Seconds(figures.time.uptime_ns)
    )?;
    head(text, "raede_memory_bytes", GAUGE, "Usable memory.")?;
    writeln!(text, "raede_memory_bytes {}", memory.total_frames * frame)?;
    head(text, "raede_memory_free_bytes", GAUGE, "Free memory.")?;
    writeln!(
        text,
        "raede_memory_free_bytes {}",
        memory.free_frames * frame
    )?;
    head(
        text,
        "raede_core_idle_seconds_total",
        COUNTER,
        "Time a core was halted.",
    )?;
    for core in &figures.cores {
        let (number, idle) = (core.core, Seconds(core.idle_ns));
        writeln!(
            text,
            "raede_core_idle_seconds_total{{core=\"{number}\"}} {idle}"
        )?;
    }
    head(
        text,
        "raede_core_interrupts_total",
        COUNTER,
        "Interrupts a core took.",
    )?;
    for core in &figures.cores {
        let (number, irqs) = (core.core, core.irqs);
        writeln!(
            text,
            "raede_core_interrupts_total{{core=\"{number}\"}} {irqs}"
        )?;
    }
    head(
        text,
        "raede_core_deadline_misses_total",
        COUNTER,
        "Jobs that ended behind their deadlines, by cause.",
    )?;
    for core in &figures.cores {
        let number = core.core;
        for (cause, count) in MISS_CAUSES.iter().zip(core.misses) {
            writeln!(
                text,
                "raede_core_deadline_misses_total{{core=\"{number}\",cause=\"{cause}\"}} {count}"
            )?;
        }
    }
    head(
        text,
        "raede_process_cpu_seconds_total",
        COUNTER,
        "Processor time of a process.",
    )?;
    for process in &figures.processes {
        writeln!(
            text,
            "raede_process_cpu_seconds_total{{id=\"{}\",name=\"{}\"}} {}",
            process.id,
            Label(&process.name),
            Seconds(process.cpu_ns)
        )?;
    }
    head(
        text,
        "raede_process_memory_bytes",
        GAUGE,
        "Memory of a process.",
    )?;
    for process in &figures.processes {
        writeln!(
            text,
            "raede_process_memory_bytes{{id=\"{}\",name=\"{}\"}} {}",
            process.id,
            Label(&process.name),
            process.memory_bytes
        )?;
    }
    head(
        text,
        "raede_interface_bytes_total",
        COUNTER,
        "Bytes through an interface.",
    )?;
    for row in &figures.interfaces {
        if let Row::Interface { name, traffic, .. } = row {
            let name = Label(name);
            for (way, bytes) in [
                ("received", traffic.received_bytes),
                ("sent", traffic.sent_bytes),
            ] {
                writeln!(
                    text,
                    "raede_interface_bytes_total{{interface=\"{name}\",direction=\"{way}\"}} {bytes}"
                )?;
            }
        }
    }
    histogram(
        text,
        "raede_http_request_seconds",
        "How long requests to this server took.",
        &figures.requests,
    )?;
    histogram(
        text,
        "raede_timer_lateness_seconds",
        "How late timers were that requests for figures set.",
        &figures.lateness,
    )
}

/// Figures as text.
#[must_use]
pub fn text(figures: &Figures) -> String {
    let mut text = String::new();
    // A string takes everything.
    let written = write(figures, &mut text);
    debug_assert!(written.is_ok());
    text
}

#[cfg(test)]
mod tests {
    use proto::{ProcessRow, Text};

    use super::*;

    #[test]
    fn lines_are_names_labels_and_numbers() {
        let mut figures = Figures::default();
        figures.requests.add(3000);
        figures.processes.push(ProcessRow {
            name: Text::from_start("a\"b\\c\nd"),
            cpu_ns: 1_500_000_000,
            ..ProcessRow::default()
        });
        let text = text(&figures);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').expect("two words");
            assert!(
                name.starts_with("raede_") && value.parse::<f64>().is_ok(),
                "{line}"
            );
        }
        assert!(text.contains("{id=\"0\",name=\"a\\\"b\\\\c\\nd\"} 1.500000000\n"));
        assert!(text.contains("raede_http_request_seconds_bucket{le=\"0.000002000\"} 0\n"));
        assert!(text.contains("raede_http_request_seconds_bucket{le=\"0.000004000\"} 1\n"));
        assert!(text.ends_with("raede_timer_lateness_seconds_count 0\n"));
    }
}
