//! Which parts of the screen changed.

use alloc::vec::Vec;

use draw::Rect;

/// Parts that changed; they do not overlap.
#[derive(Clone, Debug, Default)]
pub struct Damage {
    parts: Vec<Rect>,
}

/// Most parts; with more, those are joined that add least.
const MOST_PARTS: usize = 16;

impl Damage {
    /// Nothing changed.
    #[must_use]
    pub const fn new() -> Self {
        Self { parts: Vec::new() }
    }

    /// Adds what changed, as far as it lies on `screen`.
    pub fn add(&mut self, part: &Rect, screen: &Rect) {
        let mut part = part.and(screen);
        if part.is_empty() {
            return;
        }
        // Takes up what it overlaps, which may make it overlap more.
        while let Some(at) = self
            .parts
            .iter()
            .position(|other| !other.and(&part).is_empty())
        {
            let other = self.parts.swap_remove(at);
            if other.has_all(&part) {
                self.parts.push(other);
                return;
            }
            part = part.hull(&other);
        }
        self.parts.push(part);
        if self.parts.len() > MOST_PARTS {
            self.join_nearest(screen);
        }
    }

    /// Joins the two whose hull has the fewest pixels more than they have.
    fn join_nearest(&mut self, screen: &Rect) {
        let mut best = (u64::MAX, 0, 1);
        for (first, one) in self.parts.iter().enumerate() {
            for (second, other) in self.parts.iter().enumerate().skip(first + 1) {
                let more = one
                    .hull(other)
                    .area()
                    .saturating_sub(one.area() + other.area());
                if more < best.0 {
                    best = (more, first, second);
                }
            }
        }
        let (_, first, second) = best;
        if second < self.parts.len() {
            let other = self.parts.swap_remove(second);
            let one = self.parts.swap_remove(first);
            self.add(&one.hull(&other), screen);
        }
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The parts.
    #[must_use]
    pub fn parts(&self) -> &[Rect] {
        &self.parts
    }

    /// How many pixels.
    #[must_use]
    pub fn area(&self) -> u64 {
        self.parts.iter().map(Rect::area).sum()
    }

    /// Forgets it all.
    pub fn clear(&mut self) {
        self.parts.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_damage_is_there_once(rects in proptest::collection::vec((-10..90, -10..90, 0..30, 0..30), 0..60)) {
            let screen = Rect::new(0, 0, 80, 80);
            let mut damage = Damage::new();
            for (x, y, width, height) in &rects {
                damage.add(&Rect::new(*x, *y, *width, *height), &screen);
                prop_assert!(damage.parts().len() <= MOST_PARTS);
            }
            for (at, part) in damage.parts().iter().enumerate() {
                prop_assert!(screen.has_all(part) && !part.is_empty());
                prop_assert!(damage.parts()[at + 1..].iter().all(|other| part.and(other).is_empty()));
            }
            for (x, y, width, height) in rects {
                let rect = Rect::new(x, y, width, height).and(&screen);
                for y in rect.top..rect.bottom {
                    for x in rect.left..rect.right {
                        prop_assert!(damage.parts().iter().any(|part| part.has(x, y)));
                    }
                }
            }
        }
    }
}
