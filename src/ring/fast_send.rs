//! Fast sends: tried at once, silent when the socket takes everything.
//!
//! Owns the message headers and iovecs of the sends between two submissions. MSG_DONTWAIT makes the
//! kernel finish with them, and with the staged bytes, while it takes the operation; MSG_WAITALL
//! makes it treat a short send as a failure, so that the completion is not skipped.
//!
//! Invariants: N1 neither array reallocates; N2 they are cleared only after a submission took all.

use io_uring::{opcode, squeue, types};

use super::in_flight::iovec;
use super::op::FileSlot;
use super::user_data::UserData;
use crate::base::ConnKey;
use crate::limits::{PIECES_PER_SEND_MAX, PIECES_STAGED_MAX};

const FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

/// See the module's header.
pub(super) struct FastSends {
    headers: Vec<libc::msghdr>,
    pieces: Vec<libc::iovec>,
    /// Ends of chains that have more pieces than one sendmsg(2) takes, copied together.
    gathered: Vec<Vec<u8>>,
}

impl FastSends {
    /// Room for `sends` between two submissions.
    pub(super) fn new(sends: u32) -> Self {
        FastSends {
            headers: Vec::with_capacity(sends as usize),
            pieces: Vec::with_capacity(PIECES_STAGED_MAX),
            gathered: Vec::new(),
        }
    }

    /// Whether any chain fits without a submission before it.
    pub(super) fn has_room(&self) -> bool {
        self.headers.len() < self.headers.capacity()
            && self.pieces.len() + PIECES_PER_SEND_MAX <= PIECES_STAGED_MAX
    }

    /// Chains that were too long since the last [`Self::clear`].
    pub(super) fn gathered(&self) -> usize {
        self.gathered.len()
    }

    /// The order to send a chain; the caller has checked [`Self::has_room`].
    pub(super) fn start<'a>(
        &mut self,
        conn: ConnKey,
        file: FileSlot,
        mut chain: impl Iterator<Item = &'a [u8]>,
    ) -> squeue::Entry {
        let first = chain.next().unwrap_or(&[]);
        let entry = match chain.next() {
            None => opcode::Send::new(types::Fixed(file.0), first.as_ptr(), first.len() as u32)
                .flags(FLAGS)
                .build(),
            Some(second) => {
                let header = self.message([first, second].into_iter().chain(chain));
                opcode::SendMsg::new(types::Fixed(file.0), header).flags(FLAGS as u32).build()
            }
        };
        entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(UserData::Send(conn).encode())
    }

    /// Forgets the sends that have been submitted.
    pub(super) fn clear(&mut self) {
        self.headers.clear();
        self.pieces.clear();
        self.gathered.clear();
    }

    fn message<'a>(&mut self, mut chain: impl Iterator<Item = &'a [u8]>) -> *const libc::msghdr {
        assert!(self.has_room(), "N1");
        let start = self.pieces.len();
        self.pieces.extend(chain.by_ref().take(PIECES_PER_SEND_MAX - 1).map(iovec));
        if let Some(last) = chain.next() {
            let last = match chain.next() {
                None => iovec(last),
                Some(next) => self.gather([last, next].into_iter().chain(chain)),
            };
            self.pieces.push(last);
        }
        // SAFETY: `msghdr` is plain integers and pointers; all zero is an empty message.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iovlen = self.pieces.len() - start;
        header.msg_iov = self.pieces[start..].as_mut_ptr();
        self.headers.push(header);
        &raw const self.headers[self.headers.len() - 1]
    }

    fn gather<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>) -> libc::iovec {
        let mut bytes = Vec::new();
        pieces.for_each(|piece| bytes.extend_from_slice(piece));
        let piece = iovec(&bytes);
        self.gathered.push(bytes);
        piece
    }
}
