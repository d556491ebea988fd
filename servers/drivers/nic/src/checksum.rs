//! The Internet checksum (RFC 1071), and where it stands in a frame: for cards that compute none, and those that want to be told.

use crate::HEADER_BYTES;

/// Types of frames (IEEE 802 numbers).
mod ether {
    pub const IPV4: u16 = 0x0800;
    pub const IPV6: u16 = 0x86dd;
}

/// Protocols over IP (IANA protocol numbers).
mod protocol {
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
}

/// Where TCP (RFC 9293 §3.1) and UDP (RFC 768) have it, and their shortest headers.
const TCP_FIELD: usize = 16;
const TCP_HEADER_BYTES: usize = 20;
const UDP_FIELD: usize = 6;
const UDP_HEADER_BYTES: usize = 8;
/// Headers of IPv4 (RFC 791 §3.1) and IPv6 (RFC 8200 §3) without options.
const IPV4_HEADER_BYTES: usize = 20;
const IPV4_FIELD: usize = 10;
const IPV6_HEADER_BYTES: usize = 40;

/// The sum of the bytes as big-endian words, an odd last one padded, with the carries added in; not complemented.
#[must_use]
pub fn sum(bytes: &[u8], start: u16) -> u16 {
    let mut total = 0u64;
    // Words of the machine's order: the sum is the same, its bytes are swapped (RFC 1071 §2 B).
    let (chunks, rest) = bytes.as_chunks::<8>();
    for chunk in chunks {
        let word = u64::from_ne_bytes(*chunk);
        let (added, carry) = total.overflowing_add(word);
        total = added + u64::from(carry);
    }
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let (added, carry) = total.overflowing_add(u64::from_ne_bytes(last));
    total = added + u64::from(carry);
    total = (total >> 32) + (total & 0xffff_ffff);
    total = (total >> 32) + (total & 0xffff_ffff);
    add(fold(total as u32).to_be(), start)
}

const fn fold(total: u32) -> u16 {
    let once = (total >> 16) + (total & 0xffff);
    ((once >> 16) + (once & 0xffff)) as u16
}

