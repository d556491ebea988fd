//! The keyboard layouts to choose from.

use pc_keyboard::layouts::{
    AnyLayout, Azerty, Colemak, De105Key, Dvorak104Key, FiSe105Key, Jis109Key, No105Key, Uk105Key,
    Us104Key,
};

/// A keyboard layout, by the word that selects it (`keymap=de` on the kernel command line).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keymap {
    /// `us`: English, United States, 104 keys.
    #[default]
    Us,
    /// `uk`: English, United Kingdom, 105 keys.
    Uk,
    /// `de`: German.
    De,
    /// `fr`: French, AZERTY.
    Fr,
    /// `fi`: Finnish and Swedish.
    Fi,
    /// `no`: Norwegian.
    No,
    /// `jp`: Japanese, 109 keys, Latin letters only.
    Jp,
    /// `dvorak`: English, Dvorak.
    Dvorak,
    /// `colemak`: English, Colemak.
    Colemak,
}

impl Keymap {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Us,
        Self::Uk,
        Self::De,
        Self::Fr,
        Self::Fi,
        Self::No,
        Self::Jp,
        Self::Dvorak,
        Self::Colemak,
    ];

    /// The words of [`Keymap::ALL`], for messages.
    pub const WORDS: &'static str = "us, uk, de, fr, fi, no, jp, dvorak, colemak";

    /// The word that selects this layout.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::Uk => "uk",
            Self::De => "de",
            Self::Fr => "fr",
            Self::Fi => "fi",
            Self::No => "no",
            Self::Jp => "jp",
            Self::Dvorak => "dvorak",
            Self::Colemak => "colemak",
        }
    }

    /// The layout that `word` selects.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|keymap| keymap.word() == word)
    }

    /// As a bit, for a notification: how the kernel tells the input server what the command line says.
    #[must_use]
    pub const fn bit(self) -> u64 {
        1 << self as u32
    }

    /// The layout of the first bit that is set.
    #[must_use]
    pub fn from_bits(bits: u64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|keymap| bits & keymap.bit() != 0)
    }

    pub(crate) const fn layout(self) -> AnyLayout {
        match self {
            Self::Us => AnyLayout::Us104Key(Us104Key),
            Self::Uk => AnyLayout::Uk105Key(Uk105Key),
            Self::De => AnyLayout::De105Key(De105Key),
            Self::Fr => AnyLayout::Azerty(Azerty),
            Self::Fi => AnyLayout::FiSe105Key(FiSe105Key),
            Self::No => AnyLayout::No105Key(No105Key),
            Self::Jp => AnyLayout::Jis109Key(Jis109Key),
            Self::Dvorak => AnyLayout::Dvorak104Key(Dvorak104Key),
            Self::Colemak => AnyLayout::Colemak(Colemak),
        }
    }
}
