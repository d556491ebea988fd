//! TLS 1.3 for programs (RFC 8446), as a client: a stream of bytes that only the host that was named can read or have written.
//!
//! ```ignore
//! let client = Client::<Native>::new(&Trust::public_roots())?;
//! let mut stream = client.connect(tcp, "example.org").await?;
//! stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
//! let count = stream.read(&mut buffer).await?;
//! ```
//!
//! * [`Client`]: what is trusted, for any number of connections. [`TlsStream`]: one, over anything that reads and writes.
//! * [`Trust`]: whose certificates are believed: the roots that browsers carry, others as PEM, or, on purpose, anybody's.
//! * [`TlsError`]: why not, in words that say what to do.
//! * [`Surroundings`]: random bytes and the time of day; [`Native`]: those of the system, for programs.
//!
//! # What checks what
//! The protocol is rustls's, which was written and reviewed to face hostile peers: its record layer, handshake and certificate paths (names,
//! validity, constraints; no revocation) are used as they are. The ciphers behind it ([`provider`]) are RustCrypto's: rustls brings none that
//! does without the standard library.
//!
//! # Memory
//! A connection holds at most [`MOST_INCOMING_BYTES`] of what has come and one record of what goes out, besides what rustls keeps of the
//! handshake; nothing grows with what is transferred.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod client;
mod error;
mod provider;
mod stream;
mod trust;

pub use client::{Client, Native, NoRandomness, Surroundings};
pub use error::TlsError;
pub use stream::{MOST_INCOMING_BYTES, TlsStream};
pub use trust::{BadPem, Trust};
