//! Queued sends: what the kernel reads while it waits for room in a socket.
//!
//! Owns the frames, their iovecs and the message header of every queued send until its completion.
//! A record is found by the connection's key, generation included, so a reused slot can't match.
//!
//! Invariants: F1 a record neither moves nor changes between [`InFlight::start`] and
//! [`InFlight::finish`]; F2 at most one record per connection (O2).

use std::collections::HashMap;

use bytes::Bytes;
use io_uring::{opcode, squeue, types};

use super::op::FileSlot;
use super::user_data::UserData;
use crate::base::ConnKey;
use crate::limits::{PIECES_PER_SEND_MAX, QUEUED_SENDS_SPARE_MAX};

const FLAGS: i32 = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

/// See the module's header.
#[derive(Default)]
pub(super) struct InFlight {
    sends: HashMap<ConnKey, Box<QueuedSend>, foldhash::fast::RandomState>,
    #[expect(clippy::vec_box, reason = "the kernel holds their addresses while they are in use")]
    spare: Vec<Box<QueuedSend>>,
}

struct QueuedSend {
    header: libc::msghdr,
    pieces: Vec<libc::iovec>,
    frames: Vec<Bytes>,
}

impl InFlight {
    /// Takes the frames and makes the order to send them. A chain longer than the kernel takes at
    /// once is sent in part: the completion says how many octets.
    pub(super) fn start(
        &mut self,
        conn: ConnKey,
        file: FileSlot,
        frames: Vec<Bytes>,
        skip: u32,
    ) -> squeue::Entry {
        let mut send = self.spare.pop().unwrap_or_else(|| Box::new(QueuedSend::new()));
        send.fill(frames, skip as usize);
        let header = &raw const send.header;
        let earlier = self.sends.insert(conn, send);
        assert!(earlier.is_none(), "O2: one send per connection");
        opcode::SendMsg::new(types::Fixed(file.0), header)
            .flags(FLAGS as u32)
            .build()
            .user_data(UserData::SendQueued(conn).encode())
    }

    /// Whose sends the kernel holds.
    pub(super) fn keys(&self) -> impl Iterator<Item = ConnKey> {
        self.sends.keys().copied()
    }

    /// The kernel is done with the frames of a connection.
    pub(super) fn finish(&mut self, conn: ConnKey) {
        let mut send = self.sends.remove(&conn).expect("bug: no queued send was in flight");
        send.clear();
        if self.spare.len() < QUEUED_SENDS_SPARE_MAX {
            self.spare.push(send);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.sends.len()
    }
}

impl QueuedSend {
    fn new() -> Self {
        // SAFETY: all zero is a valid `msghdr`: no name, no pieces, no control data. `fill` sets
        // it.
        let header = unsafe { std::mem::zeroed() };
        QueuedSend { header, pieces: Vec::new(), frames: Vec::new() }
    }

    fn fill(&mut self, frames: Vec<Bytes>, skip: usize) {
        let first = frames.first().expect("a queued send has at least one frame");
        assert!(skip <= first.len(), "bug: more is out than there was");
        self.pieces.extend(frames.iter().take(PIECES_PER_SEND_MAX).map(|frame| iovec(frame)));
        self.pieces[0] = iovec(&first[skip..]);
        self.frames = frames;
        self.header.msg_iov = self.pieces.as_mut_ptr();
        self.header.msg_iovlen = self.pieces.len();
    }

    fn clear(&mut self) {
        self.pieces.clear();
        self.frames = Vec::new();
    }
}

/// An iovec for bytes that are only read through it.
pub(super) fn iovec(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}
