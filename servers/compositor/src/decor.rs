//! What the compositor draws itself: title bars, shadows, the pointer.

use draw::text::{Face, Font};
use draw::{Canvas, Palette, Pixel, Rect, blend, rgb, rgba};

use crate::compose::Sheet;
use crate::place::{BUTTON_PX, Edges, SHADOW_PX, TITLE_PX, TitleButton};

/// Side of the square around the pointer's tip that its picture is in.
pub const POINTER_PX: i32 = 48;
/// Size of the letters of titles.
const TITLE_TEXT_PX: u16 = 15;
/// Size of the overlay's letters.
const OVERLAY_TEXT_PX: u16 = 13;
/// Darkest a shadow gets, of 255.
const SHADOW_ALPHA: i32 = 70;
/// Radius of a title bar's upper corners.
pub const CORNER_PX: i32 = 8;

/// The compositor's letters. A font's file is read, which takes long, when something is first written with it.
#[derive(Debug, Default)]
pub(crate) struct Fonts {
    title: Option<Font>,
    overlay: Option<Font>,
}

impl Fonts {
    /// For titles. `None` if the file cannot be read, which a test shows it can; so below.
    pub fn title(&mut self) -> Option<&mut Font> {
        read(&mut self.title, Face::Ui, TITLE_TEXT_PX)
    }

    /// For the overlay.
    pub fn overlay(&mut self) -> Option<&mut Font> {
        read(&mut self.overlay, Face::Mono, OVERLAY_TEXT_PX)
    }
}

fn read(place: &mut Option<Font>, face: Face, size_px: u16) -> Option<&mut Font> {
    if place.is_none() {
        *place = Font::new(face, size_px);
    }
    place.as_mut()
}

/// The pointer's pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// None.
    Nothing,
    /// For what is nothing else.
    Arrow,
    /// For text.
    Text,
    /// For what can be pressed.
    Hand,
    /// Over a left or right edge.
    LeftRight,
    /// Over an upper or lower edge.
    UpDown,
    /// From the upper left to the lower right.
    Falling,
    /// From the lower left to the upper right.
    Rising,
}

impl Picture {
    /// All that are something.
    pub const ALL: [Self; 7] = [
        Self::Arrow,
        Self::Text,
        Self::Hand,
        Self::LeftRight,
        Self::UpDown,
        Self::Falling,
        Self::Rising,
    ];

    pub(crate) const fn of_edges(edges: Edges) -> Self {
        match (edges.left || edges.right, edges.top || edges.bottom) {
            (true, false) => Self::LeftRight,
            (true, true) if edges.left == edges.top => Self::Falling,
            (true, true) => Self::Rising,
            _ => Self::UpDown,
        }
    }

    /// Rows of `#` (dark), `.` (light) and blanks, and where in them the tip is.
    const fn rows(self) -> (&'static [&'static str], i32, i32) {
        match self {
            Self::Nothing => (&[], 0, 0),
            Self::Arrow => (&ARROW, 0, 0),
            Self::Text => (&TEXT, 3, 8),
            Self::Hand => (&HAND, 5, 0),
            Self::LeftRight => (&LEFT_RIGHT, 8, 4),
            Self::UpDown => (&UP_DOWN, 4, 8),
            Self::Falling => (&FALLING, 6, 6),
            Self::Rising => (&RISING, 6, 6),
        }
    }

    /// Draws it with its tip at a point.
    pub fn draw(self, canvas: &mut Canvas<'_>, x: i32, y: i32) {
        let (rows, tip_x, tip_y) = self.rows();
        for (row, y) in rows.iter().zip(y - tip_y..) {
            for (mark, x) in row.bytes().zip(x - tip_x..) {
                match mark {
                    b'#' => canvas.put(x, y, rgb(0x10_14_1a)),
                    b'.' => canvas.put(x, y, rgb(0xff_ff_ff)),
                    _ => {}
                }
            }
        }
    }
}

