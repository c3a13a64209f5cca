//! Memory for parcels and frames that live about a turn: cut from pieces that are used again.
//!
//! Owns a few pieces of memory. Each message becomes a reference-counted slice of the current one;
//! when that is used up, the next is a piece of which no slice is left, and the heap is asked only
//! if there is none.
//!
//! Invariants: P1 a slice keeps its whole piece, so who may hold many of them for longer than the
//! fan-out that they wait for copies them with [`keep`]: queues of slow connections and backlogs;
//! lanes do not, their entries are bounded; P2 what is longer than `PRESS_CUT_BYTES_MAX`
//! has memory of its own; P3 at most `PRESS_PIECES` pieces are kept for later.

use bytes::{Bytes, BytesMut};

use crate::limits::{PRESS_CUT_BYTES_MAX, PRESS_PIECE_BYTES, PRESS_PIECES};

/// See the module's header.
#[derive(Debug, Default)]
pub struct Press {
    pieces: Vec<BytesMut>,
    at: usize,
}

impl Press {
    /// Copies `parts` one behind the other.
    pub fn press(&mut self, parts: &[&[u8]]) -> Bytes {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if len > PRESS_CUT_BYTES_MAX {
            return Bytes::from(parts.concat());
        }
        let piece = self.with_room(len);
        parts.iter().for_each(|part| piece.extend_from_slice(part));
        piece.split().freeze()
    }

    #[inline]
    fn with_room(&mut self, len: usize) -> &mut BytesMut {
        let has_room =
            self.pieces.get(self.at).is_some_and(|piece| piece.capacity() - piece.len() >= len);
        if !has_room {
            self.turn_over();
        }
        &mut self.pieces[self.at]
    }

    /// Goes on with a piece of which no slice is left: the first, because its memory is the one
    /// most likely to be in a cache.
    #[inline(never)]
    fn turn_over(&mut self) {
        // Whole or not at all: what is cut from the end of one would keep all of it in use.
        let free = self.pieces.iter_mut().position(|piece| piece.try_reclaim(PRESS_PIECE_BYTES));
        if let Some(free) = free {
            self.at = free;
            return;
        }
        let fresh = BytesMut::with_capacity(PRESS_PIECE_BYTES);
        if self.pieces.len() < PRESS_PIECES {
            self.at = self.pieces.len();
            self.pieces.push(fresh);
        } else {
            // The old piece goes with its last slice.
            self.at = (self.at + 1) % PRESS_PIECES;
            self.pieces[self.at] = fresh;
        }
    }
}

/// The same octets in memory of their own, which they may have already.
pub fn keep(frame: &Bytes) -> Bytes {
    if frame.len() > PRESS_CUT_BYTES_MAX { frame.clone() } else { Bytes::copy_from_slice(frame) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_what_was_pressed_however_long_and_for_as_long_as_they_live() {
        let mut press = Press::default();
        let mut kept = Vec::new();
        for round in 0..20_000_usize {
            let octets = vec![round as u8; round * 7 % (2 * PRESS_CUT_BYTES_MAX)];
            let slice = press.press(&[b"head", &octets, b""]);
            assert_eq!(slice, [b"head", &octets[..]].concat());
            if round % 97 == 0 {
                kept.push((slice, octets));
            }
            if round % 1000 == 0 {
                kept.clear();
            }
            for (slice, octets) in &kept[kept.len().saturating_sub(3)..] {
                assert_eq!(slice[4..], octets[..]);
            }
        }
        assert!(press.pieces.len() <= PRESS_PIECES);
    }

    #[test]
    fn a_piece_is_used_again_once_its_slices_are_gone_and_not_before() {
        let mut press = Press::default();
        let octets = [7; PRESS_CUT_BYTES_MAX];
        let cuts = PRESS_PIECE_BYTES / PRESS_CUT_BYTES_MAX;
        let first: Vec<Bytes> = (0..cuts).map(|_| press.press(&[&octets])).collect();
        let start = first[0].as_ptr();
        let other = press.press(&[&octets]);
        assert_eq!(press.pieces.len(), 2, "the first piece is in use");
        drop(first);
        let more: Vec<Bytes> = (0..cuts).map(|_| press.press(&[&octets])).collect();
        assert_eq!(more[cuts - 1].as_ptr(), start, "and now it is free");
        assert_eq!(press.pieces.len(), 2);
        drop(other);
    }

    #[test]
    fn what_is_kept_has_memory_of_its_own() {
        let mut press = Press::default();
        let slice = press.press(&[b"small"]);
        let kept = keep(&slice);
        assert_ne!(kept.as_ptr(), slice.as_ptr());
        let large = press.press(&[&[7; PRESS_CUT_BYTES_MAX + 1]]);
        assert_eq!(keep(&large).as_ptr(), large.as_ptr());
        assert_eq!((kept, keep(&large)), (slice, large));
    }
}
