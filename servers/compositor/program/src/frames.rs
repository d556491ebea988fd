//! Frames: when they are made, and what they look like.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use compositor::compose::strips;
use compositor::frame::{FrameTimes, Moments};
use compositor::keep::RECORD_BYTES;
use compositor::{Direct, Frame, Painter, Scene, Wanted};
use draw::{Canvas, Pixel, Rect};
use rt::sys::clock;
use rt::sys::object::Vmo;
use rt::{Either, first, sleep};

use crate::pictures::Reach;
use crate::screen::{Failure, Output, Picture, Screen};
use crate::state::{Shared, State};
use crate::turns::Turns;

/// A screen that does not say for so long that it shows a frame is given up.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the screen is used for next.
enum Next {
    /// A frame that is to begin now, or was to begin then.
    Frame(u64),
    /// Its outputs have changed.
    Arrange,
}

/// Makes the frames.
pub struct Frames<S> {
    screen: S,
    windows: Arc<Vmo>,
    shared: Arc<Shared>,
    /// What was composed: memory that can be read fast, as no screen's can.
    pixels: Vec<Pixel>,
    width: u32,
    record: Vec<u8>,
    scene: Scene,
    painter: Painter,
    alone: Alone,
}

/// Outputs that show a window's picture as it is: how it went.
#[derive(Default)]
struct Alone {
    outputs: usize,
    frames: u64,
    composed_bytes: u64,
}

impl Alone {
    /// Notes a frame, and says in the log what began or ended.
    fn note(&mut self, frame: &Frame) {
        let outputs = frame.direct.iter().flatten().count();
        if outputs != self.outputs {
            if self.frames > 0 {
                let Self {
                    frames,
                    composed_bytes,
                    ..
                } = self;
                log::info!(
                    "{frames} frames with a window's picture as it is; {composed_bytes} bytes composed in them"
                );
            }
            if outputs > 0 {
                log::info!("{outputs} of the outputs take a window's picture as it is");
            }
            *self = Self {
                outputs,
                ..Self::default()
            };
        } else if outputs > 0 {
            self.frames += 1;
            self.composed_bytes += frame.parts.iter().map(Rect::area).sum::<u64>() * 4;
        }
    }
}

/// A frame that is ready to be shown.
struct Made {
    frame: Frame,
    direct: Vec<Option<(Direct, Reach)>>,
    dropped: Vec<(compositor::PictureKey, Reach)>,
}

impl<S: Screen> Frames<S> {
    /// Frames for a screen that has been arranged.
    pub fn new(screen: S, windows: Arc<Vmo>, shared: Arc<Shared>) -> Self {
        Self {
            screen,
            windows,
            shared,
            pixels: Vec::new(),
            width: 0,
            record: Vec::new(),
            scene: Scene::default(),
            painter: Painter::new(),
            alone: Alone::default(),
        }
    }

    /// Makes frames, each when something is to be shown, until the screen fails.
    pub async fn run(mut self, outputs: Vec<Output>) -> Failure {
        match self.make_all(outputs).await {
            Ok(never) => match never {},
            Err(failure) => failure,
        }
    }

    async fn make_all(
        &mut self,
        mut outputs: Vec<Output>,
    ) -> Result<core::convert::Infallible, Failure> {
        self.record
            .try_reserve_exact(RECORD_BYTES)
            .map_err(|_| Failure::Memory(abi::Error::NoMemory))?;
        loop {
            self.arrange(outputs)?;
            loop {
                match self.next().await {
                    Next::Arrange => break,
                    Next::Frame(due_ns) => self.make(due_ns).await?,
                }
            }
            outputs = self.screen.arrange().await?;
        }
    }

    /// Room for all outputs.
    fn arrange(&mut self, outputs: Vec<Output>) -> Result<(), Failure> {
        let size = self.shared.change(|state| {
            let places: Vec<Rect> = outputs.iter().map(|output| output.place).collect();
            state.desk.set_outputs(&places);
            state.desk.show_all_again();
            state.outputs = outputs;
            state.arranged += 1;
            state.desk.screen()
        });
        let pixels = usize::from(size.width) * usize::from(size.height);
        self.width = size.width.into();
        self.pixels = Vec::new();
        self.pixels
            .try_reserve_exact(pixels)
            .map_err(|_| Failure::Memory(abi::Error::NoMemory))?;
        self.pixels.resize(pixels, 0);
        Ok(())
    }

    /// When the next frame is due, if one is wanted.
    fn due_ns(state: &State) -> Option<u64> {
        let now_ns = clock::now_ns();
        let wanted = match state.pictures.has_dropped() {
            true => Some(Wanted::default()),
            false => {
                let page = clock::page();
                state.desk.wanted(|ticks| clock::ns_at(page, ticks))
            }
        };
        wanted.map(|wanted| state.clock.due_ns(wanted, now_ns))
    }

