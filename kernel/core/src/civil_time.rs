//! Dates: what the CMOS clock's registers say, and seconds since 1970.

use core::fmt;

/// A date and time of day in the Gregorian calendar, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CivilTime {
    /// Year, e.g. 2026.
    pub year: u16,
    /// Month, 1..=12.
    pub month: u8,
    /// Day of the month, 1..=31.
    pub day: u8,
    /// Hour, 0..=23.
    pub hour: u8,
    /// Minute, 0..=59.
    pub minute: u8,
    /// Second, 0..=59.
    pub second: u8,
}

/// First year that the clock is believed to mean when there is no century register.
const PIVOT_YEAR: u16 = 1970;
const SECONDS_PER_DAY: u64 = 86_400;

impl CivilTime {
    /// Seconds since 1970-01-01 00:00:00 UTC, leap seconds not counted; 0 for anything earlier.
    pub fn unix_seconds(&self) -> u64 {
        let days = days_from_epoch(
            u64::from(self.year),
            u64::from(self.month),
            u64::from(self.day),
        );
        let of_day =
            u64::from(self.hour) * 3600 + u64::from(self.minute) * 60 + u64::from(self.second);
        days * SECONDS_PER_DAY + of_day
    }

    /// The date that many seconds after 1970-01-01 00:00:00 UTC. Years beyond 65 535 come out as that.
    pub fn from_unix_seconds(seconds: u64) -> Self {
        let of_day = seconds % SECONDS_PER_DAY;
        // 400 years are 146 097 days; with years that begin in March, the leap day comes last.
        let days = seconds / SECONDS_PER_DAY + DAYS_TO_EPOCH;
        let era = days / DAYS_PER_ERA;
        let of_era = days % DAYS_PER_ERA;
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        let year = era.saturating_mul(400) + year_of_era + u64::from(month <= 2);
        Self {
            year: u16::try_from(year).unwrap_or(u16::MAX),
            month: month as u8,
            day: day as u8,
            hour: (of_day / 3600) as u8,
            minute: (of_day / 60 % 60) as u8,
            second: (of_day % 60) as u8,
        }
    }
}

/// Days of 400 Gregorian years.
const DAYS_PER_ERA: u64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_EPOCH: u64 = 719_468;

fn days_from_epoch(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 {
        year.saturating_sub(1)
    } else {
        year
    };
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * march_month + 2) / 5 + day.saturating_sub(1);
    let year_of_era = year % 400;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    (year / 400 * DAYS_PER_ERA + of_era).saturating_sub(DAYS_TO_EPOCH)
}

const fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

impl fmt::Display for CivilTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
        } = self;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

/// The CMOS clock's registers as read (MC146818A data sheet).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // register names
pub struct CmosTime {
    pub seconds: u8,
    pub minutes: u8,
    pub hours: u8,
    pub day: u8,
    pub month: u8,
    pub year: u8,
    /// The century register, where the firmware names one (ACPI 6.5 §5.2.9).
    pub century: Option<u8>,
    pub status_b: u8,
}

/// Status B: hours count to 24; else to 12 with bit 7 meaning afternoon.
const HOURS_24: u8 = 1 << 1;
/// Status B: registers are binary; else binary-coded decimal.
const BINARY: u8 = 1 << 2;
const AFTERNOON: u8 = 1 << 7;

