//! Short strings stored in place.

use core::fmt::{self, Write};
use core::ops::Deref;

use serde::{Deserialize, Serialize};

/// A UTF-8 string of at most `N` bytes, stored in place. What does not fit is cut off at a character
/// boundary and the text ends in `…` instead, so that a reader can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text<const N: usize> {
    bytes: heapless::String<N>,
    cut: bool,
}

/// Marks a text that was cut.
const ELLIPSIS: &str = "…";

impl<const N: usize> Text<N> {
    /// The empty text.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: heapless::String::new(),
            cut: false,
        }
    }

    /// `text`, cut at the end if it is longer than `N` bytes.
    #[must_use]
    pub fn from_start(text: &str) -> Self {
        let mut new = Self::new();
        new.push(text);
        new
    }

    /// `text`, cut at the front if it is longer than `N` bytes: for paths, whose end tells most.
    #[must_use]
    pub fn from_end(text: &str) -> Self {
        if text.len() <= N {
            return Self::from_start(text);
        }
        let mut start = text.len() - N.saturating_sub(ELLIPSIS.len());
        while !text.is_char_boundary(start) {
            start += 1;
        }
        let mut new = Self::from_start(ELLIPSIS);
        new.push(text.get(start..).unwrap_or_default());
        new
    }

    /// Formats `arguments`, cut at the end if longer than `N` bytes:
    /// `Text::format(format_args!("core {core}"))`.
    #[must_use]
    pub fn format(arguments: fmt::Arguments<'_>) -> Self {
        let mut new = Self::new();
        // Cutting is this type's answer to a full buffer, so only a `Display` of the caller's can
        // fail; its text then ends where it failed.
        let _ = new.write_fmt(arguments);
        new
    }

    /// Adds `text`, or as much of it as fits.
    pub fn push(&mut self, text: &str) {
        if self.cut || self.bytes.push_str(text).is_ok() {
            return;
        }
        self.cut = true;
        for character in text.chars() {
            if self.bytes.push(character).is_err() {
                break;
            }
        }
        while self.bytes.len() + ELLIPSIS.len() > N && self.bytes.pop().is_some() {}
        // A capacity under three bytes has no room for the mark; the text is then merely cut.
        let _ = self.bytes.push_str(ELLIPSIS);
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.bytes
    }

    /// Whether something was cut off.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.cut
    }
}

impl<const N: usize> From<&str> for Text<N> {
    fn from(text: &str) -> Self {
        Self::from_start(text)
    }
}

impl<const N: usize> Deref for Text<N> {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<const N: usize> Write for Text<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_fits_is_kept() {
        let text = Text::<5>::from("äbcd");
        assert_eq!(text.as_str(), "äbcd");
        assert!(!text.is_cut());
    }

    #[test]
    fn a_long_text_is_cut_at_a_character_and_says_so() {
        let text = Text::<6>::from("abääää");
        assert_eq!(text.as_str(), "ab…");
        assert!(text.is_cut());
        assert_eq!(Text::<6>::from("abcdefgh").as_str(), "abc…");
    }

    #[test]
    fn a_cut_text_takes_nothing_more() {
        let mut text = Text::<4>::from("abcdef");
        text.push("x");
        assert_eq!(text.as_str(), "a…");
    }

    #[test]
    fn a_path_keeps_its_end() {
        assert_eq!(
            Text::<9>::from_end("kernel/src/main.rs").as_str(),
            "…ain.rs"
        );
        assert_eq!(
            Text::<32>::from_end("kernel/src/main.rs").as_str(),
            "kernel/src/main.rs"
        );
        assert_eq!(Text::<8>::from_end("ääääääää").as_str(), "…ää");
    }

    #[test]
    fn tiny_capacities_do_no_harm() {
        assert_eq!(Text::<0>::from("ab").as_str(), "");
        assert_eq!(Text::<2>::from("abc").as_str(), "");
        assert_eq!(Text::<3>::from("abcd").as_str(), "…");
    }

    #[test]
    fn formatting_pads_like_a_string() {
        let text = Text::<8>::format(format_args!("core {}", 3));
        assert_eq!(
            Text::<16>::format(format_args!("[{text:<8}]")).as_str(),
            "[core 3  ]"
        );
    }
}
