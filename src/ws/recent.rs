//! Compressed messages that were inflated lately, for who is sent the same octets many times over,
//! as the subscribers of one topic are whose connections one load generator holds.
//!
//! Only where nothing is carried over between messages: then equal octets mean equal messages.
//! Invariant: N1 it holds at most `RECENT_MESSAGES_MAX` messages, none of which is larger than
//! `RECENT_MESSAGE_BYTES_MAX`.

use crate::limits::{RECENT_MESSAGE_BYTES_MAX, RECENT_MESSAGES_MAX};

/// See the module's header.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Payload as sent, and what it becomes.
    messages: Vec<(Vec<u8>, Vec<u8>)>,
    /// The next one to be replaced.
    oldest: usize,
}

impl Recent {
    pub(super) fn find(&self, payload: &[u8]) -> Option<&[u8]> {
        let found = self.messages.iter().find(|(other, _)| other == payload)?;
        Some(&found.1)
    }

    pub(super) fn push(&mut self, payload: &[u8], message: &[u8]) {
        if message.len().max(payload.len()) > RECENT_MESSAGE_BYTES_MAX {
            return;
        }
        if self.messages.len() < RECENT_MESSAGES_MAX {
            return self.messages.push((payload.to_vec(), message.to_vec()));
        }
        let (kept_payload, kept_message) = &mut self.messages[self.oldest];
        kept_payload.clear();
        kept_payload.extend_from_slice(payload);
        kept_message.clear();
        kept_message.extend_from_slice(message);
        self.oldest = (self.oldest + 1) % RECENT_MESSAGES_MAX;
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.messages.iter().map(|(one, other)| one.capacity() + other.capacity()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_and_what_is_large_never_kept() {
        let mut recent = Recent::default();
        for number in 0..=RECENT_MESSAGES_MAX as u8 {
            recent.push(&[number], &[number; 3]);
        }
        assert_eq!(recent.find(&[0]), None);
        for number in 1..=RECENT_MESSAGES_MAX as u8 {
            assert_eq!(recent.find(&[number]), Some(&[number; 3][..]));
        }
        recent.push(b"large", &vec![0; RECENT_MESSAGE_BYTES_MAX + 1]);
        assert_eq!(recent.find(b"large"), None);
        assert!(recent.heap_bytes() <= RECENT_MESSAGES_MAX * 16);
    }
}
