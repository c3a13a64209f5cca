//! One connection, pure: what the protocol believes ([`phase`]), what the kernel still holds of us
//! ([`io_state`]), what waits to be sent ([`outbox`] for this turn, [`egress`] beyond it), and the
//! table that connections live in.

mod batch;
pub mod close_reason;
pub mod compression;
pub mod egress;
pub mod io_state;
pub mod link;
pub mod outbox;
pub mod phase;
pub mod table;

pub use close_reason::CloseReason;
pub use egress::Egress;
pub use io_state::{IoState, Pause, Recv, Send, Teardown};
pub use link::{Deadline, Link};
pub use outbox::Outbox;
pub use phase::{Phase, Trigger};
pub use table::{Conn, PartialHead, Stage, Table};
