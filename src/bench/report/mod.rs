//! What a run of the load generator found, and how people and programs read it: as JSON, as text
//! and as one HTML page with plots.
//!
//! Owns no measurement: it is given numbers and shows them. It never opens a file or a socket but
//! for [`Machine::here`], which reads what the kernel says of itself.

mod charts;
pub mod fault;
pub mod headline;
pub mod html;
pub mod machine;
pub mod model;
pub mod plot;
pub mod progress;
pub mod text;
pub mod units;

pub use fault::{Fault, FaultCause, FaultLog};
pub use machine::Machine;
pub use model::{
    Connections, LatencySummary, Messages, Report, Scenario, ServerUsage, Settings, TimelinePoint,
};

#[cfg(test)]
mod tests;
