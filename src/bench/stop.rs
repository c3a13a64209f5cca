//! The wish that a run ends now, from whoever started it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// See the module's header. All clones are one.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// The run sends nothing new, takes what is on its way, and reports.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody has wished it.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
