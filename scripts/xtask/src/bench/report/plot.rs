//! Pictures of samples as SVG: how they are distributed, and how they came one after the other.

use std::fmt::Write;

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 210.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 30.0;
/// The wide pictures of what came one after the other.
const WIDE: f64 = 940.0;
/// Bars of a histogram.
const BARS: usize = 46;
/// Points of a curve.
const POINTS: usize = 200;

/// Samples of one system.
#[derive(Clone, Debug)]
pub struct Series {
    /// Whose.
    pub name: String,
    /// The class that colours it.
    pub class: &'static str,
    /// As they came.
    pub samples: Vec<f64>,
}

/// A number, short: `950`, `12.3k`, `4.5M`.
pub fn short(value: f64) -> String {
    let (scaled, suffix) = match value {
        value if value >= 1e9 => (value / 1e9, "G"),
        value if value >= 1e6 => (value / 1e6, "M"),
        value if value >= 1e4 => (value / 1e3, "k"),
        value => (value, ""),
    };
    if suffix.is_empty() || scaled >= 100.0 {
        format!("{scaled:.0}{suffix}")
    } else {
        format!("{scaled:.1}{suffix}")
    }
}

/// The value with two digits, all others being zeroes.
fn two_digits(value: f64) -> f64 {
    let unit = 10_f64.powf(value.max(1.0).log10().floor() - 1.0);
    (value / unit).round() * unit
}

/// From values to places along an axis that shows each power of ten as wide as any other.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn of(series: &[Series], from: f64, to: f64) -> Self {
        let all = || series.iter().flat_map(|series| &series.samples);
        let low = all().copied().reduce(f64::min).unwrap_or(1.0).max(1.0);
        let high = all().copied().fold(1.0, f64::max).max(low * 1.5);
        Self {
            low: (low * 0.9).max(1.0).ln(),
            high: (high * 1.1).ln(),
            from,
            to,
        }
    }

    /// 0 to 1.
    fn part(&self, value: f64) -> f64 {
        ((value.max(1.0).ln() - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    fn place(&self, value: f64) -> f64 {
        self.from + self.part(value) * (self.to - self.from)
    }

    /// Values worth a line: 1, 2 and 5 of each power of ten, fewer where that would be many.
    fn ticks(&self) -> Vec<f64> {
        let decades = (self.high - self.low) / std::f64::consts::LN_10;
        let steps: &[f64] = if decades > 3.0 {
            &[1.0]
        } else {
            &[1.0, 2.0, 5.0]
        };
        let exponents =
            (self.low.exp().log10().floor() as i32)..=(self.high.exp().log10().ceil() as i32);
        let ticks = exponents
            .flat_map(|exponent| steps.iter().map(move |step| step * 10_f64.powi(exponent)));
        let ticks: Vec<f64> = ticks
            .filter(|tick| (self.low..=self.high).contains(&tick.ln()))
            .collect();
        if ticks.len() > 1 {
            return ticks;
        }
        // A narrow axis: its ends and middle, roughly.
        let parts = [0.1, 0.5, 0.9].map(|part| self.low + part * (self.high - self.low));
        parts.map(|place| two_digits(place.exp())).to_vec()
    }
}

fn open(width: f64, label: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {width} {HEIGHT}\" width=\"{width}\" height=\"{HEIGHT}\" role=\"img\" aria-label=\"{label}\">"
    )
}

/// Bars for how often each value came, and a curve for the share of samples up to it.
pub fn distribution(series: &[Series], unit: &str, label: &str) -> String {
    let mut svg = open(WIDTH, label);
    let axis = Axis::of(series, LEFT, WIDTH - RIGHT);
    let floor = HEIGHT - BOTTOM;
    for tick in axis.ticks() {
        let (x, text) = (axis.place(tick), short(tick));
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{floor}\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
            floor + 13.0
        );
    }
    for percent in [0, 50, 100] {
        let y = floor - f64::from(percent) / 100.0 * (floor - TOP);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{percent} %</text>",
            WIDTH - RIGHT,
            LEFT - 5.0,
            y + 3.5
        );
    }
    let _ = write!(
        svg,
        "<text class=\"unit\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{unit}</text>",
        WIDTH - RIGHT,
        HEIGHT - 4.0
    );
    for series in series {
        let mut counts = [0_usize; BARS];
        for sample in &series.samples {
            let bar = (axis.part(*sample) * BARS as f64) as usize;
            counts[bar.min(BARS - 1)] += 1;
        }
        let most = counts.iter().copied().max().unwrap_or(1).max(1) as f64;
        let width = (axis.to - axis.from) / BARS as f64;
        for (bar, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            // A single sample is seen too.
            let height = (*count as f64 / most * (floor - TOP) * 0.9).max(1.5);
            let _ = write!(
                svg,
                "<rect class=\"bar {}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
                series.class,
                axis.from + bar as f64 * width,
                floor - height,
                width - 0.5,
            );
        }
    }
    for series in series {
        let mut sorted = series.samples.clone();
        sorted.sort_by(f64::total_cmp);
        let mut path = String::new();
        for point in 0..=POINTS {
            let part = point as f64 / POINTS as f64;
            let index = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
            let Some(value) = sorted.get(index) else {
                break;
            };
            let letter = if point == 0 { 'M' } else { 'L' };
            let _ = write!(
                path,
                "{letter}{:.1} {:.1}",
                axis.place(*value),
                floor - part * (floor - TOP)
            );
        }
        let _ = write!(svg, "<path class=\"curve {}\" d=\"{path}\"/>", series.class);
    }
    svg + "</svg>"
}

