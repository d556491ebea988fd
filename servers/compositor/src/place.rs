//! Where windows are, and which is over which.

use draw::Rect;
use proto::window::{Extent, Kind, Look, MAX_SIDE, Size};

/// Rows of a title bar.
pub const TITLE_PX: i32 = 30;
/// Width of the edge around a window with a title bar.
pub const EDGE_PX: i32 = 1;
/// How far around a window's edge the pointer takes hold of it.
pub const HOLD_PX: i32 = 6;
/// How far a shadow reaches.
pub const SHADOW_PX: i32 = 14;
/// Columns of each button in a title bar.
pub const BUTTON_PX: i32 = 40;
/// Smallest size of a window that a person can make: its buttons have room.
pub const SMALLEST: Size = Size {
    width: 128,
    height: 48,
};
/// How much of a window's title bar stays on the screen.
const STAYS_PX: i32 = 48;

/// Layers, from the back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// Behind all.
    Background,
    /// Where programs are.
    Normal,
    /// The panel.
    Panel,
    /// All of the screen.
    FullScreen,
    /// Menus.
    Menu,
}

/// A window's place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Where its picture is, without title bar.
    pub content: Rect,
    /// Where it was, and will be again when it is [`Extent::Floating`].
    pub floating: Rect,
    /// How much of the screen it has.
    pub extent: Extent,
    /// Whether it is out of sight.
    pub minimised: bool,
}

/// What of a window is at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// Its picture.
    Content,
    /// The title bar.
    Title,
    /// A button there.
    Button(TitleButton),
    /// An edge or a corner.
    Edge(Edges),
}

/// Buttons of a title bar, from the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TitleButton {
    /// Closes.
    Close,
    /// Maximises, and back.
    Maximise,
    /// Out of sight.
    Minimise,
}

/// Which edges are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edges {
    /// The left one.
    pub left: bool,
    /// The right one.
    pub right: bool,
    /// The upper one.
    pub top: bool,
    /// The lower one.
    pub bottom: bool,
}

/// Where a window can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// All outputs.
    pub desk: Rect,
    /// The window's.
    pub output: Rect,
    /// Rows that the panel has of it.
    pub panel_px: i32,
}

impl Area {
    /// The output without the panel.
    #[must_use]
    pub const fn work(&self) -> Rect {
        Rect {
            bottom: self.output.bottom - self.panel_px,
            ..self.output
        }
    }
}

/// Whether a window has a title bar and edges.
#[must_use]
pub fn is_framed(look: &Look, extent: Extent) -> bool {
    look.kind == Kind::Normal && extent != Extent::FullScreen
}

/// The layer of a window.
#[must_use]
pub fn layer(look: &Look, extent: Extent) -> Layer {
    match look.kind {
        Kind::Background => Layer::Background,
        Kind::Normal if extent == Extent::FullScreen => Layer::FullScreen,
        Kind::Normal => Layer::Normal,
        Kind::Panel => Layer::Panel,
        Kind::Menu => Layer::Menu,
    }
}

impl Place {
    /// With title bar and edges, if it has any.
    #[must_use]
    pub fn outer(&self, look: &Look) -> Rect {
        if !is_framed(look, self.extent) {
            return self.content;
        }
        let grown = self.content.grown(EDGE_PX);
        Rect {
            top: grown.top - TITLE_PX,
            ..grown
        }
    }

    /// All that it changes on the screen, shadow and all.
    #[must_use]
    pub fn touched(&self, look: &Look) -> Rect {
        match is_framed(look, self.extent) || look.kind == Kind::Menu {
            true => self.outer(look).grown(SHADOW_PX),
            false => self.outer(look),
        }
    }

    /// The title bar.
    #[must_use]
    pub fn title(&self, look: &Look) -> Rect {
        let outer = self.outer(look);
        Rect {
            bottom: self.content.top,
            ..outer
        }
    }

    /// Where a button is.
    #[must_use]
    pub fn button(&self, look: &Look, button: TitleButton) -> Rect {
        let title = self.title(look);
        let from_right = match button {
            TitleButton::Close => 0,
            TitleButton::Maximise => 1,
            TitleButton::Minimise => 2,
        };
        let right = title.right - EDGE_PX - from_right * BUTTON_PX;
        let button = Rect {
            left: right - BUTTON_PX,
            right,
            top: title.top + EDGE_PX,
            bottom: title.bottom,
        };
        // Not beyond the title bar of a narrow window.
        button.and(&title)
    }

