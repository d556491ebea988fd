//! Programs and the compositor: windows, what is painted in them, what happens in them.
//!
//! The service `window` (for programs) and the service `desktop` (for the one program that is the desktop) answer a long call of
//! [`CONNECT`] with a channel. From then on both sides send messages through it and nobody waits for an answer: the program
//! [`Request`]s, the compositor [`Event`]s. When the program's end closes its windows go; when the compositor's end closes there will be
//! another compositor: the program connects again, opens its windows with the [`Keepsake`]s it was given, and they are where they were.
//!
//! # Painting
//! [`Event::Configured`] brings a vmo of the window's pixels: [`BUFFERS`] pictures behind each other, each of `size.height` rows of
//! `size.width` pixels without gaps, a pixel a little-endian `u32`, 0xAARRGGBB, colours multiplied by alpha; the compositor looks
//! at alpha only if the window [has any](Look::alpha). The program paints one that is not shown and says [`Request::Present`]; the compositor shows it from its next
//! frame on and then says [`Event::Presented`], and the other picture is the program's again. The vmo is the compositor's: a program
//! cannot take memory away that is being shown.
//!
//! What must hold: a window is told only of keys pressed while it has the focus and of pointers over it (or dragged from it); no
//! program learns of other windows or the clipboard but the desktop, and the one with the focus the clipboard. Nonsense is answered
//! with [`Event::Refused`], or ends the connection if it is not even a message. A program that does not read its events loses motion first, and after
//! [`MOST_UNREAD`] of others its connection.

use serde::{Deserialize, Serialize};

use crate::frames::FrameFigures;
use crate::input::{Button, KeyChange};
use crate::key::{KeyPress, Modifiers};
pub use crate::messages::{from_bytes, to_bytes};
use crate::text::Text;

/// The service for programs.
pub const SERVICE: &str = "window";
/// The service for the desktop itself: the same, and what concerns all windows.
pub const DESKTOP_SERVICE: &str = "desktop";
/// The long call's one byte that asks for a channel; it is answered by [`DONE`] and the channel, or by a text that says why not.
pub const CONNECT: u8 = 1;
/// First byte of the answer that brings a channel.
pub const DONE: u8 = 0;
/// Longest request.
pub const MAX_REQUEST_BYTES: usize = 256;
/// Longest event.
pub const MAX_EVENT_BYTES: usize = 512;
/// Pictures in a window's vmo.
pub const BUFFERS: u32 = 2;
/// Fewest frames a second of a [variable rate](Rate::Variable).
pub const SLOWEST_HZ: u16 = 20;
/// Most of them.
pub const FASTEST_HZ: u16 = 240;
/// Longest side of a window, in pixels.
pub const MAX_SIDE: u16 = 8192;
/// Most windows of a program.
pub const MAX_WINDOWS: usize = 256;
/// Most bytes of all a program's pictures.
pub const MAX_PICTURE_BYTES: u64 = 160 << 20;
/// Messages that wait for a program, beside those in its channel, before it is taken for dead.
pub const MOST_UNREAD: usize = 64;

/// A window's number, which its program chose; in [`Event::Listed`] the compositor did.
pub type WindowId = u32;
/// A title.
pub type Title = Text<64>;

/// What makes a window of an earlier compositor the same one in the next: nobody can guess it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keepsake(pub u128);

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// To the right.
    pub width: u16,
    /// Downwards.
    pub height: u16,
}

/// A part of a picture, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Left edge.
    pub x: u16,
    /// Upper edge.
    pub y: u16,
    /// Its size.
    pub size: Size,
}

/// What a window is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// With a title bar, to be moved by.
    #[default]
    Normal,
    /// Behind all others, as large as the screen. Only the desktop's.
    Background,
    /// Along the lower edge, as wide as the screen, over all others. Only the desktop's.
    Panel,
    /// Above the panel without a title bar, at its left end; closed by a press anywhere else. Only the desktop's.
    Menu,
}

/// How a window wants to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// What it is.
    pub kind: Kind,
    /// Whether its pixels' alpha counts.
    pub alpha: bool,
    /// Whether a person can change its size.
    pub fixed: bool,
    /// Smallest size it can be used at.
    pub smallest: Size,
}

/// How much of the screen a window has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Extent {
    /// A size of its own.
    #[default]
    Floating,
    /// All but the panel.
    Maximised,
    /// The left half.
    LeftHalf,
    /// The right half.
    RightHalf,
    /// All, without a title bar.
    FullScreen,
}

/// The pointer's picture over a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pointer {
    /// An arrow.
    #[default]
    Arrow,
    /// For text.
    Text,
    /// For what can be pressed.
    Hand,
    /// None.
    Hidden,
}

/// Colours of the whole desktop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Theme {
    /// Dark on light.
    Light,
    /// Light on dark.
    #[default]
    Dark,
    /// Black, white and yellow.
    HighContrast,
}

