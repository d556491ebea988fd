//! Numbers for people.

use core::fmt;

/// A duration in ns, with three digits that matter: `123 ns`, `1.23 ms`, `75.0 s`.
pub struct Duration(pub u64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit_ns, unit) = match self.0 {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "us"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => (1_000_000_000, "s"),
        };
        let whole = self.0 / unit_ns;
        let thousandths = self.0 % unit_ns * 1000 / unit_ns;
        let text = match whole {
            _ if unit_ns == 1 => proto::Text::<32>::format(format_args!("{whole} {unit}")),
            0..10 => proto::Text::format(format_args!("{whole}.{:02} {unit}", thousandths / 10)),
            10..100 => proto::Text::format(format_args!("{whole}.{} {unit}", thousandths / 100)),
            _ => proto::Text::format(format_args!("{whole} {unit}")),
        };
        f.pad(&text)
    }
}

/// A number of bytes: `512 B`, `4.0 KiB`, `1.5 GiB`.
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shift, unit) = match self.0 {
            0..0x400 => (0, "B"),
            0x400..0x10_0000 => (10, "KiB"),
            0x10_0000..0x4000_0000 => (20, "MiB"),
            _ => (30, "GiB"),
        };
        let whole = self.0 >> shift;
        let tenths = (((self.0 - (whole << shift)) * 10) >> shift).min(9);
        let text = if shift == 0 {
            proto::Text::<32>::format(format_args!("{whole} {unit}"))
        } else {
            proto::Text::format(format_args!("{whole}.{tenths} {unit}"))
        };
        f.pad(&text)
    }
}

/// A share in thousandths, as per cent: `12.3 %`.
pub struct Permille(pub u64);

impl fmt::Display for Permille {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&proto::Text::<32>::format(format_args!(
            "{}.{} %",
            self.0 / 10,
            self.0 % 10
        )))
    }
}

/// `part` of `whole` in thousandths; 0 of nothing.
pub fn permille(part: u64, whole: u64) -> u64 {
    let share = (u128::from(part) * 1000)
        .checked_div(u128::from(whole))
        .unwrap_or(0);
    u64::try_from(share).unwrap_or(u64::MAX).min(1000)
}

/// Seconds with up to nine decimals, in ns: `2`, `0.25`, `.5`. `None` if it is no such number or
/// does not fit.
pub fn parse_seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let seconds: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let (nanoseconds, _) = fraction
        .bytes()
        .take(9)
        .fold((0, 100_000_000), |(sum, place), digit| {
            (sum + u64::from(digit - b'0') * place, place / 10)
        });
    seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;

    #[test]
    fn durations() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_234, "1.23 us"),
            (45_678, "45.6 us"),
            (456_789_000, "456 ms"),
            (75_000_000_000, "75.0 s"),
            (u64::MAX, "18446744073 s"),
        ] {
            assert_eq!(Duration(ns).to_string(), text);
        }
    }

    #[test]
    fn sizes_and_shares() {
        assert_eq!(Bytes(1023).to_string(), "1023 B");
        assert_eq!(Bytes(4096).to_string(), "4.0 KiB");
        assert_eq!(Bytes(3 << 29).to_string(), "1.5 GiB");
        assert_eq!(Bytes(u64::MAX).to_string(), "17179869183.9 GiB");
        assert_eq!(Permille(permille(1, 3)).to_string(), "33.3 %");
        assert_eq!(permille(5, 0), 0);
        assert_eq!(permille(u64::MAX, u64::MAX), 1000);
    }

    #[test]
    fn seconds() {
        assert_eq!(parse_seconds("2"), Some(2_000_000_000));
        assert_eq!(parse_seconds("0.25"), Some(250_000_000));
        assert_eq!(parse_seconds(".5"), Some(500_000_000));
        assert_eq!(parse_seconds("1."), Some(1_000_000_000));
        assert_eq!(parse_seconds("0.0000000019"), Some(1));
        for bad in ["", ".", "-1", "1e3", "x", "1.2.3", "99999999999999", " 1"] {
            assert_eq!(parse_seconds(bad), None, "{bad}");
        }
    }
}
