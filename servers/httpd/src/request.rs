//! The head of a request.

use alloc::string::String;

/// Longest head.
pub const MAX_HEAD_BYTES: usize = 8192;
/// Most of its lines.
const MAX_HEADERS: usize = 64;

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The page.
    Get,
    /// What the page's head would be.
    Head,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is wanted.
    pub method: Method,
    /// Of which address, without what follows a `?`.
    pub path: String,
    /// What follows it.
    pub query: String,
    /// Whether the connection stays for another one.
    pub keep_alive: bool,
    /// How many bytes the head takes.
    pub bytes: usize,
}

/// Why a request is not answered with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is no HTTP, or of another version.
    Bad,
    /// Its head is too long.
    TooLong,
    /// Pages can be fetched, and nothing else.
    Method,
    /// It has a body, which no page takes.
    Body,
}

impl Refused {
    /// Status and reason (RFC 9110 §15.5).
    #[must_use]
    pub const fn status(self) -> (u16, &'static str) {
        match self {
            Self::Bad => (400, "Bad Request"),
            Self::TooLong => (431, "Request Header Fields Too Large"),
            Self::Method => (405, "Method Not Allowed"),
            Self::Body => (413, "Content Too Large"),
        }
    }
}

/// Reads the head of a request; `None` if it has not come as a whole yet.
///
/// # Errors
/// [`Refused`]: the connection is of no more use.
pub fn parse(bytes: &[u8]) -> Result<Option<Request>, Refused> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let len = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD_BYTES => return Ok(None),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Err(Refused::TooLong);
        }
        Err(_) => return Err(Refused::Bad),
    };
    let method = match request.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        _ => return Err(Refused::Method),
    };
    let (mut keep_alive, mut hosts) = (request.version == Some(1), 0);
    for header in request.headers.iter() {
        let value = core::str::from_utf8(header.value)
            .unwrap_or_default()
            .trim();
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("connection") {
            for word in value.split(',') {
                match word.trim() {
                    word if word.eq_ignore_ascii_case("close") => keep_alive = false,
                    word if word.eq_ignore_ascii_case("keep-alive") => keep_alive = true,
                    _ => {}
                }
            }
        } else if is("transfer-encoding") || is("content-length") && value != "0" {
            return Err(Refused::Body);
        } else if is("host") {
            hosts += 1;
        }
    }
    // One host, and from version 1.1 on one at least (RFC 9112 §3.2).
    if hosts > 1 || hosts == 0 && request.version == Some(1) {
        return Err(Refused::Bad);
    }
    let path = request.path.unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if !path.starts_with('/') {
        return Err(Refused::Bad);
    }
    Ok(Some(Request {
        method,
        path: path.into(),
        query: query.into(),
        keep_alive,
        bytes: len,
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests() {
        let text = b"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\nGET";
        let request = parse(text).expect("good").expect("whole");
        assert_eq!((&*request.path, request.keep_alive), ("/a", true));
        assert_eq!(request.bytes, text.len() - 3);
        let close = parse(b"HEAD / HTTP/1.1\r\nhost: x\r\nConnection: Close\r\n\r\n");
        let close = close.expect("good").expect("whole");
        assert_eq!((close.method, close.keep_alive), (Method::Head, false));
        let old = parse(b"GET / HTTP/1.0\r\n\r\n")
            .expect("good")
            .expect("whole");
        assert!(!old.keep_alive);
        assert_eq!(parse(b"GET / HT"), Ok(None));
        for (text, refused) in [
            (&b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"[..], Refused::Method),
            (b"GET / HTTP/1.1\r\n\r\n", Refused::Bad),
            (
                b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
                Refused::Bad,
            ),
            (b"GET a HTTP/1.1\r\nHost: x\r\n\r\n", Refused::Bad),
            (b"\x16\x03\x01\x02\x00\x01", Refused::Bad),
            (
                b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n",
                Refused::Body,
            ),
            (&[b'A'; MAX_HEAD_BYTES], Refused::TooLong),
        ] {
            assert_eq!(parse(text), Err(refused));
        }
    }

    proptest! {
        #[test]
        fn nonsense_does_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