/// When frames begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rate {
    /// At so many times a second, evenly: 60 or 120.
    Fixed(u16),
    /// When the window with the focus has a new picture: then what else has changed is shown with it.
    Variable {
        /// At least so often in a second what has changed is shown, [`SLOWEST_HZ`] or more.
        least_hz: u16,
        /// At most so often, [`FASTEST_HZ`] or less.
        most_hz: u16,
    },
}

/// What is asked about a window of another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Demand {
    /// To the front, with the focus; out of the panel if it was minimised.
    Raise,
    /// Out of sight.
    Minimise,
    /// Its program is asked to close it.
    Close,
}

/// From a program to the compositor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// A window, shown with its first picture.
    Open {
        /// Its number from now on.
        window: WindowId,
        /// What stands in its title bar.
        title: Title,
        /// How large it would like to be.
        size: Size,
        /// How it looks.
        look: Look,
        /// What [`Event::Configured`] said when it was opened before, or zero.
        keepsake: Keepsake,
    },
    /// Shows a picture.
    Present {
        /// Where.
        window: WindowId,
        /// Comes back with [`Event::Presented`].
        serial: u32,
        /// Of which [`Event::Configured`] this is; others are too late, and ignored.
        configuration: u32,
        /// Which of the [`BUFFERS`].
        buffer: u8,
        /// Where it differs from the picture before.
        damage: Part,
        /// Not before this time of the monotonic clock; 0: as soon as can be.
        target_ns: u64,
    },
    /// Another title.
    SetTitle {
        /// Whose.
        window: WindowId,
        /// The title.
        title: Title,
    },
    /// More or less of the screen.
    SetExtent {
        /// Who.
        window: WindowId,
        /// How much.
        extent: Extent,
    },
    /// The pointer's picture.
    SetPointer {
        /// Over which window.
        window: WindowId,
        /// Which.
        pointer: Pointer,
    },
    /// Out of sight.
    Minimise {
        /// Who.
        window: WindowId,
    },
    /// Closes a window.
    Close {
        /// Which.
        window: WindowId,
    },
    /// Puts text into the clipboard: `bytes` at the start of the vmo that comes along. Only while a window of the program's has the focus.
    Copy {
        /// UTF-8.
        bytes: u32,
    },
    /// Asks for the clipboard. Only while a window of the program's has the focus.
    Paste,
    /// To be told of all windows, by [`Event::Listed`]. Only the desktop.
    List,
    /// What shall become of a window. Only the desktop.
    Demand {
        /// The number that [`Event::Listed`] has for it.
        window: WindowId,
        /// What.
        demand: Demand,
    },
    /// Other colours, for all. Only the desktop.
    SetTheme(Theme),
    /// The keyboard's layout. Only the desktop.
    SetKeymap(Text<12>),
    /// When frames begin. Only the desktop.
    SetRate(Rate),
    /// Shows or hides the figures over the picture. Only the desktop; the key is Logo-F12 or control-alt-F12.
    ToggleOverlay,
    /// How frames went: [`Event::Frames`]. Only the desktop.
    Measure {
        /// Begin anew with the next frame.
        anew: bool,
    },
}

/// What the pointer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PointerWhat {
    /// It came in, or moved.
    Moved,
    /// It is outside now.
    Left,
    /// A button changed.
    Button {
        /// Which.
        button: Button,
        /// Whether it is down now.
        pressed: bool,
    },
    /// The wheel was turned.
    Wheel {
        /// Notches towards the user.
        down: i8,
        /// Notches to the right.
        right: i8,
    },
}

/// Why a picture was shown later than it was to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Late {
    /// It was presented when the frame had been begun already.
    Presented,
    /// The compositor began its frame late: its core was busy.
    Started,
    /// Composing took longer than a frame.
    Composed,
    /// The screen took the frame before longer than a frame.
    Shown,
}

