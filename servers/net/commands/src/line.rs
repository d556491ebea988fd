//! What `curl` speaks HTTP over: a connection as it is, or TLS on it.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};

use net_client::{Network, TcpStream};
use tls::{Client, TlsError, TlsStream, Trust};

use crate::url::{Scheme, Url};
use crate::{Failed, Words};

/// Whom a command trusts to be the host that was asked for.
#[derive(Debug)]
pub struct Trusted {
    trust: Trust,
    is_insecure: bool,
}

impl Trusted {
    /// As its options say.
    pub fn new(words: &Words) -> Result<Self, Failed> {
        let is_insecure = words.has("insecure");
        let trust = match words.value("cacert") {
            Some(_) if is_insecure => {
                let why = "--cacert and --insecure exclude each other";
                return Err(Failed::Because(why.into()));
            }
            Some(text) => Trust::pem(text.as_bytes())
                .map_err(|bad| Failed::Because(format!("what was pasted: {bad}")))?,
            None if is_insecure => Trust::anybody(),
            None => Trust::public_roots(),
        };
        Ok(Self { trust, is_insecure })
    }

    /// Whether anybody is.
    pub const fn is_insecure(&self) -> bool {
        self.is_insecure
    }
}

/// A connection. Errors are in words.
#[derive(Debug)]
pub enum Line {
    Plain(TcpStream),
    Secure(Box<TlsStream<TcpStream>>),
}

impl Line {
    /// To a page's host.
    pub async fn connect(url: &Url, network: &Network, trusted: &Trusted) -> Result<Self, String> {
        let stream = network
            .connect_to(&url.host, url.port)
            .await
            .map_err(|error| error.to_string())?;
        if url.scheme == Scheme::Http {
            return Ok(Self::Plain(stream));
        }
        let client = Client::<tls::Native>::new(&trusted.trust).map_err(in_words)?;
        let secure = client.connect(stream, &url.host).await.map_err(in_words)?;
        Ok(Self::Secure(Box::new(secure)))
    }

    /// See [`TcpStream::read`] and [`TlsStream::read`].
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, String> {
        match self {
            Self::Plain(stream) => stream.read(buffer).await.map_err(|error| error.to_string()),
            Self::Secure(stream) => stream.read(buffer).await.map_err(in_words),
        }
    }

    /// Writes all of it.
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), String> {
        match self {
            Self::Plain(stream) => stream
                .write_all(bytes)
                .await
                .map_err(|error| error.to_string()),
            Self::Secure(stream) => stream.write_all(bytes).await.map_err(in_words),
        }
    }
}

/// An error with what can be done about it.
fn in_words(error: TlsError) -> String {
    if error.is_about_trust() {
        format!("{error} (--cacert - trusts a root of yours, --insecure anybody)")
    } else {
        error.to_string()
    }
}
