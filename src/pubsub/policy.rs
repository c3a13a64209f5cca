//! What a namespace decides for its topics.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// What becomes of a subscriber that does not read as fast as its topics are published to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowConsumer {
    /// Close it with its own code (4001); it reconnects and knows what it missed.
    #[default]
    Close,
    /// Drop the oldest messages that wait for it; the offsets show the gap.
    DropOldest,
    /// Keep only the newest message of each topic for it.
    Conflate,
}

impl SlowConsumer {
    /// All policies, in the order of their documentation.
    pub const ALL: [Self; 3] =
        [SlowConsumer::Close, SlowConsumer::DropOldest, SlowConsumer::Conflate];

    /// The name used in configuration and metrics.
    pub fn name(self) -> &'static str {
        match self {
            SlowConsumer::Close => "close",
            SlowConsumer::DropOldest => "drop_oldest",
            SlowConsumer::Conflate => "conflate",
        }
    }
}

impl fmt::Display for SlowConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SlowConsumer {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|policy| policy.name() == name);
        known.ok_or_else(|| format!("{name:?} is not one of close, drop_oldest, conflate"))
    }
}

/// The policies of all namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// For namespaces without an entry of their own.
    pub default: SlowConsumer,
    /// By namespace.
    pub namespaces: BTreeMap<String, SlowConsumer>,
}

impl Policies {
    /// The policy of a topic.
    pub fn of(&self, topic: &str) -> SlowConsumer {
        let namespace = topic.split_once(':').map_or("", |(namespace, _)| namespace);
        let own = self.namespaces.get(namespace);
        own.copied().unwrap_or(self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_overrides_the_default_for_its_topics_only() {
        let mut policies = Policies::default();
        policies.namespaces.insert("ticks".into(), SlowConsumer::Conflate);
        assert_eq!(policies.of("ticks:eurusd"), SlowConsumer::Conflate);
        assert_eq!(policies.of("ticks"), SlowConsumer::Close);
        assert_eq!(policies.of("ticksy:eurusd"), SlowConsumer::Close);
    }

    #[test]
    fn names_parse_back() {
        for policy in SlowConsumer::ALL {
            assert_eq!(policy.name().parse(), Ok(policy));
        }
        assert!("drop".parse::<SlowConsumer>().unwrap_err().contains("drop_oldest"));
    }
}
