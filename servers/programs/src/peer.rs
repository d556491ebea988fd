//! What other machines talk to in tests and measurements of the network, through the net server.
//!
//! * UDP port 7 sends each datagram back (RFC 862).
//! * TCP port 8000 speaks a little HTTP: `GET /N` gives N bytes, which are those of [`Content`]; `PUT /N` takes N bytes and answers with their
//!   SHA-256 in hexadecimal digits.
//!
//! Handles: `net`, `manager`. Whoever waits for more of a request than comes is served for [`PATIENCE`].
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use net_client::{NetError, Network, TcpStream, UdpSocket};
use rt::sys::object::Endpoint;
use rt::unit::Manager;
use rt::{Crowd, Either, Env, first, sleep};
use sha2::{Digest, Sha256};

rt::entry!(async main);

const ECHO_PORT: u16 = 7;
const BULK_PORT: u16 = 8000;
const BACKLOG: u16 = 256;
/// Longest head of a request.
const HEAD_BYTES: usize = 2048;
/// What is read and written at once.
const PIECE_BYTES: usize = 16 << 10;
/// A connection that is silent for so long is over.
const PATIENCE: Duration = Duration::from_secs(60);
/// Exit codes.
const CANNOT_BEGIN: i32 = 1;
const NETWORK_FAILED: i32 = 2;

async fn main(mut env: Env) -> i32 {
    let Ok(manager) = env.take::<Endpoint>("manager") else {
        log::error!("the handle manager is needed");
        return CANNOT_BEGIN;
    };
    let manager = Arc::new(Manager::new(manager));
    let network = Network::new(Arc::clone(&manager));
    match run(&manager, &network).await {
        Ok(never) => match never {},
        Err(error) => {
            log::error!("{error}");
            NETWORK_FAILED
        }
    }
}

async fn run(manager: &Manager, network: &Network) -> Result<core::convert::Infallible, NetError> {
    let mut listener = network.listen(BULK_PORT, BACKLOG).await?;
    let socket = network.bind(ECHO_PORT).await?;
    let crowd = Arc::new(Crowd::default());
    let members = Arc::clone(&crowd);
    let of_echo = network.clone();
    let spawned = [
        rt::spawn("connections", async move { members.run().await }),
        rt::spawn("echo", async move { echo(of_echo, socket).await }),
    ];
    if spawned.iter().any(Result::is_err) {
        return Err(NetError::NoMemory);
    }
    if manager.say_ready().is_err() {
        return Err(NetError::ServerGone);
    }
    loop {
        let stream = listener.accept().await?;
        // Without memory the connection is closed with its future.
        let _ = crowd.join(async move {
            let _ = serve(stream).await;
        });
    }
}

/// Sends datagrams back, by the next net server if one dies.
async fn echo(network: Network, mut socket: UdpSocket) {
    let mut buffer = [0; 2048];
    loop {
        let error = loop {
            let (len, from) = match socket.receive_from(&mut buffer).await {
                Ok(came) => came,
                Err(error) => break error,
            };
            let bytes = buffer.get(..len).unwrap_or_default();
            if let Err(error) = socket.send_to(bytes, from).await {
                break error;
            }
        };
        log::info!("echo: {error}");
        socket = loop {
            match network.bind(ECHO_PORT).await {
                Ok(socket) => break socket,
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        };
    }
}

/// What a request is for.
enum Wanted {
    Get(u64),
    Put(u64),
}

/// Reads a head; what is wanted, and where in the buffer the body begins. `None`: it is none.
fn wanted(head: &[u8]) -> Option<(Wanted, usize)> {
    let end = head.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let line = head.split(|&byte| byte == b'\r').next()?;
    let mut words = core::str::from_utf8(line).ok()?.split(' ');
    let method = words.next()?;
    let bytes = words.next()?.strip_prefix('/')?.parse().ok()?;
    match method {
        "GET" => Some((Wanted::Get(bytes), end)),
        "PUT" => Some((Wanted::Put(bytes), end)),
        _ => None,
    }
}

/// A piece of what comes, unless the other side is silent for too long.
async fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<usize, NetError> {
    match first(stream.read(buffer), sleep(PATIENCE)).await {
        Either::A(result) => result,
        Either::B(()) => Err(NetError::TimedOut),
    }
}

/// One request and its answer.
async fn serve(mut stream: TcpStream) -> Result<(), NetError> {
    let mut buffer = Vec::new();
    buffer
        .try_reserve_exact(PIECE_BYTES)
        .map_err(|_| NetError::NoMemory)?;
    buffer.resize(PIECE_BYTES, 0);
    let mut len = 0;
    let (wanted, body) = loop {
        if let Some(found) = wanted(buffer.get(..len).unwrap_or_default()) {
            break found;
        }
        let room = buffer.get_mut(len..HEAD_BYTES).unwrap_or_default();
        let count = read(&mut stream, room).await?;
        if count == 0 {
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await?;
            return stream.finish().await;
        }
        len += count;
    };
    match wanted {
        Wanted::Get(bytes) => {
            stream.write_all(head(bytes).as_bytes()).await?;
            let mut content = Content::new();
            let mut left = bytes;
            while left > 0 {
                let count = left.min(PIECE_BYTES as u64) as usize;
                let piece = buffer.get_mut(..count).unwrap_or_default();
                content.fill(piece);
                stream.write_all(piece).await?;
                left -= count as u64;
            }
        }
        Wanted::Put(bytes) => {
            let mut hash = Sha256::new();
            let early = buffer.get(body..len).unwrap_or_default();
            hash.update(early);
            let mut left = bytes.saturating_sub(early.len() as u64);
            while left > 0 {
                let count = read(&mut stream, &mut buffer).await?;
                if count == 0 {
                    break;
                }
                hash.update(buffer.get(..count).unwrap_or_default());
                left = left.saturating_sub(count as u64);
            }
            let digest = hash.finalize();
            let mut text = String::new();
            for byte in &digest {
                text.push_str(&format!("{byte:02x}"));
            }
            text.push('\n');
            let head = head(text.len() as u64);
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(text.as_bytes()).await?;
        }
    }
    stream.finish().await?;
    // Closed after the other side: it has read all.
    while read(&mut stream, &mut buffer).await? > 0 {}
    Ok(())
}

fn head(bytes: u64) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n")
}

/// Bytes of which no two pieces are alike: xorshift64* (Vigna 2016), from 1 on, low byte first.
struct Content(u64);

impl Content {
    const fn new() -> Self {
        Self(1)
    }

    /// The next bytes. All but the last piece are a multiple of eight.
    fn fill(&mut self, piece: &mut [u8]) {
        for chunk in piece.chunks_mut(8) {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            let word = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
            for (to, from) in chunk.iter_mut().zip(word) {
                *to = from;
            }
        }
    }
}