const fn add(a: u16, b: u16) -> u16 {
    fold(a as u32 + b as u32)
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    match bytes.get(at..)? {
        [high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

/// A TCP segment or UDP datagram in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Where it begins in the frame.
    pub start: u16,
    /// Where it ends: padding may follow.
    pub end: u16,
    /// Where its checksum is, counted from its start.
    pub field: u16,
    /// The sum of the pseudo header, not complemented.
    pub pseudo_header: u16,
    is_udp: bool,
    over_ipv4: bool,
}

/// The IP header of a frame, and what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Packet {
    is_ipv4: bool,
    header_bytes: usize,
    payload: Option<Payload>,
}

impl Packet {
    /// `None` if it is no IP packet that makes sense.
    fn of(frame: &[u8]) -> Option<Self> {
        match be16(frame, 12)? {
            ether::IPV4 => Self::ipv4(frame),
            ether::IPV6 => Self::ipv6(frame),
            _ => None,
        }
    }

    fn ipv4(frame: &[u8]) -> Option<Self> {
        let packet = frame.get(HEADER_BYTES..)?;
        let first = *packet.first()?;
        let header_bytes = usize::from(first & 0xf) * 4;
        let total = usize::from(be16(packet, 2)?);
        if first >> 4 != 4 || header_bytes < IPV4_HEADER_BYTES || total < header_bytes {
            return None;
        }
        let addresses = packet.get(..total)?.get(12..20)?;
        let protocol = *packet.get(9)?;
        // A fragment does not hold what the checksum is of: more fragments, or an offset.
        let is_whole = be16(packet, 6)? & 0x3fff == 0;
        let payload = is_whole
            .then(|| {
                Payload::of(
                    frame,
                    HEADER_BYTES + header_bytes,
                    HEADER_BYTES + total,
                    protocol,
                    addresses,
                    true,
                )
            })
            .flatten();
        Some(Self {
            is_ipv4: true,
            header_bytes,
            payload,
        })
    }

    /// Extension headers are not looked through: what is behind them is left to software.
    fn ipv6(frame: &[u8]) -> Option<Self> {
        let packet = frame.get(HEADER_BYTES..)?;
        let len = usize::from(be16(packet, 4)?);
        let end = IPV6_HEADER_BYTES + len;
        if *packet.first()? >> 4 != 6 || end > packet.len() {
            return None;
        }
        let (addresses, protocol) = (packet.get(8..40)?, *packet.get(6)?);
        Some(Self {
            is_ipv4: false,
            header_bytes: IPV6_HEADER_BYTES,
            payload: Payload::of(
                frame,
                HEADER_BYTES + IPV6_HEADER_BYTES,
                HEADER_BYTES + end,
                protocol,
                addresses,
                false,
            ),
        })
    }
}

impl Payload {
    /// That of a whole frame, if it is TCP or UDP directly in IPv4 or IPv6.
    #[must_use]
    pub fn find(frame: &[u8]) -> Option<Self> {
        Packet::of(frame)?.payload
    }

    fn of(
        frame: &[u8],
        start: usize,
        end: usize,
        protocol: u8,
        addresses: &[u8],
        over_ipv4: bool,
    ) -> Option<Self> {
        let (field, header_bytes) = match protocol {
            protocol::TCP => (TCP_FIELD, TCP_HEADER_BYTES),
            protocol::UDP => (UDP_FIELD, UDP_HEADER_BYTES),
            _ => return None,
        };
        let len = frame.get(start..end)?.len();
        if len < header_bytes {
            return None;
        }
        let len = u16::try_from(len).ok()?;
        Some(Self {
            start: u16::try_from(start).ok()?,
            end: u16::try_from(end).ok()?,
            field: field as u16,
            pseudo_header: sum(addresses, add(len, protocol.into())),
            is_udp: protocol == protocol::UDP,
            over_ipv4,
        })
    }

    fn bytes<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame
            .get(self.start.into()..self.end.into())
            .unwrap_or_default()
    }

    /// Whether the checksum is right; over IPv4, UDP may have none.
    fn is_right(&self, frame: &[u8]) -> bool {
        let bytes = self.bytes(frame);
        let has_none = self.is_udp && self.over_ipv4 && be16(bytes, self.field.into()) == Some(0);
        has_none || sum(bytes, self.pseudo_header) == 0xffff
    }

    /// Writes the field.
    fn put(&self, frame: &mut [u8], value: u16) {
        let at = usize::from(self.start + self.field);
        if let Some(field) = frame.get_mut(at..at + 2) {
            field.copy_from_slice(&value.to_be_bytes());
        }
    }

    /// Puts the sum of the pseudo header into the field, as cards want it that add the rest from `start` on (virtio 1.2 §5.1.6.2).
    pub fn prepare(&self, frame: &mut [u8]) {
        self.put(frame, self.pseudo_header);
    }

    /// Puts the checksum into the field.
    pub fn fill(&self, frame: &mut [u8]) {
        self.put(frame, 0);
        let value = !sum(self.bytes(frame), self.pseudo_header);
        // 0 would say that UDP has none; both are zero in ones' complement (RFC 768).
        let value = if self.is_udp && value == 0 {
            0xffff
        } else {
            value
        };
        self.put(frame, value);
    }
}

/// Whether the checksums are right of the IPv4 header, and of the TCP or UDP in a frame. What is no such thing has none that is wrong.
#[must_use]
pub fn is_right(frame: &[u8]) -> bool {
    let Some(packet) = Packet::of(frame) else {
        return true;
    };
    let header = frame
        .get(HEADER_BYTES..HEADER_BYTES + packet.header_bytes)
        .unwrap_or_default();
    (!packet.is_ipv4 || sum(header, 0) == 0xffff)
        && packet.payload.is_none_or(|payload| payload.is_right(frame))
}

/// Puts the checksums of the IPv4 header, and of TCP or UDP into a frame.
pub fn fill(frame: &mut [u8]) {
    let Some(packet) = Packet::of(frame) else {
        return;
    };
    if packet.is_ipv4 {
        let place = HEADER_BYTES..HEADER_BYTES + packet.header_bytes;
        if let Some(header) = frame.get_mut(place) {
            let field = IPV4_FIELD..IPV4_FIELD + 2;
            if let Some(field) = header.get_mut(field.clone()) {
                field.fill(0);
            }
            let value = !sum(header, 0);
            if let Some(field) = header.get_mut(field) {
                field.copy_from_slice(&value.to_be_bytes());
            }
        }
    }
    if let Some(payload) = packet.payload {
        payload.fill(frame);
    }
}
