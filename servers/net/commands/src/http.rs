//! What a client knows of HTTP/1.1 (RFC 9112): the head of an answer, and where its body ends.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Longest head of an answer.
pub const MAX_HEAD_BYTES: usize = 16 << 10;
/// Most of its lines.
const MAX_HEADERS: usize = 64;

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// It comes in pieces that say how long they are.
    Chunked,
    /// With the connection.
    Close,
}

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// 200 if all is well.
    pub status: u16,
    /// What that means, as the server says.
    pub reason: String,
    /// Where its body ends.
    pub framing: Framing,
    /// Where it was moved, if it was.
    pub location: Option<String>,
    /// How many bytes it takes itself.
    pub bytes: usize,
}

/// Reads the head of an answer; `None` if it has not come as a whole yet.
///
/// # Errors
/// What is wrong with it.
pub fn head(bytes: &[u8]) -> Result<Option<Head>, String> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD_BYTES => return Ok(None),
        Ok(httparse::Status::Partial) => {
            return Err(format!(
                "the answer's head is longer than {MAX_HEAD_BYTES} bytes"
            ));
        }
        Err(error) => return Err(format!("the answer is no HTTP: {error}")),
    };
    let status = response.code.unwrap_or(0);
    let value = |name: &str| {
        let found = response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))?;
        core::str::from_utf8(found.value).ok().map(str::trim)
    };
    let has_none = status / 100 == 1 || status == 204 || status == 304;
    let framing = match (value("transfer-encoding"), value("content-length")) {
        _ if has_none => Framing::Length(0),
        (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => Framing::Chunked,
        (Some(coding), _) => return Err(format!("the answer is coded as {coding:?}")),
        (None, Some(length)) => Framing::Length(
            length
                .parse()
                .map_err(|_| format!("the answer's length is {length:?}"))?,
        ),
        (None, None) => Framing::Close,
    };
    Ok(Some(Head {
        status,
        reason: response.reason.unwrap_or_default().into(),
        framing,
        location: value("location").map(String::from),
        bytes: len,
    }))
}

/// Takes a body out of what comes.
#[derive(Debug)]
pub struct Body {
    framing: Framing,
    /// Bytes of the body, or of the piece, that are still to come.
    left: u64,
    /// What came of the line that begins a piece, or of what is behind the last one.
    line: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Data,
    /// In the line that says how long the next piece is.
    Size,
    /// In the end of line behind a piece.
    Behind,
    /// In the lines behind the last piece.
    Trailer,
    Done,
}

/// Longest line between pieces.
const MAX_LINE_BYTES: usize = 1024;

impl Body {
    /// A body that ends like this.
    #[must_use]
    pub const fn new(framing: Framing) -> Self {
        let (left, state) = match framing {
            Framing::Length(0) => (0, State::Done),
            Framing::Length(length) => (length, State::Data),
            Framing::Chunked => (0, State::Size),
            Framing::Close => (u64::MAX, State::Data),
        };
        Self {
            framing,
            left,
            line: Vec::new(),
            state,
        }
    }

    /// Whether it has come as a whole.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether it may end here, with the connection.
    #[must_use]
    pub fn may_end(&self) -> bool {
        self.is_done() || self.framing == Framing::Close
    }

    /// Takes bytes that came; `take` is called with those of the body.
    ///
    /// # Errors
    /// What is wrong with the pieces.
    pub fn feed(&mut self, mut bytes: &[u8], mut take: impl FnMut(&[u8])) -> Result<(), String> {
        while !bytes.is_empty() && self.state != State::Done {
            if self.state == State::Data {
                let count = usize::try_from(self.left).unwrap_or(usize::MAX);
                let (piece, rest) = bytes.split_at(count.min(bytes.len()));
                take(piece);
                bytes = rest;
                if self.framing != Framing::Close {
                    self.left -= piece.len() as u64;
                }
                if self.left == 0 {
                    self.state = match self.framing {
                        Framing::Chunked => State::Behind,
                        _ => State::Done,
                    };
                }
                continue;
            }
            let Some((&byte, rest)) = bytes.split_first() else {
                return Ok(());
            };
            bytes = rest;
            if byte != b'\n' {
                if self.line.len() >= MAX_LINE_BYTES {
                    return Err("a line between the answer's pieces is too long".into());
                }
                self.line.push(byte);
                continue;
            }
            let line = core::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            self.state = match self.state {
                State::Size => {
                    self.left = size(line)?;
                    if self.left == 0 {
                        State::Trailer
                    } else {
                        State::Data
                    }
                }
                State::Behind if line.is_empty() => State::Size,
                State::Behind => return Err("a piece of the answer is longer than it says".into()),
                State::Trailer if line.is_empty() => State::Done,
                other => other,
            };
        }
        Ok(())
    }
}

fn size(line: &[u8]) -> Result<u64, String> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
    let text = core::str::from_utf8(digits).unwrap_or_default().trim();
    match u64::from_str_radix(text, 16) {
        Ok(size) if !text.starts_with('+') => Ok(size),
        _ => Err(format!("a piece of the answer has the length {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fed(framing: Framing, pieces: &[&[u8]]) -> Result<(Vec<u8>, bool), String> {
        let mut body = Body::new(framing);
        let mut all = Vec::new();
        for piece in pieces {
            body.feed(piece, |bytes| all.extend_from_slice(bytes))?;
        }
        Ok((all, body.is_done()))
    }

    #[test]
    fn heads() {
        let whole = b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 5\r\n\r\nhello";
        let found = head(whole).expect("good").expect("whole");
        assert_eq!((found.status, found.framing), (302, Framing::Length(5)));
        assert_eq!((&*found.reason, found.bytes), ("Found", whole.len() - 5));
        assert_eq!(found.location.as_deref(), Some("/x"));
        assert_eq!(head(b"HTTP/1.1 200"), Ok(None));
        assert!(head(b"SSH-2.0").is_err());
        assert!(head(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n").is_err());
    }

    #[test]
    fn pieces() {
        let text: &[u8] = b"4\r\nabcd\r\n3;x=y\r\nefg\r\n0\r\nA: b\r\n\r\nrest";
        assert_eq!(
            fed(Framing::Chunked, &[text]),
            Ok((b"abcdefg".to_vec(), true))
        );
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(
            fed(Framing::Chunked, &single),
            Ok((b"abcdefg".to_vec(), true))
        );
        assert!(fed(Framing::Chunked, &[b"x\r\n"]).is_err());
        assert!(fed(Framing::Chunked, &[b"1\r\nab\r\n"]).is_err());
        assert_eq!(
            fed(Framing::Length(3), &[b"ab", b"cd"]),
            Ok((b"abc".to_vec(), true))
        );
        assert_eq!(
            fed(Framing::Close, &[b"ab", b"cd"]),
            Ok((b"abcd".to_vec(), false))
        );
    }

    proptest! {
        #[test]
        fn nonsense_does_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = head(&bytes);
            let _ = fed(Framing::Chunked, &[&bytes]);
        }
    }
}
