//! Rows as bytes.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};

use crate::process::{HandleRow, ProcessRow, ProcessState};
use crate::rows::{Bar, CoreRow, IrqRow, LogRow, MAX_CORES, PciRow, TaskId, TaskRow};
use crate::services::{Action, UnitLogRow, UnitRow, exit_status};
use crate::table::{BadRow, Full, MAX_ROW_BYTES, Reader, Row, Writer};
use crate::{
    Cursor, DateTime, HeapInfo, KindFrames, MAX_FRAME_KINDS, MemoryInfo, ScreenInfo, SystemInfo,
    Text, TimeInfo,
};

fn full_text<const N: usize>() -> Text<N> {
    Text::from_start(&"x".repeat(2 * N))
}

fn bytes_of<R: Serialize>(row: &R) -> Vec<u8> {
    let mut buffer = vec![0xaa; MAX_ROW_BYTES];
    let mut writer = Writer::new(&mut buffer);
    writer.push(row).expect("no row is longer than the maximum");
    let len = writer.len();
    buffer.truncate(len);
    buffer
}

fn there_and_back<R: Serialize + DeserializeOwned + PartialEq + core::fmt::Debug>(row: &R) {
    let bytes = bytes_of(row);
    let back: Vec<_> = Reader::<R>::new(&bytes).collect();
    assert_eq!(back.len(), 1);
    assert_eq!(back[0].as_ref().expect("it was just written"), row);
}

/// The longest rows there can be.
#[test]
fn the_largest_rows_fit() {
    there_and_back(&TaskRow {
        id: TaskId {
            core: u16::MAX,
            slot: u32::MAX,
            generation: u32::MAX,
        },
        name: full_text(),
        core: u16::MAX,
        deadline_ns: Some(u64::MAX),
        polls: u64::MAX,
        cpu_ns: u64::MAX,
        longest_poll_ns: u64::MAX,
        spawned_file: full_text(),
        spawned_line: u32::MAX,
        ..TaskRow::default()
    });
    there_and_back(&CoreRow {
        dispatches: u64::MAX,
        tsc_offset_ticks: i64::MIN,
        misses: [u64::MAX; crate::MISS_CAUSES.len()],
        ..CoreRow::default()
    });
    there_and_back(&IrqRow {
        vector: 255,
        source: full_text(),
        counts: [u64::MAX; MAX_CORES].into_iter().collect(),
    });
    let bar = Bar::Memory {
        address: u64::MAX,
        size: u64::MAX,
        is_64_bit: true,
        prefetchable: true,
    };
    there_and_back(&PciRow {
        class_text: full_text(),
        bars: [bar; 6],
        driver: full_text(),
        ..PciRow::default()
    });
    there_and_back(&LogRow {
        seq: u64::MAX,
        time_ns: u64::MAX,
        target: full_text(),
        text: full_text(),
        ..LogRow::default()
    });
    let kind = KindFrames {
        kind: full_text(),
        frames: u64::MAX,
    };
    there_and_back(&MemoryInfo {
        frame_bytes: u32::MAX,
        total_frames: u64::MAX,
        free_frames: u64::MAX,
        kinds: core::iter::repeat_n(kind, MAX_FRAME_KINDS).collect(),
        core_caches: [u32::MAX; MAX_CORES].into_iter().collect(),
        heap: HeapInfo {
            taken: u64::MAX,
            total: u64::MAX,
            used: u64::MAX,
            peak: u64::MAX,
            failed: u64::MAX,
        },
    });
    there_and_back(&TimeInfo {
        wall_clock: Some(DateTime::default()),
        timer: full_text(),
        ..TimeInfo::default()
    });
    there_and_back(&SystemInfo {
        version: full_text(),
        build: full_text(),
        boot_path: full_text(),
        command_line: full_text(),
        cpu: full_text(),
        cores: u16::MAX,
        screen: Some(ScreenInfo::default()),
    });
    there_and_back(&UnitRow {
        name: full_text(),
        process: Some(u64::MAX),
        exit_code: Some(i32::MIN),
        reason: full_text(),
        ..UnitRow::default()
    });
    there_and_back(&UnitLogRow {
        text: full_text(),
        ..UnitLogRow::default()
    });
}

#[test]
fn a_full_buffer_keeps_the_rows_it_has() {
    let row = HandleRow {
        handle: 1,
        ..HandleRow::default()
    };
    let one = bytes_of(&row).len();
    let mut buffer = vec![0; 2 * one + 1];
    let mut writer = Writer::new(&mut buffer);
    assert!(writer.is_empty());
    assert_eq!(writer.push(&row), Ok(()));
    assert_eq!(writer.push(&row), Ok(()));
    assert_eq!(writer.push(&row), Err(Full));
    let len = writer.len();
    assert_eq!(len, 2 * one);
    let read: Vec<_> = Reader::<HandleRow>::new(&buffer[..len]).collect();
    assert_eq!(read, [Ok(row), Ok(row)]);
    assert_eq!(Writer::new(&mut []).push(&row), Err(Full));
    assert_eq!(Writer::new(&mut [0; 2]).push(&row), Err(Full));
}

