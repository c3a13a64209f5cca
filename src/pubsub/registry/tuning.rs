//! What of a registry changes while it runs.

use super::Registry;
use crate::pubsub::policy::Policies;

impl Registry {
    /// How many topics there may be from now on. Those that are there stay, even when they are
    /// more.
    pub fn set_topics_max(&mut self, topics_max: usize) {
        self.topics_max = topics_max;
    }

    /// Other policies, also for the topics that are there: the next batch of each goes by them.
    pub fn set_policies(&mut self, policies: &Policies) {
        for (_, topic) in &mut self.topics {
            topic.policy = policies.of(&topic.name);
        }
    }
}
