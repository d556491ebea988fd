//! First sequence numbers of connections that nobody else can guess (RFC 6528).
//!
//! smoltcp draws them from a small generator, whose state follows from a few of its numbers. So each connection has an offset, which is a keyed
//! hash (SipHash-2-4, Aumasson & Bernstein 2012) of what it is between: it is added to the sequence numbers of segments that go out, and taken
//! off the acknowledgements of those that come in. Whoever knows the numbers of its own connections knows nothing about those of others. Nothing is
//! kept for a connection, and an answer to a segment of none (a reset) has the number that its sender expects.
//!
//! Checksums are brought up to date by what changed (RFC 1624). Segments behind extension headers of IPv6 are left as they are: smoltcp sends
//! none, and acknowledgements in such ones are not understood.

use core::hash::Hasher;
use core::ops::Range;

use nic::HEADER_BYTES;
use siphasher::sip::SipHasher24;

use crate::random::Random;

/// Types of frames, and TCP's number (IEEE 802 and IANA numbers).
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const TCP: u8 = 6;
const IPV6_HEADER_BYTES: usize = 40;
/// In a segment: ports, numbers, flags, checksum; and the shortest header (RFC 9293 §3.1).
const SOURCE_PORT: Range<usize> = 0..2;
const DESTINATION_PORT: Range<usize> = 2..4;
const NUMBER: usize = 4;
const ACKNOWLEDGEMENT: usize = 8;
const FLAGS: usize = 13;
const CHECKSUM: Range<usize> = 16..18;
const TCP_HEADER_BYTES: usize = 20;
/// The flag of segments that acknowledge something.
const ACK: u8 = 1 << 4;

/// What is added to the sequence numbers of an interface's connections.
pub struct Offsets {
    keys: (u64, u64),
}

impl core::fmt::Debug for Offsets {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Offsets")
    }
}

/// Where a frame has its addresses and its segment.
struct Places {
    source: Range<usize>,
    destination: Range<usize>,
    segment: usize,
}

impl Places {
    /// `None` if there is no beginning of a segment in it.
    fn of(frame: &[u8]) -> Option<Self> {
        let packet = frame.get(HEADER_BYTES..)?;
        let (protocol, addresses, header_bytes) = match frame.get(12..HEADER_BYTES)? {
            kind if kind == IPV4 => {
                let is_first = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x1fff == 0;
                let header_bytes = usize::from(packet.first()? & 0xf) * 4;
                (
                    is_first.then_some(*packet.get(9)?)?,
                    [12, 16, 20],
                    header_bytes,
                )
            }
            kind if kind == IPV6 => (*packet.get(6)?, [8, 24, 40], IPV6_HEADER_BYTES),
            _ => return None,
        };
        let segment = HEADER_BYTES + header_bytes;
        let is_there = frame.len() >= segment + TCP_HEADER_BYTES;
        let [source, destination, end] = addresses.map(|at: usize| HEADER_BYTES + at);
        (protocol == TCP && is_there).then_some(Self {
            source: source..destination,
            destination: destination..end,
            segment,
        })
    }
}

impl Offsets {
    /// With a key that nobody can guess.
    pub fn new(random: &mut Random) -> Self {
        Self {
            keys: (random.u64(), random.u64()),
        }
    }

    /// That of the connection between these.
    fn offset(&self, own: (&[u8], &[u8]), other: (&[u8], &[u8])) -> u32 {
        let (first, second) = self.keys;
        let mut hash = SipHasher24::new_with_keys(first, second);
        for part in [own.0, own.1, other.0, other.1] {
            hash.write(part);
        }
        hash.finish() as u32
    }

    /// Of a frame that goes out.
    pub fn sent(&self, frame: &mut [u8]) {
        let Some(places) = Places::of(frame) else {
            return;
        };
        let Some(offset) = self.of_frame(frame, &places, true) else {
            return;
        };
        let segment = frame.get_mut(places.segment..).unwrap_or_default();
        add(segment, NUMBER, offset);
    }

    /// Of a frame that came in.
    pub fn received(&self, frame: &mut [u8]) {
        let Some(places) = Places::of(frame) else {
            return;
        };
        let flags = frame.get(places.segment + FLAGS).copied().unwrap_or(0);
        if flags & ACK == 0 {
            return;
        }
        let Some(offset) = self.of_frame(frame, &places, false) else {
            return;
        };
        let segment = frame.get_mut(places.segment..).unwrap_or_default();
        add(segment, ACKNOWLEDGEMENT, offset.wrapping_neg());
    }

    fn of_frame(&self, frame: &[u8], places: &Places, is_own: bool) -> Option<u32> {
        let segment = frame.get(places.segment..)?;
        let source = (frame.get(places.source.clone())?, segment.get(SOURCE_PORT)?);
        let destination = (
            frame.get(places.destination.clone())?,
            segment.get(DESTINATION_PORT)?,
        );
        Some(if is_own {
            self.offset(source, destination)
        } else {
            self.offset(destination, source)
        })
    }
}

