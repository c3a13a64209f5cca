//! The last octets of what a peer has sent, for a peer that may refer to its earlier messages.
//!
//! Invariant: V1 it holds at most 2 to the power of its bits octets, and no memory before the first
//! message.

/// See the module's header.
#[derive(Debug)]
pub struct Window {
    octets: Vec<u8>,
    bytes_max: usize,
}

impl Window {
    /// An empty window of 2 to the power of `bits`.
    pub fn new(bits: u8) -> Self {
        Window { octets: Vec::new(), bytes_max: 1 << bits }
    }

    /// What the next message may refer to.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Heap octets that it holds.
    pub fn heap_bytes(&self) -> usize {
        self.octets.capacity()
    }

    /// Octets that it may come to hold.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// A message was inflated.
    pub fn push(&mut self, message: &[u8]) {
        if message.len() >= self.bytes_max {
            self.octets.clear();
            self.octets.reserve_exact(self.bytes_max);
            self.octets.extend_from_slice(&message[message.len() - self.bytes_max..]);
            return;
        }
        let excess = (self.octets.len() + message.len()).saturating_sub(self.bytes_max);
        self.octets.drain(..excess);
        // Not more than V1 allows, which doubling would.
        let needed = self.octets.len() + message.len();
        if needed > self.octets.capacity() {
            let capacity = (2 * needed).min(self.bytes_max);
            self.octets.reserve_exact(capacity - self.octets.len());
        }
        self.octets.extend_from_slice(message);
    }
}
