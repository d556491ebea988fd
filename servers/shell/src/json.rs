//! JSON (RFC 8259), written piece by piece.

use core::fmt::{self, Write};

/// A JSON object being written. Keys are the caller's own words and need no escapes.
pub struct Object<'w, W: Write> {
    writer: &'w mut W,
    empty: bool,
    result: fmt::Result,
}

impl<'w, W: Write> Object<'w, W> {
    /// Starts an object.
    pub fn new(writer: &'w mut W) -> Self {
        let result = writer.write_char('{');
        Self {
            writer,
            empty: true,
            result,
        }
    }

    fn key(&mut self, key: &str) {
        let comma = if self.empty { "" } else { "," };
        self.empty = false;
        self.put(format_args!("{comma}\"{key}\":"));
    }

    fn put(&mut self, arguments: fmt::Arguments<'_>) {
        self.result = self.result.and_then(|()| self.writer.write_fmt(arguments));
    }

    /// A number.
    pub fn number(mut self, key: &str, value: impl Into<i128>) -> Self {
        self.key(key);
        self.put(format_args!("{}", value.into()));
        self
    }

    /// A number, or null.
    pub fn maybe_number(mut self, key: &str, value: Option<u64>) -> Self {
        self.key(key);
        match value {
            Some(value) => self.put(format_args!("{value}")),
            None => self.put(format_args!("null")),
        }
        self
    }

    /// A string.
    pub fn string(mut self, key: &str, value: &str) -> Self {
        self.key(key);
        self.put(format_args!("{}", Quoted(value)));
        self
    }

    /// A string made of anything that displays; its text must need no escapes.
    pub fn plain(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.key(key);
        self.put(format_args!("\"{value}\""));
        self
    }

    /// True or false.
    pub fn boolean(mut self, key: &str, value: bool) -> Self {
        self.key(key);
        self.put(format_args!("{value}"));
        self
    }

    /// Null.
    pub fn null(mut self, key: &str) -> Self {
        self.key(key);
        self.put(format_args!("null"));
        self
    }

    /// An array of numbers.
    pub fn numbers<T: Into<i128>>(self, key: &str, values: impl Iterator<Item = T>) -> Self {
        self.array(key, values, |writer, value| {
            write!(writer, "{}", value.into())
        })
    }

    /// An array; `write` writes one element.
    pub fn array<T>(
        mut self,
        key: &str,
        values: impl Iterator<Item = T>,
        mut write: impl FnMut(&mut W, T) -> fmt::Result,
    ) -> Self {
        self.key(key);
        self.put(format_args!("["));
        for (index, value) in values.enumerate() {
            if index > 0 {
                self.put(format_args!(","));
            }
            self.result = self.result.and_then(|()| write(self.writer, value));
        }
        self.put(format_args!("]"));
        self
    }

    /// An object inside; `write` fills it.
    pub fn object(mut self, key: &str, write: impl FnOnce(Object<'_, W>) -> fmt::Result) -> Self {
        self.key(key);
        if self.result.is_ok() {
            self.result = write(Object::new(self.writer));
        }
        self
    }

    /// Ends the object.
    ///
    /// # Errors
    /// If the writer failed anywhere in it.
    pub fn end(mut self) -> fmt::Result {
        self.put(format_args!("}}"));
        self.result
    }
}

/// A text as a JSON string, with its quotes.
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                // DEL and the C1 controls need no escape in JSON but upset terminals.
                other if other.is_control() => write!(f, "\\u{:04x}", u32::from(other))?,
                other => f.write_char(other)?,
            }
        }
        f.write_char('"')
    }
}
