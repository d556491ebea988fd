//! Start blocks are read back as they were written.

use abi::Handle;
use abi::start::{StartBlock, StartHandle};
use loader::start::{MAX_START_BYTES, Start, StartError};
use zerocopy::FromBytes;

const START: Start<'_> = Start {
    time_page: 0x1000,
    image_base: 0x2000,
    generation: 3,
    handles: &[("process", Handle(5)), ("log", Handle(6))],
    arguments: &["hello", "", "wörld"],
};

#[test]
fn a_block_says_what_it_was_given() {
    let mut buffer = [0xaa; 256];
    let len = START.write(&mut buffer).expect("room");
    assert_eq!(START.len(), Ok(len));
    let (head, rest) = StartBlock::read_from_prefix(&buffer).expect("a head");
    assert_eq!(head.magic, abi::start::MAGIC);
    assert_eq!(head.size_bytes, len as u64);
    assert_eq!(
        (head.time_page, head.image_base, head.generation),
        (0x1000, 0x2000, 3)
    );
    let (handles, rest) =
        <[StartHandle]>::ref_from_prefix_with_elems(rest, head.handle_count as usize)
            .expect("handles");
    assert_eq!(handles[1].handle, 6);
    assert_eq!(&handles[1].name[..4], b"log\0");
    let arguments = &rest[..head.arguments_bytes as usize];
    assert_eq!(arguments, "hello\0\0wörld\0".as_bytes());
    assert_eq!(head.argument_count, 3);
    assert!(buffer[len..].iter().all(|&byte| byte == 0xaa));
}

#[test]
fn what_cannot_be_written_is_named() {
    let mut buffer = [0; 64];
    let needed = START.len().expect("good");
    assert_eq!(START.write(&mut buffer), Err(StartError::Buffer { needed }));
    let names = |names: &[(&str, Handle)]| {
        Start {
            handles: names,
            ..START
        }
        .len()
    };
    assert_eq!(names(&[("", Handle(1))]), Err(StartError::HandleName(0)));
    assert_eq!(
        names(&[("a", Handle(1)), ("b", Handle(1)), ("a", Handle(2))]),
        Err(StartError::HandleName(2))
    );
    let long = "x".repeat(33);
    assert_eq!(names(&[(&long, Handle(1))]), Err(StartError::HandleName(0)));
    assert!(names(&[(&long[1..], Handle(1))]).is_ok());
    let arguments = |arguments: &[&str]| Start { arguments, ..START }.len();
    assert_eq!(arguments(&["a", "b\0"]), Err(StartError::Argument(1)));
    let long = "x".repeat(MAX_START_BYTES);
    assert_eq!(arguments(&[&long]), Err(StartError::TooLong));
}