    /// What is at a point, if it is the window's.
    #[must_use]
    pub fn spot(&self, look: &Look, x: i32, y: i32) -> Option<Spot> {
        if self.content.has(x, y) {
            return Some(Spot::Content);
        }
        if !is_framed(look, self.extent) {
            return None;
        }
        let outer = self.outer(look);
        let movable = self.extent == Extent::Floating && !look.fixed;
        for button in [
            TitleButton::Close,
            TitleButton::Maximise,
            TitleButton::Minimise,
        ] {
            if self.button(look, button).has(x, y) && (!movable || y >= outer.top + EDGE_PX + 2) {
                return Some(Spot::Button(button));
            }
        }
        if movable && outer.grown(HOLD_PX).has(x, y) {
            // Corners are easier to hit than to see.
            let near = HOLD_PX * 2;
            let edges = Edges {
                left: x < outer.left + EDGE_PX,
                right: x >= outer.right - EDGE_PX,
                top: y < outer.top + EDGE_PX + 2,
                bottom: y >= outer.bottom - EDGE_PX,
            };
            if edges != Edges::default() {
                let vertical = edges.top || edges.bottom;
                let horizontal = edges.left || edges.right;
                return Some(Spot::Edge(Edges {
                    left: edges.left || (vertical && x < outer.left + near),
                    right: edges.right || (vertical && x >= outer.right - near),
                    top: edges.top || (horizontal && y < outer.top + near),
                    bottom: edges.bottom || (horizontal && y >= outer.bottom - near),
                }));
            }
        }
        outer.has(x, y).then_some(Spot::Title)
    }

    /// Where its picture is with another extent.
    #[must_use]
    pub fn content_for(&self, look: &Look, extent: Extent, area: &Area) -> Rect {
        let (work, output) = (area.work(), area.output);
        let framed = |area: Rect| Rect {
            left: area.left + EDGE_PX,
            top: area.top + TITLE_PX + EDGE_PX,
            right: (area.right - EDGE_PX).max(area.left + EDGE_PX + 1),
            bottom: (area.bottom - EDGE_PX).max(area.top + TITLE_PX + EDGE_PX + 1),
        };
        let middle = work.left + work.width() / 2;
        match (look.kind, extent) {
            (Kind::Background, _) => area.desk,
            (_, Extent::FullScreen) => output,
            (Kind::Panel, _) => {
                let height = self.floating.height().clamp(1, output.height());
                Rect::new(output.left, output.bottom - height, output.width(), height)
            }
            (Kind::Menu, _) => Rect::new(
                work.left,
                work.bottom - self.floating.height(),
                self.floating.width(),
                self.floating.height(),
            ),
            (Kind::Normal, Extent::Floating) => self.floating,
            (Kind::Normal, Extent::Maximised) => framed(work),
            (Kind::Normal, Extent::LeftHalf) => framed(Rect {
                right: middle,
                ..work
            }),
            (Kind::Normal, Extent::RightHalf) => framed(Rect {
                left: middle,
                ..work
            }),
        }
    }
}

/// A floating window's place, moved so that its title bar can be reached.
#[must_use]
pub fn reachable(content: &Rect, area: &Area) -> Rect {
    let work = area.work();
    let left = content.left.clamp(
        work.left + STAYS_PX - content.width(),
        (work.right - STAYS_PX).max(work.left),
    );
    let highest = work.top + TITLE_PX + EDGE_PX;
    let top = content.top.clamp(highest, (work.bottom - 4).max(highest));
    content.moved(left - content.left, top - content.top)
}

/// A size that a window may have.
#[must_use]
pub fn allowed(size: Size, look: &Look) -> Size {
    let side = |wanted: u16, smallest: u16| match look.kind {
        Kind::Normal if !look.fixed => wanted.clamp(smallest.min(MAX_SIDE), MAX_SIDE),
        _ => wanted.clamp(1, MAX_SIDE),
    };
    Size {
        width: side(size.width, look.smallest.width.max(SMALLEST.width)),
        height: side(size.height, look.smallest.height.max(SMALLEST.height)),
    }
}

