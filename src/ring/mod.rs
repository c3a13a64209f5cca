//! The kernel, behind two enums: operations out ([`Op`]), facts in ([`Completion`]).
//!
//! Everything above this module is pure. `op`, `completion`, `staging` and `user_data` are the
//! vocabulary (no unsafe, no syscalls, used by the simulator too); the rest drives the real ring.

pub mod completion;
pub mod op;
pub mod probe;
pub mod staging;
pub mod user_data;

pub use completion::{AcceptFault, Completion, KernelFault, PeerAddr, RecvEnd};
pub use op::{FileSlot, ListenerId, Op, OpQueue, ShutdownHow};
pub use staging::{Piece, SegmentId, Staging};
