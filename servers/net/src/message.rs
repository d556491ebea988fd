//! Messages of the Domain Name System as bytes (RFC 1035 §4).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proto::net::MAX_ADDRESSES;

/// Longest message over UDP (RFC 1035 §4.2.1).
pub const MAX_MESSAGE_BYTES: usize = 512;
const HEADER_BYTES: usize = 12;
/// Of the flags: it is an answer; it was cut; the server shall find out by itself; its code.
const ANSWER: u16 = 1 << 15;
const CUT: u16 = 1 << 9;
const RECURSION: u16 = 1 << 8;
const CODE: u16 = 0xf;
/// There is no such name.
pub const NO_SUCH_NAME: u8 = 3;
/// The Internet.
const CLASS: u16 = 1;
const CNAME: u16 = 5;
/// Longest label, and most jumps within a name before it is taken for endless.
const MAX_LABEL: usize = 63;
const MAX_JUMPS: usize = 16;
/// Most aliases that are followed.
const MAX_ALIASES: usize = 8;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    A = 1,
    /// IPv6 addresses (RFC 3596).
    Aaaa = 28,
}

/// A name in the form of messages: labels behind their lengths, small letters, a zero at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels(heapless::Vec<u8, 255>);

impl Labels {
    /// From text; `None` if no host can be called that.
    #[must_use]
    pub fn from_text(name: &str) -> Option<Self> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let mut bytes = heapless::Vec::new();
        for label in name.split('.') {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            let fits = (1..=MAX_LABEL).contains(&label.len())
                && label.bytes().all(good)
                && !label.starts_with('-')
                && !label.ends_with('-');
            if !fits {
                return None;
            }
            bytes.push(label.len() as u8).ok()?;
            bytes
                .extend_from_slice(label.to_ascii_lowercase().as_bytes())
                .ok()?;
        }
        bytes.push(0).ok()?;
        Some(Self(bytes))
    }

    /// Reads a name at `at` in a message; and where it ends there.
    fn read(message: &[u8], mut at: usize) -> Option<(Self, usize)> {
        let mut bytes = heapless::Vec::new();
        let mut behind = None;
        for _ in 0..=MAX_JUMPS {
            loop {
                let len = usize::from(*message.get(at)?);
                if len & 0xc0 == 0xc0 {
                    let low = usize::from(*message.get(at + 1)?);
                    behind.get_or_insert(at + 2);
                    at = (len & 0x3f) << 8 | low;
                    break;
                }
                if len > MAX_LABEL {
                    return None;
                }
                let label = message.get(at + 1..at + 1 + len)?;
                bytes.push(len as u8).ok()?;
                for byte in label {
                    bytes.push(byte.to_ascii_lowercase()).ok()?;
                }
                at += 1 + len;
                if len == 0 {
                    return Some((Self(bytes), behind.unwrap_or(at)));
                }
            }
        }
        None
    }
}

/// A question, at the front of `buffer`.
pub fn question<'a>(
    identifier: u16,
    name: &Labels,
    kind: Kind,
    buffer: &'a mut [u8; MAX_MESSAGE_BYTES],
) -> &'a [u8] {
    let words = [identifier, RECURSION, 1, 0, 0, 0];
    let header = words.into_iter().flat_map(u16::to_be_bytes);
    let tail = [kind as u16, CLASS].into_iter().flat_map(u16::to_be_bytes);
    let all = header.chain(name.0.iter().copied()).chain(tail);
    let mut len = 0;
    for (to, from) in buffer.iter_mut().zip(all) {
        *to = from;
        len += 1;
    }
    buffer.get(..len).unwrap_or_default()
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Addresses; none if the name has none of the kind.
    pub addresses: heapless::Vec<IpAddr, MAX_ADDRESSES>,
    /// For how long that holds, in seconds.
    pub seconds: u32,
    /// 0 if all is well.
    pub code: u8,
}

fn half(message: &[u8], at: usize) -> Option<u16> {
    let bytes: [u8; 2] = message.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_be_bytes(bytes))
}

