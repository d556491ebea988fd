//! Outputs: where on the desk each is, and which of them show one window alone.
//!
//! The first output has the panel, and new windows. A window is maximised, or has all of the screen, on the output that has most of it.
//!
//! An output where nothing is seen but one window's picture need not be composed: the screen can take the picture as it is
//! ([`Direct`]), if it can reach its memory.

use super::*;

/// A window's picture that is all that an output shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Direct {
    /// Whose pictures.
    pub pictures: PictureKey,
    /// Which of them.
    pub buffer: u8,
    /// Its size: the output's.
    pub size: Size,
    /// Where it differs from what the output showed before.
    pub changed: Vec<Rect>,
}

/// What a frame is made of.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// What is to be composed.
    pub parts: Vec<Rect>,
    /// For each output, the picture that it shows instead of what is composed there.
    pub direct: Vec<Option<Direct>>,
}

impl Desk {
    /// Where the outputs are, the main one first; they do not overlap. Nothing happens without any.
    pub fn set_outputs(&mut self, outputs: &[Rect]) {
        let all = outputs
            .iter()
            .fold(Rect::EMPTY, |all, output| all.hull(output));
        if all.is_empty() {
            return;
        }
        let side = |length: i32| u16::try_from(length).unwrap_or(u16::MAX);
        self.screen = Size {
            width: side(all.right),
            height: side(all.bottom),
        };
        self.outputs = outputs.to_vec();
        self.directs = outputs.iter().map(|_| None).collect();
        let (x, y) = (self.steering.x, self.steering.y);
        (self.steering.x, self.steering.y) = self.within_outputs(x, y);
        self.pointer_changed = true;
        self.lay_out_again();
        self.damage = Damage::new();
        self.damage_all();
        self.tell_all_of_the_screen();
    }

    /// Where the outputs are.
    #[must_use]
    pub fn outputs(&self) -> &[Rect] {
        &self.outputs
    }

    /// The output with the panel.
    pub(crate) fn main_output(&self) -> Rect {
        self.outputs
            .first()
            .copied()
            .unwrap_or_else(|| self.screen_rect())
    }

    /// The output that has most of this, or the main one.
    fn output_of(&self, content: &Rect) -> Rect {
        let most = self
            .outputs
            .iter()
            .rev()
            .max_by_key(|output| output.and(content).area());
        match most {
            Some(output) if !output.and(content).is_empty() => *output,
            _ => self.main_output(),
        }
    }

    /// Where a window can be that is there now.
    pub(crate) fn area(&self, look: &Look, content: &Rect) -> Area {
        let main = self.main_output();
        let output = match look.kind {
            Kind::Normal => self.output_of(content),
            _ => main,
        };
        Area {
            desk: self.screen_rect(),
            output,
            panel_px: if output == main { self.panel_px() } else { 0 },
        }
    }

    /// Where the pointer gets that would like to be there: first along its row as far as there are outputs, then along the column.
    pub(crate) fn within_outputs(&self, x: i32, y: i32) -> (i32, i32) {
        let nearest = |wanted: i32, spans: &mut dyn Iterator<Item = (i32, i32)>| {
            spans
                .map(|(start, end)| wanted.clamp(start, (end - 1).max(start)))
                .min_by_key(|found| (i64::from(*found) - i64::from(wanted)).abs())
        };
        let row = self.steering.y;
        let of_row = |output: &&Rect| (output.top..output.bottom).contains(&row);
        let columns = self.outputs.iter().filter(of_row);
        let x = nearest(x, &mut columns.map(|output| (output.left, output.right)));
        // Where the pointer is may be no output's any more.
        let x = x.unwrap_or(self.main_output().left);
        let of_column = |output: &&Rect| (output.left..output.right).contains(&x);
        let rows = self.outputs.iter().filter(of_column);
        let y = nearest(y, &mut rows.map(|output| (output.top, output.bottom)));
        (x, y.unwrap_or(self.main_output().top))
    }

    /// The window of which nothing but its picture is seen there.
    fn alone(&self, output: &Rect) -> Option<Shown> {
        if self.overlay.is_some() && !self.overlay_rect().and(output).is_empty() {
            return None;
        }
        if self.draws_pointer && !self.steering.pointer_rect().and(output).is_empty() {
            return None;
        }
        let seen = |window: &&Window| {
            window.shown.is_some()
                && !window.place.minimised
                && !window.place.touched(&window.look).and(output).is_empty()
        };
        let top = self.windows.iter().rev().find(seen)?;
        let shown = top.shown?;
        let is_whole = top.place.extent == Extent::FullScreen
            && !top.look.alpha
            && top.place.content == *output
            && i32::from(shown.size.width) == output.width()
            && i32::from(shown.size.height) == output.height();
        is_whole.then_some(shown)
    }

    /// Divides what changed into what is composed and what outputs take as it is. `reaches`: whether the screen can take these pictures.
    pub(super) fn divide(&mut self, reaches: impl Fn(PictureKey) -> bool) -> Frame {
        let mut changed = core::mem::take(&mut self.damage);
        let screen = self.screen_rect();
        let mut direct = Vec::new();
        for (at, output) in self.outputs.iter().enumerate() {
            let now = self.alone(output).filter(|shown| reaches(shown.pictures));
            let before = self.directs.get(at).copied().flatten();
            if let Some(place) = self.directs.get_mut(at) {
                *place = now.map(|shown| shown.pictures);
            }
            if before.is_some() && now.is_none() {
                // What was composed there is old.
                changed.add(output, &screen);
            }
            direct.push(now.map(|shown| {
                let there = |part: &Rect| part.and(output).moved(-output.left, -output.top);
                let all = Rect::new(0, 0, output.width(), output.height());
                Direct {
                    pictures: shown.pictures,
                    buffer: shown.buffer,
                    size: shown.size,
                    changed: match before == Some(shown.pictures) {
                        true => changed
                            .parts()
                            .iter()
                            .map(there)
                            .filter(|part| !part.is_empty())
                            .collect(),
                        false => [all].to_vec(),
                    },
                }
            }));
        }
        let mut parts = changed.parts().to_vec();
        for (output, direct) in self.outputs.iter().zip(&direct) {
            if direct.is_some() {
                parts = parts
                    .iter()
                    .flat_map(|part| part.without(output))
                    .filter(|part| !part.is_empty())
                    .collect();
            }
        }
        Frame { parts, direct }
    }

    /// The screen lost what it showed, or could not show it: all is to be composed again.
    pub fn show_all_again(&mut self) {
        self.directs.fill(None);
        self.damage_all();
    }
}
