//! Connections.

use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::Poll;

use embedded_io_async::{ErrorType, Read, Write};
use proto::net::NetError;
use ring::{Receiver, Sender};
use rt::duplex::{End, Half, Part};

use crate::IoError;
use crate::socket::Line;

/// Longest piece that is written at once.
const PIECE_BYTES: usize = 16 << 10;

/// A connection. Dropped, what was written still goes out.
#[derive(Debug)]
pub struct TcpStream {
    reader: TcpReader,
    writer: TcpWriter,
    local: SocketAddr,
    remote: SocketAddr,
}

/// The half that is read.
#[derive(Debug)]
pub struct TcpReader {
    line: Line,
    receiver: Receiver<Part>,
    ended: bool,
}

/// The half that is written.
#[derive(Debug)]
pub struct TcpWriter {
    line: Line,
    sender: Sender<Part>,
    ended: bool,
}

impl TcpStream {
    pub(crate) fn new(end: End, local: SocketAddr, remote: SocketAddr) -> Self {
        let line = Line::new(end.bell);
        Self {
            reader: TcpReader {
                line: line.clone(),
                receiver: end.receiver,
                ended: false,
            },
            writer: TcpWriter {
                line,
                sender: end.sender,
                ended: false,
            },
            local,
            remote,
        }
    }

    /// Waits until it stands.
    pub(crate) async fn connected(end: End, remote: SocketAddr) -> Result<Self, NetError> {
        let mut stream = Self::new(end, proto::net::UNSPECIFIED, remote);
        let line = &stream.reader.line;
        let local = poll_fn(|context| {
            let told = line.hear(Half::Receiving, context);
            match (told.connected, told.closed) {
                (Some(local), _) => Poll::Ready(Ok(local)),
                (None, Some(error)) => Poll::Ready(Err(error)),
                (None, None) if told.gone => Poll::Ready(Err(NetError::ServerGone)),
                _ => Poll::Pending,
            }
        })
        .await?;
        stream.local = local;
        Ok(stream)
    }

    /// This side.
    #[must_use]
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// The other side.
    #[must_use]
    pub const fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Both halves, for two tasks.
    #[must_use]
    pub fn split(self) -> (TcpReader, TcpWriter) {
        (self.reader, self.writer)
    }

    /// Both halves, for a time.
    pub const fn halves(&mut self) -> (&mut TcpReader, &mut TcpWriter) {
        (&mut self.reader, &mut self.writer)
    }

    /// See [`TcpReader::read`].
    ///
    /// # Errors
    /// See there.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, NetError> {
        self.reader.read(buffer).await
    }

    /// See [`TcpWriter::write_all`].
    ///
    /// # Errors
    /// See there.
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        self.writer.write_all(bytes).await
    }

    /// See [`TcpWriter::finish`].
    ///
    /// # Errors
    /// See there.
    pub async fn finish(&mut self) -> Result<(), NetError> {
        self.writer.finish().await
    }
}

impl TcpReader {
    /// Waits for bytes and takes them: at least one, or none at the end. Cancel-safe.
    ///
    /// # Errors
    /// [`NetError::Reset`], [`NetError::TimedOut`], [`NetError::ServerGone`]: after all that came before.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, NetError> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        let Self { line, receiver, .. } = self;
        let taken = poll_fn(|context| line.poll_take(receiver, buffer, context)).await?;
        // An empty record.
        self.ended = taken.bytes == 0;
        Ok(taken.bytes)
    }
}

impl TcpWriter {
    /// Waits for room and writes as much as there is room for. Cancel-safe.
    ///
    /// # Errors
    /// As for reading.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<usize, NetError> {
        if bytes.is_empty() {
            return Ok(0);
        }
        if self.ended {
            return Err(NetError::Malformed);
        }
        let Self { line, sender, .. } = self;
        // A good piece of room, so that the server is not asked for each byte.
        let least = bytes.len().min(sender.most_bytes() / 4);
        let room = poll_fn(|context| line.poll_room(sender, least, context)).await?;
        let piece = bytes
            .get(..bytes.len().min(room).min(PIECE_BYTES))
            .unwrap_or_default();
        line.send(sender, &[piece])?;
        Ok(piece.len())
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// As for reading.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), NetError> {
        while !bytes.is_empty() {
            let count = self.write(bytes).await?;
            bytes = bytes.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Says that no more comes; the other side may still write.
    ///
    /// # Errors
    /// As for reading.
    pub async fn finish(&mut self) -> Result<(), NetError> {
        if self.ended {
            return Ok(());
        }
        let Self { line, sender, .. } = self;
        poll_fn(|context| line.poll_room(sender, 0, context)).await?;
        line.send(sender, &[])?;
        self.ended = true;
        Ok(())
    }
}

impl ErrorType for TcpReader {
    type Error = IoError;
}

impl Read for TcpReader {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, IoError> {
        Ok(Self::read(self, buffer).await?)
    }
}

impl ErrorType for TcpWriter {
    type Error = IoError;
}

impl Write for TcpWriter {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, IoError> {
        Ok(Self::write(self, bytes).await?)
    }

    /// The server sends what is written as soon as it can.
    async fn flush(&mut self) -> Result<(), IoError> {
        Ok(())
    }
}

impl ErrorType for TcpStream {
    type Error = IoError;
}

impl Read for TcpStream {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, IoError> {
        Ok(self.reader.read(buffer).await?)
    }
}

impl Write for TcpStream {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, IoError> {
        Ok(self.writer.write(bytes).await?)
    }

    async fn flush(&mut self) -> Result<(), IoError> {
        Ok(())
    }
}
