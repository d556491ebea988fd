//! Numbers of keys: those of Linux (input-event-codes.h), which virtio-input speaks too (virtio 1.2 § 5.8).

use pc_keyboard::KeyCode;

/// Each key that a PC's keyboard can have, with its number. Of two for one number the first counts.
const KEYS: [(KeyCode, u16); 120] = [
    (KeyCode::Escape, 1),
    (KeyCode::Key1, 2),
    (KeyCode::Key2, 3),
    (KeyCode::Key3, 4),
    (KeyCode::Key4, 5),
    (KeyCode::Key5, 6),
    (KeyCode::Key6, 7),
    (KeyCode::Key7, 8),
    (KeyCode::Key8, 9),
    (KeyCode::Key9, 10),
    (KeyCode::Key0, 11),
    (KeyCode::OemMinus, 12),
    (KeyCode::OemPlus, 13),
    (KeyCode::Backspace, 14),
    (KeyCode::Tab, 15),
    (KeyCode::Q, 16),
    (KeyCode::W, 17),
    (KeyCode::E, 18),
    (KeyCode::R, 19),
    (KeyCode::T, 20),
    (KeyCode::Y, 21),
    (KeyCode::U, 22),
    (KeyCode::I, 23),
    (KeyCode::O, 24),
    (KeyCode::P, 25),
    (KeyCode::Oem4, 26),
    (KeyCode::Oem6, 27),
    (KeyCode::Return, 28),
    (KeyCode::LControl, 29),
    (KeyCode::A, 30),
    (KeyCode::S, 31),
    (KeyCode::D, 32),
    (KeyCode::F, 33),
    (KeyCode::G, 34),
    (KeyCode::H, 35),
    (KeyCode::J, 36),
    (KeyCode::K, 37),
    (KeyCode::L, 38),
    (KeyCode::Oem1, 39),
    (KeyCode::Oem3, 40),
    (KeyCode::Oem8, 41),
    (KeyCode::LShift, 42),
    (KeyCode::Oem7, 43),
    (KeyCode::Z, 44),
    (KeyCode::X, 45),
    (KeyCode::C, 46),
    (KeyCode::V, 47),
    (KeyCode::B, 48),
    (KeyCode::N, 49),
    (KeyCode::M, 50),
    (KeyCode::OemComma, 51),
    (KeyCode::OemPeriod, 52),
    (KeyCode::Oem2, 53),
    (KeyCode::RShift, 54),
    (KeyCode::NumpadMultiply, 55),
    (KeyCode::LAlt, 56),
    (KeyCode::Spacebar, 57),
    (KeyCode::CapsLock, 58),
    (KeyCode::F1, 59),
    (KeyCode::F2, 60),
    (KeyCode::F3, 61),
    (KeyCode::F4, 62),
    (KeyCode::F5, 63),
    (KeyCode::F6, 64),
    (KeyCode::F7, 65),
    (KeyCode::F8, 66),
    (KeyCode::F9, 67),
    (KeyCode::F10, 68),
    (KeyCode::NumpadLock, 69),
    (KeyCode::ScrollLock, 70),
    (KeyCode::Numpad7, 71),
    (KeyCode::Numpad8, 72),
    (KeyCode::Numpad9, 73),
    (KeyCode::NumpadSubtract, 74),
    (KeyCode::Numpad4, 75),
    (KeyCode::Numpad5, 76),
    (KeyCode::Numpad6, 77),
    (KeyCode::NumpadAdd, 78),
    (KeyCode::Numpad1, 79),
    (KeyCode::Numpad2, 80),
    (KeyCode::Numpad3, 81),
    (KeyCode::Numpad0, 82),
    (KeyCode::NumpadPeriod, 83),
    (KeyCode::Oem5, 86),
    (KeyCode::F11, 87),
    (KeyCode::F12, 88),
    (KeyCode::Oem12, 89),
    (KeyCode::Oem10, 92),
    (KeyCode::Oem11, 93),
    (KeyCode::Oem9, 94),
    (KeyCode::NumpadEnter, 96),
    (KeyCode::RControl, 97),
    (KeyCode::NumpadDivide, 98),
    (KeyCode::PrintScreen, 99),
    (KeyCode::SysRq, 99),
    (KeyCode::RAltGr, 100),
    (KeyCode::Home, 102),
    (KeyCode::ArrowUp, 103),
    (KeyCode::PageUp, 104),
    (KeyCode::ArrowLeft, 105),
    (KeyCode::ArrowRight, 106),
    (KeyCode::End, 107),
    (KeyCode::ArrowDown, 108),
    (KeyCode::PageDown, 109),
    (KeyCode::Insert, 110),
    (KeyCode::Delete, 111),
    (KeyCode::Mute, 113),
    (KeyCode::VolumeDown, 114),
    (KeyCode::VolumeUp, 115),
    (KeyCode::PauseBreak, 119),
    (KeyCode::Oem13, 124),
    (KeyCode::LWin, 125),
    (KeyCode::RWin, 126),
    (KeyCode::Apps, 127),
    (KeyCode::Calculator, 140),
    (KeyCode::NextTrack, 163),
    (KeyCode::Play, 164),
    (KeyCode::PrevTrack, 165),
    (KeyCode::Stop, 166),
    (KeyCode::WWWHome, 172),
];

/// By number.
const KEY_OF: [Option<KeyCode>; 256] = {
    let mut table = [None; 256];
    let mut index = KEYS.len();
    // From the end, so that the first of two counts.
    while index > 0 {
        index -= 1;
        let (key, number) = KEYS[index];
        table[number as usize] = Some(key);
    }
    table
};

/// By key; 0: none, as no key has that number.
const NUMBER_OF: [u8; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < KEYS.len() {
        let (key, number) = KEYS[index];
        table[key as u8 as usize] = number as u8;
        index += 1;
    }
    table
};

/// The number of a key; `None` for codes that are no key's.
#[must_use]
pub fn number_of(code: KeyCode) -> Option<u16> {
    let number = *NUMBER_OF.get(usize::from(code as u8))?;
    (number != 0).then_some(u16::from(number))
}

/// The key of this number, if a PC's keyboard has it.
#[must_use]
pub fn key_of(number: u16) -> Option<KeyCode> {
    *KEY_OF.get(usize::from(number))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back_to_their_keys() {
        for (key, number) in KEYS {
            assert!(number < 256);
            assert_eq!(number_of(key), Some(number));
            let back = key_of(number).expect("in the table");
            assert_eq!(number_of(back), Some(number));
            assert!(back == key || key == KeyCode::SysRq);
        }
        assert_eq!((key_of(0), key_of(30)), (None, Some(KeyCode::A)));
        assert_eq!(number_of(KeyCode::Unknown), None);
    }
}
