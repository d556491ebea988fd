//! A window that changes with every frame, and what the compositor measured meanwhile.
//!
//! Handles: `desktop`, `manager`. Arguments: frames a second, milliseconds; without them, 60 and 10000. A key pressed over the window changes its
//! colour: the way from the key to the screen is measured, too. Ends with 0 if no frame was late.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::time::Duration;

use gui::{Gui, Happened, Look, NotConnected, Rect, Size, WindowId, rgb};
use proto::frames::{FrameFigures, STAGES, Spread};
use proto::window::Request;
use rt::sys::clock;
use rt::{Either, Env, first, sleep};

rt::entry!(async main);

const SIZE: Size = Size {
    width: 480,
    height: 320,
};
/// Before anything is measured: programs start, the window gets its place.
const WARM_UP_NS: u64 = 500_000_000;
/// The part that changes with each frame.
const BAR_PX: i32 = 60;

async fn main(mut env: Env) -> i32 {
    let number = |index, usual| {
        let text: Option<&str> = env.argument(index);
        text.and_then(|text| text.parse().ok()).unwrap_or(usual)
    };
    let (rate_hz, time_ms) = (number(1, 60), number(2, 10_000));
    match run(&mut env, rate_hz, u64::from(time_ms)).await {
        Ok(figures) => {
            report(rate_hz, &figures);
            i32::from(figures.late > 0)
        }
        Err(error) => {
            log::error!("{error}");
            2
        }
    }
}

async fn run(env: &mut Env, rate_hz: u16, time_ms: u64) -> Result<FrameFigures, NotConnected> {
    let mut gui = Gui::connect_desktop(env).await?;
    gui.ask(Request::SetRate(rate_hz));
    let window = gui.open("Pace", SIZE, Look::default());
    if let Err(error) = gui.manager().say_ready() {
        log::warn!("the manager does not hear that this is ready: {error}");
    }
    let start_ns = clock::now_ns() + WARM_UP_NS;
    let end_ns = start_ns + time_ms * 1_000_000;
    // Of the figures that were asked for, the first ones are of the time before.
    let (mut asked, mut got, mut colour, mut x) = (0, 0, 0, 0);
    loop {
        let now_ns = clock::now_ns();
        let (due_ns, anew) = if asked == 0 {
            (start_ns, true)
        } else {
            (end_ns, false)
        };
        if asked < 2 && now_ns >= due_ns {
            gui.ask(Request::Measure { anew });
            asked += 1;
        }
        let due_ns = if asked == 2 {
            now_ns + WARM_UP_NS
        } else {
            due_ns
        };
        let timeout = sleep(Duration::from_nanos(due_ns.saturating_sub(now_ns)));
        match first(gui.next(), timeout).await {
            Either::A(happened) => match happened? {
                Happened::Frames(figures) => {
                    got += 1;
                    if got == 2 {
                        gui.ask(Request::SetRate(60));
                        return Ok(figures);
                    }
                }
                Happened::Key { .. } => {
                    colour += 1;
                    x = paint(&mut gui, window, colour, x);
                }
                Happened::Shown { .. } | Happened::Resized(_) => {
                    x = paint(&mut gui, window, colour, x);
                }
                _ => {}
            },
            Either::B(()) => {}
        }
    }
}

/// The bar a step further to the right; where it is then.
fn paint(gui: &mut Gui, window: WindowId, colour: usize, x: i32) -> i32 {
    const COLOURS: [u32; 4] = [0x4c_9f_f0, 0x5f_c9_7f, 0xf2_a6_5a, 0xf0_6a_5c];
    let size = gui.size(window);
    let (width, height) = (i32::from(size.width), i32::from(size.height));
    let next = (x + 4) % (width - BAR_PX).max(1);
    let Some(mut canvas) = gui.canvas(window) else {
        return x;
    };
    let colour = COLOURS.get(colour % COLOURS.len()).copied();
    canvas.fill(&Rect::new(0, 0, width, height), rgb(0x1c_20_27));
    let bar = Rect::new(next, 0, BAR_PX, height);
    canvas.fill(&bar, rgb(colour.unwrap_or(0xff_ff_ff)));
    gui.present(window);
    next
}

fn report(rate_hz: u16, figures: &FrameFigures) {
    let [presented, started, composed, shown] = figures.late_by;
    log::info!(
        "{rate_hz} Hz: {} frames, {} late (presented {presented}, started {started}, composed {composed}, shown {shown})",
        figures.frames,
        figures.late,
    );
    let line = |name: &str, spread: &Spread| {
        log::info!(
            "{name}: p50 {} us, p99 {} us, max {} us",
            spread.p50_ns / 1000,
            spread.p99_ns / 1000,
            spread.max_ns / 1000,
        );
    };
    line("start", &figures.start);
    line("compose", &figures.compose);
    line("show", &figures.show);
    log::info!("{} inputs", figures.inputs);
    line("input to screen", &figures.input);
    for (name, stage) in STAGES.iter().zip(&figures.stages) {
        line(name, stage);
    }
}
