//! A connection: rustls's states, driven over anything that reads and writes.

use alloc::format;
use alloc::vec::Vec;
use core::fmt;

use embedded_io_async::{ErrorType, Read, Write};
use rustls::client::UnbufferedClientConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError};

use crate::TlsError;

/// Most bytes that wait to be understood: a handshake message of 64 KiB, which is rustls's limit, and a record behind it.
pub const MOST_INCOMING_BYTES: usize = (64 << 10) + RECORD_BYTES;
/// The longest record, with what is around it (RFC 8446 §5.2).
const RECORD_BYTES: usize = 5 + (16 << 10) + 256;
/// What is sealed at once.
const PIECE_BYTES: usize = 16 << 10;

/// A connection that nobody on the way can read or change. Dropped without [`finish`](Self::finish), the other side may take what it
/// got for cut off.
pub struct TlsStream<T> {
    connection: UnbufferedClientConnection,
    transport: T,
    /// What came and was not understood yet is before `waiting`.
    incoming: Vec<u8>,
    waiting: usize,
    /// What is to go out is behind `sent`.
    outgoing: Vec<u8>,
    sent: usize,
    /// What was understood and not read yet is behind `taken`.
    plain: Vec<u8>,
    taken: usize,
    /// The other side said that no more comes.
    ended: bool,
    /// The transport ended.
    cut: bool,
}

impl<T> fmt::Debug for TlsStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").finish_non_exhaustive()
    }
}

/// What rustls wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// To be asked again.
    Again,
    /// What is in `outgoing` to be sent.
    Transmit,
    /// More to understand; the handshake is not over.
    Handshake,
    /// It is ready for data both ways.
    Ready,
}

/// What is to be sealed when rustls is ready for it.
#[derive(Clone, Copy)]
enum Seal<'a> {
    Nothing,
    Data(&'a [u8]),
    End,
}

impl<T: Read + Write> TlsStream<T> {
    pub(crate) async fn connect(
        connection: UnbufferedClientConnection,
        transport: T,
    ) -> Result<Self, TlsError> {
        let mut stream = Self {
            connection,
            transport,
            incoming: Vec::new(),
            waiting: 0,
            outgoing: Vec::new(),
            sent: 0,
            plain: Vec::new(),
            taken: 0,
            ended: false,
            cut: false,
        };
        grow(&mut stream.incoming, RECORD_BYTES)?;
        loop {
            match stream.step(Seal::Nothing).await? {
                Step::Again => {}
                Step::Transmit => stream.transmit().await?,
                Step::Handshake => stream.receive().await?,
                Step::Ready => return Ok(stream),
            }
            if stream.cut {
                return Err(TlsError::Truncated);
            }
        }
    }

