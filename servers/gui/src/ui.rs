//! Labels, buttons and lists, drawn anew at each event.

use alloc::string::String;
use alloc::vec::Vec;

use draw::text::{Face, Font};
use draw::{Canvas, Palette, Pixel, Rect};
use proto::input::{Button, KeyChange};
use proto::key::{Key, KeyPress};
use proto::window::{PointerWhat, Theme};

use crate::gui::Happened;

/// Size of the letters.
const TEXT_PX: u16 = 15;
/// Between things, and around them.
const GAP_PX: i32 = 8;
/// Rows of a button.
const BUTTON_PX: i32 = 30;

/// Where pointer and keys are, between two drawings.
#[derive(Debug, Default)]
pub struct Ui {
    fonts: Option<(Font, Font)>,
    pointer: Option<(i32, i32)>,
    /// Where the left button went down and is still.
    pressed: Option<(i32, i32)>,
    /// It was released since the last drawing, after it was pressed there.
    released: Option<(i32, i32)>,
    keys: Vec<KeyPress>,
    /// The thing that keys go to.
    chosen: usize,
    has_focus: bool,
}

/// One drawing of a window.
#[derive(Debug)]
pub struct Page<'ui, 'canvas, 'pixels> {
    ui: &'ui mut Ui,
    canvas: &'canvas mut Canvas<'pixels>,
    palette: Palette,
    /// Where the next thing goes.
    y: i32,
    /// Where it goes beside others in a row.
    x: Option<i32>,
    row_height: i32,
    /// Things that can be chosen, so far.
    choices: usize,
}

impl Ui {
    /// Notes what happened, for the next drawing. Of one window's events only.
    pub fn note(&mut self, happened: &Happened) {
        match happened {
            Happened::Pointer { x, y, what, .. } => {
                self.pointer = Some((*x, *y));
                match what {
                    PointerWhat::Left => self.pointer = None,
                    PointerWhat::Button {
                        button: Button::Left,
                        pressed: true,
                    } => self.pressed = Some((*x, *y)),
                    PointerWhat::Button {
                        button: Button::Left,
                        pressed: false,
                    } => self.released = self.pressed.take(),
                    _ => {}
                }
            }
            Happened::Key {
                press: Some(press),
                change: KeyChange::Down | KeyChange::Repeat,
                ..
            } => {
                self.keys.push(*press);
            }
            Happened::Focus(_, focused) => self.has_focus = *focused,
            _ => {}
        }
    }

    /// Begins to draw a window anew.
    pub fn begin<'ui, 'canvas, 'pixels>(
        &'ui mut self,
        canvas: &'canvas mut Canvas<'pixels>,
        theme: Theme,
    ) -> Page<'ui, 'canvas, 'pixels> {
        let palette = Palette::of(theme);
        let all = canvas.clip();
        canvas.replace(&all, palette.ground);
        if self.fonts.is_none() {
            self.fonts = Font::new(Face::Ui, TEXT_PX).zip(Font::new(Face::Mono, TEXT_PX - 2));
        }
        Page {
            ui: self,
            canvas,
            palette,
            y: GAP_PX,
            x: None,
            row_height: 0,
            choices: 0,
        }
    }
}

impl<'pixels> Page<'_, '_, 'pixels> {
    /// The colours.
    #[must_use]
    pub const fn palette(&self) -> &Palette {
        &self.palette
    }

