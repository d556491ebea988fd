//! Images: good ones load as described, each kind of bad one is named, and no bytes whatever do harm.

mod common;

use common::{DYNAMIC, Elf, Header, INTERP, LOAD, R, STACK, TLS, W, X, good};
use loader::{Access, Image, ImageError, Memory, Region};
use proptest::prelude::*;

/// Memory that fails the test when written outside of the image.
struct Checked(Vec<u8>);

impl Memory for Checked {
    type Error = ();
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), ()> {
        self.0[address as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

fn word(memory: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(memory[at..][..8].try_into().expect("eight bytes"))
}

#[test]
fn a_good_image_is_loaded_and_relocated() {
    let file = good().bytes();
    let image = Image::parse(&file).expect("good");
    assert_eq!(image.entry(), 0x1000);
    assert_eq!(image.span_bytes(), 0x5000);
    assert_eq!(image.relocation_count(), 2);
    let mut memory = Checked(vec![0; 0x5000]);
    image.load(0x7000_0000, &mut memory).expect("fits");
    assert_eq!(memory.0[0x1000], 0xc3);
    assert_eq!(word(&memory.0, 0x2100), 0x7000_1234);
    assert_eq!(word(&memory.0, 0x3ff8), 0x7000_5000);
    assert!(memory.0[0x4000..].iter().all(|&byte| byte == 0));
}

#[test]
fn what_relocation_wrote_becomes_read_only() {
    let file = good().bytes();
    let image = Image::parse(&file).expect("good");
    let regions: Vec<Region> = image.regions().collect();
    let region = |address, len, access| Region {
        address,
        len,
        access,
    };
    assert_eq!(
        regions,
        [
            region(0, 0x1000, Access::Read),
            region(0x1000, 0x1000, Access::Execute),
            // Only whole pages: the second half of page 3 is to be written.
            region(0x2000, 0x1000, Access::Read),
            region(0x3000, 0x2000, Access::Write),
        ]
    );
}

#[test]
fn each_fault_is_named() {
    let change = |change: &dyn Fn(&mut Elf)| {
        let mut elf = good();
        change(&mut elf);
        Image::parse(&elf.bytes()).map(drop)
    };
    assert_eq!(change(&|_| ()), Ok(()));
    type Fault<'a> = &'a dyn Fn(&mut Elf);
    let cases: &[(ImageError, Fault<'_>)] = &[
        (ImageError::NoSegments, &|elf| elf.headers.clear()),
        (ImageError::NoSegments, &|elf| {
            elf.headers.retain(|header| header.kind != LOAD)
        }),
        (ImageError::Dynamic, &|elf| elf.headers[5].kind = INTERP),
        (ImageError::Dynamic, &|elf| elf.body[0x2000] = 1),
        (ImageError::DynamicSection, &|elf| elf.body[0x2000] = 36),
        (ImageError::DynamicSection, &|elf| {
            elf.headers[3].offset = 1 << 40
        }),
        (ImageError::ThreadLocal, &|elf| {
            elf.headers[5] = Header {
                kind: TLS,
                len: 8,
                ..elf.headers[5]
            };
        }),
        (ImageError::ExecutableStack, &|elf| {
            elf.headers[5].flags = R | W | X
        }),
        (ImageError::SegmentBytes { address: 0x1000 }, &|elf| {
            elf.headers[1].offset = 0x5000
        }),
        (ImageError::SegmentBytes { address: 0x1000 }, &|elf| {
            elf.headers[1].offset = u64::MAX
        }),
        (ImageError::SegmentBytes { address: 0x1000 }, &|elf| {
            elf.headers[1].len = 8
        }),
        (ImageError::SegmentTooHigh { address: 0x2000 }, &|elf| {
            elf.headers[2].len = 1 << 40
        }),
        (ImageError::SegmentTooHigh { address: u64::MAX }, &|elf| {
            elf.headers[2].address = u64::MAX;
        }),
        (ImageError::NotAtZero, &|elf| {
            elf.headers[0].address = 0x1200
        }),
        (ImageError::SegmentOverlap { address: 0xff0 }, &|elf| {
            elf.headers[1].address = 0xff0
        }),
        (ImageError::SegmentOverlap { address: 0x1000 }, &|elf| {
            elf.headers[2].address = 0x1000
        }),
        (ImageError::WriteExecute { address: 0x1000 }, &|elf| {
            elf.headers[1].flags = R | W | X
        }),
        (ImageError::Entry { address: 0x2000 }, &|elf| {
            elf.entry = 0x2000
        }),
        (ImageError::Entry { address: 0x1010 }, &|elf| {
            elf.entry = 0x1010
        }),
        (ImageError::Relro, &|elf| elf.headers[4].address = 0x1000),
        (ImageError::Relro, &|elf| elf.headers[4].len = u64::MAX),
        (ImageError::RelocationTable, &|elf| elf.body[0x2008] = 0x10),
        (ImageError::RelocationTable, &|elf| elf.body[0x2018] = 47),
        (ImageError::RelocationTable, &|elf| elf.body[0x2028] = 16),
        (ImageError::RelocationKind { kind: 1 }, &|elf| {
            elf.body[8] = 1
        }),
        (ImageError::RelocationPlace { address: 0x1100 }, &|elf| {
            elf.body[1] = 0x11
        }),
        (ImageError::RelocationPlace { address: 0x47f9 }, &|elf| {
            elf.body[..2].copy_from_slice(&[0xf9, 0x47]);
        }),
        (
            ImageError::RelocationTarget { address: 0xff_1234 },
            &|elf| elf.body[18] = 0xff,
        ),
    ];
    for (error, fault) in cases {
        assert_eq!(change(fault), Err(*error));
    }
    let many = |elf: &mut Elf| {
        elf.headers.retain(|header| header.kind == LOAD);
        for page in 5..40 {
            elf.headers.push(Header {
                kind: LOAD,
                flags: R,
                offset: 0,
                address: page * 0x1000,
                file_len: 1,
                len: 1,
            });
        }
    };
    assert_eq!(change(&many), Err(ImageError::TooManySegments));
}

#[test]
fn other_files_are_refused() {
    assert_eq!(Image::parse(b"").map(drop), Err(ImageError::NotElf));
    assert_eq!(
        Image::parse(b"#!/bin/sh\n").map(drop),
        Err(ImageError::NotElf)
    );
    assert_eq!(Image::parse(b"\x7fELF").map(drop), Err(ImageError::NotElf));
    let with = |at: usize, byte: u8| {
        let mut file = good().bytes();
        file[at] = byte;
        Image::parse(&file).map(drop)
    };
    assert_eq!(with(4, 1), Err(ImageError::WrongMachine), "32 bits");
    assert_eq!(with(5, 2), Err(ImageError::WrongMachine), "big-endian");
    assert_eq!(
        with(18, 0xb7),
        Err(ImageError::WrongMachine),
        "another processor"
    );
    assert_eq!(with(16, 2), Err(ImageError::NotPie));
    let this = std::fs::read(std::env::current_exe().expect("a path")).expect("this program");
    assert_eq!(Image::parse(&this).map(drop), Err(ImageError::Dynamic));
}

/// What must hold of every image that is not refused.
fn check(file: &[u8]) {
    let Ok(image) = Image::parse(file) else {
        return;
    };
    let span = image.span_bytes();
    assert!(span > 0 && span.is_multiple_of(4096) && span <= loader::image::MAX_SPAN_BYTES);
    let mut end = 0;
    let mut entered = false;
    for region in image.regions() {
        assert!(region.address >= end && region.len > 0);
        assert!((region.address | region.len).is_multiple_of(4096));
        end = region.address + region.len;
        entered |=
            region.access == Access::Execute && (region.address..end).contains(&image.entry());
    }
    assert!(end <= span && entered);
    if span < 1 << 24 {
        let mut memory = Checked(vec![0; span as usize]);
        image.load(0x1234_5000, &mut memory).expect("fits");
    }
}

proptest! {
    #[test]
    fn garbage_does_no_harm(file in prop::collection::vec(any::<u8>(), 0..400)) {
        check(&file);
        let mut elf = good().bytes();
        let len = file.len().min(elf.len() - 16);
        elf[16..][..len].copy_from_slice(&file[..len]);
        check(&elf);
    }

    #[test]
    fn damaged_images_do_no_harm(
        damage in prop::collection::vec((0_usize..0x5000, any::<u8>()), 1..6),
        headers in prop::collection::vec((0_usize..400, any::<u8>()), 0..4),
        cut in prop::option::of(0_usize..0x5000),
    ) {
        let mut file = good().bytes();
        for (at, byte) in damage.into_iter().chain(headers) {
            file[at] = byte;
        }
        if let Some(cut) = cut {
            file.truncate(cut);
        }
        check(&file);
    }

    #[test]
    fn odd_headers_do_no_harm(
        which in 0_usize..6,
        kind in prop::sample::select(vec![LOAD, DYNAMIC, common::RELRO, STACK, TLS]),
        flags in 0_u32..8,
        words in prop::array::uniform4(prop_oneof![0_u64..0x6000, Just(u64::MAX), any::<u64>()]),
    ) {
        let mut elf = good();
        let [offset, address, file_len, len] = words;
        elf.headers[which] = Header { kind, flags, offset, address, file_len, len };
        check(&elf.bytes());
    }
}
