//! A viewer at a distance, as far as it is needed: it asks for another size of the screen and sees the pointer's picture (RFC 6143; the
//! extensions are those of the community's RFB protocol document: ExtendedDesktopSize, SetDesktopSize).

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Encodings that are asked for: the pointer's picture, and sizes that may change.
const POINTER: i32 = -239;
const SIZES: i32 = -308;
const OLD_SIZES: i32 = -223;
/// For an answer, on a busy host.
const LIMIT: Duration = Duration::from_secs(60);

/// A connection.
pub struct Viewer {
    stream: TcpStream,
}

/// The pointer's picture: its size, and its pixels (blue, green, red, unused).
pub struct PointerPicture {
    /// Pixels across and down.
    pub size: (u16, u16),
    /// Where the tip is.
    pub tip: (u16, u16),
    /// Rows from the top.
    pub pixels: Vec<[u8; 4]>,
}

impl Viewer {
    /// Connects without a password.
    pub fn connect(port: u16) -> Result<Self, Box<dyn Error>> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(LIMIT))?;
        let mut viewer = Self { stream };
        viewer.take::<12>()?;
        viewer.stream.write_all(b"RFB 003.008\n")?;
        let [kinds] = viewer.take()?;
        viewer.skip(kinds.into())?;
        viewer.stream.write_all(&[1])?;
        if viewer.take()? != [0; 4] {
            return Err("the viewer is not let in".into());
        }
        // Others may look, too.
        viewer.stream.write_all(&[1])?;
        // Size and format of pixels, then a name.
        viewer.skip(20)?;
        let name = u32::from_be_bytes(viewer.take()?);
        viewer.skip(name as usize)?;
        let mut encodings = vec![2, 0, 0, 3];
        for encoding in [POINTER, SIZES, OLD_SIZES] {
            encodings.extend(encoding.to_be_bytes());
        }
        viewer.stream.write_all(&encodings)?;
        Ok(viewer)
    }

    /// Asks for a screen of this size.
    pub fn resize(&mut self, width: u16, height: u16) -> Result<(), Box<dyn Error>> {
        let mut request = vec![251, 0];
        request.extend(width.to_be_bytes());
        request.extend(height.to_be_bytes());
        // One screen, number 0, from the upper left corner on, without flags.
        request.extend([1, 0]);
        request.extend([0; 8]);
        request.extend(width.to_be_bytes());
        request.extend(height.to_be_bytes());
        request.extend([0; 4]);
        self.stream.write_all(&request)?;
        Ok(())
    }

    /// Waits for the next picture of the pointer.
    pub fn pointer(&mut self) -> Result<PointerPicture, Box<dyn Error>> {
        loop {
            let [sort, _] = self.take()?;
            if sort != 0 {
                return Err(format!("the server sends message {sort}").into());
            }
            let parts = u16::from_be_bytes(self.take()?);
            for _ in 0..parts {
                let place: [u8; 8] = self.take()?;
                let [x, y, width, height] =
                    [0, 2, 4, 6].map(|at| u16::from_be_bytes([place[at], place[at + 1]]));
                match i32::from_be_bytes(self.take()?) {
                    POINTER => {
                        let count = usize::from(width) * usize::from(height);
                        let pixels = (0..count).map(|_| self.take()).collect::<Result<_, _>>()?;
                        self.skip(usize::from(width).div_ceil(8) * usize::from(height))?;
                        return Ok(PointerPicture {
                            size: (width, height),
                            tip: (x, y),
                            pixels,
                        });
                    }
                    SIZES => {
                        let [screens, ..]: [u8; 4] = self.take()?;
                        self.skip(usize::from(screens) * 16)?;
                    }
                    OLD_SIZES => {}
                    other => return Err(format!("the server sends encoding {other}").into()),
                }
            }
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Box<dyn Error>> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn skip(&mut self, count: usize) -> Result<(), Box<dyn Error>> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes)?;
        Ok(())
    }
}
