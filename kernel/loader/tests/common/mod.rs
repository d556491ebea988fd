//! Builds executables for the tests, field by field.

/// A program header.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub kind: u32,
    pub flags: u32,
    pub offset: u64,
    pub address: u64,
    pub file_len: u64,
    pub len: u64,
}

pub const LOAD: u32 = 1;
pub const DYNAMIC: u32 = 2;
pub const INTERP: u32 = 3;
pub const TLS: u32 = 7;
pub const STACK: u32 = 0x6474_e551;
pub const RELRO: u32 = 0x6474_e552;
pub const X: u32 = 1;
pub const W: u32 = 2;
pub const R: u32 = 4;

/// An executable in the making.
#[derive(Clone, Debug)]
pub struct Elf {
    pub entry: u64,
    pub headers: Vec<Header>,
    /// Bytes from file offset 0x1000 on.
    pub body: Vec<u8>,
}

/// Headers and relocations on page 0, code on page 1, page 2 and the first half of page 3 read-only after relocation, data to the end of page 4.
pub fn good() -> Elf {
    let mut body = vec![0; 0x4000];
    let put = |body: &mut Vec<u8>, at: usize, words: &[u64]| {
        for (index, word) in words.iter().enumerate() {
            body[at - 0x1000 + index * 8..][..8].copy_from_slice(&word.to_le_bytes());
        }
    };
    // Relocations at file 0x1000 = address 0x200; a dynamic section at file 0x3000 = address 0x2000.
    put(&mut body, 0x1000, &[0x2100, 8, 0x1234, 0x3ff8, 8, 0x5000]);
    put(&mut body, 0x3000, &[7, 0x200, 8, 48, 9, 24, 0, 0]);
    body[0x1000] = 0xc3; // the code
    Elf {
        entry: 0x1000,
        headers: vec![
            Header {
                kind: LOAD,
                flags: R,
                offset: 0x1000,
                address: 0x200,
                file_len: 48,
                len: 48,
            },
            Header {
                kind: LOAD,
                flags: R | X,
                offset: 0x2000,
                address: 0x1000,
                file_len: 16,
                len: 16,
            },
            Header {
                kind: LOAD,
                flags: R | W,
                offset: 0x3000,
                address: 0x2000,
                file_len: 0x2000,
                len: 0x2800,
            },
            Header {
                kind: DYNAMIC,
                flags: R | W,
                offset: 0x3000,
                address: 0x2000,
                file_len: 64,
                len: 64,
            },
            Header {
                kind: RELRO,
                flags: R,
                offset: 0x3000,
                address: 0x2000,
                file_len: 0x1800,
                len: 0x1800,
            },
            Header {
                kind: STACK,
                flags: R | W,
                offset: 0,
                address: 0,
                file_len: 0,
                len: 0,
            },
        ],
        body,
    }
}

impl Elf {
    pub fn bytes(&self) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend([3, 0, 62, 0, 1, 0, 0, 0]);
        file.extend(self.entry.to_le_bytes());
        file.extend(64_u64.to_le_bytes()); // program headers
        file.extend(0_u64.to_le_bytes()); // no section headers
        file.extend([0; 4]); // flags
        file.extend([64, 0, 56, 0]);
        file.extend((self.headers.len() as u16).to_le_bytes());
        file.extend([64, 0, 0, 0, 0, 0]);
        for header in &self.headers {
            file.extend(header.kind.to_le_bytes());
            file.extend(header.flags.to_le_bytes());
            for word in [
                header.offset,
                header.address,
                header.address,
                header.file_len,
                header.len,
                0x1000,
            ] {
                file.extend(word.to_le_bytes());
            }
        }
        assert!(file.len() <= 0x1000);
        file.resize(0x1000, 0);
        file.extend(&self.body);
        file
    }
}
