//! The page of reservations: what processor time is promised to whom, and what became of it in the last second. `late` counts jobs that
//! were done after their deadline, `held` those that waited for the next period with their budget used up.

use alloc::format;

use gui::{Page, Rect};

use crate::figures::Process;

/// Columns of the bar behind each row.
const BAR_PX: i32 = 120;

/// Draws it.
pub fn draw(page: &mut Page<'_, '_, '_>, processes: &[Process]) {
    let reserved = || {
        processes
            .iter()
            .filter_map(|process| Some((process, process.row.reserved?)))
    };
    let promised: u64 = reserved()
        .map(|(_, terms)| terms.budget_ns * 1000 / terms.period_ns.max(1))
        .sum();
    page.label(&format!(
        "{} processes have {}.{} % of a core reserved; the bars are what they used of it in the last second",
        reserved().count(),
        promised / 10,
        promised % 10
    ));
    let faint = page.palette().faint;
    let text = page.palette().text;
    let (_, height) = page.line_heights();
    let head = format!(
        "{:<20} {:>9} {:>9} {:>7} {:>7} {:>5} {:>5}  {:<6}",
        "process", "budget", "period", "share", "used", "late", "held", "then"
    );
    let rest = page.rest();
    page.mono_at(rest.left + 6, rest.top, &head, faint);
    for ((process, terms), number) in reserved().zip(1..) {
        let top = rest.top + number * (height + 8);
        if top + height > rest.bottom {
            return;
        }
        let share = terms.budget_ns * 1000 / terms.period_ns.max(1);
        let row = format!(
            "{:<20} {:>9} {:>9} {:>4}.{} % {:>3}.{} % {:>5} {:>5}  {:<6}",
            &*process.row.name,
            short(terms.budget_ns),
            short(terms.period_ns),
            share / 10,
            share % 10,
            process.load / 10,
            process.load % 10,
            process.row.late_jobs,
            process.row.throttled_jobs,
            if terms.soft { "yields" } else { "waits" },
        );
        page.mono_at(rest.left + 6, top, &row, text);
        let bar = Rect::new(rest.right - BAR_PX, top + 2, BAR_PX, height - 4);
        used(page, &bar, u64::from(process.load), share);
    }
}

/// How much of its share a process used; more than all of it is drawn as an alarm.
fn used(page: &mut Page<'_, '_, '_>, bar: &Rect, load: u64, share: u64) {
    let (raised, accent, alarm) = (
        page.palette().raised,
        page.palette().accent,
        page.palette().alarm,
    );
    page.canvas().round(bar, 4, raised);
    let part = (load * 1000 / share.max(1)).min(1000);
    let filled = Rect {
        right: bar.left + (bar.width() as u64 * part / 1000) as i32,
        ..*bar
    };
    let colour = if load > share { alarm } else { accent };
    page.canvas().round(&filled, 4, colour);
}

fn short(ns: u64) -> alloc::string::String {
    match ns {
        0..1_000_000 => format!("{} us", ns / 1000),
        _ => format!("{} ms", ns / 1_000_000),
    }
}
