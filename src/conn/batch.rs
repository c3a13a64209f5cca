//! A topic's messages of one turn, as the outbox holds them for all their subscribers.

use std::ops::Range;

use bytes::Bytes;

use super::egress::Tag;
use crate::pubsub::envelope::TopicStay;
use crate::pubsub::policy::SlowConsumer;
use crate::pubsub::press::keep;
use crate::ring::{Piece, SegmentId};

/// A topic's messages of this turn, staged once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchId(pub(super) u32);

pub(super) struct Batch {
    pub(super) topic: TopicStay,
    pub(super) policy: SlowConsumer,
    pub(super) frames: Range<usize>,
    /// All frames in one piece; `None` when the arena had no room for them. Then each frame is a
    /// piece of its own, the first of them with this index among the shared ones.
    pub(super) whole: Option<Whole>,
    pub(super) first_shared: u32,
    /// The same compressed, by the size of the window.
    pub(super) compressed: Vec<(u8, BatchId)>,
}

impl Batch {
    pub(super) fn tag(&self) -> Tag {
        Tag::Message { topic: self.topic, policy: self.policy }
    }
}

/// A batch in one piece, with the one segment that all its subscribers share as long as it is all
/// that they are sent.
#[derive(Clone, Copy)]
pub(super) struct Whole {
    pub(super) piece: Piece,
    pub(super) segment: SegmentId,
}

/// A message of a batch.
pub(super) struct Frame {
    octets: Bytes,
    /// It was copied for somebody who is slow: all of them share the copy.
    is_kept: bool,
}

impl Frame {
    pub(super) fn new(octets: &Bytes) -> Self {
        Frame { octets: octets.clone(), is_kept: false }
    }

    pub(super) fn octets(&self) -> &Bytes {
        &self.octets
    }

    pub(super) fn len(&self) -> usize {
        self.octets.len()
    }

    /// For the queue of somebody who is slow: without the memory of others that it may share (P1 of
    /// `pubsub::press`).
    pub(super) fn keep(&mut self) -> Bytes {
        if !std::mem::replace(&mut self.is_kept, true) {
            self.octets = keep(&self.octets);
        }
        self.octets.clone()
    }
}