    /// What is drawn on, for things of one's own.
    pub const fn canvas(&mut self) -> &mut Canvas<'pixels> {
        self.canvas
    }

    /// Rows left below what was drawn.
    #[must_use]
    pub fn rest(&self) -> Rect {
        let clip = self.canvas.clip();
        Rect {
            left: clip.left + GAP_PX,
            top: self.y,
            right: clip.right - GAP_PX,
            bottom: clip.bottom - GAP_PX,
        }
    }

    /// The next place, so wide and high.
    fn place(&mut self, width: i32, height: i32) -> Rect {
        match &mut self.x {
            Some(x) => {
                let rect = Rect::new(*x, self.y, width, height);
                *x = rect.right + GAP_PX;
                self.row_height = self.row_height.max(height);
                rect
            }
            None => {
                let rect = Rect::new(GAP_PX, self.y, width, height);
                self.y = rect.bottom + GAP_PX;
                rect
            }
        }
    }

    /// What `draw` adds is put side by side.
    pub fn row(&mut self, draw: impl FnOnce(&mut Self)) {
        self.x = Some(GAP_PX);
        self.row_height = 0;
        draw(self);
        self.x = None;
        self.y += self.row_height + GAP_PX;
    }

    /// Leaves rows free.
    pub const fn space(&mut self, height: i32) {
        self.y += height;
    }

    /// Leaves rows for something of one's own: where they are.
    pub fn area(&mut self, height: i32) -> Rect {
        let width = self.canvas.clip().width() - 2 * GAP_PX;
        self.place(width, height)
    }

    /// Width of a text in the font of labels.
    pub fn text_width(&mut self, text: &str) -> i32 {
        self.ui
            .fonts
            .as_mut()
            .map_or(0, |(font, _)| font.width_px(text))
    }

    /// The start of a text that is at most so wide.
    pub fn fitting(&mut self, text: &str, width: i32) -> String {
        match &mut self.ui.fonts {
            Some((font, _)) => font.fitting(text, width).into(),
            None => String::new(),
        }
    }

    /// Draws text anywhere.
    pub fn text_at(&mut self, x: i32, y: i32, text: &str, pixel: Pixel) {
        if let Some((font, _)) = &mut self.ui.fonts {
            font.draw(self.canvas, x, y, text, pixel);
        }
    }

    /// Draws text in letters of equal width anywhere.
    pub fn mono_at(&mut self, x: i32, y: i32, text: &str, pixel: Pixel) {
        if let Some((_, font)) = &mut self.ui.fonts {
            font.draw(self.canvas, x, y, text, pixel);
        }
    }

    /// Rows of a line of text, and of one in letters of equal width.
    #[must_use]
    pub fn line_heights(&self) -> (i32, i32) {
        self.ui.fonts.as_ref().map_or((18, 16), |(font, mono)| {
            (font.height_px(), mono.height_px())
        })
    }

    /// A line of text.
    pub fn label(&mut self, text: &str) {
        let pixel = self.palette.text;
        self.coloured(text, pixel);
    }

    /// A line of less weight.
    pub fn note(&mut self, text: &str) {
        let pixel = self.palette.faint;
        self.coloured(text, pixel);
    }

    fn coloured(&mut self, text: &str, pixel: Pixel) {
        let (width, (height, _)) = (self.text_width(text), self.line_heights());
        let rect = self.place(width, height);
        self.text_at(rect.left, rect.top, text, pixel);
    }

    /// A line of a table: letters of equal width.
    pub fn mono(&mut self, text: &str) {
        let (_, height) = self.line_heights();
        let pixel = self.palette.text;
        let rect = self.place(self.canvas.clip().width(), height);
        self.mono_at(rect.left, rect.top, text, pixel);
        self.y -= if self.x.is_none() { GAP_PX } else { 0 };
    }

    /// A button; whether it was pressed.
    pub fn button(&mut self, text: &str) -> bool {
        let width = self.text_width(text) + 28;
        let rect = self.place(width, BUTTON_PX);
        self.button_at(&rect, text, false)
    }

    /// A button of which one among several is on; whether it was pressed.
    pub fn tab(&mut self, text: &str, is_on: bool) -> bool {
        let width = self.text_width(text) + 28;
        let rect = self.place(width, BUTTON_PX);
        self.button_at(&rect, text, is_on)
    }

    /// A button anywhere; `is_on`: drawn as chosen. Whether it was pressed.
    pub fn button_at(&mut self, rect: &Rect, text: &str, is_on: bool) -> bool {
        let is_in = |point: Option<(i32, i32)>| point.is_some_and(|(x, y)| rect.has(x, y));
        let number = self.choices;
        self.choices += 1;
        let is_hot = is_in(self.ui.pointer);
        let is_down = is_hot && is_in(self.ui.pressed);
        let was_pressed = is_hot && is_in(self.ui.released);
        let has_keys = self.ui.has_focus && self.ui.chosen == number;
        let was_keyed = has_keys
            && self
                .ui
                .keys
                .iter()
                .any(|press| matches!(press.key, Key::Enter | Key::Char(' ')));
        let palette = self.palette;
        let (ground, ink) = match (is_on, is_hot && !is_down) {
            (true, _) => (palette.accent, palette.on_accent),
            (false, true) => (palette.button.1, palette.text),
            (false, false) => (palette.button.0, palette.text),
        };
        let edge = if has_keys {
            palette.accent
        } else {
            palette.line
        };
        self.canvas.round(rect, 6, edge);
        self.canvas.round(&rect.grown(-1), 5, ground);
        let (height, _) = self.line_heights();
        let x = rect.left + (rect.width() - self.text_width(text)) / 2;
        self.text_at(x, rect.top + (rect.height() - height) / 2, text, ink);
        was_pressed || was_keyed
    }

    /// A part that can be pressed and draws itself; whether it was, and whether the pointer is over it.
    pub fn press_area(&mut self, rect: &Rect) -> (bool, bool) {
        let is_in = |point: Option<(i32, i32)>| point.is_some_and(|(x, y)| rect.has(x, y));
        let is_hot = is_in(self.ui.pointer);
        (is_hot && is_in(self.ui.released), is_hot)
    }

    /// Keys that were pressed since the last drawing.
    #[must_use]
    pub fn keys(&self) -> &[KeyPress] {
        &self.ui.keys
    }

    /// Ends the drawing. Tab moves on to the next thing that can be chosen.
    pub fn end(self) {
        let tabs = self.ui.keys.iter().filter(|press| press.key == Key::Tab);
        for press in tabs {
            let step = if press.modifiers.shift {
                self.choices.saturating_sub(1)
            } else {
                1
            };
            self.ui.chosen = (self.ui.chosen + step) % self.choices.max(1);
        }
        self.ui.keys.clear();
        self.ui.released = None;
    }
}