/// A point for each sample, one after the other.
pub fn sequence(series: &[Series], unit: &str, label: &str) -> String {
    let mut svg = open(WIDE, label);
    let floor = HEIGHT - BOTTOM;
    // Upwards.
    let axis = Axis::of(series, floor, TOP);
    for tick in axis.ticks() {
        let (y, text) = (axis.place(tick), short(tick));
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            WIDE - RIGHT,
            LEFT - 5.0,
            y + 3.5
        );
    }
    let longest = series.iter().map(|series| series.samples.len()).max();
    let longest = longest.unwrap_or(1).max(2);
    let step = (WIDE - LEFT - RIGHT) / (longest - 1) as f64;
    for series in series {
        let mut path = String::new();
        // A stroke of no length with round ends is a point: one path is smaller than thousands of circles.
        for (number, sample) in series.samples.iter().enumerate() {
            let _ = write!(
                path,
                "M{:.1} {:.1}h0",
                LEFT + number as f64 * step,
                axis.place(*sample)
            );
        }
        let _ = write!(
            svg,
            "<path class=\"points {}\" d=\"{path}\"/>",
            series.class
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{LEFT}\" y=\"{:.1}\">1</text><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{longest}</text><text class=\"unit\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">one after the other; {unit}</text>",
        floor + 13.0,
        WIDE - RIGHT,
        floor + 13.0,
        WIDE / 2.0,
        HEIGHT - 6.0
    );
    svg + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(samples: &[f64]) -> Series {
        Series {
            name: "Raede".into(),
            class: "raede",
            samples: samples.to_vec(),
        }
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(short(0.0), "0");
        assert_eq!(short(9999.0), "9999");
        assert_eq!(short(12_345.0), "12.3k");
        assert_eq!(short(123_456.0), "123k");
        assert_eq!(short(4_500_000.0), "4.5M");
    }

    #[test]
    fn any_samples_give_a_picture_without_nonsense() {
        for samples in [&[][..], &[0.0], &[5.0; 9], &[1.0, 1e3, 1e9, 0.0]] {
            for svg in [
                distribution(&[series(samples)], "ns", "x"),
                sequence(&[series(samples)], "ns", "x"),
            ] {
                assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"));
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            }
        }
    }

    #[test]
    fn a_larger_value_is_further_right_and_higher_up() {
        let both = [series(&[10.0, 1000.0])];
        let axis = Axis::of(&both, 0.0, 100.0);
        assert!(axis.place(10.0) < axis.place(100.0) && axis.place(100.0) < axis.place(1000.0));
        let upwards = Axis::of(&both, 100.0, 0.0);
        assert!(upwards.place(10.0) > upwards.place(1000.0));
    }
}
