//! Layouts and numbers that programs depend on.

use core::mem::{align_of, size_of};
use std::collections::HashSet;
extern crate std;

use crate::{
    call::{FAST_COUNT, TABLE},
    device::DeviceInfo,
    error::Error,
    handle::{Handle, HandleInfo, ObjectType, Rights},
    memory::{MapArgs, USER_BASE, USER_END, VmoInfo},
    message::{BufferArgs, Lengths, LongArgs, StartArgs},
    process::{
        ExitReport, JobInfo, JobLimits, ProcessInfo, Registers, ReservationArgs, ResidentArgs,
        ThreadArgs,
    },
    start::{StartBlock, StartHandle},
    time::TimePage,
};

#[test]
fn layouts_are_as_documented() {
    let sizes = [
        (size_of::<HandleInfo>(), 32),
        (size_of::<MapArgs>(), 40),
        (size_of::<VmoInfo>(), 32),
        (size_of::<LongArgs>(), 64),
        (size_of::<StartArgs>(), 128),
        (size_of::<BufferArgs>(), 32),
        (size_of::<JobLimits>(), 64),
        (size_of::<JobInfo>(), 136),
        (size_of::<ProcessInfo>(), 112),
        (size_of::<ThreadArgs>(), 56),
        (size_of::<ResidentArgs>(), 56),
        (size_of::<ReservationArgs>(), 32),
        (size_of::<Registers>(), 160),
        (size_of::<ExitReport>(), 192),
        (size_of::<TimePage>(), 64),
        (size_of::<StartBlock>(), 48),
        (size_of::<StartHandle>(), 40),
        (size_of::<DeviceInfo>(), 120),
    ];
    for (index, (size, documented)) in sizes.into_iter().enumerate() {
        assert_eq!(size, documented, "layout {index}");
    }
    assert_eq!(align_of::<ExitReport>(), 8);
    assert_eq!(core::mem::offset_of!(ExitReport, registers), 32);
    assert_eq!(core::mem::offset_of!(Registers, rip), 128);
    assert_eq!(core::mem::offset_of!(ProcessInfo, name), 64);
}

#[test]
fn numbers_rise_and_names_are_unique() {
    let mut names = HashSet::new();
    for pair in TABLE.windows(2) {
        assert!(
            (pair[0].call as u64) < pair[1].call as u64,
            "{}",
            pair[1].name
        );
    }
    for row in TABLE {
        assert!(names.insert(row.name));
        assert_eq!(crate::Call::from_raw(row.call as u64), Some(row.call));
    }
    assert!(TABLE.iter().any(|row| (row.call as u64) < FAST_COUNT));
    assert_eq!(crate::Call::from_raw(u64::MAX), None);
}

#[test]
fn errors_are_negative_and_come_back() {
    for &error in Error::ALL {
        assert!((error as i64) < 0);
        assert_eq!(Error::check(error.to_raw()), Err(error));
    }
    assert_eq!(Error::check(7), Ok(7));
    assert_eq!(Error::check(i64::MIN as u64), Err(Error::Unknown));
}

#[test]
fn handles_come_apart_as_they_were_put_together() {
    assert_eq!(Handle::NONE.parts(), None);
    for (slot, generation) in [(0, 0), (0, 1), (5, 7), (u32::MAX - 1, u32::MAX)] {
        assert_eq!(
            Handle::new(slot, generation).parts(),
            Some((slot, generation))
        );
    }
}

#[test]
fn every_type_has_a_number_and_can_be_inspected() {
    for &object in ObjectType::ALL {
        assert_eq!(ObjectType::from_raw(object as u32), Some(object));
        assert!(Rights::of_new(object).contains(Rights::INSPECT));
    }
}

#[test]
fn lengths_share_a_register() {
    let lengths = Lengths {
        bytes: 16384,
        handles: 16,
    };
    assert_eq!(Lengths::from_raw(lengths.to_raw()), lengths);
    assert!((lengths.to_raw() as i64) > 0, "not an error");
}

#[test]
fn a_page_stays_free_below_the_hole() {
    const { assert!(USER_BASE >= 0x1_0000 && USER_END < 1 << 47) };
}
