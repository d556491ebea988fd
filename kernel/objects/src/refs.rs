//! Shared ownership that is allocated fallibly: what `Arc`, `Weak` and `Wake` are, without their abort when memory is short.
//!
//! The crate's only unsafe code. A [`Ref`] is a pointer; cloning it is one atomic addition. The counting is that of `Arc`: all
//! strong references together hold one weak one, so the memory goes with the last of either.

#![allow(unsafe_code)]

use alloc::alloc::{Layout, alloc, dealloc};
use core::{
    fmt,
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::Deref,
    ptr::NonNull,
    task::{RawWaker, RawWakerVTable, Waker},
};

use crate::atomics::{AtomicUsize, Ordering, acquire_fence};

struct Counted<T> {
    strong: AtomicUsize,
    /// Weak references, and one more while there are strong ones.
    weak: AtomicUsize,
    value: ManuallyDrop<T>,
}

/// There was no memory for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

impl From<NoMemory> for abi::Error {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

impl From<alloc::collections::TryReserveError> for NoMemory {
    fn from(_: alloc::collections::TryReserveError) -> Self {
        Self
    }
}

/// One of several owners of a value.
pub struct Ref<T> {
    counted: NonNull<Counted<T>>,
    _owns: PhantomData<Counted<T>>,
}

/// Knows a value without keeping it.
pub struct WeakRef<T> {
    counted: NonNull<Counted<T>>,
    _owns: PhantomData<Counted<T>>,
}

// SAFETY: as for `Arc`: owners on several threads share `&T`, and any of them may be the last, who drops it.
unsafe impl<T: Send + Sync> Send for Ref<T> {}
// SAFETY: as above; a `&Ref` can be cloned into a `Ref`.
unsafe impl<T: Send + Sync> Sync for Ref<T> {}
// SAFETY: as above; a `WeakRef` can become a `Ref`.
unsafe impl<T: Send + Sync> Send for WeakRef<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for WeakRef<T> {}

impl<T> Ref<T> {
    /// Bytes that each value takes with its counts: what to charge for.
    pub const BYTES: u64 = size_of::<Counted<T>>() as u64;

    /// The first owner of a value.
    ///
    /// # Errors
    /// [`NoMemory`]; the value is dropped.
    pub fn try_new(value: T) -> Result<Self, NoMemory> {
        let layout = Layout::new::<Counted<T>>();
        // SAFETY: the layout is not empty: it has two counts.
        let memory = unsafe { alloc(layout) }.cast::<Counted<T>>();
        let counted = NonNull::new(memory).ok_or(NoMemory)?;
        // SAFETY: fresh memory of that layout, owned here.
        unsafe {
            counted.write(Counted {
                strong: AtomicUsize::new(1),
                weak: AtomicUsize::new(1),
                value: ManuallyDrop::new(value),
            });
        }
        Ok(Self {
            counted,
            _owns: PhantomData,
        })
    }

    #[inline]
    fn counted(&self) -> &Counted<T> {
        // SAFETY: the memory lives while a reference does.
        unsafe { self.counted.as_ref() }
    }

    /// Whether both are the same object.
    #[must_use]
    #[inline]
    pub fn is(&self, other: &Self) -> bool {
        self.counted == other.counted
    }

    /// Knows it without keeping it.
    #[must_use]
    pub fn downgrade(&self) -> WeakRef<T> {
        self.counted().weak.fetch_add(1, Ordering::Relaxed);
        WeakRef {
            counted: self.counted,
            _owns: PhantomData,
        }
    }

    /// How many owners there are, for tests and listings: it may have changed already.
    #[must_use]
    pub fn owners(&self) -> usize {
        self.counted().strong.load(Ordering::Relaxed)
    }
}

impl<T> Deref for Ref<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.counted().value
    }
}

impl<T> Clone for Ref<T> {
    #[inline]
    fn clone(&self) -> Self {
        // The count cannot overflow: each owner takes memory, and none is ever forgotten.
        self.counted().strong.fetch_add(1, Ordering::Relaxed);
        Self {
            counted: self.counted,
            _owns: PhantomData,
        }
    }
}

impl<T> Drop for Ref<T> {
    #[inline]
    fn drop(&mut self) {
        if self.counted().strong.fetch_sub(1, Ordering::Release) == 1 {
            self.last_owner_goes();
        }
    }
}

