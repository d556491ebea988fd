//! A task's memory: a head that the executor knows, then the future, later its output.

use alloc::alloc::{Layout, dealloc};
use core::{
    future::Future,
    mem::ManuallyDrop,
    pin::Pin,
    ptr::{NonNull, addr_of_mut},
    task::{Context, Poll},
};

use super::joincell::JoinCell;

/// How to treat a block whose future's type is forgotten.
#[derive(Debug)]
pub(crate) struct Vtable {
    /// Polls; `true` when the future is gone and the output in its place.
    poll: unsafe fn(NonNull<Head>, &mut Context<'_>) -> bool,
    drop_future: unsafe fn(NonNull<Head>),
    /// `None` if an output may just be forgotten.
    drop_output: Option<unsafe fn(NonNull<Head>)>,
    pub(crate) layout: Layout,
}

impl Vtable {
    /// Whether an output must be dropped.
    #[inline(always)]
    pub(crate) fn drops_output(&self) -> bool {
        self.drop_output.is_some()
    }
}

/// The start of every block.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Head {
    pub(crate) vtable: &'static Vtable,
    pub(crate) join: JoinCell,
}

#[cfg(not(loom))]
const _: () = assert!(
    size_of::<Head>() == 32,
    "the head of a block is half a line"
);

#[repr(C)]
union Stage<F: Future> {
    future: ManuallyDrop<F>,
    output: ManuallyDrop<F::Output>,
}

#[repr(C)]
struct Block<F: Future> {
    head: Head,
    stage: Stage<F>,
}

struct Typed<F>(F);

impl<F: Future> Typed<F> {
    const VTABLE: Vtable = Vtable {
        poll: poll::<F>,
        drop_future: drop_future::<F>,
        drop_output: if core::mem::needs_drop::<F::Output>() {
            Some(drop_output::<F::Output, F>)
        } else {
            None
        },
        layout: Layout::new::<Block<F>>(),
    };
}

/// The layout of the block of a future of this type.
pub(crate) const fn layout_of<F: Future>() -> Layout {
    Layout::new::<Block<F>>()
}

/// Writes a fresh block.
///
/// # Safety
/// `memory` is valid for writes of [`layout_of::<F>()`](layout_of).
#[inline]
pub(crate) unsafe fn write<F: Future>(memory: NonNull<u8>, future: F, tag: u32) -> NonNull<Head> {
    let block = memory.cast::<Block<F>>();
    // SAFETY: valid for writes by the caller's promise; fields are written in place, nothing is read.
    unsafe {
        addr_of_mut!((*block.as_ptr()).head).write(Head {
            vtable: &Typed::<F>::VTABLE,
            join: JoinCell::with_tag(tag),
        });
        addr_of_mut!((*block.as_ptr()).stage.future).write(ManuallyDrop::new(future));
    }
    block.cast()
}

/// # Safety
/// The block holds a live `F`, and nobody else accesses its stage.
unsafe fn poll<F: Future>(head: NonNull<Head>, context: &mut Context<'_>) -> bool {
    let block = head.cast::<Block<F>>().as_ptr();
    // SAFETY: the future lives in the block and is never moved out of it: pinned. The caller has it to
    // itself. When it is ready it is dropped in place before its output takes the place.
    unsafe {
        let future = addr_of_mut!((*block).stage.future).cast::<F>();
        match Pin::new_unchecked(&mut *future).poll(context) {
            Poll::Pending => false,
            Poll::Ready(output) => {
                core::ptr::drop_in_place(future);
                addr_of_mut!((*block).stage.output).write(ManuallyDrop::new(output));
                true
            }
        }
    }
}

/// # Safety
/// As for [`poll`]; the future is gone afterwards.
unsafe fn drop_future<F: Future>(head: NonNull<Head>) {
    let block = head.cast::<Block<F>>().as_ptr();
    // SAFETY: the caller's promise.
    unsafe { core::ptr::drop_in_place(addr_of_mut!((*block).stage.future).cast::<F>()) }
}

/// # Safety
/// The block holds an output that nobody took.
unsafe fn drop_output<T, F: Future<Output = T>>(head: NonNull<Head>) {
    let block = head.cast::<Block<F>>().as_ptr();
    // SAFETY: the caller's promise.
    unsafe { core::ptr::drop_in_place(addr_of_mut!((*block).stage.output).cast::<T>()) }
}

/// Polls the block's future; `true` when it finished.
///
/// # Safety
/// `head` is a block with a live future that nobody else accesses.
#[inline(always)]
pub(crate) unsafe fn poll_block(head: NonNull<Head>, context: &mut Context<'_>) -> bool {
    // SAFETY: the vtable belongs to the block's type; the rest is the caller's promise.
    unsafe { (head.as_ref().vtable.poll)(head, context) }
}

/// Drops the block's future in place.
///
/// # Safety
/// As for [`poll_block`]; the block holds nothing afterwards.
pub(crate) unsafe fn drop_future_of(head: NonNull<Head>) {
    // SAFETY: as above.
    unsafe { (head.as_ref().vtable.drop_future)(head) }
}

/// Drops the block's output in place.
///
/// # Safety
/// The task finished with an output, which the caller owns.
#[inline(always)]
pub(crate) unsafe fn drop_output_of(head: NonNull<Head>) {
    // SAFETY: as above.
    unsafe {
        if let Some(drop_output) = head.as_ref().vtable.drop_output {
            drop_output(head);
        }
    }
}

/// Moves the output out.
///
/// # Safety
/// The block's future has output type `T`; it finished with an output, which the caller owns.
pub(crate) unsafe fn take_output<T>(head: NonNull<Head>) -> T {
    // The stage lies behind the head at the alignment of the larger of future and output, which the
    // vtable's layout knows.
    // SAFETY: the stage is a union at the first multiple of the block's alignment behind the head (both
    // are `repr(C)`), and holds a `T` by the caller's promise.
    unsafe {
        let offset = size_of::<Head>().next_multiple_of(stage_alignment(head));
        head.cast::<u8>().add(offset).cast::<T>().read()
    }
}

/// # Safety
/// `head` is a live block.
unsafe fn stage_alignment(head: NonNull<Head>) -> usize {
    // The block's alignment is the larger of head's and stage's; the head's size is a multiple of the head's
    // alignment, so rounding up to the block's alignment gives the stage's offset in either case.
    // SAFETY: the caller's promise.
    unsafe { head.as_ref().vtable.layout.align() }
}

/// Returns a block that came straight from the allocator.
///
/// # Safety
/// `head` came from the global allocator with the layout of its vtable, and is not used again.
pub(crate) unsafe fn free_to_allocator(head: NonNull<Head>) {
    // SAFETY: the caller's promise.
    unsafe { dealloc(head.as_ptr().cast(), head.as_ref().vtable.layout) }
}