const ARROW: [&str; 19] = [
    "#",
    "##",
    "#.#",
    "#..#",
    "#...#",
    "#....#",
    "#.....#",
    "#......#",
    "#.......#",
    "#........#",
    "#.........#",
    "#......#####",
    "#...#..#",
    "#..##..#",
    "#.#  #..#",
    "##   #..#",
    "#     #..#",
    "      #..#",
    "       ##",
];
const TEXT: [&str; 17] = [
    "###.###", "#..#..#", "###.###", "  #.#", "  #.#", "  #.#", "  #.#", "  #.#", "  #.#", "  #.#",
    "  #.#", "  #.#", "  #.#", "  #.#", "###.###", "#..#..#", "###.###",
];
const HAND: [&str; 18] = [
    "     ##",
    "    #..#",
    "    #..#",
    "    #..#",
    "    #..###",
    "    #..#..###",
    "    #..#..#..##",
    " ## #..#..#..#.#",
    "#..##........#.#",
    "#...#..........#",
    " #..#..........#",
    "  #.#..........#",
    "  #............#",
    "   #..........#",
    "   #..........#",
    "    #........#",
    "    #........#",
    "    ##########",
];
const LEFT_RIGHT: [&str; 9] = [
    "    ##     ##",
    "   #.#     #.#",
    "  #..#######..#",
    " #.............#",
    "#...............#",
    " #.............#",
    "  #..#######..#",
    "   #.#     #.#",
    "    ##     ##",
];
const UP_DOWN: [&str; 17] = [
    "    #",
    "   #.#",
    "  #...#",
    " #.....#",
    "####.####",
    "   #.#",
    "   #.#",
    "   #.#",
    "   #.#",
    "   #.#",
    "   #.#",
    "   #.#",
    "####.####",
    " #.....#",
    "  #...#",
    "   #.#",
    "    #",
];
const FALLING: [&str; 13] = [
    "#######",
    "#....#",
    "#...#",
    "#....#",
    "#.##..#",
    "## #...#",
    "#   #...#   #",
    "     #...# ##",
    "      #..##.#",
    "       #....#",
    "        #...#",
    "       #....#",
    "      #######",
];
const RISING: [&str; 13] = [
    "      #######",
    "       #....#",
    "        #...#",
    "       #....#",
    "      #..##.#",
    "     #...# ##",
    "#   #...#   #",
    "## #...#",
    "#.##..#",
    "#....#",
    "#...#",
    "#....#",
    "#######",
];

/// How dark a shadow is so far from what casts it, to the side and up or down.
const SHADOW: [[u8; SHADOW_REACH]; SHADOW_REACH] = {
    let mut table = [[0; SHADOW_REACH]; SHADOW_REACH];
    let mut dy = 0;
    while dy < SHADOW_REACH {
        let mut dx = 0;
        while dx < SHADOW_REACH {
            let left = SHADOW_PX - ((dx * dx + dy * dy) as i32).isqrt();
            if left > 0 {
                table[dy][dx] = (SHADOW_ALPHA * left * left / (SHADOW_PX * SHADOW_PX)) as u8;
            }
            dx += 1;
        }
        dy += 1;
    }
    table
};
/// Places of the table: from there on there is none.
const SHADOW_REACH: usize = SHADOW_PX as usize;

/// The shadow around `outer`.
pub(crate) fn draw_shadow(canvas: &mut Canvas<'_>, outer: &Rect) {
    let around = outer.grown(SHADOW_PX);
    // A little lower than the window, as if the light came from above.
    let caster = outer.grown(-2).moved(0, 3);
    for part in around.without(outer) {
        let part = part.and(&canvas.clip());
        for y in part.top..part.bottom {
            let dy = (caster.top - y).max(y - caster.bottom + 1).max(0);
            let Some(alphas) = SHADOW.get(dy as usize) else {
                continue;
            };
            for (below, x) in canvas
                .row_mut(y, part.left, part.right)
                .iter_mut()
                .zip(part.left..)
            {
                let dx = (caster.left - x).max(x - caster.right + 1).max(0);
                if let Some(alpha) = alphas.get(dx as usize) {
                    *below = blend::over(rgba(0, *alpha), *below);
                }
            }
        }
    }
}

