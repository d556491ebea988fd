//! Screen dumps.

/// An RGB picture, as QEMU dumps screens (PPM, type P6, 8 bits).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Rows from the top, three bytes per pixel.
    rgb: Vec<u8>,
}

impl Picture {
    /// Reads a PPM file.
    pub fn parse(bytes: &[u8]) -> Result<Picture, String> {
        let mut at = 0;
        let mut word = || {
            while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
                at += 1;
            }
            let start = at;
            while bytes
                .get(at)
                .is_some_and(|byte| !byte.is_ascii_whitespace())
            {
                at += 1;
            }
            String::from_utf8_lossy(&bytes[start..at]).into_owned()
        };
        if word() != "P6" {
            return Err("the screen dump is not a PPM file".into());
        }
        let mut number = || {
            word()
                .parse::<usize>()
                .map_err(|error| format!("the PPM's head: {error}"))
        };
        let (width, height, most) = (number()?, number()?, number()?);
        let rgb = bytes.get(at + 1..).unwrap_or_default().to_vec();
        if most != 255
            || Some(rgb.len())
                != width
                    .checked_mul(height)
                    .and_then(|pixels| pixels.checked_mul(3))
        {
            return Err(format!(
                "the PPM holds {} bytes for {width}x{height}, maximum {most}",
                rgb.len()
            ));
        }
        Ok(Picture { width, height, rgb })
    }

    /// Brightness of a pixel, 0 to 255: its brightest channel. Outside it is dark.
    pub fn light(&self, x: usize, y: usize) -> u8 {
        if x >= self.width {
            return 0;
        }
        let at = (y * self.width + x) * 3;
        self.rgb
            .get(at..at + 3)
            .unwrap_or_default()
            .iter()
            .copied()
            .max()
            .unwrap_or(0)
    }

    /// Red, green and blue of a pixel; black outside.
    pub fn colour(&self, x: usize, y: usize) -> [u8; 3] {
        let at = (y * self.width + x) * 3;
        match self.rgb.get(at..at + 3) {
            Some([red, green, blue]) if x < self.width => [*red, *green, *blue],
            _ => [0; 3],
        }
    }

    /// How many of a thousand pixels are clearly lit.
    pub fn lit_permille(&self) -> usize {
        let lit = self
            .rgb
            .chunks_exact(3)
            .filter(|pixel| pixel.iter().any(|&channel| channel > LIT))
            .count();
        lit * 1000 / (self.width * self.height).max(1)
    }
}

/// Brighter than any background.
const LIT: u8 = 96;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ppm() {
        let mut file = b"P6\n3 2\n255\n".to_vec();
        file.extend([0, 0, 0, 200, 10, 10, 0, 0, 0]);
        file.extend([0; 9]);
        let picture = Picture::parse(&file).expect("a picture");
        assert_eq!((picture.width, picture.height), (3, 2));
        assert_eq!(picture.light(1, 0), 200);
        assert_eq!(picture.light(3, 0), 0);
        assert_eq!(picture.lit_permille(), 166);
        file.pop();
        assert!(Picture::parse(&file).is_err());
        assert!(Picture::parse(b"P3\n1 1\n255\n000").is_err());
        assert!(Picture::parse(b"").is_err());
    }
}
