//! The other side of `programs/peer`: bytes both ways, of which it is known what they should be.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::http::{LIMIT, whole};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Its port for bytes.
pub const BULK_PORT: u16 = 8000;

/// The bytes that `programs/peer` sends.
pub fn content(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
    });
    words.flatten().take(len).collect()
}

/// Their SHA-256.
pub fn digits(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A connection that gives up one day.
pub fn connect(at: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    Ok(stream)
}

/// Has the machine send so many bytes; how long that took. `begun` is called when some have come.
pub fn download(at: SocketAddr, len: usize, begun: impl FnOnce()) -> Outcome<Duration> {
    let start = Instant::now();
    let mut stream = connect(at)?;
    write!(stream, "GET /{len} HTTP/1.1\r\n\r\n")?;
    let mut first = [0; 4096];
    let count = stream.read(&mut first)?;
    begun();
    let mut all = first[..count].to_vec();
    stream.read_to_end(&mut all)?;
    let took = start.elapsed();
    let head = all.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let body = &all[head.ok_or("there is no head")? + 4..];
    if body.len() != len || digits(body) != digits(&content(len)) {
        return Err(format!("{} bytes of {len} came, or others", body.len()).into());
    }
    Ok(took)
}

/// Has the machine take so many bytes; how long that took.
pub fn upload(at: SocketAddr, len: usize) -> Outcome<Duration> {
    let body = content(len);
    let start = Instant::now();
    let mut stream = connect(at)?;
    write!(stream, "PUT /{len} HTTP/1.1\r\n\r\n")?;
    stream.write_all(&body)?;
    let (_, answer) = whole(stream, "upload")?;
    let took = start.elapsed();
    if answer.trim() != digits(&body) {
        return Err(format!("what came is {answer}, and should be {}", digits(&body)).into());
    }
    Ok(took)
}

/// Errors that can come out of a thread.
pub fn text<T>(result: Outcome<T>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}
