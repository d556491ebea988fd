//! A window that changes with every frame, and what the compositor measured meanwhile.
//!
//! Handles: `desktop`, `manager`. Arguments: frames a second (60, 120, or a range as `40-120`), milliseconds, and the program's own pace: `own` has it present
//! when it likes, from 48 to 75 times a second, back and forth, and with `whole` it has all of the screen; without them, 60 and 10000, and each frame has a picture. A key pressed over the
//! window changes its colour: the way from the key to the screen is measured, too. Ends with 0 if no frame was late, and at its own pace each
//! picture was shown when it came.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::time::Duration;

use gui::{Extent, Gui, Happened, Look, NotConnected, Rect, Size, WindowId, rgb};
use proto::Text;
use proto::frames::{FrameFigures, STAGES, Spread};
use proto::window::{Rate, Request};
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

/// Own paces: the slowest, and so much faster each time, up to the fastest and back.
const OWN_NS: core::ops::RangeInclusive<u64> = 1_000_000_000 / 75..=1_000_000_000 / 48;
const STEP_NS: u64 = 200_000;
/// A picture that follows its program's pace is seen so soon, or a frame of the fastest rate would have served it as well.
const MOST_NS: u64 = 4_000_000;

async fn main(mut env: Env) -> i32 {
    let rate = match env.argument(1) {
        None => Some(Rate::Fixed(60)),
        Some(text) => parse(text),
    };
    let time_ms = match env.argument(2) {
        None => Some(10_000),
        Some(text) => text.parse().ok(),
    };
    let (Some(rate), Some(time_ms)) = (rate, time_ms) else {
        log::error!("this takes frames a second and milliseconds: 60 10000, or 40-120 10000 own");
        return 2;
    };
    let own = (env.argument(3) == Some("own")).then(Own::new);
    let mut pace = Pace {
        own,
        is_whole: env.argument(3) == Some("whole"),
        ..Pace::new()
    };
    match pace.run(&mut env, rate, time_ms).await {
        Ok(figures) => {
            report(rate, &figures);
            let is_late = pace.own.as_ref().is_some_and(|own| own.report() > MOST_NS);
            i32::from(figures.late > 0 || is_late)
        }
        Err(error) => {
            log::error!("{error}");
            2
        }
    }
}

fn parse(text: &str) -> Option<Rate> {
    Some(match text.split_once('-') {
        None => Rate::Fixed(text.parse().ok()?),
        Some((least, most)) => Rate::Variable {
            least_hz: least.parse().ok()?,
            most_hz: most.parse().ok()?,
        },
    })
}

/// A pace of the program's own.
struct Own {
    next_ns: u64,
    between_ns: u64,
    is_slowing: bool,
    presented_ns: u64,
    shown: u32,
    /// From when a picture was presented to when it was seen: the longest, and all.
    longest_ns: u64,
    sum_ns: u64,
    shortest_pause_ns: u64,
    longest_pause_ns: u64,
    last_shown_ns: u64,
}

impl Own {
    fn new() -> Self {
        Self {
            next_ns: 0,
            between_ns: *OWN_NS.start(),
            is_slowing: true,
            presented_ns: 0,
            shown: 0,
            longest_ns: 0,
            sum_ns: 0,
            shortest_pause_ns: u64::MAX,
            longest_pause_ns: 0,
            last_shown_ns: 0,
        }
    }

    /// It is time for a picture: when the next one is due.
    fn step(&mut self, now_ns: u64) {
        self.presented_ns = now_ns;
        self.between_ns = match self.is_slowing {
            true => self.between_ns + STEP_NS,
            false => self.between_ns - STEP_NS,
        };
        self.is_slowing = match self.is_slowing {
            true => self.between_ns + STEP_NS <= *OWN_NS.end(),
            false => self.between_ns < *OWN_NS.start() + STEP_NS,
        };
        self.next_ns = self.next_ns.max(now_ns.saturating_sub(self.between_ns)) + self.between_ns;
    }

    fn shown(&mut self, shown_ns: u64) {
        let taken_ns = shown_ns.saturating_sub(self.presented_ns);
        self.shown += 1;
        self.longest_ns = self.longest_ns.max(taken_ns);
        self.sum_ns += taken_ns;
        if self.last_shown_ns != 0 {
            let pause_ns = shown_ns.saturating_sub(self.last_shown_ns);
            self.shortest_pause_ns = self.shortest_pause_ns.min(pause_ns);
            self.longest_pause_ns = self.longest_pause_ns.max(pause_ns);
        }
        self.last_shown_ns = shown_ns;
    }