impl CmosTime {
    /// The time these registers mean, or `None` if they mean none.
    pub fn decode(&self) -> Option<CivilTime> {
        let number = |value: u8| {
            if self.status_b & BINARY != 0 {
                return Some(value);
            }
            let (tens, ones) = (value >> 4, value & 0x0f);
            (tens <= 9 && ones <= 9).then_some(tens * 10 + ones)
        };
        let mut hour = if self.status_b & HOURS_24 != 0 {
            number(self.hours)?
        } else {
            let hour = number(self.hours & !AFTERNOON)?;
            if !(1..=12).contains(&hour) {
                return None;
            }
            hour % 12 + if self.hours & AFTERNOON != 0 { 12 } else { 0 }
        };
        let mut second = number(self.seconds)?;
        let minute = number(self.minutes)?;
        if second == 60 {
            // A leap second that the clock was set to: the one before will do.
            second = 59;
        }
        if hour == 24 && minute == 0 {
            hour = 0;
        }
        let of_century = u16::from(number(self.year)?);
        if of_century > 99 {
            return None;
        }
        let century = self
            .century
            .and_then(number)
            .map(u16::from)
            .filter(|c| (19..=29).contains(c));
        let year = match century {
            Some(century) => century * 100 + of_century,
            None if of_century < PIVOT_YEAR % 100 => PIVOT_YEAR / 100 * 100 + 100 + of_century,
            None => PIVOT_YEAR / 100 * 100 + of_century,
        };
        let (month, day) = (number(self.month)?, number(self.day)?);
        let valid = (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour <= 23
            && minute <= 59
            && second <= 59;
        valid.then_some(CivilTime {
            year,
            month,
            day,
            hour,
            minute,
            second,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BCD_24: CmosTime = CmosTime {
        seconds: 0x58,
        minutes: 0x59,
        hours: 0x23,
        day: 0x29,
        month: 0x02,
        year: 0x24,
        century: Some(0x20),
        status_b: HOURS_24,
    };

    #[test]
    fn known_dates() {
        let leap_day = BCD_24.decode().unwrap();
        assert_eq!(std::format!("{leap_day}"), "2024-02-29T23:59:58Z");
        assert_eq!(leap_day.unix_seconds(), 1_709_251_198);
        assert_eq!(CivilTime::from_unix_seconds(0).unix_seconds(), 0);
        let billennium = CivilTime::from_unix_seconds(1_000_000_000);
        assert_eq!(std::format!("{billennium}"), "2001-09-09T01:46:40Z");
    }

    #[test]
    fn the_four_register_forms() {
        let afternoon = CmosTime {
            status_b: 0,
            hours: 0x11 | AFTERNOON,
            ..BCD_24
        };
        assert_eq!(afternoon.decode().unwrap().hour, 23);
        let midnight = CmosTime {
            status_b: 0,
            hours: 0x12,
            ..BCD_24
        };
        assert_eq!(midnight.decode().unwrap().hour, 0);
        let noon = CmosTime {
            status_b: 0,
            hours: 0x12 | AFTERNOON,
            ..BCD_24
        };
        assert_eq!(noon.decode().unwrap().hour, 12);
        let binary = CmosTime {
            seconds: 58,
            minutes: 59,
            hours: 23,
            day: 29,
            month: 2,
            year: 24,
            century: None,
            status_b: HOURS_24 | BINARY,
        };
        assert_eq!(binary.decode(), BCD_24.decode());
        assert_eq!(
            CmosTime {
                year: 0x70,
                century: None,
                ..BCD_24
            }
            .decode(),
            None,
            "1970 had no 29 Feb"
        );
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(
            CmosTime {
                seconds: 0x5a,
                ..BCD_24
            }
            .decode(),
            None
        );
        assert_eq!(
            CmosTime {
                month: 0x13,
                ..BCD_24
            }
            .decode(),
            None
        );
        assert_eq!(
            CmosTime {
                day: 0x00,
                ..BCD_24
            }
            .decode(),
            None
        );
        assert_eq!(
            CmosTime {
                hours: 0xff,
                ..BCD_24
            }
            .decode(),
            None
        );
    }

    proptest! {
        #[test]
        fn seconds_survive_the_calendar(seconds in 0u64..253_402_300_800) {
            prop_assert_eq!(CivilTime::from_unix_seconds(seconds).unix_seconds(), seconds);
        }

        #[test]
        fn any_registers_are_taken(bytes in any::<[u8; 7]>(), century in any::<Option<u8>>(), status_b in any::<u8>()) {
            let [seconds, minutes, hours, day, month, year, _] = bytes;
            let time = CmosTime { seconds, minutes, hours, day, month, year, century, status_b };
            if let Some(time) = time.decode() {
                prop_assert_eq!(CivilTime::from_unix_seconds(time.unix_seconds()), time);
            }
        }
    }
}
