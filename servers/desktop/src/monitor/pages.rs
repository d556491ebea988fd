//! The monitor's pages.

use alloc::format;
use alloc::string::String;

use gui::{Happened, Page, PointerWhat, Rect};
use proto::{Refused, UnitName, UnitState};

use crate::figures::Figures;
use crate::{latency, reservations};

/// What a person wants done.
pub enum Wish {
    /// End a process.
    End(u64),
    /// Restart a service.
    Restart(UnitName),
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Tab {
    #[default]
    Cores,
    Processes,
    Services,
    Frames,
    Reservations,
}

/// Which page is shown, and how far down.
#[derive(Default)]
pub struct Pages {
    tab: Tab,
    /// The chosen process or service.
    chosen: Option<Chosen>,
    scrolled: usize,
    said: String,
}

#[derive(PartialEq, Eq)]
enum Chosen {
    Process(u64),
    Service(UnitName),
}

impl Pages {
    /// Takes note of the wheel.
    pub fn note(&mut self, happened: &Happened) {
        if let Happened::Pointer {
            what: PointerWhat::Wheel { down, .. },
            ..
        } = happened
        {
            let lines = usize::from(down.unsigned_abs()) * 3;
            self.scrolled = if *down < 0 {
                self.scrolled.saturating_sub(lines)
            } else {
                self.scrolled.saturating_add(lines)
            };
        }
    }

    /// Says what became of a wish.
    pub fn say(&mut self, wish: &Wish, error: Option<&Refused>) {
        let what = match wish {
            Wish::End(process) => format!("ending process {process}"),
            Wish::Restart(unit) => format!("restarting {}", &**unit),
        };
        self.said = match error {
            None => format!("{what}: done"),
            Some(error) => format!("{what}: {error}"),
        };
    }

    /// Draws the page; what is wanted.
    pub fn draw(&mut self, page: &mut Page<'_, '_, '_>, figures: &Figures) -> Option<Wish> {
        page.row(|page| {
            for (tab, title) in [
                (Tab::Cores, "Cores"),
                (Tab::Processes, "Processes"),
                (Tab::Services, "Services"),
                (Tab::Frames, "Frames"),
                (Tab::Reservations, "Reservations"),
            ] {
                if page.tab(title, self.tab == tab) {
                    self.tab = tab;
                    self.scrolled = 0;
                    self.chosen = None;
                    self.said.clear();
                }
            }
        });
        match self.tab {
            Tab::Cores => {
                cores(page, figures);
                None
            }
            Tab::Processes => self.processes(page, figures),
            Tab::Services => self.services(page, figures),
            Tab::Frames => {
                latency::draw(page, &figures.frames);
                None
            }
            Tab::Reservations => {
                reservations::draw(page, &figures.processes);
                None
            }
        }
    }

    /// The button below a list, and what was said last.
    fn button(&self, page: &mut Page<'_, '_, '_>, title: &str) -> bool {
        let rest = page.rest();
        let rect = Rect {
            top: rest.bottom - 30,
            right: rest.left + 150,
            ..rest
        };
        let faint = page.palette().faint;
        page.text_at(rect.right + 12, rect.top + 6, &self.said, faint);
        page.button_at(&rect, title, false) && self.chosen.is_some()
    }

    /// Rows of a list that there is room for, from the first that is shown.
    fn list(&mut self, page: &mut Page<'_, '_, '_>, rows: &[(String, Chosen)], head: &str) {
        let (_, height) = page.line_heights();
        let (faint, text, accent, on_accent) = (
            page.palette().faint,
            page.palette().text,
            page.palette().accent,
            page.palette().on_accent,
        );
        let rest = page.rest();
        page.mono_at(rest.left + 6, rest.top, head, faint);
        let first = rest.top + height + 4;
        let room = ((rest.bottom - 40 - first) / (height + 4)).max(1) as usize;
        self.scrolled = self.scrolled.min(rows.len().saturating_sub(room));
        for ((row, what), number) in rows.iter().skip(self.scrolled).take(room).zip(0..) {
            let rect = Rect::new(
                rest.left,
                first + number * (height + 4),
                rest.width(),
                height + 4,
            );
            let (pressed, hot) = page.press_area(&rect);
            if pressed {
                self.chosen = Some(match what {
                    Chosen::Process(process) => Chosen::Process(*process),
                    Chosen::Service(unit) => Chosen::Service(unit.clone()),
                });
            }
            let is_chosen = self.chosen.as_ref() == Some(what);
            if is_chosen {
                page.canvas().round(&rect, 4, accent);
            } else if hot {
                let raised = page.palette().raised;
                page.canvas().round(&rect, 4, raised);
            }
            page.mono_at(
                rect.left + 6,
                rect.top + 2,
                row,
                if is_chosen { on_accent } else { text },
            );
        }
    }

