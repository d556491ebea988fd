//! From a mouse's bytes to motion, wheel and buttons.
//!
//! A packet has three bytes, or four where there is a wheel: buttons, signs and overflows; way to the right; way up; wheel, and on
//! a mouse with five buttons the last two of them (IBM PS/2 Hardware Interface Technical Reference, "Mouse"; Microsoft, "Wheel
//! support in mice and similar devices").
//!
//! Nothing marks a packet's begin but bit 3 of its first byte, which can be set in others. So a byte may be lost, or a packet that
//! another instance of the driver had begun may go on, and the decoder is in step again: a byte that cannot be the first is
//! skipped, and a packet that pauses for longer than any mouse does is given up.

/// What a mouse can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mouse {
    /// Motion and three buttons.
    Plain,
    /// And a wheel.
    Wheel,
    /// And a wheel and two more buttons.
    FiveButtons,
}

impl Mouse {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Wheel, Self::FiveButtons];

    /// The number that it answers by.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Wheel => 3,
            Self::FiveButtons => 4,
        }
    }

    /// The mouse that answers by this number.
    #[must_use]
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|mouse| mouse.id() == id)
    }

    const fn packet_bytes(self) -> usize {
        match self {
            Self::Plain => 3,
            Self::Wheel | Self::FiveButtons => 4,
        }
    }
}

/// Buttons that are down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buttons {
    /// Left.
    pub left: bool,
    /// Right.
    pub right: bool,
    /// Middle: the wheel, pressed.
    pub middle: bool,
    /// The fourth.
    pub fourth: bool,
    /// The fifth.
    pub fifth: bool,
}

/// What a mouse said at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Tick of the interrupt of its first byte.
    pub stamp_ticks: u64,
    /// Counts to the right, at most 256 each way.
    pub right: i16,
    /// Counts down (towards the user), at most 256 each way.
    pub down: i16,
    /// Notches of the wheel towards the user.
    pub wheel_down: i8,
    /// What is down now.
    pub buttons: Buttons,
}

// Bits of the first byte.
const LEFT: u8 = 1 << 0;
const RIGHT: u8 = 1 << 1;
const MIDDLE: u8 = 1 << 2;
const ALWAYS: u8 = 1 << 3;
const X_SIGN: u8 = 1 << 4;
const Y_SIGN: u8 = 1 << 5;
const X_OVERFLOW: u8 = 1 << 6;
const Y_OVERFLOW: u8 = 1 << 7;
// Of the fourth byte, with five buttons.
const FOURTH: u8 = 1 << 4;
const FIFTH: u8 = 1 << 5;

/// Puts packets together.
#[derive(Clone, Debug)]
pub struct Packets {
    mouse: Mouse,
    pause_ticks: u64,
    bytes: [u8; 4],
    len: usize,
    begun_ticks: u64,
    last_ticks: u64,
    skipped: u64,
}

impl Packets {
    /// Longest pause within a packet, in ns: its bytes follow each other within 2 ms.
    pub const PAUSE_NS: u64 = 50_000_000;

    /// Between two packets of `mouse`; `pause_ticks` is [`PAUSE_NS`](Self::PAUSE_NS) in ticks.
    #[must_use]
    pub const fn new(mouse: Mouse, pause_ticks: u64) -> Self {
        Self {
            mouse,
            pause_ticks,
            bytes: [0; 4],
            len: 0,
            begun_ticks: 0,
            last_ticks: 0,
            skipped: 0,
        }
    }

    /// Bytes that belonged to no whole packet, so far.
    #[must_use]
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Takes the next byte; a packet if that completes one.
    pub fn decode(&mut self, byte: u8, stamp_ticks: u64) -> Option<Packet> {
        let pause = stamp_ticks.saturating_sub(self.last_ticks);
        self.last_ticks = stamp_ticks;
        if self.len > 0 && pause > self.pause_ticks {
            self.skipped += self.len as u64;
            self.len = 0;
        }
        if self.len == 0 {
            if byte & ALWAYS == 0 {
                self.skipped += 1;
                return None;
            }
            self.begun_ticks = stamp_ticks;
        }
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
        }
        self.len += 1;
        if self.len < self.mouse.packet_bytes() {
            return None;
        }
        self.len = 0;
        Some(self.packet())
    }

    fn packet(&self) -> Packet {
        let [flags, x, y, fourth] = self.bytes;
        let way = |low: u8, sign: u8, overflow: u8| match (flags & sign != 0, flags & overflow != 0)
        {
            (false, false) => i16::from(low),
            (true, false) => i16::from(low) - 256,
            // Further than it can say.
            (false, true) => 255,
            (true, true) => -256,
        };
        let (wheel_down, more) = match self.mouse {
            Mouse::Plain => (0, 0),
            Mouse::Wheel => (fourth as i8, 0),
            // The lower half is a signed number of four bits.
            Mouse::FiveButtons => (((fourth << 4) as i8) >> 4, fourth),
        };
        Packet {
            stamp_ticks: self.begun_ticks,
            right: way(x, X_SIGN, X_OVERFLOW),
            down: -way(y, Y_SIGN, Y_OVERFLOW),
            wheel_down,
            buttons: Buttons {
                left: flags & LEFT != 0,
                right: flags & RIGHT != 0,
                middle: flags & MIDDLE != 0,
                fourth: more & FOURTH != 0,
                fifth: more & FIFTH != 0,
            },
        }
    }
}