    /// Waits for bytes and takes them: at least one, or none at the end. Cancel-safe.
    ///
    /// # Errors
    /// [`TlsError`]; [`TlsError::Truncated`] if the end is not the other side's.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TlsError> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let there = self.plain.get(self.taken..).unwrap_or_default();
            if !there.is_empty() {
                let count = there.len().min(buffer.len());
                for (to, from) in buffer.iter_mut().zip(there) {
                    *to = *from;
                }
                self.taken += count;
                return Ok(count);
            }
            if self.ended {
                return Ok(0);
            }
            if self.cut {
                return Err(TlsError::Truncated);
            }
            match self.step(Seal::Nothing).await? {
                Step::Again => {}
                Step::Transmit => self.transmit().await?,
                Step::Handshake | Step::Ready if self.has_plain() || self.ended => {}
                Step::Handshake | Step::Ready => self.receive().await?,
            }
        }
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// [`TlsError`].
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), TlsError> {
        for piece in bytes.chunks(PIECE_BYTES) {
            self.seal(Seal::Data(piece)).await?;
        }
        Ok(())
    }

    /// Says that no more comes; the other side may still write.
    ///
    /// # Errors
    /// [`TlsError`].
    pub async fn finish(&mut self) -> Result<(), TlsError> {
        self.seal(Seal::End).await
    }

    async fn seal(&mut self, what: Seal<'_>) -> Result<(), TlsError> {
        loop {
            match self.step(what).await? {
                Step::Again => {}
                Step::Transmit => self.transmit().await?,
                Step::Handshake => self.receive().await?,
                Step::Ready => return self.transmit().await,
            }
        }
    }

    fn has_plain(&self) -> bool {
        self.taken < self.plain.len()
    }

    /// One step of rustls's: what it wants next. An error is told to the other side.
    async fn step(&mut self, seal: Seal<'_>) -> Result<Step, TlsError> {
        let step = self.try_step(seal);
        if let Err(TlsError::Protocol(_)) = &step {
            self.tell_of_error().await;
        }
        step
    }

    fn try_step(&mut self, seal: Seal<'_>) -> Result<Step, TlsError> {
        let waiting = self.incoming.get_mut(..self.waiting).unwrap_or_default();
        let status = self.connection.process_tls_records(waiting);
        let discard = status.discard;
        let step = match status.state {
            Err(error) => Err(error.into()),
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                if self.taken == self.plain.len() {
                    self.plain.clear();
                    self.taken = 0;
                }
                // No more than came: `incoming` bounds it.
                while let Some(record) = traffic.next_record() {
                    let payload = record?.payload;
                    let room = self.plain.try_reserve(payload.len());
                    room.map_err(|_| TlsError::NoMemory)?;
                    self.plain.extend_from_slice(payload);
                }
                Ok(Step::Again)
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                let encoded = put_out(&mut self.outgoing, |room| match data.encode(room) {
                    Ok(count) => Ok(count),
                    Err(EncodeError::InsufficientSize(error)) => Err(Some(error)),
                    Err(EncodeError::AlreadyEncoded) => Err(None),
                });
                encoded.map(|()| Step::Again)
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Ok(Step::Transmit)
            }
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                let sealed = put_out(&mut self.outgoing, |room| {
                    let sealed = match seal {
                        Seal::Nothing => return Ok(0),
                        Seal::Data(bytes) => traffic.encrypt(bytes, room),
                        Seal::End => traffic.queue_close_notify(room),
                    };
                    sealed.map_err(|error| match error {
                        EncryptError::InsufficientSize(error) => Some(error),
                        EncryptError::EncryptExhausted => None,
                    })
                });
                sealed.map(|()| Step::Ready)
            }
            Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                self.ended = true;
                Ok(Step::Again)
            }
            // Also what later versions of rustls may add: it waits for more.
            Ok(_) => Ok(Step::Handshake),
        };
        let discard = discard.min(self.waiting);
        self.incoming.copy_within(discard..self.waiting, 0);
        self.waiting -= discard;
        step
    }

    /// Sends the alert that rustls has for the other side. That it fails matters no more.
    async fn tell_of_error(&mut self) {
        self.waiting = 0;
        while let Ok(step) = self.try_step(Seal::Nothing) {
            match step {
                Step::Again => {}
                Step::Transmit => {
                    let _ = self.transmit().await;
                    return;
                }
                Step::Handshake | Step::Ready => return,
            }
        }
    }

    /// Sends what is in `outgoing`. Cancel-safe: the next call goes on.
    async fn transmit(&mut self) -> Result<(), TlsError> {
        loop {
            let rest = self.outgoing.get(self.sent..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            let count = self.transport.write(rest).await.map_err(transport)?;
            if count == 0 {
                return Err(TlsError::Truncated);
            }
            self.sent += count;
        }
        self.outgoing.clear();
        self.sent = 0;
        self.transport.flush().await.map_err(transport)
    }

    /// Waits for more to understand.
    async fn receive(&mut self) -> Result<(), TlsError> {
        if self.waiting == self.incoming.len() {
            if self.incoming.len() >= MOST_INCOMING_BYTES {
                return Err(TlsError::TooLong);
            }
            grow(&mut self.incoming, MOST_INCOMING_BYTES)?;
        }
        let room = self.incoming.get_mut(self.waiting..).unwrap_or_default();
        let count = self.transport.read(room).await.map_err(transport)?;
        self.waiting += count;
        self.cut = count == 0;
        Ok(())
    }
}

fn transport<E: embedded_io_async::Error>(error: E) -> TlsError {
    TlsError::Transport(format!("{error}"))
}

fn grow(buffer: &mut Vec<u8>, bytes: usize) -> Result<(), TlsError> {
    let more = bytes.saturating_sub(buffer.len());
    buffer
        .try_reserve_exact(more)
        .map_err(|_| TlsError::NoMemory)?;
    buffer.resize(bytes, 0);
    Ok(())
}

/// Puts what `put` gives behind what is to go out, in as much room as it says it needs.
fn put_out(
    outgoing: &mut Vec<u8>,
    mut put: impl FnMut(&mut [u8]) -> Result<usize, Option<InsufficientSizeError>>,
) -> Result<(), TlsError> {
    let behind = outgoing.len();
    let mut room = 0;
    loop {
        grow(outgoing, behind + room)?;
        match put(outgoing.get_mut(behind..).unwrap_or_default()) {
            Ok(count) => {
                outgoing.truncate(behind + count);
                return Ok(());
            }
            Err(Some(error)) if error.required_size > room => room = error.required_size,
            Err(_) => {
                outgoing.truncate(behind);
                return Err(rustls::Error::EncryptError.into());
            }
        }
    }
}

impl<T> ErrorType for TlsStream<T> {
    type Error = TlsError;
}

impl<T: Read + Write> Read for TlsStream<T> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TlsError> {
        Self::read(self, buffer).await
    }
}

impl<T: Read + Write> Write for TlsStream<T> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, TlsError> {
        self.write_all(bytes).await.map(|()| bytes.len())
    }

    async fn flush(&mut self) -> Result<(), TlsError> {
        self.transmit().await
    }
}
