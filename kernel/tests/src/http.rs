//! What this host asks of the machine over HTTP, and waiting for what comes by itself.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

/// For something to happen on a busy host.
pub const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits until `look` finds something.
pub fn wait<T>(
    what: &str,
    mut look: impl FnMut() -> Result<Option<T>, Box<dyn Error>>,
) -> Result<T, Box<dyn Error>> {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() > end {
            return Err(format!("there is no {what} within {} s", LIMIT.as_secs()).into());
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Asks for a page: all at once, as it may be the last thing that is said.
pub fn ask(stream: &mut TcpStream, path: &str, connection: &str) -> std::io::Result<()> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: raede\r\nConnection: {connection}\r\n\r\n");
    stream.write_all(request.as_bytes())
}

/// Fetches a page from the machine: its head and its body.
pub fn get(
    at: impl ToSocketAddrs,
    path: &str,
    limit: Duration,
) -> Result<(String, String), Box<dyn Error>> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(limit))?;
    ask(&mut stream, path, "close")?;
    whole(stream, path)
}

/// The answer that ends a connection.
pub fn whole(stream: TcpStream, path: &str) -> Result<(String, String), Box<dyn Error>> {
    let (head, body) = whole_bytes(stream, path)?;
    Ok((head, String::from_utf8(body)?))
}

/// [`whole`], with a body that need not be text.
pub fn whole_bytes(mut stream: TcpStream, path: &str) -> Result<(String, Vec<u8>), Box<dyn Error>> {
    const END: &[u8] = b"\r\n\r\n";
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(END.len()).position(|bytes| bytes == END);
    let end = end.ok_or_else(|| {
        format!(
            "{path}: no answer but {:?}",
            String::from_utf8_lossy(&answer)
        )
    })?;
    let body = answer.split_off(end + END.len());
    answer.truncate(end);
    let head = String::from_utf8(answer)?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .and_then(|length| length.parse::<usize>().ok());
    if length != Some(body.len()) {
        return Err(format!("{path}: {} bytes came of {length:?}", body.len()).into());
    }
    Ok((head, body))
}
