//! The load generator: many connections in the client role on the same ring driver, what they
//! measured, and the report of it.

pub mod histogram;
pub mod report;
