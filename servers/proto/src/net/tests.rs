//! Messages fit and come back; rights are words; no bytes do harm.

use std::string::ToString;

use proptest::prelude::*;

use super::*;

#[test]
fn the_longest_messages_fit() {
    let mut buffer = [0; MAX_BYTES];
    let request = Request::Resolve {
        name: Text::from_start(&"x".repeat(MAX_NAME_BYTES)),
    };
    let bytes = to_bytes(&request, &mut buffer).expect("fits");
    assert_eq!(from_bytes(bytes), Some(request));
    let address = IpAddr::V6(Ipv6Addr::from([0xff; 16]));
    let notice = Notice::Resolved {
        addresses: heapless::Vec::from([address; MAX_ADDRESSES]),
    };
    let bytes = to_bytes(&notice, &mut buffer).expect("fits");
    assert_eq!(from_bytes(bytes), Some(notice));
    let row = Row::Interface {
        name: Text::from_start("abcdefghijklmno"),
        driver: Text::from_start("abcdefghijklmno"),
        mac: [0xff; 6],
        mtu_bytes: u16::MAX,
        link: true,
        setup: Setup::Static {
            address,
            prefix_bits: 128,
            gateway: Some(address),
            name_server: Some(address),
        },
        traffic: Traffic {
            received_frames: u64::MAX,
            received_bytes: u64::MAX,
            sent_frames: u64::MAX,
            sent_bytes: u64::MAX,
            dropped: u64::MAX,
            interrupts: u64::MAX,
        },
    };
    let next = u32::MAX;
    assert!(to_bytes(&Answer::Row { row, next }, &mut buffer).is_some());
}

#[test]
fn rights_are_words() {
    for words in ["connect", "configure", "listen tcp 80", "listen udp any"] {
        let right = Right::from_words(words).expect("a right");
        assert_eq!(right.to_string(), words);
    }
    for words in [
        "",
        "connect all",
        "listen",
        "listen tcp",
        "listen tcp 0",
        "listen tcp 65536",
        "listen sctp 1",
        "listen tcp 80 81",
    ] {
        assert_eq!(Right::from_words(words), None, "{words}");
    }
    let any = Right::Listen(Protocol::Tcp, None);
    assert!(any.covers(Right::Listen(Protocol::Tcp, Some(80))));
    assert!(!any.covers(Right::Listen(Protocol::Udp, Some(80))));
    assert!(!Right::Listen(Protocol::Tcp, Some(80)).covers(any));
    assert!(!Right::Connect.covers(Right::Configure));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn addresses_come_back(address in any::<SocketAddr>()) {
        let mapped = match address.ip() {
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address.ip(), IpAddr::V4),
            v4 => v4,
        };
        let expected = SocketAddr::new(mapped, address.port());
        prop_assert_eq!(datagram_address(&datagram_header(address)), expected);
    }

    #[test]
    fn any_bytes_are_a_message_or_none(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let mut buffer = [0; MAX_BYTES];
        if let Some(request) = from_bytes::<Request>(&bytes) {
            prop_assert!(to_bytes(&request, &mut buffer).is_some());
        }
        let _ = from_bytes::<Answer>(&bytes);
        let _ = from_bytes::<Notice>(&bytes);
    }
}
