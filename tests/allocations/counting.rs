//! An allocator that counts what the calling thread takes from the heap while it is asked to, and
//! how much it holds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// See the module's header.
pub(crate) struct Counting;

thread_local! {
    /// `None`: not counting. A plain cell that needs no destructor: the allocator may touch it at
    /// any time of a thread's life, and touching it never allocates.
    static COUNT: Cell<Option<u64>> = const { Cell::new(None) };
    /// Octets that the thread has taken and not given back. Below zero where it gives back what
    /// others have taken.
    static HELD: Cell<i64> = const { Cell::new(0) };
}

fn note() {
    COUNT.set(COUNT.get().map(|count| count + 1));
}

fn hold(bytes: i64) {
    HELD.set(HELD.get() + bytes);
}

/// Octets that this thread holds, from any beginning.
pub(crate) fn held() -> i64 {
    HELD.get()
}

/// Begins to count on this thread, from zero.
pub(crate) fn start() {
    COUNT.set(Some(0));
}

/// Ends counting: allocations of this thread since [`start`].
pub(crate) fn stop() -> u64 {
    COUNT.take().expect("it was counting")
}

// SAFETY: every method hands its arguments unchanged to `System` and gives back what that gave;
// the cell beside it never allocates and never unwinds.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: what the caller promises of `layout` is what `System` asks for.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        hold(layout.size() as i64);
        // SAFETY: `layout` has a size above zero, as our caller promised.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: like `alloc`; that the memory is zeroed is the business of `System`.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        hold(layout.size() as i64);
        // SAFETY: the caller's `layout` goes through as it came.
        unsafe { System.alloc_zeroed(layout) }
    }

    // SAFETY: `pointer` came from `System` with this layout, because all methods ask it.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note();
        hold(new_size as i64 - layout.size() as i64);
        // SAFETY: the caller promised a live block of `layout` and a new size that is valid.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    // SAFETY: giving back goes straight through.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        hold(-(layout.size() as i64));
        // SAFETY: a block that `System` gave out, given back once, as our caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}
