//! What the server has to know of its host before it starts.

pub mod memory;

pub use memory::HostMemory;
