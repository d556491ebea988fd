//! Pixels: what is on the screen, part by part.
//!
//! What a frame shows is noted once, as a [`Scene`] ([`Desk::scene`]); a [`Painter`] then composes it strip by strip, and between two strips the desk may go on.
//! Of what opaque windows cover nothing is painted.

use alloc::vec::Vec;

use draw::{Canvas, Palette, Pixel, Rect};
use proto::window::{Kind, Look, Size, Theme, Title};

use crate::decor::{self, Fonts};
use crate::desk::{Desk, PictureKey, Shown};
use crate::overlay::{self, Overlay};
use crate::place::{Place, TitleButton, is_framed};

/// Where the pictures' pixels are.
pub trait Pictures {
    /// Copies pixels of a row, from `x` on, to all of `to`. What there is not stays as it was.
    fn row(&self, pictures: PictureKey, buffer: u8, size: Size, x: u16, y: u16, to: &mut [Pixel]);
}

/// Most pixels of a strip.
const STRIP_PIXELS: i32 = 8192;
/// Most pieces that a strip is cut into for what covers it.
const MOST_PIECES: usize = 64;

/// A window as it is painted.
#[derive(Clone, Debug)]
pub(crate) struct Sheet {
    pub place: Place,
    pub look: Look,
    pub title: Title,
    pub is_focused: bool,
    /// The button in its title bar that the pointer is on.
    pub hot: Option<TitleButton>,
    shown: Shown,
}

/// All that a frame shows where something changed.
#[derive(Clone, Debug)]
pub struct Scene {
    /// From the back to the front.
    sheets: Vec<Sheet>,
    screen: Rect,
    palette: Palette,
    overlay: Option<(Rect, Overlay)>,
    pointer: Option<(decor::Picture, i32, i32)>,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            sheets: Vec::new(),
            screen: Rect::EMPTY,
            palette: Palette::of(Theme::default()),
            overlay: None,
            pointer: None,
        }
    }
}

impl Sheet {
    /// Whether nothing below it can be seen there.
    const fn is_opaque(&self) -> bool {
        // What a picture that is too small leaves free is filled, so that it covers too.
        !self.look.alpha
    }

    fn outer(&self) -> Rect {
        self.place.outer(&self.look)
    }

    fn is_framed(&self) -> bool {
        is_framed(&self.look, self.place.extent)
    }

    /// Whether all of another one that lies below is behind it, which is often so when many windows are opened.
    fn hides(&self, below: &Self) -> bool {
        self.is_opaque()
            && self.is_framed()
            && below.is_framed()
            && self.place.content == below.place.content
    }
}

impl Desk {
    /// Notes what is seen in `parts`.
    pub fn scene(&self, parts: &[Rect], scene: &mut Scene) {
        let touches = |rect: &Rect| parts.iter().any(|part| !part.and(rect).is_empty());
        scene.sheets.clear();
        for window in self.windows.iter().rev() {
            let Some(shown) = window.shown.filter(|_| !window.place.minimised) else {
                continue;
            };
            if !touches(&window.place.touched(&window.look)) {
                continue;
            }
            let hot = self.steering.hot.filter(|(key, _)| *key == window.key);
            let sheet = Sheet {
                place: window.place,
                look: window.look,
                title: window.title.clone(),
                is_focused: self.focus == Some(window.key),
                hot: hot.map(|(_, button)| button),
                shown,
            };
            if !scene.sheets.iter().any(|above| above.hides(&sheet)) {
                scene.sheets.push(sheet);
            }
        }
        scene.sheets.reverse();
        scene.screen = self.screen_rect();
        scene.palette = self.palette;
        let overlay_rect = self.overlay_rect();
        scene.overlay = self
            .overlay
            .as_ref()
            .filter(|_| touches(&overlay_rect))
            .map(|overlay| (overlay_rect, overlay.clone()));
        scene.pointer =
            self.draws_pointer
                .then_some((self.steering.picture, self.steering.x, self.steering.y));
    }
}

/// A part in strips, each little work.
pub fn strips(part: &Rect) -> impl Iterator<Item = Rect> + use<> {
    let part = *part;
    let rows = (STRIP_PIXELS / part.width().max(1)).max(1);
    (part.top..part.bottom)
        .step_by(rows as usize)
        .map(move |top| Rect {
            top,
            bottom: (top + rows).min(part.bottom),
            ..part
        })
}

/// Paints scenes.
#[derive(Debug)]
pub struct Painter {
    fonts: Fonts,
    pieces: Vec<(Rect, usize)>,
    row: Vec<Pixel>,
}