/// Edges and title bar of a window.
pub(crate) fn draw_frame(
    canvas: &mut Canvas<'_>,
    sheet: &Sheet,
    palette: &Palette,
    fonts: &mut Fonts,
) {
    let (place, look, focused) = (&sheet.place, &sheet.look, sheet.is_focused);
    let outer = place.outer(look);
    let title = place.title(look);
    let ground = if focused {
        palette.title.0
    } else {
        palette.title.1
    };
    let edge = if focused {
        palette.accent
    } else {
        palette.line
    };
    let canvas = &mut canvas.clipped(&outer);
    // The edge shows as what the ground leaves free.
    let mut top = canvas.clipped(&Rect {
        bottom: title.top + TITLE_PX / 2,
        ..title
    });
    top.round(&outer, CORNER_PX, edge);
    top.round(&outer.grown(-1), CORNER_PX - 1, ground);
    let lower = Rect {
        top: title.top + TITLE_PX / 2,
        ..outer
    };
    for part in lower.without(&place.content) {
        canvas.fill(&part, edge);
    }
    canvas.fill(
        &Rect {
            top: lower.top,
            bottom: title.bottom,
            left: title.left + 1,
            right: title.right - 1,
        },
        ground,
    );
    if title.and(&canvas.clip()).is_empty() {
        return;
    }
    for button in [
        TitleButton::Close,
        TitleButton::Maximise,
        TitleButton::Minimise,
    ] {
        let rect = place.button(look, button);
        let is_hot = sheet.hot == Some(button);
        let mark = if is_hot && button == TitleButton::Close {
            canvas.round(&rect.grown(-3), 5, palette.alarm);
            palette.ground
        } else {
            if is_hot {
                canvas.round(&rect.grown(-3), 5, palette.button.1);
            }
            if focused { palette.text } else { palette.faint }
        };
        draw_mark(canvas, &rect, button, mark);
    }
    if let Some(font) = fonts.title() {
        let room = title.width() - 3 * BUTTON_PX - 24;
        let text = font.fitting(&sheet.title, room);
        let y = title.top + (TITLE_PX - font.height_px()) / 2 + 1;
        let colour = if focused { palette.text } else { palette.faint };
        font.draw(
            &mut canvas.clipped(&title),
            title.left + 12,
            y,
            text,
            colour,
        );
    }
}

/// The sign on a button.
fn draw_mark(canvas: &mut Canvas<'_>, rect: &Rect, button: TitleButton, pixel: Pixel) {
    if rect.width() < BUTTON_PX {
        return;
    }
    let (x, y) = ((rect.left + rect.right) / 2, (rect.top + rect.bottom) / 2);
    match button {
        TitleButton::Close => {
            for step in -4..=4 {
                for (dx, dy) in [(step, step), (step, -step)] {
                    canvas.put(x + dx, y + dy, pixel);
                    canvas.put(x + dx + 1, y + dy, pixel);
                }
            }
        }
        TitleButton::Maximise => canvas.frame(&Rect::new(x - 5, y - 4, 10, 9), pixel),
        TitleButton::Minimise => canvas.fill(&Rect::new(x - 5, y + 3, 10, 2), pixel),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_lie_within_their_square() {
        for picture in Picture::ALL {
            let (rows, x, y) = picture.rows();
            let width = rows.iter().map(|row| row.len()).max().unwrap_or(0) as i32;
            let half = POINTER_PX / 2;
            assert!(
                x <= half && y <= half && width - x <= half && rows.len() as i32 - y <= half,
                "{picture:?}"
            );
        }
    }
}
