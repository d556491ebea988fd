//! What is behind the windows: hills under a sky, in the colours of the theme.

use draw::blend::mix;
use gui::{Canvas, Palette, Rect, Theme};

/// Rows of hills, from the back.
const HILLS: i32 = 4;
/// One period of the wave below, in steps.
const PERIOD: i32 = 1024;

/// A wave between -1000 and 1000: parabolas in place of a sine, which has the same look.
const fn wave(phase: i32) -> i32 {
    let phase = phase.rem_euclid(PERIOD);
    let half = PERIOD / 2;
    let (x, sign) = if phase < half {
        (phase, 1)
    } else {
        (phase - half, -1)
    };
    sign * (4 * x * (half - x) / (half * half / 1000))
}

/// Paints all of it.
pub fn paint(canvas: &mut Canvas<'_>, theme: Theme) {
    let palette = Palette::of(theme);
    let whole = canvas.clip();
    canvas.gradient(&whole, palette.desktop);
    if theme == Theme::HighContrast {
        return;
    }
    let (width, height) = (whole.width(), whole.height());
    for hill in 0..HILLS {
        let ground = mix(
            palette.accent,
            palette.desktop.1,
            (20 + 18 * (HILLS - hill)) as u32,
        );
        let colour = mix(palette.desktop.1, ground, (40 + 50 * hill) as u32);
        let base = height * (52 + 12 * hill) / 100;
        let swing = height * (9 - hill) / 100;
        for x in 0..width {
            let step = x * PERIOD / width.max(1);
            let rise = wave(step * (hill + 2) / 2 + hill * 331) * 7
                + wave(step * (2 * hill + 3) + hill * 97) * 3;
            let top = base - swing * rise / 10_000;
            canvas.fill(
                &Rect {
                    left: x,
                    top,
                    right: x + 1,
                    bottom: height,
                },
                colour,
            );
        }
    }
}
