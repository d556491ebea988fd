//! Figures over the picture: where they are and what they look like. What they say comes from the program around the desk.

use alloc::vec::Vec;

use draw::text::Font;
use draw::{Canvas, Rect, rgba};
use proto::Text;

use crate::desk::Desk;

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
/// Rows of a line of its letters.
const LINE_PX: i32 = 16;
/// Lines there is room for.
pub const OVERLAY_LINES: usize = 14;

impl Desk {
    /// Where the overlay is.
    pub(crate) fn overlay_rect(&self) -> Rect {
        let height = LINE_PX * OVERLAY_LINES as i32 + GRAPH_HEIGHT + 24;
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
}

/// Draws it.
pub(crate) fn draw(overlay: &Overlay, rect: &Rect, font: &mut Font, canvas: &mut Canvas<'_>) {
    if rect.and(&canvas.clip()).is_empty() {
        return;
    }
    canvas.round(rect, 8, rgba(0x0a_0e_14, 215));
    let mut y = rect.top + 8;
    for line in overlay.lines.iter().take(OVERLAY_LINES) {
        font.draw(canvas, rect.left + 12, y, line, draw::rgb(0xe8_ec_f2));
        y += LINE_PX;
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
#[cfg(test)]
mod tests {
    use super::*;
    use crate::decor::Fonts;

    #[test]
    fn lines_are_as_high_as_their_letters() {
        let mut fonts = Fonts::default();
        let font = fonts.overlay().expect("the font comes along");
        assert_eq!(font.height_px(), LINE_PX);
    }
}
