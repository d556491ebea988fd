//! Where something is.

/// A rectangle of pixels: from `left` and `top` on, up to but without `right` and `bottom`. Empty if they do not come after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rect {
    /// First column.
    pub left: i32,
    /// First row.
    pub top: i32,
    /// The column behind the last one.
    pub right: i32,
    /// The row behind the last one.
    pub bottom: i32,
}

impl Rect {
    /// Nothing.
    pub const EMPTY: Self = Self::new(0, 0, 0, 0);

    /// From a corner and sizes.
    #[must_use]
    pub const fn new(left: i32, top: i32, width: i32, height: i32) -> Self {
        Self {
            left,
            top,
            right: left.saturating_add(width),
            bottom: top.saturating_add(height),
        }
    }

    /// How wide; 0 if empty.
    #[must_use]
    pub const fn width(&self) -> i32 {
        let width = self.right.saturating_sub(self.left);
        if width < 0 { 0 } else { width }
    }

    /// How high; 0 if empty.
    #[must_use]
    pub const fn height(&self) -> i32 {
        let height = self.bottom.saturating_sub(self.top);
        if height < 0 { 0 } else { height }
    }

    /// Whether there is no pixel in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.width() == 0 || self.height() == 0
    }

    /// How many pixels.
    #[must_use]
    pub const fn area(&self) -> u64 {
        self.width() as u64 * self.height() as u64
    }

    /// What both have.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let both = Self {
            left: self.left.max(other.left),
            top: self.top.max(other.top),
            right: self.right.min(other.right),
            bottom: self.bottom.min(other.bottom),
        };
        if both.is_empty() { Self::EMPTY } else { both }
    }

    /// The smallest that has both.
    #[must_use]
    pub fn hull(&self, other: &Self) -> Self {
        if self.is_empty() {
            return *other;
        }
        if other.is_empty() {
            return *self;
        }
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }

    /// Whether all of `other` is in it; nothing is in everything.
    #[must_use]
    pub fn has_all(&self, other: &Self) -> bool {
        other.is_empty() || self.and(other) == *other
    }

    /// Whether a pixel is in it.
    #[must_use]
    pub const fn has(&self, x: i32, y: i32) -> bool {
        x >= self.left && x < self.right && y >= self.top && y < self.bottom
    }

    /// The same elsewhere.
    #[must_use]
    pub const fn moved(&self, dx: i32, dy: i32) -> Self {
        Self {
            left: self.left.saturating_add(dx),
            top: self.top.saturating_add(dy),
            right: self.right.saturating_add(dx),
            bottom: self.bottom.saturating_add(dy),
        }
    }

    /// Larger by so much on each side, or smaller.
    #[must_use]
    pub const fn grown(&self, by: i32) -> Self {
        Self {
            left: self.left.saturating_sub(by),
            top: self.top.saturating_sub(by),
            right: self.right.saturating_add(by),
            bottom: self.bottom.saturating_add(by),
        }
    }

    /// What is left of it without `other`: at most four parts, the others empty.
    #[must_use]
    pub fn without(&self, other: &Self) -> [Self; 4] {
        let hole = self.and(other);
        if hole.is_empty() {
            return [*self, Self::EMPTY, Self::EMPTY, Self::EMPTY];
        }
        let middle = Self {
            top: hole.top,
            bottom: hole.bottom,
            ..*self
        };
        [
            Self {
                bottom: hole.top,
                ..*self
            },
            Self {
                right: hole.left,
                ..middle
            },
            Self {
                left: hole.right,
                ..middle
            },
            Self {
                top: hole.bottom,
                ..*self
            },
        ]
        .map(|part| if part.is_empty() { Self::EMPTY } else { part })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_rect() -> impl Strategy<Value = Rect> {
        (-20..20, -20..20, -3..25, -3..25)
            .prop_map(|(x, y, width, height)| Rect::new(x, y, width, height))
    }

    proptest! {
        #[test]
        fn a_pixel_is_in_what_it_should_be_in(one in any_rect(), other in any_rect(), x in -25..50, y in -25..50) {
            let (in_one, in_other) = (one.has(x, y), other.has(x, y));
            prop_assert_eq!(one.and(&other).has(x, y), in_one && in_other);
            prop_assert!(one.hull(&other).has(x, y) || !(in_one || in_other));
            let parts = one.without(&other);
            prop_assert_eq!(parts.iter().filter(|part| part.has(x, y)).count(), usize::from(in_one && !in_other));
            if one.has_all(&other) {
                prop_assert!(in_one || !in_other);
            }
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        let all = Rect::new(i32::MIN, i32::MIN, i32::MAX, i32::MAX).hull(&Rect::new(
            0,
            0,
            i32::MAX,
            i32::MAX,
        ));
        assert_eq!(all.width(), i32::MAX);
        assert!(all.grown(5).moved(9, -9).has_all(&Rect::new(-9, -9, 3, 3)));
    }
}