/// What a window becomes whose edges are dragged by so much.
#[must_use]
pub fn resized(start: &Rect, edges: Edges, dx: i32, dy: i32, look: &Look) -> Rect {
    let wanted = Rect {
        left: start.left + if edges.left { dx } else { 0 },
        right: start.right + if edges.right { dx } else { 0 },
        top: start.top + if edges.top { dy } else { 0 },
        bottom: start.bottom + if edges.bottom { dy } else { 0 },
    };
    let side = |length: i32| u16::try_from(length.max(0)).unwrap_or(u16::MAX);
    let size = allowed(
        Size {
            width: side(wanted.right - wanted.left),
            height: side(wanted.bottom - wanted.top),
        },
        look,
    );
    let (width, height) = (i32::from(size.width), i32::from(size.height));
    // The edge that is not dragged stays.
    Rect::new(
        if edges.left {
            start.right - width
        } else {
            start.left
        },
        if edges.top {
            start.bottom - height
        } else {
            start.top
        },
        width,
        height,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: Rect = Rect::new(0, 0, 1280, 800);
    const AREA: Area = Area {
        desk: OUTPUT,
        output: OUTPUT,
        panel_px: 40,
    };

    fn window() -> (Place, Look) {
        let content = Rect::new(100, 200, 300, 150);
        let place = Place {
            content,
            floating: content,
            ..Place::default()
        };
        (place, Look::default())
    }

    #[test]
    fn points_are_what_they_look_like() {
        let (place, look) = window();
        assert_eq!(place.spot(&look, 100, 200), Some(Spot::Content));
        assert_eq!(place.spot(&look, 150, 180), Some(Spot::Title));
        let close = place.button(&look, TitleButton::Close);
        let (x, y) = (close.left + 10, close.top + 10);
        assert_eq!(
            place.spot(&look, x, y),
            Some(Spot::Button(TitleButton::Close))
        );
        let edges = Edges {
            right: true,
            bottom: true,
            ..Edges::default()
        };
        assert_eq!(place.spot(&look, 402, 352), Some(Spot::Edge(edges)));
        let edges = Edges {
            left: true,
            ..Edges::default()
        };
        assert_eq!(place.spot(&look, 97, 280), Some(Spot::Edge(edges)));
        assert_eq!(place.spot(&look, 80, 280), None);
        let maximised = Place {
            extent: Extent::Maximised,
            ..place
        };
        assert_eq!(maximised.spot(&look, 97, 280), None);
    }

    #[test]
    fn edges_that_are_not_dragged_stay() {
        let (place, look) = window();
        let left_top = Edges {
            left: true,
            top: true,
            ..Edges::default()
        };
        let small = resized(&place.content, left_top, 1000, 1000, &look);
        assert_eq!((small.right, small.bottom), (400, 350));
        assert_eq!((small.width(), small.height()), (128, 48));
        let right = Edges {
            right: true,
            ..Edges::default()
        };
        assert_eq!(
            resized(&place.content, right, 50, 50, &look),
            Rect::new(100, 200, 350, 150)
        );
    }

    #[test]
    fn title_bars_can_be_reached() {
        for (x, y) in [(-5000, -5000), (5000, 5000), (0, 0)] {
            let moved = reachable(&Rect::new(x, y, 300, 200), &AREA);
            let place = Place {
                content: moved,
                ..Place::default()
            };
            let seen = place.title(&Look::default()).and(&AREA.work());
            assert!(seen.width() >= 40 && seen.height() >= 4, "{moved:?}");
        }
    }

    #[test]
    fn halves_and_all_fit_the_screen() {
        let (place, look) = window();
        for extent in [Extent::Maximised, Extent::LeftHalf, Extent::RightHalf] {
            let content = place.content_for(&look, extent, &AREA);
            let outer = Place {
                content,
                extent,
                ..place
            }
            .outer(&look);
            assert!(AREA.work().has_all(&outer), "{extent:?}: {outer:?}");
        }
        let whole = place.content_for(&look, Extent::FullScreen, &AREA);
        assert_eq!(whole, OUTPUT);
    }
}
