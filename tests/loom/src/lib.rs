//! Ringwire's lock-free files as they are, with loom's atomics. `tests/models.rs` runs them.

/// What the files know of their own crate.
pub mod base {
    pub use crate::sync;
}

#[path = "../../../src/shard/admission.rs"]
pub mod admission;
#[path = "../../../src/base/lane.rs"]
pub mod lane;
pub mod sync;
