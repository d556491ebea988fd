//! Frames: when they are made, and what they look like.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use compositor::frame::FrameTimes;
use compositor::keep::RECORD_BYTES;
use draw::{Canvas, Pixel, Rect};
use rt::framebuffer::Framebuffer;
use rt::sys::clock;
use rt::sys::object::Vmo;
use rt::{Either, first, sleep};

use crate::state::{Shared, State};

/// Makes the frames.
pub struct Frames {
    framebuffer: Framebuffer,
    windows: Vmo,
    shared: Arc<Shared>,
    /// The picture of the screen: memory that can be read fast, as the framebuffer cannot.
    screen: Vec<Pixel>,
    record: Vec<u8>,
}

impl Frames {
    /// `None` if there is no memory for a picture of the screen.
    pub fn new(framebuffer: Framebuffer, windows: Vmo, shared: Arc<Shared>) -> Option<Self> {
        let (width, height) = framebuffer.size();
        let pixels = width as usize * height as usize;
        let mut screen = Vec::new();
        screen.try_reserve_exact(pixels).ok()?;
        screen.resize(pixels, 0);
        let mut record = Vec::new();
        record.try_reserve_exact(RECORD_BYTES).ok()?;
        Some(Self {
            framebuffer,
            windows,
            shared,
            screen,
            record,
        })
    }

    /// Makes frames for ever, each when something is to be shown.
    pub async fn run(mut self) {
        loop {
            let due_ns = self.due().await;
            self.make(due_ns);
        }
    }

    /// Waits until a frame is to begin.
    async fn due(&self) -> u64 {
        loop {
            let wanted = {
                let state = self.shared.lock();
                state.desk.wanted_ns().map(|wanted_ns| {
                    let now_ns = clock::now_ns();
                    state
                        .clock
                        .next_after(now_ns.max(wanted_ns.saturating_sub(1)))
                })
            };
            let Some(due_ns) = wanted else {
                self.shared.frame.notified().await;
                continue;
            };
            loop {
                let left_ns = due_ns.saturating_sub(clock::now_ns());
                if left_ns == 0 {
                    return due_ns;
                }
                match first(
                    sleep(Duration::from_nanos(left_ns)),
                    self.shared.frame.notified(),
                )
                .await
                {
                    Either::A(()) => return due_ns,
                    Either::B(()) => {
                        // Something may be wanted earlier than a picture that was for later.
                        let state = self.shared.lock();
                        let next_ns = state.clock.next_after(clock::now_ns());
                        if next_ns < due_ns
                            && state
                                .desk
                                .wanted_ns()
                                .is_some_and(|wanted_ns| wanted_ns <= next_ns)
                        {
                            break;
                        }
                    }
                }
            }
        }
    }

    fn make(&mut self, due_ns: u64) {
        let begun_ns = clock::now_ns();
        let shared = Arc::clone(&self.shared);
        shared.change(|state| {
            let parts = state.desk.frame(begun_ns);
            for part in &parts {
                self.compose(state, part);
            }
            let composed_ns = clock::now_ns();
            for part in &parts {
                self.copy_out(part);
            }
            let shown_ns = clock::now_ns();
            let pixels = parts.iter().map(Rect::area).sum();
            let times = FrameTimes {
                due_ns,
                begun_ns,
                composed_ns,
                shown_ns,
                pixels,
            };
            let frame_ns = state.clock.frame_ns();
            let late = state.log.add(times, frame_ns);
            let next_ns = state.clock.next_after(shown_ns);
            let page = clock::page();
            let since = |ticks| shown_ns.saturating_sub(clock::ns_at(page, ticks));
            if let Some(longest_ns) = state.desk.shown(shown_ns, next_ns, late, since) {
                state.log.input_to_shown_ns = longest_ns;
            }
            self.keep(state);
        });
    }

    fn compose(&mut self, state: &mut State, part: &Rect) {
        let (width, height) = self.framebuffer.size();
        let mut canvas = Canvas::new(&mut self.screen, width, height);
        state
            .desk
            .compose(part, &mut canvas.clipped(part), &state.pictures);
    }

    fn copy_out(&self, part: &Rect) {
        let (width, _) = self.framebuffer.size();
        for y in part.top..part.bottom {
            let start = y as usize * width as usize;
            let row = self
                .screen
                .get(start + part.left as usize..start + part.right as usize);
            self.framebuffer
                .write_row(part.left as u32, y as u32, row.unwrap_or_default());
        }
    }

    /// Writes down where the windows are, for the next compositor.
    fn keep(&mut self, state: &mut State) {
        if let Some(start) = state.desk.keep(state.record, &mut self.record) {
            state.record = state.record.wrapping_add(1);
            if let Err(error) = self.windows.write(start as u64, &self.record) {
                log::warn!("windows cannot be written down for the next compositor: {error}");
            }
        }
    }
}
