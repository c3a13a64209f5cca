//! The kernel, behind two enums: operations out ([`Op`]), facts in ([`Completion`]).
//!
//! Everything above this module is pure. `op`, `completion`, `staging` and `user_data` are the
//! vocabulary (no unsafe, no syscalls, used by the simulator too); the rest drives the real ring.

mod accept;
mod armed;
mod buf_ring;
pub mod completion;
mod dial;
pub mod doorbell;
pub mod driver;
mod fast_send;
mod files;
mod in_flight;
mod inherited;
pub mod op;
pub mod probe;
mod queues;
pub mod socket;
pub mod staging;
pub mod stats;
mod syscall;
pub mod user_data;

pub use completion::{AcceptFault, Completion, KernelFault, PeerAddr, RecvEnd};
pub use dial::DialConfig;
pub use doorbell::{ControlBell, Doorbell};
pub use driver::{Driver, DriverConfig, Wait};
pub use inherited::take_inherited;
pub use op::{FileSlot, ListenerId, Op, OpQueue, ShutdownHow, SourceId, TargetId};
pub use socket::{ListenAddr, ListenOptions, Listener};
pub use staging::{Piece, SegmentId, Staging};
pub use stats::DriverStats;
