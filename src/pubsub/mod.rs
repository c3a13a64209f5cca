//! Topics and who hears them. Pure: knows connections by their identifiers only.

pub mod topic;

pub use topic::{Topic, TopicFault, check_topic};