#[test]
fn what_is_wrong_is_named() {
    let bytes = bytes_of(&HandleRow::default());
    let cut: Vec<_> = Reader::<HandleRow>::new(&bytes[..bytes.len() - 1]).collect();
    assert_eq!(cut, [Err(BadRow::Cut)]);
    let mut trailing = bytes.clone();
    trailing[0] += 1;
    trailing.push(0);
    let read: Vec<_> = Reader::<HandleRow>::new(&trailing).collect();
    assert_eq!(read, [Err(BadRow::Trailing)]);
    // A bool is 0 or 1.
    let mut malformed = bytes;
    *malformed.last_mut().expect("not empty") = 7;
    let read: Vec<_> = Reader::<HandleRow>::new(&malformed).collect();
    assert_eq!(read, [Err(BadRow::Malformed)]);
}

#[test]
fn words_name_states() {
    assert_eq!(ProcessState::Ended { exit_code: -1 }.word(), "killed");
    assert_eq!(ProcessState::Ended { exit_code: -2 }.word(), "crashed");
    assert_eq!(ProcessState::Ended { exit_code: 3 }.exit_code(), Some(3));
    assert_eq!(ProcessState::Running.exit_code(), None);
    for action in Action::ALL {
        assert_eq!(Action::from_word(action.word()), Some(action));
    }
    assert_eq!(
        [-1, -2, 0, 7, 256 + 3].map(exit_status),
        [137, 134, 0, 7, 3]
    );
    assert_eq!(Cursor::of_process(3), Some(Cursor(3 << 32)));
    assert_eq!(Cursor::of_process(1 << 32), None);
}

fn process_row() -> impl Strategy<Value = ProcessRow> {
    (
        any::<(u64, u64, u32, u32, u64, u64)>(),
        ".{0,40}",
        any::<Option<i32>>(),
        any::<Option<u16>>(),
    )
        .prop_map(|(numbers, name, exit, core)| ProcessRow {
            id: numbers.0,
            name: Text::from_start(&name),
            job: numbers.1,
            state: exit.map_or(ProcessState::Running, |exit_code| ProcessState::Ended {
                exit_code,
            }),
            threads: numbers.2,
            handles: numbers.3,
            memory_bytes: numbers.4,
            cpu_ns: numbers.5,
            core,
            placement: crate::Placement::Resident,
            reserved: exit.map(|code| crate::Reserved {
                budget_ns: numbers.4,
                period_ns: numbers.5,
                soft: code > 0,
            }),
            late_jobs: numbers.2,
            throttled_jobs: numbers.3,
        })
}

/// Reads all rows of garbage; there is an end, and an error only at the end.
fn survives<R: Row>(bytes: &[u8]) {
    let rows: Vec<_> = Reader::<R>::new(bytes).collect();
    assert!(rows.len() <= bytes.len());
    let errors = rows.iter().filter(|row| row.is_err()).count();
    assert!(errors == 0 || (errors == 1 && rows.last().is_some_and(Result::is_err)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn rows_come_back_in_order(rows in prop::collection::vec(process_row(), 0..20), room in 0_usize..2000) {
        let mut buffer = vec![0; room];
        let mut writer = Writer::new(&mut buffer);
        let fitting = rows.iter().take_while(|row| writer.push(*row).is_ok()).count();
        let len = writer.len();
        let read: Result<Vec<ProcessRow>, _> = Reader::new(&buffer[..len]).collect();
        prop_assert_eq!(read.expect("all were written whole"), &rows[..fitting]);
    }

    #[test]
    fn garbage_is_an_error_and_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survives::<TaskRow>(&bytes);
        survives::<CoreRow>(&bytes);
        survives::<IrqRow>(&bytes);
        survives::<PciRow>(&bytes);
        survives::<LogRow>(&bytes);
        survives::<MemoryInfo>(&bytes);
        survives::<TimeInfo>(&bytes);
        survives::<SystemInfo>(&bytes);
        survives::<ProcessRow>(&bytes);
        survives::<HandleRow>(&bytes);
    }

    #[test]
    fn a_flipped_bit_is_an_error_or_another_row(row in process_row(), bit in any::<prop::sample::Index>()) {
        let mut bytes = bytes_of(&row);
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        survives::<ProcessRow>(&bytes);
    }
}