impl Default for Painter {
    fn default() -> Self {
        Self::new()
    }
}

impl Painter {
    /// One that has painted nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            fonts: Fonts::default(),
            pieces: Vec::new(),
            row: Vec::new(),
        }
    }

    /// Composes a part of the screen. `canvas` has just that part, or can be drawn on nowhere else.
    pub fn compose(
        &mut self,
        scene: &Scene,
        part: &Rect,
        canvas: &mut Canvas<'_>,
        pictures: &impl Pictures,
    ) {
        let mut pieces = core::mem::take(&mut self.pieces);
        cut(scene, part, &mut pieces);
        for (piece, lowest) in &pieces {
            self.paint(scene, *lowest, &mut canvas.clipped(piece), pictures);
        }
        self.pieces = pieces;
        if let Some((rect, overlay)) = &scene.overlay
            && let Some(font) = self.fonts.overlay()
        {
            overlay::draw(overlay, rect, font, &mut canvas.clipped(part));
        }
        if let Some((picture, x, y)) = scene.pointer {
            picture.draw(&mut canvas.clipped(part), x, y);
        }
    }

    /// Paints the windows from the one of this number upwards; the ground, too, if that is beyond the lowest.
    fn paint(
        &mut self,
        scene: &Scene,
        lowest: usize,
        canvas: &mut Canvas<'_>,
        pictures: &impl Pictures,
    ) {
        let part = canvas.clip();
        if lowest == GROUND {
            canvas.gradient(&scene.screen, scene.palette.desktop);
        }
        let from = if lowest == GROUND { 0 } else { lowest };
        for sheet in scene.sheets.iter().skip(from) {
            if sheet.place.touched(&sheet.look).and(&part).is_empty() {
                continue;
            }
            let outer = sheet.outer();
            if sheet.is_framed() || sheet.look.kind == Kind::Menu {
                decor::draw_shadow(canvas, &outer);
            }
            if sheet.is_framed() && !outer.and(&part).is_empty() {
                decor::draw_frame(canvas, sheet, &scene.palette, &mut self.fonts);
            }
            draw_content(canvas, sheet, pictures, scene.palette.ground, &mut self.row);
        }
    }
}

/// No window covers a piece.
const GROUND: usize = usize::MAX;

/// Cuts a part into pieces, each with the number of the topmost window that covers all of it.
fn cut(scene: &Scene, part: &Rect, pieces: &mut Vec<(Rect, usize)>) {
    pieces.clear();
    pieces.push((*part, GROUND));
    // From the front: what is covered is not looked at again, the rest is cut further.
    let mut at = 0;
    while let Some((piece, _)) = pieces.get(at).copied() {
        let covering = scene.sheets.iter().enumerate().rev().find(|(_, sheet)| {
            let covered = sheet.place.content.and(&piece);
            let is_all = covered == piece;
            sheet.is_opaque() && (is_all || !covered.is_empty() && pieces.len() + 3 < MOST_PIECES)
        });
        if let Some((number, sheet)) = covering
            && let Some(place) = pieces.get_mut(at)
        {
            let content = sheet.place.content;
            *place = (content.and(&piece), number);
            let rest = piece.without(&content);
            pieces.extend(
                rest.into_iter()
                    .filter(|part| !part.is_empty())
                    .map(|part| (part, GROUND)),
            );
        }
        at += 1;
    }
}

fn draw_content(
    canvas: &mut Canvas<'_>,
    sheet: &Sheet,
    pictures: &impl Pictures,
    ground: Pixel,
    row: &mut Vec<Pixel>,
) {
    let (content, shown) = (sheet.place.content, &sheet.shown);
    let painted = Rect::new(
        content.left,
        content.top,
        i32::from(shown.size.width),
        i32::from(shown.size.height),
    );
    let seen = painted.and(&content).and(&canvas.clip());
    for y in seen.top..seen.bottom {
        let (from_x, from_y) = ((seen.left - content.left) as u16, (y - content.top) as u16);
        if sheet.look.alpha {
            row.clear();
            row.resize(seen.width() as usize, 0);
            pictures.row(
                shown.pictures,
                shown.buffer,
                shown.size,
                from_x,
                from_y,
                row,
            );
            canvas.copy(seen.left, y, seen.width() as u32, row, true);
        } else {
            let to = canvas.row_mut(y, seen.left, seen.right);
            pictures.row(shown.pictures, shown.buffer, shown.size, from_x, from_y, to);
        }
    }
    if !sheet.look.alpha {
        for part in content.without(&painted) {
            canvas.fill(&part, ground);
        }
    }
}