/// Adds to a number of a segment, and brings the checksum up to date.
fn add(segment: &mut [u8], at: usize, offset: u32) {
    let Some(number) = segment.get_mut(at..at + 4) else {
        return;
    };
    let mut bytes = [0; 4];
    bytes.copy_from_slice(number);
    let old = u32::from_be_bytes(bytes);
    let new = old.wrapping_add(offset);
    number.copy_from_slice(&new.to_be_bytes());
    let Some([high, low]) = segment.get_mut(CHECKSUM) else {
        return;
    };
    // Not of the old words, and the new ones, added to not of the sum (RFC 1624 §3, equation 3).
    let halves = |number: u32| [number >> 16, number & 0xffff];
    let [old_high, old_low] = halves(!old);
    let [new_high, new_low] = halves(new);
    let sum = u32::from(!u16::from_be_bytes([*high, *low]));
    let mut total = sum + old_high + old_low + new_high + new_low;
    while total > 0xffff {
        total = (total >> 16) + (total & 0xffff);
    }
    [*high, *low] = (!(total as u16)).to_be_bytes();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn offsets(seed: u8) -> Offsets {
        Offsets::new(&mut Random::new([seed; 32]))
    }

    /// A segment of these ports and numbers, with a right checksum.
    fn frame(is_ipv4: bool, ports: [u16; 2], numbers: [u32; 2], flags: u8, text: &[u8]) -> Vec<u8> {
        let len = (TCP_HEADER_BYTES + text.len()) as u16;
        let mut frame = Vec::from([2; 12]);
        if is_ipv4 {
            frame.extend([8, 0, 0x45, 0]);
            frame.extend((20 + len).to_be_bytes());
            frame.extend([0, 0, 0, 0, 64, TCP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        } else {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(len.to_be_bytes());
            frame.extend([TCP, 64]);
            frame.extend([[0xfd; 16], [0xfe; 16]].concat());
        }
        frame.extend(ports.map(u16::to_be_bytes).concat());
        frame.extend(numbers.map(u32::to_be_bytes).concat());
        frame.extend([0x50, flags, 1, 0, 0, 0, 0, 0]);
        frame.extend(text);
        nic::checksum::fill(&mut frame);
        frame
    }

    fn number(frame: &[u8], at: usize) -> u32 {
        let places = Places::of(frame).expect("a segment");
        let bytes = &frame[places.segment + at..][..4];
        u32::from_be_bytes(bytes.try_into().expect("four"))
    }

    proptest! {
        #[test]
        fn checksums_stay_right_and_answers_fit(
            is_ipv4: bool, own: u16, other: u16, numbers: [u32; 2], text: Vec<u8>, seed: u8,
        ) {
            let offsets = offsets(seed);
            let mut out = frame(is_ipv4, [own, other], numbers, ACK, &text);
            prop_assert!(nic::checksum::is_right(&out));
            offsets.sent(&mut out);
            prop_assert!(nic::checksum::is_right(&out));
            prop_assert_eq!(number(&out, ACKNOWLEDGEMENT), numbers[1]);
            // The other side acknowledges what it saw; its addresses are the other way round.
            let seen = number(&out, NUMBER);
            let mut back = frame(is_ipv4, [other, own], [7, seen], ACK, &text);
            let places = Places::of(&back).expect("a segment");
            let half = places.source.len();
            back[places.source.start..places.destination.end].rotate_left(half);
            offsets.received(&mut back);
            prop_assert!(nic::checksum::is_right(&back));
            prop_assert_eq!(number(&back, ACKNOWLEDGEMENT), numbers[0]);
            prop_assert_eq!(number(&back, NUMBER), 7);
        }

        #[test]
        fn hostile_frames_are_left_alone(mut bytes: Vec<u8>, kind in 0..3_usize) {
            if let Some(to) = bytes.get_mut(12..14) {
                to.copy_from_slice(&[IPV4, IPV6, [8, 6]][kind]);
            }
            let len = bytes.len();
            offsets(1).sent(&mut bytes);
            offsets(1).received(&mut bytes);
            prop_assert_eq!(bytes.len(), len);
        }
    }

    #[test]
    fn each_connection_and_each_key_has_another_offset() {
        let seen = |seed: u8, port: u16| {
            let mut frame = frame(true, [port, 80], [0, 0], 0, b"");
            offsets(seed).sent(&mut frame);
            number(&frame, NUMBER)
        };
        let all: Vec<u32> = (1..200).map(|port| seen(1, port)).collect();
        let mut unique = all.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), all.len());
        assert_ne!(seen(1, 1), seen(2, 1));
        // A segment that acknowledges nothing is left alone.
        let syn = frame(true, [1, 80], [5, 6], 2, b"");
        let mut same = syn.clone();
        offsets(1).received(&mut same);
        assert_eq!(syn, same);
    }
}
