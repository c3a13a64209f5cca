//! What a topic's name may be. Pure; the one place that knows the rules.
//!
//! A name is UTF-8 of 1 to 200 octets without control characters. What stands before the first
//! colon is its namespace; a name without a colon is in the default namespace, the empty one.

use crate::limits::TOPIC_BYTES_MAX;

/// A topic's name that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Topic<'a>(&'a str);

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicFault {
    /// It has no characters.
    #[error("a topic's name may not be empty")]
    Empty,
    /// It has more octets than a name may have.
    #[error("a topic's name may have {TOPIC_BYTES_MAX} bytes at most")]
    TooLong,
    /// It holds a character that can't be seen and may harm a terminal or a log.
    #[error("a topic's name may not hold control characters")]
    ControlCharacter,
}

/// Checks a name against the rules.
pub fn check_topic(name: &str) -> Result<Topic<'_>, TopicFault> {
    if name.is_empty() {
        return Err(TopicFault::Empty);
    }
    if name.len() > TOPIC_BYTES_MAX {
        return Err(TopicFault::TooLong);
    }
    // Control characters are octets below 0x20, 0x7f, and 0x80 to 0x9f behind 0xc2: without any of
    // these there is none. Looks at all octets, because that takes several at a time.
    let may_control = |octet: u8| (octet < 0x20) | (octet == 0x7f) | (octet == 0xc2);
    let is_suspect = name.bytes().fold(false, |any, octet| any | may_control(octet));
    if is_suspect && name.chars().any(char::is_control) {
        return Err(TopicFault::ControlCharacter);
    }
    Ok(Topic(name))
}

impl<'a> Topic<'a> {
    /// The whole name.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// The part that carries the policy.
    pub fn namespace(self) -> &'a str {
        self.0.split_once(':').map_or("", |(namespace, _)| namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_counts_octets_and_both_edges_are_allowed() {
        assert_eq!(check_topic(""), Err(TopicFault::Empty));
        assert!(check_topic("a").is_ok());
        assert!(check_topic(&"a".repeat(200)).is_ok());
        assert_eq!(check_topic(&"a".repeat(201)), Err(TopicFault::TooLong));
        assert!(check_topic(&"é".repeat(100)).is_ok());
        assert_eq!(check_topic(&"é".repeat(101)), Err(TopicFault::TooLong));
    }

    #[test]
    fn control_characters_of_both_ranges_are_refused() {
        for bad in ["a\nb", "\0", "\u{7f}", "a\u{85}", "\u{1b}[2J"] {
            assert_eq!(check_topic(bad), Err(TopicFault::ControlCharacter), "{bad:?}");
        }
        assert!(check_topic("chat: lobby/ünï-✓").is_ok());
    }

    #[test]
    fn the_namespace_ends_at_the_first_colon() {
        let table = [("chat:a:b", "chat"), ("lobby", ""), (":x", ""), ("chat:", "chat")];
        for (name, namespace) in table {
            assert_eq!(check_topic(name).map(Topic::namespace), Ok(namespace));
        }
    }
}
