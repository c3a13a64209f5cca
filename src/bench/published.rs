//! How many messages each publisher of the run has sent, for the rings that receive them.
//!
//! A ring adds its own publishers' counts when it sends no more; what is outstanding can be known
//! when all have.

use std::sync::atomic::{AtomicU32, Ordering};

/// See the module's header.
pub(super) struct Published(Box<[AtomicU32]>);

impl Published {
    pub(super) fn new(publishers: u32) -> Self {
        Published((0..publishers).map(|_| AtomicU32::new(0)).collect())
    }

    pub(super) fn set(&self, publisher: u32, messages: u32) {
        self.0[publisher as usize].store(messages, Ordering::Release);
    }

    pub(super) fn of(&self, publisher: u32) -> u32 {
        self.0[publisher as usize].load(Ordering::Acquire)
    }
}
