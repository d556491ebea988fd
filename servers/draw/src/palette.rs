//! The colours of a theme.

use proto::window::Theme;

use crate::{Pixel, rgb};

/// Colours by what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    /// Behind everything: the upper edge of the screen, and the lower.
    pub desktop: (Pixel, Pixel),
    /// A window's ground.
    pub ground: Pixel,
    /// A ground that stands out: lists, the panel.
    pub raised: Pixel,
    /// Text.
    pub text: Pixel,
    /// Text of less weight.
    pub faint: Pixel,
    /// What is chosen, drawn or on.
    pub accent: Pixel,
    /// Text on that.
    pub on_accent: Pixel,
    /// Lines between things.
    pub line: Pixel,
    /// The title bar of the window with the focus, and of others.
    pub title: (Pixel, Pixel),
    /// A button, and one under the pointer.
    pub button: (Pixel, Pixel),
    /// What is dangerous or late.
    pub alarm: Pixel,
    /// What is well.
    pub good: Pixel,
}

impl Palette {
    /// A theme's colours.
    #[must_use]
    pub const fn of(theme: Theme) -> Self {
        match theme {
            Theme::Light => Self {
                desktop: (rgb(0x8f_b3_d9), rgb(0xd9_e4_ec)),
                ground: rgb(0xfb_fb_fa),
                raised: rgb(0xee_f0_f2),
                text: rgb(0x1d_22_29),
                faint: rgb(0x5c_66_73),
                accent: rgb(0x1f_6f_c5),
                on_accent: rgb(0xff_ff_ff),
                line: rgb(0xcc_d2_d8),
                title: (rgb(0xe2_e7_ec), rgb(0xf2_f3_f5)),
                button: (rgb(0xe4_e8_ec), rgb(0xd3_da_e1)),
                alarm: rgb(0xc4_2b_1c),
                good: rgb(0x2a_8a_4a),
            },
            Theme::Dark => Self {
                desktop: (rgb(0x1b_2a_41), rgb(0x0c_12_1c)),
                ground: rgb(0x1c_20_27),
                raised: rgb(0x26_2b_34),
                text: rgb(0xe6_e9_ee),
                faint: rgb(0x97_a1_b0),
                accent: rgb(0x4c_9f_f0),
                on_accent: rgb(0x0b_12_1c),
                line: rgb(0x3a_41_4d),
                title: (rgb(0x31_38_44), rgb(0x24_29_31)),
                button: (rgb(0x36_3e_4a), rgb(0x45_4f_5e)),
                alarm: rgb(0xf0_6a_5c),
                good: rgb(0x5f_c9_7f),
            },
            Theme::HighContrast => Self {
                desktop: (rgb(0x00_00_00), rgb(0x00_00_00)),
                ground: rgb(0x00_00_00),
                raised: rgb(0x00_00_00),
                text: rgb(0xff_ff_ff),
                faint: rgb(0xff_ff_ff),
                accent: rgb(0xff_e6_00),
                on_accent: rgb(0x00_00_00),
                line: rgb(0xff_ff_ff),
                title: (rgb(0x00_3c_b4), rgb(0x00_00_00)),
                button: (rgb(0x20_20_20), rgb(0x00_5a_ff)),
                alarm: rgb(0xff_6b_6b),
                good: rgb(0x6b_ff_6b),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance (WCAG 2.2).
    fn luminance(pixel: Pixel) -> f64 {
        let part = |shift: u32| {
            let value = f64::from(pixel >> shift & 0xff) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * part(16) + 0.7152 * part(8) + 0.0722 * part(0)
    }

    fn contrast(one: Pixel, other: Pixel) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn text_can_be_read() {
        for (theme, least) in [
            (Theme::Light, 4.5),
            (Theme::Dark, 4.5),
            (Theme::HighContrast, 7.0),
        ] {
            let palette = Palette::of(theme);
            for (text, ground) in [
                (palette.text, palette.ground),
                (palette.text, palette.raised),
                (palette.text, palette.title.0),
                (palette.faint, palette.ground),
                (palette.faint, palette.raised),
                (palette.text, palette.button.0),
                (palette.on_accent, palette.accent),
            ] {
                let contrast = contrast(text, ground);
                assert!(
                    contrast >= least,
                    "{theme:?}: {text:08x} on {ground:08x}: {contrast:.2}"
                );
            }
        }
    }
}