    /// Waits until there is something to be done.
    async fn next(&self) -> Next {
        loop {
            let due_ns = {
                let mut state = self.shared.lock();
                if core::mem::take(&mut state.outputs_changed) {
                    return Next::Arrange;
                }
                Self::due_ns(&state)
            };
            let Some(due_ns) = due_ns else {
                self.shared.frame.notified().await;
                continue;
            };
            if self.wait(due_ns).await {
                return Next::Frame(due_ns);
            }
        }
    }

    /// Waits until then; `false` if something is wanted earlier or the outputs changed.
    async fn wait(&self, due_ns: u64) -> bool {
        loop {
            let left_ns = due_ns.saturating_sub(clock::now_ns());
            if left_ns == 0 {
                return true;
            }
            let notified = self.shared.frame.notified();
            match first(sleep(Duration::from_nanos(left_ns)), notified).await {
                Either::A(()) => return true,
                Either::B(()) => {
                    let state = self.shared.lock();
                    let is_earlier = Self::due_ns(&state).is_some_and(|next_ns| next_ns < due_ns);
                    if is_earlier || state.outputs_changed {
                        return false;
                    }
                }
            }
        }
    }

    async fn make(&mut self, due_ns: u64) -> Result<(), Failure> {
        let begun_ns = clock::now_ns();
        let made = self.begin(due_ns, begun_ns);
        self.compose(&made.frame.parts).await;
        let composed_ns = clock::now_ns();
        let picture = Picture {
            pixels: &self.pixels,
            width: self.width,
            parts: &made.frame.parts,
            direct: &made.direct,
        };
        let shown_ns = match first(self.screen.show(&picture), sleep(PATIENCE)).await {
            Either::A(shown) => shown?,
            Either::B(()) => return Err(Failure::Silent),
        };
        self.alone.note(&made.frame);
        let times = FrameTimes {
            due_ns,
            begun_ns,
            composed_ns,
            shown_ns,
            pixels: made.frame.parts.iter().map(Rect::area).sum(),
        };
        self.note_shown(times);
        if !made.dropped.is_empty() {
            self.screen.forget(made.dropped).await?;
        }
        Ok(())
    }

    /// Takes the pictures that are due, and notes what is seen from now on.
    fn begin(&mut self, due_ns: u64, begun_ns: u64) -> Made {
        let Self { shared, scene, .. } = self;
        shared.change(|state| {
            state.clock.begun(due_ns);
            let State { desk, pictures, .. } = state;
            let frame = desk.frame(begun_ns, |key| pictures.reach(key).is_some());
            desk.scene(&frame.parts, scene);
            let reached = |direct: &Option<Direct>| {
                let direct = direct.clone()?;
                let reach = pictures.reach(direct.pictures)?;
                Some((direct, reach))
            };
            Made {
                direct: frame.direct.iter().map(reached).collect(),
                frame,
                // Not shown any more once this frame is.
                dropped: pictures.take_dropped(),
            }
        })
    }

    /// Composes what changed, strip by strip.
    async fn compose(&mut self, parts: &[Rect]) {
        let mut turns = Turns::new();
        let height = u32::try_from(self.pixels.len() / (self.width as usize).max(1));
        let height = height.unwrap_or(u32::MAX);
        for strip in parts.iter().flat_map(strips) {
            {
                let mut canvas = Canvas::new(&mut self.pixels, self.width, height);
                let canvas = &mut canvas.clipped(&strip);
                let state = self.shared.lock();
                self.painter
                    .compose(&self.scene, &strip, canvas, &state.pictures);
            }
            turns.next().await;
        }
    }

    /// Tells programs that their pictures are seen.
    fn note_shown(&mut self, times: FrameTimes) {
        let shared = Arc::clone(&self.shared);
        shared.change(|state| {
            let late = state.log.add(times, state.clock.frame_ns());
            let next_ns = state.clock.next_after(times.shown_ns);
            let page = clock::page();
            let since = |ticks| times.shown_ns.saturating_sub(clock::ns_at(page, ticks));
            if let Some(answered) = state.desk.shown(times.shown_ns, next_ns, late, since) {
                let moments = Moments {
                    input_ns: clock::ns_at(page, answered.input_ticks),
                    told_ns: clock::ns_at(page, answered.told_ticks),
                    presented_ns: clock::ns_at(page, answered.presented_ticks),
                };
                state.log.add_input(moments, &times);
            }
            self.keep(state);
        });
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
