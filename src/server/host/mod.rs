//! What the server has to know of its host: its memory before it starts, and everything else for
//! `ringwire doctor`.
//!
//! `gather` looks and judges nothing; `examine` judges and looks at nothing.

pub mod facts;
pub mod finding;
pub mod findings;
mod gather;
mod machine;
pub mod memory;
mod network;
pub mod sysctls;
#[cfg(test)]
mod tests;

pub use facts::{Card, Conntrack, Facts, Tracking};
pub use finding::{Finding, Verdict, grouped};
pub use findings::{Wanted, examine};
pub use gather::gather;
pub use memory::HostMemory;
