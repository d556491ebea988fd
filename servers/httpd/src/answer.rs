//! Which address gives what.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::figures::Figures;
use crate::request::{Method, Refused, Request};
use crate::{json, metrics};

/// The page: its script asks for `/status.json` every second, and nothing comes from elsewhere.
const PAGE: &str = include_str!("page.html");

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// What a person sees.
    Status,
    /// What it is made of.
    Json,
    /// The same for Prometheus.
    Metrics,
}

impl Page {
    /// The page of an address.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        match path {
            "/" | "/index.html" => Some(Self::Status),
            "/status.json" => Some(Self::Json),
            "/metrics" => Some(Self::Metrics),
            _ => None,
        }
    }
}

fn whole(status: (u16, &str), kind: &str, body: &str, request: Option<&Request>) -> Vec<u8> {
    let kind = format!("{kind}; charset=utf-8");
    bytes(status, &kind, body.as_bytes(), request)
}

fn bytes(status: (u16, &str), kind: &str, body: &[u8], request: Option<&Request>) -> Vec<u8> {
    let keep_alive = request.is_some_and(|request| request.keep_alive);
    let head = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: {}\r\n\r\n",
        status.0,
        status.1,
        body.len(),
        if keep_alive { "keep-alive" } else { "close" }
    );
    let mut bytes = head.into_bytes();
    if !request.is_some_and(|request| request.method == Method::Head) {
        bytes.extend_from_slice(body);
    }
    bytes
}

/// Whether what the cores do after the request is wanted, for Perfetto; then it is answered by [`trace`], not by [`page`].
#[must_use]
pub fn is_for_trace(request: &Request) -> bool {
    request.path == "/trace.pftrace"
}

/// For how long a trace is recorded, in milliseconds, unless `ms=` says otherwise; and the longest.
const TRACE_MS: u64 = 500;
const LONGEST_TRACE_MS: u64 = 5000;

/// How long a trace the request wants; `None` if that makes no sense.
#[must_use]
pub fn trace_length(request: &Request) -> Option<Duration> {
    let wanted = request
        .query
        .split('&')
        .find_map(|word| word.strip_prefix("ms="));
    let milliseconds = wanted.map_or(Some(TRACE_MS), |text| text.parse().ok())?;
    (1..=LONGEST_TRACE_MS)
        .contains(&milliseconds)
        .then(|| Duration::from_millis(milliseconds))
}

/// The answer that holds a trace, or says why there is none.
#[must_use]
pub fn trace(request: &Request, trace: Result<&[u8], NoTrace>) -> Vec<u8> {
    match trace {
        Ok(trace) => bytes(
            (200, "OK"),
            "application/octet-stream",
            trace,
            Some(request),
        ),
        Err(why) => {
            let (status, text) = why.answer();
            whole(status, "text/plain", text, Some(request))
        }
    }
}

/// Why there is no trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTrace {
    /// The time asked for makes no sense.
    BadLength,
    /// Somebody else's is being recorded.
    Busy,
    /// There is no memory for the records.
    NoMemory,
}

impl NoTrace {
    const fn answer(self) -> ((u16, &'static str), &'static str) {
        match self {
            Self::BadLength => (
                (400, "Bad Request"),
                "ms= takes a number of milliseconds from 1 to 5000\n",
            ),
            Self::Busy => (
                (503, "Service Unavailable"),
                "a trace is being recorded for somebody else: ask again when it is over\n",
            ),
            Self::NoMemory => (
                (503, "Service Unavailable"),
                "there is no memory for a trace\n",
            ),
        }
    }
}

/// The answer to a request; `figures` is called if it takes some.
pub fn page(request: &Request, figures: Option<&Figures>) -> Vec<u8> {
    let none = Figures::default();
    let figures = figures.unwrap_or(&none);
    let ok = (200, "OK");
    match Page::of(&request.path) {
        Some(Page::Status) => whole(ok, "text/html", PAGE, Some(request)),
        Some(Page::Json) => whole(
            ok,
            "application/json",
            &json::status(figures),
            Some(request),
        ),
        Some(Page::Metrics) => {
            let text: String = metrics::text(figures);
            whole(ok, "text/plain; version=0.0.4", &text, Some(request))
        }
        None => whole(
            (404, "Not Found"),
            "text/plain",
            "there is no such page: / /status.json /metrics /trace.pftrace\n",
            Some(request),
        ),
    }
}

/// The answer to what is no request for a page.
#[must_use]
pub fn refusal(refused: Refused) -> Vec<u8> {
    let status = refused.status();
    whole(status, "text/plain", &format!("{}\n", status.1), None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::parse;

    fn answer(path: &str, method: &str) -> String {
        let text = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let request = parse(text.as_bytes()).expect("good").expect("whole");
        String::from_utf8(page(&request, None)).expect("text")
    }

    fn length_of(query: &str) -> Option<Duration> {
        let text = format!("GET /trace.pftrace{query} HTTP/1.1\r\nHost: x\r\n\r\n");
        let request = parse(text.as_bytes()).expect("good").expect("whole");
        assert!(is_for_trace(&request));
        trace_length(&request)
    }

    #[test]
    fn addresses_have_pages() {
        for (path, begin, kind) in [
            ("/", "<!doctype html>", "text/html"),
            ("/status.json", "{\"version\"", "application/json"),
            ("/metrics", "# HELP", "text/plain; version=0.0.4"),
        ] {
            let text = answer(path, "GET");
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            assert!(
                head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains(kind),
                "{head}"
            );
            assert!(body.starts_with(begin), "{path}");
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
            let only_head = answer(path, "HEAD");
            assert!(only_head.ends_with("\r\n\r\n"));
        }
        for (query, length) in [
            ("", Some(500)),
            ("?ms=20", Some(20)),
            ("?a&ms=5000", Some(5000)),
        ] {
            assert_eq!(
                length_of(query),
                length.map(Duration::from_millis),
                "{query}"
            );
        }
        for query in ["?ms=0", "?ms=5001", "?ms=", "?ms=x", "?ms=-1"] {
            assert_eq!(length_of(query), None, "{query}");
        }
        assert!(answer("/x", "GET").starts_with("HTTP/1.1 404 "));
        assert!(refusal(Refused::Bad).starts_with(b"HTTP/1.1 400 Bad Request\r\n"));
        // Nothing from elsewhere.
        assert!(!PAGE.contains("http:") && !PAGE.contains("https:") && !PAGE.contains("src="));
    }
}
