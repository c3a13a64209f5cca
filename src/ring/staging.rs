//! Memory of one turn's sends: what the fast path hands to the kernel.
//!
//! Owns an arena of fixed size, references to shared frames, and chains of segments that point
//! into both. The shard fills it during a turn; the driver reads it within one `submit` call and
//! the kernel keeps nothing of it after that (see [`super::op::Op::Send`]); the shard clears it
//! when the exceptions of that submit have been dealt with.
//!
//! Invariants: S1 the arena never reallocates; S2 a segment points at bytes below the arena's mark
//! or at a live shared frame; S3 a chain is acyclic, because a segment links only to a later one.

use bytes::Bytes;

/// Index of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentId(pub u32);

/// Where a segment's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// `len` bytes of the arena from `start`.
    Arena { start: u32, len: u32 },
    /// A whole shared frame.
    Shared { index: u32 },
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    piece: Piece,
    next: Option<SegmentId>,
}

/// See the module's header.
#[derive(Debug)]
pub struct Staging {
    arena: Vec<u8>,
    shared: Vec<Bytes>,
    segments: Vec<Segment>,
}

impl Staging {
    /// A staging area whose arena holds `arena_bytes`. Its memory is touched only as it is used.
    pub fn new(arena_bytes: usize) -> Self {
        assert!(arena_bytes <= u32::MAX as usize);
        Staging { arena: Vec::with_capacity(arena_bytes), shared: Vec::new(), segments: Vec::new() }
    }

    /// Octets still free in the arena.
    pub fn room(&self) -> usize {
        self.arena.capacity() - self.arena.len()
    }

    /// Where the next octet of the arena goes.
    pub fn mark(&self) -> u32 {
        self.arena.len() as u32
    }

    /// Appends to the arena; the caller has checked [`Self::room`].
    pub fn write(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.room(), "S1: the arena never reallocates");
        self.arena.extend_from_slice(bytes);
    }

    /// Appends a frame in two parts and gives the piece; the caller has checked [`Self::room`].
    pub fn write_frame(&mut self, head: &[u8], body: &[u8]) -> Piece {
        let (start, len) = (self.mark(), head.len() + body.len());
        assert!(len <= self.room(), "S1: the arena never reallocates");
        self.arena.extend_from_slice(head);
        self.arena.extend_from_slice(body);
        Piece::Arena { start, len: len as u32 }
    }

    /// The arena from `start` on, to be changed in place.
    pub fn tail_mut(&mut self, start: u32) -> &mut [u8] {
        &mut self.arena[start as usize..]
    }

    /// Takes back what was written after `mark`.
    pub fn rewind(&mut self, mark: u32) {
        self.arena.truncate(mark as usize);
    }

    /// Keeps a shared frame alive for this turn and gives the piece that names it.
    pub fn share(&mut self, frame: Bytes) -> Piece {
        self.shared.push(frame);
        Piece::Shared { index: self.shared.len() as u32 - 1 }
    }

    /// How many frames are kept: the index of the next one.
    pub fn shared_len(&self) -> u32 {
        self.shared.len() as u32
    }

    /// Starts a chain.
    pub fn chain(&mut self, piece: Piece) -> SegmentId {
        self.segments.push(Segment { piece, next: None });
        SegmentId(self.segments.len() as u32 - 1)
    }

    /// Appends to the chain whose last segment is `last`, and gives the new last one.
    pub fn extend(&mut self, last: SegmentId, piece: Piece) -> SegmentId {
        let id = self.chain(piece);
        self.segments[last.0 as usize].next = Some(id);
        id
    }

    /// Makes the last segment longer by the `len` octets that were just written, if they continue
    /// what it has of the arena. False when they do not.
    pub fn grow(&mut self, last: SegmentId, written: Piece) -> bool {
        let segment = &mut self.segments[last.0 as usize];
        match (segment.piece, written) {
            (Piece::Arena { start, len }, Piece::Arena { start: next, len: more })
                if start + len == next =>
            {
                segment.piece = Piece::Arena { start, len: len + more };
                true
            }
            (Piece::Arena { .. } | Piece::Shared { .. }, _) => false,
        }
    }

    /// The segment after `id` in its chain.
    pub fn next(&self, id: SegmentId) -> Option<SegmentId> {
        self.segments[id.0 as usize].next
    }

    /// The piece of a segment.
    pub fn piece(&self, id: SegmentId) -> Piece {
        self.segments[id.0 as usize].piece
    }

    /// The pieces of a chain, first to last.
    pub fn pieces(&self, first: SegmentId) -> impl Iterator<Item = &[u8]> {
        let mut at = Some(first);
        std::iter::from_fn(move || {
            let segment = self.segments[at?.0 as usize];
            at = segment.next;
            Some(self.bytes(segment.piece))
        })
    }

    /// The bytes of one piece.
    pub fn bytes(&self, piece: Piece) -> &[u8] {
        match piece {
            Piece::Arena { start, len } => &self.arena[start as usize..][..len as usize],
            Piece::Shared { index } => &self.shared[index as usize],
        }
    }

    /// The frame behind a shared piece.
    pub fn frame(&self, index: u32) -> &Bytes {
        &self.shared[index as usize]
    }

    /// True when nothing is staged.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Forgets everything; the memory stays for the next turn.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.shared.clear();
        self.segments.clear();
    }
}
