//! Splitting a line into words.

/// One word of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// What stands before the first `=`, or the whole word.
    pub key: &'a str,
    /// What stands after the first `=`, without enclosing quotes; `None` without a `=`.
    pub value: Option<&'a str>,
    /// Whether its quotes were in order.
    pub quoting: Quoting,
}

/// Whether a word's quotes were in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoting {
    /// Yes, or it has none.
    Fine,
    /// The closing quote is missing: the word reaches to the end of the line.
    Unclosed,
    /// Something follows the closing quote directly; it is read as a word of its own.
    Followed,
}

/// Iterator over the words of a line. Quotes count at the start of a word and directly after its first `=`; elsewhere
/// they are ordinary characters. Every control character separates like a space.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { rest: line }
    }
}

fn is_separator(c: char) -> bool {
    c == ' ' || c.is_control()
}

// Splits at a quoted text that `text` (after its opening quote) begins with: what is inside, what follows.
fn quoted(text: &str) -> (&str, &str, Quoting) {
    match text.split_once('"') {
        None => (text, "", Quoting::Unclosed),
        Some((inside, after)) if after.is_empty() || after.starts_with(is_separator) => {
            (inside, after, Quoting::Fine)
        }
        Some((inside, after)) => (inside, after, Quoting::Followed),
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let line = self.rest.trim_start_matches(is_separator);
        if line.is_empty() {
            self.rest = "";
            return None;
        }
        if let Some(inside) = line.strip_prefix('"') {
            let (word, after, quoting) = quoted(inside);
            self.rest = after;
            return Some(match word.split_once('=') {
                Some((key, value)) => Word {
                    key,
                    value: Some(value),
                    quoting,
                },
                None => Word {
                    key: word,
                    value: None,
                    quoting,
                },
            });
        }
        let end = line.find(is_separator).unwrap_or(line.len());
        let (word, after) = line.split_at_checked(end).unwrap_or((line, ""));
        if let Some((key, value)) = word.split_once('=') {
            // The quoted value may hold spaces, so it is looked for in the whole line.
            if let Some(inside) = line
                .get(key.len() + 1..)
                .and_then(|value| value.strip_prefix('"'))
            {
                let (value, after, quoting) = quoted(inside);
                self.rest = after;
                return Some(Word {
                    key,
                    value: Some(value),
                    quoting,
                });
            }
            self.rest = after;
            return Some(Word {
                key,
                value: Some(value),
                quoting: Quoting::Fine,
            });
        }
        self.rest = after;
        Some(Word {
            key: word,
            value: None,
            quoting: Quoting::Fine,
        })
    }
}
