//! Start blocks: what the loader writes is read back, and no bytes whatever do harm.

use abi::Handle;
use loader::start::Start as Written;
use proptest::prelude::*;
use rt::start::{BadStart, Start, name_of};

const WRITTEN: Written<'_> = Written {
    time_page: 0x1000,
    image_base: 0x2000,
    generation: 3,
    handles: &[
        ("process", Handle(5)),
        ("a-name-of-exactly-32-bytes-it-is", Handle(7)),
    ],
    arguments: &["hello", "", "wörld"],
};

/// A block in memory aligned as the real one.
fn block() -> Vec<u64> {
    let mut bytes = [0; 256];
    let len = WRITTEN.write(&mut bytes).expect("room");
    bytes[..len.next_multiple_of(8)]
        .chunks(8)
        .map(|word| u64::from_le_bytes(word.try_into().expect("eight")))
        .collect()
}

fn bytes(block: &[u64]) -> &[u8] {
    zerocopy::IntoBytes::as_bytes(block)
}

#[test]
fn what_was_written_is_read() {
    let block = block();
    let start = Start::parse(bytes(&block)).expect("good");
    assert_eq!(start.head.generation, 3);
    assert_eq!(
        start.arguments().collect::<Vec<_>>(),
        ["hello", "", "wörld"]
    );
    assert_eq!(start.handle("process"), Some(Handle(5)));
    assert_eq!(start.handle("other"), None);
    assert_eq!(name_of(&start.handles[1]).len(), 32);
}

#[test]
fn bad_blocks_are_named() {
    let block = block();
    let with = |word: usize, value: u64| {
        let mut block = block.clone();
        block[word] = value;
        Start::parse(bytes(&block)).map(drop)
    };
    assert_eq!(with(0, 1), Err(BadStart::Magic));
    assert_eq!(with(1, 1000), Err(BadStart::Short));
    assert_eq!(with(1, 47), Err(BadStart::Short));
    assert_eq!(with(4, 3 | 100 << 32), Err(BadStart::Short), "handles");
    assert_eq!(with(5, 3 | 100 << 32), Err(BadStart::Short), "arguments");
    assert_eq!(with(5, 2 | 14 << 32), Err(BadStart::Arguments));
    assert_eq!(with(16, block[16] | 0xff), Err(BadStart::Utf8));
    assert_eq!(Start::parse(&[]).map(drop), Err(BadStart::Short));
}

proptest! {
    #[test]
    fn damage_does_no_harm(
        damage in prop::collection::vec((0_usize..144, any::<u8>()), 0..8),
        words in prop::collection::vec((0_usize..6, any::<u64>()), 0..2),
    ) {
        let mut block = block();
        for (word, value) in words {
            block[word + usize::from(word > 0)] = value;
        }
        let mut bytes = bytes(&block).to_vec();
        for (at, byte) in damage {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        if let Ok(start) = Start::parse(&bytes) {
            prop_assert_eq!(start.arguments().count(), start.head.argument_count as usize);
            for handle in start.handles {
                let _ = name_of(handle);
            }
        }
    }
}
