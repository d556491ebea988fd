//! Addresses of pages (RFC 3986), as far as `curl` needs them.

use alloc::format;
use alloc::string::String;

/// How one speaks to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP as it is.
    Http,
    /// HTTP inside TLS.
    Https,
}

impl Scheme {
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port if none is said.
    const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// An address: where, and what there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// How one speaks there.
    pub scheme: Scheme,
    /// The host's name or address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What follows, from `/` on.
    pub path: String,
}

impl Url {
    /// What a request calls the host.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.port == self.scheme.port() {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// Where a page was moved to that was here.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn moved(&self, location: &str) -> Result<Self, String> {
        if location.starts_with('/') {
            let scheme = self.scheme.name();
            return if location.starts_with("//") {
                Self::parse(&format!("{scheme}:{location}"))
            } else {
                Self::parse(&format!("{scheme}://{}{location}", self.authority()))
            };
        }
        let to = Self::parse(location)?;
        if (self.scheme, to.scheme) == (Scheme::Https, Scheme::Http) {
            return Err(format!(
                "sent to {location:?}, where everybody on the way can read along: ask for that by itself if it will do"
            ));
        }
        Ok(to)
    }

    /// Reads one; `http://` may be left out.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = |what: &str| format!("bad URL {text:?}: {what}");
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("https", rest)) => (Scheme::Https, rest),
            Some((scheme, _)) => {
                return Err(bad(&format!(
                    "{scheme} is not known here; use http or https"
                )));
            }
            None => (Scheme::Http, text),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let path = path.split('#').next().unwrap_or_default();
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad(
                "the path holds spaces or other characters that must be written as %XX",
            ));
        }
        if authority.contains('@') {
            return Err(bad("names and passwords are not sent"));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest
                    .split_once(']')
                    .ok_or_else(|| bad("the address's ] is missing"))?;
                match rest.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if rest.is_empty() => (host, None),
                    None => return Err(bad("what follows ] is no port")),
                }
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() {
            return Err(bad("the host is missing"));
        }
        let port = match port {
            None => scheme.port(),
            Some(port) => match port.parse() {
                Ok(port) if port > 0 => port,
                _ => return Err(bad("the port must be 1 to 65535")),
            },
        };
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            scheme,
            host: host.into(),
            port,
            path: format!("{slash}{path}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_ones() {
        for (text, host, port, path) in [
            ("http://a.b", "a.b", 80, "/"),
            ("a.b:8080/x?y#z", "a.b", 8080, "/x?y"),
            ("http://[::1]:81?q", "::1", 81, "/?q"),
            ("http://10.0.2.2/%20", "10.0.2.2", 80, "/%20"),
        ] {
            let url = Url::parse(text).expect(text);
            assert_eq!((&*url.host, url.port, &*url.path), (host, port, path));
        }
        let url = Url::parse("http://[::1]:81").expect("one");
        assert_eq!(url.authority(), "[::1]:81");
        let url = Url::parse("https://a.b").expect("one");
        assert_eq!((url.port, &*url.authority()), (443, "a.b"));
        let url = Url::parse("https://a.b:80").expect("one");
        assert_eq!(url.authority(), "a.b:80");
    }

    #[test]
    fn moves() {
        let from = Url::parse("https://a:444/x").expect("one");
        for (location, host, port, path) in [
            ("/y", "a", 444, "/y"),
            ("//b/y", "b", 443, "/y"),
            ("https://c/", "c", 443, "/"),
        ] {
            let to = from.moved(location).expect(location);
            assert_eq!(to.scheme, Scheme::Https);
            assert_eq!((&*to.host, to.port, &*to.path), (host, port, path));
        }
        let refused = from.moved("http://a/").expect_err("less than asked for");
        assert!(refused.contains("read along"), "{refused}");
        let from = Url::parse("http://a/x").expect("one");
        assert_eq!(from.moved("https://a/").map(|to| to.port), Ok(443));
    }

    #[test]
    fn bad_ones_say_what() {
        for (text, what) in [
            ("ftp://a", "ftp is not known"),
            ("http://", "the host is missing"),
            ("http://a:0", "the port must be"),
            ("http://a:99999", "the port must be"),
            ("http://[::1", "] is missing"),
            ("http://[::1]x", "no port"),
            ("http://a/b c", "spaces"),
            ("http://u:p@a", "passwords"),
        ] {
            let error = Url::parse(text).expect_err(text);
            assert!(error.contains(what), "{error}");
        }
    }
}
