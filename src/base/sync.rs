//! The atomics of what is lock-free here and in `shard`, under one name: `tests/loom` compiles the
//! same files with loom's in their place.

pub use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