    /// Logs the figures; the longest time from a picture to the screen.
    fn report(&self) -> u64 {
        log::info!(
            "own pace: {} pictures, {} to {} us apart on the screen; from picture to screen {} us, at most {} us",
            self.shown,
            self.shortest_pause_ns / 1000,
            self.longest_pause_ns / 1000,
            self.sum_ns / u64::from(self.shown.max(1)) / 1000,
            self.longest_ns / 1000,
        );
        self.longest_ns
    }
}

/// The window's state.
struct Pace {
    own: Option<Own>,
    is_whole: bool,
    colour: usize,
    x: i32,
}

impl Pace {
    const fn new() -> Self {
        Self {
            own: None,
            is_whole: false,
            colour: 0,
            x: 0,
        }
    }

    async fn run(
        &mut self,
        env: &mut Env,
        rate: Rate,
        time_ms: u64,
    ) -> Result<FrameFigures, NotConnected> {
        let mut gui = Gui::connect_desktop(env).await?;
        gui.ask(Request::SetRate(rate));
        let window = gui.open("Pace", SIZE, Look::default());
        if self.is_whole {
            gui.set_extent(window, Extent::FullScreen);
        }
        if let Err(error) = gui.manager().say_ready() {
            log::warn!("the manager does not hear that this is ready: {error}");
        }
        let start_ns = clock::now_ns() + WARM_UP_NS;
        let end_ns = start_ns + time_ms * 1_000_000;
        // Of the figures that were asked for, the first ones are of the time before.
        let (mut asked, mut got) = (0, 0);
        loop {
            let now_ns = clock::now_ns();
            let (ask_ns, anew) = match asked {
                0 => (start_ns, true),
                1 => (end_ns, false),
                _ => (u64::MAX, false),
            };
            if now_ns >= ask_ns {
                gui.ask(Request::Measure { anew });
                asked += 1;
                continue;
            }
            let picture_ns = self.own.as_ref().map_or(u64::MAX, |own| own.next_ns);
            if now_ns >= picture_ns {
                if let Some(own) = &mut self.own {
                    own.step(now_ns);
                }
                self.paint(&mut gui, window);
                continue;
            }
            let due_ns = ask_ns.min(picture_ns).min(now_ns + WARM_UP_NS);
            let timeout = sleep(Duration::from_nanos(due_ns - now_ns));
            let Either::A(happened) = first(gui.next(), timeout).await else {
                continue;
            };
            match happened? {
                Happened::Frames(figures) => {
                    got += 1;
                    if got == 2 {
                        gui.ask(Request::SetRate(Rate::Fixed(60)));
                        return Ok(figures);
                    }
                }
                Happened::Key { .. } => {
                    self.colour += 1;
                    if self.own.is_none() {
                        self.paint(&mut gui, window);
                    }
                }
                Happened::Shown { shown_ns, .. } => match &mut self.own {
                    // What is shown while all is being opened says nothing.
                    Some(own) if asked == 1 => own.shown(shown_ns),
                    Some(_) => {}
                    None => self.paint(&mut gui, window),
                },
                Happened::Resized(_) => self.paint(&mut gui, window),
                _ => {}
            }
        }
    }

    /// The bar a step further to the right.
    fn paint(&mut self, gui: &mut Gui, window: WindowId) {
        const COLOURS: [u32; 4] = [0x4c_9f_f0, 0x5f_c9_7f, 0xf2_a6_5a, 0xf0_6a_5c];
        let size = gui.size(window);
        let (width, height) = (i32::from(size.width), i32::from(size.height));
        let next = (self.x + 4) % (width - BAR_PX).max(1);
        let Some(mut canvas) = gui.canvas(window) else {
            return;
        };
        let colour = COLOURS.get(self.colour % COLOURS.len()).copied();
        canvas.fill(&Rect::new(0, 0, width, height), rgb(0x1c_20_27));
        let bar = Rect::new(next, 0, BAR_PX, height);
        canvas.fill(&bar, rgb(colour.unwrap_or(0xff_ff_ff)));
        gui.present(window);
        self.x = next;
    }
}

fn report(rate: Rate, figures: &FrameFigures) {
    let rate: Text<16> = match rate {
        Rate::Fixed(rate_hz) => Text::format(format_args!("{rate_hz}")),
        Rate::Variable { least_hz, most_hz } => {
            Text::format(format_args!("{least_hz} to {most_hz}"))
        }
    };
    let [presented, started, composed, shown] = figures.late_by;
    log::info!(
        "{} Hz: {} frames, {} late (presented {presented}, started {started}, composed {composed}, shown {shown})",
        &*rate,
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