/// From the compositor to a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// First of all, and whenever one of these changes.
    Screen {
        /// The screen's.
        size: Size,
        /// Time between two frames.
        frame_ns: u64,
        /// The colours.
        theme: Theme,
    },
    /// A window has this size from now on; its pictures come along as a vmo. The picture before stays until one of these is presented.
    Configured {
        /// Which.
        window: WindowId,
        /// To be given with [`Request::Present`].
        configuration: u32,
        /// Of the pictures.
        size: Size,
        /// How much of the screen that is.
        extent: Extent,
        /// For the next compositor.
        keepsake: Keepsake,
    },
    /// A picture is on the screen.
    Presented {
        /// Where.
        window: WindowId,
        /// Whose.
        serial: u32,
        /// When, by the monotonic clock.
        shown_ns: u64,
        /// When the next frame is begun.
        next_ns: u64,
        /// From the tick of the input that the program had last been told of to the screen; 0 if there was none since the picture before.
        since_input_ns: u64,
        /// Why not at its time.
        late: Option<Late>,
    },
    /// A key.
    Key {
        /// Whose.
        window: WindowId,
        /// When, by the time stamp counter.
        time_ticks: u64,
        /// Which, as [`What::Key`](crate::input::What::Key) says.
        code: u16,
        /// What became of it.
        change: KeyChange,
        /// What it means.
        press: Option<KeyPress>,
        /// What was held.
        modifiers: Modifiers,
    },
    /// A pointer.
    Pointer {
        /// Over which window, or dragged from it.
        window: WindowId,
        /// When, by the time stamp counter.
        time_ticks: u64,
        /// From the window's left edge; outside while it is dragged.
        x: i16,
        /// From its upper edge.
        y: i16,
        /// What it did.
        what: PointerWhat,
        /// What was held.
        modifiers: Modifiers,
    },
    /// The focus came or went.
    Focus {
        /// Whose.
        window: WindowId,
        /// Whether it has it now.
        focused: bool,
    },
    /// The window can be seen, or not at all: there is no need to paint.
    Visible {
        /// Which.
        window: WindowId,
        /// Whether it can.
        visible: bool,
    },
    /// A person wants to close the window. The program does, or asks.
    CloseAsked {
        /// Which.
        window: WindowId,
    },
    /// What the clipboard has: so many bytes at the start of the vmo that comes along.
    Pasted {
        /// UTF-8.
        bytes: u32,
    },
    /// A request was not done.
    Refused {
        /// Of which window; 0 for none.
        window: WindowId,
        /// Why.
        why: Text<80>,
    },
    /// A window that there is or that changed. Only to the desktop.
    Listed {
        /// Its number.
        window: WindowId,
        /// Its title.
        title: Title,
        /// Whether it has the focus.
        focused: bool,
        /// Whether it is out of sight.
        minimised: bool,
    },
    /// A window that there is no more. Only to the desktop.
    Unlisted {
        /// Its number.
        window: WindowId,
    },
    /// The key with the logo was pressed and released by itself. Only to the desktop.
    MenuAsked,
    /// What was measured since it was begun anew. Only to the desktop.
    Frames(FrameFigures),
}

impl Size {
    /// Bytes of one picture.
    #[must_use]
    pub const fn picture_bytes(self) -> u64 {
        self.width as u64 * self.height as u64 * 4
    }

    /// All of a picture.
    #[must_use]
    pub const fn whole(self) -> Part {
        Part {
            x: 0,
            y: 0,
            size: self,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frames::{BUCKETS, STAGES, Spread};

    #[test]
    fn the_longest_messages_fit() {
        let long = "m".repeat(100);
        let mut buffer = [0; MAX_EVENT_BYTES];
        let open = Request::Open {
            window: u32::MAX,
            title: Title::from_start(&long),
            size: Size {
                width: MAX_SIDE,
                height: MAX_SIDE,
            },
            look: Look {
                kind: Kind::Menu,
                alpha: true,
                fixed: true,
                smallest: Size::default(),
            },
            keepsake: Keepsake(u128::MAX),
        };
        let bytes = to_bytes(&open, &mut buffer[..MAX_REQUEST_BYTES]).expect("fits");
        assert_eq!(from_bytes(bytes), Some(open));
        let most = Spread {
            p50_ns: u32::MAX,
            p99_ns: u32::MAX,
            max_ns: u32::MAX,
        };
        let frames = Event::Frames(FrameFigures {
            frames: u32::MAX,
            late: u32::MAX,
            late_by: [u32::MAX; 4],
            direct: u32::MAX,
            start: most,
            compose: most,
            show: most,
            inputs: u32::MAX,
            stages: [most; STAGES.len()],
            input: most,
            start_counts: [u32::MAX; BUCKETS],
            input_counts: [u32::MAX; BUCKETS],
        });
        let bytes = to_bytes(&frames, &mut buffer).expect("fits");
        assert_eq!(from_bytes(bytes), Some(frames));
        let refused = Event::Refused {
            window: u32::MAX,
            why: Text::from_start(&long),
        };
        let bytes = to_bytes(&refused, &mut buffer).expect("fits");
        assert_eq!(from_bytes(bytes), Some(refused));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut buffer = [0; MAX_REQUEST_BYTES + MAX_EVENT_BYTES];
            if let Some(request) = from_bytes::<Request>(&bytes) {
                let again = to_bytes(&request, &mut buffer).expect("fits");
                prop_assert_eq!(from_bytes::<Request>(again), Some(request));
            }
            if let Some(event) = from_bytes::<Event>(&bytes) {
                let again = to_bytes(&event, &mut buffer).expect("fits");
                prop_assert_eq!(from_bytes::<Event>(again), Some(event));
            }
        }
    }
}
