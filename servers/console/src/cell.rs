//! One character with its looks, in 32 bits.
//!
//! Layout: bits 0 to 20 the character, 21 to 24 foreground, 25 to 28 background, 29 bold, 30
//! underlined, 31 inverse.

use embedded_graphics::pixelcolor::Rgb888;

/// One of the sixteen colours of a terminal: 0 to 7 black, red, green, yellow, blue, magenta, cyan,
/// white; 8 to 15 the same, bright.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color(u8);

impl Color {
    /// The default background.
    pub const BLACK: Self = Self(0);
    /// The default foreground.
    pub const WHITE: Self = Self(7);

    /// The colour with this number; only the lowest four bits count.
    #[must_use]
    pub const fn new(number: u8) -> Self {
        Self(number & 0x0f)
    }

    /// The bright form of the colour.
    #[must_use]
    pub const fn bright(self) -> Self {
        Self(self.0 | 8)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// How it looks on the screen: chosen to read well on the dark background.
    #[must_use]
    pub const fn rgb(self) -> Rgb888 {
        let [red, green, blue] = PALETTE[self.0 as usize];
        Rgb888::new(red, green, blue)
    }
}

const PALETTE: [[u8; 3]; 16] = [
    [0x10, 0x14, 0x1a],
    [0xd1, 0x5b, 0x5b],
    [0x7f, 0xb3, 0x5a],
    [0xd3, 0xa4, 0x4c],
    [0x5b, 0x8f, 0xd9],
    [0xb0, 0x7c, 0xc6],
    [0x4f, 0xb0, 0xae],
    [0xd0, 0xd4, 0xd8],
    [0x6a, 0x72, 0x7d],
    [0xf0, 0x81, 0x81],
    [0xa5, 0xd6, 0x82],
    [0xf0, 0xc6, 0x74],
    [0x86, 0xb4, 0xf4],
    [0xd2, 0xa3, 0xe4],
    [0x7d, 0xd4, 0xd1],
    [0xff, 0xff, 0xff],
];

/// The looks of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Colour of the character.
    pub foreground: Color,
    /// Colour behind it.
    pub background: Color,
    /// In bold type.
    pub bold: bool,
    /// Underlined.
    pub underlined: bool,
    /// With the two colours exchanged.
    pub inverse: bool,
}

impl Style {
    /// White on black.
    pub const DEFAULT: Self = Self {
        foreground: Color::WHITE,
        background: Color::BLACK,
        bold: false,
        underlined: false,
        inverse: false,
    };
}

impl Default for Style {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A character with its looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell(u32);

const FOREGROUND: u32 = 21;
const BACKGROUND: u32 = 25;
const BOLD: u32 = 1 << 29;
const UNDERLINED: u32 = 1 << 30;
const INVERSE: u32 = 1 << 31;
const CHARACTER: u32 = (1 << FOREGROUND) - 1;

impl Cell {
    /// A space in the default looks.
    pub const BLANK: Self = Self::new(' ', Style::DEFAULT);
    /// No character at all: what the screen shows is not known. Differs from every real cell.
    pub(crate) const UNKNOWN: Self = Self(u32::MAX);

    /// `character` in `style`.
    #[must_use]
    pub const fn new(character: char, style: Style) -> Self {
        let mut bits = character as u32
            | (style.foreground.number() as u32) << FOREGROUND
            | (style.background.number() as u32) << BACKGROUND;
        if style.bold {
            bits |= BOLD;
        }
        if style.underlined {
            bits |= UNDERLINED;
        }
        if style.inverse {
            bits |= INVERSE;
        }
        Self(bits)
    }

    /// The character.
    #[must_use]
    pub fn character(self) -> char {
        char::from_u32(self.0 & CHARACTER).unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    /// Its looks.
    #[must_use]
    pub const fn style(self) -> Style {
        Style {
            foreground: Color::new((self.0 >> FOREGROUND) as u8),
            background: Color::new((self.0 >> BACKGROUND) as u8),
            bold: self.0 & BOLD != 0,
            underlined: self.0 & UNDERLINED != 0,
            inverse: self.0 & INVERSE != 0,
        }
    }

    /// The cell with its colours exchanged: how the cursor shows.
    pub(crate) const fn inverted(self) -> Self {
        Self(self.0 ^ INVERSE)
    }
}

impl Default for Cell {
    fn default() -> Self {
        Self::BLANK
    }
}