    fn processes(&mut self, page: &mut Page<'_, '_, '_>, figures: &Figures) -> Option<Wish> {
        let rows: alloc::vec::Vec<_> = figures
            .processes
            .iter()
            .map(|process| {
                let row = &process.row;
                let text = format!(
                    "{:>6} {:<22} {:>5.1} % {:>8} KiB {:>4} {:>5} {}",
                    row.id,
                    &*row.name,
                    f32::from(process.load) / 10.0,
                    row.memory_bytes >> 10,
                    row.threads,
                    row.handles,
                    row.placement.word(),
                );
                (text, Chosen::Process(row.id))
            })
            .collect();
        let head = format!(
            "{:>6} {:<22} {:>7} {:>12} {:>4} {:>5} placed",
            "id", "process", "cpu", "memory", "thr", "hnd"
        );
        self.list(page, &rows, &head);
        match (self.button(page, "End process"), &self.chosen) {
            (true, Some(Chosen::Process(process))) => Some(Wish::End(*process)),
            _ => None,
        }
    }

    fn services(&mut self, page: &mut Page<'_, '_, '_>, figures: &Figures) -> Option<Wish> {
        let rows: alloc::vec::Vec<_> = figures
            .units
            .iter()
            .filter(|unit| unit.enabled || unit.state != UnitState::Stopped)
            .map(|unit| {
                let text = format!(
                    "{:<22} {:<9} {:<9} {:>8} {:>8}",
                    &*unit.name,
                    unit.state.word(),
                    unit.placement.word(),
                    unit.generation,
                    unit.restarts,
                );
                (text, Chosen::Service(unit.name.clone()))
            })
            .collect();
        let head = format!(
            "{:<22} {:<9} {:<9} {:>8} {:>8}",
            "service", "state", "placed", "started", "restarts"
        );
        self.list(page, &rows, &head);
        match (self.button(page, "Restart"), &self.chosen) {
            (true, Some(Chosen::Service(unit))) => Some(Wish::Restart(unit.clone())),
            _ => None,
        }
    }
}

fn cores(page: &mut Page<'_, '_, '_>, figures: &Figures) {
    let memory = &figures.memory;
    let mebibytes = |frames: u64| (frames * u64::from(memory.frame_bytes)) >> 20;
    let used = mebibytes(memory.total_frames.saturating_sub(memory.free_frames));
    page.label(&format!(
        "Memory: {used} of {} MiB used",
        mebibytes(memory.total_frames)
    ));
    bar(
        page,
        memory.total_frames.saturating_sub(memory.free_frames),
        memory.total_frames,
    );
    for (core, number) in figures.cores.iter().zip(0..) {
        let load = core.load.last().copied().unwrap_or(0);
        page.label(&format!(
            "Core {number}: {}.{} % busy",
            load / 10,
            load % 10
        ));
        let rest = page.rest();
        if rest.height() < 60 {
            return;
        }
        graph(page, &core.load);
    }
}

/// How much of something is used.
fn bar(page: &mut Page<'_, '_, '_>, part: u64, whole: u64) {
    let rect = page.area(12);
    let (raised, accent) = (page.palette().raised, page.palette().accent);
    page.canvas().round(&rect, 6, raised);
    let filled = (rect.width() as u64 * part / whole.max(1)) as i32;
    page.canvas().round(
        &Rect {
            right: rect.left + filled,
            ..rect
        },
        6,
        accent,
    );
}

/// A load over time, the newest at the right.
fn graph(page: &mut Page<'_, '_, '_>, load: &[u16]) {
    let rect = page.area(70);
    let (raised, accent, line) = (
        page.palette().raised,
        page.palette().accent,
        page.palette().line,
    );
    page.canvas().round(&rect, 4, raised);
    page.canvas()
        .fill(&Rect::new(rect.left, rect.top + 35, rect.width(), 1), line);
    let width = (rect.width() / crate::figures::KEPT as i32).max(1);
    for (value, number) in load.iter().rev().zip(1..) {
        let height = (i32::from(*value) * rect.height() / 1000).max(1);
        let left = rect.right - number * width;
        if left < rect.left {
            break;
        }
        page.canvas().fill(
            &Rect::new(left, rect.bottom - height, width, height),
            accent,
        );
    }
}
