//! Topics, pure: names and policies, the home's sequence, the subscribers of one shard, and the
//! envelopes in between. Knows connections by identifier only.

pub mod envelope;
pub mod home;
mod memberships;
pub mod policy;
pub mod press;
pub mod registry;
pub mod topic;
pub mod tuning;

pub use topic::{Topic, TopicFault, check_topic};

/// From a topic's name to its index in a slab. Names come from clients, so the hash is seeded.
type NameIndex = std::collections::HashMap<Box<str>, u32, foldhash::quality::RandomState>;
