use super::*;
use core::sync::atomic::AtomicU32;
use std::vec::Vec;

fn counts(frames: usize) -> Vec<AtomicU32> {
    (0..frames).map(|_| AtomicU32::new(0)).collect()
}

#[test]
fn the_last_holder_frees() {
    let words = counts(8);
    let shares = ShareCounts::new(&words);
    let frame = 3 * FRAME_BYTES;
    assert_eq!(shares.share(frame), Err(ShareError::NotCounted { frame }));
    shares.begin(frame).unwrap();
    assert_eq!(shares.begin(frame), Err(ShareError::Counted { frame }));
    shares.share(frame).unwrap();
    assert_eq!((shares.count(frame), shares.count(0)), (2, 0));
    assert_eq!(shares.release(frame), Ok(false));
    assert_eq!(shares.release(frame), Ok(true));
    assert_eq!(shares.release(frame), Err(ShareError::NotCounted { frame }));
}

#[test]
fn there_is_an_end_to_holders_and_to_memory() {
    let words = counts(2);
    words[1].store(MOST_HOLDERS, core::sync::atomic::Ordering::Relaxed);
    let shares = ShareCounts::new(&words);
    let frame = FRAME_BYTES;
    assert_eq!(
        shares.share(frame),
        Err(ShareError::TooManyHolders { frame })
    );
    assert_eq!(shares.count(frame), MOST_HOLDERS);
    for frame in [1, 2 * FRAME_BYTES, u64::MAX, !0xfff] {
        assert_eq!(shares.begin(frame), Err(ShareError::NotCounted { frame }));
        assert_eq!(shares.count(frame), 0);
    }
    // 1 MiB per GiB.
    assert_eq!(ShareCounts::needed(1 << 30) * 4, 1 << 20);
    assert_eq!(ShareCounts::needed(u64::MAX), MAX_FRAMES as usize);
}

#[test]
fn holders_on_many_threads_free_each_frame_once() {
    let words = counts(1);
    let shares = ShareCounts::new(&words);
    shares.begin(0).unwrap();
    let freed: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                shares.share(0).unwrap();
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        shares.share(0).unwrap();
                        assert_eq!(shares.release(0), Ok(false));
                    }
                    usize::from(shares.release(0).unwrap())
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!((freed, shares.release(0)), (0, Ok(true)));
}
