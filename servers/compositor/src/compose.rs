//! Pixels: what is on the screen, part by part.

use alloc::vec::Vec;

use draw::{Canvas, Pixel, Rect, rgba};
use proto::Text;
use proto::window::{Kind, Size};

use crate::decor;
use crate::desk::{Desk, PictureKey, Shown, Window};
use crate::place::is_framed;

/// Where the pictures' pixels are.
pub trait Pictures {
    /// Copies pixels of a row, from `x` on, to all of `to`. What there is not stays as it was.
    fn row(&self, pictures: PictureKey, buffer: u8, size: Size, x: u16, y: u16, to: &mut [Pixel]);
}

/// A line of the overlay.
pub type OverlayLine = Text<64>;

/// Figures shown over the picture.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    /// Lines.
    pub lines: Vec<OverlayLine>,
    /// Times of the last frames, oldest first, in thousandths of the time between two frames; the graph is two of those high.
    pub graph: Vec<u16>,
}

/// Size of the overlay and its distance from the screen's edges.
const OVERLAY_WIDTH: i32 = 380;
const OVERLAY_EDGE: i32 = 12;
const GRAPH_HEIGHT: i32 = 60;
/// Lines there is room for.
pub const OVERLAY_LINES: usize = 14;

impl Desk {
    /// Composes a part of the screen. `canvas` has just that part.
    pub fn compose(&mut self, part: &Rect, canvas: &mut Canvas<'_>, pictures: &impl Pictures) {
        let mut fonts = self.fonts.take();
        let first = self.windows.iter().rposition(|window| covers(window, part));
        if first.is_none() {
            let palette = &self.palette;
            let screen = self.screen_rect();
            canvas.gradient(&screen, palette.desktop);
        }
        for window in self.windows.iter().skip(first.unwrap_or(0)) {
            let Some(shown) = window.shown.filter(|_| !window.place.minimised) else {
                continue;
            };
            if window.place.touched(&window.look).and(part).is_empty() {
                continue;
            }
            let outer = window.place.outer(&window.look);
            let is_framed = is_framed(&window.look, window.place.extent);
            if is_framed || window.look.kind == Kind::Menu {
                decor::draw_shadow(canvas, &outer);
            }
            if is_framed {
                let hot = self
                    .steering
                    .hot
                    .filter(|(key, _)| *key == window.key)
                    .map(|(_, button)| button);
                let focused = self.focus == Some(window.key);
                decor::draw_frame(canvas, window, focused, hot, &self.palette, fonts.as_mut());
            }
            draw_content(canvas, window, &shown, pictures, self.palette.ground);
        }
        self.fonts = fonts;
        self.draw_overlay(canvas);
        if self.draws_pointer {
            let (x, y) = (self.steering.x, self.steering.y);
            self.steering.picture.draw(canvas, x, y);
        }
    }

    /// Where the overlay is.
    pub(crate) fn overlay_rect(&self) -> Rect {
        let line = self
            .fonts
            .as_ref()
            .map_or(16, |fonts| fonts.overlay.height_px());
        let height = line * OVERLAY_LINES as i32 + GRAPH_HEIGHT + 24;
        let output = self.main_output();
        let left = output.right - OVERLAY_WIDTH - OVERLAY_EDGE;
        Rect::new(left, output.top + OVERLAY_EDGE, OVERLAY_WIDTH, height)
    }

    /// Shows or hides the overlay.
    pub fn toggle_overlay(&mut self) {
        self.overlay = match self.overlay.take() {
            Some(_) => None,
            None => Some(Overlay::default()),
        };
        let part = self.overlay_rect();
        self.damage_part(&part);
    }

    /// Whether the overlay is shown.
    #[must_use]
    pub const fn has_overlay(&self) -> bool {
        self.overlay.is_some()
    }

    /// New figures, if the overlay is shown.
    pub fn set_overlay(&mut self, overlay: Overlay) {
        if self.overlay.is_some() {
            self.overlay = Some(overlay);
            let part = self.overlay_rect();
            self.damage_part(&part);
        }
    }

    fn draw_overlay(&mut self, canvas: &mut Canvas<'_>) {
        let rect = self.overlay_rect();
        let (Some(overlay), Some(fonts)) = (&self.overlay, &mut self.fonts) else {
            return;
        };
        if rect.and(&canvas.clip()).is_empty() {
            return;
        }
        canvas.round(&rect, 8, rgba(0x0a_0e_14, 215));
        let font = &mut fonts.overlay;
        let mut y = rect.top + 8;
        for line in overlay.lines.iter().take(OVERLAY_LINES) {
            font.draw(canvas, rect.left + 12, y, line, draw::rgb(0xe8_ec_f2));
            y += font.height_px();
        }
        let graph = Rect::new(
            rect.left + 12,
            rect.bottom - GRAPH_HEIGHT - 8,
            OVERLAY_WIDTH - 24,
            GRAPH_HEIGHT,
        );
        canvas.fill(&graph, rgba(0xff_ff_ff, 16));
        let middle = graph.top + GRAPH_HEIGHT / 2;
        canvas.fill(
            &Rect::new(graph.left, middle, graph.width(), 1),
            rgba(0xff_ff_ff, 90),
        );
        for (time, x) in overlay
            .graph
            .iter()
            .zip((graph.left..graph.right).step_by(3))
        {
            let height = (i32::from(*time) * GRAPH_HEIGHT / 2000).clamp(1, GRAPH_HEIGHT);
            let colour = if *time > 1000 { 0xf0_6a_5c } else { 0x5f_c9_7f };
            canvas.fill(
                &Rect::new(x, graph.bottom - height, 2, height),
                draw::rgb(colour),
            );
        }
    }
}

/// Whether nothing below a window can be seen through it in this part.
fn covers(window: &Window, part: &Rect) -> bool {
    // What a picture that is too small leaves free is filled, so that it covers too.
    window.shown.is_some()
        && !window.look.alpha
        && !window.place.minimised
        && window.place.content.has_all(part)
}

fn draw_content(
    canvas: &mut Canvas<'_>,
    window: &Window,
    shown: &Shown,
    pictures: &impl Pictures,
    ground: Pixel,
) {
    let content = window.place.content;
    let painted = Rect::new(
        content.left,
        content.top,
        i32::from(shown.size.width),
        i32::from(shown.size.height),
    );
    let seen = painted.and(&content).and(&canvas.clip());
    let mut row: Vec<Pixel> = Vec::new();
    for y in seen.top..seen.bottom {
        let (from_x, from_y) = ((seen.left - content.left) as u16, (y - content.top) as u16);
        if window.look.alpha {
            row.clear();
            row.resize(seen.width() as usize, 0);
            pictures.row(
                shown.pictures,
                shown.buffer,
                shown.size,
                from_x,
                from_y,
                &mut row,
            );
            canvas.copy(seen.left, y, seen.width() as u32, &row, true);
        } else {
            let to = canvas.row_mut(y, seen.left, seen.right);
            pictures.row(shown.pictures, shown.buffer, shown.size, from_x, from_y, to);
        }
    }
    if !window.look.alpha {
        for part in content.without(&painted) {
            canvas.fill(&part, ground);
        }
    }
}
