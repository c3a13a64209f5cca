//! Stands in for `src/base/sync.rs`.
//!
//! loom takes a sequentially consistent access for one that acquires and releases, and so finds
//! faults that no machine has; only of fences it knows what they mean. So these accesses have the
//! fences around them that they stand for. Whatever is of one kind throughout, as the parts of a
//! signal are, may do just the same with them as without.
//!
//! Nor does loom order a plain store with a read-modify-write that happens at the same time: both
//! may find the value before. So stores are swaps here.

use loom::sync::atomic::{self, fence};

pub use loom::sync::atomic::{AtomicUsize, Ordering};

fn fenced<T>(order: Ordering, access: impl FnOnce() -> T) -> T {
    if order != Ordering::SeqCst {
        return access();
    }
    fence(order);
    let result = access();
    fence(order);
    result
}

/// See the module's header.
#[derive(Debug)]
pub struct AtomicBool(atomic::AtomicBool);

impl AtomicBool {
    pub fn new(value: bool) -> Self {
        AtomicBool(atomic::AtomicBool::new(value))
    }

    pub fn load(&self, order: Ordering) -> bool {
        fenced(order, || self.0.load(order))
    }

    pub fn store(&self, value: bool, order: Ordering) {
        self.swap(value, order);
    }

    pub fn swap(&self, value: bool, order: Ordering) -> bool {
        fenced(order, || self.0.swap(value, order))
    }
}

/// See the module's header.
#[derive(Debug)]
pub struct AtomicU64(atomic::AtomicU64);

impl AtomicU64 {
    pub fn new(value: u64) -> Self {
        AtomicU64(atomic::AtomicU64::new(value))
    }

    pub fn load(&self, order: Ordering) -> u64 {
        fenced(order, || self.0.load(order))
    }

    pub fn swap(&self, value: u64, order: Ordering) -> u64 {
        fenced(order, || self.0.swap(value, order))
    }

    pub fn fetch_or(&self, value: u64, order: Ordering) -> u64 {
        fenced(order, || self.0.fetch_or(value, order))
    }
}