impl<T> Ref<T> {
    #[cold]
    fn last_owner_goes(&mut self) {
        acquire_fence(&self.counted().strong);
        // The weak reference of all owners together: it goes even if the value's destructor unwinds.
        let _memory = WeakRef {
            counted: self.counted,
            _owns: PhantomData,
        };
        // SAFETY: the last owner drops the value, once; weak references do not look at it once `strong` is zero.
        unsafe { ManuallyDrop::drop(&mut (*self.counted.as_ptr()).value) };
    }
}

impl<T> WeakRef<T> {
    fn counts(&self) -> (&AtomicUsize, &AtomicUsize) {
        // SAFETY: the memory lives while a reference does; only the counts are borrowed, never the value, which its last owner
        // may be dropping.
        unsafe {
            (
                &(*self.counted.as_ptr()).strong,
                &(*self.counted.as_ptr()).weak,
            )
        }
    }

    /// An owner, if there still is one.
    #[must_use]
    pub fn upgrade(&self) -> Option<Ref<T>> {
        let (strong, _) = self.counts();
        strong
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |count| {
                (count != 0).then_some(count + 1)
            })
            .ok()?;
        Some(Ref {
            counted: self.counted,
            _owns: PhantomData,
        })
    }

    /// Whether both know the same object.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.counted == other.counted
    }

    /// Whether it knows this object.
    #[must_use]
    pub fn is_of(&self, owner: &Ref<T>) -> bool {
        self.counted == owner.counted
    }
}

impl<T> Clone for WeakRef<T> {
    fn clone(&self) -> Self {
        self.counts().1.fetch_add(1, Ordering::Relaxed);
        Self {
            counted: self.counted,
            _owns: PhantomData,
        }
    }
}

impl<T> Drop for WeakRef<T> {
    fn drop(&mut self) {
        let (_, weak) = self.counts();
        if weak.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        acquire_fence(weak);
        // SAFETY: the last reference of all; the value was dropped before, and the counts need no drop.
        unsafe { dealloc(self.counted.as_ptr().cast(), Layout::new::<Counted<T>>()) };
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> fmt::Debug for WeakRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(weak)")
    }
}

/// Something that a [`Waker`] can be made of, without allocation.
pub trait Wakeable: Send + Sync + 'static {
    /// What a wake does. It may come from any core, under no lock of the caller's.
    fn wake(this: &Ref<Self>)
    where
        Self: Sized;
}

impl<T: Wakeable> Ref<T> {
    const VTABLE: RawWakerVTable = RawWakerVTable::new(
        |data| {
            // SAFETY: the data is the pointer of a `Ref<T>` that the waker owns; this owner is kept.
            let owner = ManuallyDrop::new(unsafe { Self::from_data(data) });
            Self::into_raw_waker((*owner).clone())
        },
        |data| {
            // SAFETY: as above; this owner ends here.
            T::wake(&unsafe { Self::from_data(data) });
        },
        |data| {
            // SAFETY: as above; this owner is kept.
            T::wake(&ManuallyDrop::new(unsafe { Self::from_data(data) }));
        },
        |data| {
            // SAFETY: as above; this owner ends here.
            drop(unsafe { Self::from_data(data) });
        },
    );

    /// # Safety
    /// `data` came from [`Ref::into_raw_waker`], and its owner is not used twice.
    unsafe fn from_data(data: *const ()) -> Self {
        Self {
            // SAFETY: it came from a `NonNull`.
            counted: unsafe { NonNull::new_unchecked(data.cast_mut().cast()) },
            _owns: PhantomData,
        }
    }

    fn into_raw_waker(self) -> RawWaker {
        let data = ManuallyDrop::new(self).counted.as_ptr().cast_const().cast();
        RawWaker::new(data, &Self::VTABLE)
    }

    /// A waker that owns the value and wakes it.
    #[must_use]
    pub fn into_waker(self) -> Waker {
        // SAFETY: the table's functions keep the contract: they count owners, and `T` is Send and Sync.
        unsafe { Waker::from_raw(self.into_raw_waker()) }
    }
}

/// `Box::new` without its abort.
///
/// # Errors
/// [`NoMemory`]; the value is dropped.
pub fn try_box<T>(value: T) -> Result<alloc::boxed::Box<T>, NoMemory> {
    let layout = Layout::new::<T>();
    if layout.size() == 0 {
        return Ok(alloc::boxed::Box::new(value));
    }
    // SAFETY: the layout is not empty.
    let memory = NonNull::new(unsafe { alloc(layout) }.cast::<T>()).ok_or(NoMemory)?;
    // SAFETY: fresh memory of the layout that the box will free.
    Ok(unsafe {
        memory.write(value);
        alloc::boxed::Box::from_raw(memory.as_ptr())
    })
}
