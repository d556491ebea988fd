//! Archives: files are found, and no bytes whatever do harm.

use loader::Archive;
use proptest::prelude::*;

/// A ustar archive, as the build makes it.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (path, content) in files {
        let mut header = [0_u8; 512];
        header[..path.len()].copy_from_slice(path.as_bytes());
        header[100..108].copy_from_slice(b"0000555\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        header[136..148].copy_from_slice(b"00000000000\0");
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes.extend(header);
        bytes.extend(*content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

#[test]
fn files_are_found_by_path_and_by_folder() {
    let bytes = tar(&[
        ("manifests/a.toml", b"x = 1"),
        ("programs/hello", &[7; 600]),
        ("servers/a", b"elf"),
    ]);
    let archive = Archive::new(&bytes).expect("an archive");
    assert_eq!(archive.file("programs/hello"), Some(&[7; 600][..]));
    assert_eq!(archive.file("programs/other"), None);
    let mut manifests = Vec::new();
    archive.visit("manifests/", ".toml", |name, bytes| {
        manifests.push((name.to_owned(), bytes.to_vec()));
    });
    assert_eq!(manifests, [("a".to_owned(), b"x = 1".to_vec())]);
    assert!(!archive.is_empty());
}

#[test]
fn nothing_is_an_empty_archive() {
    assert!(Archive::new(&[]).expect("empty").is_empty());
    assert!(Archive::new(&[0; 1024]).expect("empty").is_empty());
    assert!(Archive::new(&[1; 1024]).is_err());
}

proptest! {
    #[test]
    fn damage_does_no_harm(
        damage in prop::collection::vec((0_usize..3072, any::<u8>()), 0..8),
        fix in any::<bool>(),
        cut in prop::option::of(0_usize..3072),
    ) {
        let mut bytes = tar(&[("programs/a", &[7; 600]), ("programs/b", b"xyz")]);
        for (at, byte) in damage {
            bytes[at] = byte;
        }
        if fix {
            // A right checksum lets the damage through to the fields.
            bytes[148..156].fill(b' ');
            let sum: u32 = bytes[..512].iter().map(|&byte| u32::from(byte)).sum();
            bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        if let Some(cut) = cut {
            bytes.truncate(cut);
        }
        if let Ok(archive) = Archive::new(&bytes) {
            let _ = archive.file("programs/b");
            archive.visit("", "", |_, bytes| drop(bytes.to_vec()));
        }
    }
}