/// Reads the answer to a question; `None` if it is none to it.
pub fn answer(message: &[u8], identifier: u16, name: &Labels, kind: Kind) -> Option<Found> {
    let flags = half(message, 2)?;
    if half(message, 0)? != identifier || flags & ANSWER == 0 || half(message, 4)? != 1 {
        return None;
    }
    let (asked, mut at) = Labels::read(message, HEADER_BYTES)?;
    if asked != *name || half(message, at)? != kind as u16 || half(message, at + 2)? != CLASS {
        return None;
    }
    at += 4;
    let mut found = Found {
        addresses: heapless::Vec::new(),
        seconds: u32::MAX,
        code: (flags & CODE) as u8,
    };
    let mut known: heapless::Vec<Labels, MAX_ALIASES> = heapless::Vec::new();
    let _ = known.push(name.clone());
    for _ in 0..half(message, 6)? {
        // What was cut off is left out.
        let Some(behind) = record(message, at, kind, &mut known, &mut found) else {
            if flags & CUT != 0 && !found.addresses.is_empty() {
                break;
            }
            return None;
        };
        at = behind;
    }
    Some(found)
}

/// Reads a record at `at`; where it ends.
fn record(
    message: &[u8],
    at: usize,
    kind: Kind,
    known: &mut heapless::Vec<Labels, MAX_ALIASES>,
    found: &mut Found,
) -> Option<usize> {
    let (owner, at) = Labels::read(message, at)?;
    let (of, class) = (half(message, at)?, half(message, at + 2)?);
    let seconds = u32::from(half(message, at + 4)?) << 16 | u32::from(half(message, at + 6)?);
    let (start, len) = (at + 10, usize::from(half(message, at + 8)?));
    let data = message.get(start..start + len)?;
    // Only what was asked for, and what that is another name of: a server may say other things that it does not know.
    if class == CLASS && known.contains(&owner) {
        if of == CNAME {
            let (alias, _) = Labels::read(message, start)?;
            known.push(alias).ok()?;
            found.seconds = found.seconds.min(seconds);
        } else if of == kind as u16 {
            let address = match kind {
                Kind::A => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?)),
                Kind::Aaaa => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?)),
            };
            // Those beyond the room are not needed.
            let _ = found.addresses.push(address);
            found.seconds = found.seconds.min(seconds);
        }
    }
    Some(start + len)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// An answer: the name is another one's, which has two addresses; and one that was not asked for.
    fn example() -> (Labels, Vec<u8>) {
        let name = Labels::from_text("WWW.example.org.").expect("a name");
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        let mut message = question(7, &name, Kind::A, &mut buffer).to_vec();
        message[2] = 0x81;
        message[7] = 4;
        let record = |message: &mut Vec<u8>, owner: &[u8], kind: u8, seconds: u8, data: &[u8]| {
            message.extend(owner);
            message.extend([0, kind, 0, 1, 0, 0, 0, seconds, 0, data.len() as u8]);
            message.extend(data);
        };
        let alias = [3, b'c', b'd', b'n', 0xc0, 16];
        record(&mut message, &[0xc0, 12], 5, 60, &alias);
        record(&mut message, &alias, 1, 30, &[192, 0, 2, 1]);
        record(&mut message, &alias, 1, 90, &[192, 0, 2, 2]);
        record(&mut message, &[1, b'x', 0], 1, 1, &[192, 0, 2, 3]);
        (name, message)
    }

    #[test]
    fn aliases_are_followed_and_strangers_left_out() {
        let (name, message) = example();
        let found = answer(&message, 7, &name, Kind::A).expect("an answer");
        assert_eq!(found.seconds, 30);
        let expected = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])];
        assert_eq!(found.addresses, expected);
        assert_eq!(answer(&message, 8, &name, Kind::A), None);
        assert_eq!(answer(&message, 7, &name, Kind::Aaaa), None);
        let other = Labels::from_text("example.org").expect("a name");
        assert_eq!(answer(&message, 7, &other, Kind::A), None);
    }

    #[test]
    fn names_of_hosts() {
        for good in ["a", "a.b", "a-b.c_d", "x.", &"a.".repeat(120)] {
            assert!(Labels::from_text(good).is_some(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "ä",
            "a b",
            &long,
            &"a.".repeat(130),
        ] {
            assert_eq!(Labels::from_text(bad), None, "{bad}");
        }
    }

    #[test]
    fn endless_names_end() {
        let (name, mut message) = example();
        let at = message.len();
        message.extend([0xc0, at as u8]);
        message[7] = 5;
        assert_eq!(answer(&message, 7, &name, Kind::A), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn damaged_answers_do_no_harm(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            len in any::<prop::sample::Index>(),
        ) {
            let (name, mut message) = example();
            for (at, byte) in changes {
                let at = at.index(message.len());
                message[at] = byte;
            }
            message.truncate(len.index(message.len() + 1));
            let _ = answer(&message, 7, &name, Kind::A);
        }
    }
}
