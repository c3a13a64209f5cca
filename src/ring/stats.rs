//! What a driver counts. Plain numbers: the shard copies them out once a turn.

/// Counters of one driver since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DriverStats {
    /// Calls of `io_uring_enter`.
    pub enters: u64,
    /// Operations handed to the kernel.
    pub sqes: u64,
    /// Completions taken from the kernel.
    pub cqes: u64,
    /// Times that the completion queue was found overflowed. Nothing is lost by it.
    pub cq_overflows: u64,
    /// Times that the submission queue was full in the middle of a turn.
    pub sq_full: u64,
    /// Receives that ended because no buffer was free.
    pub starved: u64,
    /// Fast sends that were not taken whole.
    pub sends_short: u64,
    /// Fast sends of more pieces than the kernel takes at once: the rest was copied together.
    pub sends_gathered: u64,
    /// Closes that waited for a shutdown of the same descriptor.
    pub closes_deferred: u64,
    /// Cancels that found nothing to cancel: the operation had just ended.
    pub cancels_late: u64,
    /// Wake-ups of the control plane that failed.
    pub control_wakes_failed: u64,
    /// Closes that the kernel refused: always a bug, never a peer's doing.
    pub closes_failed: u64,
}
