//! A string of at most `N` bytes, `Copy`, buildable in a `const`, written through [`core::fmt::Write`].
//!
//! Writing never fails: what does not fit is cut at a character boundary and flagged.

use core::fmt;

/// A string of at most `N` bytes of UTF-8.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FixedText<const N: usize> {
    bytes: [u8; N],
    len: usize,
    truncated: bool,
}

impl<const N: usize> FixedText<N> {
    /// An empty string.
    pub const fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
            truncated: false,
        }
    }

    /// Formats `arguments` into a new string.
    pub fn format(arguments: fmt::Arguments<'_>) -> Self {
        let mut text = Self::new();
        // A `Display` that fails leaves what it wrote so far: nothing better can be shown.
        let _ = fmt::Write::write_fmt(&mut text, arguments);
        text
    }

    /// Appends as much of `text` as fits; the rest is dropped and [`Self::is_truncated`] becomes true.
    /// Once truncated, nothing more is appended, so the text is always a prefix of what was written.
    pub fn push_str(&mut self, text: &str) {
        if self.truncated {
            return;
        }
        let fitting = floor_char_boundary(text, N - self.len);
        if let (Some(to), Some(from)) = (
            self.bytes.get_mut(self.len..self.len + fitting),
            text.as_bytes().get(..fitting),
        ) {
            to.copy_from_slice(from);
            self.len += fitting;
        }
        self.truncated = fitting < text.len();
    }

    /// The string.
    pub fn as_str(&self) -> &str {
        // Only whole characters are ever stored, so the fallback is not reached.
        core::str::from_utf8(self.bytes.get(..self.len).unwrap_or(&[])).unwrap_or("")
    }

    /// Length in bytes.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether something written did not fit.
    pub const fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Empties the string.
    pub fn clear(&mut self) {
        self.len = 0;
        self.truncated = false;
    }
}

/// The longest length up to `limit` at which `text` can be cut without splitting a character.
pub fn floor_char_boundary(text: &str, limit: usize) -> usize {
    if limit >= text.len() {
        return text.len();
    }
    // A character is at most 4 bytes, so this looks back at most 3.
    (0..=limit)
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0)
}

impl<const N: usize> Default for FixedText<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> fmt::Write for FixedText<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

impl<const N: usize> fmt::Display for FixedText<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for FixedText<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_at_a_character_and_stays_a_prefix() {
        let mut text: FixedText<5> = FixedText::new();
        text.push_str("abä");
        text.push_str("äz");
        assert_eq!((text.as_str(), text.is_truncated()), ("abä", true));
        text.push_str("z");
        assert_eq!(text.as_str(), "abä");
    }

    #[test]
    fn formats_and_reports_what_did_not_fit() {
        let text: FixedText<4> = FixedText::format(format_args!("{}{}", 12, 345));
        assert_eq!((text.as_str(), text.is_truncated()), ("1234", true));
        let text: FixedText<5> = FixedText::format(format_args!("{}{}", 12, 345));
        assert_eq!((text.as_str(), text.is_truncated()), ("12345", false));
    }
}
